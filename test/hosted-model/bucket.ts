// An R2 bucket in memory, as one object sees it: each operation arrives when the world says so.

import type { Life } from './disk.ts'
import type { World } from './world.ts'
import { hashOf } from './contents.ts'

/** Everything that the bucket holds. */
export type Stored = Map<string, Uint8Array>

interface Checksums {
  readonly sha256?: Uint8Array
  readonly sha512?: Uint8Array
}

/** The bucket as an object sees it. */
export function bucketOf(world: World, life: Life, stored: Stored): R2Bucket {
  const operate = <Value>(method: string, key: string, effect: () => Value) =>
    world.operate({ life, label: `${method} ${key}`, effect })
  const bucket = {
    head: (key: string) => operate('head', key, () => objectOf(key, stored.get(key))),
    get: (key: string) => operate('get', key, () => objectOf(key, stored.get(key))),
    put: (key: string, bytes: Uint8Array, checksums: Checksums = {}) => {
      const kept = bytes.slice()
      return operate('put', key, () => {
        verify(kept, checksums)
        stored.set(key, kept)
        world.touch()
      })
    },
    delete: (key: string) =>
      operate('delete', key, () => {
        stored.delete(key)
        world.touch()
      }),
  }
  // Only what the classes under test call.
  return bucket as unknown as R2Bucket
}

function objectOf(key: string, bytes: Uint8Array | undefined) {
  if (bytes === undefined) return null
  return {
    key,
    size: bytes.byteLength,
    httpMetadata: { contentType: 'application/octet-stream' },
    bytes: async () => bytes.slice(),
    body: new Blob([bytes.slice()]).stream(),
  }
}

function verify(bytes: Uint8Array, { sha256, sha512 }: Checksums): void {
  const isWrong = (algorithm: 'sha256' | 'sha512', wanted: Uint8Array | undefined) =>
    wanted !== undefined && String(hashOf(bytes, algorithm)) !== String(wanted)
  if (isWrong('sha256', sha256) || isWrong('sha512', sha512)) {
    throw new Error('The checksum you specified did not match what we received. (10037)')
  }
}
