// `GET /metrics`: what this deployment has counted and how its upstreams stand, as Prometheus reads it.

import { isOver } from '../jobs/job.ts'
import { HEADER } from '../oci/header.ts'
import { RegistryError } from '../oci/error.ts'
import { formatSeries, seriesOf } from '../meter/series.ts'
import type { Series } from '../meter/series.ts'
import { storageSeries } from '../meter/storage.ts'
import type { ByteSource } from '../meter/tally.ts'
import type { Services } from '../services.ts'
import type { GateStatus } from '../upstream/gate.ts'
import type { Visit } from './authenticate.ts'
import { requireAdministrator } from './authorize.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { positionOf } from './upstreams.ts'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
/** Jobs that are looked at. */
const NEWEST_JOBS = 100

/**
 * Answers GET with every series.
 * @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`; 503 while the object that adds up is away.
 */
export async function getMetrics(visit: Visit): Promise<Response> {
  await requireAdministrator(visit)
  const { exchange, services } = visit
  const [totals, gauges, jobs] = await Promise.all([
    scrape(services),
    gaugesOf(services),
    unfinishedJobs(services),
  ])
  const since = { [seriesOf('entrepot_counting_since_timestamp_seconds')]: totals.since / 1000 }
  const storage = storageSeries(totals.storage, services.config.storage?.target)
  const body = formatSeries({ ...totals.series, ...gauges, ...jobs, ...storage, ...since })
  return respond(exchange, { status: 200, headers: { [HEADER.contentType]: TEXT }, body })
}

/** Counts a request that has been answered. It is on the way of every warm one: arithmetic, and nothing else. */
export function countRequest({ meter }: Services, exchange: Exchange, status: number): void {
  const kind = exchange.address?.kind ?? 'none'
  // What is hosted is no cache.
  const outcome = kind === 'mirrored' ? (exchange.outcome ?? 'none') : 'none'
  meter.tally.request({ endpoint: exchange.endpoint, kind, outcome, status })
  if (kind !== 'none' && isContent(exchange)) countBytes(meter.tally, kind, exchange, status)
  meter.settle()
}

function isContent({ method, endpoint }: Exchange): boolean {
  return method === 'GET' && (endpoint === 'blob' || endpoint === 'manifest')
}

function countBytes(
  tally: Services['meter']['tally'],
  kind: 'mirrored' | 'hosted',
  exchange: Exchange,
  status: number,
): void {
  const { length = 0, outcome, redirected } = exchange
  if (status === 307) tally.sent(kind, 'redirect', redirected ?? 0)
  if (status === 200 || status === 206) tally.sent(kind, sourceOf(kind, outcome), length)
}

function sourceOf(kind: 'mirrored' | 'hosted', outcome: Exchange['outcome']): ByteSource {
  if (kind === 'hosted') return 'store'
  return outcome === 'hit' || outcome === 'stale' ? 'cache' : 'upstream'
}

async function scrape({ meter }: Services): ReturnType<Services['meter']['scrape']> {
  try {
    return await meter.scrape()
  } catch (cause) {
    throw new RegistryError('UNKNOWN', { status: 503, message: 'the meter is away', cause })
  }
}

/** How many jobs run and wait. What cannot be told now is left out: the rest is worth more than an error. */
async function unfinishedJobs({ jobs, seams }: Services): Promise<Series> {
  try {
    const counts: Record<string, number> = {}
    const { jobs: newest } = await jobs.list(NEWEST_JOBS)
    for (const { kind, state } of newest.filter((job) => !isOver(job.state))) {
      const series = seriesOf('entrepot_jobs_unfinished', kind, state)
      counts[series] = (counts[series] ?? 0) + 1
    }
    return counts
  } catch (error) {
    seams.log('jobs-away', { reason: String(error) })
    return {}
  }
}

async function gaugesOf(services: Services): Promise<Series> {
  const shown = services.mirror.endpoints().map(async (endpoint) => {
    const statuses = await services.mirror.gateStatuses(endpoint)
    return statuses.map(({ credential, ...status }) =>
      gaugesOfGate([endpoint.name, String(positionOf(credential) ?? 'none')], status),
    )
  })
  return Object.assign({}, ...(await Promise.all(shown)).flat())
}

function gaugesOfGate(
  labels: readonly string[],
  { budget, nextAttempt = 0, lastError }: GateStatus,
): Series {
  const next = seriesOf('entrepot_upstream_next_attempt_timestamp_seconds', ...labels)
  const failed = seriesOf('entrepot_upstream_last_error_timestamp_seconds', ...labels)
  return {
    ...(budget && {
      [seriesOf('entrepot_upstream_budget_limit', ...labels)]: budget.limit,
      [seriesOf('entrepot_upstream_budget_remaining', ...labels)]: budget.remaining,
    }),
    [next]: nextAttempt / 1000,
    [failed]: (lastError?.at ?? 0) / 1000,
  }
}
