// T170: an upstream that is down in every way, against everything that may be known of a manifest. Up to
// `maxStale` a client gets what it would have got, and else an error that says "not now", never "not there".

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { FaultRule } from '../../cli/upstream-fault.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { DAY, HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const STEM = '/v2/one.test/a/b/manifests'
const WARNING = /^110 - "Response is Stale", 299 - "one\.test did not confirm this tag: [a-z ]+"$/

let upstream: SampleUpstream
let clock: Clock
let image: SampleManifest
/** What the tag points at by now; here nobody has seen it. */
let next: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream({ authentication: {} })
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  next = await sampleImage({ layers: [64], seed: 2 })
  await addSample(upstream, 'a/b', image, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function pull(reference: string, method = 'GET'): Promise<Response> {
  const { fetch, settle } = isolate()
  const answer = await fetch(`${STEM}/${reference}`, { method })
  await settle()
  return answer
}

interface Outage {
  readonly name: string
  readonly rule: FaultRule
  /** What somebody is told of whom nothing is known here. */
  readonly want: string
}

const never = new Promise<void>(() => undefined)
const down = (status: number): Outage => ({
  name: String(status),
  rule: { do: { status, body: '<html>', contentType: 'text/html' } },
  want: '502 UNKNOWN',
})

const OUTAGES: readonly Outage[] = [
  { name: 'refused', rule: { do: { refuse: true } }, want: '502 UNKNOWN' },
  down(500),
  down(502),
  down(503),
  down(504),
  { name: 'headers never', rule: { do: { hangHeaders: true } }, want: '504 UNKNOWN' },
  {
    name: 'body never',
    rule: { on: { kind: 'manifest', method: 'GET' }, do: { hold: never } },
    want: '504 UNKNOWN',
  },
  {
    name: 'reset within the body',
    rule: { on: { kind: 'manifest', method: 'GET' }, do: { truncateAt: 0.5 } },
    want: '502 UNKNOWN',
  },
  {
    name: 'HTML with 200',
    rule: {
      on: { kind: 'manifest' },
      do: { body: '<html>', contentType: 'text/html', digestHeader: null },
    },
    want: '502 UNKNOWN',
  },
  {
    name: 'token service refused',
    rule: { on: { kind: 'token' }, do: { refuse: true } },
    want: '502 UNKNOWN',
  },
  {
    name: 'token service hangs',
    rule: { on: { kind: 'token' }, do: { hangHeaders: true } },
    want: '504 UNKNOWN',
  },
  {
    name: 'token service 500',
    rule: { on: { kind: 'token' }, do: { status: 500 } },
    want: '502 UNKNOWN',
  },
  {
    name: 'malformed token: no JSON',
    rule: { on: { kind: 'token' }, do: { body: '<html>' } },
    want: '502 UNKNOWN',
  },
  {
    name: 'malformed token: no token',
    rule: { on: { kind: 'token' }, do: { body: '{"token":""}' } },
    want: '502 UNKNOWN',
  },
  {
    name: 'malformed token: null',
    rule: { on: { kind: 'token' }, do: { body: 'null' } },
    want: '502 UNKNOWN',
  },
]

describe.each(OUTAGES)('T170 $name', ({ name, rule, want }) => {
  /** Pulls once, then a new image is pushed to the tag, time passes, and the upstream breaks. */
  async function breakAfter(later: number): Promise<void> {
    await pull('v1')
    await addSample(upstream, 'a/b', next, 'v1')
    clock.advance(later)
    breakNow()
  }

  function breakNow(): void {
    passDeadlines()
    upstream.fault(rule)
    upstream.forget()
  }

  it('tag fresh: served, and nobody is asked', async () => {
    await breakAfter(5 * MINUTE - 1)
    const answer = await pull('v1')
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(answer.headers.get('warning')).toBeNull()
    expect(answer.headers.get('cache-status')).toBe('entrepot; hit')
    expect(upstream.requests).toEqual([])
  })

  it.each([
    { name: 'just stale', later: 5 * MINUTE },
    { name: 'at maxStale', later: 7 * DAY },
  ])('tag $name: served with Age and Warning, by GET and HEAD', async ({ later }) => {
    await breakAfter(later)
    for (const method of ['GET', 'HEAD', 'GET']) {
      const answer = await pull('v1', method)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
      expect(answer.headers.get('warning')).toMatch(WARNING)
      expect(answer.headers.get('age')).toBe(String(later / SECOND))
      expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=stale')
      expect(await bytesOf(answer)).toEqual(method === 'GET' ? image.bytes : new Uint8Array())
    }
  })

  it('tag older than maxStale: the failure', async () => {
    await breakAfter(7 * DAY + SECOND)
    const answer = await pull('v1')
    expect(answer.headers.get('warning')).toBeNull()
    expect(answer.headers.get('retry-after')).toBe(name === 'HTML with 200' ? null : '10')
    expect(await refusalOf(answer)).toBe(want)
  })

  it('tag absent here: the failure, not 404', async () => {
    breakNow()
    const answer = await pull('v1')
    expect(await refusalOf(answer)).toBe(want)
    const head = await pull('v1', 'HEAD')
    expect(`${head.status} UNKNOWN`).toBe(want)
    expect(head.body).toBeNull()
  })

  it('digest cached: served, and nobody is asked', async () => {
    await breakAfter(30 * DAY)
    const answer = await pull(image.digest)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(answer.headers.get('warning')).toBeNull()
    expect(upstream.requests).toEqual([])
  })

  it('digest absent here: the failure, not 404', async () => {
    breakNow()
    expect(await refusalOf(await pull(image.digest))).toBe(want)
  })

  it('and well again: the next check finds the new image', async () => {
    await breakAfter(5 * MINUTE)
    await pull('v1')
    upstream.clearFaults()
    // What waits for a dead token service may be told of it a moment after its client.
    const answer = await vi.waitFor(async () => {
      clock.advance(30 * SECOND)
      const again = await pull('v1')
      expect(again.headers.get('warning')).toBeNull()
      return again
    })
    expect(answer.headers.get('docker-content-digest')).toBe(next.digest)
    expect(answer.headers.get('age')).toBe('0')
  })
})

describe('two clocks', () => {
  beforeEach(async () => {
    await pull('v1')
    clock.advance(HOUR)
    upstream.fault({ do: { status: 503 } })
    upstream.forget()
  })

  const checks = () => upstream.count(({ kind }) => kind !== 'token')

  it('after a failed check nobody is asked for 30 s; then once', async () => {
    for (const later of [0, SECOND, 28 * SECOND, SECOND - 1]) {
      clock.advance(later)
      expect((await pull('v1')).headers.get('warning')).toMatch(WARNING)
      expect(upstream.count()).toBe(1)
    }
    clock.advance(1)
    expect((await pull('v1')).headers.get('warning')).toMatch(WARNING)
    expect(upstream.count()).toBe(2)
  })

  it('failures do not make a tag younger: Age and maxStale count from the last confirmation', async () => {
    for (let minutes = 1; minutes <= 5; minutes++) {
      clock.advance(MINUTE)
      expect((await pull('v1')).headers.get('age')).toBe(String(3600 + minutes * 60))
    }
    clock.advance(7 * DAY - HOUR - 5 * MINUTE)
    expect((await pull('v1')).status).toBe(200)
    clock.advance(SECOND)
    expect((await pull('v1')).status).toBe(502)
  })

  it('an isolate repeats a stale tag no longer than the rest lasts', async () => {
    const { get, settle } = isolate()
    expect((await get(`${STEM}/v1`)).headers.get('warning')).toMatch(WARNING)
    upstream.clearFaults()
    clock.advance(30 * SECOND - 1)
    expect((await get(`${STEM}/v1`)).headers.get('warning')).toMatch(WARNING)
    clock.advance(1)
    expect((await get(`${STEM}/v1`)).headers.get('warning')).toBeNull()
    await settle()
    expect(checks()).toBeGreaterThan(0)
  })

  it('a stale tag that the client has already is 304, with the Warning', async () => {
    const { fetch } = isolate()
    const headers = { 'if-none-match': `"${image.digest}"` }
    const answer = await fetch(`${STEM}/v1`, { headers })
    expect(answer.status).toBe(304)
    expect(answer.headers.get('warning')).toMatch(WARNING)
  })

  it('40 clients meet one failed check', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => pull('v1')))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(upstream.count()).toBe(1)
  })
})

describe('rules of the upstream', () => {
  it.each([
    { name: 'a repository pattern', path: 'slow/x', tag: 'latest', ttl: HOUR },
    { name: 'a repository and a tag pattern', path: 'quick/x', tag: 'v1', ttl: 10 * SECOND },
    { name: 'another tag of it: the default', path: 'quick/x', tag: 'latest', ttl: 5 * MINUTE },
    { name: 'a tag pattern everywhere', path: 'any/x', tag: 'pinned-1', ttl: DAY },
    { name: 'none', path: 'any/x', tag: 'v1', ttl: 5 * MINUTE },
  ])('tagTTL by $name', async ({ path, tag, ttl }) => {
    const open = startUpstream()
    goOnline({ 'ttl.test': open })
    await addSample(open, path, image, tag)
    const ask = () => isolate().get(`/v2/ttl.test/${path}/manifests/${tag}`)
    await ask()
    open.forget()
    clock.advance(ttl - 1)
    await ask()
    expect(open.count()).toBe(0)
    clock.advance(1)
    await ask()
    expect(open.count({ kind: 'manifest', method: 'HEAD' })).toBe(1)
  })

  it('a short TTL shortens the rest after a failure', async () => {
    const open = startUpstream()
    goOnline({ 'ttl.test': open })
    await addSample(open, 'quick/x', image, 'v1')
    const ask = () => isolate().get('/v2/ttl.test/quick/x/manifests/v1')
    await ask()
    open.fault({ do: { status: 500 } })
    open.forget()
    clock.advance(MINUTE)
    for (const [later, count] of [
      [0, 1],
      [10 * SECOND - 1, 1],
      [1, 2],
    ] as const) {
      clock.advance(later)
      expect((await ask()).headers.get('warning')).not.toBeNull()
      expect(open.count()).toBe(count)
    }
  })

  it('maxStale is the upstream’s own', async () => {
    const open = startUpstream()
    goOnline({ 'ttl.test': open })
    await addSample(open, 'any/x', image, 'v1')
    const ask = () => isolate().get('/v2/ttl.test/any/x/manifests/v1')
    await ask()
    open.stop()
    clock.advance(2 * HOUR)
    expect((await ask()).status).toBe(200)
    clock.advance(1)
    expect((await ask()).status).toBe(502)
  })
})
