// How an isolate hands over what it has counted: in numbered batches that stay as they are until the meter has said
// that it has them, so that one whose answer was lost is sent again and counted once.

import type { Series } from './series.ts'
import type { Sums, Tally } from './tally.ts'

/** An isolate hands over no more often (milliseconds). */
const INTERVAL = 10_000
/** A batch that could not be handed over for so long is dropped: the meter may have forgotten its number (milliseconds). */
const GIVE_UP = 60 * 60 * 1000
/** Batches that wait; what is counted beyond them waits in the tally. */
const MAX_WAITING = 2

/** Counts that were taken together. */
export interface Batch {
  /** Greater than that of every earlier batch of the same isolate. */
  readonly number: number
  readonly series: Series
  readonly sums: Sums
}

/** Batches on their way to the meter, in their order. */
export interface Delivery {
  /** Names the isolate. */
  readonly isolate: string
  readonly batches: readonly Batch[]
}

/** The batches of one isolate. */
export class Outbox {
  readonly #tally: Tally
  #isolate: string | undefined
  #waiting: { readonly batch: Batch; readonly takenAt: number }[] = []
  #number = 0
  /** When a delivery was last sent; of a Worker also when it began, so that more than one request is in the first. */
  #sentAt: number | undefined

  constructor(tally: Tally) {
    this.#tally = tally
  }

  /** Whether it is time to hand over. An object does so at once: it may have nothing more to do. */
  isDue(now: number, by: 'worker' | 'object'): boolean {
    if (by === 'worker') this.#sentAt ??= now
    return this.#sentAt === undefined || now - this.#sentAt >= INTERVAL
  }

  /** All that is to be handed over, in a new batch and those that wait; `taken` is told of the new one. */
  take(now: number, taken: (sums: Sums) => void): Delivery {
    this.#sentAt = now
    this.#waiting = this.#waiting.filter(({ takenAt }) => now - takenAt < GIVE_UP)
    const counts = this.#waiting.length < MAX_WAITING ? this.#tally.take() : undefined
    if (counts !== undefined) {
      this.#number += 1
      this.#waiting.push({ batch: { number: this.#number, ...counts }, takenAt: now })
      taken(counts.sums)
    }
    this.#isolate ??= crypto.randomUUID()
    return { isolate: this.#isolate, batches: this.#waiting.map(({ batch }) => batch) }
  }

  /** The meter has these. */
  delivered({ batches }: Delivery): void {
    const last = batches.at(-1)?.number ?? 0
    this.#waiting = this.#waiting.filter(({ batch }) => batch.number > last)
  }
}
