// What the clock starts and when, whatever the number of times that it strikes.

import { createExecutionContext, reset, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createSchedule } from '../../src/schedule.ts'
import { HOUR, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { servicesWith } from '../support/job-run.ts'
import { broken } from '../support/operations.ts'

let clock: Clock
let events: { readonly event: string; readonly kind?: unknown }[]

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  events = []
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function strike(changed: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const schedule = createSchedule((event, fields) => void events.push({ event, ...fields }))
  await schedule({ ...env, ...changed }, createExecutionContext())
}

function started(): unknown[] {
  const kinds = events.filter(({ event }) => event === 'job-scheduled').map(({ kind }) => kind)
  events = []
  return kinds
}

/** Lets every job come to its end. The platform's own clock would wait for the alarms of this one. */
async function finish(): Promise<void> {
  const { jobs } = servicesWith()
  for (;;) {
    const page = await jobs.list(100)
    const open = page.jobs.filter(({ state }) => state === 'running')
    if (open.length === 0) return
    for (const { id } of open) await runDurableObjectAlarm(env.JOB.getByName(id))
  }
}

const TARGET = { STORAGE_TARGET: '1GiB' }

describe('the clock', () => {
  it('starts a collection every six hours where there is a target, and an export every day', async () => {
    const seen: unknown[][] = []
    for (let hour = 0; hour < 26; hour += 1) {
      await strike(TARGET)
      seen.push(started())
      await finish()
      clock.advance(HOUR)
    }
    const hoursOf = (kind: string) =>
      seen.flatMap((kinds, hour) => (kinds.includes(kind) ? [hour] : []))
    expect(hoursOf('collect')).toEqual([0, 6, 12, 18, 24])
    expect(hoursOf('export')).toEqual([0, 24])
  }, 60_000)

  it('only measures once a day where there is none', async () => {
    await strike()
    expect(started()).toContain('collect')
    await finish()
    const { jobs } = await servicesWith().jobs.list(10)
    const job = jobs.find(({ kind }) => kind === 'collect')
    expect(job).toMatchObject({ by: '', title: 'measure what is mirrored', state: 'done' })
    clock.advance(23 * HOUR)
    await strike()
    expect(started()).toEqual([])
    clock.advance(HOUR - MINUTE)
    await strike()
    expect(started()).toContain('collect')
  })

  it('knows what was done where a hundred other jobs hide it', async () => {
    await strike(TARGET)
    expect(started()).toEqual(['collect', 'export'])
    await finish()
    const { jobs } = servicesWith()
    vi.spyOn(Object.getPrototypeOf(jobs), 'list').mockResolvedValue({ jobs: [], next: 'x' })
    clock.advance(HOUR)
    await strike(TARGET)
    expect(started()).toEqual([])
    clock.advance(5 * HOUR)
    await strike(TARGET)
    expect(started()).toEqual(['collect'])
    clock.advance(18 * HOUR)
    await strike(TARGET)
    expect(started()).toContain('export')
  })

  it('starts none while one of its kind is unfinished, whoever has ordered it', async () => {
    const { jobs } = servicesWith()
    const start = jobs.parse('collect', { dryRun: true })
    const { id } = await jobs.start(start, 'root')
    const status = { ...(await jobs.status(id))!, state: 'running' as const }
    vi.spyOn(Object.getPrototypeOf(jobs), 'list').mockResolvedValue({
      jobs: [status],
      next: undefined,
    })
    await strike(TARGET)
    expect(started()).not.toContain('collect')
  })

  it('starts what it can where another job cannot be started, and fails in silence where nothing can', async () => {
    await strike({ ...TARGET, JOB: broken('objects') })
    expect(events.map(({ event }) => event)).toContain('job-not-scheduled')
    events = []
    await strike({ ...TARGET, BLOBS: broken('store') })
    expect(events.map(({ event }) => event)).toEqual(['schedule-failed'])
    events = []
    await strike({ STORAGE_TARGET: 'much' })
    expect(events.map(({ event }) => event)).toContain('schedule-failed')
    expect(started()).toEqual([])
  })
})
