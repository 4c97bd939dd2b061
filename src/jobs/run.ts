// One job as its object runs it: its state and report in SQLite, its steps by alarm, so that it goes on after
// whatever ended the object. It removes itself a month after its end.

import type { Log, Now } from '../seams.ts'
import { JobFailure, isOver } from './job.ts'
import type { JobKind, JobOrder, JobProgress, JobStatus, ReportItem, ReportPage } from './job.ts'
import type { Step, StepContext, Task } from './task.ts'

/** A step has so long, and begins nothing new after it (milliseconds); the platform ends an alarm after 15 minutes. */
export const STEP = 60_000
/** A step that failed is tried again after this, after twice this and so on (milliseconds) … */
const RETRY = 5000
/** … and so often. */
const MAX_ATTEMPTS = 6
/** A job that has ended can be looked at for so long (milliseconds). */
const KEEP = 30 * 24 * 60 * 60 * 1000
/** Lines of a report that are kept, and of one page. */
const MAX_REPORT = 100_000
const MAX_PAGE = 1000

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS job_report (number INTEGER PRIMARY KEY, item TEXT NOT NULL);
`
const STATUS = 'status'
const STATE = 'state'
const ATTEMPTS = 'attempts'
/** What of an ended job is still to be put in order: `ALL` that it has left, or its place in the list. */
const UNSETTLED = 'unsettled'
const ALL = 'all'
const LISTING = 'listing'
/** What could not be put in order is tried again after this (milliseconds), until the job is removed. */
const SETTLE_AGAIN = 10 * 60 * 1000

/** The storage of a job, as far as it needs it; its keys have a version. */
export interface RunStorage extends Pick<DurableObjectStorage, 'sql' | 'setAlarm' | 'deleteAll'> {
  readonly kv: SyncKvStorage
}

/** What a run is given. */
export interface RunGiven {
  readonly storage: RunStorage
  readonly taskOf: (kind: JobKind) => Task<unknown>
  /** Where jobs are listed: told at the beginning, at the end, and when there is nothing left to see. */
  readonly listing: {
    readonly put: (status: JobStatus) => Promise<void>
    readonly delete: (status: JobStatus) => Promise<void>
  }
  readonly ended: (kind: JobKind, state: JobStatus['state']) => void
  readonly now: Now
  readonly log: Log
}

/** State and decisions of a `Job`. */
export class Run {
  readonly #given: RunGiven
  #isStepping = false

  constructor(given: RunGiven) {
    this.#given = given
  }

  /** Begins. Repeated, it changes nothing. */
  async start(id: string, { kind, title, state }: JobOrder, by: string): Promise<JobStatus> {
    const { storage, now, listing } = this.#given
    const known = this.status()
    if (known !== undefined) return known
    const status: JobStatus = {
      id,
      kind,
      title,
      by,
      state: 'running',
      createdAt: now(),
      endedAt: undefined,
      until: undefined,
      progress: { done: 0, total: undefined, unit: '' },
      note: '',
      result: {},
    }
    // Listed first: a job that runs is one that can be seen.
    await listing.put(status)
    storage.kv.put(STATE, state)
    storage.kv.put(STATUS, status)
    await storage.setAlarm(now())
    return status
  }

  /** How it stands; `undefined`: there is no such job, or no more. */
  status(): JobStatus | undefined {
    return this.#given.storage.kv.get<JobStatus>(STATUS)
  }

  /** Lines of the report, from number `from` on. */
  report(from: number): ReportPage {
    const { sql } = this.#given.storage
    if (this.status() === undefined) return { items: [], next: undefined }
    sql.exec(SCHEMA)
    const rows = sql
      .exec(
        'SELECT * FROM job_report WHERE number >= ? ORDER BY number LIMIT ?',
        from,
        MAX_PAGE + 1,
      )
      .toArray()
    // Only lines are written, as JSON.
    const items = rows
      .slice(0, MAX_PAGE)
      .map((row) => JSON.parse(row['item'] as string) as ReportItem)
    const after = rows[MAX_PAGE]
    return { items, next: after === undefined ? undefined : Number(after['number']) }
  }

  /** Ends it; a step that runs is told, and what it has left is put in order after it. How the job stands then. */
  async cancel(): Promise<JobStatus | undefined> {
    const status = this.status()
    if (status === undefined || isOver(status.state)) return status
    return this.#end(status, 'cancelled', '')
  }

  /** Takes a step, or removes what was over long ago. */
  async alarm(): Promise<void> {
    const { storage } = this.#given
    const status = this.status()
    if (status === undefined) return storage.deleteAll()
    if (this.#isStepping) return
    if (isOver(status.state)) return this.#rest(status)
    this.#isStepping = true
    try {
      await this.#step(status)
    } finally {
      this.#isStepping = false
    }
    const after = this.status()
    if (after !== undefined && isOver(after.state)) await this.#settle(after)
  }

  /** Puts in order what an ended job has left, waits, and in the end removes everything. */
  async #rest(status: JobStatus): Promise<void> {
    const { storage, now, listing } = this.#given
    await this.#settle(status)
    const last = (status.endedAt ?? 0) + KEEP
    if (now() >= last) {
      await listing.delete(status)
      return storage.deleteAll()
    }
    if (storage.kv.get(UNSETTLED) === undefined) await storage.setAlarm(last)
  }

  async #step(before: JobStatus): Promise<void> {
    const { storage, now, taskOf } = this.#given
    // Counted before it begins: a step that ends its object every time must not do so for ever.
    const attempts = (storage.kv.get<number>(ATTEMPTS) ?? 0) + 1
    if (attempts > MAX_ATTEMPTS) {
      await this.#end(before, 'failed', 'its step never came to an end')
      return
    }
    storage.kv.put(ATTEMPTS, attempts)
    let step: Step<unknown>
    try {
      step = await taskOf(before.kind).step(storage.kv.get(STATE), this.#context(before))
    } catch (error) {
      return this.#failed(error, attempts)
    }
    storage.kv.put(STATE, step.state)
    storage.kv.delete(ATTEMPTS)
    const status = this.status()
    // Cancelled meanwhile: what the step has done stands, and there is no next one.
    if (status === undefined || isOver(status.state)) return
    const { progress, next } = step
    const result = { ...status.result, ...step.result }
    if (next === 'done') {
      await this.#end({ ...status, progress, result }, 'done', '')
      return
    }
    const isWaiting = next !== 'again'
    const until = isWaiting ? next.until : undefined
    const note = isWaiting ? next.why : ''
    const state = isWaiting ? 'waiting' : 'running'
    storage.kv.put(STATUS, { ...status, state, progress, result, note, until } satisfies JobStatus)
    await storage.setAlarm(until ?? now())
  }

  async #failed(error: unknown, attempts: number): Promise<void> {
    const { storage, now, log } = this.#given
    const status = this.status()
    if (status === undefined || isOver(status.state)) return
    const note = error instanceof Error ? error.message : String(error)
    log('job-step-failed', { id: status.id, kind: status.kind, reason: note })
    if (error instanceof JobFailure || attempts >= MAX_ATTEMPTS) {
      await this.#end(status, 'failed', note)
      return
    }
    const until = now() + RETRY * 2 ** (attempts - 1)
    storage.kv.put(STATUS, { ...status, state: 'waiting', note, until } satisfies JobStatus)
    await storage.setAlarm(until)
  }

  async #end(before: JobStatus, state: JobStatus['state'], note: string): Promise<JobStatus> {
    const { storage, now, ended, log } = this.#given
    const status: JobStatus = { ...before, state, note, until: undefined, endedAt: now() }
    storage.kv.put(STATUS, status)
    storage.kv.put(UNSETTLED, ALL)
    // Should this object die before it is in order, the alarm comes back to it.
    await storage.setAlarm(now())
    ended(status.kind, state)
    log('job-ended', { id: status.id, kind: status.kind, state, note })
    if (!this.#isStepping) await this.#settle(status)
    return status
  }

  /** What fails is tried again by the alarm. */
  async #settle(status: JobStatus): Promise<void> {
    const { storage, now, listing, log, taskOf } = this.#given
    const left = storage.kv.get(UNSETTLED)
    if (left === undefined) return
    try {
      if (left !== LISTING) {
        if (status.state !== 'done') {
          await taskOf(status.kind).end?.(storage.kv.get(STATE), this.#context(status))
        }
        // It may hold a secret, and nobody needs it any more.
        storage.kv.delete(STATE)
        storage.kv.put(UNSETTLED, LISTING)
      }
      await listing.put(status)
      storage.kv.delete(UNSETTLED)
      await storage.setAlarm((status.endedAt ?? now()) + KEEP)
    } catch (error) {
      log('job-not-settled', { id: status.id, reason: String(error) })
      await storage.setAlarm(now() + SETTLE_AGAIN)
    }
  }

  #context({ id, by }: JobStatus): StepContext {
    const { storage, now } = this.#given
    storage.sql.exec(SCHEMA)
    const report = (item: ReportItem): void => {
      const { sql } = storage
      const row = sql.exec('SELECT MAX(number) AS last FROM job_report').one()
      const number = Number(row['last'] ?? 0) + 1
      if (number <= MAX_REPORT) {
        sql.exec('INSERT INTO job_report VALUES (?, ?)', number, JSON.stringify(item))
      }
    }
    const isCancelled = (): boolean => {
      const state = this.status()?.state
      return state === undefined || isOver(state)
    }
    const show = (progress: JobProgress): void => {
      const status = this.status()
      if (status !== undefined && !isOver(status.state)) {
        storage.kv.put(STATUS, { ...status, progress } satisfies JobStatus)
      }
    }
    return { id, by, until: now() + STEP, isCancelled, show, sql: storage.sql, report }
  }
}
