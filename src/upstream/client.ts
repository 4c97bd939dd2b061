// Requests to one upstream in its own words: who we say we are, a fresh token when one has expired, and
// every answer that is not usable turned into an `UpstreamFailure`.

import { HEADER } from '../oci/header.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { discardBody, timeoutAfter } from '../outbound.ts'
import type { Outbound } from '../outbound.ts'
import type { Now } from '../seams.ts'
import { UpstreamError, failureOf, parseRetryAfter } from './error.ts'
import type { UpstreamFailure } from './error.ts'
import type { Authorization, GateStub, Refusal } from './gate.ts'
import type { Credential, Upstream } from './upstream.ts'

/** Milliseconds until the headers of one request must be here. */
const HEADERS_WITHIN = 10_000
/** What a registry means by these: here are bytes, or nothing has changed. */
const USABLE = new Set([200, 206, 304])

/** A request to the upstream about one repository. `path` follows `/v2/<repository>/`. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD'
  readonly repository: RepositoryName
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** When the whole exchange, tokens included, must have its headers (milliseconds of the clock). */
  readonly deadline: number
}

/** Where the client finds the gate of a credential, or of nobody. */
export type GateOf = (upstream: Upstream, credential: Credential | undefined) => GateStub

/** Speaks to one upstream. */
export class UpstreamClient {
  readonly upstream: Upstream
  readonly #outbound: Outbound
  readonly #gateOf: GateOf
  readonly #now: Now

  constructor(
    upstream: Upstream,
    given: { readonly outbound: Outbound; readonly gateOf: GateOf; readonly now: Now },
  ) {
    this.upstream = upstream
    this.#outbound = given.outbound
    this.#gateOf = given.gateOf
    this.#now = given.now
  }

  /**
   * Sends the request as each of our identities in turn until one is not refused: every credential, then, for
   * what is public, nobody.
   * @returns an answer with status 200, 206 or 304 and its body unread.
   * @throws {UpstreamError}
   */
  async send(request: UpstreamRequest): Promise<Response> {
    let refusal: UpstreamFailure | undefined
    for (const identity of this.#identities(request.repository)) {
      const answer = await this.#sendAs(identity, request)
      if (answer instanceof Response) return answer
      refusal = worse(refusal, answer)
      if (answer.kind !== 'unauthorized' && answer.kind !== 'denied') break
    }
    throw new UpstreamError(refusal ?? { kind: 'denied', reason: 'no credential is configured' })
  }

  #identities(repository: RepositoryName): readonly (Credential | undefined)[] {
    const { credentials, isPrivate } = this.upstream
    return isPrivate(repository) && credentials.length > 0
      ? credentials
      : [...credentials, undefined]
  }

  async #sendAs(
    identity: Credential | undefined,
    request: UpstreamRequest,
  ): Promise<Response | UpstreamFailure> {
    const gate = this.#gateOf(this.upstream, identity)
    try {
      const authorization = await this.#authorize(gate, request)
      if (!authorization.ok) return authorization.failure
      const response = await this.#sendOnce(request, authorization)
      if (USABLE.has(response.status)) return response
      await discardBody(response)
      return this.#isExpired(response, authorization)
        ? await this.#retry(gate, request, { refused: authorization, response })
        : await this.#failure(gate, response)
    } catch (error) {
      return failureOf(error)
    }
  }

  /** Asks again with a token made now: once, because a second refusal is not about the token's age. */
  async #retry(
    gate: GateStub,
    request: UpstreamRequest,
    first: { readonly refused: Authorization & { ok: true }; readonly response: Response },
  ): Promise<Response | UpstreamFailure> {
    const authorization = await this.#authorize(gate, request, {
      refused: first.refused.header,
      challenge: first.response.headers.get(HEADER.wwwAuthenticate),
    })
    if (!authorization.ok) return authorization.failure
    if (authorization.header === first.refused.header) return this.#failure(gate, first.response)
    const response = await this.#sendOnce(request, authorization)
    if (USABLE.has(response.status)) return response
    await discardBody(response)
    return this.#failure(gate, response)
  }

  /** A token that comes too late is of use to the next request; this one does not wait for it. */
  async #authorize(
    gate: GateStub,
    request: UpstreamRequest,
    refusal?: Refusal,
  ): Promise<Authorization> {
    const deadline = timeoutAfter(
      request.deadline - this.#now(),
      `${this.upstream.host} gave no token in time`,
    )
    try {
      return await Promise.race([gate.authorize(request.repository, refusal), deadline.expired])
    } finally {
      deadline.clear()
    }
  }

  #sendOnce(
    request: UpstreamRequest,
    authorization: Authorization & { ok: true },
  ): Promise<Response> {
    const { upstream } = this
    return this.#outbound.send({
      url: `${upstream.url}/v2/${request.repository}/${request.path}`,
      method: request.method,
      headers: request.headers ?? {},
      authorization: authorization.header,
      isLocal: upstream.isLocal,
      within: Math.min(HEADERS_WITHIN, request.deadline - this.#now()),
    })
  }

  #isExpired(response: Response, authorization: Authorization & { ok: true }): boolean {
    const { status } = response
    if (this.upstream.expiredStatuses.includes(status)) return !authorization.isNew
    // Without a token, a 401 tells how to get one; ECR says 403 when a token has expired.
    if (status === 401) return !authorization.isNew || authorization.header === undefined
    return status === 403 && authorization.header !== undefined && !authorization.isNew
  }

  async #failure(gate: GateStub, response: Response): Promise<UpstreamFailure> {
    const { host } = this.upstream
    switch (response.status) {
      case 404:
        return { kind: 'not-found' }
      case 401:
      case 403:
        return { kind: 'denied', reason: `${host} refuses this repository` }
      case 429: {
        const retryAfter = parseRetryAfter(response.headers.get(HEADER.retryAfter), this.#now())
        await gate.limit(retryAfter)
        return { kind: 'rate-limited', retryAfter }
      }
      default:
        return response.status >= 500
          ? { kind: 'unavailable', isTimeout: false, reason: `${host} answered ${response.status}` }
          : { kind: 'invalid', reason: `${host} answered ${response.status}` }
    }
  }
}

/**
 * What counts when several identities were refused: that a credential of ours failed says more about us
 * than about the repository, so a tag may be served stale for longer.
 */
function worse(before: UpstreamFailure | undefined, now: UpstreamFailure): UpstreamFailure {
  return before?.kind === 'unauthorized' && now.kind === 'denied' ? before : now
}
