// A job: long work that an administrator or the clock has ordered, done in steps by an object of its own. What
// every kind of job has in common, as it is asked for, shown and kept.

/** What jobs there are. */
export const JOB_KINDS = ['purge', 'prefetch', 'collect', 'import', 'export', 'restore'] as const

/** What a job does. */
export type JobKind = (typeof JOB_KINDS)[number]

/** `waiting`: until a time, or for an upstream. The last three are for good. */
export type JobState = 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'

/** How far a job is, in a unit of its own; no total: nobody knows yet. */
export interface JobProgress {
  readonly done: number
  readonly total: number | undefined
  readonly unit: string
}

/** What a job was ordered to do: the state in which its task begins. */
export interface JobOrder {
  readonly kind: JobKind
  /** For people: what is done to what. No secret is in it. */
  readonly title: string
  readonly state: unknown
}

/** Figures and words that a job has come to, by name. */
export type JobResult = Readonly<Record<string, string | number>>

/** How a job stands. Times are milliseconds. */
export interface JobStatus {
  readonly id: string
  readonly kind: JobKind
  readonly title: string
  /** The name of an account; empty for the clock. */
  readonly by: string
  readonly state: JobState
  readonly createdAt: number
  readonly endedAt: number | undefined
  /** When one that waits goes on. */
  readonly until: number | undefined
  readonly progress: JobProgress
  /** What it waits for, or why it failed; else empty. */
  readonly note: string
  readonly result: JobResult
}

/** One line of what a job has done. */
export interface ReportItem {
  /** What it is about: an image, a repository, a blob. */
  readonly subject: string
  /** One word: copied, present, removed, kept, failed … */
  readonly outcome: string
  readonly digest?: string
  readonly bytes?: number
  /** Why. */
  readonly note?: string
}

/** Lines of a report in the order in which they were written; `next`: where the next page begins. */
export interface ReportPage {
  readonly items: readonly ReportItem[]
  readonly next: number | undefined
}

/** Why a job cannot go on, however often it is tried. The message is for people, and no secret is in it. */
export class JobFailure extends Error {
  override readonly name = 'JobFailure'
}

/** Whether a job goes on. */
export function isOver(state: JobState): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled'
}

/** What is wrong with an order: a member of it, or, where `field` is empty, the whole. */
export class OrderError extends Error {
  override readonly name = 'OrderError'
  readonly field: string
  readonly isMissing: boolean

  constructor(field: string, why: string, isMissing = false) {
    super(why)
    this.field = field
    this.isMissing = isMissing
  }
}
