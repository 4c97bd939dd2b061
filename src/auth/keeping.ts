// What of an `Authority` an export has, and how it comes back: accounts with the hashes of their secrets, pins and
// switches. Keys are left out: tokens are made anew, and whoever stole an export could else make them too. An export
// comes from outside: nothing of it is believed that was not looked at.

import { isJSONObject } from '../oci/json-object.ts'
import { isSecretHash, mayHold, parseAccountName } from './account.ts'
import type { Account, GrantText } from './account.ts'
import type { Pin } from './pins.ts'
import type { Switches } from './switches.ts'

/** The last moment that a date can be of (milliseconds). */
export const MAX_TIME = 8.64e15
/** Characters of a version, which is a UUID where it was made here. */
const MAX_VERSION = 64
/** Characters of what is no name that a report repeats. */
const MAX_SHOWN = 64

/** What is exported of an `Authority`. */
export interface AuthorityDump {
  readonly accounts: readonly Account[]
  readonly pins: readonly Pin[]
  /** `undefined`: nobody has ever switched anything. */
  readonly switches: Switches | undefined
}

/** Something of an export that does not come back, and why. */
export interface LeftOut {
  readonly subject: string
  readonly why: string
}

/** What has come back. */
export interface AuthorityRestored {
  readonly accounts: readonly string[]
  /** Accounts that stand, or do not, as administrators want them. */
  readonly kept: readonly LeftOut[]
  /** What is nothing that this registry would have exported. */
  readonly failed: readonly LeftOut[]
  readonly pins: number
  /** False: somebody has switched something already, or nobody had. */
  readonly switches: boolean
}

/** Where accounts come back to. */
interface Accounts {
  /** Why there can be none of a name. */
  readonly whyNot: (name: string) => string | undefined
  readonly put: (account: Account) => void
}

/** Brings accounts back, one after the other; what is wrong with one is no reason to leave out the next. */
export function restoreAccounts(
  values: readonly unknown[],
  { whyNot, put }: Accounts,
): Pick<AuthorityRestored, 'accounts' | 'kept' | 'failed'> {
  const accounts: string[] = []
  const kept: LeftOut[] = []
  const failed: LeftOut[] = []
  for (const value of values) {
    const subject = accountSubject(value)
    const account = parseAccount(value)
    const why = typeof account === 'string' ? undefined : whyNot(account.name)
    if (typeof account === 'string') failed.push({ subject, why: account })
    else if (why !== undefined) kept.push({ subject, why })
    else {
      put(account)
      accounts.push(account.name)
    }
  }
  return { accounts, kept, failed }
}

/** An account of an export, or what is wrong with it: it is to be one as they are made here. */
export function parseAccount(value: unknown): Account | string {
  if (!isJSONObject(value)) return 'this is no account'
  const { name, kind, grants, secretHash, version, createdAt } = value
  if (!isText(name, isName)) return 'this is no name'
  if (kind !== 'account' && kind !== 'capability') return 'there is no such kind of account'
  if (!Array.isArray(grants) || grants.length === 0) return 'it has no grants'
  // Looked at by the function itself.
  const read = grants as readonly GrantText[]
  if (!mayHold(kind, read)) return `its grants are none that ${kind} can have`
  if (!isText(secretHash, isSecretHash)) return 'it has no hash of a secret'
  if (!isText(version, isVersion)) return 'it has no version'
  if (!isTime(createdAt)) return 'it has no time at which it was made'
  return { name, kind, secretHash, grants: read, version, createdAt }
}

/** How a report calls an account of an export. */
export function accountSubject(value: unknown): string {
  const name = isJSONObject(value) ? value['name'] : undefined
  if (typeof name !== 'string') return 'account without a name'
  // What is no name may be anything, also what a terminal obeys.
  return `account ${isName(name) ? name : JSON.stringify(name.slice(0, MAX_SHOWN))}`
}

/** Whether a value is a moment that can be written as a date (milliseconds). */
export function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_TIME
}

function isText(value: unknown, isRight: (text: string) => boolean): value is string {
  return typeof value === 'string' && isRight(value)
}

function isName(text: string): boolean {
  return parseAccountName(text) !== undefined
}

function isVersion(text: string): boolean {
  return text !== '' && text.length <= MAX_VERSION
}
