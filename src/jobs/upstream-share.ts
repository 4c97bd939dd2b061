// What a job may ask of an upstream, so that clients have the most of it: nothing while that is switched off or the
// upstream limits us, and never the last quarter of a budget.

import { contactOf } from '../auth/switches.ts'
import type { Contact, Switches } from '../auth/switches.ts'
import type { Now } from '../seams.ts'
import type { GateName, GateStatus } from '../upstream/gate.ts'

/** The share of a budget that is left to clients. */
const CLIENTS = 1 / 4
/** How a budget or a switch stands is looked at again after so long at the latest (milliseconds). */
const LOOK_AGAIN = 10 * 60 * 1000
const SWITCHED_WAIT = 60_000

/** That nothing is asked before a time (milliseconds), and why. */
export interface Hold {
  readonly until: number
  readonly why: string
}

/** What asking an upstream needs. */
export interface UpstreamShareGiven {
  /** What is switched. Never rejects. */
  readonly switches: () => Promise<Switches>
  /** How the gates of a host stand. Never rejects. */
  readonly gates: (host: string) => Promise<readonly (Pick<GateName, 'credential'> & GateStatus)[]>
  readonly now: Now
}

/** The share of jobs in what upstreams may be asked. */
export class UpstreamShare {
  readonly #given: UpstreamShareGiven

  constructor(given: UpstreamShareGiven) {
    this.#given = given
  }

  /** What the upstream of a host may be asked for at all. Never rejects. */
  async contact(host: string): Promise<Contact> {
    return contactOf(await this.#given.switches(), host)
  }

  /** Why nothing is asked now, of a kind that a budget counts or of one that is free; `undefined`: it may be. */
  async hold(host: string, purpose: 'counted' | 'free'): Promise<Hold | undefined> {
    const { switches, gates, now } = this.#given
    const why = closedBy(await switches(), host)
    if (why !== undefined) return { until: now() + SWITCHED_WAIT, why }
    const all = await gates(host)
    // One that was refused is passed over, as for clients; nobody is asked for only without any other.
    const own = all.filter(
      ({ credential, restingUntil }) => credential !== undefined && restingUntil === undefined,
    )
    const asked = own.length > 0 ? own : all.filter(({ credential }) => credential === undefined)
    const holds = asked.map((gate) => holdOf(host, gate, { purpose, now: now() }))
    if (holds.length === 0 || holds.includes(undefined)) return undefined
    return holds.reduce((one, other) => ((one?.until ?? 0) <= (other?.until ?? 0) ? one : other))
  }
}

/** By which switches the upstream of a host is asked for nothing, in words; `undefined`: it may be asked. */
export function closedBy(
  { noFills, paused }: Pick<Switches, 'noFills' | 'paused'>,
  host: string,
): string | undefined {
  const switched = [
    ...(paused.includes(host) ? ['it is paused'] : []),
    ...(noFills ? ['noFills is on'] : []),
  ]
  return switched.length === 0 ? undefined : `${host} is not asked now: ${switched.join(', and ')}`
}

function holdOf(
  host: string,
  { limitedUntil, budget }: GateStatus,
  { purpose, now }: { readonly purpose: 'counted' | 'free'; readonly now: number },
): Hold | undefined {
  if (limitedUntil !== undefined) return { until: limitedUntil, why: `${host} limits requests` }
  if (purpose === 'free' || budget === undefined) return undefined
  const { limit, remaining, at, window } = budget
  if (remaining - 1 >= limit * CLIENTS) return undefined
  const why = `${remaining} of ${limit} requests to ${host} are left, which are kept for clients`
  return { until: Math.min(at + window, now + LOOK_AGAIN), why }
}
