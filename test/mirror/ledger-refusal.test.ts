// What an upstream refuses: 401 and 403 (T174), 404 (T175) and 429 (T173), and how long what is known
// stands in for it.

import { evictAllDurableObjects, reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { refusalOf } from '../support/answer.ts'
import { DAY, HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const GRANTED = { ANONYMOUS: [{ repositories: ['**'], actions: ['pull'] }] }

let clock: Clock
let image: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  image = await sampleImage({ layers: [64] })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Pulls in a new isolate, of a caller that may read everything. */
async function pull(path: string): Promise<Response> {
  const { get, settle } = isolate(GRANTED)
  const answer = await get(path)
  await settle()
  return answer
}

async function expectDenied(path: string): Promise<void> {
  const answer = await pull(path)
  expect(answer.headers.get('www-authenticate')).toBeNull()
  expect(await refusalOf(answer)).toBe('403 DENIED')
}

async function expectStale(path: string): Promise<void> {
  const answer = await pull(path)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
  expect(answer.headers.get('warning')).toContain('110 - "Response is Stale"')
}

describe('T174: an anonymous request is refused', () => {
  let upstream: SampleUpstream
  let isClosed: boolean
  const path = '/v2/one.test/a/b/manifests/v1'

  beforeEach(async () => {
    isClosed = false
    upstream = startUpstream({ authentication: { isPrivate: () => isClosed } })
    goOnline({ 'one.test': upstream })
    await addSample(upstream, 'a/b', image, 'v1')
  })

  async function close(): Promise<void> {
    await pull(path)
    isClosed = true
    upstream.expireTokens()
    upstream.forget()
  }

  it.each([
    { name: 'by 401 with a fresh token', fault: undefined },
    { name: 'by 403', fault: { status: 403 } },
    { name: 'by 401 without a challenge', fault: { status: 401 } },
  ])('$name: stale for an hour, then DENIED', async ({ fault }) => {
    await close()
    if (fault !== undefined) upstream.fault({ on: { kind: 'manifest' }, do: fault })
    clock.advance(5 * MINUTE - 1)
    expect((await pull(path)).headers.get('warning')).toBeNull()
    clock.advance(1)
    await expectStale(path)
    clock.advance(55 * MINUTE)
    await expectStale(path)
    clock.advance(1)
    await expectDenied(path)
  })

  it('asks for two tokens and sends two requests at most', async () => {
    await close()
    clock.advance(5 * MINUTE)
    await expectStale(path)
    expect(upstream.count({ kind: 'token' })).toBeLessThanOrEqual(2)
    expect(upstream.count({ kind: 'manifest' })).toBeLessThanOrEqual(2)
  })

  it('a tag that nobody has seen: DENIED at once, and a digest that is cached is served', async () => {
    await close()
    await expectDenied('/v2/one.test/a/b/manifests/v2')
    clock.advance(30 * DAY)
    upstream.forget()
    expect((await pull(`/v2/one.test/a/b/manifests/${image.digest}`)).status).toBe(200)
    expect(upstream.requests).toEqual([])
  })

  it('opened again, it is fresh again', async () => {
    await close()
    clock.advance(2 * HOUR)
    await expectDenied(path)
    isClosed = false
    upstream.forget()
    clock.advance(30 * SECOND - 1)
    await expectDenied(path)
    expect(upstream.requests).toEqual([])
    clock.advance(1)
    const answer = await pull(path)
    expect(answer.headers.get('warning')).toBeNull()
    expect(answer.headers.get('age')).toBe('0')
  })

  it('one token that has expired early: one fresh token, and nobody notices', async () => {
    await pull(path)
    clock.advance(5 * MINUTE - 30 * SECOND)
    await pull('/v2/one.test/a/b/manifests/other')
    upstream.expireTokens()
    upstream.forget()
    clock.advance(30 * SECOND)
    const answer = await pull(path)
    expect(answer.headers.get('warning')).toBeNull()
    expect(upstream.count({ kind: 'token' })).toBe(1)
  })

  it('a private repository is never served stale', async () => {
    goOnline({ 'private.test': upstream })
    const closed = '/v2/private.test/a/b/manifests/v1'
    expect((await pull(closed)).status).toBe(200)
    isClosed = true
    upstream.expireTokens()
    clock.advance(5 * MINUTE)
    await expectDenied(closed)
    // Not even by an outage: what has been closed stays closed until the upstream opens it.
    upstream.stop()
    clock.advance(MINUTE)
    await expectDenied(closed)
    isClosed = false
    upstream.start()
    clock.advance(MINUTE)
    expect((await pull(closed)).status).toBe(200)
  })

  it('a public tag that was refused for too long is not served stale because of an outage', async () => {
    await close()
    clock.advance(2 * HOUR)
    await expectDenied(path)
    upstream.stop()
    clock.advance(MINUTE)
    await expectDenied(path)
  })

  it('a repository that is refused costs its tokens once a minute, whatever is asked of it', async () => {
    await close()
    await expectDenied('/v2/one.test/a/b/manifests/v2')
    upstream.forget()
    clock.advance(MINUTE - 1)
    await expectDenied('/v2/one.test/a/b/manifests/v3')
    await expectDenied(`/v2/one.test/a/b/manifests/sha256:${'0'.repeat(64)}`)
    expect(upstream.requests).toEqual([])
    isClosed = false
    clock.advance(1)
    expect((await pull('/v2/one.test/a/b/manifests/v3')).status).toBe(404)
  })
})

describe('T174: our credential is refused', () => {
  const accounts: Record<string, string> = {}
  let upstream: SampleUpstream

  beforeEach(async () => {
    accounts['mirror'] = 'canary-password'
    upstream = startUpstream({
      authentication: { accounts, isPrivate: (name) => !name.startsWith('open/') },
    })
    goOnline({ 'login.test': upstream })
    for (const name of ['a/b', 'open/x', 'closed/x']) await addSample(upstream, name, image, 'v1')
  })

  async function rotate(...paths: readonly string[]): Promise<void> {
    for (const path of paths) expect((await pull(path)).status).toBe(200)
    accounts['mirror'] = 'another password'
    clock.advance(5 * MINUTE)
    upstream.expireTokens()
    upstream.forget()
  }

  it('on a public upstream a tag is stale for up to maxStale', async () => {
    const path = '/v2/login.test/a/b/manifests/v1'
    await rotate(path)
    await expectStale(path)
    clock.advance(7 * DAY - 5 * MINUTE)
    await expectStale(path)
    clock.advance(SECOND)
    await expectDenied(path)
  })

  it('what anybody may pull is asked for without it', async () => {
    const path = '/v2/login.test/open/x/manifests/v1'
    await rotate(path)
    const answer = await pull(path)
    expect(answer.headers.get('warning')).toBeNull()
    expect(answer.headers.get('age')).toBe('0')
  })

  it('rests for ten minutes', async () => {
    const path = '/v2/login.test/open/x/manifests/v1'
    const logins = () =>
      upstream.count(({ kind, headers }) => kind === 'token' && 'authorization' in headers)
    await rotate(path)
    for (const [later, count] of [
      [0, 1],
      [6 * MINUTE, 1],
      [4 * MINUTE, 2],
    ] as const) {
      clock.advance(later)
      await pull(path)
      await pull(`/v2/login.test/open/x/manifests/none-${count}-${later}`)
      expect(logins()).toBe(count)
    }
  })

  it('in a private repository nothing is served by tag, and nobody is asked without a login', async () => {
    const path = '/v2/login.test/closed/x/manifests/v1'
    await rotate(path)
    await expectDenied(path)
    expect(upstream.count({ kind: 'manifest' })).toBe(0)
    accounts['mirror'] = 'canary-password'
    clock.advance(10 * MINUTE)
    expect((await pull(path)).headers.get('warning')).toBeNull()
  })

  it('the password is in no answer and no line of log', async () => {
    const path = '/v2/login.test/a/b/manifests/v1'
    await rotate(path)
    const { get, lines } = isolate()
    const answer = await get(path)
    const refused = await get('/v2/login.test/a/b/manifests/none')
    const shown = [...answer.headers, ...refused.headers, await refused.text(), lines()]
    expect(JSON.stringify(shown)).not.toMatch(/canary|mirror:|bWlycm9y/)
  })
})

describe('T175: 404', () => {
  let upstream: SampleUpstream
  const path = '/v2/one.test/a/b/manifests/v1'

  beforeEach(async () => {
    upstream = startUpstream()
    goOnline({ 'one.test': upstream })
    await addSample(upstream, 'a/b', image, 'v1')
  })

  it('a tag that is gone upstream is gone here after the TTL; its manifest stays', async () => {
    await pull(path)
    upstream.deleteTag('a/b', 'v1')
    clock.advance(5 * MINUTE - 1)
    expect((await pull(path)).status).toBe(200)
    clock.advance(1)
    expect(await refusalOf(await pull(path))).toBe('404 MANIFEST_UNKNOWN')
    expect((await pull(`/v2/one.test/a/b/manifests/${image.digest}`)).status).toBe(200)
    const { keys } = await env.HINTS.list({ prefix: 'tag/' })
    expect(keys).toEqual([])
    const ledger = env.MIRROR_LEDGER.getByName('one.test/a/b')
    const tags = await runInDurableObject(ledger, (_, { storage }) =>
      storage.sql.exec('SELECT tag FROM tags').toArray(),
    )
    expect(tags).toEqual([])
  })

  it('a tag that is gone does not come back when the upstream goes down', async () => {
    await pull(path)
    upstream.deleteTag('a/b', 'v1')
    clock.advance(5 * MINUTE)
    await pull(path)
    upstream.stop()
    clock.advance(2 * MINUTE)
    expect(await refusalOf(await pull(path))).toBe('502 UNKNOWN')
  })

  it.each([
    { name: 'a tag', absent: 'v9' },
    { name: 'a digest', absent: `sha256:${'0'.repeat(64)}` },
  ])('$name that is absent is asked for once a minute', async ({ absent }) => {
    const missing = `/v2/one.test/a/b/manifests/${absent}`
    expect(await refusalOf(await pull(missing))).toBe('404 MANIFEST_UNKNOWN')
    upstream.forget()
    clock.advance(MINUTE - 1)
    expect(await refusalOf(await pull(missing))).toBe('404 MANIFEST_UNKNOWN')
    expect(upstream.requests).toEqual([])
    clock.advance(1)
    expect(await refusalOf(await pull(missing))).toBe('404 MANIFEST_UNKNOWN')
    expect(asked(upstream)).toEqual([`GET /v2/a/b/manifests/${absent}`])
  })

  it('a tag that is pushed after that appears within the minute', async () => {
    const late = '/v2/one.test/a/b/manifests/late'
    expect((await pull(late)).status).toBe(404)
    upstream.setTag('a/b', 'late', image.digest)
    expect((await pull(late)).status).toBe(404)
    clock.advance(MINUTE)
    expect((await pull(late)).status).toBe(200)
  })

  it('a tag that was deleted and pushed again appears within the minute', async () => {
    await pull(path)
    upstream.deleteTag('a/b', 'v1')
    clock.advance(5 * MINUTE)
    expect((await pull(path)).status).toBe(404)
    upstream.setTag('a/b', 'v1', image.digest)
    clock.advance(MINUTE)
    expect((await pull(path)).status).toBe(200)
  })

  it('a digest that is pulled by its tag after that is there at once', async () => {
    upstream.deleteManifest('a/b', image.digest)
    const byDigest = `/v2/one.test/a/b/manifests/${image.digest}`
    expect((await pull(byDigest)).status).toBe(404)
    await addSample(upstream, 'a/b', image, 'v1')
    expect((await pull(path)).status).toBe(200)
    expect((await pull(byDigest)).status).toBe(200)
  })

  it('is only remembered by the object itself', async () => {
    const missing = '/v2/one.test/a/b/manifests/none'
    await pull(missing)
    await evictAllDurableObjects()
    upstream.forget()
    await pull(missing)
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
  })
})

describe('T173: 429', () => {
  let upstream: SampleUpstream
  const path = '/v2/one.test/a/b/manifests/v1'

  beforeEach(async () => {
    upstream = startUpstream()
    goOnline({ 'one.test': upstream })
    await addSample(upstream, 'a/b', image, 'v1')
    await addSample(upstream, 'c/d', image, 'v1')
  })

  function limit(retryAfter: string | null): void {
    upstream.fault({
      on: { kind: 'manifest' },
      do: { status: 429, body: '<html>', headers: { 'retry-after': retryAfter } },
    })
  }

  it.each([
    { name: 'in seconds', retryAfter: '120', want: '120' },
    { name: 'absurd', retryAfter: '99999999', want: '3600' },
    { name: 'none', retryAfter: null, want: '60' },
    { name: 'nonsense', retryAfter: 'soon', want: '60' },
    { name: 'over already', retryAfter: 'Thu, 01 Jan 1970 00:00:00 GMT', want: '1' },
  ])('Retry-After $name: 429 with $want, and nobody is asked until then', async (row) => {
    limit(row.retryAfter)
    const answer = await pull(path)
    expect(answer.headers.get('retry-after')).toBe(row.want)
    expect(await refusalOf(answer)).toBe('429 TOOMANYREQUESTS')
    upstream.forget()
    upstream.clearFaults()
    clock.advance(Number(row.want) * SECOND - 1)
    for (const other of [path, '/v2/one.test/c/d/manifests/v1', '/v2/one.test/a/b/tags/list']) {
      const refused = await pull(other)
      expect(refused.headers.get('retry-after')).toBe('1')
      expect(await refusalOf(refused)).toBe('429 TOOMANYREQUESTS')
    }
    expect(upstream.requests).toEqual([])
    clock.advance(1)
    expect((await pull(path)).status).toBe(200)
  })

  it('Retry-After as a date: the seconds until then', async () => {
    limit(new Date(clock.now() + 90 * SECOND).toUTCString())
    const seconds = Number((await pull(path)).headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(88)
    expect(seconds).toBeLessThanOrEqual(90)
  })

  it('what is known is served stale up to maxStale, by digest for ever', async () => {
    await pull(path)
    limit('3600')
    clock.advance(5 * MINUTE)
    await expectStale(path)
    upstream.forget()
    clock.advance(MINUTE)
    await expectStale(path)
    expect((await pull(`/v2/one.test/a/b/manifests/${image.digest}`)).status).toBe(200)
    expect(upstream.requests).toEqual([])
    clock.advance(7 * DAY)
    expect((await pull(path)).status).toBe(429)
  })

  it('a limit on GET alone does not stop the HEAD that confirms a tag', async () => {
    await pull(path)
    upstream.setRateLimit({ limit: 100, remaining: 0, retryAfter: 600 })
    clock.advance(5 * MINUTE)
    const answer = await pull(path)
    expect(answer.headers.get('warning')).toBeNull()
    expect(answer.headers.get('age')).toBe('0')
    expect((await pull('/v2/one.test/c/d/manifests/v1')).status).toBe(429)
  })
})
