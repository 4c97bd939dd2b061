// Blobs in R2, by key. Nothing becomes visible under a key before R2 has verified the digest that the
// key names.

import { algorithmOf, digestBytes } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { resolveRange } from '../oci/range.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobWriter } from './blob-writer.ts'
import type { StorageKey } from './keys.ts'
import type { LocatedBlob } from './located-blob.ts'
import { MultipartWriter } from './multipart.ts'

/** The largest body that R2 takes in one `put` (bytes); 4.995 GiB on paper. */
export const MAX_SINGLE_PUT = 4.9 * 1024 ** 3

/** R2 says so when a range starts behind the end of an object. */
const INVALID_RANGE = '(10039)'

/** Part of a stored blob, or all of it. */
export interface StoredBlob {
  readonly body: ReadableStream<Uint8Array>
  /** Bytes of the whole blob. */
  readonly size: number
  readonly offset: number
  readonly length: number
}

/** Reads and writes blobs. */
export class BlobStore {
  readonly #bucket: R2Bucket
  readonly #maxSinglePut: number

  /** `maxSinglePut` (bytes) is what decides for multipart; a test lowers it. */
  constructor(bucket: R2Bucket, maxSinglePut: number = MAX_SINGLE_PUT) {
    this.#bucket = bucket
    this.#maxSinglePut = maxSinglePut
  }

  /** The size of a stored blob in bytes. One R2 operation. */
  async head(key: StorageKey): Promise<number | undefined> {
    return (await this.#bucket.head(key))?.size
  }

  /** A stored blob, so that somebody else can read it. One R2 operation. */
  async locate(key: StorageKey): Promise<LocatedBlob | undefined> {
    const size = await this.head(key)
    return size === undefined ? undefined : { key, size }
  }

  /** A stored blob, or the part of it that `range` names. One R2 operation, two for a range behind the end. */
  async get(
    key: StorageKey,
    range?: ByteRange,
  ): Promise<StoredBlob | { readonly unsatisfiable: number } | undefined> {
    try {
      const object = await this.#bucket.get(
        key,
        range === undefined ? {} : { range: r2Range(range) },
      )
      return object === null ? undefined : stored(object, range)
    } catch (error) {
      if (range === undefined || !String(error).includes(INVALID_RANGE)) throw error
      const size = await this.head(key)
      return size === undefined ? undefined : { unsatisfiable: size }
    }
  }

  /** Stores a blob that is in memory; R2 refuses it if the digest does not hold. */
  async put(key: StorageKey, bytes: Uint8Array, digest: Digest): Promise<void> {
    await this.#bucket.put(key, bytes, putOptions(digest))
  }

  /**
   * Opens a blob of `size` bytes for writing. R2 verifies the digest of a single put; a multipart upload has
   * no checksum, so its writer must be closed only after the caller has verified it.
   */
  async open(key: StorageKey, size: number, digest: Digest): Promise<BlobWriter> {
    if (size <= this.#maxSinglePut) return new SingleWriter(this.#bucket, key, { size, digest })
    const upload = await this.#bucket.createMultipartUpload(key, { httpMetadata: HTTP_METADATA })
    return new MultipartWriter(upload, size)
  }

  /** Removes objects, absent ones included. */
  async delete(keys: readonly StorageKey[]): Promise<void> {
    if (keys.length > 0) await this.#bucket.delete([...keys])
  }
}

const HTTP_METADATA = { contentType: 'application/octet-stream' }

function putOptions(digest: Digest): R2PutOptions {
  return { [algorithmOf(digest)]: digestBytes(digest), httpMetadata: HTTP_METADATA }
}

function r2Range(range: ByteRange): R2Range {
  if (range.kind === 'suffix') return { suffix: range.length }
  const { first, last } = range
  return last === undefined ? { offset: first } : { offset: first, length: last - first + 1 }
}

function stored(
  object: R2ObjectBody,
  range: ByteRange | undefined,
): StoredBlob | { readonly unsatisfiable: number } {
  const { body, size } = object
  if (range === undefined) return { body, size, offset: 0, length: size }
  // R2 answers some ranges that it cannot satisfy with the whole object, so what it did is not asked.
  const resolved = resolveRange(range, size)
  if (resolved === 'unsatisfiable') return { unsatisfiable: size }
  return { body, size, ...resolved }
}

/** One `put` of a stream whose length is known; R2 checks the digest and stores nothing otherwise. */
class SingleWriter implements BlobWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #stored: Promise<unknown>
  #remaining: number
  #failure: unknown

  constructor(
    bucket: R2Bucket,
    key: StorageKey,
    blob: { readonly size: number; readonly digest: Digest },
  ) {
    const { readable, writable } = new FixedLengthStream(blob.size)
    this.#remaining = blob.size
    this.#writer = writable.getWriter()
    this.#stored = bucket.put(key, readable, putOptions(blob.digest))
    // A put that fails is reported by the write or the close that waits for it.
    this.#stored.catch((error: unknown) => {
      this.#failure = error
      return this.#writer.abort(error).catch(() => undefined)
    })
    this.#writer.closed.catch(() => undefined)
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#remaining -= chunk.byteLength
    // The stream itself swallows what comes after R2 has read enough.
    if (this.#remaining < 0) throw new Error('more bytes than announced')
    await this.#writer.write(chunk).catch((error: unknown) => this.#fail(error))
  }

  async close(): Promise<void> {
    const closed = this.#writer.close().catch((error: unknown) => this.#fail(error))
    await Promise.all([closed, this.#stored])
  }

  async abort(reason: unknown): Promise<void> {
    await this.#writer.abort(reason).catch(() => undefined)
    await this.#stored.catch(() => undefined)
  }

  /** The stream knows only that it has ended; why is known here. */
  #fail(error: unknown): never {
    throw this.#failure ?? error
  }
}
