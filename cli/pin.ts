// `entrepot pin`: what is never removed for room, and is refreshed before anybody asks.

import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import type { PinAction, PinArguments } from './pin-arguments.ts'
import { formatTime } from './quantity.ts'
import { formatTable, plain } from './table.ts'

/**
 * Does what was asked and prints what came of it.
 * @throws {ArgumentError | Failure}
 */
export async function runPin({ action, ...registry }: PinArguments): Promise<number> {
  printOutcome(await run(await AdminClient.of(registry), action), registry.isJSON)
  return EXIT.fine
}

async function run(client: AdminClient, action: PinAction): Promise<Outcome> {
  switch (action.what) {
    case 'add': {
      const { what: _, ...body } = action
      const answer = await client.ask({ method: 'PUT', path: 'pins', body })
      const job = answer.optionalText('job')
      const fetched = job === undefined ? '' : `; the job ${plain(job)} fetches it`
      return { json: answer.json, text: `${action.image} is pinned${fetched}` }
    }
    case 'remove': {
      const path = `pins?image=${encodeURIComponent(action.image)}`
      await client.ask({ method: 'DELETE', path })
      return { json: { image: action.image }, text: `${action.image} is pinned no more` }
    }
    case 'list':
      return list(client)
    default:
      return action satisfies never
  }
}

async function list(client: AdminClient): Promise<Outcome> {
  const answer = await client.ask({ method: 'GET', path: 'pins' })
  const pins = answer.list('pins')
  const rows = pins.map((pin) => [
    pin.text('image'),
    pin.texts('platforms').join(',') || 'all',
    pin.optionalText('by') || '-',
    formatTime(pin.optionalText('at')),
  ])
  const table = formatTable([['image', 'platforms', 'by', 'since'], ...rows])
  return { json: answer.json, text: pins.length === 0 ? 'Nothing is pinned.' : table }
}
