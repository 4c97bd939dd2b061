// The token service of the sample upstream and the guard of its repositories: who may do what, the
// tokens that say so, and the 401 with its challenge. Distribution's token protocol, GET only.

import { formatScope } from '../src/oci/bearer.ts'
import { RegistryError } from '../src/oci/error.ts'
import { HEADER } from '../src/oci/header.ts'
import { type Answer, createErrorAnswer, createJSONAnswer } from './upstream-answer.ts'

/** How the upstream wants to be authenticated to. */
export interface AuthenticationOptions {
  /** `basic` asks for a username and password on every request, as private ECR does; default `bearer`. */
  readonly scheme?: 'bearer' | 'basic'
  /** Where tokens come from; default: the origin that was asked, and `/token`. */
  readonly realm?: string
  readonly service?: string
  /** Passwords by username. An account may do everything. */
  readonly accounts?: Readonly<Record<string, string>>
  /** Whether the token service answers without credentials, default true. */
  readonly anonymous?: boolean
  /** Life of a token in seconds, default 300. */
  readonly expiresIn?: number
  /** Repositories that only accounts may pull; none when absent. */
  readonly isPrivate?: (repository: string) => boolean
  /** Whether a repository that does not exist is refused like a private one, as Docker Hub and Quay do. */
  readonly hidesMissing?: boolean
}

/** One resource of a token scope. */
export interface Access {
  readonly repository: string
  readonly actions: readonly string[]
}

interface Token {
  readonly access: readonly Access[]
  readonly expiresAt: number
}

/** What the guard is given: its rules, the clock, and the knowledge of what exists. */
export interface TokenServiceOptions {
  readonly authentication: AuthenticationOptions
  readonly now: () => number
  readonly exists: (repository: string) => boolean
}

const ALL_ACTIONS = ['pull', 'push', 'delete']

/** Issues tokens and checks them. */
export class TokenService {
  readonly #options: AuthenticationOptions
  readonly #now: () => number
  readonly #exists: (repository: string) => boolean
  readonly #tokens = new Map<string, Token>()

  constructor({ authentication, now, exists }: TokenServiceOptions) {
    this.#options = authentication
    this.#now = now
    this.#exists = exists
  }

  /** Makes every token that was issued so far invalid. */
  expireTokens(): void {
    this.#tokens.clear()
  }

  /** Answers `GET /token`. A partial or empty grant is no error; a wrong password is. */
  answer(request: Request): Answer {
    const username = this.#authenticate(request)
    const mayBeAnonymous = this.#options.anonymous ?? true
    if (username === false || (username === undefined && !mayBeAnonymous)) {
      return createErrorAnswer(new RegistryError('UNAUTHORIZED'))
    }
    const scopes = new URL(request.url).searchParams.getAll('scope').join(' ').split(' ')
    const access = scopes.flatMap((scope) => this.#grant(scope, username !== undefined))
    const expiresIn = this.#options.expiresIn ?? 300
    const token = this.#issue(access, expiresIn)
    return createJSONAnswer(200, {
      token,
      access_token: token,
      expires_in: expiresIn,
      issued_at: new Date(this.#now()).toISOString(),
    })
  }

  /** The 401 that a request deserves which lacks some of the access it needs; `undefined` when it may pass. */
  refuse(request: Request, needed: readonly Access[]): Answer | undefined {
    return this.#options.scheme === 'basic'
      ? this.#refuseBasic(request)
      : this.#refuseBearer(request, needed)
  }

  #refuseBasic(request: Request): Answer | undefined {
    if (typeof this.#authenticate(request) === 'string') {
      return undefined
    }
    const { realm = `${new URL(request.url).origin}/`, service } = this.#options
    return challenge('Basic', { realm, service })
  }

  #refuseBearer(request: Request, needed: readonly Access[]): Answer | undefined {
    const presented = /^Bearer (.+)$/i.exec(request.headers.get(HEADER.authorization) ?? '')?.[1]
    const token = presented === undefined ? undefined : this.#tokens.get(presented)
    const isValid = token !== undefined && token.expiresAt > this.#now()
    if (isValid && needed.every((access) => covers(token.access, access))) {
      return undefined
    }
    const url = new URL(request.url)
    const scope = needed.map(({ repository, actions }) => formatScope(repository, actions))
    const invalid = isValid ? 'insufficient_scope' : 'invalid_token'
    return challenge('Bearer', {
      realm: this.#options.realm ?? `${url.origin}/token`,
      service: this.#options.service ?? url.host,
      scope: scope.length === 0 ? undefined : scope.join(' '),
      error: presented === undefined ? undefined : invalid,
    })
  }

  /** The account of the request's Basic credentials; false when they are wrong, `undefined` when there are none. */
  #authenticate(request: Request): string | false | undefined {
    const encoded = /^Basic (.+)$/i.exec(request.headers.get(HEADER.authorization) ?? '')?.[1]
    if (encoded === undefined) {
      return undefined
    }
    const pair = /^([^:]*):(.*)$/s.exec(decodeBase64(encoded))
    const [, username = '', password = ''] = pair ?? []
    const accounts = this.#options.accounts ?? {}
    const isRight = Object.hasOwn(accounts, username) && accounts[username] === password
    return isRight ? username : false
  }

  #grant(scope: string, hasAccount: boolean): Access[] {
    const [, repository, list] = /^repository(?:\([a-z0-9]+\))?:(.+):([a-z,*]*)$/.exec(scope) ?? []
    if (repository === undefined || list === undefined) {
      return []
    }
    const { isPrivate, hidesMissing = false } = this.#options
    const isHidden =
      (isPrivate?.(repository) ?? false) || (hidesMissing && !this.#exists(repository))
    const allowed = hasAccount ? ALL_ACTIONS : isHidden ? [] : ['pull']
    const asked = list.split(',').flatMap((action) => (action === '*' ? ALL_ACTIONS : [action]))
    return [{ repository, actions: asked.filter((action) => allowed.includes(action)) }]
  }

  #issue(access: readonly Access[], expiresIn: number): string {
    const token = `sample-${crypto.randomUUID()}`
    this.#tokens.set(token, { access, expiresAt: this.#now() + expiresIn * 1000 })
    return token
  }
}

function covers(granted: readonly Access[], needed: Access): boolean {
  return needed.actions.every((action) =>
    granted.some((one) => one.repository === needed.repository && one.actions.includes(action)),
  )
}

function challenge(
  scheme: string,
  parameters: Readonly<Record<string, string | undefined>>,
): Answer {
  const list = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${value}"`],
  )
  const headers = { [HEADER.wwwAuthenticate]: `${scheme} ${list.join(',')}` }
  return createErrorAnswer(new RegistryError('UNAUTHORIZED', { headers }))
}

function decodeBase64(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)))
  } catch {
    return ''
  }
}
