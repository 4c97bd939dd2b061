// When a step of an import goes on, and with how much at once.

import { describe, expect, it } from 'vitest'
import { Halt, ItemFailure, Lanes, Pace, StepOver, settleAll } from '../../src/jobs/import-pace.ts'
import type { PaceGiven } from '../../src/jobs/import-pace.ts'

function paceWith(changed: Partial<PaceGiven> = {}): Pace {
  return new Pace({
    until: 1000,
    isCancelled: () => false,
    isReadOnly: async () => false,
    now: () => 0,
    ...changed,
  })
}

/** What it says to something new. */
async function verdict(work: Promise<void>): Promise<unknown> {
  return work.then(
    () => 'go on',
    (error: unknown) => error,
  )
}

describe('a step', () => {
  it.each([
    [{}, 'go on'],
    [{ now: () => 999 }, 'go on'],
    [{ now: () => 1000 }, new StepOver('the step is over')],
    [{ isCancelled: () => true }, new StepOver('the step is over')],
    [{ isReadOnly: async () => true }, new Halt(60_000, 'hosted repositories are read-only')],
  ])('with %o', async (changed, expected) => {
    expect(await verdict(paceWith(changed).check())).toEqual(expected)
  })

  it('does so much and no more', async () => {
    const pace = paceWith()
    for (let time = 0; time < 200; time += 1) await pace.spend()
    expect(await verdict(pace.spend())).toEqual(new StepOver('the step has done enough'))
    // What is only looked at here costs nothing.
    expect(await verdict(pace.check())).toBe('go on')
  })
})

describe('lanes', () => {
  it('let so many work at once, whatever becomes of them', async () => {
    const lanes = new Lanes(2)
    let running = 0
    let most = 0
    const work = async (fails: boolean): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      await Promise.resolve()
      running -= 1
      if (fails) throw new Error('failed')
    }
    const all = [true, false, true, false, false].map((fails) => lanes.run(() => work(fails)))
    const results = await Promise.allSettled(all)
    expect(results.map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ])
    expect(most).toBe(2)
  })
})

describe('several works', () => {
  it('are all waited for, and what can never succeed is told first', async () => {
    const done: number[] = []
    const after = async (turns: number, error?: Error): Promise<number> => {
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
      done.push(turns)
      if (error !== undefined) throw error
      return turns
    }
    const failure = new ItemFailure('never')
    const works = [after(1, new StepOver('over')), after(20, failure), after(40)]
    await expect(settleAll(works)).rejects.toBe(failure)
    expect(done).toEqual([1, 20, 40])
    expect(await settleAll([after(2), after(1)])).toEqual([2, 1])
  })
})
