// `/_/api/jobs`: an administrator starts jobs, sees how they stand and what they have done, and ends them.

import { JOB_KINDS, OrderError, isOver } from '../jobs/job.ts'
import type { JobKind, JobOrder, JobStatus } from '../jobs/job.ts'
import { isJobCursor } from '../jobs/listing.ts'
import { RegistryError } from '../oci/error.ts'
import { ask, reach, readMembers, show, timestamp, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import type { Visit } from './authenticate.ts'

/** What is said while storage or an object does not answer. */
const AWAY = 'jobs cannot be reached'

/** Jobs of one page. */
const PAGE = 50

/** Of jobs. */
export const JOB_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/jobs$/,
    endpoint: 'jobs',
    methods: { GET: listJobs, HEAD: listJobs, POST: startJob },
  },
  {
    path: /^\/_\/api\/jobs\/([a-z0-9-]+)$/,
    endpoint: 'job',
    methods: { GET: getJob, HEAD: getJob, DELETE: cancelJob },
  },
  {
    path: /^\/_\/api\/jobs\/([a-z0-9-]+)\/report$/,
    endpoint: 'job-report',
    methods: { GET: getReport, HEAD: getReport },
  },
]

async function listJobs({ visit }: Call): Promise<Response> {
  const cursor = visit.exchange.query.get('cursor') ?? undefined
  if (cursor !== undefined && !isJobCursor(cursor)) {
    throw wrong('cursor', 'expected the next of another page')
  }
  const { jobs, next } = await reach(AWAY, () => visit.services.jobs.list(PAGE, cursor))
  return show(visit, 200, { jobs: jobs.map(describeJob), next })
}

async function startJob({ visit, by }: Call): Promise<Response> {
  const { kind: named, ...members } = await readMembers(visit, '{ kind, … }')
  const kind = JOB_KINDS.find((each) => each === named)
  if (kind === undefined) {
    throw wrong('kind', `expected one of ${JOB_KINDS.join(', ')}`, named === undefined)
  }
  const order = readOrder(visit, kind, members)
  // Noted first: nothing is done that nobody has ordered.
  await ask(visit, (authority) => authority.note(kind, order.title, by))
  const job = await reach(AWAY, () => visit.services.jobs.start(order, by))
  return show(visit, 202, describeJob(job))
}

function readOrder(
  visit: Visit,
  kind: JobKind,
  members: Readonly<Record<string, unknown>>,
): JobOrder {
  try {
    return visit.services.jobs.parse(kind, members)
  } catch (error) {
    if (error instanceof OrderError) throw wrong(error.field, error.message, error.isMissing)
    throw error
  }
}

async function getJob({ visit, name }: Call): Promise<Response> {
  const job = await reach(AWAY, () => visit.services.jobs.status(name))
  if (job === undefined) throw absent(name)
  return show(visit, 200, describeJob(job))
}

async function cancelJob({ visit, by, name }: Call): Promise<Response> {
  const before = await reach(AWAY, () => visit.services.jobs.status(name))
  if (before === undefined) throw absent(name)
  if (!isOver(before.state)) await ask(visit, (authority) => authority.note('cancel', name, by))
  const job = await reach(AWAY, () => visit.services.jobs.cancel(name))
  if (job === undefined) throw absent(name)
  return show(visit, 200, describeJob(job))
}

async function getReport({ visit, name }: Call): Promise<Response> {
  const from = visit.exchange.query.get('from') ?? '0'
  if (!/^\d{1,9}$/.test(from)) throw wrong('from', 'expected the number of a line')
  const job = await reach(AWAY, () => visit.services.jobs.status(name))
  if (job === undefined) throw absent(name)
  return show(visit, 200, await reach(AWAY, () => visit.services.jobs.report(name, Number(from))))
}

/** A job as answers show it. */
export function describeJob({ createdAt, endedAt, until, ...job }: JobStatus): object {
  return {
    ...job,
    createdAt: timestamp(createdAt),
    endedAt: timestamp(endedAt),
    until: timestamp(until),
  }
}

function absent(id: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: `there is no job ${id}` })
}
