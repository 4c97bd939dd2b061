// Who holds an upload session: one request at a time. A newer one takes over only when the one before has
// ended, so that two never write to the session at once.

/** That a newer request has taken the session over, or ended it. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/** One request's hold of the session. */
export class Hold {
  readonly #controller = new AbortController()
  readonly #ended = Promise.withResolvers<void>()
  #hasEnded = false

  /** Aborted when the hold is interrupted. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether nothing may be written any more. */
  get isInterrupted(): boolean {
    return this.#controller.signal.aborted
  }

  /** Whether its holder has let go. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Resolves when its holder has let go. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** To be called after every wait, before anything is written. @throws {Interrupted} */
  check(): void {
    if (this.isInterrupted) throw new Interrupted('another request has taken the upload over')
  }

  /** Tells the holder to write nothing more. */
  interrupt(): void {
    this.#controller.abort(new Interrupted('another request has taken the upload over'))
  }

  /** Lets go: nothing that this holder began is under way any more. */
  end(): void {
    this.#hasEnded = true
    this.#ended.resolve()
  }
}

/** The holds of one session, in the order in which they were asked for. */
export class Holds {
  #latest: Hold | undefined

  /** Whether somebody holds the session, or waits for it. */
  get isHeld(): boolean {
    return this.#latest !== undefined && !this.#latest.hasEnded
  }

  /** Tells whoever holds the session to write nothing more, at once. */
  interrupt(): void {
    this.#latest?.interrupt()
  }

  /**
   * Interrupts the present holder and resolves when it has let go. `superseded`: somebody newer has come meanwhile;
   * `late`: it has not let go within `patience` milliseconds, since storage stands still. Whoever gets a hold must
   * end it.
   */
  async take(patience: number = Infinity): Promise<Hold | 'superseded' | 'late'> {
    const hold = new Hold()
    const before = this.#latest
    this.#latest = hold
    before?.interrupt()
    if (before !== undefined && !(await isWithin(before.ended, patience))) {
      // Whoever comes next still waits for the one before.
      void before.ended.then(() => hold.end())
      return 'late'
    }
    if (!hold.isInterrupted) return hold
    hold.end()
    return 'superseded'
  }
}

/** Whether something ends so soon (milliseconds). @throws when it fails in that time. */
export async function isWithin(ending: Promise<unknown>, patience: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = patience === Infinity ? null : setTimeout(() => resolve(false), patience)
  try {
    return await Promise.race([ending.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
