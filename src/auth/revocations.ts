// Names of accounts that were revoked: an export of the time before has them with their secrets, and one may have been
// revoked because its secret was known. Kept by `Authority`, and lost with it.

import type { Now } from '../seams.ts'

/** An export is not expected to be older (milliseconds), nor is there reason to revoke more accounts. */
const KEEP_AGE = 400 * 24 * 60 * 60 * 1000
const MAX_RECORDS = 10_000

const REVOKED = 'revoked:'

/** Storage as `Authority` has it. */
interface RevocationStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): void
  list(prefix: string): Iterable<[string, unknown]>
}

/** Reads and writes when which name was revoked. */
export class Revocations {
  readonly #storage: RevocationStorage
  readonly #now: Now

  constructor(storage: RevocationStorage, now: Now) {
    this.#storage = storage
    this.#now = now
  }

  /**
   * The account of a name is revoked, with every secret that it has ever had: those of before it was rotated are
   * older versions of the same name.
   */
  add(name: string): void {
    this.#storage.delete(REVOKED + name)
    this.#prune()
    this.#storage.put(REVOKED + name, this.#now())
  }

  /** Whether the account of a name was revoked, and none was made since. */
  has(name: string): boolean {
    return this.#storage.get(REVOKED + name) !== undefined
  }

  /** An administrator has made an account of the name. */
  end(name: string): void {
    this.#storage.delete(REVOKED + name)
  }

  /** Makes room for one more: the old go, and of too many the oldest. */
  #prune(): void {
    const all = [...this.#storage.list(REVOKED)]
      .map(([key, at]) => ({ key, at: Number(at) }))
      .toSorted((one, other) => other.at - one.at)
    const now = this.#now()
    const old = all.filter(({ at }, index) => index >= MAX_RECORDS - 1 || now - at > KEEP_AGE)
    for (const { key } of old) this.#storage.delete(key)
  }
}
