// A job is followed to its end: with pauses that grow, and through a registry that restarts or cannot answer for a
// while. The clock is the test's.

import { describe, expect, it } from 'vitest'

import { AdminError } from '../../cli/admin-client.ts'
import type { Job } from '../../cli/job.ts'
import { PATIENCE, followJob } from '../../cli/job-follow.ts'

const BEGUN: Job = {
  id: 'purge-1',
  kind: 'purge',
  title: 'purge docker.io',
  state: 'running',
  by: 'root',
  createdAt: '',
  endedAt: undefined,
  until: undefined,
  progress: { done: 0, total: undefined, unit: '' },
  note: '',
  result: {},
  json: {},
}

const passing = new AdminError('ECONNREFUSED', { isPassing: true })
const refusal = new AdminError('no grant of admin')

type Answer = Partial<Job> | Error

/** Follows a job whose status is each of these in turn, the last one for ever. */
async function follow(answers: readonly Answer[], begun: Partial<Job> = {}) {
  const shown: string[] = []
  const pauses: number[] = []
  let at = 0
  let asked = 0
  const ended = followJob(
    { ...BEGUN, ...begun },
    {
      ask: async (id) => {
        const answer = answers[Math.min(asked, answers.length - 1)]
        asked++
        if (answer instanceof Error) throw answer
        return { ...BEGUN, id, ...answer }
      },
      output: {
        show: (job, away) => shown.push(away ?? `${job.state} ${job.progress.done}`),
        close: () => undefined,
      },
      sleep: async (milliseconds) => {
        pauses.push(milliseconds)
        at += milliseconds
      },
      now: () => at,
    },
  )
  const job = await ended.catch((error: unknown) => error)
  return { job, shown, pauses, asked, at }
}

const done = (count: number): Partial<Job> => ({
  progress: { done: count, total: undefined, unit: '' },
})

describe('a job is followed', () => {
  it('to its end', async () => {
    const { job, shown } = await follow([done(1), done(2), { state: 'done', ...done(3) }])
    expect(job).toMatchObject({ id: 'purge-1', state: 'done' })
    expect(shown).toEqual(['running 0', 'running 1', 'running 2', 'done 3'])
  })

  it.each(['done', 'failed', 'cancelled'] as const)('not at all when it is %s', async (state) => {
    expect(await follow([done(1)], { state })).toMatchObject({ job: { state }, asked: 0 })
  })

  it.each(['failed', 'cancelled'] as const)('until it is %s', async (state) => {
    expect(await follow([{ state: 'waiting' }, { state }])).toMatchObject({ job: { state } })
  })

  it('with pauses that grow up to a limit', async () => {
    const { pauses } = await follow([
      ...Array.from({ length: 9 }, () => done(0)),
      { state: 'done' },
    ])
    expect(pauses[0]).toBeLessThan(300)
    expect(pauses).toEqual(pauses.toSorted((one, other) => one - other))
    expect(pauses.at(-1)).toBe(2000)
  })

  it('through a restart', async () => {
    const answers = [done(1), passing, passing, passing, { state: 'done' } as const]
    const { job, shown } = await follow(answers)
    expect(job).toMatchObject({ state: 'done' })
    expect(shown).toEqual([
      'running 0',
      'running 1',
      'ECONNREFUSED',
      'ECONNREFUSED',
      'ECONNREFUSED',
      'done 0',
    ])
  })

  it('until the registry has not answered for too long', async () => {
    const { job, at } = await follow([passing])
    expect(job).toBe(passing)
    expect(at).toBeGreaterThan(PATIENCE)
    expect(at).toBeLessThan(PATIENCE + 5000)
  })

  it('through two outages that are too long together only', async () => {
    const outage = Array.from({ length: 40 }, () => passing)
    const { job, at } = await follow([...outage, done(1), ...outage, { state: 'done' }])
    expect(job).toMatchObject({ state: 'done' })
    expect(at).toBeGreaterThan(PATIENCE)
  })

  it.each([
    { name: 'a refusal', error: refusal },
    { name: 'a bug', error: new TypeError('a bug') },
  ])('no further after $name', async ({ error }) => {
    expect(await follow([done(1), error, { state: 'done' }])).toMatchObject({
      job: error,
      asked: 2,
    })
  })
})
