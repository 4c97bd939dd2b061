// The requests that go past a fill because they begin far ahead of it: a few at a time, so that a client that
// reads in many pieces does not fetch the blob from the upstream a second time.

import type { Now } from '../seams.ts'

/** How many at once, and how long one counts that nobody has ended (milliseconds). */
const MAX_DETOURS = 4
const LOST_AFTER = 5 * 60 * 1000

/** Counts the detours around one blob's fill. */
export class Detours {
  readonly #now: Now
  readonly #begun = new Map<string, number>()

  constructor(now: Now) {
    this.#now = now
  }

  /** Lets one more begin, by this id; `undefined` while there are enough. */
  begin(): string | undefined {
    for (const [id, at] of this.#begun) {
      if (this.#now() - at > LOST_AFTER) this.#begun.delete(id)
    }
    if (this.#begun.size >= MAX_DETOURS) return undefined
    const id = crypto.randomUUID()
    this.#begun.set(id, this.#now())
    return id
  }

  /** It has ended, one way or the other. */
  end(id: string): void {
    this.#begun.delete(id)
  }
}
