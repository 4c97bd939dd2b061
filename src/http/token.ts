// `/token`: credentials become a short-lived token for what its owner may do (distribution, "Token Authentication
// Specification" by GET and "OAuth2 Token Authentication" by POST). A partial or an empty grant is no error.

import type { Caller } from '../auth/caller.ts'
import { may } from '../auth/policy.ts'
import type { PolicyTarget, RepositoryAction } from '../auth/policy.ts'
import { parseScopes } from '../auth/scope.ts'
import type { Scope } from '../auth/scope.ts'
import { markOf } from '../auth/oidc.ts'
import { signAccess, signRefresh, verifyRefresh } from '../auth/token.ts'
import type { Access } from '../auth/token.ts'
import type { Config } from '../config.ts'
import { nameWithoutCapability } from '../oci/capability.ts'
import { RegistryError } from '../oci/error.ts'
import type { ErrorCode } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { Snapshot } from '../auth/authority.ts'
import {
  NO_CREDENTIALS,
  federatedLogin,
  logIn,
  lookUp,
  parseBasic,
  snapshotOf,
} from './authenticate.ts'
import type { Login, Visit } from './authenticate.ts'
import { addressOf, isMirrorable, targetOf } from './authorize.ts'
import { readBody } from './body.ts'
import { CATALOG, serviceOf } from './challenge.ts'
import { respond } from './exchange.ts'

/** Bytes of a form; a refresh token and a hundred scopes are half of it. */
const MAX_FORM = 64 * 1024
const FORM = /^application\/x-www-form-urlencoded[ \t]*(?:;|$)/i
const BASIC = /^basic +([\w.~+/-]+=*)$/i

/** As Go reads a boolean. */
const YES = ['1', 't', 'T', 'TRUE', 'true', 'True']
const NO = ['0', 'f', 'F', 'FALSE', 'false', 'False']

/** What the words of a scope may become: the right itself, else the weaker one that it implies. */
const GRANTED: readonly (readonly [word: string, ...choice: RepositoryAction[]])[] = [
  ['pull', 'pull', 'read'],
  ['push', 'push', 'create'],
  ['delete', 'delete'],
]

/** When a client may ask for another token (seconds). */
const RETRY_TOKEN = 60
const ANYBODY: Caller = { kind: 'anonymous' }

/** What a client asks for, by either method. */
interface Asked {
  readonly login: Login | undefined
  readonly scopes: readonly Scope[]
  readonly wantsRefresh: boolean
  /** The refresh token by which it asks, which goes back to it. */
  readonly refresh?: string
}

/** Answers GET and POST. @throws {RegistryError} TOOMANYREQUESTS where one client has asked for too many. */
export async function getToken(visit: Visit): Promise<Response> {
  const { exchange } = visit
  if (!(await visit.services.access.limits.token(exchange.client()))) {
    throw new RegistryError('TOOMANYREQUESTS', {
      message: 'too many tokens for one client',
      headers: { [HEADER.retryAfter]: String(RETRY_TOKEN) },
    })
  }
  const asked = exchange.method === 'POST' ? await readForm(visit) : await readQuery(visit)
  return grant(visit, asked)
}

async function readQuery({ exchange, services }: Visit): Promise<Asked> {
  const { query } = exchange
  requireService(query.get('service') || undefined, serviceOf(exchange, services.config))
  const offline = query.get('offline_token') || 'false'
  if (![...YES, ...NO].includes(offline)) throw wrong('BAD_TOKEN_OPTION', 'offline_token')
  const wantsRefresh = YES.includes(offline)
  const scopes = parseScopes(query.getAll('scope'))
  const header = exchange.headers.get(HEADER.authorization)
  const isFree = !wantsRefresh && isForAnybody(scopes, services.config)
  if (header === null || header === '' || isFree) return forAnybody(scopes)
  const basic = BASIC.exec(header)?.[1]
  if (basic === NO_CREDENTIALS) return forAnybody(scopes)
  const login = basic && (await logIn(services, exchange, parseBasic(basic)))
  if (!login) throw new RegistryError('UNAUTHORIZED')
  return { login, scopes, wantsRefresh }
}

async function readForm(visit: Visit): Promise<Asked> {
  const { exchange, services } = visit
  const form = await parseForm(visit)
  const kind = requireField(form, 'grant_type')
  requireService(requireField(form, 'service'), serviceOf(exchange, services.config))
  requireField(form, 'client_id')
  const access = form.get('access_type') || 'online'
  if (access !== 'online' && access !== 'offline') throw wrong('UNSUPPORTED_VALUE', 'access_type')
  const wantsRefresh = access === 'offline'
  const scopes = parseScopes(form.getAll('scope'))
  const isFree = !wantsRefresh && isForAnybody(scopes, services.config)
  switch (kind) {
    case 'password': {
      const [name, password] = [requireField(form, 'username'), requireField(form, 'password')]
      if (isFree) return forAnybody(scopes)
      const login = await logIn(services, exchange, { name, password })
      if (login === undefined) throw new RegistryError('UNAUTHORIZED')
      return { login, scopes, wantsRefresh }
    }
    case 'refresh_token': {
      const refresh = requireField(form, 'refresh_token')
      if (isFree) return { ...forAnybody(scopes), refresh }
      const login = await logInByRefresh(visit, refresh)
      if (login === undefined) throw new RegistryError('UNAUTHORIZED')
      return { login, scopes, wantsRefresh, refresh }
    }
    default:
      throw wrong('UNSUPPORTED_VALUE', 'grant_type')
  }
}

/**
 * Whether all that is asked for is everybody's, or comes by a capability, which decides alone. Then credentials
 * are not looked at: clients show what they hold, a pull secret of another registry too, and give up on a 401. Who wants a refresh token
 * logs in.
 */
function isForAnybody(scopes: readonly Scope[], config: Config): boolean {
  return scopes.length > 0 && scopes.every((scope) => isAnybodys(scope, config))
}

function isAnybodys({ type, name, actions }: Scope, config: Config): boolean {
  if (nameWithoutCapability(name) !== name) return true
  const address = type === 'repository' ? addressOf(name, config) : undefined
  if (address === undefined || !isMirrorable(address, config)) return false
  const isPull = actions.every((action) => action === 'pull')
  const target = targetOf(address, config)
  return isPull && may(ANYBODY, 'pull', target, config.anonymous)
}

function forAnybody(scopes: readonly Scope[]): Asked {
  return { login: undefined, scopes, wantsRefresh: false }
}

/** A refresh token ends when anything of the entry changes that it was given by. */
async function logInByRefresh(
  { exchange, services }: Visit,
  token: string,
): Promise<Login | undefined> {
  const audience = serviceOf(exchange, services.config)
  const now = services.seams.now()
  const verified = await lookUp(services, async ({ keys, issuer }) => {
    const answer = await verifyRefresh(token, { keys, issuer, audience, now })
    return !answer.ok && answer.reason === 'unknown-key' ? undefined : answer
  })
  if (verified?.ok !== true) return undefined
  const { subject, grants, entry } = verified
  const marks = await Promise.all(services.config.issuers.map(markOf))
  if (!marks.includes(entry)) return undefined
  exchange.caller = subject
  return federatedLogin({ subject, grants, entry })
}

async function grant(visit: Visit, { login, scopes, ...asked }: Asked): Promise<Response> {
  const { exchange, services } = visit
  const caller: Caller = login?.caller ?? ANYBODY
  const wanted = accessFor(caller, scopes, services.config)
  const by = signerOf(visit, await snapshotOf(services))
  const claims = { subject: login?.caller.name ?? '', version: login?.version, access: wanted }
  const { token, expiresIn, issuedAt, access } = await signAccess(claims, by)
  const refresh =
    asked.refresh ??
    (login?.entry !== undefined && asked.wantsRefresh
      ? (await signRefresh({ ...login, subject: login.caller.name, entry: login.entry }, by)).token
      : undefined)
  const body = {
    token,
    access_token: token,
    scope: access.map(formatAccess).join(' '),
    expires_in: expiresIn,
    issued_at: issuedAt,
    refresh_token: refresh,
  }
  const headers = { [HEADER.contentType]: 'application/json', [HEADER.cacheControl]: 'no-store' }
  return respond(exchange, { status: 200, headers, body: JSON.stringify(body) })
}

function signerOf({ exchange, services }: Visit, { key, issuer }: Snapshot) {
  return {
    key,
    issuer,
    audience: serviceOf(exchange, services.config),
    now: services.seams.now(),
  }
}

/**
 * What a caller gets of what it asks for. However a repository is written, the token has its canonical name; a
 * name that leads nowhere gets nothing, and so does what the caller may not do.
 */
function accessFor(caller: Caller, scopes: readonly Scope[], config: Config): readonly Access[] {
  const asked = new Map<string, { readonly target: PolicyTarget; readonly words: Set<string> }>()
  for (const { type, name: written, actions } of scopes) {
    const name = type === 'repository' ? nameWithoutCapability(written) : undefined
    const address = name === undefined ? undefined : addressOf(name, config)
    if (address === undefined || !isMirrorable(address, config)) continue
    const known = asked.get(address.canonical)?.words ?? []
    const words = new Set([...known, ...actions])
    asked.set(address.canonical, { target: targetOf(address, config), words })
  }
  const granted = [...asked.values()].map(({ target, words }): Access => {
    const actions = GRANTED.flatMap(([word, ...choice]) =>
      words.has(word) || words.has('*')
        ? (choice.find((each) => may(caller, each, target, config.anonymous)) ?? [])
        : [],
    )
    return { type: 'repository', name: target.canonical, actions }
  })
  // To whoever asks: the list shows only what the caller may read.
  const isCatalog = scopes.some(({ type, name }) => type === CATALOG.type && name === CATALOG.name)
  return [
    ...(isCatalog ? [{ type: CATALOG.type, name: CATALOG.name, actions: ['read'] }] : []),
    ...granted.filter(({ actions }) => actions.length > 0),
  ]
}

function formatAccess({ type, name, actions }: Access): string {
  return `${type}:${name}:${type === 'registry' ? '*' : actions.join(',')}`
}

/** What comes as another type has none of the fields. */
async function parseForm({ exchange }: Visit): Promise<URLSearchParams> {
  if (!FORM.test(exchange.headers.get(HEADER.contentType) ?? '')) return new URLSearchParams()
  const body = await readBody(exchange, MAX_FORM)
  if (body.ok) return new URLSearchParams(new TextDecoder().decode(body.bytes))
  if (body.reason === 'cut') throw wrong('UNSUPPORTED_VALUE', 'the body was cut')
  throw new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `a form can have ${MAX_FORM} bytes at most`,
  })
}

function requireField(form: URLSearchParams, name: string): string {
  const value = form.get(name)
  if (value === null || value === '') throw wrong('MISSING_REQUIRED_FIELD', name)
  return value
}

/** A token is for the service that gives it. */
function requireService(asked: string | undefined, own: string): void {
  if (asked !== undefined && asked !== own) throw wrong('UNSUPPORTED_VALUE', 'service')
}

function wrong(code: ErrorCode, field: string): RegistryError {
  return new RegistryError(code, { detail: { field } })
}
