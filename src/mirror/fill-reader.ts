// A client's side of a fill: its Worker asks the object how far it is and reads the segments from R2 at
// the client's own pace. Where a segment is gone it goes on in the stored blob, at the exact byte.

import type { BlobStore } from '../storage/blobs.ts'
import { segmentKey } from '../storage/keys.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { FillGone } from './fill-keeper.ts'
import type { FillEnd, FillProgress } from './fill.ts'
import { LATE, PATIENCE, within } from './patience.ts'
import type { Patience } from './patience.ts'

/** Bytes moved in one step. */
const CHUNK = 256 * 1024
/** How often a segment, a blob or an object is asked for before it counts as lost. */
const ATTEMPTS = 2

/** The part of a blob that the client wants; `end` is unknown while the size is. */
export interface Slice {
  readonly offset: number
  readonly end: number | undefined
}

/** What a reader is given; `progress` and `end` are the object's. */
export interface FillReaderGiven {
  readonly key: StorageKey
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  readonly progress: (id: string, from: number) => Promise<FillProgress | FillGone>
  readonly end: (id: string) => Promise<FillEnd | FillGone | undefined>
}

type Running = FillProgress & { readonly state: 'filling' }

/** Reads one slice of a running fill into a stream. */
export class FillReader {
  readonly #given: FillReaderGiven
  readonly #patience: Patience
  readonly #id: string
  readonly #end: number | undefined
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  /** The next byte of the blob that the client gets. */
  #position: number

  private constructor(
    given: FillReaderGiven,
    of: { readonly id: string; readonly slice: Slice; readonly patience: Patience },
    writer: WritableStreamDefaultWriter<Uint8Array>,
  ) {
    this.#given = given
    this.#patience = of.patience
    this.#id = of.id
    this.#position = of.slice.offset
    this.#end = of.slice.end
    this.#writer = writer
  }

  /**
   * A body with the slice, and the work that feeds it: it ends when the client has everything or has left.
   * The body is cut short, never ended, when the fill fails. `patience` is shortened by tests.
   */
  static read(
    given: FillReaderGiven,
    running: Running,
    slice: Slice,
    patience: Patience = PATIENCE,
  ): { readonly body: ReadableStream<Uint8Array>; readonly work: Promise<void> } {
    const { readable, writable } =
      slice.end === undefined
        ? new IdentityTransformStream()
        : new FixedLengthStream(slice.end - slice.offset)
    const of = { id: running.id, slice, patience }
    const reader = new FillReader(given, of, writable.getWriter())
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
    let answer: FillProgress | FillGone = running
    let start = 0
    let n = 0
    for (;;) {
      if (answer.state !== 'filling') return this.#finish(answer)
      for (const length of answer.segments) {
        if (!(await this.#segment(n, { start, length }))) return this.#finish(await this.#ending())
        if (this.#isDone()) return
        start += length
        n += 1
      }
      if (answer.isComplete) return
      const from = n
      answer = await this.#ask(() => this.#given.progress(this.#id, from))
    }
  }

  /** Sends what the client wants of a segment; false when the segment cannot be read to its end. */
  async #segment(
    n: number,
    at: { readonly start: number; readonly length: number },
  ): Promise<boolean> {
    const end = Math.min(at.start + at.length, this.#end ?? Infinity)
    for (let attempt = 0; attempt < ATTEMPTS && this.#position < end; attempt++) {
      const range = { offset: this.#position - at.start, length: end - this.#position }
      const key = segmentKey(this.#id, n)
      const object = await this.#reading(this.#given.bucket.get(key, { range }))
      if (object === null) return false
      if (object !== undefined) await this.#copy(object.body)
    }
    return this.#position >= end
  }

  /** Copies until the end of `body` or its failure; `#position` tells how far it came. */
  async #copy(body: ReadableStream): Promise<void> {
    const reader = body.getReader({ mode: 'byob' })
    try {
      for (;;) {
        const { done, value } = (await this.#reading(reader.read(new Uint8Array(CHUNK)))) ?? LOST
        if (done || value === undefined) return
        const { byteLength } = value
        // A write that fails is the client's leaving: it ends everything.
        await this.#writer.write(value)
        this.#position += byteLength
      }
    } finally {
      // A body that stalls may never let go; nobody waits for it.
      void reader.cancel().catch(() => undefined)
    }
  }

  /** Waits for the fill to end: without its segments, only the stored blob can help. */
  async #ending(): Promise<FillEnd | FillGone> {
    for (;;) {
      const end = await this.#ask(() => this.#given.end(this.#id))
      if (end !== undefined) return end
    }
  }

  async #finish(end: FillEnd | FillGone): Promise<void> {
    if (end.state === 'failed') throw new Error('the fill failed')
    const last = this.#end === undefined ? undefined : this.#end - 1
    for (let attempt = 0; attempt < ATTEMPTS && !this.#isDone(); attempt++) {
      const range = { kind: 'slice', first: this.#position, last } as const
      const stored = await this.#reading(this.#given.blobs.get(this.#given.key, range))
      if (stored === undefined) continue
      if ('unsatisfiable' in stored) {
        if (stored.unsatisfiable === this.#position) return
        break
      }
      await this.#copy(stored.body)
      if (this.#position === stored.offset + stored.length) return
    }
    if (!this.#isDone()) throw new Error('the fill is gone and nothing is stored')
  }

  /** What storage answers, or `undefined` when it fails or does not answer. */
  async #reading<Value>(work: Promise<Value>): Promise<Value | undefined> {
    try {
      const value = await within(work, this.#patience.storage)
      return value === LATE ? undefined : value
    } catch {
      return undefined
    }
  }

  async #ask<Answer>(question: () => Promise<Answer>): Promise<Answer | FillGone> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        return await question()
      } catch {
        // A call that was lost is made again; an object that was reset says at the second one that it knows nothing.
      }
    }
    return { state: 'gone' }
  }

  #isDone(): boolean {
    return this.#end !== undefined && this.#position >= this.#end
  }
}

const LOST = { done: true, value: undefined } as const
