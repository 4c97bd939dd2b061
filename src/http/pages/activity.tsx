// `GET /_/activity`: the jobs with their reports, and who changed what.

import type { AuditEntry } from '../../auth/authority.ts'
import type { JobStatus, ReportItem } from '../../jobs/job.ts'
import { RegistryError } from '../../oci/error.ts'
import type { Visit } from '../authenticate.ts'
import { Away, Moment, Pages, Table } from './elements.tsx'
import { NOTHING, formatBytes, formatMany, formatTime, shortDigest } from './format.ts'
import { By, JobStateWord, JobTable, Progress, jobPath } from './job-table.tsx'
import { show } from './layout.tsx'
import { askFor } from './part.ts'
import type { Part } from './part.ts'
import { requireAdmin } from './rights.ts'

/** Jobs, and entries of the audit, of one page. */
const JOBS = 20
const ENTRIES = 50

/** What somebody did, in the words of the page. */
const DEEDS: Readonly<Record<string, string>> = {
  add: 'added account',
  revoke: 'revoked account',
  rotate: 'gave a new secret to',
  'rotate-key': 'took a new signing key',
  'switch-on': 'switched on',
  'switch-off': 'switched off',
  pause: 'paused',
  resume: 'resumed',
  cancel: 'cancelled job',
  purge: 'started purge',
  prefetch: 'started prefetch',
  collect: 'started collection',
  import: 'started import',
  export: 'started export',
  restore: 'started restore',
  refresh: 'refreshed',
  pin: 'pinned',
  unpin: 'unpinned',
}

/** Answers GET. @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`. */
export async function getActivity(visit: Visit): Promise<Response> {
  await requireAdmin(visit)
  const { query } = visit.exchange
  const id = query.get('job')
  return id === null ? showAll(visit) : showJob(visit, id)
}

async function showAll(visit: Visit): Promise<Response> {
  const { services, exchange } = visit
  const cursor = exchange.query.get('cursor') ?? undefined
  const from = countOf(exchange.query.get('audit'))
  const [jobs, audit] = await Promise.all([
    askFor(visit, () => services.jobs.list(JOBS, cursor)),
    askFor(visit, async () => services.access.authority().audit()),
  ])
  const now = exchange.now()
  return show(visit, {
    title: 'Activity',
    at: 'activity',
    content: (
      <>
        <div class="head">
          <h1>Activity</h1>
        </div>
        <h2>Jobs</h2>
        <Jobs jobs={jobs} now={now} isFirst={cursor === undefined} />
        <section id="audit">
          <h2>Audit</h2>
          <Audit audit={audit} now={now} from={from} />
        </section>
      </>
    ),
  })
}

function Jobs({
  jobs,
  now,
  isFirst,
}: {
  readonly jobs: Part<{ readonly jobs: readonly JobStatus[]; readonly next: string | undefined }>
  readonly now: number
  readonly isFirst: boolean
}) {
  if (!jobs.isHere) return <Away what="The list of jobs" />
  const { jobs: shown, next } = jobs.value
  if (shown.length === 0) {
    return (
      <p class="panel empty">
        {isFirst
          ? 'No job has run yet. Imports, purges, prefetches and collections show here.'
          : 'No more jobs.'}
      </p>
    )
  }
  return (
    <>
      <JobTable jobs={shown} now={now} />
      <Pages
        {...(!isFirst && { first: '/_/activity' })}
        next={next && `/_/activity?cursor=${encodeURIComponent(next)}`}
      />
    </>
  )
}

function Audit({
  audit,
  now,
  from,
}: {
  readonly audit: Part<readonly AuditEntry[]>
  readonly now: number
  readonly from: number
}) {
  if (!audit.isHere) return <Away what="The audit" />
  const entries = audit.value.slice(from, from + ENTRIES)
  if (entries.length === 0)
    return <p class="panel empty">Nobody has changed anything{from > 0 && ' before that'}.</p>
  const older = from + ENTRIES
  return (
    <>
      <Table
        isDense
        label="Audit"
        columns={['When', 'Who', 'What'].map((name) => ({ name }))}
        rows={entries.map(({ at, by, what, name }) => [
          <Moment at={at} now={now} />,
          <By name={by} />,
          <>
            {DEEDS[what] ?? what} <span class="mono">{name}</span>
          </>,
        ])}
      />
      <Pages
        {...(from > 0 && { first: '/_/activity#audit' })}
        next={older < audit.value.length ? `/_/activity?audit=${older}#audit` : undefined}
      />
    </>
  )
}

async function showJob(visit: Visit, id: string): Promise<Response> {
  const { services, exchange } = visit
  const from = countOf(exchange.query.get('from'))
  if (!/^[a-z0-9-]{1,100}$/.test(id)) throw absent()
  const status = await askFor(visit, () => services.jobs.status(id))
  if (status.isHere && status.value === undefined) throw absent()
  const report = await askFor(visit, () => services.jobs.report(id, from))
  const now = exchange.now()
  const job = status.isHere ? status.value : undefined
  return show(visit, {
    title: job === undefined ? 'Job' : job.title,
    at: 'activity',
    content: (
      <>
        <p class="crumbs">
          <a href="/_/activity">Activity</a>
        </p>
        <div class="head">
          <h1>{job === undefined ? 'Job' : job.title}</h1>
        </div>
        {job === undefined ? <Away what="The job" /> : <JobFacts job={job} now={now} />}
        <section>
          <h2>Report</h2>
          {report.isHere ? (
            <Report {...report.value} first={from > 0 ? jobPath(id) : undefined} id={id} />
          ) : (
            <Away what="The report" />
          )}
        </section>
      </>
    ),
  })
}

function JobFacts({ job, now }: { readonly job: JobStatus; readonly now: number }) {
  return (
    <dl class="facts panel">
      <dt>State</dt>
      <dd>
        <JobStateWord job={job} now={now} />
        {job.note !== '' && <> {job.note}</>}
      </dd>
      <dt>Progress</dt>
      <dd>
        <Progress job={job} />
      </dd>
      <dt>By</dt>
      <dd>
        <By name={job.by} />
      </dd>
      <dt>Started</dt>
      <dd>{formatTime(job.createdAt)}</dd>
      {job.endedAt !== undefined && (
        <>
          <dt>Ended</dt>
          <dd>{formatTime(job.endedAt)}</dd>
        </>
      )}
      {Object.entries(job.result).map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{typeof value === 'number' && /bytes/i.test(name) ? formatBytes(value) : value}</dd>
        </>
      ))}
      <dt>Id</dt>
      <dd class="mono">{job.id}</dd>
    </dl>
  )
}

function Report({
  items,
  next,
  first,
  id,
}: {
  readonly items: readonly ReportItem[]
  readonly next: number | undefined
  readonly first: string | undefined
  readonly id: string
}) {
  if (items.length === 0) return <p class="panel empty">Nothing is reported{first && ' here'}.</p>
  return (
    <>
      <p class="dim">{formatMany(items.length, 'line')} on this page.</p>
      <Table
        label="Report"
        columns={[
          { name: 'About' },
          { name: 'Outcome' },
          { name: 'Digest' },
          { name: 'Size', isNumber: true },
          { name: 'Note' },
        ]}
        rows={items.map(({ subject, outcome, digest, bytes, note }) => [
          <span class="mono">{subject}</span>,
          <span class={outcome === 'failed' ? 'bad' : ''}>{outcome}</span>,
          digest === undefined ? NOTHING : <code title={digest}>{shortDigest(digest)}</code>,
          bytes === undefined ? NOTHING : formatBytes(bytes),
          note ?? '',
        ])}
      />
      <Pages
        {...(first !== undefined && { first })}
        next={next === undefined ? undefined : `${jobPath(id)}&from=${next}`}
      />
    </>
  )
}

function countOf(text: string | null): number {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : 0
}

function absent(): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: 'there is no such job' })
}
