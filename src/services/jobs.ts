// Composition of jobs: the objects that run them, the list of them, and what starts and ends them.

import { JobListing } from '../jobs/listing.ts'
import type { JobPage } from '../jobs/listing.ts'
import { isOver } from '../jobs/job.ts'
import type { JobKind, JobOrder, JobStatus, ReportPage } from '../jobs/job.ts'
import { Run } from '../jobs/run.ts'
import { inTime } from '../storage/in-time.ts'
import { versionedKeys } from '../storage/versioned-keys.ts'
import { parseOrder, taskOf } from './tasks.ts'
import type { OrderMembers, TaskGiven } from './tasks.ts'

/** An object has so long (milliseconds). */
const WITHIN = 10_000
const LATE = 'the job does not answer'
/** A job that is listed has begun after so long, or never does (milliseconds). */
const BEGINS_WITHIN = 60_000

/** Starts jobs and tells how they stand. */
export class JobServices {
  readonly #given: TaskGiven

  constructor(given: TaskGiven) {
    this.#given = given
  }

  /** Reads an order. @throws {OrderError} */
  parse(kind: JobKind, members: OrderMembers): JobOrder {
    return parseOrder(kind, members, this.#given)
  }

  /** Starts a job in somebody's name; the clock has none. @throws while storage or the object is away. */
  async start(order: JobOrder, by: string): Promise<JobStatus> {
    const { now } = this.#given.seams
    const id = `${order.kind}-${now().toString(36)}-${crypto.randomUUID().slice(0, 8)}`
    return inTime(this.#stub(id).start(id, order, by), WITHIN, LATE)
  }

  /** At most `limit` jobs, the newest first, each as it stands now. @throws while storage is away. */
  async list(limit: number, cursor?: string): Promise<JobPage> {
    const { env } = this.#given
    const { jobs, next } = await inTime(
      new JobListing(env.BLOBS).list(limit, cursor),
      WITHIN,
      'storage does not answer',
    )
    return { jobs: await Promise.all(jobs.map((job) => this.#current(job))), next }
  }

  /** Jobs that have not ended, among the newest hundred. @throws while storage is away. */
  async unfinished(kind: JobKind): Promise<readonly JobStatus[]> {
    const { jobs } = await this.list(100)
    return jobs.filter((job) => job.kind === kind && !isOver(job.state))
  }

  /** How a job stands; `undefined`: there is none of that id. @throws while the object is away. */
  async status(id: string): Promise<JobStatus | undefined> {
    return inTime(this.#stub(id).status(), WITHIN, LATE)
  }

  /** A page of what a job has done, from line `from` on. @throws while the object is away. */
  async report(id: string, from: number): Promise<ReportPage> {
    return inTime(this.#stub(id).report(from), WITHIN, LATE)
  }

  /** Ends a job. How it stands then; `undefined`: there is none. @throws while the object is away. */
  async cancel(id: string): Promise<JobStatus | undefined> {
    return inTime(this.#stub(id).cancel(), WITHIN, LATE)
  }

  /** The state behind a `Job`. */
  run(storage: DurableObjectStorage): Run {
    const { env, seams, meter } = this.#given
    const listing = new JobListing(env.BLOBS)
    return new Run({
      storage: {
        sql: storage.sql,
        kv: versionedKeys(storage.kv, { version: 1, newer: 'refuse' }),
        setAlarm: (at) => storage.setAlarm(at),
        deleteAll: () => storage.deleteAll(),
      },
      taskOf: (kind) => taskOf(kind, this.#given),
      listing,
      ended: (kind, state) => meter.jobEnded(kind, state),
      ...seams,
    })
  }

  /** One that is listed as unfinished is asked itself; while it does not answer, that is how it stands. */
  async #current(job: JobStatus): Promise<JobStatus> {
    if (isOver(job.state)) return job
    try {
      return (await this.status(job.id)) ?? this.#neverBegun(job)
    } catch (error) {
      this.#given.seams.log('job-away', { id: job.id, reason: String(error) })
      return job
    }
  }

  /** It is listed before it begins; whatever came between ends it. */
  #neverBegun(job: JobStatus): JobStatus {
    const { createdAt } = job
    if (this.#given.seams.now() - createdAt < BEGINS_WITHIN) return job
    return { ...job, state: 'failed', endedAt: createdAt, note: 'it never began' }
  }

  #stub(id: string) {
    return this.#given.env.JOB.getByName(id)
  }
}
