// Work that must not overlap: whatever touches the same thing in storage waits for its turn, because
// nothing else keeps two requests of an object apart while one of them waits for R2.

/** Keeps the turn until something has ended, well or not, although the work may end before. */
export type KeepTurn = (until: Promise<unknown>) => void

/** Lets pieces of work on the same key run one after the other, in the order in which they came. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `work` when all work on `key` before it has ended, well or not. */
  async take<Value>(key: string, work: (keep: KeepTurn) => Promise<Value>): Promise<Value> {
    const rests: Promise<unknown>[] = []
    const before = this.#last.get(key) ?? Promise.resolve()
    const turn = before.then(() => work((until) => void rests.push(until)))
    const over = Promise.allSettled([turn])
      .then(() => Promise.allSettled(rests))
      .then(() => {
        if (this.#last.get(key) === over) this.#last.delete(key)
      })
    this.#last.set(key, over)
    return turn
  }
}
