// `entrepot account`: accounts and capabilities of a registry here or elsewhere, made and ended by its
// administrator.

import { createSecret, hashSecret } from '../src/auth/account.ts'
import type { AccountAction, AccountArguments } from './account-arguments.ts'
import type { Answer } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { printOutcome } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import { formatTable } from './table.ts'

/** Somebody who has just got a secret. */
interface Made {
  readonly name: string
  readonly kind: string
  readonly secret: string
}

/**
 * Does what was asked and prints what came of it.
 * @throws {Failure}
 */
export async function runAccount(args: AccountArguments): Promise<number> {
  printOutcome(await run(args), args.isJSON)
  return EXIT.fine
}

async function run({ action, ...registry }: AccountArguments): Promise<Outcome> {
  if (action.what === 'bootstrap') return bootstrap(action)
  const { url } = registry
  const client = await AdminClient.of(registry)
  switch (action.what) {
    case 'add': {
      const body = action.account
      return tell(parseMade(await client.ask({ method: 'POST', path: 'accounts', body })), url)
    }
    case 'rotate': {
      const path = `accounts/${action.name}/rotate`
      return tell(parseMade(await client.ask({ method: 'POST', path })), url)
    }
    case 'revoke': {
      const { name } = action
      await client.ask({ method: 'DELETE', path: `accounts/${name}` })
      return {
        json: { name },
        text: `${name} is revoked: all that it was used for ends within a minute`,
      }
    }
    case 'list': {
      const answer = await client.ask({ method: 'GET', path: 'accounts' })
      return { json: answer.json, text: formatAccounts(answer.list('accounts')) }
    }
    case 'audit': {
      const answer = await client.ask({ method: 'GET', path: 'audit' })
      return { json: answer.json, text: formatAudit(answer.list('audit')) }
    }
    default:
      return action satisfies never
  }
}

async function bootstrap({
  name,
  grants,
}: Extract<AccountAction, { readonly what: 'bootstrap' }>): Promise<Outcome> {
  const secret = createSecret()
  const accounts = JSON.stringify([{ name, secretHash: await hashSecret(secret), grants }])
  const text = [
    `The secret of ${name}, which is shown this once:`,
    '',
    secret,
    '',
    'The value of ACCOUNTS (npx wrangler secret put ACCOUNTS), which holds its hash only:',
    '',
    accounts,
  ]
  return { json: { name, secret, accounts }, text: text.join('\n') }
}

function parseMade(made: Answer): Made {
  return { name: made.text('name'), kind: made.text('kind'), secret: made.text('secret') }
}

function tell({ name, kind, secret }: Made, url: URL): Outcome {
  if (kind !== 'capability') {
    const text = [
      `The secret of ${name}, which is shown this once:`,
      '',
      secret,
      '',
      `To log in, with the secret as password: docker login --username ${name} ${url.host}`,
    ]
    return { json: { name, kind, secret }, text: text.join('\n') }
  }
  const paths = {
    mirror: `${url.origin}/t/${secret}`,
    upstream: `${url.origin}/t/${secret}/<upstream>`,
    location: `${url.host}/t/${secret}/<upstream>`,
  }
  const text = [
    `Who has one of these can pull as ${name}. They are shown this once; <upstream> is e.g. docker.io:`,
    '',
    `  ${paths.mirror}`,
    '      all upstreams: containerd, k3s',
    `  ${paths.upstream}`,
    '      one upstream: Docker daemon, containerd',
    `  ${paths.location}`,
    '      one upstream as a location: podman, CRI-O, skopeo, BuildKit',
  ]
  return { json: { name, kind, secret, paths }, text: text.join('\n') }
}

function formatAccounts(accounts: readonly Answer[]): string {
  const rows = accounts.map((account) => [
    account.text('name'),
    account.text('kind'),
    account.isTrue('configured') ? 'ACCOUNTS' : (account.optionalText('createdAt') ?? ''),
    account.list('grants').map(formatGrant).join(' '),
  ])
  return formatTable([['name', 'kind', 'made', 'grants'], ...rows])
}

function formatGrant(grant: Answer): string {
  return `${grant.texts('repositories').join(',')}=${grant.texts('actions').join(',')}`
}

function formatAudit(audit: readonly Answer[]): string {
  const rows = audit.map((line) => [
    line.text('at'),
    line.optionalText('by') || '-',
    line.text('what'),
    line.text('name'),
  ])
  return formatTable([['at', 'by', 'what', 'name'], ...rows])
}
