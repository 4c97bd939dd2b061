// `entrepot refresh`: what tags are at their upstream now.

import type { Answer } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import type { RefreshArguments } from './refresh-arguments.ts'
import { plain } from './table.ts'

/** What leaves a tag as it was, since its upstream could not be asked or gave no answer. */
const UNDONE = ['stale', 'failed', 'skipped']

/**
 * Asks, and prints what each tag was and is. A failure is also that the upstream has not said it of all.
 * @throws {ArgumentError | Failure}
 */
export async function runRefresh({ image, ...registry }: RefreshArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  const answer = await client.ask({ method: 'POST', path: 'refresh', body: { image } })
  const tags = answer.json['refreshed'] === undefined ? [answer] : answer.list('refreshed')
  const text = tags.map(formatRefreshed).join('\n')
  printOutcome({ json: answer.json, text }, registry.isJSON)
  return tags.some(isUndone) ? EXIT.failed : EXIT.fine
}

function formatRefreshed(tag: Answer): string {
  const before = tag.optionalText('before')
  const digest = tag.optionalText('digest')
  const why = tag.optionalText('error') ?? tag.optionalText('warning')
  const lines = [
    `${tag.text('image')}: ${tag.text('outcome')}${why === undefined ? '' : ` (${why})`}`,
    ...(before === undefined || before === digest ? [] : [`  before  ${before}`]),
    ...(digest === undefined ? [] : [`  now     ${digest}`]),
  ]
  return lines.map(plainIndented).join('\n')
}

function isUndone(tag: Answer): boolean {
  return UNDONE.includes(tag.text('outcome'))
}

/** Without what a terminal would obey, and with the spaces that it begins with. */
function plainIndented(line: string): string {
  return `${/^ */.exec(line)?.[0] ?? ''}${plain(line)}`
}
