// `GET /metrics`: what this deployment has counted and how its upstreams stand, as Prometheus reads it.

import { HEADER } from '../oci/header.ts'
import { RegistryError } from '../oci/error.ts'
import { formatSeries, seriesOf } from '../meter/series.ts'
import type { Series } from '../meter/series.ts'
import type { ByteSource } from '../meter/tally.ts'
import type { Services } from '../services.ts'
import type { GateStatus } from '../upstream/gate.ts'
import type { Visit } from './authenticate.ts'
import { requireAdministrator } from './authorize.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { positionOf } from './upstreams.ts'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Answers GET with every series.
 * @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`; 503 while the object that adds up is away.
 */
export async function getMetrics(visit: Visit): Promise<Response> {
  await requireAdministrator(visit)
  const { exchange, services } = visit
  const [totals, gauges] = await Promise.all([scrape(services), gaugesOf(services)])
  const since = { [seriesOf('entrepot_counting_since_timestamp_seconds')]: totals.since / 1000 }
  const body = formatSeries({ ...totals.series, ...gauges, ...since })
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

async function gaugesOf(services: Services): Promise<Series> {
  const shown = services.endpoints().map(async (endpoint) => {
    const statuses = await services.gateStatuses(endpoint)
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
