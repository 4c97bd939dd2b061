// `/_/api/…`: an administrator makes, lists, rotates and revokes accounts, and sees who has done so. A secret
// leaves here once, in the answer to the request that made it.

import { ACTIONS, mayHold, parseAccountName, parseGrantText } from '../auth/account.ts'
import type { Account, GrantText } from '../auth/account.ts'
import { REGISTRY, may } from '../auth/policy.ts'
import { RegistryError } from '../oci/error.ts'
import type { ErrorCode } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import type { Services } from '../services.ts'
import type { Visit } from './authenticate.ts'
import { refusal } from './authorize.ts'
import { readBody } from './body.ts'
import { refuseMethod } from './dispatch.ts'
import { respond } from './exchange.ts'

/** Bytes of a body; a thousand grants are less. */
const MAX_BODY = 64 * 1024
/** Seconds until the object that keeps accounts is likely to be there again. */
const RETRY_AUTHORITY = 10
const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i
const KINDS: readonly Account['kind'][] = ['account', 'capability']
const MEMBERS = ['name', 'kind', 'grants']

type Authority = ReturnType<Services['access']['authority']>

/** A request of an administrator. */
interface Call {
  readonly visit: Visit
  /** Who the audit will say it was. */
  readonly by: string
  /** The account that the path names; empty where it names none. */
  readonly name: string
}

interface Route {
  readonly path: RegExp
  /** For the log. */
  readonly endpoint: string
  readonly methods: Readonly<Record<string, (call: Call) => Promise<Response>>>
}

const ROUTES: readonly Route[] = [
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

/**
 * Answers a request to a raw path below `/_/api/`.
 * @throws {RegistryError} UNAUTHORIZED to whoever has not shown the secret of an account with a grant of `admin`.
 */
export async function answerAccounts(visit: Visit, path: string): Promise<Response> {
  const route = ROUTES.find((each) => each.path.test(path))
  if (route === undefined) {
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  }
  const { exchange } = visit
  exchange.endpoint = route.endpoint
  refuseMethod(exchange.method, Object.keys(route.methods))
  const by = await administratorOf(visit)
  const [, name = ''] = route.path.exec(path) ?? []
  const answer = route.methods[exchange.method]
  if (answer === undefined) throw new RegistryError('UNSUPPORTED')
  return answer({ visit, by, name })
}

/**
 * Who asks. Only its own grants count: a change must have somebody who made it, so what `ANONYMOUS` lets anybody
 * do is not enough, and neither is a token, which cannot be for this.
 */
export async function administratorOf(visit: Visit): Promise<string> {
  const { caller } = await visit.visitor.authenticate()
  if (caller.kind === 'account' && may(caller, 'admin', REGISTRY, [])) return caller.name
  throw await refusal(visit, [])
}

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
  const entries = await ask(visit, (authority) => authority.audit())
  const audit = entries.map(({ at, by, what, name }) => ({ at: timestamp(at), by, what, name }))
  return show(visit, 200, { audit })
}

async function readAccount(visit: Visit): Promise<Pick<Account, 'name' | 'kind' | 'grants'>> {
  const members = await readMembers(visit, '{ name, kind, grants }')
  const unknown = Object.keys(members).find((key) => !MEMBERS.includes(key))
  if (unknown !== undefined) throw wrong('', `expected no other keys than ${MEMBERS.join(', ')}`)
  const name = readName(members['name'])
  const kind = readKind(members['kind'])
  return { name, kind, grants: readGrants(members['grants'], kind) }
}

/**
 * The members of the JSON object that a request has as its body.
 * @throws {RegistryError} UNSUPPORTED_VALUE or SIZE_INVALID where it has none; `expected` is how one looks.
 */
export async function readMembers(
  { exchange }: Visit,
  expected: string,
): Promise<Readonly<Record<string, unknown>>> {
  // A page of another site cannot send this type unasked.
  if (!JSON_TYPE.test(exchange.headers.get(HEADER.contentType) ?? '')) {
    throw wrong('Content-Type', 'expected application/json')
  }
  const body = await readBody(exchange, MAX_BODY)
  if (!body.ok && body.reason === 'too-large') {
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `a body can have ${MAX_BODY} bytes at most`,
    })
  }
  const parsed = body.ok ? parseJSONObject(body.bytes) : undefined
  if (parsed === undefined || parsed.repeatedKey !== undefined) {
    throw wrong('', `expected a JSON object ${expected} with each key once`)
  }
  return parsed.members
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

/** A change, after which this isolate looks at accounts and switches anew. Others do within a minute. */
export async function change<T>(
  visit: Visit,
  make: (authority: Authority) => Promise<T>,
): Promise<T> {
  try {
    return await ask(visit, make)
  } finally {
    visit.services.access.forget()
  }
}

/** @throws {RegistryError} UNKNOWN with 503 while the object does not answer. */
export async function ask<T>(
  { services }: Visit,
  question: (authority: Authority) => Promise<T>,
): Promise<T> {
  try {
    return await question(services.access.authority())
  } catch (cause) {
    throw new RegistryError('UNKNOWN', {
      status: 503,
      message: 'accounts and switches cannot be reached',
      headers: { [HEADER.retryAfter]: String(RETRY_AUTHORITY) },
      cause,
    })
  }
}

function isConfigured({ services }: Visit, name: string): boolean {
  return services.config.accounts.some((account) => account.name === name)
}

const NO_STORE = { [HEADER.cacheControl]: 'no-store' }

/** An answer that nobody keeps. */
export function show({ exchange }: Visit, status: number, value: object): Response {
  const headers = { ...NO_STORE, [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status, headers, body: JSON.stringify(value) })
}

/** What is wrong with a field; the empty one is the body as a whole. */
export function wrong(field: string, why: string, isMissing = false): RegistryError {
  const code: ErrorCode = isMissing ? 'MISSING_REQUIRED_FIELD' : 'UNSUPPORTED_VALUE'
  const message = field === '' ? why : `${field}: ${why}`
  return new RegistryError(code, { message, detail: { field } })
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

function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
