// What an upstream's `ratelimit-*` headers say, for how long it holds, and what follows for tags.

import { describe, expect, it } from 'vitest'
import type { Budget } from '../../src/upstream/budget.ts'
import { currentBudget, laterBudget, parseBudget, stretchOf } from '../../src/upstream/budget.ts'
import { HOUR, SECOND } from '../support/clock.ts'

const AT = 1_800_000_000_000

function headersOf(limit: string | undefined, remaining: string | undefined): Headers {
  return new Headers({
    ...(limit !== undefined && { 'ratelimit-limit': limit }),
    ...(remaining !== undefined && { 'ratelimit-remaining': remaining }),
  })
}

function budget(changed: Partial<Budget> = {}): Budget {
  return { limit: 100, remaining: 50, window: 6 * HOUR, at: AT, ...changed }
}

describe('the headers of an answer', () => {
  it.each([
    {
      name: 'of Docker Hub',
      limit: '100;w=21600',
      remaining: '76;w=21600',
      want: budget({ remaining: 76 }),
    },
    {
      name: 'with spaces',
      limit: ' 100 ; w=60 ',
      remaining: '76; w=60',
      want: budget({ remaining: 76, window: 60 * SECOND }),
    },
    { name: 'without a window', limit: '100', remaining: '76', want: budget({ remaining: 76 }) },
    {
      name: 'with a window of the limit alone',
      limit: '100;w=60',
      remaining: '76',
      want: budget({ remaining: 76, window: 60 * SECOND }),
    },
    {
      name: 'with two windows: that of what remains',
      limit: '100;w=60',
      remaining: '76;w=30',
      want: budget({ remaining: 76, window: 30 * SECOND }),
    },
    {
      name: 'with nothing left',
      limit: '100;w=60',
      remaining: '0;w=60',
      want: budget({ remaining: 0, window: 60 * SECOND }),
    },
    {
      name: 'with more left than the limit',
      limit: '100',
      remaining: '250',
      want: budget({ remaining: 250 }),
    },
    {
      name: 'with further parameters',
      limit: '100, 100;w=60',
      remaining: '76;w=60;burst=5',
      want: budget({ remaining: 76, window: 60 * SECOND }),
    },
    {
      name: 'with the largest numbers',
      limit: '999999999',
      remaining: '999999999',
      want: budget({ limit: 999_999_999, remaining: 999_999_999 }),
    },
  ])('$name are read', ({ limit, remaining, want }) => {
    expect(parseBudget(headersOf(limit, remaining), AT)).toEqual(want)
  })

  it.each([
    { name: 'none', limit: undefined, remaining: undefined },
    { name: 'the limit alone', limit: '100;w=60', remaining: undefined },
    { name: 'the rest alone', limit: undefined, remaining: '76;w=60' },
    { name: 'a limit of zero, which is none', limit: '0;w=60', remaining: '0;w=60' },
    { name: 'words', limit: 'unlimited', remaining: 'unlimited' },
    { name: 'nothing', limit: '', remaining: '' },
    { name: 'a negative rest', limit: '100', remaining: '-1' },
    { name: 'a fraction', limit: '100', remaining: '7.5' },
    { name: 'hexadecimal', limit: '0x64', remaining: '0x64' },
    { name: 'numbers that no number holds', limit: '9'.repeat(400), remaining: '9'.repeat(400) },
    { name: 'a megabyte of digits', limit: '100', remaining: '1'.repeat(1_000_000) },
  ])('say nothing of use: $name', ({ limit, remaining }) => {
    expect(parseBudget(headersOf(limit, remaining), AT)).toBeUndefined()
  })
})

describe('a budget', () => {
  it('is known until its window is over', () => {
    const known = budget({ window: 60 * SECOND })
    expect(currentBudget(known, AT)).toBe(known)
    expect(currentBudget(known, AT + 60 * SECOND - 1)).toBe(known)
    expect(currentBudget(known, AT + 60 * SECOND)).toBeUndefined()
    expect(currentBudget(undefined, AT)).toBeUndefined()
  })

  it.each([
    { name: 'the first', known: undefined, told: budget(), isTold: true },
    {
      name: 'a later one, though it says more',
      known: budget(),
      told: budget({ at: AT + 1, remaining: 90 }),
      isTold: true,
    },
    {
      name: 'not an earlier one',
      known: budget(),
      told: budget({ at: AT - 1, remaining: 1 }),
      isTold: false,
    },
    {
      name: 'of two at once the smaller one',
      known: budget(),
      told: budget({ remaining: 49 }),
      isTold: true,
    },
    {
      name: 'of two at once not the larger one',
      known: budget(),
      told: budget({ remaining: 51 }),
      isTold: false,
    },
  ])('that counts is $name', ({ known, told, isTold }) => {
    expect(laterBudget(known, told)).toBe(isTold ? told : known)
  })

  it.each([
    { remaining: 250, by: 1 },
    { remaining: 100, by: 1 },
    { remaining: 50, by: 1 },
    { remaining: 49, by: 2 },
    { remaining: 25, by: 2 },
    { remaining: 24, by: 4 },
    { remaining: 10, by: 4 },
    { remaining: 9, by: 12 },
    { remaining: 0, by: 12 },
  ])('of $remaining of 100 makes TTLs $by times as long', ({ remaining, by }) => {
    expect(stretchOf(budget({ remaining }))).toBe(by)
  })

  it('that nobody has told changes no TTL', () => {
    expect(stretchOf(undefined)).toBe(1)
  })
})
