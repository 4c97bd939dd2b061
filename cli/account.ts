// `entrepot account`: accounts and capabilities of a registry here or elsewhere, made and ended by its
// administrator.

import { createSecret, hashSecret } from '../src/auth/account.ts'
import type { GrantText } from '../src/auth/account.ts'
import type { AccountAction, AccountArguments } from './account-arguments.ts'
import { AccountError, askRegistry } from './account-client.ts'
import { EXIT } from './ending.ts'
import type { Login } from './login.ts'
import { SECRET_VARIABLE, givenLogin, localLogin } from './login.ts'
import { formatTable } from './table.ts'

/** What came of it: for programs, and for people. */
interface Outcome {
  readonly json: object
  readonly text: string
}

/** Somebody who has just got a secret. */
interface Made {
  readonly name: string
  readonly kind: string
  readonly secret: string
}

/** An account as the registry lists it. */
interface Listed {
  readonly name: string
  readonly kind: string
  readonly grants: readonly GrantText[]
  readonly configured: boolean
  readonly createdAt?: string
}

/**
 * Does what was asked and prints what came of it.
 * @throws {Failure}
 */
export async function runAccount(args: AccountArguments): Promise<number> {
  const { json, text } = await run(args)
  console.log(args.isJSON ? JSON.stringify(json, undefined, 2) : text)
  return EXIT.fine
}

async function run({ action, url, persistTo }: AccountArguments): Promise<Outcome> {
  if (action.what === 'bootstrap') return bootstrap(action)
  const login = await findLogin(url, persistTo)
  switch (action.what) {
    case 'add': {
      const body = action.account
      const made = await askRegistry(url, login, { method: 'POST', path: 'accounts', body })
      return tell(parseMade(made, url), url)
    }
    case 'rotate': {
      const path = `accounts/${action.name}/rotate`
      return tell(parseMade(await askRegistry(url, login, { method: 'POST', path }), url), url)
    }
    case 'revoke': {
      const { name } = action
      await askRegistry(url, login, { method: 'DELETE', path: `accounts/${name}` })
      return {
        json: { name },
        text: `${name} is revoked: all that it was used for ends within a minute`,
      }
    }
    case 'list': {
      const json = await askRegistry(url, login, { method: 'GET', path: 'accounts' })
      return { json, text: formatAccounts(requireList(json['accounts'], url) as readonly Listed[]) }
    }
    case 'audit': {
      const json = await askRegistry(url, login, { method: 'GET', path: 'audit' })
      return {
        json,
        text: formatAudit(
          requireList(json['audit'], url) as readonly Readonly<Record<string, string>>[],
        ),
      }
    }
    default:
      return action satisfies never
  }
}

/** In whose name: the administrator of here, else the one of the environment. */
async function findLogin(url: URL, persistTo: string | undefined): Promise<Login> {
  const local = persistTo === undefined ? undefined : await localLogin(persistTo)
  const login = local ?? givenLogin()
  if (login !== undefined) return login
  const wanted = `${SECRET_VARIABLE}=<name>:<secret> of an administrator`
  throw new AccountError(
    persistTo === undefined
      ? `${url.origin} is not on this machine: set ${wanted}`
      : `${persistTo} has no administrator: start the registry once, or set ${wanted}`,
  )
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

/** @throws {AccountError} where whatever answered is no registry with accounts, or of another version. */
function parseMade({ name, kind, secret }: Readonly<Record<string, unknown>>, url: URL): Made {
  if (typeof name !== 'string' || typeof kind !== 'string' || typeof secret !== 'string') {
    throw strange(url)
  }
  return { name, kind, secret }
}

/** @throws {AccountError} the same. */
function requireList(value: unknown, url: URL): readonly unknown[] {
  if (!Array.isArray(value)) throw strange(url)
  return value
}

function strange({ origin }: URL): AccountError {
  return new AccountError(`${origin} gave an answer that no registry with accounts gives`)
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

function formatAccounts(accounts: readonly Listed[]): string {
  const rows = accounts.map(({ name, kind, grants, configured, createdAt }) => [
    name,
    kind,
    configured ? 'ACCOUNTS' : (createdAt ?? ''),
    grants
      .map(({ repositories, actions }) => `${repositories.join(',')}=${actions.join(',')}`)
      .join(' '),
  ])
  return formatTable([['name', 'kind', 'made', 'grants'], ...rows])
}

function formatAudit(audit: readonly Readonly<Record<string, string>>[]): string {
  const rows = audit.map(({ at = '', by = '', what = '', name = '' }) => [
    at,
    by || '-',
    what,
    name,
  ])
  return formatTable([['at', 'by', 'what', 'name'], ...rows])
}
