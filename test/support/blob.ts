// Blobs as tests look at them: bodies read piece by piece, what lies in R2, and upstreams that withhold
// the rest until they are told.

import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { mirroredBlobKey } from '../../src/storage/keys.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { repository } from './parsed.ts'

export const KiB = 1024
export const MiB = 1024 * KiB

/** A blob, and where it lies once it is stored. */
export interface SampleBlob {
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly name: string
  /** Of `one.test`, unless another path was asked for. */
  readonly path: string
  readonly key: StorageKey
}

/** Where a blob comes from, how it is hashed, and which noise it is. */
export interface BlobOptions {
  readonly host?: string
  readonly name?: string
  readonly seed?: number
  readonly algorithm?: 'sha256' | 'sha512'
  readonly isPrivate?: boolean
}

/** Puts a blob of noise into the upstream. */
export async function addSampleBlob(
  upstream: SampleUpstream,
  size: number,
  options: BlobOptions = {},
): Promise<SampleBlob> {
  const { host = 'one.test', name = 'a/b', seed = 1, algorithm, isPrivate = false } = options
  const bytes = sampleBytes(size, seed)
  const digest = await digestOf(bytes, algorithm)
  await upstream.addBlob(name, bytes, digest)
  const key = mirroredBlobKey({ host, repository: repository(name) }, isPrivate, digest)
  return { bytes, digest, name, key, path: `/v2/${host}/${name}/blobs/${digest}` }
}

/** Makes the upstream withhold what follows the first `after` bytes of blobs until `release` is called. */
export function withhold(
  upstream: SampleUpstream,
  after: number,
  more: Fault = {},
): { readonly release: () => void; readonly isReleased: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let isReleased = false
  upstream.fault({ on: { kind: 'blob', method: 'GET' }, do: { ...more, hold: promise, after } })
  return {
    release: () => {
      isReleased = true
      resolve()
    },
    isReleased: () => isReleased,
  }
}

/** A body that is read in steps. */
export interface Body {
  /** The next piece; fails the test when there is none. */
  readonly piece: () => Promise<Uint8Array>
  /** All that follows; rejects when the body ends in an error. */
  readonly rest: () => Promise<Uint8Array>
  /** All that follows, and whether the body ended well. */
  readonly remains: () => Promise<{ readonly bytes: Uint8Array; readonly isWhole: boolean }>
  /** The client leaves. */
  readonly cancel: () => Promise<void>
}

/** Opens the body of an answer, or a stream. */
export function openBody(from: Response | ReadableStream<Uint8Array>): Body {
  const stream = from instanceof Response ? from.body : from
  const reader = stream?.getReader() ?? expect.fail('the answer has no body')
  const remains = async () => {
    const chunks: Uint8Array[] = []
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return { bytes: join(chunks), isWhole: true }
        chunks.push(value)
      }
    } catch {
      return { bytes: join(chunks), isWhole: false }
    }
  }
  return {
    piece: async () => (await reader.read()).value ?? expect.fail('the body has ended'),
    remains,
    rest: async () => {
      const { bytes, isWhole } = await remains()
      if (!isWhole) throw new Error(`the body was cut after ${bytes.byteLength} more bytes`)
      return bytes
    },
    cancel: () => reader.cancel(),
  }
}

/** All pieces as one. */
export function join(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}

/** Whether two byte arrays are equal, without a page of differences when they are not. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.byteLength).toBe(expected.byteLength)
  expect(crypto.subtle.timingSafeEqual(actual, expected)).toBe(true)
}

/** The keys in R2 that start with `prefix`. */
export async function keysIn(prefix: string): Promise<string[]> {
  const { objects } = await env.BLOBS.list({ prefix })
  return objects.map(({ key }) => key)
}

/** Waits until the blob is stored and its fill has removed everything that was only for the way. */
export async function expectStored(blob: SampleBlob): Promise<void> {
  await vi.waitFor(
    async () => {
      expect((await env.BLOBS.head(blob.key))?.size).toBe(blob.bytes.byteLength)
      await expectNoTrace()
    },
    { timeout: 8000, interval: 10 },
  )
  const object = await env.BLOBS.get(blob.key)
  expectBytes((await object?.bytes()) ?? new Uint8Array(), blob.bytes)
}

/** Waits until the fill has failed: nothing is stored, and nothing is left of it. */
export async function expectNothing(): Promise<void> {
  await vi.waitFor(
    async () => {
      expect(await keysIn('mirror/')).toEqual([])
      await expectNoTrace()
    },
    { timeout: 8000, interval: 10 },
  )
}

/** No segment in R2, and no row and no alarm in any object of a fill. */
async function expectNoTrace(): Promise<void> {
  expect(await keysIn('fills/')).toEqual([])
  for (const id of await listDurableObjectIds(env.BLOB_FILL)) {
    const rows = await runInDurableObject(env.BLOB_FILL.get(id), async (_, { storage }) => [
      ...storage.kv.list(),
      ...((await storage.getAlarm()) === null ? [] : ['alarm']),
    ])
    expect(rows).toEqual([])
  }
}
