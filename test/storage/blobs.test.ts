// Blobs in R2: what is read of one, and that nothing is visible that is not whole and verified.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { ByteRange } from '../../src/oci/range.ts'
import type { BlobWriter } from '../../src/storage/blob-writer.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { mirroredBlobKey } from '../../src/storage/keys.ts'
import { repository } from '../support/parsed.ts'

const SIZE = 1000
const BYTES = sampleBytes(SIZE)
const OTHER = sampleBytes(SIZE, 2)
const ALGORITHMS = ['sha256', 'sha512'] as const

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function keyOf(digest: Digest): StorageKey {
  return mirroredBlobKey({ host: 'one.test', repository: repository('a/b') }, false, digest)
}

async function keysOf(): Promise<readonly string[]> {
  return (await env.BLOBS.list()).objects.map(({ key }) => key)
}

async function hashOf(key: StorageKey): Promise<Digest | undefined> {
  const object = await env.BLOBS.get(key)
  return object === null ? undefined : digestOf(await object.bytes())
}

async function writeAll(writer: BlobWriter, bytes: Uint8Array, piece: number): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; offset += piece) {
    await writer.write(bytes.subarray(offset, offset + piece))
  }
}

describe('a blob that is in memory', () => {
  it.each(ALGORITHMS)('is stored under its %s', async (algorithm) => {
    const store = new BlobStore(env.BLOBS)
    const digest = await digestOf(BYTES, algorithm)
    expect(await store.head(keyOf(digest))).toBeUndefined()
    await store.put(keyOf(digest), BYTES, digest)
    expect(await store.head(keyOf(digest))).toBe(SIZE)
    const object = await env.BLOBS.get(keyOf(digest))
    expect(await object?.bytes()).toEqual(BYTES)
    expect(object?.httpMetadata?.contentType).toBe('application/octet-stream')
  })

  it.each(ALGORITHMS)('is not stored under another %s', async (algorithm) => {
    const digest = await digestOf(OTHER, algorithm)
    await expect(new BlobStore(env.BLOBS).put(keyOf(digest), BYTES, digest)).rejects.toThrow(
      'checksum',
    )
    expect(await keysOf()).toEqual([])
  })

  it('is removed, and may be absent', async () => {
    const store = new BlobStore(env.BLOBS)
    const digest = await digestOf(BYTES)
    await store.put(keyOf(digest), BYTES, digest)
    await store.delete([keyOf(digest), keyOf(await digestOf(OTHER))])
    await store.delete([])
    expect(await keysOf()).toEqual([])
  })
})

describe('reading', () => {
  async function read(range?: ByteRange, bytes: Uint8Array = BYTES) {
    const store = new BlobStore(env.BLOBS)
    const digest = await digestOf(bytes)
    await store.put(keyOf(digest), bytes, digest)
    const blob = await store.get(keyOf(digest), range)
    if (blob === undefined || 'unsatisfiable' in blob) return blob
    const { body, ...about } = blob
    return { ...about, bytes: await new Response(body).bytes() }
  }
  const slice = (first: number, last?: number): ByteRange => ({ kind: 'slice', first, last })
  const suffix = (length: number): ByteRange => ({ kind: 'suffix', length })

  it('gives the whole', async () => {
    expect(await read()).toEqual({ size: SIZE, offset: 0, length: SIZE, bytes: BYTES })
  })

  it.each([
    { name: 'the first byte', range: slice(0, 0), offset: 0, length: 1 },
    { name: 'the last byte', range: slice(SIZE - 1, SIZE - 1), offset: SIZE - 1, length: 1 },
    { name: 'the middle', range: slice(10, 19), offset: 10, length: 10 },
    { name: 'to the end', range: slice(990), offset: 990, length: 10 },
    { name: 'everything', range: slice(0), offset: 0, length: SIZE },
    { name: 'past the end', range: slice(990, 5000), offset: 990, length: 10 },
    { name: 'far past the end', range: slice(0, Number.MAX_SAFE_INTEGER), offset: 0, length: SIZE },
    { name: 'a suffix', range: suffix(7), offset: SIZE - 7, length: 7 },
    { name: 'a suffix of everything', range: suffix(SIZE), offset: 0, length: SIZE },
    { name: 'a suffix longer than that', range: suffix(5000), offset: 0, length: SIZE },
  ])('gives $name', async ({ range, offset, length }) => {
    const bytes = BYTES.subarray(offset, offset + length)
    expect(await read(range)).toEqual({ size: SIZE, offset, length, bytes })
  })

  it.each([
    { name: 'at the end', range: slice(SIZE) },
    { name: 'behind the end', range: slice(SIZE + 1) },
    { name: 'far behind the end', range: slice(5_000_000_000, 5_000_000_001) },
    { name: 'of no bytes', range: suffix(0) },
  ])('says how large it is when the range starts $name', async ({ range }) => {
    expect(await read(range)).toEqual({ unsatisfiable: SIZE })
  })

  it('says so too when R2 gives the whole instead', async () => {
    const get = env.BLOBS.get.bind(env.BLOBS)
    vi.spyOn(env.BLOBS, 'get').mockImplementation((key: string) => get(key))
    expect(await read(slice(SIZE))).toEqual({ unsatisfiable: SIZE })
  })

  it('of an empty blob gives nothing, whole, and no range', async () => {
    const empty = new Uint8Array()
    expect(await read(undefined, empty)).toEqual({ size: 0, offset: 0, length: 0, bytes: empty })
    expect(await read(slice(0), empty)).toEqual({ unsatisfiable: 0 })
    expect(await read(suffix(1), empty)).toEqual({ unsatisfiable: 0 })
  })

  it.each([undefined, slice(0, 1), slice(5_000)])('of what is absent: %o', async (range) => {
    const key = keyOf(await digestOf(OTHER))
    expect(await new BlobStore(env.BLOBS).get(key, range)).toBeUndefined()
  })

  it('costs one operation', async () => {
    const get = vi.spyOn(env.BLOBS, 'get')
    const head = vi.spyOn(env.BLOBS, 'head')
    await read(slice(10, 19))
    expect([get.mock.calls.length, head.mock.calls.length]).toEqual([1, 0])
  })

  it('fails when R2 does', async () => {
    vi.spyOn(env.BLOBS, 'get').mockRejectedValue(new Error('get: We encountered an error (10001)'))
    const head = vi.spyOn(env.BLOBS, 'head')
    const store = new BlobStore(env.BLOBS)
    await expect(store.get(keyOf(await digestOf(BYTES)), slice(0, 1))).rejects.toThrow('10001')
    expect(head).not.toHaveBeenCalled()
  })
})

describe('a writer of one put', () => {
  async function open(bytes: Uint8Array, size: number, algorithm: 'sha256' | 'sha512' = 'sha256') {
    const digest = await digestOf(bytes, algorithm)
    const key = keyOf(digest)
    return { key, writer: await new BlobStore(env.BLOBS).open(key, size, digest) }
  }

  it.each(ALGORITHMS)('stores what has the right %s, when it is closed', async (algorithm) => {
    const { key, writer } = await open(BYTES, SIZE, algorithm)
    await writeAll(writer, BYTES.subarray(0, SIZE - 1), 64)
    expect(await env.BLOBS.head(key)).toBeNull()
    await writer.write(BYTES.subarray(SIZE - 1))
    await writer.close()
    expect(await hashOf(key)).toBe(await digestOf(BYTES))
  })

  it('stores an empty blob', async () => {
    const { key, writer } = await open(new Uint8Array(), 0)
    await writer.close()
    expect((await env.BLOBS.head(key))?.size).toBe(0)
  })

  it('lets a buffer be used again once write has resolved', async () => {
    const { key, writer } = await open(BYTES, SIZE)
    const buffer = new Uint8Array(100)
    for (let offset = 0; offset < SIZE; offset += 100) {
      buffer.set(BYTES.subarray(offset, offset + 100))
      await writer.write(buffer)
      buffer.fill(0)
    }
    await writer.close()
    expect(await hashOf(key)).toBe(await digestOf(BYTES))
  })

  it('stores nothing of what has another digest', async () => {
    const { writer } = await open(OTHER, SIZE)
    await expect(writeAll(writer, BYTES, 64).then(() => writer.close())).rejects.toThrow('checksum')
    expect(await keysOf()).toEqual([])
  })

  it('stores nothing of what is too short', async () => {
    const { writer } = await open(BYTES, SIZE)
    await writeAll(writer, BYTES.subarray(0, SIZE - 1), 64)
    await expect(writer.close()).rejects.toThrow('did not see all')
    await writer.abort(new Error('given up'))
    expect(await keysOf()).toEqual([])
  })

  it('stores nothing of what is too long', async () => {
    const { writer } = await open(BYTES, SIZE)
    await writeAll(writer, BYTES.subarray(1), 64)
    await expect(writer.write(new Uint8Array(2))).rejects.toThrow('more bytes than announced')
    await writer.abort(new Error('given up'))
    expect(await keysOf()).toEqual([])
  })

  it('refuses a byte more, also behind a blob that is right', async () => {
    const { writer } = await open(BYTES, SIZE)
    await writeAll(writer, BYTES, 64)
    await expect(writer.write(new Uint8Array(1))).rejects.toThrow('more bytes than announced')
    await writer.abort(new Error('given up'))
  })

  it.each([0, 1, SIZE - 1])('stores nothing of what is aborted after %i bytes', async (length) => {
    const { writer } = await open(BYTES, SIZE)
    await writeAll(writer, BYTES.subarray(0, length), 64)
    await writer.abort(new Error('given up'))
    await writer.abort(new Error('given up again'))
    expect(await keysOf()).toEqual([])
  })

  it('fails, and can be aborted, when R2 does', async () => {
    vi.spyOn(env.BLOBS, 'put').mockRejectedValue(new Error('put: (10001)'))
    const { writer } = await open(BYTES, SIZE)
    await expect(writeAll(writer, BYTES, 64).then(() => writer.close())).rejects.toThrow('10001')
    await writer.abort(new Error('given up'))
    expect(await keysOf()).toEqual([])
  })
})

describe('a writer of several parts', () => {
  const PART = 8 * 1024 ** 2

  async function open(bytes: Uint8Array, size = bytes.byteLength) {
    const digest = await digestOf(bytes)
    const key = keyOf(digest)
    return { key, digest, writer: await new BlobStore(env.BLOBS, 10).open(key, size, digest) }
  }

  it.each([
    { name: 'less than a part', size: 11 },
    { name: 'exactly one part', size: PART },
    { name: 'a part and a byte', size: PART + 1 },
    { name: 'two parts', size: 2 * PART },
    { name: 'two parts and a half', size: 2.5 * PART },
  ])('stores $name, when it is closed', async ({ size }) => {
    const bytes = sampleBytes(size)
    const { key, digest, writer } = await open(bytes)
    await writeAll(writer, bytes, 1_000_003)
    expect(await env.BLOBS.head(key)).toBeNull()
    await writer.close()
    expect(await hashOf(key)).toBe(digest)
  })

  it('divides one large chunk among the parts', async () => {
    const bytes = sampleBytes(2 * PART + 5)
    const { key, digest, writer } = await open(bytes)
    await writer.write(bytes)
    await writer.close()
    expect(await hashOf(key)).toBe(digest)
  })

  it.each([0, 1, PART, PART + 1])('leaves nothing when aborted after %i bytes', async (length) => {
    const bytes = sampleBytes(PART + 2)
    const abort = vi.fn<() => void>()
    const create = env.BLOBS.createMultipartUpload.bind(env.BLOBS)
    vi.spyOn(env.BLOBS, 'createMultipartUpload').mockImplementation(async (key, options) => {
      const upload = await create(key, options)
      return {
        key: upload.key,
        uploadId: upload.uploadId,
        uploadPart: (...args) => upload.uploadPart(...args),
        complete: (parts) => upload.complete(parts),
        abort: () => {
          abort()
          return upload.abort()
        },
      }
    })
    const { writer } = await open(bytes)
    await writeAll(writer, bytes.subarray(0, length), 1_000_003)
    await writer.abort(new Error('given up'))
    expect(abort).toHaveBeenCalledOnce()
    expect(await keysOf()).toEqual([])
    await expect(writer.close()).rejects.toThrow('missing')
    expect(await keysOf()).toEqual([])
  })

  it.each([
    { name: 'within a part', length: PART + 1 },
    { name: 'between two parts', length: PART },
    { name: 'before the first', length: 0 },
  ])('refuses to be closed too early, $name', async ({ length }) => {
    const bytes = sampleBytes(PART + 2)
    const { writer } = await open(bytes)
    await writeAll(writer, bytes.subarray(0, length), 1_000_003)
    await expect(writer.close()).rejects.toThrow(`${PART + 2 - length} bytes are missing`)
    await writer.abort(new Error('given up'))
    expect(await keysOf()).toEqual([])
  })

  it('refuses more than was announced', async () => {
    const { writer } = await open(BYTES)
    await writer.write(BYTES)
    await expect(writer.write(new Uint8Array(1))).rejects.toThrow('more bytes than announced')
    await writer.abort(new Error('given up'))
    expect(await keysOf()).toEqual([])
  })

  it('is used only above the limit of one put', async () => {
    const create = vi.spyOn(env.BLOBS, 'createMultipartUpload')
    const store = new BlobStore(env.BLOBS, SIZE)
    const digest = await digestOf(BYTES)
    const writer = await store.open(keyOf(digest), SIZE, digest)
    await writer.abort(new Error('given up'))
    expect(create).not.toHaveBeenCalled()
  })
})
