// Requests to one upstream in its own words: who we say we are, a fresh token when one has expired, and
// every answer that is not usable turned into an `UpstreamFailure`.

import { HEADER } from '../oci/header.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { discardBody, timeoutAfter } from '../outbound.ts'
import type { Outbound } from '../outbound.ts'
import type { Defer, Now } from '../seams.ts'
import { parseBudget } from './budget.ts'
import { UpstreamError, failureOf, parseRetryAfter } from './error.ts'
import type { UpstreamFailure } from './error.ts'
import type { Authorization, GateStub, Purpose, Refusal, Standing } from './gate.ts'
import type { Credential, Upstream } from './upstream.ts'

/** Milliseconds until the headers of one request must be here. */
const HEADERS_WITHIN = 10_000
/** Milliseconds for a gate to say how it stands: it knows, or it is away. */
const STANDING_WITHIN = 2000
/** What a registry means by these: here are bytes, or nothing has changed. */
const USABLE = new Set([200, 206, 304])

/**
 * A request to the upstream about one repository, `path` follows `/v2/<repository>/`; or about its catalog, where
 * there is no repository and `path` follows `/v2/`.
 */
export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD'
  readonly repository: RepositoryName | undefined
  readonly path: string
  readonly purpose: Purpose
  readonly headers?: Readonly<Record<string, string>>
  /** When the whole exchange, tokens included, must have its headers (milliseconds of the clock). */
  readonly deadline: number
}

/** Where the client finds the gate of a credential, or of nobody. */
export type GateOf = (upstream: Upstream, credential: Credential | undefined) => GateStub

/** Counts requests to upstreams, and bytes that are read from them, by the endpoint's name. */
export interface UpstreamTally {
  /** Without a status there was no answer. */
  asked(upstream: string, status: number | undefined): void
  read(upstream: string, bytes: number): void
}

/** What a client is given. */
export interface ClientGiven {
  readonly outbound: Outbound
  readonly gateOf: GateOf
  /** Where somebody wants to know. */
  readonly tally?: UpstreamTally
  readonly now: Now
  readonly defer: Defer
}

/** Speaks to one upstream. */
export class UpstreamClient {
  readonly upstream: Upstream
  /** The same registry's other endpoints, in the order in which they stand in for it. */
  readonly alternates: readonly UpstreamClient[]
  readonly #given: ClientGiven
  readonly #gates = new Map<Credential | undefined, GateStub>()

  constructor(upstream: Upstream, given: ClientGiven) {
    this.upstream = upstream
    this.alternates = upstream.alternates.map((alternate) => new UpstreamClient(alternate, given))
    this.#given = given
  }

  /**
   * Sends the request as each of our identities in turn until one is not refused: every credential, the one
   * with most budget first, then, for what is public, nobody.
   * @returns an answer with status 200, 206 or 304 and its body unread.
   * @throws {UpstreamError}
   */
  async send(request: UpstreamRequest): Promise<Response> {
    let failure: UpstreamFailure | undefined
    for (const identity of await this.#identities(request.repository)) {
      // An empty budget is ours: asking as nobody would only spend that of our address too.
      if (identity === undefined && failure?.kind === 'rate-limited') break
      const answer = await this.#sendAs(identity, request)
      if (answer instanceof Response) return answer
      failure = telling(failure, answer)
      if (!isOfIdentity(answer)) break
    }
    throw new UpstreamError(failure ?? { kind: 'denied', reason: 'no credential is configured' })
  }

  /** Notes that so many bytes of an answer were read. */
  noteRead(bytes: number): void {
    this.#given.tally?.read(this.upstream.name, bytes)
  }

  /** What tags' TTLs are multiplied by, as the best of our budgets falls. */
  async stretch(): Promise<number> {
    const { credentials } = this.upstream
    if (credentials.length === 0) return 1
    const standings = await Promise.all(credentials.map((each) => this.#standing(each)))
    return Math.min(...standings.map(({ stretch }) => stretch))
  }

  async #identities(
    repository: RepositoryName | undefined,
  ): Promise<readonly (Credential | undefined)[]> {
    const { credentials } = this.upstream
    const ordered = credentials.length > 1 ? await this.#byBudget(credentials) : credentials
    // A private name is told to no third party that would not know us.
    const isOwn = this.upstream.name === this.upstream.host
    const isPrivate = repository === undefined || this.upstream.isPrivate(repository)
    const needsUs = isPrivate && (ordered.length > 0 || !isOwn)
    return needsUs ? ordered : [...ordered, undefined]
  }

  async #byBudget(credentials: readonly Credential[]): Promise<Credential[]> {
    const standings = await Promise.all(
      credentials.map(async (credential) => {
        const { remaining } = await this.#standing(credential)
        return { credential, remaining }
      }),
    )
    // Two without a limit are equal: the order of the configuration stays.
    const sorted = standings.toSorted((a, b) =>
      a.remaining === b.remaining ? 0 : b.remaining - a.remaining,
    )
    return sorted.map(({ credential }) => credential)
  }

  /** A gate that is silent says nothing against asking. */
  async #standing(credential: Credential): Promise<Standing> {
    const late = timeoutAfter(STANDING_WITHIN, 'the gate is silent')
    try {
      return await Promise.race([this.#gateOf(credential).standing(), late.expired])
    } catch {
      return { remaining: Infinity, stretch: 1 }
    } finally {
      late.clear()
    }
  }

  #gateOf(identity: Credential | undefined): GateStub {
    const known = this.#gates.get(identity)
    if (known !== undefined) return known
    const gate = this.#given.gateOf(this.upstream, identity)
    this.#gates.set(identity, gate)
    return gate
  }

  async #sendAs(
    identity: Credential | undefined,
    request: UpstreamRequest,
  ): Promise<Response | UpstreamFailure> {
    const gate = this.#gateOf(identity)
    const authorization = await this.#authorize(gate, request).catch(failureOf)
    if ('kind' in authorization) return authorization
    if (!authorization.ok) return authorization.failure
    const answer = await this.#exchange(gate, request, authorization).catch(failureOf)
    await this.#report(gate, request, answer)
    if (!(answer instanceof Response)) return answer
    if (USABLE.has(answer.status)) return answer
    await discardBody(answer)
    return this.#failure(answer)
  }

  /** One request, and with a fresh token a second one where the first was refused. */
  async #exchange(
    gate: GateStub,
    request: UpstreamRequest,
    authorization: Authorization & { ok: true },
  ): Promise<Response | UpstreamFailure> {
    const response = await this.#sendOnce(request, authorization)
    if (!this.#isExpired(response, authorization)) return response
    await discardBody(response)
    const renewed = await this.#authorize(gate, request, {
      refused: authorization.header,
      challenge: response.headers.get(HEADER.wwwAuthenticate),
    })
    if (!renewed.ok) return renewed.failure
    // A second refusal is not about the token's age.
    return renewed.header === authorization.header ? response : this.#sendOnce(request, renewed)
  }

  /** A token that comes too late is of use to the next request; this one does not wait for it. */
  async #authorize(
    gate: GateStub,
    { repository, purpose, deadline }: UpstreamRequest,
    refusal?: Refusal,
  ): Promise<Authorization> {
    const late = timeoutAfter(
      deadline - this.#given.now(),
      `${this.upstream.host} gave no token in time`,
    )
    try {
      return await Promise.race([gate.authorize(repository, purpose, refusal), late.expired])
    } finally {
      late.clear()
    }
  }

  async #sendOnce(
    request: UpstreamRequest,
    authorization: Authorization & { ok: true },
  ): Promise<Response> {
    const { upstream } = this
    const { outbound, tally } = this.#given
    const answer = outbound.send({
      url: `${upstream.url}/v2/${request.repository === undefined ? '' : `${request.repository}/`}${request.path}`,
      method: request.method,
      headers: request.headers ?? {},
      authorization: authorization.header,
      isLocal: upstream.isLocal,
      hasStorage: request.path.startsWith('blobs/'),
      within: Math.min(HEADERS_WITHIN, request.deadline - this.#given.now()),
    })
    try {
      const response = await answer
      tally?.asked(upstream.name, response.status)
      return response
    } catch (error) {
      tally?.asked(upstream.name, undefined)
      throw error
    }
  }

  #isExpired({ status }: Response, authorization: Authorization & { ok: true }): boolean {
    if (this.upstream.expiredStatuses.includes(status)) return !authorization.isNew
    // Without a token, a 401 tells how to get one; ECR says 403 when a token has expired.
    if (status === 401) return !authorization.isNew || authorization.header === undefined
    return status === 403 && authorization.header !== undefined && !authorization.isNew
  }

  /** The gate is told what it could not see, after the fact; only for a limit does anybody wait until it knows. */
  async #report(
    gate: GateStub,
    request: UpstreamRequest,
    answer: Response | UpstreamFailure,
  ): Promise<void> {
    const { now, defer } = this.#given
    const isCounted = request.purpose === 'counted'
    const isAnswered = answer instanceof Response
    const budget = isAnswered ? parseBudget(answer.headers, now()) : undefined
    const isUsable = isAnswered && USABLE.has(answer.status)
    const failure = isUsable ? undefined : isAnswered ? this.#failure(answer) : answer
    const isNews = budget !== undefined || (failure !== undefined && failure.kind !== 'not-found')
    if (!isCounted && !isNews) return
    const told = gate.report({ isCounted, budget, failure })
    if (failure?.kind === 'rate-limited') await told
    else defer(told)
  }

  #failure(response: Response): UpstreamFailure {
    const { host } = this.upstream
    switch (response.status) {
      case 404:
        return { kind: 'not-found' }
      case 401:
      case 403:
        return { kind: 'denied', reason: `${host} refuses this repository` }
      case 429: {
        const header = response.headers.get(HEADER.retryAfter)
        return { kind: 'rate-limited', retryAfter: parseRetryAfter(header, this.#given.now()) }
      }
      default:
        return response.status >= 500
          ? { kind: 'unavailable', isTimeout: false, reason: `${host} answered ${response.status}` }
          : { kind: 'invalid', reason: `${host} answered ${response.status}` }
    }
  }
}

/** Whether another identity might be answered otherwise. */
function isOfIdentity({ kind }: UpstreamFailure): boolean {
  return kind === 'unauthorized' || kind === 'denied' || kind === 'rate-limited'
}

/**
 * What counts when several identities failed: that a limit is reached, the one that ends first, or else that a
 * credential of ours is refused says more about us than about the repository, so a tag may be served stale for
 * longer.
 */
function telling(before: UpstreamFailure | undefined, now: UpstreamFailure): UpstreamFailure {
  if (before === undefined || !isOfIdentity(now)) return now
  if (before.kind === 'rate-limited' && now.kind === 'rate-limited') {
    return now.retryAfter < before.retryAfter ? now : before
  }
  const isTold = before.kind === 'rate-limited' || now.kind === 'denied'
  return isTold || (before.kind === 'unauthorized' && now.kind === 'unauthorized') ? before : now
}
