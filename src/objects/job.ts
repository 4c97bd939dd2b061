// The shell of the object that runs one job.

import { DurableObject } from 'cloudflare:workers'
import type { JobOrder, JobStatus, ReportPage } from '../jobs/job.ts'
import type { Run } from '../jobs/run.ts'
import { servicesOf, wake } from './shell.ts'

/** One job, named by its id. */
export class Job extends DurableObject<Env> {
  #opened: Run | undefined

  start(id: string, order: JobOrder, by: string): Promise<JobStatus> {
    return this.#open().start(id, order, by)
  }

  status(): JobStatus | undefined {
    return this.#open().status()
  }

  report(from: number): ReportPage {
    return this.#open().report(from)
  }

  cancel(): Promise<JobStatus | undefined> {
    return this.#open().cancel()
  }

  override alarm(): Promise<void> {
    return wake(this.ctx, () => this.#open().alarm())
  }

  #open(): Run {
    this.#opened ??= servicesOf(this.ctx, this.env).jobs.run(this.ctx.storage)
    return this.#opened
  }
}
