// What clients have read, as an isolate notes it and tells the ledger of the repository that they read it from. Most
// requests read what was read before, and then noting is a look at memory.

import type { Digest } from '../oci/digest.ts'
import { Memory } from './memory.ts'

const DAY = 24 * 60 * 60 * 1000
/** A read that was told is not told again for so long, and pulls wait so long at most for one (milliseconds). */
const AGAIN = 60 * 60 * 1000
/** How often pulls that have waited are looked for (milliseconds). */
const SWEEP = 10 * 60 * 1000
/** Digests that are known to be told, and that wait for it; repositories with pulls that wait. */
const MAX_DIGESTS = 20_000
const MAX_REPOSITORIES = 5000
/** Whoever was to tell and has not by then never will (milliseconds). */
const GONE = 60_000
/** A ledger that could not be told is left alone for so long (milliseconds). */
const REST = 60_000
const NONE: readonly never[] = []

/** Told by isolates: what was read of one repository. */
export interface Reads {
  /** When the newest of these reads was (milliseconds). */
  readonly at: number
  /** GETs of manifests that are no index. */
  readonly pulls: number
  /** Manifests and blobs that were read since the isolate has last told of them. */
  readonly digests: readonly Digest[]
}

/** Something was read well. */
export interface Read {
  readonly digest: Digest
  /** Whether it was a GET of a manifest that is no index. */
  readonly isPull: boolean
}

/** A repository that was read from. `Of` says where its ledger is. */
export interface ReadFrom<Of> {
  /** Different for each repository. */
  readonly key: string
  readonly of: Of
}

interface Waiting<Of> {
  readonly from: ReadFrom<Of>
  readonly digests: Digest[]
  pulls: number
  at: number
  /** Since when something waits. */
  readonly since: number
  /** Until when nobody else need tell it: somebody will, or it has just failed. */
  until: number
}

/** Days since the epoch: the unit in which pulls are counted. */
export function dayOf(now: number): number {
  return Math.floor(now / DAY)
}

/** Notes reads for one isolate. */
export class ReadNotes<Of> {
  readonly #told = new Memory<true>(MAX_DIGESTS)
  readonly #waiting = new Map<string, Waiting<Of>>()
  #digests = 0
  #sweepAt = -Infinity

  /** Notes a read. The repositories whose ledgers are to be told soon: mostly none. */
  note(from: ReadFrom<Of>, { digest, isPull }: Read, now: number): readonly ReadFrom<Of>[] {
    const key = `${from.key}@${digest}`
    const isTold = this.#told.get(key, now) !== undefined
    if (isTold && !isPull && now < this.#sweepAt) return NONE
    if (!isTold || isPull) {
      const waiting = this.#waitingFor(from, now)
      waiting.at = now
      if (isPull) waiting.pulls++
      if (!isTold && this.#digests < MAX_DIGESTS) {
        this.#told.put(key, true, { size: 1, until: now + AGAIN })
        waiting.digests.push(digest)
        this.#digests++
      }
      if (this.#isDue(waiting, now)) return [from, ...this.#sweep(now)]
    }
    return this.#sweep(now)
  }

  /** Takes what was noted of a repository, to tell it; `undefined`: somebody has. */
  take(key: string): Reads | undefined {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return undefined
    this.#drop(key, waiting)
    const { at, pulls, digests } = waiting
    return { at, pulls, digests }
  }

  /** It could not be told: digests are noted when they are read again, and pulls wait. */
  giveBack(from: ReadFrom<Of>, { at, pulls, digests }: Reads, now: number): void {
    for (const digest of digests) this.#told.delete(`${from.key}@${digest}`)
    const waiting = this.#waitingFor(from, now)
    waiting.at = Math.max(waiting.at, at)
    waiting.pulls += pulls
    waiting.until = now + REST
  }

  #waitingFor(from: ReadFrom<Of>, now: number): Waiting<Of> {
    const known = this.#waiting.get(from.key)
    if (known !== undefined) return known
    const waiting = { from, digests: [], pulls: 0, at: now, since: now, until: -Infinity }
    this.#waiting.set(from.key, waiting)
    if (this.#waiting.size > MAX_REPOSITORIES) {
      for (const [key, oldest] of this.#waiting) {
        this.#drop(key, oldest)
        break
      }
    }
    return waiting
  }

  #drop(key: string, waiting: Waiting<Of>): void {
    this.#waiting.delete(key)
    this.#digests -= waiting.digests.length
  }

  /** Whether it is for the caller to have it told. */
  #isDue(waiting: Waiting<Of>, now: number): boolean {
    const { digests, since, until } = waiting
    if (now < until || (digests.length === 0 && now - since < AGAIN)) return false
    waiting.until = now + GONE
    return true
  }

  #sweep(now: number): readonly ReadFrom<Of>[] {
    if (now < this.#sweepAt) return NONE
    this.#sweepAt = now + SWEEP
    return [...this.#waiting.values()]
      .filter((waiting) => this.#isDue(waiting, now))
      .map(({ from }) => from)
  }
}
