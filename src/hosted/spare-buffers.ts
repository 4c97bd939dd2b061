// Second buffers of uploads, which the objects of one isolate share: with one, an upload takes bytes while a part
// of it is being stored; without, it waits. So one push is fast, and many at once stay within an isolate's memory.

import type { Now } from '../seams.ts'

/** Whoever has not used his for so long has died with it (milliseconds). */
const UNUSED = 60_000

/** Lends out a few second buffers. */
export class SpareBuffers {
  readonly #limit: number
  readonly #usedAt = new Map<object, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Whether `user` may have a second buffer now; to be asked at each use, and given back. */
  take(user: object, now: ReturnType<Now>): boolean {
    for (const [other, at] of this.#usedAt) if (now - at > UNUSED) this.#usedAt.delete(other)
    if (!this.#usedAt.has(user) && this.#usedAt.size >= this.#limit) return false
    this.#usedAt.set(user, now)
    return true
  }

  /** `user` has only one buffer from now on. */
  give(user: object): void {
    this.#usedAt.delete(user)
  }
}
