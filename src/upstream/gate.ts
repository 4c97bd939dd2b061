// The gate to one upstream for one of our credentials (or none): tokens and their single flight, the budget,
// and the times at which nothing may be asked. One Durable Object per upstream and credential holds it, so a
// token is fetched once for everybody and never lies in KV.

import type { Outbound } from '../outbound.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Now } from '../seams.ts'
import { Authorizer } from './authorization.ts'
import { currentBudget, laterBudget, stretchOf } from './budget.ts'
import type { Budget } from './budget.ts'
import { failureOf } from './error.ts'
import type { UpstreamFailure } from './error.ts'
import { GateMemory } from './gate-storage.ts'
import type { GateStorage, LastError } from './gate-storage.ts'
import type { Credential, TokenService, Upstream } from './upstream.ts'

/** How long a credential rests that the token service refused: Docker Hub locks accounts (milliseconds). */
const REST = 10 * 60 * 1000
/** How long an upstream's way of authenticating is remembered (milliseconds). */
const CHALLENGE_TTL = 60 * 60 * 1000
/** After a renewal that did not help, no other is tried for so long (milliseconds). */
const RENEWAL = 60 * 1000
/** A token is not used during its last seconds, so that it does not expire on its way (milliseconds). */
const MARGIN = 10 * 1000
/** A request that nobody reported back counts against the budget no longer than this (milliseconds). */
const LEASE = 30 * 1000
/** With no budget left, one request in so long finds out whether there is some again (milliseconds). */
const PROBE = 60 * 1000

/** What a caller knows that the gate does not: a request was refused, with this header and challenge. */
export interface Refusal {
  readonly refused: string | undefined
  readonly challenge: string | null
}

/**
 * What is to be asked: `counted` is a manifest, which Docker Hub takes from the budget; `check` its HEAD, which
 * it does not, but without a budget there is nothing to be done with the answer; `free` is everything else.
 */
export type Purpose = 'counted' | 'check' | 'free'

/** A value for `Authorization` (`undefined`: send none), and whether it was made just now. */
export type Authorization =
  | {
      readonly ok: true
      readonly header: string | undefined
      readonly isNew: boolean
    }
  | { readonly ok: false; readonly failure: UpstreamFailure }

/** What an answer of the upstream told: its budget, a limit, or that it failed. */
export interface Report {
  /** That a request authorized as `counted` has been answered, or will not be. */
  readonly isCounted: boolean
  readonly budget: Budget | undefined
  readonly failure: UpstreamFailure | undefined
}

/** How well a credential stands: what it may still ask, and what tags' TTLs are multiplied by. */
export interface Standing {
  /** `Infinity` where nothing is known to limit it, 0 while nothing may be asked. */
  readonly remaining: number
  readonly stretch: number
}

/** A gate as an operator sees it; times in milliseconds, `undefined` where there is none. */
export interface GateStatus {
  readonly budget: Budget | undefined
  readonly limitedUntil: number | undefined
  readonly restingUntil: number | undefined
  readonly nextAttempt: number | undefined
  readonly lastError: LastError | undefined
}

/** Whose gate: an upstream's or an alternate's (`Upstream.name`), for one credential or for nobody. */
export interface GateName {
  readonly upstream: string
  readonly credential: string | undefined
}

/** The gate as its callers see it, near or far. */
export interface GateStub {
  /** What to send with a request for `repository`, or for the catalog; no request may go out when it says no. */
  authorize(
    repository: RepositoryName | undefined,
    purpose: Purpose,
    refusal?: Refusal,
  ): Promise<Authorization>
  /** Tells what came of a request. */
  report(report: Report): Promise<void>
  /** How well the credential stands. */
  standing(): Promise<Standing>
}

/** State and decisions of a gate. */
export class Gate implements GateStub {
  readonly #upstream: Upstream
  readonly #credential: Credential | undefined
  readonly #memory: GateMemory
  readonly #now: Now
  readonly #authorizer: Authorizer
  readonly #flights = new Map<string, Promise<unknown>>()
  /** When counted requests were let out that nobody has reported back yet. */
  #leases: number[] = []

  constructor(given: {
    readonly upstream: Upstream
    readonly credential: Credential | undefined
    readonly storage: GateStorage
    readonly outbound: Outbound
    readonly now: Now
  }) {
    this.#upstream = given.upstream
    this.#credential = given.credential
    this.#memory = new GateMemory(given.storage)
    this.#now = given.now
    this.#authorizer = new Authorizer(given, given)
  }

  async authorize(
    repository: RepositoryName | undefined,
    purpose: Purpose,
    refusal?: Refusal,
  ): Promise<Authorization> {
    const scope = this.#upstream.scope(repository)
    const closed =
      this.#closed() ??
      (refusal === undefined ? this.#exhausted(purpose) : this.#refused(scope, refusal))
    if (closed !== undefined) return { ok: false, failure: closed }
    const answer = await this.#token(scope, refusal !== undefined)
    // Others may have taken the last of the budget while the token was fetched; a second try is paid for already.
    const spent = answer.ok && refusal === undefined ? this.#spend(purpose) : undefined
    return spent === undefined ? answer : { ok: false, failure: spent }
  }

  async report({ isCounted, budget, failure }: Report): Promise<void> {
    if (isCounted) this.#leases.shift()
    if (budget !== undefined) this.#memory.keepBudget(laterBudget(this.#memory.budget(), budget))
    // Only a gate says that a credential is refused: told its own word again, it would let it rest for longer.
    if (failure !== undefined && failure.kind !== 'unauthorized') this.#fail(failure)
  }

  async standing(): Promise<Standing> {
    const budget = this.#budget()
    const remaining =
      budget === undefined ? Infinity : Math.max(0, budget.remaining - this.#leased())
    return {
      remaining: this.#closed() === undefined ? remaining : 0,
      stretch: stretchOf(budget),
    }
  }

  /** For an operator. */
  status(): GateStatus {
    const now = this.#now()
    const budget = this.#budget()
    const limited = this.#memory.time('limited-until')
    const resting = this.#memory.time('resting-until')
    const probe = budget?.remaining === 0 ? this.#nextProbe(budget) : 0
    const next = Math.max(limited, resting, probe)
    return {
      budget,
      limitedUntil: limited > now ? limited : undefined,
      restingUntil: resting > now ? resting : undefined,
      nextAttempt: next > now ? next : undefined,
      lastError: this.#memory.lastError(),
    }
  }

  /** Whether nothing at all may be asked: within a `Retry-After`, or while the credential rests. */
  #closed(): UpstreamFailure | undefined {
    const limited = this.#memory.time('limited-until')
    if (limited > this.#now()) return rateLimited(limited - this.#now())
    if (this.#memory.time('resting-until') <= this.#now()) return undefined
    return { kind: 'unauthorized', reason: `the credential for ${this.#upstream.host} was refused` }
  }

  /** Whether the budget is used up, and it is not yet time to see whether it still is. */
  #exhausted(purpose: Purpose): UpstreamFailure | undefined {
    const budget = this.#budget()
    if (purpose === 'free' || budget === undefined) return undefined
    if (budget.remaining > this.#leased()) return undefined
    // What is let out comes back or expires; only whether an empty budget still is empty is worth a request.
    const [first = 0] = this.#leases
    const opens = budget.remaining > 0 ? first + LEASE : this.#nextProbe(budget)
    return opens > this.#now() ? rateLimited(opens - this.#now()) : undefined
  }

  /** Takes a request from the budget. */
  #spend(purpose: Purpose): UpstreamFailure | undefined {
    const exhausted = this.#exhausted(purpose)
    if (exhausted !== undefined || purpose === 'free') return exhausted
    const budget = this.#budget()
    if (budget !== undefined && budget.remaining <= this.#leased()) {
      this.#memory.keepTime('probed-at', this.#now())
    }
    if (purpose === 'counted') this.#leases.push(this.#now())
    return undefined
  }

  /** The anonymous budget is that of a source address, which changes: only a 429 stops there. */
  #budget(): Budget | undefined {
    if (this.#credential === undefined) return undefined
    return currentBudget(this.#memory.budget(), this.#now())
  }

  #nextProbe(budget: Budget): number {
    return Math.max(budget.at, this.#memory.time('probed-at')) + PROBE
  }

  #leased(): number {
    const since = this.#now() - LEASE
    this.#leases = this.#leases.filter((at) => at > since)
    return this.#leases.length
  }

  /** A token that was refused is dropped, unless another caller has replaced it meanwhile. */
  #refused(scope: string, { refused, challenge }: Refusal): UpstreamFailure | undefined {
    const token = this.#memory.token(scope)
    // One that was made because another was refused, just now, is not refused for its age.
    const isVain = token?.isRenewal === true && this.#now() - token.madeAt < RENEWAL
    if (token?.header === refused && !isVain) this.#memory.dropToken(scope)
    if (challenge === null) return undefined
    try {
      const service = this.#authorizer.serviceOf(challenge)
      if (service !== undefined) this.#learn(service)
      return undefined
    } catch (error) {
      return failureOf(error)
    }
  }

  async #token(scope: string, isRenewal: boolean): Promise<Authorization> {
    const token = this.#memory.token(scope)
    if (token !== undefined && token.expiresAt - MARGIN > this.#now()) {
      return { ok: true, header: token.header, isNew: false }
    }
    return this.#once(`token:${scope}`, () => this.#authorize(scope, isRenewal))
  }

  async #authorize(scope: string, isRenewal: boolean): Promise<Authorization> {
    try {
      const service = await this.#service()
      if (service === 'none') return { ok: true, header: undefined, isNew: true }
      if (service === 'basic') {
        return { ok: true, header: this.#authorizer.basic(), isNew: true }
      }
      const token = await this.#authorizer.fetchToken(service, scope)
      this.#memory.keepToken(scope, { ...token, isRenewal, madeAt: this.#now() })
      return { ok: true, header: token.header, isNew: true }
    } catch (error) {
      const failure = failureOf(error)
      this.#fail(failure)
      return { ok: false, failure }
    }
  }

  /** One question however many repositories wait for the answer. */
  #service(): Promise<TokenService | 'none' | 'basic'> {
    return this.#once('challenge', async () => {
      const { authentication } = this.#upstream
      if (typeof authentication === 'object') return authentication
      const known = this.#memory.challenge()
      if (known !== undefined && known.until > this.#now()) return known.service
      if (authentication === 'none') return 'none'
      const service = await this.#authorizer.ping()
      this.#learn(service)
      return service
    })
  }

  #learn(service: TokenService | 'none' | 'basic'): void {
    this.#memory.keepChallenge({ service, until: this.#now() + CHALLENGE_TTL })
  }

  #fail(failure: UpstreamFailure): void {
    const now = this.#now()
    // What it says of one repository is no error of the upstream's.
    if (failure.kind === 'not-found' || failure.kind === 'denied') return
    if (failure.kind === 'unauthorized') this.#memory.keepTime('resting-until', now + REST)
    if (failure.kind === 'rate-limited') {
      const until = now + failure.retryAfter * 1000
      // Requests were under way together: the 429 that names no time must not shorten another's hour.
      if (until > this.#memory.time('limited-until')) {
        this.#memory.keepTime('limited-until', until)
      }
    }
    this.#memory.keepError({ at: now, reason: 'reason' in failure ? failure.reason : failure.kind })
  }

  /** What runs under a key has one type. */
  #once<Value>(key: string, work: () => Promise<Value>): Promise<Value> {
    const running = this.#flights.get(key)
    if (running !== undefined) return running as Promise<Value>
    const flight = work().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }
}

function rateLimited(milliseconds: number): UpstreamFailure {
  return { kind: 'rate-limited', retryAfter: Math.ceil(milliseconds / 1000) }
}

/** Reaches a gate elsewhere; when that fails, goes on with one that knows only what this caller has told it. */
export class DistantGate implements GateStub {
  readonly #distant: GateStub
  readonly #local: GateStub

  constructor(distant: GateStub, local: GateStub) {
    this.#distant = distant
    this.#local = local
  }

  async authorize(
    repository: RepositoryName | undefined,
    purpose: Purpose,
    refusal?: Refusal,
  ): Promise<Authorization> {
    try {
      return await this.#distant.authorize(repository, purpose, refusal)
    } catch {
      return this.#local.authorize(repository, purpose, refusal)
    }
  }

  async report(report: Report): Promise<void> {
    // Only a hint is lost when the gate is away: the next answer gives it again.
    await Promise.all([
      this.#distant.report(report).catch(() => undefined),
      this.#local.report(report),
    ])
  }

  async standing(): Promise<Standing> {
    try {
      return await this.#distant.standing()
    } catch {
      return this.#local.standing()
    }
  }
}
