// Composition of who may do what: the snapshot of accounts and keys that an isolate keeps, the one object
// that changes them, ID tokens, and the limits of the platform.

import type { Account } from '../auth/account.ts'
import { Authority, SNAPSHOT_AGE } from '../auth/authority.ts'
import type { AuditEntry, AuditPage, AuthorityStorage, Deed, Snapshot } from '../auth/authority.ts'
import { readDocuments } from '../auth/issuer-keys.ts'
import type { AuthorityDump, AuthorityRestored } from '../auth/keeping.ts'
import { OIDC } from '../auth/oidc.ts'
import type { Pin } from '../auth/pins.ts'
import type { Purges } from '../auth/purges.ts'
import { contactOf } from '../auth/switches.ts'
import type { Contact, Switches } from '../auth/switches.ts'
import { verifyAccess } from '../auth/token.ts'
import type { AccessClaims } from '../auth/token.ts'
import type { Config } from '../config.ts'
import type { Outbound } from '../outbound.ts'
import type { Seams } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { Memory } from '../storage/memory.ts'
import { versionedKeys } from '../storage/versioned-keys.ts'

/** While the object is away, what was last known of it counts for so long (milliseconds). */
const MAX_SNAPSHOT_AGE = 10 * 60 * 1000
/** Whoever shows something unknown makes an isolate ask no more often than this (milliseconds). */
const RECENT = 5000
/** The object has so long (milliseconds). */
const WITHIN = 5000
/** Characters of verified tokens that an isolate keeps. */
const TOKEN_MEMORY = 2 * 1024 * 1024
/**
 * What is switched is known as of so long ago; with the time that the object may take, and the seconds for which an
 * isolate repeats a tag that it has not checked, everybody sees it within a minute (milliseconds).
 */
const SWITCH_AGE = 45_000
/** A pull waits no longer for what is switched, which hardly ever changes (milliseconds). */
const SWITCH_WITHIN = 1000
/** No request waits for what is switched so soon after the object has not answered (milliseconds). */
const SWITCH_REST = 10_000
/** The one object of a deployment. */
const NAME = 'authority'

/** What an isolate knows of accounts and keys. */
export interface AccessMemory {
  snapshot: { readonly value: Snapshot; readonly readAt: number } | undefined
  /** When the object last did not answer: it is left alone for a few seconds (milliseconds). */
  failedAt: number
  /** Changes that were made by this isolate. */
  changes: number
  /** What was last known to be switched, whatever its age. */
  switches: Switches
  /** What was last known to be purged, and when somebody last began to ask for that (milliseconds). */
  purges: Purges | undefined
  purgesAskedAt: number
  /** Access tokens that were verified with the keys of a snapshot, and are shown again with each request of a pull. */
  readonly tokens: WeakMap<Snapshot, Memory<AccessClaims>>
  oidc: OIDC | undefined
}

/** Changes accounts and switches. */
export interface AuthorityStub {
  snapshot(): Promise<Snapshot>
  setSwitches(change: Partial<Switches>, by: string): Promise<Switches>
  add(
    account: Pick<Account, 'name' | 'kind' | 'grants'>,
    by: string,
  ): Promise<Awaited<ReturnType<Authority['add']>>>
  list(): Promise<readonly Omit<Account, 'secretHash'>[]>
  revoke(name: string, by: string): Promise<boolean>
  rotate(name: string, by: string): Promise<Awaited<ReturnType<Authority['rotate']>>>
  purged(scope: string, at?: number): Promise<number>
  pins(): Promise<readonly Pin[]>
  /** `undefined`: there are too many. */
  pin(pin: Pick<Pin, 'image' | 'platforms'>, by: string): Promise<Pin | undefined>
  unpin(image: string, by: string): Promise<boolean>
  restorePins(pins: readonly Pin[]): Promise<void>
  dump(): Promise<AuthorityDump>
  restore(dump: AuthorityDump, by: string): Promise<AuthorityRestored>
  note(what: Deed, name: string, by: string): Promise<void>
  audit(): Promise<readonly AuditEntry[]>
  auditPage(before: number | undefined, limit: number): Promise<AuditPage>
}

/** What limits ask: whether a client may go on. */
export interface Limits {
  /** One failed login of an account from a client. */
  login(account: string, client: string): Promise<boolean>
  /** One token that a client asks for. */
  token(client: string): Promise<boolean>
  /** One pull-through that a client causes. */
  fill(client: string): Promise<boolean>
}

/** Makes what decides who may do what. */
export class AccessServices {
  readonly limits: Limits
  readonly #given: {
    readonly env: Env
    readonly seams: Seams
    readonly config: Config
    readonly memory: AccessMemory
    readonly outbound: Outbound
  }

  constructor(given: {
    readonly env: Env
    readonly seams: Seams
    readonly config: Config
    readonly memory: AccessMemory
    readonly outbound: Outbound
  }) {
    this.#given = given
    const { env } = given
    this.limits = {
      login: (account, client) => this.#isWithin(env.LOGIN_LIMIT, `${account} ${client}`),
      token: (client) => this.#isWithin(env.TOKEN_LIMIT, client),
      fill: (client) => this.#isWithin(env.FILL_LIMIT, client),
    }
  }

  /**
   * Accounts and keys as of a minute ago at most, those of the configuration among them; up to ten minutes while
   * the object is away. @throws when nothing is known that is recent enough.
   */
  async snapshot(): Promise<Snapshot> {
    return this.#snapshot(SNAPSHOT_AGE)
  }

  /** The same as of a few seconds ago, for whoever shows a key or an account that is not known yet. */
  async recentSnapshot(): Promise<Snapshot> {
    return this.#snapshot(RECENT)
  }

  async #snapshot(maxAge: number): Promise<Snapshot> {
    const { seams, memory } = this.#given
    const now = seams.now()
    const held = memory.snapshot
    const age = held === undefined ? Infinity : now - held.readAt
    if (held !== undefined && age < maxAge) return held.value
    const isResting = now - memory.failedAt < RECENT && age < MAX_SNAPSHOT_AGE
    if (held !== undefined && isResting) return held.value
    const { changes } = memory
    try {
      const value = this.#withConfigured(await this.#read())
      // What was read before a change that was made here is old already.
      if (changes === memory.changes) {
        memory.snapshot = { value, readAt: seams.now() }
        memory.switches = value.switches
        memory.purges = value.purges
      }
      return value
    } catch (error) {
      memory.failedAt = seams.now()
      if (held === undefined || age > MAX_SNAPSHOT_AGE) throw error
      seams.log('authority-away', { reason: String(error) })
      return held.value
    }
  }

  /**
   * What is switched. While the object is away, what was last known of that; where nothing ever was, nothing is. Asked
   * by requests that it could change, and by no other: a warm pull costs no operation. Never rejects.
   */
  async switches(): Promise<Switches> {
    const { seams, memory } = this.#given
    if (seams.now() - memory.failedAt >= SWITCH_REST) await this.#look()
    return memory.switches
  }

  /**
   * What was purged, by the rules for what is switched; every request for a mirrored manifest has to know it, so while
   * one asks, the others go on with what is known. `undefined`: nothing ever was known. Never rejects.
   */
  purges(): Purges | undefined | Promise<Purges | undefined> {
    const { seams, memory } = this.#given
    const now = seams.now()
    const age = now - (memory.snapshot?.readAt ?? -Infinity)
    const isAsked = now - memory.purgesAskedAt < SWITCH_WITHIN
    const isKnown = age < SWITCH_AGE || (isAsked && age < SWITCH_AGE + SWITCH_WITHIN)
    if (isKnown || now - memory.failedAt < SWITCH_REST) return memory.purges
    memory.purgesAskedAt = now
    return this.#look().then(() => memory.purges)
  }

  async #look(): Promise<void> {
    const { seams, memory } = this.#given
    try {
      await inTime(this.#snapshot(SWITCH_AGE), SWITCH_WITHIN, 'the authority is slow')
    } catch (error) {
      // What is late is still taken when it comes.
      memory.failedAt = seams.now()
      seams.log('authority-away', { reason: String(error) })
    }
  }

  /** What the upstream of a host may be asked for now. Never rejects. */
  async contact(host: string): Promise<Contact> {
    return contactOf(await this.switches(), host)
  }

  /** Notes what was switched here. */
  learn(switches: Switches): void {
    this.#given.memory.switches = switches
  }

  /**
   * Verifies an access token for this audience with the keys of a snapshot, once for each snapshot. Whether its account
   * still exists is for the caller to look up.
   */
  async verify(
    token: string,
    snapshot: Snapshot,
    audience: string,
  ): ReturnType<typeof verifyAccess> {
    const { memory, seams } = this.#given
    const now = seams.now()
    const held = memory.tokens.get(snapshot) ?? new Memory<AccessClaims>(TOKEN_MEMORY)
    memory.tokens.set(snapshot, held)
    const key = `${audience} ${token}`
    const known = held.get(key, now)
    if (known !== undefined) return { ok: true, ...known }
    const { keys, issuer } = snapshot
    const verified = await verifyAccess(token, { keys, issuer, audience, now })
    if (verified.ok) held.put(key, verified, { size: key.length, until: verified.until })
    return verified
  }

  /** Forgets the snapshot, after a change that was made here. */
  forget(): void {
    const { memory } = this.#given
    memory.snapshot = undefined
    memory.changes += 1
  }

  /** Verifies ID tokens; one for each isolate, since it remembers the keys of issuers. */
  get oidc(): OIDC {
    const { config, memory, outbound } = this.#given
    memory.oidc ??= new OIDC({
      issuers: config.issuers,
      // What an issuer publishes is at the very URL.
      fetchJSON: readDocuments((request) => outbound.send({ ...request, maxHops: 0 })),
      now: () => this.#given.seams.now(),
      log: (event, fields) => this.#given.seams.log(event, fields),
    })
    return memory.oidc
  }

  /** The object that keeps accounts and keys. */
  authority(): AuthorityStub {
    return this.#given.env.AUTHORITY.getByName(NAME)
  }

  async #read(): Promise<Snapshot> {
    const stub = this.#given.env.AUTHORITY.getByName(NAME)
    return inTime(stub.snapshot(), WITHIN, 'the authority does not answer')
  }

  /** What the configuration names comes first: whoever deploys decides who that is. */
  #withConfigured(snapshot: Snapshot): Snapshot {
    const { accounts } = this.#given.config
    const names = new Set(accounts.map(({ name }) => name))
    const others = snapshot.accounts.filter(({ name }) => !names.has(name))
    return { ...snapshot, accounts: [...accounts, ...others] }
  }

  /** A limit that does not work limits nobody: it is a courtesy to those who share the registry, no lock. */
  async #isWithin(limit: RateLimit | undefined, key: string): Promise<boolean> {
    if (limit === undefined) return true
    try {
      return (await limit.limit({ key })).success
    } catch (error) {
      this.#given.seams.log('limit-away', { reason: String(error) })
      return true
    }
  }
}

/** The state behind an `Authority`. */
export function openAuthority(storage: DurableObjectStorage, seams: Seams): Authority {
  const kv = versionedKeys(storage.kv, { version: 1, newer: 'refuse' })
  const kept: AuthorityStorage = {
    get: (key) => kv.get(key),
    put: (key, value) => kv.put(key, value),
    delete: (key) => void kv.delete(key),
    list: (prefix) => kv.list({ prefix }),
  }
  return new Authority({ storage: kept, ...seams })
}
