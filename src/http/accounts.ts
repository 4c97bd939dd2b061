// `/_/api/…`: an administrator makes, lists, rotates and revokes accounts, and sees who has done so. A secret
// leaves here once, in the answer to the request that made it.

import { ACTIONS, mayHold, parseAccountName, parseGrantText } from '../auth/account.ts'
import type { Account, GrantText } from '../auth/account.ts'
import { RegistryError } from '../oci/error.ts'
import { parsePage } from '../oci/page.ts'
import { NO_STORE, ask, change, readMembers, show, timestamp, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import type { Visit } from './authenticate.ts'
import { respond } from './exchange.ts'

const KINDS: readonly Account['kind'][] = ['account', 'capability']
const MEMBERS = ['name', 'kind', 'grants']
/** Lines of the audit in one answer. */
const MAX_AUDIT = 1000

/** Of accounts, and of who has changed what. */
export const ACCOUNT_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/accounts$/,
    endpoint: 'accounts',
    methods: { GET: listAccounts, HEAD: listAccounts, POST: addAccount },
  },
  {
    path: /^\/_\/api\/accounts\/([a-z0-9._-]+)$/,
    endpoint: 'account',
    methods: { DELETE: revokeAccount },
  },
  {
    path: /^\/_\/api\/accounts\/([a-z0-9._-]+)\/rotate$/,
    endpoint: 'account-rotate',
    methods: { POST: rotateAccount },
  },
  { path: /^\/_\/api\/audit$/, endpoint: 'audit', methods: { GET: getAudit, HEAD: getAudit } },
]

async function listAccounts({ visit }: Call): Promise<Response> {
  const made = await ask(visit, (authority) => authority.list())
  const accounts = [
    ...visit.services.config.accounts.map(({ name, kind, grants }) => ({
      name,
      kind,
      grants,
      configured: true,
    })),
    ...made.map(({ name, kind, grants, createdAt }) => ({
      name,
      kind,
      grants,
      configured: false,
      createdAt: timestamp(createdAt),
    })),
  ]
  return show(visit, 200, { accounts })
}

async function addAccount({ visit, by }: Call): Promise<Response> {
  const account = await readAccount(visit)
  if (isConfigured(visit, account.name)) throw exists(account.name)
  const added = await change(visit, (authority) => authority.add(account, by))
  if (added.ok) return show(visit, 201, { ...account, secret: added.secret })
  throw added.reason === 'exists' ? exists(account.name) : wrong('', 'this is no account')
}

async function revokeAccount({ visit, by, name }: Call): Promise<Response> {
  if (await change(visit, (authority) => authority.revoke(name, by))) {
    return respond(visit.exchange, { status: 204, headers: NO_STORE })
  }
  throw isConfigured(visit, name) ? configured(name) : absent(name)
}

async function rotateAccount({ visit, by, name }: Call): Promise<Response> {
  // One of the same name that was made here would get a secret that nobody could log in with.
  if (isConfigured(visit, name)) throw configured(name)
  // First, because whatever fails after the change would take the secret with it.
  const accounts = await ask(visit, (authority) => authority.list())
  const kind = accounts.find((each) => each.name === name)?.kind
  const rotated = await change(visit, (authority) => authority.rotate(name, by))
  if (!rotated.ok) throw absent(name)
  return show(visit, 200, { name, kind, secret: rotated.secret })
}

async function getAudit({ visit }: Call): Promise<Response> {
  const { n, last } = parsePage(visit.exchange.query)
  if (last !== undefined && !/^\d{1,15}$/.test(last)) throw wrong('last', 'expected a number')
  if (n === 0) return show(visit, 200, { audit: [] })
  const before = last === undefined ? undefined : Number(last)
  const limit = Math.min(n ?? MAX_AUDIT, MAX_AUDIT)
  const page = await ask(visit, (authority) => authority.auditPage(before, limit))
  const audit = page.entries.map(({ at, by, what, name }) => {
    return { at: timestamp(at), by, what, name }
  })
  return show(visit, 200, { audit, next: page.next?.toString() })
}

async function readAccount(visit: Visit): Promise<Pick<Account, 'name' | 'kind' | 'grants'>> {
  const members = await readMembers(visit, '{ name, kind, grants }')
  const unknown = Object.keys(members).find((key) => !MEMBERS.includes(key))
  if (unknown !== undefined) throw wrong('', `expected no other keys than ${MEMBERS.join(', ')}`)
  const name = readName(members['name'])
  const kind = readKind(members['kind'])
  return { name, kind, grants: readGrants(members['grants'], kind) }
}

function readName(value: unknown): string {
  const name = typeof value === 'string' ? parseAccountName(value) : undefined
  if (name !== undefined) return name
  throw wrong(
    'name',
    'expected lower-case words joined by ".", "_" or "-", 64 characters at most',
    value === undefined,
  )
}

function readKind(value: unknown = 'account'): Account['kind'] {
  const kind = KINDS.find((each) => each === value)
  if (kind !== undefined) return kind
  throw wrong('kind', `expected ${KINDS.map((each) => JSON.stringify(each)).join(' or ')}`)
}

function readGrants(value: unknown, kind: Account['kind']): readonly GrantText[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw wrong('grants', 'expected a list of { repositories, actions }', value === undefined)
  }
  const grants = value.map((entry: unknown, index) => {
    const grant = parseGrantText(entry)
    if (grant !== undefined) return grant
    const expected = `{ repositories, actions }: repository patterns and some of ${ACTIONS.join(', ')}`
    throw wrong(`grants[${index}]`, `expected ${expected}`)
  })
  if (mayHold(kind, grants)) return grants
  throw wrong('grants', 'a capability can have no other actions than pull and read')
}

function isConfigured({ services }: Visit, name: string): boolean {
  return services.config.accounts.some((account) => account.name === name)
}

function exists(name: string): RegistryError {
  return new RegistryError('UNSUPPORTED_VALUE', {
    message: `name: there is an account ${name} already`,
    detail: { field: 'name', reason: 'exists' },
  })
}

function configured(name: string): RegistryError {
  return new RegistryError('UNSUPPORTED_VALUE', {
    message: `name: ${name} stands in ACCOUNTS and can only be changed there`,
    detail: { field: 'name', reason: 'configured' },
  })
}

function absent(name: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: `there is no account ${name}` })
}
