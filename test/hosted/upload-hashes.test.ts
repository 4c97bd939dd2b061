// Both hashes of an upload: right wherever all bytes have passed, and silent wherever some have not.

import { describe, expect, it } from 'vitest'
import { UploadHashes, digestOfBody } from '../../src/hosted/upload-hashes.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { storageIsAway } from '../support/broken.ts'
import { bodyOf, noise, piecesOf } from '../support/upload.ts'

const ALGORITHMS = ['sha256', 'sha512'] as const

describe.each(ALGORITHMS)('%s', (algorithm) => {
  it.each([
    { name: 'nothing', parts: [], tail: 0 },
    { name: 'a tail', parts: [], tail: 77 },
    { name: 'a part', parts: [1000], tail: 0 },
    { name: 'parts and a tail', parts: [1000, 1000, 1], tail: 5 },
  ])('of $name is the digest of the bytes', async ({ parts, tail }) => {
    const total = parts.reduce((sum, size) => sum + size, tail)
    const { bytes, digest } = await noise(total, algorithm)
    const hashes = new UploadHashes()
    let start = 0
    for (const size of parts) {
      await hashes.update(bytes.subarray(start, start + size), start)
      start += size
    }
    expect(await hashes.digest(algorithm, bytes.subarray(start), start)).toBe(digest)
  })

  it('of bytes of which some have not passed is not known', async () => {
    const { bytes } = await noise(30)
    const hashes = new UploadHashes()
    await hashes.update(bytes.subarray(0, 10), 0)
    // The second part was stored by another instance.
    await hashes.update(bytes.subarray(20), 20)
    expect(await hashes.digest(algorithm, new Uint8Array(), 30)).toBeUndefined()
    expect(await hashes.digest(algorithm, bytes.subarray(20), 20)).toBeUndefined()
    expect(await hashes.digest(algorithm, bytes.subarray(10), 10)).toBe(
      await digestOf(bytes, algorithm),
    )
    // It is spent then.
    expect(await hashes.digest(algorithm, bytes.subarray(10), 10)).toBeUndefined()
  })

  it('of a body is the digest of its bytes', async () => {
    const { bytes, digest } = await noise(100_000, algorithm)
    const { signal } = new AbortController()
    expect(await digestOfBody(bodyOf(piecesOf(bytes, 777)), algorithm, signal)).toBe(digest)
  })

  it('of a body that breaks off is none', async () => {
    const { signal } = new AbortController()
    const cut = bodyOf([new Uint8Array(9)], true)
    await expect(digestOfBody(cut, algorithm, signal)).rejects.toThrow('connection lost')
  })

  it('of a body is given up at once', async () => {
    const controller = new AbortController()
    const silent = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => undefined) })
    const digest = digestOfBody(silent, algorithm, controller.signal)
    controller.abort(await storageIsAway().catch((error: unknown) => error))
    await expect(digest).rejects.toThrow('10001')
  })
})
