// `GET /_/upstreams`: how every upstream stands, for whoever operates this registry.

import { HEADER } from '../oci/header.ts'
import type { GateName, GateStatus } from '../upstream/gate.ts'
import type { Visit } from './authenticate.ts'
import { requireAdministrator } from './authorize.ts'
import { respond } from './exchange.ts'

/**
 * Answers GET with each upstream and alternate, and of each of its credentials, and of nobody, the budget, the
 * last error and when it may be asked again. Times are RFC 3339; secrets are not in it.
 * @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`.
 */
export async function getUpstreams(visit: Visit): Promise<Response> {
  await requireAdministrator(visit)
  const { exchange, services } = visit
  const { paused } = await services.access.switches()
  const upstreams = await Promise.all(
    services.endpoints().map(async (endpoint) => ({
      host: endpoint.host,
      url: endpoint.url,
      paused: paused.includes(endpoint.host),
      gates: (await services.gateStatuses(endpoint)).map(describeGate),
    })),
  )
  const headers = { [HEADER.contentType]: 'application/json', [HEADER.cacheControl]: 'no-store' }
  return respond(exchange, { status: 200, headers, body: JSON.stringify({ upstreams }) })
}

function describeGate({ credential, budget, lastError, ...times }: GateName & GateStatus): object {
  return {
    credential: positionOf(credential),
    budget: budget && { ...budget, window: budget.window / 1000, at: timestamp(budget.at) },
    limitedUntil: timestamp(times.limitedUntil),
    restingUntil: timestamp(times.restingUntil),
    nextAttempt: timestamp(times.nextAttempt),
    lastError: lastError && { ...lastError, at: timestamp(lastError.at) },
  }
}

/**
 * Which of the configured credentials, counted from 0; `null` for nobody. The rest of an id is a hash of the
 * password, which whoever guesses passwords could use.
 */
export function positionOf(credential: string | undefined): number | null {
  return credential === undefined ? null : Number(credential.split('-')[0])
}

function timestamp(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString()
}
