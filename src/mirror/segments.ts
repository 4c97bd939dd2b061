// The segments of a running fill: pieces of a blob in R2 that clients read while the rest is still on its
// way. Each is announced only when it can be read, in order.

import type { Now } from '../seams.ts'
import { segmentKey, segmentPrefix } from '../storage/keys.ts'

/** Segments grow from 64 KiB, so that the first byte is early, to 2 MiB, so that there are few (bytes). */
const FIRST_SEGMENT = 64 * 1024
const MAX_SEGMENT = 2 * 1024 * 1024
/** Objects that R2 deletes in one call. */
const MAX_DELETE = 1000

/** Cuts bytes into segments and stores them, one at a time. */
export class SegmentWriter {
  readonly #bucket: R2Bucket
  readonly #id: string
  readonly #announce: (length: number) => void
  readonly #now: Now
  #since = 0
  /** Absent when it is over. */
  #buffer: Uint8Array | undefined
  /** The buffer of the segment that is being stored: taken again after that, so that none is left to the collector. */
  #spare: Uint8Array | undefined
  #filled = 0
  #count = 0
  #storing: Promise<void> = Promise.resolve()

  /** `announce` is called with the length of each segment once it is stored; `id` is the fill's own. */
  constructor(
    given: { readonly bucket: R2Bucket; readonly id: string; readonly now: Now },
    announce: (length: number) => void,
  ) {
    this.#bucket = given.bucket
    this.#id = given.id
    this.#now = given.now
    this.#announce = announce
    this.#buffer = new Uint8Array(FIRST_SEGMENT)
  }

  /** Bytes of memory that its buffers take. */
  get memory(): number {
    return (this.#buffer?.byteLength ?? 0) + (this.#spare?.byteLength ?? 0)
  }

  /** Whether bytes have waited for a segment of theirs for longer than `age` (milliseconds). */
  isOlderThan(age: number, now: number): boolean {
    return this.#filled > 0 && now - this.#since > age
  }

  /**
   * Takes bytes, unless it is over; resolves when the buffer has room again.
   * @throws when a segment could not be stored.
   */
  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      const buffer = this.#buffer
      if (buffer === undefined) return
      const piece = rest.subarray(0, buffer.byteLength - this.#filled)
      if (this.#filled === 0) this.#since = this.#now()
      buffer.set(piece, this.#filled)
      this.#filled += piece.byteLength
      rest = rest.subarray(piece.byteLength)
      if (this.#filled === buffer.byteLength && rest.byteLength > 0) await this.cut()
    }
  }

  /**
   * Stores what is pending as a segment. Resolves when the segment before has been stored, so at most two
   * are in memory. @throws when that one could not be stored.
   */
  async cut(): Promise<void> {
    await this.#storing
    const buffer = this.#buffer
    if (buffer === undefined || this.#filled === 0) return
    const length = this.#filled
    const key = segmentKey(this.#id, this.#count)
    this.#count += 1
    const put = this.#bucket.put(key, buffer.subarray(0, length))
    this.#storing = put.then(() => this.#announce(length))
    // A failure is reported by the next cut or by `close`.
    this.#storing.catch(() => undefined)
    const size = Math.min(FIRST_SEGMENT * 2 ** this.#count, MAX_SEGMENT)
    const free = this.#spare?.byteLength === size ? this.#spare : new Uint8Array(size)
    this.#spare = buffer
    this.#buffer = free
    this.#filled = 0
  }

  /** Stores the rest, waits for it, and is over. @throws when a segment could not be stored. */
  async close(): Promise<void> {
    try {
      await this.cut()
      await this.#storing
    } finally {
      this.#release()
    }
  }

  /** Is over at once; resolves when nothing is on its way into storage any more. Never rejects. */
  async settle(): Promise<void> {
    this.#release()
    await this.#storing.catch(() => undefined)
  }

  /** Whoever keeps this to ask about a fill that has ended keeps no buffers; a write that is late adds nothing. */
  #release(): void {
    this.#buffer = undefined
    this.#spare = undefined
    this.#filled = 0
  }
}

/** Removes every segment of a fill, whoever wrote it. */
export async function deleteSegments(bucket: R2Bucket, id: string): Promise<void> {
  let page: R2Objects | undefined
  do {
    const cursor = page?.truncated ? { cursor: page.cursor } : {}
    page = await bucket.list({ prefix: segmentPrefix(id), limit: MAX_DELETE, ...cursor })
    if (page.objects.length > 0) await bucket.delete(page.objects.map(({ key }) => key))
  } while (page.truncated)
}
