// A job as its object runs it, step by step: real services with settings of the test, in a real object whose alarm is
// the test's.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect } from 'vitest'
import { isOver } from '../../src/jobs/job.ts'
import type { JobKind, JobStatus, ReportItem } from '../../src/jobs/job.ts'
import type { Run } from '../../src/jobs/run.ts'
import { Services, platformSeams } from '../../src/services.ts'
import { broken } from './broken.ts'

/** What has come of a job. */
export interface RanJob {
  readonly id: string
  readonly status: JobStatus
  readonly report: readonly ReportItem[]
}

/** How a job is run. */
export interface JobRunOptions {
  readonly settings?: Readonly<Record<string, unknown>>
  /** So many steps at most; a job that waits for a time takes none. */
  readonly steps?: number
  /** To go on with a job. */
  readonly id?: string
  /** Called while the job runs its first step. */
  readonly meanwhile?: (run: Run) => Promise<void>
}

/** Services with settings of a test. */
export function servicesWith(settings: Readonly<Record<string, unknown>> = {}): Services {
  const defer = (work: Promise<unknown>): void => void work.catch(() => undefined)
  return new Services(
    { ...env, ...settings },
    platformSeams(defer, () => undefined),
  )
}

/** Runs a job until it ends, waits, or has taken so many steps. */
export async function runJob(
  kind: JobKind,
  members: object,
  options: JobRunOptions = {},
): Promise<RanJob> {
  const { settings, steps = 20, meanwhile } = options
  const id = options.id ?? `${kind}-test-${crypto.randomUUID()}`
  return runInDurableObject(env.JOB.getByName(id), async (_, { storage }) => {
    // Its own alarm would run the step a second time, with other settings.
    const kept = broken(storage, { setAlarm: async () => undefined })
    const services = servicesWith(settings)
    const run = services.jobs.run(kept)
    const start = () => run.start(id, services.jobs.parse(kind, { ...members }), 'root')
    let status = run.status() ?? (await start())
    for (let step = 0; step < steps && mayStep(status); step += 1) {
      await Promise.all([run.alarm(), step === 0 ? meanwhile?.(run) : undefined])
      status = run.status() ?? expect.fail('the job is gone')
    }
    return { id, status, report: run.report(0).items }
  })
}

function mayStep({ state, until }: JobStatus): boolean {
  return !isOver(state) && (until === undefined || until <= Date.now())
}
