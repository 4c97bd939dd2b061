// A client's side of a fill: its Worker asks the object how far it is and reads the segments from R2 at
// the client's own pace. Where a segment is gone it goes on in the stored blob, at the exact byte.

import type { BlobStore } from '../storage/blobs.ts'
import { segmentKey } from '../storage/keys.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { FillAnswer } from './fill-keeper.ts'
import type { FillProgress } from './fill.ts'

/** Bytes moved in one step. */
const CHUNK = 256 * 1024

/** The part of a blob that the client wants; `end` is unknown while the size is. */
export interface Slice {
  readonly offset: number
  readonly end: number | undefined
}

/** What a reader is given. */
export interface FillReaderGiven {
  readonly key: StorageKey
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  readonly progress: (id: string, from: number) => Promise<FillAnswer>
}

type Running = FillProgress & { readonly state: 'filling' }

/** Reads one slice of a running fill into a stream. */
export class FillReader {
  readonly #given: FillReaderGiven
  readonly #id: string
  readonly #end: number | undefined
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  /** The next byte of the blob that the client gets. */
  #position: number

  private constructor(
    given: FillReaderGiven,
    id: string,
    to: { readonly slice: Slice; readonly writer: WritableStreamDefaultWriter<Uint8Array> },
  ) {
    this.#given = given
    this.#id = id
    this.#position = to.slice.offset
    this.#end = to.slice.end
    this.#writer = to.writer
  }

  /**
   * A body with the slice, and the work that feeds it: it ends when the client has everything or has left.
   * The body is cut short, never ended, when the fill fails.
   */
  static read(
    given: FillReaderGiven,
    running: Running,
    slice: Slice,
  ): { readonly body: ReadableStream<Uint8Array>; readonly work: Promise<void> } {
    const { readable, writable } =
      slice.end === undefined
        ? new IdentityTransformStream()
        : new FixedLengthStream(slice.end - slice.offset)
    const writer = writable.getWriter()
    const reader = new FillReader(given, running.id, { slice, writer })
    return { body: readable, work: reader.#run(running) }
  }

  async #run(running: Running): Promise<void> {
    try {
      await this.#follow(running)
      await this.#writer.close()
    } catch (error) {
      // Either the client has left, or the fill has failed: both end the connection here.
      await this.#writer.abort(error).catch(() => undefined)
    }
  }

  async #follow(running: Running): Promise<void> {
    let answer: FillAnswer = running
    let start = 0
    let n = 0
    for (;;) {
      if (answer.state !== 'filling') return this.#finish(answer)
      for (const length of answer.segments) {
        if (!(await this.#segment(n, { start, length }))) return this.#finish(await this.#ended(n))
        if (this.#isDone()) return
        start += length
        n += 1
      }
      if (answer.isComplete && answer.segments.length === 0) return
      answer = await this.#progress(n)
    }
  }

  /** Sends what the client wants of a segment; false when the segment cannot be read to its end. */
  async #segment(
    n: number,
    at: { readonly start: number; readonly length: number },
  ): Promise<boolean> {
    const offset = this.#position - at.start
    if (offset >= at.length) return true
    const end = Math.min(at.length, (this.#end ?? Infinity) - at.start)
    const range = { offset, length: end - offset }
    const object = await this.#given.bucket
      .get(segmentKey(this.#id, n), { range })
      .catch(() => null)
    if (object === null) return false
    await this.#copy(object.body)
    return this.#position === at.start + end
  }

  /** Copies until the end of `body` or its failure; `#position` tells how far it came. */
  async #copy(body: ReadableStream): Promise<void> {
    const reader = body.getReader({ mode: 'byob' })
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(CHUNK)).catch(() => GONE)
      if (done || value === undefined) return
      const { byteLength } = value
      // A write that fails is the client's leaving: it ends everything.
      await this.#writer.write(value)
      this.#position += byteLength
    }
  }

  /** Waits for the fill to end: without its segments, only the stored blob can help. */
  async #ended(from: number): Promise<FillAnswer> {
    for (;;) {
      const answer = await this.#progress(from)
      if (answer.state !== 'filling' || answer.isComplete) return { state: 'gone' }
      from += answer.segments.length
    }
  }

  async #progress(from: number): Promise<FillAnswer> {
    try {
      return await this.#given.progress(this.#id, from)
    } catch {
      // The object was reset: what it had finished is in R2, what it had not is lost.
      return { state: 'gone' }
    }
  }

  async #finish(answer: FillAnswer): Promise<void> {
    if (answer.state === 'failed') throw new Error('the fill failed')
    const length = this.#end === undefined ? {} : { last: this.#end - 1 }
    const range = { kind: 'slice', first: this.#position, last: undefined, ...length } as const
    const stored = this.#isDone() ? undefined : await this.#given.blobs.get(this.#given.key, range)
    if (stored === undefined || 'unsatisfiable' in stored) {
      if (this.#isDone() || stored?.unsatisfiable === this.#position) return
      throw new Error('the fill is gone and nothing is stored')
    }
    await this.#copy(stored.body)
    if (this.#position !== stored.offset + stored.length)
      throw new Error('the stored blob was cut short')
  }

  #isDone(): boolean {
    return this.#end !== undefined && this.#position >= this.#end
  }
}

const GONE = { done: true, value: undefined } as const
