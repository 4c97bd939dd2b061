// What the hours of the meter add up to: the last 24 of them, and the last 30 days.

import type { Hour } from '../../meter/meter.ts'
import { NO_SUMS } from '../../meter/tally.ts'
import type { Sums } from '../../meter/tally.ts'
import { formatDay, formatHour } from './format.ts'

const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR

/** An hour or a day, also one in which nothing happened. */
export interface Bucket {
  /** When it begins (milliseconds). */
  readonly at: number
  /** Which it is. */
  readonly name: string
  /** What stands below it on an axis, where something does. */
  readonly tick: string | undefined
  readonly sums: Sums
}

/** The last 24 hours, the one that runs included; the oldest first. */
export function lastHours(hours: readonly Hour[], now: number): readonly Bucket[] {
  return bucketsOf(hours, { now, size: HOUR, count: 24 }, (at) => ({
    name: `${formatDay(at)}, ${formatHour(at)}`,
    tick: hourTick(at),
  }))
}

/** The last 30 days, today included; the oldest first. */
export function lastDays(hours: readonly Hour[], now: number): readonly Bucket[] {
  const today = Math.floor(now / DAY)
  return bucketsOf(hours, { now, size: DAY, count: 30 }, (at) => ({
    name: formatDay(at),
    tick: (today - at / DAY) % 7 === 0 ? formatDay(at) : undefined,
  }))
}

/** All of it. */
export function sumOf(buckets: readonly Bucket[]): Sums {
  return addUp(buckets.map(({ sums }) => sums))
}

/** The share of mirrored manifests and blobs that came from the cache; `undefined`: there were none. */
export function hitRateOf({ hits, misses }: Sums): number | undefined {
  return hits + misses === 0 ? undefined : hits / (hits + misses)
}

/** The mirrored manifests and blobs that clients got for each request to an upstream; `undefined`: there was none of either. */
export function servedPerRequest({ hits, misses, upstreamRequests }: Sums): number | undefined {
  const served = hits + misses
  return served === 0 || upstreamRequests === 0 ? undefined : served / upstreamRequests
}

function bucketsOf(
  hours: readonly Hour[],
  { now, size, count }: { readonly now: number; readonly size: number; readonly count: number },
  describe: (at: number) => Pick<Bucket, 'name' | 'tick'>,
): readonly Bucket[] {
  const last = Math.floor(now / size)
  const byBucket = Map.groupBy(hours, ({ at }) => Math.floor(at / size))
  return Array.from({ length: count }, (_, index) => {
    const bucket = last - count + 1 + index
    const at = bucket * size
    const sums = addUp((byBucket.get(bucket) ?? []).map((hour) => hour.sums))
    return { at, ...describe(at), sums }
  })
}

function hourTick(at: number): string | undefined {
  const hour = (at / HOUR) % 24
  if (hour % 6 !== 0) return undefined
  return hour === 0 ? formatDay(at) : formatHour(at)
}

function addUp(all: readonly Sums[]): Sums {
  const total: { -readonly [Name in keyof Sums]: number } = { ...NO_SUMS }
  // Its keys are those of the sums.
  for (const name of Object.keys(NO_SUMS) as (keyof Sums)[]) {
    for (const sums of all) total[name] += sums[name]
  }
  return total
}
