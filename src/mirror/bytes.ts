// The bytes of a source with patience: the next chunk if it comes in time, and the read that did not is
// kept for later.

import { concatenate } from '../outbound.ts'
import { LATE, within } from './patience.ts'

/** What bytes are read from; `undefined` is the end. */
interface Source {
  read(): Promise<Uint8Array | undefined>
}

/** Reads a source. One read is under way at most. */
export class Bytes {
  readonly #source: Source
  #reading: Promise<Uint8Array | undefined> | undefined

  constructor(source: Source) {
    this.#source = source
  }

  /** The next chunk; `undefined` at the end; `LATE` when none has come within `patience` (milliseconds). */
  async next(patience: number): Promise<Uint8Array | undefined | typeof LATE> {
    this.#reading ??= this.#source.read()
    const chunk = await within(this.#reading, patience)
    if (chunk !== LATE) this.#reading = undefined
    return chunk
  }

  /**
   * Reads on until the end, until more than `limit` bytes are there, or until `patience` milliseconds have
   * passed. `isWhole` tells that it was the end.
   */
  async readAll(limit: number, patience: number): Promise<{ bytes: Uint8Array; isWhole: boolean }> {
    const { promise: over, resolve } = Promise.withResolvers<typeof LATE>()
    const timer = setTimeout(() => resolve(LATE), patience)
    const chunks: Uint8Array[] = []
    let length = 0
    try {
      while (length <= limit) {
        this.#reading ??= this.#source.read()
        const chunk = await Promise.race([this.#reading, over])
        if (chunk === LATE) break
        this.#reading = undefined
        if (chunk === undefined) return { bytes: concatenate(chunks, length), isWhole: true }
        // A copy: a chunk may be a few bytes in a large buffer.
        chunks.push(chunk.slice())
        length += chunk.byteLength
      }
      return { bytes: concatenate(chunks, length), isWhole: false }
    } finally {
      clearTimeout(timer)
    }
  }
}
