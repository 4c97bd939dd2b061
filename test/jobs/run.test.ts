// One job as its object runs it, over the storage of a real object and with a task that a test makes up: its steps, what
// becomes of failures and of an object that dies, its end, and that it leaves nothing behind.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { JobFailure } from '../../src/jobs/job.ts'
import type { JobOrder, JobStatus } from '../../src/jobs/job.ts'
import { Run, STEP } from '../../src/jobs/run.ts'
import type { RunGiven } from '../../src/jobs/run.ts'
import type { Step, StepContext, Task } from '../../src/jobs/task.ts'
import { DAY, MINUTE, SECOND } from '../support/clock.ts'

/** Some moment. */
const START = Date.UTC(2026, 10, 23)
const ID = 'collect-test'
const ORDER: JobOrder = { kind: 'collect', title: 'everything', state: { n: 0, secret: 'canary' } }

interface State {
  readonly n: number
  readonly secret: string
}

type Take = (state: State, context: StepContext) => Step<State> | Promise<Step<State>>

/** What a test sees and decides of one job. */
interface World {
  readonly run: Run
  /** The job as another object goes on with it, which knows only what is stored. */
  readonly again: () => Run
  readonly storage: DurableObjectStorage
  /** When it is to be woken; `undefined`: not at all. */
  readonly alarm: () => number | undefined
  readonly now: () => number
  readonly pass: (milliseconds: number) => void
  /** What the list was told: `put <state>`, `delete`. */
  readonly listed: string[]
  readonly ended: string[]
  readonly events: string[]
  /** The states that its steps and its end were given, in order. */
  readonly given: unknown[]
  /** What takes the next steps, what ends it, and what keeps the list, from now on. */
  take: Take
  end: Task<State>['end']
  listing: Partial<RunGiven['listing']>
}

afterEach(async () => {
  await reset()
})

/** Goes on to the next step. */
const AGAIN: Take = ({ n, secret }) => stepOf({ n: n + 1, secret }, 'again')
const DONE: Take = ({ n, secret }) => stepOf({ n: n + 1, secret }, 'done')

function stepOf(state: State, next: Step<State>['next']): Step<State> {
  const progress = { done: state.n, total: 10, unit: 'steps' }
  return { state, progress, next }
}

async function fail(): Promise<never> {
  throw new Error('storage is away')
}

/** Uses a job within its object. */
async function world(use: (world: World) => Promise<void>): Promise<void> {
  await runInDurableObject(env.JOB.getByName('test'), async (_, { storage }) => {
    let now = START
    let alarm: number | undefined
    const [listed, ended, events, given]: [string[], string[], string[], unknown[]] = [
      [],
      [],
      [],
      [],
    ]
    const task: Task<State> = {
      step: async (state, context) => {
        given.push(state)
        return made.take(state, context)
      },
      end: async (state, context) => {
        given.push(['end', state])
        await made.end?.(state, context)
      },
    }
    const open = (): Run =>
      new Run({
        storage: {
          sql: storage.sql,
          kv: storage.kv,
          setAlarm: async (at) => {
            alarm = Number(at)
          },
          deleteAll: async () => {
            alarm = undefined
            await storage.deleteAll()
          },
        },
        taskOf: () => task,
        listing: {
          put: async (status) => {
            await made.listing.put?.(status)
            listed.push(`put ${status.state}`)
          },
          delete: async (status) => {
            await made.listing.delete?.(status)
            listed.push('delete')
          },
        },
        ended: (kind, state) => void ended.push(`${kind} ${state}`),
        now: () => now,
        log: (event) => void events.push(event),
      })
    const made: World = {
      run: open(),
      again: open,
      storage,
      alarm: () => alarm,
      now: () => now,
      pass: (milliseconds) => {
        now += milliseconds
      },
      listed,
      ended,
      events,
      given,
      take: AGAIN,
      end: undefined,
      listing: {},
    }
    await use(made)
    await storage.deleteAll()
  })
}

function statusOf(run: Run): JobStatus {
  return run.status() ?? expect.fail('there is no job')
}

/** Every key and every line that is stored. */
function stored({ storage }: World): string {
  return JSON.stringify([...storage.kv.list()])
}

describe('a job', () => {
  it('is listed before it is there, and begins at once', () =>
    world(async (of) => {
      of.listing = {
        put: async () => {
          expect(of.run.status()).toBeUndefined()
        },
      }
      const status = await of.run.start(ID, ORDER, 'root')
      expect(status).toEqual({
        id: ID,
        kind: 'collect',
        title: 'everything',
        by: 'root',
        state: 'running',
        createdAt: START,
        endedAt: undefined,
        until: undefined,
        progress: { done: 0, total: undefined, unit: '' },
        note: '',
        result: {},
      })
      expect(of.run.status()).toEqual(status)
      expect([of.alarm(), of.listed]).toEqual([START, ['put running']])
      expect(JSON.stringify(status)).not.toContain('canary')
    }))

  it('that cannot be listed does not begin', () =>
    world(async (of) => {
      of.listing = { put: fail }
      await expect(of.run.start(ID, ORDER, 'root')).rejects.toThrow('storage is away')
      expect([of.run.status(), of.alarm(), stored(of)]).toEqual([undefined, undefined, '[]'])
    }))

  it('begins once, however often it is started', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.alarm()
      const again = await of.run.start(ID, { ...ORDER, title: 'other' }, 'other')
      expect(again).toEqual(statusOf(of.run))
      expect([again.title, again.progress.done, of.listed]).toEqual([
        'everything',
        1,
        ['put running'],
      ])
    }))

  it('takes a step with each alarm, and hands its state on', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.alarm()
      of.pass(SECOND)
      await of.run.alarm()
      expect(of.given).toEqual([
        { n: 0, secret: 'canary' },
        { n: 1, secret: 'canary' },
      ])
      expect(statusOf(of.run)).toMatchObject({
        state: 'running',
        progress: { done: 2, total: 10, unit: 'steps' },
      })
      expect(of.alarm()).toBe(START + SECOND)
      of.take = DONE
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({
        state: 'done',
        progress: { done: 3 },
        endedAt: START + SECOND,
        note: '',
      })
      expect([of.listed, of.ended]).toEqual([['put running', 'put done'], ['collect done']])
    }))

  it('goes on in another object where the one before died between two steps', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.alarm()
      const other = of.again()
      of.take = DONE
      await other.alarm()
      expect(of.given.at(-1)).toEqual({ n: 1, secret: 'canary' })
      expect(statusOf(other).state).toBe('done')
    }))

  it('adds up what its steps have come to', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state) => ({ ...stepOf(state, 'again'), result: { removed: 1, first: 'a' } })
      await of.run.alarm()
      of.take = (state) => ({ ...stepOf(state, 'done'), result: { removed: 2 } })
      await of.run.alarm()
      expect(statusOf(of.run).result).toEqual({ removed: 2, first: 'a' })
    }))

  it('waits for as long as its step says, and says why', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      const until = START + MINUTE
      of.take = (state) => stepOf(state, { until, why: 'docker.io is paused' })
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({
        state: 'waiting',
        until,
        note: 'docker.io is paused',
      })
      expect(of.alarm()).toBe(until)
      of.pass(MINUTE)
      of.take = AGAIN
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({ state: 'running', until: undefined, note: '' })
    }))

  it('tells a step how long it has, and shows how far it is', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state, { id, until, isCancelled, show }) => {
        expect([id, until, isCancelled()]).toEqual([ID, START + STEP, false])
        show({ done: 7, total: undefined, unit: 'blobs' })
        expect(statusOf(of.run).progress).toEqual({ done: 7, total: undefined, unit: 'blobs' })
        return stepOf(state, 'again')
      }
      await of.run.alarm()
      expect(statusOf(of.run).progress.unit).toBe('steps')
    }))

  it('takes no step while another one runs', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      let release = (): void => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      of.take = async (state) => {
        await held
        return stepOf(state, 'again')
      }
      const first = of.run.alarm()
      await of.run.alarm()
      expect(of.given).toHaveLength(1)
      release()
      await first
    }))

  it('that was never started has nothing to wake for', () =>
    world(async (of) => {
      await of.run.alarm()
      expect([of.given, of.run.report(0), await of.run.cancel()]).toEqual([
        [],
        { items: [], next: undefined },
        undefined,
      ])
      expect(of.storage.sql.exec('SELECT name FROM sqlite_master').toArray()).not.toContainEqual({
        name: 'job_report',
      })
    }))
})

describe('a step that fails', () => {
  it('is repeated with the same state, later each time, and then no more', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = fail
      const waits: number[] = []
      for (let attempt = 1; attempt <= 5; attempt++) {
        await of.run.alarm()
        expect(statusOf(of.run)).toMatchObject({ state: 'waiting', note: 'storage is away' })
        const until = statusOf(of.run).until ?? expect.fail('no time')
        expect(of.alarm()).toBe(until)
        waits.push((until - of.now()) / SECOND)
        of.pass(until - of.now())
      }
      expect(waits).toEqual([5, 10, 20, 40, 80])
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({ state: 'failed', note: 'storage is away' })
      expect(of.given).toEqual([
        ...Array.from({ length: 6 }, () => ORDER.state),
        ['end', ORDER.state],
      ])
      expect(of.ended).toEqual(['collect failed'])
      expect(of.events.filter((event) => event === 'job-step-failed')).toHaveLength(6)
    }))

  it('counts anew after one that did not', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      for (let round = 0; round < 4; round++) {
        of.take = fail
        await of.run.alarm()
        await of.run.alarm()
        of.take = AGAIN
        await of.run.alarm()
        expect(statusOf(of.run)).toMatchObject({ state: 'running', progress: { done: round + 1 } })
      }
    }))

  it('for good ends the job at once', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = () => {
        throw new JobFailure('this export is damaged')
      }
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({
        state: 'failed',
        note: 'this export is damaged',
        endedAt: START,
        until: undefined,
      })
      expect(of.listed).toEqual(['put running', 'put failed'])
    }))

  it('by ending its object every time does not do so for ever', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = () => new Promise(() => undefined)
      for (let attempt = 1; attempt <= 6; attempt++) {
        void of.again().alarm()
        expect(of.given).toHaveLength(attempt)
      }
      const last = of.again()
      await last.alarm()
      expect(statusOf(last)).toMatchObject({
        state: 'failed',
        note: 'its step never came to an end',
      })
      expect(of.given.at(-1)).toEqual(['end', ORDER.state])
    }))
})

describe('a job that is cancelled', () => {
  it('ends at once where no step runs', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.alarm()
      of.pass(SECOND)
      expect(await of.run.cancel()).toMatchObject({
        state: 'cancelled',
        endedAt: START + SECOND,
        progress: { done: 1 },
      })
      expect(of.given.at(-1)).toEqual(['end', { n: 1, secret: 'canary' }])
      expect([of.listed, of.ended]).toEqual([
        ['put running', 'put cancelled'],
        ['collect cancelled'],
      ])
    }))

  it('in the middle of a step takes no other one, and puts in order what that one has left', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = async ({ secret }, context) => {
        expect([context.id, context.by]).toEqual([ID, 'root'])
        expect(context.isCancelled()).toBe(false)
        expect(await of.run.cancel()).toMatchObject({ state: 'cancelled' })
        expect(context.isCancelled()).toBe(true)
        // Nothing is put in order under the hands of a step.
        expect(of.given).toHaveLength(1)
        context.show({ done: 99, total: undefined, unit: '' })
        context.report({ subject: 'a', outcome: 'removed' })
        return stepOf({ n: 5, secret }, 'again')
      }
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({ state: 'cancelled', progress: { done: 0 } })
      expect(of.given).toEqual([ORDER.state, ['end', { n: 5, secret: 'canary' }]])
      expect(of.run.report(0).items).toHaveLength(1)
      await of.run.alarm()
      expect(of.given).toHaveLength(2)
      expect(of.alarm()).toBe(START + 30 * DAY)
    }))

  it('in the middle of a step that then fails stays cancelled', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = async () => {
        await of.run.cancel()
        throw new Error('the end of it')
      }
      await of.run.alarm()
      expect(statusOf(of.run)).toMatchObject({ state: 'cancelled', note: '' })
      expect(of.given.at(-1)).toEqual(['end', ORDER.state])
      expect(of.ended).toEqual(['collect cancelled'])
    }))

  it('in the middle of a step that then dies is put in order by the next object', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = () => new Promise(() => undefined)
      void of.run.alarm()
      await of.run.cancel()
      expect([of.given.length, of.alarm()]).toEqual([1, START])
      await of.again().alarm()
      expect(of.given.at(-1)).toEqual(['end', ORDER.state])
      expect([of.listed.at(-1), stored(of).includes('canary')]).toEqual(['put cancelled', false])
    }))

  it.each<{ readonly state: string; readonly take: Take }>([
    { state: 'done', take: DONE },
    {
      state: 'failed',
      take: () => {
        throw new JobFailure('no')
      },
    },
  ])('when it is $state stays so', ({ state, take }) =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = take
      await of.run.alarm()
      expect(await of.run.cancel()).toMatchObject({ state })
      expect(of.ended).toEqual([`collect ${state}`])
    }),
  )
})

describe('a job that is over', () => {
  it.each<{ readonly state: string; readonly over: (of: World) => Promise<void> }>([
    {
      state: 'done',
      over: async (of) => {
        of.take = DONE
        await of.run.alarm()
      },
    },
    {
      state: 'failed',
      over: async (of) => {
        of.take = () => {
          throw new JobFailure('no')
        }
        await of.run.alarm()
      },
    },
    {
      state: 'cancelled',
      over: async (of) => {
        await of.run.cancel()
      },
    },
  ])('and $state keeps no secret', ({ state, over }) =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.alarm()
      expect(stored(of)).toContain('canary')
      await over(of)
      expect(statusOf(of.run).state).toBe(state)
      expect(stored(of)).not.toContain('canary')
    }),
  )

  it('can be looked at for a month, and leaves nothing then', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state, { report }) => {
        report({ subject: 'a', outcome: 'removed' })
        return stepOf(state, 'done')
      }
      await of.run.alarm()
      expect(of.alarm()).toBe(START + 30 * DAY)
      of.pass(30 * DAY - 1)
      await of.again().alarm()
      expect([of.alarm(), of.listed.at(-1)]).toEqual([START + 30 * DAY, 'put done'])
      expect(of.again().report(0).items).toHaveLength(1)
      of.pass(1)
      const last = of.again()
      await last.alarm()
      expect([last.status(), of.alarm(), of.listed.at(-1), stored(of)]).toEqual([
        undefined,
        undefined,
        'delete',
        '[]',
      ])
      expect(last.report(0)).toEqual({ items: [], next: undefined })
    }))

  it('goes only when it is off the list', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      await of.run.cancel()
      of.pass(31 * DAY)
      of.listing = { delete: fail }
      await expect(of.run.alarm()).rejects.toThrow('storage is away')
      expect(statusOf(of.run).state).toBe('cancelled')
    }))

  it('is listed later where that fails, and keeps no secret for it', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.listing = { put: fail }
      expect(await of.run.cancel()).toMatchObject({ state: 'cancelled' })
      expect([of.listed, of.events.at(-1)]).toEqual([['put running'], 'job-not-settled'])
      expect(stored(of)).not.toContain('canary')
      of.listing = {}
      await of.again().alarm()
      expect(of.listed).toEqual(['put running', 'put cancelled'])
      // It was put in order once.
      expect(of.given).toEqual([['end', ORDER.state]])
      expect(of.alarm()).toBe(START + 30 * DAY)
    }))

  it('is put in order later where that fails, and not for ever', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.end = fail
      await of.run.cancel()
      expect(of.events.at(-1)).toBe('job-not-settled')
      await of.again().alarm()
      expect(of.given).toHaveLength(2)
      const next = of.alarm() ?? expect.fail('nothing wakes it')
      expect(next - of.now()).toBeGreaterThanOrEqual(MINUTE)
      expect(next - of.now()).toBeLessThan(DAY)
      of.end = undefined
      await of.again().alarm()
      expect([of.given.length, of.listed.at(-1)]).toEqual([3, 'put cancelled'])
    }))

  it('that is never put in order goes all the same', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.end = fail
      await of.run.cancel()
      of.pass(30 * DAY)
      await of.again().alarm()
      expect([of.listed.at(-1), stored(of)]).toEqual(['delete', '[]'])
    }))
})

describe('a report', () => {
  it('has the lines in the order in which they were written, a page at a time', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state, { report }) => {
        for (let n = 0; n < 1250; n++) {
          report({ subject: `${state.n} ${n}`, outcome: 'removed', bytes: n })
        }
        return stepOf({ ...state, n: state.n + 1 }, 'again')
      }
      await of.run.alarm()
      await of.again().alarm()
      const pages = [of.run.report(0)]
      for (let { next } = of.run.report(0); next !== undefined; next = pages.at(-1)?.next) {
        pages.push(of.run.report(next))
      }
      expect(pages.map(({ items }) => items.length)).toEqual([1000, 1000, 500])
      const items = pages.flatMap((page) => page.items)
      expect(items[0]).toEqual({ subject: '0 0', outcome: 'removed', bytes: 0 })
      expect(items[1250]).toEqual({ subject: '1 0', outcome: 'removed', bytes: 0 })
      expect(new Set(items.map(({ subject }) => subject)).size).toBe(2500)
      expect(of.run.report(999_999_999)).toEqual({ items: [], next: undefined })
    }))

  it('of a page that is just full has no other one', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state, { report }) => {
        for (let n = 0; n < 1000; n++) report({ subject: String(n), outcome: 'kept' })
        return stepOf(state, 'done')
      }
      await of.run.alarm()
      const { items, next } = of.run.report(0)
      expect([items.length, next]).toEqual([1000, undefined])
    }))

  it('ends somewhere', () =>
    world(async (of) => {
      await of.run.start(ID, ORDER, 'root')
      of.take = (state, { report }) => {
        report({ subject: 'first', outcome: 'kept' })
        of.storage.sql.exec(`UPDATE job_report SET number = 100000`)
        report({ subject: 'one too many', outcome: 'kept' })
        return stepOf(state, 'done')
      }
      await of.run.alarm()
      expect(of.run.report(0).items).toHaveLength(1)
    }))
})
