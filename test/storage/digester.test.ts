// The streaming hash is the hash of the whole.

import { describe, expect, it } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Algorithm } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { Digester } from '../../src/storage/digester.ts'

async function hash(bytes: Uint8Array, piece: number, algorithm: Algorithm): Promise<string> {
  const digester = new Digester(await digestOf(new Uint8Array(), algorithm))
  for (let offset = 0; offset < bytes.byteLength; offset += piece) {
    await digester.update(bytes.subarray(offset, offset + piece))
  }
  return digester.digest()
}

describe.each(['sha256', 'sha512'] as const)('%s', (algorithm) => {
  it.each([
    { size: 0, piece: 1 },
    { size: 1, piece: 1 },
    { size: 1000, piece: 7 },
    { size: 3_000_000, piece: 65_536 },
    { size: 3_000_000, piece: 3_000_000 },
  ])('of $size bytes in pieces of $piece', async ({ size, piece }) => {
    const bytes = sampleBytes(size)
    expect(await hash(bytes, piece, algorithm)).toBe(await digestOf(bytes, algorithm))
  })

  it('has read a chunk when update resolves: its buffer may be used again', async () => {
    const bytes = sampleBytes(1000)
    const digester = new Digester(await digestOf(bytes, algorithm))
    const buffer = new Uint8Array(100)
    for (let offset = 0; offset < 1000; offset += 100) {
      buffer.set(bytes.subarray(offset, offset + 100))
      await digester.update(buffer)
      buffer.fill(0)
    }
    expect(await digester.digest()).toBe(await digestOf(bytes, algorithm))
  })
})
