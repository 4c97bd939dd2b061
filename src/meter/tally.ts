// What one isolate has counted since it last handed over. Counting a request is arithmetic on an index: names of
// series are made when the counts are taken.

import { seriesOf } from './series.ts'
import type { MetricName, Series } from './series.ts'

const KINDS = ['none', 'mirrored', 'hosted'] as const
const OUTCOMES = ['none', 'hit', 'miss', 'stale', 'fill', 'direct'] as const
const CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
const SOURCES = ['cache', 'upstream', 'store', 'redirect'] as const

const KIND = { none: 0, mirrored: 1, hosted: 2 } as const
const OUTCOME = { none: 0, hit: 1, miss: 2, stale: 3, fill: 4, direct: 5 } as const
const SOURCE = { cache: 0, upstream: 1, store: 2, redirect: 3 } as const

/** A request that was answered. */
export interface CountedRequest {
  /** A word of ours. */
  readonly endpoint: string
  readonly kind: (typeof KINDS)[number]
  readonly outcome: (typeof OUTCOMES)[number]
  readonly status: number
}

/** Where a client has bytes from: the cache, the upstream behind it, what is hosted here, or storage itself. */
export type ByteSource = (typeof SOURCES)[number]

/** How a fill ended. */
export type FillResult = 'stored' | 'absent' | 'failed'

/**
 * The same in a few numbers, for plots: `hits` and `misses` are mirrored manifests and blobs that were answered
 * from the cache, stale ones included, and from the upstream; bytes are of mirrored content.
 */
export interface Sums {
  readonly requests: number
  readonly errors: number
  readonly hits: number
  readonly misses: number
  /** Sent from the cache, or from storage by a redirect. */
  readonly cachedBytes: number
  /** Sent while they came from the upstream. */
  readonly passedBytes: number
  /** Read from upstreams. */
  readonly readBytes: number
  readonly upstreamRequests: number
  readonly fillsStored: number
  readonly fillsFailed: number
}

/** Nothing. */
export const NO_SUMS: Sums = {
  requests: 0,
  errors: 0,
  hits: 0,
  misses: 0,
  cachedBytes: 0,
  passedBytes: 0,
  readBytes: 0,
  upstreamRequests: 0,
  fillsStored: 0,
  fillsFailed: 0,
}

/** Counts. */
export class Tally {
  /** By endpoint: one number for each kind, outcome and class. */
  readonly #requests = new Map<string, Float64Array>()
  /** One number for each kind and source. */
  readonly #sent = new Float64Array(KINDS.length * SOURCES.length)
  readonly #redirects = new Float64Array(KINDS.length)
  readonly #read = new Map<string, number>()
  /** What happens less often. */
  readonly #rare = new Map<string, number>()
  #sums: { -readonly [Name in keyof Sums]: number } = { ...NO_SUMS }

  /** A request was answered. */
  request({ endpoint, kind, outcome, status }: CountedRequest): void {
    let counts = this.#requests.get(endpoint)
    if (counts === undefined) {
      counts = new Float64Array(KINDS.length * OUTCOMES.length * CLASSES.length)
      this.#requests.set(endpoint, counts)
    }
    const row = KIND[kind] * OUTCOMES.length + OUTCOME[outcome]
    increase(counts, row * CLASSES.length + classOf(status), 1)
    this.#sums.requests += 1
    if (status >= 500) this.#sums.errors += 1
    if (kind !== 'mirrored' || status >= 400) return
    if (outcome === 'hit' || outcome === 'stale') this.#sums.hits += 1
    else if (outcome !== 'none') this.#sums.misses += 1
  }

  /** An answer announced so many bytes. */
  sent(kind: 'mirrored' | 'hosted', from: ByteSource, bytes: number): void {
    increase(this.#sent, KIND[kind] * SOURCES.length + SOURCE[from], bytes)
    if (from === 'redirect') increase(this.#redirects, KIND[kind], 1)
    if (kind === 'hosted') return
    if (from === 'upstream') this.#sums.passedBytes += bytes
    else this.#sums.cachedBytes += bytes
  }

  /** A request was answered with an error of this code. */
  error(code: string): void {
    this.#count('entrepot_errors_total', code)
  }

  /** An upstream was asked; without a status it did not answer. */
  asked(upstream: string, status: number | undefined): void {
    this.#sums.upstreamRequests += 1
    const shown = status === 429 ? '429' : CLASSES[classOf(status ?? 0)]
    this.#count('entrepot_upstream_requests_total', upstream, shown ?? 'none')
  }

  /** So many bytes came from an upstream. */
  read(upstream: string, bytes: number): void {
    this.#sums.readBytes += bytes
    this.#read.set(upstream, (this.#read.get(upstream) ?? 0) + bytes)
  }

  /** A fill has begun. */
  fillStarted(upstream: string): void {
    this.#count('entrepot_fills_started_total', upstream)
  }

  /** A fill has ended. */
  fillEnded(upstream: string, result: FillResult): void {
    if (result === 'stored') this.#sums.fillsStored += 1
    if (result === 'failed') this.#sums.fillsFailed += 1
    this.#count('entrepot_fills_ended_total', upstream, result)
  }

  /** A job has ended. */
  jobEnded(kind: string, state: string): void {
    this.#count('entrepot_jobs_ended_total', kind, state)
  }

  /** Takes everything out; `undefined` where there is nothing. */
  take(): { readonly series: Series; readonly sums: Sums } | undefined {
    const series: Record<string, number> = Object.fromEntries(this.#rare)
    for (const [endpoint, counts] of this.#requests) takeRequests(endpoint, counts, series)
    takeOf(this.#sent, (index) => sentSeries(index), series)
    takeOf(this.#redirects, (index) => redirectSeries(index), series)
    for (const [upstream, bytes] of this.#read) {
      series[seriesOf('entrepot_upstream_read_bytes_total', upstream)] = bytes
    }
    const sums = this.#sums
    this.#rare.clear()
    this.#read.clear()
    this.#sums = { ...NO_SUMS }
    return Object.keys(series).length === 0 ? undefined : { series, sums }
  }

  #count(name: MetricName, ...values: readonly string[]): void {
    const called = seriesOf(name, ...values)
    this.#rare.set(called, (this.#rare.get(called) ?? 0) + 1)
  }
}

function takeRequests(endpoint: string, counts: Float64Array, into: Record<string, number>): void {
  const called = (index: number): string => {
    const row = Math.floor(index / CLASSES.length)
    const kind = KINDS[Math.floor(row / OUTCOMES.length)] ?? ''
    const outcome = OUTCOMES[row % OUTCOMES.length] ?? ''
    const status = CLASSES[index % CLASSES.length] ?? ''
    return seriesOf('entrepot_requests_total', endpoint, kind, outcome, status)
  }
  takeOf(counts, called, into)
}

function sentSeries(index: number): string {
  const kind = KINDS[Math.floor(index / SOURCES.length)] ?? ''
  return seriesOf('entrepot_sent_bytes_total', kind, SOURCES[index % SOURCES.length] ?? '')
}

function redirectSeries(index: number): string {
  return seriesOf('entrepot_redirects_total', KINDS[index] ?? '')
}

function takeOf(
  counts: Float64Array,
  called: (index: number) => string,
  into: Record<string, number>,
): void {
  counts.forEach((count, index) => {
    if (count > 0) into[called(index)] = count
  })
  counts.fill(0)
}

function increase(counts: Float64Array, index: number, by: number): void {
  counts[index] = (counts[index] ?? 0) + by
}

function classOf(status: number): number {
  return status >= 100 && status < 600 ? Math.floor(status / 100) : 0
}
