// `entrepot storage`: how much is mirrored, and how much may be.

import type { Answer } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import { formatBytes, formatTime } from './quantity.ts'
import { formatTable } from './table.ts'

/**
 * Asks, and prints it.
 * @throws {ArgumentError | Failure}
 */
export async function runStorage(registry: RegistryArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  const answer = await client.ask({ method: 'GET', path: 'storage' })
  printOutcome({ json: answer.json, text: formatStorage(answer) }, registry.isJSON)
  return EXIT.fine
}

function formatStorage(answer: Answer): string {
  const measuredAt = answer.optionalText('measuredAt')
  if (measuredAt === undefined) return 'Nobody has measured yet: entrepot collect --dry-run does.'
  const target = answer.optionalNumber('target')
  const low = answer.optionalNumber('low')
  const facts = [
    ['measured', formatTime(measuredAt)],
    ['mirrored', formatBytes(answer.number('bytes'))],
    ['target', target === undefined ? '-' : formatBytes(target)],
    ['low', low === undefined ? '-' : formatBytes(low)],
  ]
  const rows = answer
    .list('hosts')
    .map((each) => [
      each.text('host'),
      formatBytes(each.number('bytes')),
      String(each.number('objects')),
    ])
  return `${formatTable(facts)}\n\n${formatTable([['host', 'size', 'objects'], ...rows])}`
}
