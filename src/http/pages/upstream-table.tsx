// How each upstream stands, for each login that it is asked with: its budget, when it may be asked again, and what went
// wrong last.

import type { Services } from '../../services.ts'
import type { GateName, GateStatus } from '../../upstream/gate.ts'
import { positionOf } from '../upstreams.ts'
import { Bar, Moment, Table } from './elements.tsx'
import { NOTHING, formatCount, formatDuration, formatShare } from './format.ts'
import { inTime } from '../../storage/in-time.ts'

/** Objects have so long (milliseconds). */
const WITHIN = 3000
/** Whatever failed longer ago is over (milliseconds). */
const RECENT = 10 * 60 * 1000
/** Of a budget, below which share it is low. */
const LOW = 0.25

/** One login to one upstream or alternate, or nobody's. */
export interface Standing {
  readonly name: string
  readonly isPaused: boolean
  /** Counted from 1; `undefined`: nobody's. */
  readonly login: number | undefined
  /** `undefined`: nobody knows now. */
  readonly gate: (GateName & GateStatus) | undefined
}

/** All of them. Never rejects. */
export async function standingsOf(
  { mirror }: Services,
  paused: readonly string[],
): Promise<readonly Standing[]> {
  const all = mirror.endpoints().map(async (endpoint) => {
    const of = { name: endpoint.name, isPaused: paused.includes(endpoint.host) }
    try {
      const gates = await inTime(mirror.gateStatuses(endpoint), WITHIN, 'a gate is late')
      // Where there is a login, nobody's is shown only if something is known of it.
      return gates
        .filter((gate) => gates.length === 1 || gate.credential !== undefined || isTouched(gate))
        .map((gate): Standing => ({ ...of, login: loginOf(gate), gate }))
    } catch {
      return [{ ...of, login: undefined, gate: undefined }]
    }
  })
  return (await Promise.all(all)).flat()
}

function isTouched({ budget, nextAttempt, lastError }: GateStatus): boolean {
  return budget !== undefined || nextAttempt !== undefined || lastError !== undefined
}

function loginOf({ credential }: GateName): number | undefined {
  const position = positionOf(credential)
  return position === null ? undefined : position + 1
}

/** Shows them. */
export function UpstreamTable({
  standings,
  now,
}: {
  readonly standings: readonly Standing[]
  readonly now: number
}) {
  if (standings.length === 0) return <p class="panel empty">No upstream is configured.</p>
  return (
    <Table
      label="Upstreams"
      columns={['Upstream', 'State', 'Budget', 'Next attempt', 'Last error'].map((name) => ({
        name,
      }))}
      rows={standings.map((standing) => [
        <>
          {standing.name}
          {standing.login !== undefined && <small> login {standing.login}</small>}
        </>,
        <State standing={standing} now={now} />,
        <BudgetCell budget={standing.gate?.budget} now={now} />,
        standing.gate?.nextAttempt === undefined ? (
          <span class="dim">now</span>
        ) : (
          <Moment at={standing.gate.nextAttempt} now={now} />
        ),
        <LastError error={standing.gate?.lastError} now={now} />,
      ])}
    />
  )
}

function State({ standing, now }: { readonly standing: Standing; readonly now: number }) {
  const { kind, text } = stateOf(standing, now)
  return <span class={`dot tight ${kind}`}>{text}</span>
}

function stateOf(
  { isPaused, gate }: Standing,
  now: number,
): { readonly kind: 'ok' | 'warn' | 'bad' | 'dim'; readonly text: string } {
  if (isPaused) return { kind: 'warn', text: 'Paused' }
  if (gate === undefined) return { kind: 'dim', text: 'Unknown' }
  if (gate.limitedUntil !== undefined) return { kind: 'bad', text: 'Limited' }
  if (gate.restingUntil !== undefined) return { kind: 'bad', text: 'Login refused' }
  if (gate.nextAttempt !== undefined) return { kind: 'warn', text: 'Waiting' }
  if (gate.lastError !== undefined && now - gate.lastError.at < RECENT) {
    return { kind: 'warn', text: 'Failing' }
  }
  return { kind: 'ok', text: 'Ready' }
}

function BudgetCell({
  budget,
  now,
}: {
  readonly budget: GateStatus['budget']
  readonly now: number
}) {
  if (budget === undefined) return <span class="dim">no limit told</span>
  const { limit, remaining, window, at } = budget
  const share = remaining / limit
  const level = remaining === 0 ? 'out' : share < LOW ? 'low' : 'one'
  return (
    <>
      <span class="tight">
        {formatCount(remaining)} of {formatCount(limit)} left
      </span>{' '}
      <small class="tight">
        per {formatDuration(window)}, {formatDuration(now - at)} ago
      </small>
      <Bar share={share} level={level} label={`${formatShare(share)} of the budget is left`} />
    </>
  )
}

function LastError({
  error,
  now,
}: {
  readonly error: GateStatus['lastError']
  readonly now: number
}) {
  if (error === undefined) return <span class="dim">{NOTHING}</span>
  return (
    <>
      {error.reason} <small>{<Moment at={error.at} now={now} />}</small>
    </>
  )
}
