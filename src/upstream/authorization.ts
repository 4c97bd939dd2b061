// Docker token authentication as its client (distribution, "Token Authentication Specification"): which
// token service a challenge names, whether we may believe it, and one request for a token.

import { parseChallenges } from '../oci/bearer.ts'
import { HEADER } from '../oci/header.ts'
import { isLoopbackHost } from '../oci/host.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import { OutboundError, discardBody, readWhole } from '../outbound.ts'
import type { Outbound } from '../outbound.ts'
import type { Now } from '../seams.ts'
import { UpstreamError, parseRetryAfter } from './error.ts'
import type { Credential, TokenService, Upstream } from './upstream.ts'

/** A token answer is a few KiB; bytes. */
const MAX_TOKEN_ANSWER = 64 * 1024
/** The specification's default and floor where `expires_in` is missing or smaller (seconds). */
const MIN_LIFETIME = 60
/** Milliseconds for one request to a token service, its body included. */
const WITHIN = 5000

/** A token as it goes into `Authorization`, and when it ends (milliseconds). */
export interface TokenAnswer {
  readonly header: string
  readonly expiresAt: number
}

/** Speaks to the token service of one upstream in the name of one credential, or of nobody. */
export class Authorizer {
  readonly #upstream: Upstream
  readonly #credential: Credential | undefined
  readonly #outbound: Outbound
  readonly #now: Now

  constructor(
    who: { readonly upstream: Upstream; readonly credential: Credential | undefined },
    given: { readonly outbound: Outbound; readonly now: Now },
  ) {
    this.#upstream = who.upstream
    this.#credential = who.credential
    this.#outbound = given.outbound
    this.#now = given.now
  }

  /** The credential itself, for registries that take Basic on every request (ECR). */
  basic(): string | undefined {
    return this.#credential === undefined ? undefined : basicHeader(this.#credential)
  }

  /**
   * Asks `GET /v2/` how this registry authenticates (distribution-spec v1.1.1, end-1).
   * @throws {UpstreamError | OutboundError}
   */
  async ping(): Promise<TokenService | 'none' | 'basic'> {
    const response = await this.#outbound.send({
      url: `${this.#upstream.url}/v2/`,
      method: 'GET',
      isLocal: this.#upstream.isLocal,
      within: WITHIN,
    })
    await discardBody(response)
    if (response.status >= 500)
      throw unavailable(`${this.#upstream.host} answered ${response.status}`)
    if (response.status === 429) throw limited(response, this.#now())
    const challenge = response.headers.get(HEADER.wwwAuthenticate)
    if (response.status !== 401 || challenge === null) return 'none'
    return this.serviceOf(challenge) ?? 'none'
  }

  /**
   * What a challenge asks for: a token service that this upstream may name, or Basic. A profile's own token
   * service is never replaced (nvcr.io names another realm once a token has expired).
   * @throws {UpstreamError} when the realm is not one that this upstream may name.
   */
  serviceOf(challenge: string): TokenService | 'basic' | undefined {
    if (typeof this.#upstream.authentication === 'object') return undefined
    const challenges = parseChallenges(challenge)
    const bearers = challenges.filter(({ scheme }) => scheme === 'bearer')
    const realms = bearers.flatMap(({ parameters }) => {
      const { realm, service } = parameters
      return realm === undefined ? [] : [{ realm, service }]
    })
    const trusted = realms.find(({ realm }) => this.#mayName(realm))
    if (trusted !== undefined) return trusted
    if (realms.length > 0) {
      throw new UpstreamError({
        kind: 'invalid',
        reason: `${this.#upstream.host} names a token service that is not listed in its "realms"`,
      })
    }
    return challenges.some(({ scheme }) => scheme === 'basic') ? 'basic' : undefined
  }

  /**
   * Asks for a token. One request.
   * @throws {UpstreamError | OutboundError}
   */
  async fetchToken(service: TokenService, scope: string): Promise<TokenAnswer> {
    const url = new URL(service.realm)
    if (service.service !== undefined) url.searchParams.set('service', service.service)
    url.searchParams.set('scope', scope)
    if (this.#credential !== undefined) url.searchParams.set('account', this.#credential.username)
    const response = await this.#outbound.send({
      url: url.href,
      method: 'GET',
      headers: { [HEADER.accept]: 'application/json' },
      authorization: this.basic(),
      isLocal: this.#upstream.isLocal,
      within: WITHIN,
    })
    if (response.status !== 200) {
      await discardBody(response)
      throw this.#refused(response)
    }
    return parseTokenAnswer(await readAnswer(response, url.host), url.host, this.#now())
  }

  #mayName(realm: string): boolean {
    if (!URL.canParse(realm)) return false
    const { origin, hostname } = new URL(realm)
    if (this.#upstream.realms.includes(origin)) return true
    return this.#upstream.isLocal && isLoopbackHost(hostname)
  }

  #refused(response: Response): UpstreamError {
    const { host } = this.#upstream
    if (response.status === 429) return limited(response, this.#now())
    if (response.status !== 401 && response.status !== 403) {
      return unavailable(`the token service of ${host} answered ${response.status}`)
    }
    // 403, and anything said to nobody, is about the repository: Google and GHCR give no token for what is
    // private or absent. Only a 401 to a credential is about the credential.
    return this.#credential === undefined || response.status === 403
      ? new UpstreamError({ kind: 'denied', reason: `${host} gives no token for this repository` })
      : new UpstreamError({
          kind: 'unauthorized',
          reason: `the credential for ${host} was refused`,
        })
  }
}

/** RFC 7617 §2: `Basic` and base64 of `user-id:password` in UTF-8. */
function basicHeader({ username, password }: Credential): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`)
  return `Basic ${btoa(String.fromCharCode(...bytes))}`
}

async function readAnswer(response: Response, host: string): Promise<Uint8Array> {
  try {
    return await readWhole(response, MAX_TOKEN_ANSWER, WITHIN)
  } catch (error) {
    if (!(error instanceof OutboundError) || error.kind !== 'too-large') throw error
    // No different from an answer that has no token in it: the service is out of order.
    throw unavailable(`the token service at ${host} answered too much`)
  }
}

function parseTokenAnswer(bytes: Uint8Array, host: string, now: number): TokenAnswer {
  const answer = parseJSONObject(bytes)?.members
  const token = answer?.['token'] ?? answer?.['access_token']
  if (answer === undefined || typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw unavailable(`the token service at ${host} answered without a token`)
  }
  const expiresIn = answer['expires_in']
  const stated = typeof expiresIn === 'number' ? expiresIn : lifetimeOf(token, now)
  const lifetime = Number.isFinite(stated) ? Math.max(stated, MIN_LIFETIME) : MIN_LIFETIME
  return { header: `Bearer ${token}`, expiresAt: now + lifetime * 1000 }
}

/** Quay states no `expires_in`, but its tokens are JWTs that do: the seconds that are left, or 0. */
function lifetimeOf(token: string, now: number): number {
  const payload = token.split('.')[1]
  if (payload === undefined || !/^[\w-]+$/.test(payload)) return 0
  const claims = parseJSONObject(decodeBase64URL(payload))?.members
  const exp = claims?.['exp']
  return typeof exp === 'number' ? exp - now / 1000 : 0
}

function decodeBase64URL(text: string): Uint8Array {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(binary, (character) => character.charCodeAt(0))
  } catch {
    // Not base64, hence not a JWT, hence a token without a stated end.
    return new Uint8Array()
  }
}

function limited(response: Response, now: number): UpstreamError {
  const retryAfter = parseRetryAfter(response.headers.get(HEADER.retryAfter), now)
  return new UpstreamError({ kind: 'rate-limited', retryAfter })
}

function unavailable(reason: string): UpstreamError {
  return new UpstreamError({ kind: 'unavailable', isTimeout: false, reason })
}
