// What one kind of job does, a step at a time. A step is repeated from its beginning when its object died in it, so
// whatever it does must bear being done twice.

import type { JobProgress, JobResult, ReportItem } from './job.ts'

/** What a step works with. */
export interface StepContext {
  /** The job. */
  readonly id: string
  /** Who ordered it: the name of an account; empty for the clock. */
  readonly by: string
  /** When the step should have come to its end (milliseconds of the clock): minutes before the platform ends it. */
  readonly until: number
  /** Whether somebody has ended the job: then the step begins nothing new. */
  readonly isCancelled: () => boolean
  /** Shows how far the job is before the step ends: for long ones. */
  readonly show: (progress: JobProgress) => void
  /** Tables of the task's own, in the job's object; their names begin with the kind of the job. */
  readonly sql: SqlStorage
  /** Adds a line to the report. One that is written twice by a repeated step stands there twice. */
  readonly report: (item: ReportItem) => void
}

/** What a step has come to. `next`: go on at once, later, or not at all. */
export interface Step<State> {
  readonly state: State
  readonly progress: JobProgress
  readonly next: 'again' | 'done' | { readonly until: number; readonly why: string }
  /** Added to what the job has come to so far. */
  readonly result?: JobResult
}

/** The work of one kind of job. `State` is what a step leaves to the next: plain data below 1 MB. */
export interface Task<State> {
  /** @throws {JobFailure} when there is no going on; whatever else it throws is tried again a few times. */
  step(state: State, context: StepContext): Promise<Step<State>>
  /** Ends what a job that was cancelled, or that failed, has left half done. */
  end?(state: State, context: StepContext): Promise<void>
}
