// Work on one thing runs one after the other, and a turn lasts as long as anything that it has begun.

import { describe, expect, it } from 'vitest'
import { Turns } from '../../src/hosted/turns.ts'

/** Work that ends when it is told to, and notes when it begins. */
function work(name: string, log: string[]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const run = () => {
    log.push(name)
    return promise
  }
  return { run, end: () => resolve(name), fail: () => reject(new Error(name)) }
}

/** Lets everything happen that can. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0))

describe('turns', () => {
  it('are taken in the order in which they were asked for, whether the one before ends well or not', async () => {
    const turns = new Turns()
    const log: string[] = []
    const [first, second, third] = [work('1', log), work('2', log), work('3', log)]
    const answers = [first, second, third].map(({ run }) => turns.take('key', run))
    answers[1]?.catch(() => undefined)
    await settled()
    expect(log).toEqual(['1'])
    first.end()
    await settled()
    expect(log).toEqual(['1', '2'])
    second.fail()
    await expect(answers[1]).rejects.toThrow('2')
    await settled()
    expect(log).toEqual(['1', '2', '3'])
    third.end()
    expect(await Promise.all([answers[0], answers[2]])).toEqual(['1', '3'])
  })

  it('on different things do not wait for each other', async () => {
    const turns = new Turns()
    const log: string[] = []
    const stuck = work('stuck', log)
    const waiting = turns.take('one', stuck.run)
    expect(await turns.take('other', async () => 'other')).toBe('other')
    stuck.end()
    await waiting
  })

  it.each(['ends', 'fails'])(
    'last until what they keep them for %s, though they are answered before',
    async (how) => {
      const turns = new Turns()
      const log: string[] = []
      const rest = work('rest', [])
      const answer = turns.take('key', async (keep) => {
        keep(rest.run())
        throw new Error('late')
      })
      const next = turns.take('key', async () => void log.push('next'))
      await expect(answer).rejects.toThrow('late')
      await settled()
      expect(log).toEqual([])
      if (how === 'ends') rest.end()
      else rest.fail()
      await next
      expect(log).toEqual(['next'])
    },
  )
})
