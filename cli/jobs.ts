// `entrepot jobs`: what goes on, what has gone on, and its end.

import { isOver } from '../src/jobs/job.ts'
import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { askJob, askReport, formatEnded, formatJobs, formatSummary, parseJob } from './job.ts'
import type { Job } from './job.ts'
import { followToEnd } from './job-run.ts'
import type { JobsArguments } from './jobs-arguments.ts'
import { printOutcome } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import { formatChange } from './progress.ts'

/**
 * Does what was asked and prints what came of it.
 * @throws {ArgumentError | Failure}
 */
export async function runJobs({ action, ...registry }: JobsArguments): Promise<number> {
  const client = await AdminClient.of(registry)
  switch (action.what) {
    case 'list':
      printOutcome(await list(client, action.isAll), registry.isJSON)
      return EXIT.fine
    case 'show':
      printOutcome(await show(client, action.id), registry.isJSON)
      return EXIT.fine
    case 'follow':
      return followToEnd(client, await askJob(client, action.id), registry)
    case 'cancel':
      printOutcome(await cancel(client, action.id), registry.isJSON)
      return EXIT.fine
    default:
      return action satisfies never
  }
}

async function list(client: AdminClient, isAll: boolean): Promise<Outcome> {
  const { jobs, next } = await (isAll ? listAll(client) : listPage(client))
  const more = next === undefined ? '' : '\n… and older ones, which --all shows'
  const json = { jobs: jobs.map((job) => job.json), ...(next !== undefined && { next }) }
  return { json, text: jobs.length === 0 ? 'There are no jobs.' : `${formatJobs(jobs)}${more}` }
}

interface Page {
  readonly jobs: readonly Job[]
  readonly next: string | undefined
}

async function listAll(client: AdminClient): Promise<Page> {
  const jobs: Job[] = []
  let next: string | undefined
  do {
    const page = await listPage(client, next)
    jobs.push(...page.jobs)
    next = page.next
  } while (next !== undefined)
  return { jobs, next }
}

async function listPage(client: AdminClient, cursor?: string): Promise<Page> {
  const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`
  const page = await client.ask({ method: 'GET', path: `jobs${query}` })
  return { jobs: page.list('jobs').map(parseJob), next: page.optionalText('next') }
}

async function show(client: AdminClient, id: string): Promise<Outcome> {
  const job = await askJob(client, id)
  const report = await askReport(client, id)
  const head = [`id: ${job.id}`, ...(isOver(job.state) ? [] : [formatChange({ job })])].join('\n')
  return {
    json: { ...job.json, report: report.map((item) => item.json) },
    text: `${head}\n\n${formatEnded(job, report)}`,
  }
}

async function cancel(client: AdminClient, id: string): Promise<Outcome> {
  const before = await askJob(client, id)
  const path = `jobs/${id}`
  const job = isOver(before.state) ? before : parseJob(await client.ask({ method: 'DELETE', path }))
  // It may have ended between the two.
  const isLate = isOver(before.state) || job.state === 'done' || job.state === 'failed'
  const late = isLate ? `the job ${job.id} had ended already\n` : ''
  return { json: job.json, text: `${late}${formatSummary(job)}` }
}
