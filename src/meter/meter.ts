// What the one `Meter` object of a deployment keeps: the totals of every series, what each hour of the last 30 days
// brought, and which batch of each isolate came last, so that none is counted twice.

import type { Now } from '../seams.ts'
import type { Delivery } from './outbox.ts'
import type { Series } from './series.ts'
import type { StorageFigures } from './storage.ts'
import { NO_SUMS } from './tally.ts'
import type { Sums } from './tally.ts'

const HOUR = 60 * 60 * 1000
/** Hours that are kept. */
const MAX_HOURS = 30 * 24
/** The number of an isolate's last batch is remembered for so long; no isolate repeats one after an hour (milliseconds). */
const REMEMBER = 2 * HOUR
/** Series that are kept: many more than there are labels for. */
const MAX_SERIES = 10_000

const TOTALS = 'totals'
const HOURS = 'hour:'
const ISOLATES = 'isolate:'
const STORAGE = 'storage'

/** The storage of the object; `list` in the order of the keys. */
export interface MeterStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): void
  list(prefix: string): Iterable<[string, unknown]>
}

/** Everything since counting began (milliseconds). */
export interface Totals {
  readonly since: number
  readonly series: Series
}

/** What Prometheus is told. */
export interface Scrape extends Totals {
  readonly storage: StorageFigures | undefined
}

/** What was handed over in one hour, which begins at `at` (milliseconds). */
export interface Hour {
  readonly at: number
  readonly sums: Sums
}

interface LastBatch {
  readonly number: number
  readonly at: number
}

/** Totals of a deployment. Each method is of one moment: nothing is awaited. */
export class Meter {
  readonly #storage: MeterStorage
  readonly #now: Now
  #totals: Totals | undefined

  constructor({ storage, now }: { readonly storage: MeterStorage; readonly now: Now }) {
    this.#storage = storage
    this.#now = now
  }

  /** Adds what is new in a delivery. */
  handOver({ isolate, batches }: Delivery): void {
    const key = `${ISOLATES}${isolate}`
    const last = this.#storage.get(key) as LastBatch | undefined
    const fresh = batches.filter(({ number }) => number > (last?.number ?? 0))
    const newest = fresh.at(-1)
    if (newest === undefined) return
    const { since, series } = this.#read()
    const sum: Record<string, number> = { ...series }
    for (const batch of fresh) add(sum, batch.series)
    this.#totals = { since, series: sum }
    this.#storage.put(TOTALS, this.#totals)
    this.#addToHour(fresh.map(({ sums }) => sums))
    this.#storage.put(key, { number: newest.number, at: this.#now() } satisfies LastBatch)
  }

  /** The totals, those of a delivery included, and how much is mirrored. */
  scrape(delivery: Delivery): Scrape {
    this.handOver(delivery)
    return { ...this.#read(), storage: this.storage() }
  }

  /** The hours in which something was handed over, oldest first. */
  hours(): readonly Hour[] {
    const first = hourOf(this.#now()) - MAX_HOURS
    return Array.from(this.#storage.list(HOURS), ([key, value]): [number, Sums] => [
      Number(key.slice(HOURS.length)),
      value as Sums,
    ])
      .filter(([hour]) => hour > first)
      .map(([hour, sums]) => ({ at: hour * HOUR, sums: { ...NO_SUMS, ...sums } }))
  }

  /** Keeps the figures of a measurement, unless newer ones are known. */
  measured(figures: StorageFigures): void {
    if (figures.at >= (this.storage()?.at ?? 0)) this.#storage.put(STORAGE, figures)
  }

  /** The newest figures; `undefined`: nobody has measured yet. */
  storage(): StorageFigures | undefined {
    return this.#storage.get(STORAGE) as StorageFigures | undefined
  }

  #read(): Totals {
    this.#totals ??= this.#storage.get(TOTALS) as Totals | undefined
    return this.#totals ?? { since: this.#now(), series: {} }
  }

  #addToHour(all: readonly Sums[]): void {
    const hour = hourOf(this.#now())
    const key = hourKey(hour)
    const known = this.#storage.get(key) as Sums | undefined
    if (known === undefined) this.#forget(hour)
    const sums: Record<string, number> = { ...NO_SUMS, ...known }
    for (const each of all) add(sums, { ...each })
    this.#storage.put(key, sums)
  }

  /** Once an hour, what is too old. */
  #forget(hour: number): void {
    const first = hourKey(hour - MAX_HOURS)
    const hours = Array.from(this.#storage.list(HOURS), ([key]) => key)
    const isolates = Array.from(this.#storage.list(ISOLATES), ([key, last]) => ({
      key,
      at: (last as LastBatch).at,
    }))
    const before = this.#now() - REMEMBER
    const old = [
      ...hours.filter((key) => key <= first),
      ...isolates.filter(({ at }) => at < before).map(({ key }) => key),
    ]
    for (const key of old) this.#storage.delete(key)
  }
}

function add(sum: Record<string, number>, series: Series): void {
  let size = Object.keys(sum).length
  for (const [called, value] of Object.entries(series)) {
    const known = sum[called]
    if (known === undefined && size >= MAX_SERIES) continue
    if (known === undefined) size += 1
    sum[called] = (known ?? 0) + value
  }
}

function hourOf(milliseconds: number): number {
  return Math.floor(milliseconds / HOUR)
}

/** In the order of time. */
function hourKey(hour: number): string {
  return `${HOURS}${String(hour).padStart(9, '0')}`
}
