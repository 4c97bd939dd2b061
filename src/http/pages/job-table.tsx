// Jobs as rows: what they do, how they stand, how far they are, and what they wait for or why they failed.

import type { JobState, JobStatus } from '../../jobs/job.ts'
import { isOver } from '../../jobs/job.ts'
import { Bar, Moment, Table } from './elements.tsx'
import { formatBytes, formatCount, formatDuration, formatShare } from './format.ts'

const STATES: Readonly<Record<JobState, string>> = {
  running: 'ok',
  waiting: 'warn',
  done: 'dim',
  failed: 'bad',
  cancelled: 'dim',
}

/** Shows them; in short, without who and when. */
export function JobTable({
  jobs,
  now,
  isShort = false,
}: {
  readonly jobs: readonly JobStatus[]
  readonly now: number
  readonly isShort?: boolean
}) {
  const columns = ['Job', 'State', 'Progress', ...(isShort ? [] : ['By', 'Started', 'Took'])]
  return (
    <Table
      isDense
      label="Jobs"
      columns={columns.map((name) => ({ name }))}
      rows={jobs.map((job) => [
        <>
          <span class="kind">{job.kind}</span> <a href={jobPath(job.id)}>{job.title}</a>
          {job.note !== '' && <small class="more">{job.note}</small>}
        </>,
        <JobStateWord job={job} now={now} />,
        <Progress job={job} />,
        ...(isShort
          ? []
          : [
              <By name={job.by} />,
              <Moment at={job.createdAt} now={now} />,
              <span class="tight">{formatDuration((job.endedAt ?? now) - job.createdAt)}</span>,
            ]),
      ])}
    />
  )
}

/** Where a job is shown. */
export function jobPath(id: string): string {
  return `/_/activity?job=${encodeURIComponent(id)}`
}

/** Its state in a word, and until when it waits. */
export function JobStateWord({ job, now }: { readonly job: JobStatus; readonly now: number }) {
  return (
    <>
      <span class={`dot tight ${STATES[job.state]}`}>{capital(job.state)}</span>
      {job.until !== undefined && !isOver(job.state) && (
        <small>
          {' '}
          <Moment at={job.until} now={now} />
        </small>
      )}
    </>
  )
}

/** How far it is. */
export function Progress({ job }: { readonly job: JobStatus }) {
  const { done, total, unit } = job.progress
  const write = unit === 'bytes' ? formatBytes : formatCount
  const word = unit === 'bytes' ? '' : ` ${unit}`
  if (total === undefined || total === 0) {
    return (
      <span class="tight">
        {write(done)}
        {word}
      </span>
    )
  }
  return (
    <>
      <span class="tight">
        {write(done)} of {write(total)}
        {word}
      </span>
      {!isOver(job.state) && (
        <Bar share={done / total} label={`${formatShare(done / total)} done`} />
      )}
    </>
  )
}

/** Who asked for something; nobody where the clock did. */
export function By({ name }: { readonly name: string }) {
  return name === '' ? <span class="dim">schedule</span> : <>{name}</>
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
