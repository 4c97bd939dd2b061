// How the upstreams stand, as `/_/upstreams` tells an administrator: what is left of their budgets, and what they refuse.

import { checkAnswer, objectOf, printable } from './doctor-answer.ts'
import type { Answer } from './doctor-answer.ts'
import { fine, problem, unchecked, warning } from './doctor-finding.ts'
import type { Finding } from './doctor-finding.ts'

const CHECK = 'upstreams'
/** An error of longer ago says nothing of now (milliseconds). */
const RECENT = 15 * 60 * 1000
/** Below this share of a budget tags are checked less often. */
const LOW = 0.1

interface Gate {
  readonly credential?: number | null
  readonly budget?: { readonly limit: number; readonly remaining: number }
  readonly limitedUntil?: string
  readonly restingUntil?: string
  readonly lastError?: { readonly at: string; readonly reason: string }
}

interface Upstream {
  readonly host: string
  readonly gates: readonly Gate[]
}

/** Nobody asked, and why. */
export function uncheckedUpstreams(why: string): Finding {
  return unchecked(CHECK, why)
}

/** The hosts of the table. */
export function upstreamHosts(answer: Answer): readonly string[] {
  return readUpstreams(answer)?.map(({ host }) => host) ?? []
}

/** Diagnoses `GET /_/upstreams`, asked in somebody's name: a line for each that is limited, refuses or fails, else one for all. */
export function diagnoseUpstreams(answer: Answer, name: string, now: number): readonly Finding[] {
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return [problem(CHECK, trouble)]
  if (answered.status === 401)
    return [unchecked(CHECK, `${name} is no administrator (a grant of admin)`)]
  const upstreams = readUpstreams(answer)
  if (upstreams === undefined) {
    return [
      problem(CHECK, {
        says: `/_/upstreams is answered ${answered.status}`,
        advice: 'Look at the log of the registry (npx wrangler tail).',
      }),
    ]
  }
  const findings = upstreams.flatMap(({ host, gates }) =>
    gates.flatMap((gate) => diagnoseGate(host, gate, now)),
  )
  return findings.length > 0 ? findings : [fine(CHECK, summaryOf(upstreams))]
}

function diagnoseGate(host: string, gate: Gate, now: number): readonly Finding[] {
  const { credential, budget, limitedUntil, restingUntil, lastError } = gate
  const who = typeof credential === 'number' ? `${host} with login ${credential + 1}` : host
  if (isAhead(restingUntil, now)) {
    return [
      problem(CHECK, {
        says: `${who} is refused until ${restingUntil}`,
        advice:
          'Its token service does not take the login: correct it in UPSTREAM_CREDENTIALS. Docker Hub locks accounts that go on trying, so it rests.',
      }),
    ]
  }
  if (isAhead(limitedUntil, now)) {
    return [
      problem(CHECK, {
        says: `${who} is limited until ${limitedUntil}`,
        advice:
          'Only what is cached is served. A login in UPSTREAM_CREDENTIALS, or a second one, has a budget of its own.',
      }),
    ]
  }
  if (budget !== undefined && budget.remaining < budget.limit * LOW) {
    return [
      warning(CHECK, {
        says: `${who} has ${budget.remaining} of ${budget.limit} requests left`,
        advice:
          'Tags are checked less often until the window is over. Longer tagTTL or a second login spare it.',
      }),
    ]
  }
  if (lastError !== undefined && now - Date.parse(lastError.at) < RECENT) {
    return [
      warning(CHECK, {
        says: `${who} failed at ${lastError.at}: ${printable(lastError.reason)}`,
        advice: 'It is asked again when a client needs it; what is cached is served meanwhile.',
      }),
    ]
  }
  return []
}

function isAhead(time: string | undefined, now: number): time is string {
  return time !== undefined && Date.parse(time) > now
}

function summaryOf(upstreams: readonly Upstream[]): string {
  const budgets = upstreams.flatMap(({ host, gates }) =>
    gates.flatMap(({ budget }) =>
      budget === undefined ? [] : `${host} ${budget.remaining} of ${budget.limit} left`,
    ),
  )
  const count = `${upstreams.length} in the table, none limited or refusing`
  return budgets.length === 0 ? count : `${count}; ${budgets.join(', ')}`
}

function readUpstreams(answer: Answer): readonly Upstream[] | undefined {
  if (answer.kind === 'unanswered' || answer.status !== 200) return undefined
  const { upstreams } = objectOf(answer) ?? {}
  if (!Array.isArray(upstreams)) return undefined
  const isWell = upstreams.every(
    (each: unknown) =>
      typeof each === 'object' &&
      each !== null &&
      'host' in each &&
      typeof each.host === 'string' &&
      'gates' in each &&
      Array.isArray(each.gates),
  )
  return isWell ? (upstreams as readonly Upstream[]) : undefined
}
