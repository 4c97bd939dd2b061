// What a gate remembers, and where: tokens, how the upstream authenticates, its budget, and until when
// nothing may be asked.

import type { Now } from '../seams.ts'
import { versionedKeys } from '../storage/versioned-keys.ts'
import { currentBudget } from './budget.ts'
import type { Budget } from './budget.ts'
import type { TokenService } from './upstream.ts'

/** How often an object looks for what has expired, and how long the last error is shown (milliseconds). */
const SWEEP = 60 * 60 * 1000
const KEEP_ERROR = 24 * 60 * 60 * 1000
/** Rows that are read at once. */
const PAGE = 128
/** Tokens that are kept: one is made for every name of a repository that anybody asks for. */
const MAX_TOKENS = 1000
/** With no room for tokens, how often an object looks for some (milliseconds). */
const MAKE_ROOM = 60 * 1000
const TOKENS = 'token:'

/** The part of a Durable Object's storage that a gate uses; a `Map` will do where there is none. */
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

/** The part of a Durable Object's storage that is used here. */
export interface ObjectStorage extends Pick<
  DurableObjectStorage,
  'getAlarm' | 'setAlarm' | 'deleteAll'
> {
  readonly kv: SyncKvStorage
}

/** All that a gate remembers can be found out again. */
function keysOf({ kv }: ObjectStorage): SyncKvStorage {
  return versionedKeys(kv, { version: 1, newer: 'empty' })
}

/** Storage for a gate that is an object. Whatever is put there, an alarm is set for its end. */
export function durableStorage(storage: ObjectStorage, now: Now): GateStorage {
  const kv = keysOf(storage)
  const isNewToken = (key: string): boolean => key.startsWith(TOKENS) && kv.get(key) === undefined
  const room = new TokenRoom(kv, now)
  let alarmAt = -Infinity
  const keepAlarm = async (): Promise<void> => {
    if (now() < alarmAt) return
    // Others who put something meanwhile need not ask.
    alarmAt = now() + SWEEP
    try {
      // One that is set stays: whoever is told something every hour would else never sweep.
      const set = await storage.getAlarm()
      if (set === null) await storage.setAlarm(alarmAt)
      else alarmAt = set
    } catch {
      // The next to put something tries again.
      alarmAt = -Infinity
    }
  }
  return {
    get: (key) => kv.get(key),
    put: (key, value) => {
      if (isNewToken(key) && !room.take()) return
      kv.put(key, value)
      void keepAlarm()
    },
    delete: (key) => kv.delete(key),
  }
}

/** How many more tokens may be kept; a token for which there is no room is used once. */
class TokenRoom {
  readonly #kv: SyncKvStorage
  readonly #now: Now
  /** At most what there is: what is deleted meanwhile is found at the next look. */
  #left = 0
  #nextLook = -Infinity

  constructor(kv: SyncKvStorage, now: Now) {
    this.#kv = kv
    this.#now = now
  }

  take(): boolean {
    if (this.#left <= 0) this.#look()
    if (this.#left <= 0) return false
    this.#left -= 1
    return true
  }

  #look(): void {
    if (this.#now() < this.#nextLook) return
    this.#nextLook = this.#now() + MAKE_ROOM
    this.#left = MAX_TOKENS - sweepRows(this.#kv, this.#now(), TOKENS)
  }
}

/** Removes what is of no use any more; the object is empty in the end, and else comes back here in an hour. */
export async function sweepStorage(storage: ObjectStorage, now: number): Promise<void> {
  await storage.setAlarm(now + SWEEP)
  if (sweepRows(keysOf(storage), now) === 0) await storage.deleteAll()
}

/** Removes the rows that are over, a page at a time; returns how many are left. */
function sweepRows(kv: SyncKvStorage, now: number, prefix = ''): number {
  let left = 0
  let page: [string, unknown][]
  let last: string | undefined
  do {
    const after = last === undefined ? {} : { startAfter: last }
    page = Array.from(kv.list({ prefix, limit: PAGE, ...after }))
    const over = page.filter(([key, value]) => isOver(key, value, now))
    for (const [key] of over) kv.delete(key)
    left += page.length - over.length
    last = page.at(-1)?.[0]
  } while (page.length === PAGE)
  return left
}

/** Each kind of value says in its own way until when it counts; a bare time is over when it is past. */
function isOver(key: string, value: unknown, now: number): boolean {
  if (key.startsWith(TOKENS)) return (value as StoredToken).expiresAt <= now
  if (key === 'challenge') return (value as StoredChallenge).until <= now
  if (key === 'budget') return currentBudget(value as Budget, now) === undefined
  if (key === 'last-error') return (value as LastError).at + KEEP_ERROR <= now
  return (value as number) <= now
}

/** A token as it goes into `Authorization`, and when it ends (milliseconds). */
export interface StoredToken {
  readonly header: string
  readonly expiresAt: number
  readonly madeAt: number
  /** Whether it was made because the one before was refused. */
  readonly isRenewal: boolean
}

/** How the upstream authenticates, believed until `until` (milliseconds). */
export interface StoredChallenge {
  readonly service: TokenService | 'none' | 'basic'
  readonly until: number
}

/** What went wrong last, for whoever operates this. */
export interface LastError {
  readonly at: number
  readonly reason: string
}

/** Typed access: what is read under a key was written here. */
export class GateMemory {
  readonly #storage: GateStorage

  constructor(storage: GateStorage) {
    this.#storage = storage
  }

  token(scope: string): StoredToken | undefined {
    return this.#storage.get(`${TOKENS}${scope}`) as StoredToken | undefined
  }

  keepToken(scope: string, token: StoredToken): void {
    this.#storage.put(`${TOKENS}${scope}`, token)
  }

  dropToken(scope: string): void {
    this.#storage.delete(`${TOKENS}${scope}`)
  }

  challenge(): StoredChallenge | undefined {
    return this.#storage.get('challenge') as StoredChallenge | undefined
  }

  keepChallenge(challenge: StoredChallenge): void {
    this.#storage.put('challenge', challenge)
  }

  /** Milliseconds; 0 where it was never set. */
  time(key: 'limited-until' | 'resting-until' | 'probed-at'): number {
    return (this.#storage.get(key) as number | undefined) ?? 0
  }

  keepTime(key: 'limited-until' | 'resting-until' | 'probed-at', time: number): void {
    this.#storage.put(key, time)
  }

  budget(): Budget | undefined {
    return this.#storage.get('budget') as Budget | undefined
  }

  keepBudget(budget: Budget): void {
    this.#storage.put('budget', budget)
  }

  lastError(): LastError | undefined {
    return this.#storage.get('last-error') as LastError | undefined
  }

  keepError(error: LastError): void {
    this.#storage.put('last-error', error)
  }
}
