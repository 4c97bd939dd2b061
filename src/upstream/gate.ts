// The gate to one upstream for one of our credentials (or none): tokens and their single flight, and the
// times at which nothing may be asked. One Durable Object per upstream and credential holds it, so a token
// is fetched once for everybody and never lies in KV.

import type { Outbound } from '../outbound.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Now } from '../seams.ts'
import { Authorizer } from './authorization.ts'
import type { TokenAnswer } from './authorization.ts'
import { UpstreamError, failureOf } from './error.ts'
import type { UpstreamFailure } from './error.ts'
import type { Credential, TokenService, Upstream } from './upstream.ts'

/** How long a credential rests that the token service refused: Docker Hub locks accounts (milliseconds). */
const REST = 10 * 60 * 1000
/** How long an upstream's way of authenticating is remembered (milliseconds). */
const CHALLENGE_TTL = 60 * 60 * 1000
/** A token is not used during its last seconds, so that it does not expire on its way (milliseconds). */
const MARGIN = 10 * 1000

/** What a caller knows that the gate does not: a request was refused, with this header and challenge. */
export interface Refusal {
  readonly refused: string | undefined
  readonly challenge: string | null
}

/** A value for `Authorization` (`undefined`: send none), and whether it was made just now. */
export type Authorization =
  | { readonly ok: true; readonly header: string | undefined; readonly isNew: boolean }
  | { readonly ok: false; readonly failure: UpstreamFailure }

/** The gate as its callers see it, near or far. */
export interface GateStub {
  /** What to send with a request for `repository`; no request may go out when it says no. */
  authorize(repository: RepositoryName, refusal?: Refusal): Promise<Authorization>
  /** Tells that the upstream said 429: nothing goes out for `retryAfter` seconds. */
  limit(retryAfter: number): Promise<void>
}

/** The part of a Durable Object's storage that the gate uses; a `Map` will do where there is none. */
export interface GateStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): unknown
}

/** Storage for a gate that lives as long as one request. */
export function passingStorage(): GateStorage {
  const values = new Map<string, unknown>()
  return {
    get: (key) => values.get(key),
    put: (key, value) => void values.set(key, value),
    delete: (key) => values.delete(key),
  }
}

/** Storage for a gate that is an object; the alarm empties it an hour after the last write. */
export function durableStorage(storage: DurableObjectStorage): GateStorage {
  return {
    get: (key) => storage.kv.get(key),
    put: (key, value) => {
      storage.kv.put(key, value)
      void storage.setAlarm(Date.now() + CHALLENGE_TTL)
    },
    delete: (key) => storage.kv.delete(key),
  }
}

interface StoredToken {
  readonly header: string
  readonly expiresAt: number
}

interface StoredChallenge {
  readonly service: TokenService | 'none' | 'basic'
  readonly until: number
}

/** State and decisions of a gate. */
export class Gate implements GateStub {
  readonly #upstream: Upstream
  readonly #storage: GateStorage
  readonly #now: Now
  readonly #authorizer: Authorizer
  readonly #flights = new Map<string, Promise<Authorization>>()

  constructor(given: {
    readonly upstream: Upstream
    readonly credential: Credential | undefined
    readonly storage: GateStorage
    readonly outbound: Outbound
    readonly now: Now
  }) {
    this.#upstream = given.upstream
    this.#storage = given.storage
    this.#now = given.now
    this.#authorizer = new Authorizer(given, given)
  }

  async authorize(repository: RepositoryName, refusal?: Refusal): Promise<Authorization> {
    const closed = this.#closed()
    if (closed !== undefined) return { ok: false, failure: closed }
    const scope = this.#upstream.scope(repository)
    const key = `token:${scope}`
    const rejected = refusal === undefined ? undefined : this.#refused(key, refusal)
    if (rejected !== undefined) return { ok: false, failure: rejected }
    const token = this.#token(key)
    if (token !== undefined && token.expiresAt - MARGIN > this.#now()) {
      return { ok: true, header: token.header, isNew: false }
    }
    return this.#once(key, () => this.#authorize(key, scope))
  }

  async limit(retryAfter: number): Promise<void> {
    const until = this.#now() + retryAfter * 1000
    // Requests were under way together: the 429 that names no time must not shorten another's hour.
    if (until > this.#time('limited-until')) this.#storage.put('limited-until', until)
  }

  #closed(): UpstreamFailure | undefined {
    const limited = this.#time('limited-until')
    if (limited > this.#now()) {
      return { kind: 'rate-limited', retryAfter: Math.ceil((limited - this.#now()) / 1000) }
    }
    const resting = this.#time('resting-until')
    if (resting <= this.#now()) return undefined
    return { kind: 'unauthorized', reason: `the credential for ${this.#upstream.host} was refused` }
  }

  /** A token that was refused is dropped, unless another caller has replaced it meanwhile. */
  #refused(key: string, { refused, challenge }: Refusal): UpstreamFailure | undefined {
    if (this.#token(key)?.header === refused) this.#storage.delete(key)
    if (challenge === null) return undefined
    try {
      const service = this.#authorizer.serviceOf(challenge)
      if (service !== undefined) this.#learn(service)
      return undefined
    } catch (error) {
      return failureOf(error)
    }
  }

  async #authorize(key: string, scope: string): Promise<Authorization> {
    try {
      const service = await this.#service()
      if (service === 'none') return { ok: true, header: undefined, isNew: true }
      if (service === 'basic') {
        return { ok: true, header: this.#authorizer.basic(), isNew: true }
      }
      const token = await this.#authorizer.fetchToken(service, scope)
      this.#keep(key, token)
      return { ok: true, header: token.header, isNew: true }
    } catch (error) {
      const failure = failureOf(error)
      if (failure.kind === 'unauthorized') this.#storage.put('resting-until', this.#now() + REST)
      if (failure.kind === 'rate-limited') await this.limit(failure.retryAfter)
      return { ok: false, failure }
    }
  }

  async #service(): Promise<TokenService | 'none' | 'basic'> {
    const { authentication } = this.#upstream
    if (typeof authentication === 'object') return authentication
    const known = this.#storage.get('challenge') as StoredChallenge | undefined
    if (known !== undefined && known.until > this.#now()) return known.service
    if (authentication === 'none') return 'none'
    const service = await this.#authorizer.ping()
    this.#learn(service)
    return service
  }

  #learn(service: TokenService | 'none' | 'basic'): void {
    const challenge: StoredChallenge = { service, until: this.#now() + CHALLENGE_TTL }
    this.#storage.put('challenge', challenge)
  }

  #keep(key: string, token: TokenAnswer): void {
    const stored: StoredToken = { header: token.header, expiresAt: token.expiresAt }
    this.#storage.put(key, stored)
  }

  #once(key: string, work: () => Promise<Authorization>): Promise<Authorization> {
    const running = this.#flights.get(key)
    if (running !== undefined) return running
    const flight = work().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }

  // What is read was written by this class: see the `put`s above for the types.

  #token(key: string): StoredToken | undefined {
    return this.#storage.get(key) as StoredToken | undefined
  }

  #time(key: 'limited-until' | 'resting-until'): number {
    return (this.#storage.get(key) as number | undefined) ?? 0
  }
}

/** Reaches a gate elsewhere; when that fails, goes on with one that remembers nothing. */
export class DistantGate implements GateStub {
  readonly #distant: GateStub
  readonly #local: GateStub

  constructor(distant: GateStub, local: GateStub) {
    this.#distant = distant
    this.#local = local
  }

  async authorize(repository: RepositoryName, refusal?: Refusal): Promise<Authorization> {
    try {
      return await this.#distant.authorize(repository, refusal)
    } catch (error) {
      if (error instanceof UpstreamError) throw error
      return this.#local.authorize(repository, refusal)
    }
  }

  async limit(retryAfter: number): Promise<void> {
    // Only the hint is lost when the gate is away: the next 429 gives it again.
    await this.#distant.limit(retryAfter).catch(() => undefined)
    await this.#local.limit(retryAfter)
  }
}
