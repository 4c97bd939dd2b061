// `GET /_/upstreams`, and `/_/api/upstreams`, which is the same: how every upstream stands, for whoever operates this
// registry.

import type { GateName, GateStatus } from '../upstream/gate.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { show, timestamp } from './admin.ts'
import type { Call, Route } from './admin.ts'
import type { Visit } from './authenticate.ts'
import { requireAdministrator } from './authorize.ts'

/** Of upstreams. */
export const UPSTREAM_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/upstreams$/,
    endpoint: 'upstreams',
    methods: { GET: listUpstreams, HEAD: listUpstreams },
  },
]

/**
 * Answers GET with each upstream and alternate, and of each of its credentials, and of nobody, the budget, the
 * last error and when it may be asked again. Times are RFC 3339; secrets are not in it.
 * @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`.
 */
export async function getUpstreams(visit: Visit): Promise<Response> {
  await requireAdministrator(visit)
  return show(visit, 200, await describeUpstreams(visit))
}

async function listUpstreams({ visit }: Call): Promise<Response> {
  return show(visit, 200, await describeUpstreams(visit))
}

async function describeUpstreams({ services }: Visit): Promise<object> {
  const { mirror, access } = services
  const { paused } = await access.switches()
  const describe = async (endpoint: Upstream): Promise<object> => ({
    host: endpoint.host,
    url: endpoint.url,
    isAlternate: endpoint.name !== endpoint.host,
    private: endpoint.privacy,
    paused: paused.includes(endpoint.host),
    gates: (await mirror.gateStatuses(endpoint)).map(describeGate),
  })
  return { upstreams: await Promise.all(mirror.endpoints().map(describe)) }
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
