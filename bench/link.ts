// One link that all answers of the upstream share, as a real one's is: whoever sends takes its turn.

import { setTimeout as sleep } from 'node:timers/promises'

/** Turns may be made up for that a timer slept over (milliseconds). */
const SLACK = 50

/** A link of so many bytes per second, or without a limit. */
export class Link {
  /** Bytes per second; `undefined`: unlimited. */
  rate: number | undefined
  #free = 0

  /** Bytes in one turn: small ones on a slow link, so that nobody waits long for others. */
  get piece(): number {
    if (this.rate === undefined) return 1024 * 1024
    return Math.floor(Math.max(4096, Math.min(65_536, this.rate / 100)))
  }

  /** Resolves when `bytes` may go. */
  async take(bytes: number): Promise<void> {
    if (this.rate === undefined) return
    const now = performance.now()
    const start = Math.max(now - SLACK, this.#free)
    this.#free = start + (bytes / this.rate) * 1000
    if (start - now >= 1) await sleep(start - now)
  }
}
