// The body of a request to an upload session, chunk by chunk. A body can stand still for hours, so whoever
// takes the session over need not wait for its next chunk.

import { drainRest } from '../storage/drain.ts'
import type { Hold } from './upload-hold.ts'

/** How a body ends: well, or broken off. */
export type BodyEnd = 'end' | 'cut'

/** Reads a body as long as its hold lasts. */
export class UploadBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  readonly #hold: Hold
  #wake: (() => void) | undefined

  constructor(body: ReadableStream<Uint8Array> | null, hold: Hold) {
    this.#reader = body?.getReader()
    this.#hold = hold
    this.#reader?.closed.catch(() => undefined)
    hold.signal.addEventListener('abort', () => this.#wake?.(), { once: true })
  }

  /** The next chunk. @throws {Interrupted} when the session is taken over, at once. */
  async next(): Promise<Uint8Array | BodyEnd> {
    this.#hold.check()
    const chunk = this.#reader === undefined ? 'end' : await this.#read(this.#reader)
    this.#hold.check()
    return chunk
  }

  /** Reads the rest for nothing, unless the session was taken over: then nobody waits for an answer. Never rejects. */
  async drain(): Promise<void> {
    if (this.#reader === undefined) return
    if (this.#hold.isInterrupted) await this.#reader.cancel('taken over').catch(() => undefined)
    else await drainRest(this.#reader)
  }

  /** One promise per read: a race with one that lasts as long as the body would keep every chunk. */
  #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | BodyEnd> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | BodyEnd>()
    this.#wake = () => resolve('cut')
    reader.read().then(
      ({ done, value }) => resolve(done ? 'end' : value),
      () => resolve('cut'),
    )
    return promise
  }
}
