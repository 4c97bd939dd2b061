// Orders a job and follows it: what every command does whose work takes long. Ctrl-C ends the command and not the job.

import { setTimeout as sleep } from 'node:timers/promises'

import { AdminClient, AdminError } from './admin-client.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { DEFAULT_FOLDER, DEFAULT_URL } from './arguments.ts'
import { EXIT, onEnding, statusOf } from './ending.ts'
import { Failure } from './failure.ts'
import { askJob, askReport, formatEnded, hasSucceeded, parseJob } from './job.ts'
import type { Job, Order } from './job.ts'
import { followJob } from './job-follow.ts'
import { printOutcome } from './outcome.ts'
import { NO_PROGRESS, progressOn } from './progress-output.ts'

/** What a command was asked to do that orders a job. */
export interface JobArguments extends RegistryArguments {
  readonly order: Order
  /** Whether nobody waits for its end. */
  readonly isDetached: boolean
}

/**
 * Orders the job, follows it unless that is not wanted, and prints what came of it. A failure is also a part of it that
 * failed.
 * @throws {ArgumentError | Failure}
 */
export async function runOrder({ order, isDetached, ...registry }: JobArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  const job = await startJob(client, order)
  if (!isDetached) return followToEnd(client, job, registry)
  printOutcome({ json: job.json, text: job.id }, registry.isJSON)
  return EXIT.fine
}

/** Orders a job. @throws {Failure} */
export async function startJob(client: AdminClient, order: Order): Promise<Job> {
  return parseJob(await client.ask({ method: 'POST', path: 'jobs', body: order }))
}

/** Follows a job and prints what came of it. @throws {Failure} */
export async function followToEnd(
  client: AdminClient,
  begun: Job,
  registry: RegistryArguments,
): Promise<number> {
  const job = await followOnly(client, begun, registry)
  const report = await askReport(client, job.id)
  const json = { ...job.json, report: report.map((item) => item.json) }
  printOutcome({ json, text: formatEnded(job, report) }, registry.isJSON)
  return hasSucceeded(job, report) ? EXIT.fine : EXIT.failed
}

/** Follows a job to its end, and prints nothing but its progress. @throws {Failure} */
export async function followOnly(
  client: AdminClient,
  begun: Job,
  registry: RegistryArguments,
): Promise<Job> {
  const output = registry.isJSON ? NO_PROGRESS : progressOn(process.stderr)
  const hint = hintOf(begun.id, registry)
  let isFollowed = true
  onEnding((ending) => {
    output.close()
    if (isFollowed && ending !== 'SIGPIPE') console.error(`The job goes on. How it stands: ${hint}`)
    process.exit(statusOf(ending))
  })
  try {
    return await followJob(begun, {
      ask: (id) => askJob(client, id),
      output,
      sleep: (milliseconds) => sleep(milliseconds),
      now: Date.now,
    })
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    throw new Failure(`${error.message}\nThe job may go on. How it stands: ${hint}`, {
      cause: error,
    })
  } finally {
    isFollowed = false
    output.close()
  }
}

/** How to look at a job. */
function hintOf(id: string, { url: { origin }, persistTo }: RegistryArguments): string {
  const where = origin === DEFAULT_URL ? '' : ` --url ${origin}`
  const isUsual = persistTo === undefined || persistTo === DEFAULT_FOLDER
  return `entrepot jobs show ${id}${where}${isUsual ? '' : ` --persist-to ${persistTo}`}`
}
