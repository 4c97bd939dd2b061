// What an isolate notes of reads: everything once an hour, pulls always, and never more than it may hold.

import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { ReadNotes, dayOf } from '../../src/storage/reads.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../support/clock.ts'

const START = 1_700_000_000_000
const ONE = { key: 'one', of: 'one' }
const TWO = { key: 'two', of: 'two' }

function digest(n: number): Digest {
  return `sha256:${String(n).padStart(64, '0')}` as Digest
}

function read(n: number): { readonly digest: Digest; readonly isPull: false } {
  return { digest: digest(n), isPull: false }
}

function pull(n: number): { readonly digest: Digest; readonly isPull: true } {
  return { digest: digest(n), isPull: true }
}

describe('a read', () => {
  it('is told once, together with what follows while it waits', () => {
    const notes = new ReadNotes<string>()
    expect(notes.note(ONE, pull(1), START)).toEqual([ONE])
    expect(notes.note(ONE, read(2), START + SECOND)).toEqual([])
    expect(notes.note(ONE, pull(1), START + 2 * SECOND)).toEqual([])
    expect(notes.take('one')).toEqual({
      at: START + 2 * SECOND,
      pulls: 2,
      digests: [digest(1), digest(2)],
    })
    expect(notes.take('one')).toBeUndefined()
  })

  it('is not told again within an hour, and then is', () => {
    const notes = new ReadNotes<string>()
    notes.note(ONE, read(1), START)
    notes.take('one')
    expect(notes.note(ONE, read(1), START + HOUR - 1)).toEqual([])
    expect(notes.take('one')).toBeUndefined()
    expect(notes.note(ONE, read(1), START + HOUR)).toEqual([ONE])
    expect(notes.take('one')).toEqual({ at: START + HOUR, pulls: 0, digests: [digest(1)] })
  })

  it('of one repository says nothing of another', () => {
    const notes = new ReadNotes<string>()
    expect(notes.note(ONE, read(1), START)).toEqual([ONE])
    expect(notes.note(TWO, read(1), START)).toEqual([TWO])
    expect(notes.take('one')?.digests).toEqual([digest(1)])
    expect(notes.take('two')?.digests).toEqual([digest(1)])
  })
})

describe('pulls', () => {
  it('wait for the next read that is told', () => {
    const notes = new ReadNotes<string>()
    notes.note(ONE, pull(1), START)
    notes.take('one')
    for (const n of [1, 2, 3]) expect(notes.note(ONE, pull(1), START + n * MINUTE)).toEqual([])
    expect(notes.note(ONE, read(2), START + 4 * MINUTE)).toEqual([ONE])
    expect(notes.take('one')).toEqual({ at: START + 4 * MINUTE, pulls: 3, digests: [digest(2)] })
  })

  it('wait no longer than an hour, whichever repository is read then', () => {
    const notes = new ReadNotes<string>()
    notes.note(ONE, read(1), START)
    notes.take('one')
    notes.note(ONE, pull(1), START + MINUTE)
    notes.note(TWO, read(2), START + MINUTE)
    notes.take('two')
    // What is known to be told is only looked up, but pulls are looked for now and then.
    expect(notes.note(TWO, read(2), START + 50 * MINUTE)).toEqual([])
    const told = [61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72].flatMap((n) =>
      notes.note(TWO, pull(2), START + n * MINUTE).map(({ key }) => [key, notes.take(key)]),
    )
    expect(told.filter(([key]) => key === 'one')).toEqual([
      ['one', { at: START + MINUTE, pulls: 1, digests: [] }],
    ])
  })
})

describe('what was not told', () => {
  it('is noted again, and its pulls wait, but the ledger is left alone for a minute', () => {
    const notes = new ReadNotes<string>()
    notes.note(ONE, pull(1), START)
    const taken = notes.take('one') ?? expect.fail('nothing was taken')
    notes.giveBack(ONE, taken, START + SECOND)
    expect(notes.note(ONE, pull(1), START + 2 * SECOND)).toEqual([])
    expect(notes.note(ONE, read(1), START + MINUTE)).toEqual([])
    expect(notes.note(ONE, read(3), START + SECOND + MINUTE)).toEqual([ONE])
    expect(notes.take('one')).toEqual({
      at: START + SECOND + MINUTE,
      pulls: 2,
      digests: [digest(1), digest(3)],
    })
  })

  it('because whoever was to tell it has gone is told by another', () => {
    const notes = new ReadNotes<string>()
    expect(notes.note(ONE, read(1), START)).toEqual([ONE])
    expect(notes.note(ONE, read(2), START + 59 * SECOND)).toEqual([])
    expect(notes.note(ONE, read(3), START + 60 * SECOND)).toEqual([ONE])
    expect(notes.take('one')?.digests).toEqual([1, 2, 3].map(digest))
  })
})

describe('memory', () => {
  it('holds 20 000 digests, the last ones', () => {
    const notes = new ReadNotes<string>()
    for (let n = 0; n < 20_001; n++) {
      notes.note(ONE, read(n), START)
      notes.take('one')
    }
    notes.note(ONE, read(20_000), START)
    notes.note(ONE, read(1), START)
    expect(notes.take('one')).toBeUndefined()
    notes.note(ONE, read(0), START)
    expect(notes.take('one')?.digests).toEqual([digest(0)])
  })

  it('lets no more than so many wait, and counts them off when they are told', () => {
    const notes = new ReadNotes<string>()
    for (let n = 0; n < 20_002; n++) notes.note(ONE, read(n), START)
    expect(notes.take('one')?.digests).toHaveLength(20_000)
    notes.note(ONE, read(20_001), START)
    expect(notes.take('one')?.digests).toEqual([digest(20_001)])
  })

  it('of repositories with pulls that wait has an end too', () => {
    const notes = new ReadNotes<string>()
    const of = (n: number) => ({ key: `r${n}`, of: `r${n}` })
    for (let n = 0; n < 5001; n++) notes.note(of(n), pull(n), START)
    expect(notes.take('r0')).toBeUndefined()
    expect(notes.take('r1')?.pulls).toBe(1)
    expect(notes.take('r5000')?.pulls).toBe(1)
  })
})

it('days are counted from the epoch', () => {
  expect([0, DAY - 1, DAY, 3 * DAY + 5].map(dayOf)).toEqual([0, 0, 1, 3])
})
