// What a gate remembers, and where: tokens, how the upstream authenticates, its budget, and until when
// nothing may be asked.

import type { Now } from '../seams.ts'
import { currentBudget } from './budget.ts'
import type { Budget } from './budget.ts'
import type { TokenService } from './upstream.ts'

/** How often an object looks for what has expired, and how long the last error is shown (milliseconds). */
const SWEEP = 60 * 60 * 1000
const KEEP_ERROR = 24 * 60 * 60 * 1000

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

/** Storage for a gate that is an object. An alarm is set whenever there is something to sweep. */
export function durableStorage(storage: DurableObjectStorage, now: Now): GateStorage {
  let alarmAt = 0
  return {
    get: (key) => storage.kv.get(key),
    put: (key, value) => {
      storage.kv.put(key, value)
      if (now() < alarmAt) return
      alarmAt = now() + SWEEP
      void storage.setAlarm(alarmAt)
    },
    delete: (key) => storage.kv.delete(key),
  }
}

/** Removes what is of no use any more; the object is empty in the end, and else comes back here in an hour. */
export async function sweepStorage(storage: DurableObjectStorage, now: number): Promise<void> {
  await storage.setAlarm(now + SWEEP)
  const rows = Array.from(storage.kv.list())
  const over = rows.filter(([key, value]) => isOver(key, value, now))
  for (const [key] of over) storage.kv.delete(key)
  if (over.length === rows.length) await storage.deleteAll()
}

/** Each kind of value says in its own way until when it counts; a bare time is over when it is past. */
function isOver(key: string, value: unknown, now: number): boolean {
  if (key.startsWith('token:')) return (value as StoredToken).expiresAt <= now
  if (key === 'challenge') return (value as StoredChallenge).until <= now
  if (key === 'budget') return currentBudget(value as Budget, now) === undefined
  if (key === 'last-error') return (value as LastError).at + KEEP_ERROR <= now
  return (value as number) <= now
}

/** A token as it goes into `Authorization`, and when it ends (milliseconds). */
export interface StoredToken {
  readonly header: string
  readonly expiresAt: number
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
    return this.#storage.get(`token:${scope}`) as StoredToken | undefined
  }

  keepToken(scope: string, token: StoredToken): void {
    this.#storage.put(`token:${scope}`, token)
  }

  dropToken(scope: string): void {
    this.#storage.delete(`token:${scope}`)
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
