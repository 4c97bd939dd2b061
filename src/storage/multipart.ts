// A blob that is too large for one `put`: equal parts, each streamed, one at a time. R2 has no checksum
// for a whole multipart object, so whoever writes verifies the bytes and completes, or aborts.

import type { BlobWriter } from './blob-writer.ts'

/** R2 takes parts of 5 MiB and more, all but the last equal, at most 10 000 of them. */
const MIN_PART = 8 * 1024 ** 2
const MAX_PARTS = 10_000

interface OpenPart {
  readonly writer: WritableStreamDefaultWriter<Uint8Array>
  readonly uploaded: Promise<R2UploadedPart>
  remaining: number
}

/** Writes `size` bytes as one multipart upload. */
export class MultipartWriter implements BlobWriter {
  readonly #upload: R2MultipartUpload
  readonly #partSize: number
  readonly #parts: R2UploadedPart[] = []
  #remaining: number
  #open: OpenPart | undefined

  constructor(upload: R2MultipartUpload, size: number) {
    this.#upload = upload
    this.#remaining = size
    this.#partSize = Math.max(MIN_PART, Math.ceil(size / MAX_PARTS))
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      const part = (this.#open ??= this.#begin())
      const piece = rest.subarray(0, part.remaining)
      await part.writer.write(piece)
      part.remaining -= piece.byteLength
      rest = rest.subarray(piece.byteLength)
      if (part.remaining === 0) await this.#finish(part)
    }
  }

  async close(): Promise<void> {
    const missing = this.#remaining + (this.#open?.remaining ?? 0)
    if (missing > 0) throw new Error(`${missing} bytes are missing`)
    await this.#upload.complete(this.#parts)
  }

  async abort(reason: unknown): Promise<void> {
    await this.#open?.writer.abort(reason).catch(() => undefined)
    await this.#open?.uploaded.catch(() => undefined)
    await this.#upload.abort().catch(() => undefined)
  }

  #begin(): OpenPart {
    const length = Math.min(this.#partSize, this.#remaining)
    if (length === 0) throw new Error('more bytes than announced')
    this.#remaining -= length
    const { readable, writable } = new FixedLengthStream(length)
    const uploaded = this.#upload.uploadPart(this.#parts.length + 1, readable)
    const writer = writable.getWriter()
    uploaded.catch((error: unknown) => writer.abort(error).catch(() => undefined))
    writer.closed.catch(() => undefined)
    return { writer, uploaded, remaining: length }
  }

  async #finish(part: OpenPart): Promise<void> {
    const [, uploaded] = await Promise.all([part.writer.close(), part.uploaded])
    this.#parts.push(uploaded)
    this.#open = undefined
  }
}
