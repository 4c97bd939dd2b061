// What is printed: a line for each check, a sentence for each that is not well, and never a secret.

import type { Finding } from './doctor-finding.ts'
import { formatTable } from './table.ts'

/** The findings for people. */
export function formatFindings(findings: readonly Finding[]): string {
  const table = formatTable(findings.map(({ state, check, says }) => [state, check, says]))
  const advice = findings.flatMap(({ state, check, says, advice: text }) =>
    text === undefined ? [] : [`${state}: ${check}: ${says}.\n  ${text}`],
  )
  return [table, ...advice, summaryOf(findings)].join('\n\n')
}

/** Whether anything does not work. */
export function hasProblem(findings: readonly Finding[]): boolean {
  return findings.some(({ state }) => state === 'problem')
}

function summaryOf(findings: readonly Finding[]): string {
  const states = ['problem', 'warning', 'not checked'] as const
  const counts = states.flatMap((state) => {
    const count = findings.filter((each) => each.state === state).length
    if (count === 0) return []
    return [`${count} ${state}${count > 1 && state !== 'not checked' ? 's' : ''}`]
  })
  return counts.length === 0 ? 'All is well.' : `${counts.join(', ')}.`
}

/**
 * The text without what was sent as a secret, in any form in which a server could have sent it back, without
 * tokens, and without the query of any URL.
 */
export function withoutSecrets(
  text: string,
  login: { readonly name: string; readonly secret: string } | undefined,
): string {
  const plain = text
    .replaceAll(/(https?:\/\/[^\s?"\\]*)\?[^\s"\\]*/g, '$1?…')
    .replaceAll(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '…')
  if (login === undefined) return plain
  const { name, secret } = login
  const forms = [
    Buffer.from(`${name}:${secret}`).toString('base64'),
    encodeURIComponent(secret),
    secret,
  ]
  return forms.reduce((left, form) => left.replaceAll(form, '…'), plain)
}
