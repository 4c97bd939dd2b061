// Every decision over the two clocks of a tag, at each edge.

import { describe, expect, it } from 'vitest'
import { freshUntil, judge, mayServeStale, restsUntil } from '../../src/mirror/freshness.ts'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../support/clock.ts'

const NOW = 1_000 * DAY
const RULES = { ttl: 5 * MINUTE, maxStale: 7 * DAY, isPrivate: false }
const QUICK = { ...RULES, ttl: 10 * SECOND }
const NEVER = { ...RULES, ttl: 0 }

/** Clocks that were last moved so long ago; `tried` only after a failure. */
function ago(verified: number, tried = verified) {
  return { verifiedAt: NOW - verified, triedAt: NOW - tried }
}

describe('judge', () => {
  it.each([
    { name: 'verified now', clocks: ago(0), rules: RULES, want: 'fresh' },
    { name: 'within the TTL', clocks: ago(5 * MINUTE - 1), rules: RULES, want: 'fresh' },
    { name: 'the TTL is over', clocks: ago(5 * MINUTE), rules: RULES, want: 'due' },
    { name: 'failed just now', clocks: ago(HOUR, 0), rules: RULES, want: 'resting' },
    { name: 'failed 30 s ago less 1 ms', clocks: ago(HOUR, 29_999), rules: RULES, want: 'resting' },
    { name: 'failed 30 s ago', clocks: ago(HOUR, 30_000), rules: RULES, want: 'due' },
    {
      name: 'short TTL: rests for the TTL',
      clocks: ago(HOUR, 9_999),
      rules: QUICK,
      want: 'resting',
    },
    { name: 'short TTL: rests no longer', clocks: ago(HOUR, 10_000), rules: QUICK, want: 'due' },
    { name: 'no TTL: always asks', clocks: ago(0), rules: NEVER, want: 'due' },
    { name: 'no TTL: never rests', clocks: ago(HOUR, 0), rules: NEVER, want: 'due' },
    {
      name: 'a failure within the TTL changes nothing',
      clocks: ago(9, 1),
      rules: RULES,
      want: 'fresh',
    },
    { name: 'a clock that runs backwards', clocks: ago(-HOUR), rules: RULES, want: 'fresh' },
  ])('$name: $want', ({ clocks, rules, want }) => {
    expect(judge(clocks, rules, NOW)).toBe(want)
  })

  it('says until when', () => {
    expect(freshUntil(ago(MINUTE), RULES)).toBe(NOW + 4 * MINUTE)
    expect(restsUntil(ago(HOUR, SECOND), RULES)).toBe(NOW + 29 * SECOND)
    expect(restsUntil(ago(HOUR, SECOND), QUICK)).toBe(NOW + 9 * SECOND)
    expect(restsUntil(ago(HOUR), RULES)).toBe(0)
  })
})

describe('mayServeStale', () => {
  const unavailable: UpstreamFailure = { kind: 'unavailable', isTimeout: false, reason: '' }
  const limited: UpstreamFailure = { kind: 'rate-limited', retryAfter: 1 }
  const invalid: UpstreamFailure = { kind: 'invalid', reason: '' }
  const unauthorized: UpstreamFailure = { kind: 'unauthorized', reason: '' }
  const denied: UpstreamFailure = { kind: 'denied', reason: '' }
  const notFound: UpstreamFailure = { kind: 'not-found' }

  it.each([
    { failure: unavailable, isPrivate: false, longest: 7 * DAY },
    { failure: unavailable, isPrivate: true, longest: 7 * DAY },
    { failure: limited, isPrivate: false, longest: 7 * DAY },
    { failure: limited, isPrivate: true, longest: 7 * DAY },
    { failure: invalid, isPrivate: false, longest: 7 * DAY },
    { failure: invalid, isPrivate: true, longest: 7 * DAY },
    { failure: unauthorized, isPrivate: false, longest: 7 * DAY },
    { failure: unauthorized, isPrivate: true, longest: -1 },
    { failure: denied, isPrivate: false, longest: HOUR },
    { failure: denied, isPrivate: true, longest: -1 },
    { failure: notFound, isPrivate: false, longest: -1 },
    { failure: notFound, isPrivate: true, longest: -1 },
  ])('$failure.kind, private: $isPrivate: up to $longest ms', ({ failure, isPrivate, longest }) => {
    const rules = { ...RULES, isPrivate }
    expect(mayServeStale(failure, NOW, rules, NOW)).toBe(longest >= 0)
    expect(mayServeStale(failure, NOW - longest, rules, NOW)).toBe(longest >= 0)
    expect(mayServeStale(failure, NOW - longest - 1, rules, NOW)).toBe(false)
  })

  it.each([
    { failure: denied, maxStale: MINUTE, age: MINUTE, want: true },
    { failure: denied, maxStale: MINUTE, age: MINUTE + 1, want: false },
    { failure: unavailable, maxStale: 0, age: 1, want: false },
  ])('$failure.kind: maxStale $maxStale bounds it', ({ failure, maxStale, age, want }) => {
    expect(mayServeStale(failure, NOW - age, { ...RULES, maxStale }, NOW)).toBe(want)
  })
})
