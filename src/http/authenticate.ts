// Who sends a request: by the secret of a capability in its path, a password, a token, or nobody. Found out
// when it matters and not before: what anybody may do costs no look at credentials, good or foreign.

import { authenticate, findCapability, parseAccountName, parseGrants } from '../auth/account.ts'
import type { Snapshot } from '../auth/authority.ts'
import type { Account, Action, GrantText } from '../auth/account.ts'
import type { Caller } from '../auth/caller.ts'
import { looksLikeIDToken } from '../auth/oidc.ts'
import { may } from '../auth/policy.ts'
import type { Target } from '../auth/policy.ts'
import type { RefreshClaims } from '../auth/token.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { Services } from '../services.ts'
import { serviceOf } from './challenge.ts'
import type { Exchange } from './exchange.ts'

/** Seconds until whoever guesses passwords may guess again. */
const RETRY_LOGIN = 60
/** Seconds until what is away may be back. */
const RETRY_OUTAGE = 10

/* RFC 9110 §11.4: one scheme and one token68, so neither two values nor a list of them. */
const CREDENTIALS = /^([a-z]+) +([\w.~+/-]+=*)$/i

const ANONYMOUS: Caller = { kind: 'anonymous' }

/** What credentials say. */
export interface Authenticated {
  readonly caller: Caller
  /** Whether the caller is who the credentials say; `none`: there are none, `wrong`: they are treated as none. */
  readonly credentials: 'none' | 'good' | 'wrong'
  readonly isToken: boolean
  /** The account that a token was given to. */
  readonly account: Account | undefined
}

/** A successful login: who it is, and what a token must say of it. */
export interface Login {
  readonly caller: Extract<Caller, { readonly kind: 'account' | 'capability' }>
  readonly version: string | undefined
  readonly grants: readonly GrantText[]
  /** Of a login by an ID token, which lives for minutes only: the mark of the entry that let it in. */
  readonly entry: string | undefined
}

/** One request with all that it is answered with. */
export interface Visit {
  readonly exchange: Exchange
  readonly services: Services
  readonly visitor: Visitor
}

/** Whoever sends one request. */
export class Visitor {
  readonly #exchange: Exchange
  readonly #services: Services
  readonly #secret: string | undefined
  #authenticated: Promise<Authenticated> | undefined

  /** `secret` is that of the capability in the path; then nothing else counts. */
  constructor(exchange: Exchange, services: Services, secret: string | undefined) {
    this.#exchange = exchange
    this.#services = services
    this.#secret = secret
  }

  /**
   * Looks at the credentials, once for each request.
   * @throws {RegistryError} NAME_UNKNOWN for a capability that is none, TOOMANYREQUESTS for one wrong password too many.
   */
  authenticate(): Promise<Authenticated> {
    this.#authenticated ??= this.#authenticate()
    return this.#authenticated
  }

  /** Whether this caller may, looking at credentials only where not everybody may. */
  async may(action: Action, target: Target): Promise<boolean> {
    const { anonymous } = this.#services.config
    if (this.#secret === undefined && may(ANONYMOUS, action, target, anonymous)) return true
    const { caller } = await this.authenticate()
    return may(caller, action, target, anonymous)
  }

  /** Whether the account behind a token may, whatever the token says: then a better token is to be had. */
  async mayByAccount(action: Action, target: Target): Promise<boolean> {
    const { account } = await this.authenticate()
    if (account === undefined) return false
    const caller = {
      kind: 'account',
      name: account.name,
      grants: parseGrants(account.grants),
    } as const
    return may(caller, action, target, this.#services.config.anonymous)
  }

  async #authenticate(): Promise<Authenticated> {
    const found = await this.#find()
    const { caller } = found
    if (caller.kind !== 'anonymous') this.#exchange.caller = caller.name || undefined
    return found
  }

  async #find(): Promise<Authenticated> {
    if (this.#secret !== undefined) return this.#byCapability(this.#secret)
    const header = this.#exchange.headers.get(HEADER.authorization)
    if (header === null || header === '') return nobody('none', false)
    const [, scheme = '', value = ''] = CREDENTIALS.exec(header) ?? []
    switch (scheme.toLowerCase()) {
      case 'bearer':
        return this.#byToken(value)
      case 'basic':
        return this.#byPassword(value)
      default:
        return nobody('wrong', /^bearer\b/i.test(header))
    }
  }

  async #byCapability(secret: string): Promise<Authenticated> {
    const account = await lookUp(this.#services, ({ accounts }) => findCapability(accounts, secret))
    if (account === undefined) throw new RegistryError('NAME_UNKNOWN')
    const { name, grants } = account
    const caller: Caller = { kind: 'capability', name, grants: parseGrants(grants) }
    return { caller, credentials: 'good', isToken: false, account: undefined }
  }

  async #byToken(token: string): Promise<Authenticated> {
    const services = this.#services
    const audience = serviceOf(this.#exchange, services.config)
    const found = await lookUp(services, async (snapshot) => {
      const verified = await services.access.verify(token, snapshot, audience)
      if (!verified.ok) return verified.reason === 'unknown-key' ? undefined : nobody('wrong', true)
      const { subject: name, version, access } = verified
      const account = snapshot.accounts.find(
        (each) => each.kind === 'account' && each.name === name && each.version === version,
      )
      // Revoked, or its secret is another one now; or not known here yet.
      if (version !== undefined && account === undefined) return undefined
      const caller: Caller = { kind: 'token', name, access }
      return { caller, credentials: 'good' as const, isToken: true, account }
    })
    return found ?? nobody('wrong', true)
  }

  async #byPassword(value: string): Promise<Authenticated> {
    if (value === NO_CREDENTIALS) return nobody('none', false)
    const login = await logIn(this.#services, this.#exchange, parseBasic(value))
    if (login === undefined) return nobody('wrong', false)
    return { caller: login.caller, credentials: 'good', isToken: false, account: undefined }
  }
}

/**
 * The accounts and keys that count now.
 * @throws {RegistryError} UNKNOWN with 503 when the object that knows is away.
 */
export async function snapshotOf(services: Services): Promise<Snapshot> {
  try {
    return await services.access.snapshot()
  } catch (cause) {
    throw new RegistryError('UNKNOWN', {
      status: 503,
      message: 'accounts cannot be looked up now',
      headers: { [HEADER.retryAfter]: String(RETRY_OUTAGE) },
      cause,
    })
  }
}

/**
 * What is found in the accounts and keys as this isolate knows them, else as they were a few seconds ago: a new
 * account or key is known elsewhere first.
 */
export async function lookUp<Value>(
  services: Services,
  find: (snapshot: Snapshot) => Promise<Value | undefined>,
): Promise<Value | undefined> {
  const held = await snapshotOf(services)
  const found = await find(held)
  if (found !== undefined) return found
  const recent = await services.access.recentSnapshot().catch(() => held)
  return recent === held ? undefined : find(recent)
}

/** `:` in base64, neither a name nor a password: some clients say so that they have none. */
export const NO_CREDENTIALS = 'Og=='

/** Name and password of Basic credentials (RFC 7617): base64 of UTF-8, split at the first colon. */
export function parseBasic(value: string): { readonly name: string; readonly password: string } {
  const text = decodeBase64(value)
  const colon = text.indexOf(':')
  return colon < 0
    ? { name: '', password: '' }
    : { name: text.slice(0, colon), password: text.slice(colon + 1) }
}

/**
 * Who logs in with a name and a secret, or with an ID token and whatever name.
 * @throws {RegistryError} TOOMANYREQUESTS where this client has been wrong about this name too often. Who is right
 *   always passes.
 */
export async function logIn(
  services: Services,
  exchange: Exchange,
  { name, password }: { readonly name: string; readonly password: string },
): Promise<Login | undefined> {
  const login = looksLikeIDToken(password)
    ? await logInByIDToken(services, password)
    : await logInBySecret(services, name, password)
  if (login !== undefined) {
    exchange.caller = login.caller.name
    return login
  }
  const isWithin = await services.access.limits.login(
    parseAccountName(name) ?? '',
    exchange.client(),
  )
  if (isWithin) return undefined
  throw new RegistryError('TOOMANYREQUESTS', {
    message: 'too many failed logins',
    headers: { [HEADER.retryAfter]: String(RETRY_LOGIN) },
  })
}

/** What a login by an ID token, or by the refresh token that it was exchanged for, is. */
export function federatedLogin({ subject: name, grants, entry }: RefreshClaims): Login {
  const caller = { kind: 'account', name, grants: parseGrants(grants) } as const
  return { caller, version: undefined, grants, entry }
}

async function logInByIDToken(services: Services, token: string): Promise<Login | undefined> {
  const verified = await services.access.oidc.verify(token)
  if (verified.ok) return federatedLogin(verified)
  if (verified.reason !== 'unavailable') return undefined
  throw new RegistryError('UNKNOWN', {
    status: 503,
    message: 'the issuer of the ID token cannot be asked for its keys',
    headers: { [HEADER.retryAfter]: String(RETRY_OUTAGE) },
  })
}

async function logInBySecret(
  services: Services,
  name: string,
  secret: string,
): Promise<Login | undefined> {
  const account =
    (await authenticate(services.config.accounts, name, secret)) ??
    (await lookUp(services, ({ accounts }) => authenticate(accounts, name, secret)))
  if (account === undefined) return undefined
  const { grants, version } = account
  const caller = { kind: 'account', name, grants: parseGrants(grants) } as const
  return { caller, version, grants, entry: undefined }
}

function nobody(credentials: 'none' | 'wrong', isToken: boolean): Authenticated {
  return { caller: ANONYMOUS, credentials, isToken, account: undefined }
}

/** What is no base64 is nothing. */
function decodeBase64(value: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(value), (byte) => byte.charCodeAt(0)))
  } catch {
    return ''
  }
}
