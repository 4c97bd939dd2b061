// `entrepot switches`: what is switched, and switching it.

import type { Answer } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import { FLAGS } from './switches-arguments.ts'
import type { SwitchesAction, SwitchesArguments } from './switches-arguments.ts'
import { formatTable } from './table.ts'

/**
 * Does what was asked and prints how everything stands from then on.
 * @throws {ArgumentError | Failure}
 */
export async function runSwitches({ action, ...registry }: SwitchesArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  const answer = await run(client, action)
  printOutcome({ json: answer.json, text: formatSwitches(answer) }, registry.isJSON)
  return EXIT.fine
}

async function run(client: AdminClient, action: SwitchesAction): Promise<Answer> {
  const path = 'switches'
  switch (action.what) {
    case 'show':
      return client.ask({ method: 'GET', path })
    case 'set':
      return client.ask({ method: 'PATCH', path, body: { [action.name]: action.isOn } })
    case 'pause':
    case 'resume': {
      const paused = (await client.ask({ method: 'GET', path })).texts('paused')
      const others = paused.filter((host) => host !== action.host)
      const body = { paused: action.what === 'pause' ? [...others, action.host] : others }
      return client.ask({ method: 'PATCH', path, body })
    }
    default:
      return action satisfies never
  }
}

function formatSwitches(answer: Answer): string {
  const paused = answer.texts('paused')
  return formatTable([
    ...FLAGS.map((name) => [name, answer.isTrue(name) ? 'on' : 'off']),
    ['paused', paused.length === 0 ? '-' : paused.join(', ')],
  ])
}
