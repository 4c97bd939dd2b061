// What follows from switches for an upstream, and what was turned between two states: pure tables.

import { describe, expect, it } from 'vitest'

import { NO_SWITCHES, contactOf, parseSwitches, turnsBetween } from '../../src/auth/switches.ts'
import type { Contact, Switches } from '../../src/auth/switches.ts'

const HOSTS = new Map([
  ['docker.io', { host: 'docker.io' }],
  ['index.docker.io', { host: 'docker.io' }],
  ['a.test', { host: 'a.test' }],
])

/** What is refused, and where it is wrong. */
interface Refused {
  readonly members: Readonly<Record<string, unknown>>
  readonly isWhole: boolean
  readonly field: string
  readonly isMissing: boolean
}

describe('an upstream', () => {
  it.each<{ change: Partial<Switches>; want: Contact }>([
    { change: {}, want: 'all' },
    { change: { readOnly: true, noRedirect: true }, want: 'all' },
    { change: { alwaysStale: true }, want: 'unknown' },
    { change: { noFills: true }, want: 'none' },
    { change: { noFills: true, alwaysStale: true }, want: 'none' },
    { change: { paused: ['a.test'] }, want: 'none' },
    { change: { paused: ['b.test', 'xa.test'] }, want: 'all' },
    { change: { paused: ['b.test'], alwaysStale: true }, want: 'unknown' },
  ])('may be asked for $want with $change', ({ change, want }) => {
    expect(contactOf({ ...NO_SWITCHES, ...change }, 'a.test')).toBe(want)
  })
})

describe('turns', () => {
  it('are none between equal states', () => {
    const state = { ...NO_SWITCHES, noFills: true, paused: ['a.test'] }
    expect(turnsBetween(state, { ...state, paused: ['a.test'] })).toEqual([])
  })

  it('are each switch on its own, on and off', () => {
    const before = { ...NO_SWITCHES, readOnly: true, paused: ['a.test', 'b.test'] }
    const after = { ...NO_SWITCHES, alwaysStale: true, paused: ['b.test', 'c.test'] }
    expect(turnsBetween(before, after)).toEqual([
      { what: 'switch-off', name: 'readOnly' },
      { what: 'switch-on', name: 'alwaysStale' },
      { what: 'pause', name: 'c.test' },
      { what: 'resume', name: 'a.test' },
    ])
  })
})

describe('parsing', () => {
  it('takes what is named, hosts in order and each once', () => {
    const members = { noFills: true, paused: ['INDEX.docker.io', 'a.test', 'docker.io'] }
    expect(parseSwitches(members, HOSTS, { isWhole: false })).toEqual({
      ok: true,
      change: { noFills: true, paused: ['a.test', 'docker.io'] },
    })
  })

  it('takes a whole', () => {
    expect(parseSwitches({ ...NO_SWITCHES }, HOSTS, { isWhole: true })).toEqual({
      ok: true,
      change: NO_SWITCHES,
    })
  })

  it.each<Refused>([
    { members: {}, isWhole: true, field: 'readOnly', isMissing: true },
    { members: {}, isWhole: false, field: '', isMissing: false },
    { members: { constructor: true }, isWhole: false, field: 'constructor', isMissing: false },
    { members: { ['x'.repeat(99)]: 1 }, isWhole: false, field: 'x'.repeat(64), isMissing: false },
    { members: { noFills: 0 }, isWhole: false, field: 'noFills', isMissing: false },
    { members: { paused: {} }, isWhole: false, field: 'paused', isMissing: false },
    { members: { paused: null }, isWhole: false, field: 'paused', isMissing: false },
    { members: { paused: ['b.test'] }, isWhole: false, field: 'paused[0]', isMissing: false },
    { members: { paused: ['a.test', []] }, isWhole: false, field: 'paused[1]', isMissing: false },
  ])('refuses $members by the field $field', ({ members, isWhole, field, isMissing }) => {
    const parsed = parseSwitches(members, HOSTS, { isWhole })
    expect(parsed).toMatchObject({ ok: false, field, isMissing })
  })

  it('takes undefined for absent, which JSON cannot say', () => {
    const parsed = parseSwitches({ noFills: undefined, readOnly: true }, HOSTS, { isWhole: false })
    expect(parsed).toMatchObject({ ok: true, change: { readOnly: true } })
  })
})
