// What is kept of purges: enough for every isolate to know what to forget, and never too much for a snapshot.

import { beforeEach, describe, expect, it } from 'vitest'
import { NO_PURGES, PurgeRecords } from '../../src/auth/purges.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

let values: Map<string, unknown>
let now: number

/** The records; a second one is the first after an eviction. */
function records(): PurgeRecords {
  return new PurgeRecords(
    {
      get: (key) => structuredClone(values.get(key)),
      put: (key, value) => void values.set(key, structuredClone(value)),
    },
    () => now,
  )
}

function scopes(): readonly string[] {
  return records()
    .read()
    .recent.map(({ scope }) => scope)
}

beforeEach(() => {
  values = new Map()
  now = Date.UTC(2026, 0, 1)
})

describe('purges', () => {
  it('are none at first', () => {
    expect(records().read()).toEqual(NO_PURGES)
    expect(values.size).toBe(0)
  })

  it('are counted, the newest first, with the time', () => {
    expect(records().add('one.test/a')).toBe(1)
    now += MINUTE
    expect(records().add('one.test/b')).toBe(2)
    expect(records().read()).toEqual({
      number: 2,
      recent: [
        { number: 2, at: now, scope: 'one.test/b' },
        { number: 1, at: now - MINUTE, scope: 'one.test/a' },
      ],
    })
  })

  it('of the same repository are one record, with the newest time, and so are those of its host', () => {
    records().add('one.test/a')
    records().add('one.test/b')
    records().add('one.test:8080/b')
    now += MINUTE
    expect(records().add('one.test/a')).toBe(4)
    expect(records().read().recent[0]).toEqual({ number: 4, at: now, scope: 'one.test/a' })
    expect(scopes()).toEqual(['one.test/a', 'one.test:8080/b', 'one.test/b'])
    expect(records().add('one.test')).toBe(5)
    expect(scopes()).toEqual(['one.test', 'one.test:8080/b'])
  })

  it('may be as of an earlier time, but never earlier than one before', () => {
    records().add('one.test/a', now - MINUTE)
    expect(records().read().recent).toEqual([{ number: 1, at: now - MINUTE, scope: 'one.test/a' }])
    records().add('one.test/a')
    records().add('one.test/a', now - MINUTE)
    expect(records().read().recent).toEqual([{ number: 3, at: now, scope: 'one.test/a' }])
    records().add('one.test', now - MINUTE)
    expect(records().read().recent).toEqual([{ number: 4, at: now, scope: 'one.test' }])
  })

  it('of a repository leave the record of one whose name goes on', () => {
    records().add('one.test/a/b')
    records().add('one.test/a')
    expect(scopes()).toEqual(['one.test/a', 'one.test/a/b'])
  })

  it('are kept for two hours however many, and the newest hundred for good', () => {
    for (let n = 0; n < 150; n++) records().add(`one.test/a${n}`)
    expect(scopes()).toHaveLength(150)
    now += 2 * HOUR
    records().add('one.test/b')
    expect(scopes()).toHaveLength(151)
    now += 1
    records().add('one.test/c')
    expect(scopes()).toHaveLength(100)
    expect(scopes().slice(0, 3)).toEqual(['one.test/c', 'one.test/b', 'one.test/a149'])
    now += 1000 * HOUR
    records().add('one.test/d')
    expect(scopes()).toHaveLength(100)
    expect(records().read().number).toBe(153)
  })

  it('of more than a thousand repositories are those of their hosts, as of the newest', () => {
    const old = { number: 1, at: now - MINUTE, scope: 'two.test/a' }
    const many = Array.from({ length: 999 }, (_, n) => {
      return { number: 1000 - n, at: now, scope: `one.test/a${n}` }
    })
    values.set('purges', { number: 1000, recent: [...many, old] })
    expect(records().add('one.test/b')).toBe(1001)
    expect(records().read()).toEqual({
      number: 1001,
      recent: [
        { number: 1001, at: now, scope: 'one.test' },
        { number: 1, at: now - MINUTE, scope: 'two.test' },
      ],
    })
  })
})
