// What a month brings: sums of traffic by hour, in the form in which isolates hand them over, from figures that are drawn
// by chance but the same in every run. A mirror that fills up, days and nights, weekends, and one night without anybody.

import type { Delivery } from '../../src/meter/outbox.ts'
import { NO_SUMS } from '../../src/meter/tally.ts'

const HOUR = 3_600_000
const DAYS = 30
const MEBIBYTE = 1024 * 1024

/** A delivery, and when it was made (milliseconds). */
export interface PastDelivery {
  readonly at: number
  readonly delivery: Delivery
}

/** The hours before `now`, the oldest first. */
export function pastTraffic(now: number): readonly PastDelivery[] {
  const chance = chanceOf(7)
  const first = Math.floor(now / HOUR) - DAYS * 24 + 1
  return Array.from({ length: DAYS * 24 - 1 }, (_, index) => index + 1).flatMap((number) => {
    const at = (first + number) * HOUR - HOUR / 2
    const clients = clientsAt(new Date(at)) * (0.75 + chance() / 2)
    // A quiet night, once: maintenance.
    if (clients < 0.05 || (number > 500 && number < 506)) return []
    const pulls = Math.round(clients * 42)
    const age = number / (DAYS * 24)
    const rate = Math.min(0.82 + 0.16 * Math.sqrt(age) + (chance() - 0.6) * 0.03, 0.995)
    const hits = Math.round(pulls * 9 * rate)
    const misses = Math.round(pulls * 9 * (1 - rate))
    const sums = {
      ...NO_SUMS,
      requests: Math.round((hits + misses) * 1.14),
      hits,
      misses,
      cachedBytes: Math.round(hits * (6 + chance() * 3) * MEBIBYTE),
      passedBytes: Math.round(misses * (5 + chance() * 2) * MEBIBYTE),
      readBytes: Math.round(misses * 6.4 * MEBIBYTE),
      upstreamRequests: Math.round(misses * 1.15 + pulls * 0.06),
      fillsStored: Math.round(misses * 0.62),
      fillsFailed: chance() > 0.985 ? 1 : 0,
    }
    return [{ at, delivery: { isolate: 'past', batches: [{ number, series: {}, sums }] } }]
  })
}

/** From 0 to 1, by the hour and the day of the week. */
function clientsAt(at: Date): number {
  const isWeekend = [0, 6].includes(at.getUTCDay())
  const office = Math.exp(-(((at.getUTCHours() - 13) / 4.2) ** 2))
  return isWeekend ? 0.1 + office * 0.12 : 0.14 + office * 0.86
}

/** Numbers from 0 to 1 (mulberry32). */
export function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
