// Tags while the budget falls: checked ever less often, and at zero not at all.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { refusalOf } from '../support/answer.ts'
import { DAY, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const STEM = '/v2/budget.test/a/b/manifests'
/** `tagTTL` of `budget.test`. */
const TTL = 10 * SECOND

let upstream: SampleUpstream
let clock: Clock
let image: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream({
    authentication: { accounts: { mirror: 'canary-password' }, expiresIn: 86_400 },
  })
  goOnline({ 'budget.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Pulls a reference of `a/b`, or a path, in an isolate that knows nothing. */
async function pull(reference = 'v1'): Promise<Response> {
  const { get, settle } = isolate()
  const answer = await get(reference.startsWith('/') ? reference : `${STEM}/${reference}`)
  await settle()
  return answer
}

/** Pulls the tag while so much of 100 is left, and waits until the gate knows. */
async function pullWith(left: number): Promise<void> {
  upstream.setRateLimit({ limit: 100, remaining: left + 1 })
  expect((await pull()).status).toBe(200)
  upstream.forget()
}

describe.each([
  { left: 60, times: 1 },
  { left: 40, times: 2 },
  { left: 20, times: 4 },
  { left: 5, times: 12 },
])('with $left of 100 left', ({ left, times }) => {
  it(`a tag is fresh for ${times} times its TTL, then checked once`, async () => {
    await pullWith(left)
    clock.advance(times * TTL - 1)
    const fresh = await pull()
    expect(fresh.headers.get('warning')).toBeNull()
    expect(fresh.headers.get('age')).toBe(String(Math.floor((times * TTL - 1) / SECOND)))
    expect(asked(upstream)).toEqual([])
    clock.advance(1)
    expect((await pull()).headers.get('age')).toBe('0')
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
  })
})

describe('with nothing left', () => {
  it('only what is known is served, and nothing goes out', async () => {
    const other = await sampleImage({ layers: [64], seed: 2 })
    await addSample(upstream, 'a/b', other, 'v2')
    upstream.setRateLimit({ limit: 100, remaining: 2 })
    await pull('v2')
    clock.advance(SECOND)
    await pullWith(0)
    clock.advance(59 * SECOND)
    expect((await pull()).headers.get('warning')).toBeNull()
    expect((await pull(image.digest)).status).toBe(200)
    const cold = await pull('v3')
    expect(cold.headers.get('retry-after')).toBe('1')
    expect(await refusalOf(cold)).toBe('429 TOOMANYREQUESTS')
    expect(await refusalOf(await pull(`sha256:${'a'.repeat(64)}`))).toBe('429 TOOMANYREQUESTS')
    expect(asked(upstream)).toEqual([])
  })

  it('a tag that is too old even for that is served stale, with a warning', async () => {
    await pullWith(60)
    clock.advance(12 * TTL)
    upstream.setRateLimit({ limit: 100, remaining: 1 })
    await addSample(upstream, 'a/b', image, 'v2')
    await pull('v2')
    upstream.forget()
    const stale = await pull()
    expect(stale.status).toBe(200)
    expect(stale.headers.get('warning')).toContain(
      'budget.test did not confirm this tag: it limits',
    )
    expect(asked(upstream)).toEqual([])
  })

  it('one request a minute finds out, and all is as before once there is a budget again', async () => {
    await pullWith(0)
    upstream.setRateLimit({ limit: 100, remaining: 100 })
    // The minute has passed long before the stretched TTL.
    clock.advance(12 * TTL)
    expect((await pull()).headers.get('age')).toBe('0')
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
    upstream.forget()
    clock.advance(TTL)
    expect((await pull()).headers.get('age')).toBe('0')
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
  })
})

describe('a budget', () => {
  it('is counted down to zero and no further', async () => {
    upstream.setRateLimit({ limit: 100, remaining: 5, retryAfter: 3600 })
    const images = await Promise.all(
      Array.from({ length: 8 }, (_, seed) => sampleImage({ layers: [64], seed: seed + 10 })),
    )
    for (const [n, each] of images.entries()) await addSample(upstream, 'a/b', each, `n${n}`)
    const answers: number[] = []
    for (const n of images.keys()) {
      clock.advance(1)
      answers.push((await pull(`n${n}`)).status)
    }
    expect(answers).toEqual([200, 200, 200, 200, 200, 429, 429, 429])
    // The upstream itself never had to refuse one.
    expect(upstream.count({ kind: 'manifest', status: 429 })).toBe(0)
    expect(upstream.count({ kind: 'manifest' })).toBe(5)
  })
})

describe('a long TTL', () => {
  it('is not stretched beyond maxStale', async () => {
    await addSample(upstream, 'slow/b', image, 'v1')
    upstream.setRateLimit({ limit: 100, remaining: 6, window: 2_592_000 })
    const path = '/v2/budget.test/slow/b/manifests/v1'
    await pull(path)
    upstream.forget()
    clock.advance(2 * DAY - 1)
    expect((await pull(path)).headers.get('warning')).toBeNull()
    expect(asked(upstream)).toEqual([])
    clock.advance(1)
    expect((await pull(path)).headers.get('age')).toBe('0')
    expect(asked(upstream)).toContain('HEAD /v2/slow/b/manifests/v1')
  })
})
