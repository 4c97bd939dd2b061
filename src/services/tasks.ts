// What each kind of job is made of: how an order for it is read, and the task that carries it out. A further kind is a
// file in `jobs/` and a line below.

import type { Config } from '../config.ts'
import { parseExport } from '../jobs/export.ts'
import type { JobKind, JobOrder } from '../jobs/job.ts'
import { parsePrefetch } from '../jobs/prefetch.ts'
import { parseRestore } from '../jobs/restore.ts'
import type { Task } from '../jobs/task.ts'
import type { Outbound } from '../outbound.ts'
import type { Seams } from '../seams.ts'
import type { AccessServices } from './access.ts'
import type { HostedServices } from './hosted.ts'
import type { MeterServices } from './meter.ts'
import type { MirrorServices } from './mirror.ts'
import { importTask, readImport } from './tasks/import.ts'
import { exportTask, restoreTask } from './tasks/keeping.ts'
import { collectTask, purgeTask, readCollect, readPurge } from './tasks/removal.ts'
import { prefetchTask } from './prefetch.ts'

/** What tasks are made of. */
export interface TaskGiven {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
  readonly outbound: Outbound
  readonly access: AccessServices
  readonly hosted: HostedServices
  readonly meter: MeterServices
  readonly mirror: MirrorServices
}

/** The members of a JSON object that orders a job, `kind` left out. */
export type OrderMembers = Readonly<Record<string, unknown>>

/** One kind of job. */
interface Kind {
  /** @throws {OrderError} */
  readonly parse: (members: OrderMembers, given: TaskGiven) => JobOrder
  readonly task: (given: TaskGiven) => Task<unknown>
}

const KINDS: Readonly<Partial<Record<JobKind, Kind>>> = {
  collect: { parse: readCollect, task: collectTask },
  purge: { parse: readPurge, task: purgeTask },
  import: { parse: readImport, task: importTask },
  export: { parse: parseExport, task: exportTask },
  restore: { parse: parseRestore, task: restoreTask },
  prefetch: {
    parse: (members, { config }) => parsePrefetch(members, config),
    task: prefetchTask,
  },
}

/** Reads an order. @throws {OrderError} where it means nothing here. */
export function parseOrder(kind: JobKind, members: OrderMembers, given: TaskGiven): JobOrder {
  return kindOf(kind).parse(members, given)
}

/** The task of a kind of job. */
export function taskOf(kind: JobKind, given: TaskGiven): Task<unknown> {
  return kindOf(kind).task(given)
}

function kindOf(kind: JobKind): Kind {
  const found = KINDS[kind]
  if (found === undefined) throw new Error(`no job is called ${kind}`)
  return found
}
