// What the one `Authority` object of a deployment keeps: who issues its tokens, the keys that sign them, its
// accounts, what is switched, and who changed them. Tokens are signed and verified elsewhere, with a snapshot of this.

import type { Log, Now } from '../seams.ts'
import { createSecret, hashSecret, mayHold, parseAccountName } from './account.ts'
import type { Account } from './account.ts'
import { restoreAccounts } from './keeping.ts'
import type { AuthorityDump, AuthorityRestored } from './keeping.ts'
import { PinRecords, samePlatforms } from './pins.ts'
import type { Pin } from './pins.ts'
import { PurgeRecords } from './purges.ts'
import type { Purges } from './purges.ts'
import { Revocations } from './revocations.ts'
import { NO_SWITCHES, turnsBetween } from './switches.ts'
import type { Switches, SwitchTurn } from './switches.ts'
import { LEEWAY, REFRESH_TTL, createKey } from './token.ts'
import type { SigningKey, VerifyingKey } from './token.ts'

/** How long a snapshot may be used (milliseconds). */
export const SNAPSHOT_AGE = 60_000

/** How long a key signs (milliseconds). */
const KEY_AGE = 30 * 24 * 60 * 60 * 1000
/** How long tokens of a key can be good that signs no more: it does so until every snapshot is newer (milliseconds). */
const KEY_REST = SNAPSHOT_AGE + (REFRESH_TTL + LEEWAY) * 1000
/** Changes that are remembered. */
const MAX_AUDIT = 1000

const ISSUER = 'issuer'
const CURRENT = 'current-key'
const RETIRED = 'retired-keys'
const NEXT_AUDIT = 'next-audit'
const ACCOUNTS = 'account:'
const SWITCHES = 'switches'
const AUDIT = 'audit:'

/** The storage of the object; `list` in the order of the keys. */
export interface AuthorityStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): void
  list(prefix: string): Iterable<[string, unknown]>
}

/** Everything that tokens are signed and verified with; it holds secrets, and is for this registry alone. */
export interface Snapshot {
  readonly issuer: string
  /** Signs. */
  readonly key: SigningKey
  /** The keys of all tokens that may still be good. */
  readonly keys: readonly VerifyingKey[]
  readonly accounts: readonly Account[]
  readonly switches: Switches
  readonly purges: Purges
}

/** What administrators do that is not done here, but is to be found in the audit. */
export type Deed =
  | 'purge'
  | 'prefetch'
  | 'collect'
  | 'import'
  | 'export'
  | 'restore'
  | 'cancel'
  | 'refresh'
  | 'pin'
  | 'unpin'
  | 'take-export'
  | 'bring-export'
  | 'delete-export'

/** A change: who made it, and to what. */
export interface AuditEntry {
  /** Milliseconds. */
  readonly at: number
  /** The name of an account; empty where nobody asked for it. */
  readonly by: string
  readonly what: 'add' | 'revoke' | 'rotate' | 'rotate-key' | SwitchTurn['what'] | Deed
  /** Of the account or the switch, the host of an upstream, the id of the key, the image or the title of the job. */
  readonly name: string
}

/** Changes, the newest first; `next`: the `before` of the page with older ones. */
export interface AuditPage {
  readonly entries: readonly AuditEntry[]
  readonly next: number | undefined
}

interface CurrentKey extends SigningKey, VerifyingKey {
  readonly createdAt: number
}

interface RetiredKey extends VerifyingKey {
  readonly retiredAt: number
}

/** Accounts and signing keys of one deployment. */
export class Authority {
  readonly #storage: AuthorityStorage
  readonly #now: Now
  readonly #log: Log
  readonly #purges: PurgeRecords
  readonly #pins: PinRecords
  readonly #revocations: Revocations
  /** The change of keys that everybody waits for. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(given: { readonly storage: AuthorityStorage; readonly now: Now; readonly log: Log }) {
    this.#storage = given.storage
    this.#now = given.now
    this.#log = given.log
    this.#purges = new PurgeRecords(given.storage, given.now)
    this.#pins = new PinRecords(given.storage)
    this.#revocations = new Revocations(given.storage, given.now)
  }

  /** Everything as it stands. Makes the first key, and a new one when it is time. */
  async snapshot(): Promise<Snapshot> {
    // While the key is good nothing is awaited, so that all of this is of one moment.
    const { kid, privateJWK, publicJWK } = this.#goodKey() ?? (await this.#renewKey())
    const retired = this.#retiredKeys()
    return {
      issuer: this.#issuer(),
      key: { kid, privateJWK },
      keys: [
        { kid, publicJWK },
        ...retired.map((key) => ({ kid: key.kid, publicJWK: key.publicJWK })),
      ],
      accounts: this.#accounts(),
      switches: this.#switches(),
      purges: this.#purges.read(),
    }
  }

  /**
   * Makes an account and tells its secret, this once. Invalid are a name that is none, and grants that do not
   * parse or that an account of this kind may not have.
   */
  async add(
    { name, kind, grants }: Pick<Account, 'name' | 'kind' | 'grants'>,
    by: string,
  ): Promise<
    | { readonly ok: true; readonly secret: string }
    | { readonly ok: false; readonly reason: 'exists' | 'invalid' }
  > {
    if (parseAccountName(name) === undefined || !mayHold(kind, grants)) {
      return { ok: false, reason: 'invalid' }
    }
    const { secret, secretHash, version } = await createCredential()
    // Only from here on does nobody else have a turn.
    if (this.#account(name) !== undefined) return { ok: false, reason: 'exists' }
    this.#put({ name, kind, secretHash, grants, version, createdAt: this.#now() })
    this.#revocations.end(name)
    this.#record('add', name, by)
    return { ok: true, secret }
  }

  /** All accounts, in the order of their names, without the hashes of their secrets. */
  list(): readonly Omit<Account, 'secretHash'>[] {
    return this.#accounts().map(({ name, kind, grants, version, createdAt }) => ({
      name,
      kind,
      grants,
      version,
      createdAt,
    }))
  }

  /** Ends an account; its tokens end with the snapshots that know it. False: there is none. */
  revoke(name: string, by: string): boolean {
    if (this.#account(name) === undefined) return false
    this.#storage.delete(ACCOUNTS + name)
    this.#revocations.add(name)
    this.#record('revoke', name, by)
    return true
  }

  /** Gives an account a new secret and ends what the old one was used for. */
  async rotate(
    name: string,
    by: string,
  ): Promise<{ readonly ok: true; readonly secret: string } | { readonly ok: false }> {
    const { secret, secretHash, version } = await createCredential()
    const account = this.#account(name)
    if (account === undefined) return { ok: false }
    this.#put({ ...account, secretHash, version })
    this.#record('rotate', name, by)
    return { ok: true, secret }
  }

  /** Lets a new key sign from now on. Tokens of the old one stay good until they expire. */
  async rotateKey(): Promise<void> {
    await this.#inTurn(() => this.#makeKey())
  }

  /** Turns switches, each that is named and stands otherwise; all as they stand then. */
  setSwitches(change: Partial<Switches>, by: string): Switches {
    const before = this.#switches()
    const after = { ...before, ...change }
    const turns = turnsBetween(before, after)
    if (turns.length > 0) this.#storage.put(SWITCHES, after)
    for (const { what, name } of turns) this.#record(what, name, by)
    return after
  }

  /**
   * Has everybody forget within a minute what was known at `at` (milliseconds), or now, of a repository or of all
   * repositories of a host; called when it is gone from everywhere else. The number of the purge.
   */
  purged(scope: string, at?: number): number {
    return this.#purges.add(scope, at)
  }

  /** What is pinned, in the order of the images. */
  pins(): readonly Pin[] {
    return this.#pins.list()
  }

  /** Pins an image; who pins it again, to the same platforms, changes nothing. `undefined`: there are too many. */
  pin({ image, platforms }: Pick<Pin, 'image' | 'platforms'>, by: string): Pin | undefined {
    const known = this.#pins.get(image)
    if (known !== undefined && samePlatforms(known.platforms, platforms)) return known
    const pin = { image, by, at: this.#now(), platforms }
    if (!this.#pins.put(pin)) return undefined
    this.#record('pin', image, by)
    return pin
  }

  /** Whether it was pinned. */
  unpin(image: string, by: string): boolean {
    const isPinned = this.#pins.delete(image)
    if (isPinned) this.#record('unpin', image, by)
    return isPinned
  }

  /** Puts pins back as they were, in the place of those of the same images; too many are left out. */
  restorePins(pins: readonly Pin[]): void {
    for (const pin of pins) this.#pins.put(pin)
  }

  /** Everything that an export has of this. */
  dump(): AuthorityDump {
    const switches = this.#storage.get(SWITCHES) === undefined ? undefined : this.#switches()
    return { accounts: this.#accounts(), pins: this.#pins.list(), switches }
  }

  /** Takes back what was exported, where nothing stands in its place, and no account that was revoked since. */
  restore({ accounts, pins, switches }: AuthorityDump, by: string): AuthorityRestored {
    const restored = restoreAccounts(accounts, {
      whyNot: (name) => {
        if (this.#account(name) !== undefined) return 'there is one of that name'
        return this.#revocations.has(name) ? 'revoked since' : undefined
      },
      put: (account) => {
        this.#put(account)
        this.#record('add', account.name, by)
      },
    })
    const isUnswitched = switches !== undefined && this.#storage.get(SWITCHES) === undefined
    if (isUnswitched) this.setSwitches(switches, by)
    const unpinned = pins.filter(({ image }) => this.#pins.get(image) === undefined)
    const count = unpinned.filter((pin) => this.#pins.put(pin)).length
    return { ...restored, pins: count, switches: isUnswitched }
  }

  /** Notes what an administrator has done elsewhere. */
  note(what: Deed, name: string, by: string): void {
    this.#record(what, name, by)
  }

  /** The newest changes, the newest first. */
  audit(): readonly AuditEntry[] {
    return [...this.#storage.list(AUDIT)].map(([, entry]) => entry as AuditEntry).toReversed()
  }

  /** At most `limit` changes, the newest of those that were made before the one with a number, or of all. */
  auditPage(before: number | undefined, limit: number): AuditPage {
    const all = [...this.#storage.list(AUDIT)]
      .map(([key, entry]) => ({ number: numberOf(key), entry: entry as AuditEntry }))
      .filter(({ number }) => before === undefined || number < before)
      .toReversed()
    const shown = all.slice(0, limit)
    const next = all.length > shown.length ? shown.at(-1)?.number : undefined
    return { entries: shown.map(({ entry }) => entry), next }
  }

  /** The key that signs, unless it is too old for that. */
  #goodKey(): CurrentKey | undefined {
    const key = this.#key()
    return key !== undefined && this.#now() - key.createdAt <= KEY_AGE ? key : undefined
  }

  async #renewKey(): Promise<CurrentKey> {
    // Somebody who had a turn before may have made one.
    return await this.#inTurn(async () => this.#goodKey() ?? (await this.#makeKey()))
  }

  async #makeKey(): Promise<CurrentKey> {
    const made = await createKey()
    const now = this.#now()
    const previous = this.#key()
    const key: CurrentKey = { ...made, createdAt: now }
    if (previous !== undefined) {
      const { kid, publicJWK } = previous
      // Its private half is forgotten: nothing here signs with it any more.
      const retired: RetiredKey = { kid, publicJWK, retiredAt: now }
      this.#storage.put(RETIRED, [retired, ...this.#retiredKeys()])
    }
    this.#storage.put(CURRENT, key)
    this.#record('rotate-key', key.kid, '')
    return key
  }

  /** One change of keys after the other; one that fails does not hold up the next. */
  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#turn.then(change)
    this.#turn = changed.catch(() => undefined)
    return await changed
  }

  #key(): CurrentKey | undefined {
    return this.#storage.get(CURRENT) as CurrentKey | undefined
  }

  /** Those whose tokens can still be good; the others are forgotten. */
  #retiredKeys(): readonly RetiredKey[] {
    const all = (this.#storage.get(RETIRED) ?? []) as readonly RetiredKey[]
    const good = all.filter(({ retiredAt }) => this.#now() - retiredAt <= KEY_REST)
    if (good.length < all.length) this.#storage.put(RETIRED, good)
    return good
  }

  /** Random, so that no other deployment has the same. */
  #issuer(): string {
    const known = this.#storage.get(ISSUER)
    if (typeof known === 'string') return known
    const issuer = crypto.randomUUID()
    this.#storage.put(ISSUER, issuer)
    return issuer
  }

  #account(name: string): Account | undefined {
    return this.#storage.get(ACCOUNTS + name) as Account | undefined
  }

  #accounts(): readonly Account[] {
    return [...this.#storage.list(ACCOUNTS)].map(([, account]) => account as Account)
  }

  #switches(): Switches {
    return { ...NO_SWITCHES, ...(this.#storage.get(SWITCHES) as Partial<Switches> | undefined) }
  }

  #put(account: Account): void {
    this.#storage.put(ACCOUNTS + account.name, account)
  }

  #record(what: AuditEntry['what'], name: string, by: string): void {
    const next = this.#storage.get(NEXT_AUDIT)
    const index = typeof next === 'number' ? next : 0
    const entry: AuditEntry = { at: this.#now(), by, what, name }
    this.#storage.put(auditKey(index), entry)
    this.#storage.delete(auditKey(index - MAX_AUDIT))
    this.#storage.put(NEXT_AUDIT, index + 1)
    this.#log('authority-changed', { by, what, name })
  }
}

/** A secret, and what is kept of it. */
async function createCredential(): Promise<
  Pick<Account, 'secretHash' | 'version'> & { readonly secret: string }
> {
  const secret = createSecret()
  return { secret, secretHash: await hashSecret(secret), version: crypto.randomUUID() }
}

function numberOf(key: string): number {
  return Number(key.slice(AUDIT.length))
}

/** In the order of the numbers also as text. */
function auditKey(index: number): string {
  return AUDIT + String(index).padStart(16, '0')
}
