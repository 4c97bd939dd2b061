// What the clock starts, in nobody's name: jobs that keep what is mirrored in its size and what is hosted safe. Each is
// started when its time has come since the clock last did and none of its kind is unfinished, so that it does not matter
// how often the clock strikes, or whether it missed a day.

import type { JobKind, JobStatus } from './jobs/job.ts'
import { isOver } from './jobs/job.ts'
import type { Log } from './seams.ts'
import { Services, platformSeams } from './services.ts'

const HOUR = 60 * 60 * 1000
/** The clock does not strike to the minute. */
const SLACK = HOUR / 4
/** The clock's own jobs are looked for among so many; where others hide them, what they have left tells of them. */
const NEWEST = 100

/** What is started, how often (milliseconds). */
interface Regular {
  readonly kind: JobKind
  readonly every: number
  readonly members: Readonly<Record<string, unknown>>
  /** When one of the kind has last come to its end, as far as that is to be seen (milliseconds). */
  readonly lastDone: () => Promise<number | undefined>
}

/** What the platform calls when the clock strikes. */
export type Schedule = (env: Env, context: Pick<ExecutionContext, 'waitUntil'>) => Promise<void>

/** Makes it. It never rejects: there is nobody to tell. */
export function createSchedule(log: Log): Schedule {
  return async (env, context) => {
    try {
      const services = new Services(
        env,
        platformSeams((work) => context.waitUntil(work), log),
      )
      const { jobs } = await services.jobs.list(NEWEST)
      let isRound = false
      for (const regular of regularOf(services)) {
        if (await startWhenDue(services, regular, jobs)) isRound = true
      }
      // With each round of jobs, ledgers are told again what is pinned.
      if (isRound) await services.pins.reapply()
    } catch (error) {
      log('schedule-failed', { reason: String(error) })
    }
  }
}

/** Without a target nothing is removed, and it is enough to know once a day how much there is. */
function regularOf(services: Services): readonly Regular[] {
  const { config, meter } = services
  const measured = async () => (await meter.storage())?.at
  const exported = async () =>
    (await services.exports().list()).find(({ isNightly }) => isNightly)?.at
  return [
    config.storage === undefined
      ? { kind: 'collect', every: 24 * HOUR, members: { dryRun: true }, lastDone: measured }
      : { kind: 'collect', every: 6 * HOUR, members: {}, lastDone: measured },
    { kind: 'export', every: 24 * HOUR, members: { nightly: true }, lastDone: exported },
  ]
}

/** Whether it was due; one that cannot be started keeps no other from it. */
async function startWhenDue(
  { jobs, seams }: Services,
  { kind, every, members, lastDone }: Regular,
  newest: readonly JobStatus[],
): Promise<boolean> {
  const same = newest.filter((job) => job.kind === kind)
  if (same.some(({ state }) => !isOver(state))) return false
  try {
    const last = same.find(({ by }) => by === '')?.createdAt ?? (await lastDone())
    if (last !== undefined && seams.now() - last < every - SLACK) return false
    const { id } = await jobs.start(jobs.parse(kind, members), '')
    seams.log('job-scheduled', { id, kind })
  } catch (error) {
    seams.log('job-not-scheduled', { kind, reason: String(error) })
  }
  return true
}
