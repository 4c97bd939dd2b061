// `entrepot upstreams`: how every upstream stands, a line for each of its logins.

import type { Answer } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import { formatTime } from './quantity.ts'
import { formatTable } from './table.ts'

/**
 * Asks, and prints it.
 * @throws {ArgumentError | Failure}
 */
export async function runUpstreams(registry: RegistryArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  const answer = await client.ask({ method: 'GET', path: 'upstreams' })
  const rows = answer.list('upstreams').flatMap(rowsOf)
  const head = ['host', 'login', 'budget', 'state', 'next attempt', 'last error']
  printOutcome({ json: answer.json, text: formatTable([head, ...rows]) }, registry.isJSON)
  return EXIT.fine
}

function rowsOf(upstream: Answer): readonly (readonly string[])[] {
  return upstream
    .list('gates')
    .map((gate) => [
      upstream.text('host'),
      loginOf(gate),
      budgetOf(gate),
      stateOf(upstream, gate),
      formatTime(gate.optionalText('nextAttempt')),
      errorOf(gate),
    ])
}

/** Those of the configuration have numbers. */
function loginOf(gate: Answer): string {
  const number = gate.optionalNumber('credential')
  return number === undefined ? 'nobody' : `login ${number + 1}`
}

function budgetOf(gate: Answer): string {
  const budget = gate.optionalMember('budget')
  return budget === undefined ? '-' : `${budget.number('remaining')} of ${budget.number('limit')}`
}

function stateOf(upstream: Answer, gate: Answer): string {
  if (upstream.isTrue('paused')) return 'paused'
  if (gate.optionalText('limitedUntil') !== undefined) return 'limited'
  return gate.optionalText('restingUntil') === undefined ? 'well' : 'rests'
}

function errorOf(gate: Answer): string {
  const error = gate.optionalMember('lastError')
  if (error === undefined) return '-'
  return `${formatTime(error.text('at'))} ${error.optionalText('reason') ?? ''}`.trim()
}
