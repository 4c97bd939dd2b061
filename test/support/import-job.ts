// An import as its object runs it, step by step: real services with settings of the test, in a real object whose alarm
// is the test's. What has come of it is read as the job tells it, and from the repositories.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect } from 'vitest'
import type { JobOrder, JobStatus, ReportItem } from '../../src/jobs/job.ts'
import { isOver } from '../../src/jobs/job.ts'
import type { Run } from '../../src/jobs/run.ts'
import type { HostedRepository } from '../../src/hosted/repository.ts'
import { parseReference } from '../../src/oci/reference.ts'
import { Services, platformSeams } from '../../src/services.ts'
import { broken } from './broken.ts'
import { repository } from './parsed.ts'

/** A name for a job that no other has. */
let count = 0

/** What every test of imports has. */
export const HOSTED = { HOSTED: ['hosted/**'] }

/** A job, ended or not. */
export interface ImportJob {
  readonly id: string
  /** What it says; the secret must not be in it. */
  readonly status: JobStatus
  readonly report: readonly ReportItem[]
  /** Everything that was logged. */
  readonly log: readonly string[]
}

/** How a job is run. */
export interface RunOptions {
  readonly settings?: Readonly<Record<string, unknown>>
  /** So many steps at most; a job that waits for a time takes none. */
  readonly steps?: number
  /** To go on with a job. */
  readonly id?: string
  /** Called before each step. */
  readonly before?: (step: number) => void
  /** Called when the steps are done, with what the object stores. */
  readonly look?: (storage: DurableObjectStorage, run: Run) => Promise<void> | void
}

/** Services with settings of a test. */
export function servicesWith(
  settings: Readonly<Record<string, unknown>> = HOSTED,
  log: string[] = [],
): Services {
  const deferred = (work: Promise<unknown>): void => void work.catch(() => undefined)
  const print = (event: string, fields: object = {}): void =>
    void log.push(JSON.stringify({ event, ...fields }))
  return new Services({ ...env, ...settings }, platformSeams(deferred, print))
}

/** Orders an import; throws as the order does. */
export function orderOf(members: object, settings?: Readonly<Record<string, unknown>>): JobOrder {
  return servicesWith(settings).jobs.parse('import', { ...members })
}

/** Runs an import until it ends, waits, or has taken so many steps. */
export async function runImport(members: object, options: RunOptions = {}): Promise<ImportJob> {
  const { settings = HOSTED, steps = 20, before, look } = options
  const id = options.id ?? `import-test-${(count += 1)}-${crypto.randomUUID()}`
  const log: string[] = []
  return runInDurableObject(env.JOB.getByName(id), async (_, { storage }) => {
    // Its own alarm would run the step a second time, with other settings.
    const kept = broken(storage, { setAlarm: async () => undefined })
    const services = servicesWith(settings, log)
    const run = services.jobs.run(kept)
    const order = services.jobs.parse('import', { ...members })
    let status = await run.start(id, order, 'root')
    for (let step = 0; step < steps && mayStep(status); step += 1) {
      before?.(step)
      await run.alarm()
      status = run.status() ?? expect.fail('the job is gone')
    }
    await look?.(storage, run)
    return { id, status, report: run.report(0).items, log }
  })
}

function mayStep({ state, until }: JobStatus): boolean {
  return !isOver(state) && (until === undefined || until <= Date.now())
}

/** A hosted repository, whoever may see it. */
export function hosted(name: string): HostedRepository {
  return servicesWith().hosted.repository(repository(name))
}

/** The digest that a hosted reference means. */
export async function digestAt(name: string, reference: string): Promise<string | undefined> {
  const parsed = parseReference(reference) ?? expect.fail('no reference')
  const answer = await hosted(name).manifest(parsed)
  return answer.ok ? answer.digest : undefined
}

/** The lines of a report, short. */
export function lines(report: readonly ReportItem[]): readonly string[] {
  return report.map(({ subject, outcome }) => `${outcome} ${subject}`).toSorted()
}
