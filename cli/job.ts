// A job as whoever ordered it sees it: how it stands, read from an answer, and what it has done.

import { isOver } from '../src/jobs/job.ts'
import type { JobKind, JobProgress, JobResult, JobState } from '../src/jobs/job.ts'
import type { Answer, Members } from './admin-answer.ts'
import type { AdminClient } from './admin-client.ts'
import { formatBytes, formatSpan, formatTime } from './quantity.ts'
import { formatTable, plain } from './table.ts'

/** What is ordered: a kind, and what its order says. */
export interface Order extends Members {
  readonly kind: JobKind
}

/** How a job stands. */
export interface Job {
  readonly id: string
  readonly kind: string
  readonly title: string
  readonly state: JobState
  /** Empty for the clock. */
  readonly by: string
  readonly createdAt: string
  readonly endedAt: string | undefined
  /** When one that waits goes on. */
  readonly until: string | undefined
  readonly progress: JobProgress
  readonly note: string
  readonly result: JobResult
  /** As it came. */
  readonly json: Members
}

const STATES: readonly JobState[] = ['running', 'waiting', 'done', 'failed', 'cancelled']

/** Lines of a report that are shown to people; those that failed are always. */
const SHOWN = 200

/** Reads a status. @throws {StrangeAnswer} */
export function parseJob(answer: Answer): Job {
  const progress = answer.member('progress')
  const state = answer.text('state')
  return {
    id: answer.text('id'),
    kind: answer.text('kind'),
    title: answer.text('title'),
    // One that this program does not know goes on.
    state: STATES.find((each) => each === state) ?? 'running',
    by: answer.text('by'),
    createdAt: answer.text('createdAt'),
    endedAt: answer.optionalText('endedAt'),
    until: answer.optionalText('until'),
    progress: {
      done: progress.number('done'),
      total: progress.optionalNumber('total'),
      unit: progress.text('unit'),
    },
    note: answer.text('note'),
    result: answer.member('result').figures(),
    json: answer.json,
  }
}

/** The job as it stands now. @throws {Failure} */
export async function askJob(client: AdminClient, id: string): Promise<Job> {
  return parseJob(await client.ask({ method: 'GET', path: `jobs/${id}` }))
}

/** What it does, on one line. */
export function labelOf({ kind, title }: Pick<Job, 'kind' | 'title'>): string {
  return plain(title.startsWith(kind) ? title : `${kind} ${title}`)
}

/** All that a job has reported, page by page. @throws {Failure} */
export async function askReport(client: AdminClient, id: string): Promise<readonly Answer[]> {
  const items: Answer[] = []
  for (let from: number | undefined = 0; from !== undefined;) {
    const page = await client.ask({ method: 'GET', path: `jobs/${id}/report?from=${from}` })
    items.push(...page.list('items'))
    const next = page.optionalNumber('next')
    from = next !== undefined && next > from ? next : undefined
  }
  return items
}

/** Whether all was done that was ordered. */
export function hasSucceeded({ state }: Job, report: readonly Answer[]): boolean {
  return state === 'done' && !report.some(isFailed)
}

/** For people: the report, and in the last lines what the job has come to. */
export function formatEnded(job: Job, report: readonly Answer[]): string {
  const parts = [...(report.length === 0 ? [] : [formatReport(report), '']), formatSummary(job)]
  return parts.join('\n')
}

/** In one sentence, and its figures. */
export function formatSummary(job: Job): string {
  const { state, note, result } = job
  const why = note === '' ? '' : `: ${plain(note)}`
  const lines = Object.entries(result).map(
    ([name, value]) => `  ${plain(name)}: ${formatFigure(name, value)}`,
  )
  return [`${labelOf(job)}: ${state}${formatTook(job)}${why}`, ...lines].join('\n')
}

/** A list of jobs. */
export function formatJobs(jobs: readonly Job[]): string {
  const rows = jobs.map((job) => [
    job.id,
    job.state,
    formatTime(job.createdAt),
    job.by || '-',
    formatProgressFigures(job.progress),
    labelOf(job),
  ])
  return formatTable([['id', 'state', 'begun', 'by', 'progress', 'what'], ...rows])
}

/** How far, in the job's own unit, e.g. `3 of 12 blobs`. */
export function formatProgressFigures({ done, total, unit }: JobProgress): string {
  if (unit === '') return ''
  const figure = (value: number): string => (unit === 'bytes' ? formatBytes(value) : `${value}`)
  const of = total === undefined ? '' : ` of ${figure(total)}`
  return `${figure(done)}${of}${unit === 'bytes' ? '' : ` ${plain(unit)}`}`
}

/** What a job that has ended took, in brackets. */
function formatTook({ createdAt, endedAt, state }: Job): string {
  if (endedAt === undefined || !isOver(state)) return ''
  const took = Date.parse(endedAt) - Date.parse(createdAt)
  return Number.isFinite(took) ? ` (${formatSpan(took)})` : ''
}

function formatFigure(name: string, value: string | number): string {
  if (typeof value === 'string') return plain(value)
  return /bytes/i.test(name) ? formatBytes(value) : String(value)
}

function formatReport(report: readonly Answer[]): string {
  const shown = report.filter((item, index) => index < SHOWN || isFailed(item))
  const table = formatItems(shown)
  const hidden = report.length - shown.length
  return hidden === 0 ? table : `${table}\n… and ${hidden} more lines, which --json prints`
}

function formatItems(items: readonly Answer[]): string {
  const columns: readonly (readonly [name: string, of: (item: Answer) => string])[] = [
    ['what', (item) => item.text('subject')],
    ['outcome', (item) => item.text('outcome')],
    ['size', (item) => formatSize(item.optionalNumber('bytes'))],
    ['digest', (item) => item.optionalText('digest') ?? ''],
    ['note', (item) => item.optionalText('note') ?? ''],
  ]
  // A column that would be empty is left out.
  const used = columns.filter(([, of]) => items.some((item) => of(item) !== ''))
  return formatTable([
    used.map(([name]) => name),
    ...items.map((item) => used.map(([, of]) => of(item))),
  ])
}

function formatSize(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatBytes(bytes)
}

function isFailed(item: Answer): boolean {
  return item.optionalText('outcome') === 'failed'
}
