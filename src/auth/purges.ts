// What was purged lately, as every isolate has to know it: whatever it holds of that, and whatever KV still shows it,
// is not to be served any more. Kept by `Authority`, seen everywhere with its snapshots.

import type { Now } from '../seams.ts'

/** Records that stay whatever their age, and the age up to which all of them stay (milliseconds). */
const KEEP_COUNT = 100
const KEEP_AGE = 2 * 60 * 60 * 1000
/** Beyond so many, a host stands for its repositories: they are part of every snapshot. */
const MAX_RECORDS = 1000

const PURGES = 'purges'

/** One purge. `scope`: the canonical name of a repository, or the host of an upstream. */
export interface Purge {
  readonly number: number
  /** Milliseconds: what was known before is not to be believed. */
  readonly at: number
  readonly scope: string
}

/** All purges: how many there were, and the latest, the newest first. */
export interface Purges {
  readonly number: number
  readonly recent: readonly Purge[]
}

/** As it is until somebody purges something. */
export const NO_PURGES: Purges = { number: 0, recent: [] }

/** Storage as `Authority` has it. */
interface PurgeStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
}

/** Reads and writes the records. */
export class PurgeRecords {
  readonly #storage: PurgeStorage
  readonly #now: Now

  constructor(storage: PurgeStorage, now: Now) {
    this.#storage = storage
    this.#now = now
  }

  /** All of them. */
  read(): Purges {
    return (this.#storage.get(PURGES) as Purges | undefined) ?? NO_PURGES
  }

  /** Notes that of `scope` nothing counts that was known at `at` (milliseconds), or now; returns the number of that. */
  add(scope: string, at = this.#now()): number {
    const before = this.read()
    const now = this.#now()
    const number = before.number + 1
    const covered = before.recent.filter((each) => covers(scope, each.scope))
    const others = before.recent.filter((each) => !covered.includes(each))
    const kept = others.filter((each, index) => index < KEEP_COUNT - 1 || now - each.at <= KEEP_AGE)
    const last = Math.max(at, ...covered.map((each) => each.at))
    const recent = [{ number, at: last, scope }, ...kept]
    const purges = { number, recent: recent.length > MAX_RECORDS ? byHost(recent) : recent }
    this.#storage.put(PURGES, purges)
    return number
  }
}

/** Whether a newer purge of `scope` makes one of `other` needless. */
function covers(scope: string, other: string): boolean {
  return other === scope || (other.startsWith(`${scope}/`) && !scope.includes('/'))
}

/** One record for each host, as new as its newest: more is forgotten then than was purged, which costs time only. */
function byHost(recent: readonly Purge[]): readonly Purge[] {
  const hosts = new Map<string, Purge>()
  for (const purge of recent) {
    const [host = ''] = purge.scope.split('/')
    if (!hosts.has(host)) hosts.set(host, { ...purge, scope: host })
  }
  return [...hosts.values()]
}
