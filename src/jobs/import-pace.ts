// How an import goes on within one step: until its time is over, while nobody has ended the job and hosted
// repositories may be changed, and with a few things under way at once. What stops it is thrown as one of three.

import type { Now } from '../seams.ts'

/** While hosted repositories may not be changed, that is looked at again after so long (milliseconds). */
const READ_ONLY_WAIT = 60_000

/**
 * Things that one step fetches or looks for. Each takes some questions to objects, storage and the source, of which the
 * platform allows one invocation 10 000.
 */
const MAX_WORK = 200

/** That something can never be imported, whoever asks how often. The message is for people. */
export class ItemFailure extends Error {
  override readonly name = 'ItemFailure'
}

/** That the step is over; what is half done is continued by the next one. */
export class StepOver extends Error {
  override readonly name = 'StepOver'
}

/** That nothing at all can go on before a time (milliseconds). */
export class Halt extends Error {
  override readonly name = 'Halt'
  readonly until: number

  constructor(until: number, why: string) {
    super(why)
    this.until = until
  }
}

/** What a pace is given; `until` is when the step should be over (milliseconds of the clock). */
export interface PaceGiven {
  readonly until: number
  readonly isCancelled: () => boolean
  readonly isReadOnly: () => Promise<boolean>
  readonly now: Now
}

/** Says whether to begin something new. */
export class Pace {
  readonly #given: PaceGiven
  #left = MAX_WORK

  constructor(given: PaceGiven) {
    this.#given = given
  }

  /** When the step should be over (milliseconds of the clock). */
  get until(): number {
    return this.#given.until
  }

  /** To be called in the middle of long work. @throws {StepOver} after `until`, or when the job has been ended. */
  checkTime(until: number): void {
    const { isCancelled, now } = this.#given
    if (isCancelled() || now() >= until) throw new StepOver('the step is over')
  }

  /** The same, and it counts: to be called before something is fetched or looked for. @throws {StepOver | Halt} */
  async spend(): Promise<void> {
    await this.check()
    if (this.#left === 0) throw new StepOver('the step has done enough')
    this.#left -= 1
  }

  /** To be called before anything new. @throws {StepOver | Halt} */
  async check(): Promise<void> {
    const { isReadOnly, now, until } = this.#given
    this.checkTime(until)
    if (!(await isReadOnly())) return
    throw new Halt(now() + READ_ONLY_WAIT, 'hosted repositories are read-only')
  }
}

/** Lets so many work at once; the others wait for their turn. */
export class Lanes {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  /** Does the work when there is a lane. */
  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }
}

/** Waits for all, whatever becomes of some. @throws what can never succeed first, else the first failure. */
export async function settleAll<Value>(works: readonly Promise<Value>[]): Promise<Value[]> {
  const results = await Promise.allSettled(works)
  const failures = results.flatMap((each) => (each.status === 'rejected' ? [each] : []))
  const gravest = failures.find(({ reason }) => reason instanceof ItemFailure) ?? failures[0]
  if (gravest !== undefined) throw gravest.reason
  return results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}
