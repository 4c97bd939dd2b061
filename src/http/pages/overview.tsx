// `GET /_/`: in one look whether the mirror does its job. What it saves, how its upstreams stand, how full it is, what is
// switched and what runs.

import type { Child } from 'hono/jsx'
import type { Switches } from '../../auth/switches.ts'
import { isOver } from '../../jobs/job.ts'
import type { JobStatus } from '../../jobs/job.ts'
import type { Visit } from '../authenticate.ts'
import { Away } from './elements.tsx'
import { NOTHING, formatBytes, formatCount, formatMany, formatShare, shorten } from './format.ts'
import { JobTable } from './job-table.tsx'
import { show } from './layout.tsx'
import type { Part } from './part.ts'
import { askFor } from './part.ts'
import { BytesPlot, Figures, RatePlot } from './plot.tsx'
import { requireAdmin } from './rights.ts'
import { StoragePanel } from './storage.tsx'
import { hitRateOf, lastDays, lastHours, servedPerRequest, sumOf } from './traffic.ts'
import type { Bucket } from './traffic.ts'
import { UpstreamTable, standingsOf } from './upstream-table.tsx'

/** Jobs that are looked at for some that run. */
const NEWEST_JOBS = 20

const FLAGS = {
  readOnly: 'Read only: nothing that is hosted is changed.',
  noFills: 'No fills: no upstream is asked for anything.',
  noRedirect: 'No redirects: every blob is streamed.',
  alwaysStale: 'Always stale: a known tag is not checked.',
} as const

/** Answers GET. @throws {RegistryError} UNAUTHORIZED to whoever has no grant of `admin`. */
export async function getOverview(visit: Visit): Promise<Response> {
  await requireAdmin(visit)
  const { services, exchange } = visit
  const now = exchange.now()
  const [hours, switches, storage, jobs] = await Promise.all([
    askFor(visit, () => services.meter.hours()),
    services.access.switches(),
    askFor(visit, () => services.meter.storage()),
    askFor(visit, () => services.jobs.list(NEWEST_JOBS)),
  ])
  const standings = await standingsOf(services, switches.paused)
  return show(visit, {
    title: 'Overview',
    at: 'overview',
    content: (
      <>
        <h1 class="sr">Overview</h1>
        <SwitchBanner switches={switches} />
        {hours.isHere ? (
          <Traffic days={lastDays(hours.value, now)} hours={lastHours(hours.value, now)} />
        ) : (
          <Away what="The counts of this registry" />
        )}
        <Section title="Upstreams">
          <UpstreamTable standings={standings} now={now} />
        </Section>
        <div class="two">
          <Section title="Storage">
            <StoragePanel storage={storage} wanted={services.config.storage} now={now} />
          </Section>
          <Section title="Running jobs">
            <RunningJobs jobs={jobs} now={now} />
          </Section>
        </div>
      </>
    ),
  })
}

function Section({ title, children }: { readonly title: string; readonly children?: Child }) {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  )
}

function SwitchBanner({ switches }: { readonly switches: Switches }) {
  const { paused, ...flags } = switches
  // The names of the flags are those of the table.
  const on = (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).filter((name) => flags[name])
  if (on.length === 0 && paused.length === 0) return null
  return (
    <div class="note alert" role="status">
      <strong>Switched on</strong>
      <ul>
        {on.map((name) => (
          <li>{FLAGS[name]}</li>
        ))}
        {paused.length > 0 && <li>Paused: {paused.join(', ')}. What is here is served.</li>}
      </ul>
    </div>
  )
}

function Traffic({
  hours,
  days,
}: {
  readonly hours: readonly Bucket[]
  readonly days: readonly Bucket[]
}) {
  return (
    <>
      <Tiles hours={hours} days={days} />
      <Section title="Last 24 hours">
        <div class="two">
          <RatePlot id="rate-hours" span="by hour, UTC" buckets={hours} />
          <BytesPlot id="bytes-hours" span="by hour, UTC" buckets={hours} />
        </div>
        <Figures label="The last 24 hours" buckets={hours} />
      </Section>
      <Section title="Last 30 days">
        <div class="two">
          <RatePlot id="rate-days" span="by day, UTC" buckets={days} />
          <BytesPlot id="bytes-days" span="by day, UTC" buckets={days} />
        </div>
        <Figures label="The last 30 days" buckets={days} />
      </Section>
    </>
  )
}

/** The same five figures for both spans. */
function Tiles({ hours, days }: Parameters<typeof Traffic>[0]) {
  const day = sumOf(hours)
  const month = sumOf(days)
  const rate = (sums: typeof day): string => orNothing(hitRateOf(sums), formatShare)
  const asked = (sums: typeof day): string =>
    orNothing(servedPerRequest(sums), (served) => `1 per ${shorten(served)}`)
  const failed = day.fillsFailed > 0 ? `${formatCount(day.fillsFailed)} failed; ` : ''
  const tiles = [
    { name: 'Hit rate', value: rate(day), more: rate(month) },
    {
      name: 'Bytes saved',
      value: formatBytes(day.cachedBytes),
      more: formatBytes(month.cachedBytes),
    },
    { name: 'Upstream requests', value: asked(day), more: asked(month) },
    {
      name: 'Requests',
      value: formatCount(day.requests),
      more: formatCount(month.requests),
    },
    {
      name: 'Fills',
      value: formatCount(day.fillsStored),
      more: `${failed}${formatCount(month.fillsStored)}`,
    },
  ]
  return (
    <>
      <dl class="tiles">
        {tiles.map(({ name, value, more }) => (
          <div>
            <dt>{name}</dt>
            <dd>
              <span class="big">{value}</span>
              <small>{more} in 30 days</small>
            </dd>
          </div>
        ))}
      </dl>
      <p class="under">
        In 24 hours clients got {formatCount(day.hits + day.misses)} manifests and blobs of mirrored
        images. For that upstreams were asked {formatMany(day.upstreamRequests, 'time')} and sent{' '}
        {formatBytes(day.readBytes)}.
      </p>
    </>
  )
}

function orNothing(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? NOTHING : format(value)
}

function RunningJobs({
  jobs,
  now,
}: {
  readonly jobs: Part<{ readonly jobs: readonly JobStatus[] }>
  readonly now: number
}) {
  if (!jobs.isHere) return <Away what="The list of jobs" />
  const running = jobs.value.jobs.filter(({ state }) => !isOver(state))
  if (running.length === 0) {
    return (
      <p class="panel empty">
        Nothing runs. <a href="/_/activity">All jobs</a>
      </p>
    )
  }
  return <JobTable jobs={running} now={now} isShort />
}
