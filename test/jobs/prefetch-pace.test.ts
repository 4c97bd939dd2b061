// What a prefetch leaves to clients and what it waits for: budgets, limits, switches, outages and long fills; and which
// orders are refused.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { OrderError } from '../../src/jobs/job.ts'
import { authority } from '../support/accounts.ts'
import { MiB, keysIn, withhold } from '../support/blob.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { runJob, servicesWith } from '../support/job-run.ts'
import type { RanJob } from '../support/job-run.ts'

const IMAGE = 'one.test/team/app:1.0'
const BUDGETED = 'budget.test/team/app:1.0'

let clock: Clock
let upstream: SampleUpstream

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream({
    authentication: { accounts: { mirror: 'canary-password' }, expiresIn: 86_400 },
  })
  goOnline({ 'one.test': upstream, 'budget.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function prefetch(image = IMAGE, id?: string): Promise<RanJob> {
  return runJob('prefetch', { images: [image] }, id === undefined ? {} : { id })
}

function manifestsAsked(): number {
  return upstream.count({ kind: 'manifest', method: 'GET' })
}

/** An index of two images, and what its manifests cost of a budget. */
async function addIndex(): Promise<number> {
  const images = await Promise.all([1, 2].map((seed) => sampleImage({ seed })))
  await addSample(upstream, 'team/app', await sampleIndex(images), '1.0')
  return 1 + images.length
}

/** Has the gate know of a budget, by a client's pull. */
async function budgetOf(remaining: number): Promise<void> {
  await addSample(upstream, 'other', await sampleImage({ seed: 9 }), 'v1')
  upstream.setRateLimit({ limit: 100, remaining: remaining + 1, window: 6 * 60 * 60 })
  const { get, settle } = isolate()
  expect((await get('/v2/budget.test/other/manifests/v1')).status).toBe(200)
  await settle()
  upstream.forget()
}

describe('a budget', () => {
  it('is used down to its last quarter, and the job waits for the window', async () => {
    await addIndex()
    await budgetOf(27)
    const job = await prefetch(BUDGETED)
    expect(job.status).toMatchObject({
      state: 'waiting',
      note: '25 of 100 requests to budget.test are left, which are kept for clients',
      until: clock.now() + 10 * MINUTE,
    })
    expect(manifestsAsked()).toBe(2)
    clock.advance(10 * MINUTE)
    upstream.forget()
    const waiting = await prefetch(BUDGETED, job.id)
    expect(waiting.status.state).toBe('waiting')
    expect(asked(upstream)).toEqual([])
    upstream.setRateLimit({ limit: 100, remaining: 100 })
    clock.advance(6 * HOUR)
    const after = await prefetch(BUDGETED, job.id)
    expect(after.status).toMatchObject({ state: 'done', result: { fetched: 1 } })
    expect(manifestsAsked()).toBe(1)
  })

  it('does not matter to what is here already', async () => {
    await addIndex()
    await prefetch(BUDGETED)
    await budgetOf(3)
    clock.advance(5 * SECOND)
    const { status } = await prefetch(BUDGETED)
    expect(status).toMatchObject({ state: 'done', result: { present: 1 } })
    expect(asked(upstream)).toEqual([])
  })

  it('does not matter to blobs, which no upstream counts', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    const { get, settle } = isolate()
    await get('/v2/budget.test/team/app/manifests/1.0')
    await settle()
    await budgetOf(3)
    const { status } = await prefetch(BUDGETED)
    expect(status).toMatchObject({ state: 'done', result: { fetched: 1 } })
    expect(upstream.count({ kind: 'blob' })).toBe(2)
  })
})

describe('a limit', () => {
  it('is waited for as long as it says, ten minutes at a time, and nobody is asked meanwhile', async () => {
    await addIndex()
    upstream.setRateLimit({ limit: 100, remaining: 0, retryAfter: 900 })
    const job = await prefetch()
    const until = clock.now() + 10 * MINUTE
    expect(job.status).toMatchObject({ state: 'waiting', note: 'one.test limits requests', until })
    upstream.forget()
    clock.advance(10 * MINUTE)
    expect((await prefetch(IMAGE, job.id)).status).toMatchObject({
      state: 'waiting',
      until: clock.now() + 5 * MINUTE,
    })
    expect(asked(upstream)).toEqual([])
    upstream.setRateLimit({ limit: 100, remaining: 100 })
    clock.advance(5 * MINUTE)
    expect((await prefetch(IMAGE, job.id)).status).toMatchObject({
      state: 'done',
      result: { fetched: 1, failed: 0 },
    })
  })
})

describe('a switch', () => {
  it.each([
    [{ noFills: true }, 'noFills is on'],
    [{ paused: ['one.test'] }, 'it is paused'],
    [{ noFills: true, paused: ['one.test', 'two.test'] }, 'it is paused, and noFills is on'],
    [{ noFills: true, paused: ['two.test'] }, 'noFills is on'],
  ])(
    'that lets nobody ask is named, and waited for, a minute at a time: %o',
    async (switches, why) => {
      await addIndex()
      await authority().setSwitches(switches, 'a test')
      const job = await prefetch()
      expect(job.status).toMatchObject({
        state: 'waiting',
        note: `one.test is not asked now: ${why}`,
        until: clock.now() + MINUTE,
      })
      expect(asked(upstream)).toEqual([])
      await authority().setSwitches({ noFills: false, paused: [] }, 'a test')
      clock.advance(MINUTE)
      expect((await prefetch(IMAGE, job.id)).status.state).toBe('done')
    },
  )

  it('by which known tags are not checked has what is known fetched', async () => {
    await addIndex()
    const { get, settle } = isolate()
    await get('/v2/one.test/team/app/manifests/1.0')
    await settle()
    clock.advance(HOUR)
    await authority().setSwitches({ alwaysStale: true }, 'a test')
    upstream.forget()
    expect((await prefetch()).status).toMatchObject({ state: 'done', result: { fetched: 1 } })
    expect(asked(upstream).filter((each) => each.startsWith('HEAD'))).toEqual([])
    expect(manifestsAsked()).toBe(2)
  })
})

describe('an outage', () => {
  it('is sat out for a while, and then the image has failed and nothing else', async () => {
    await addIndex()
    let isUp = false
    const fetch = async (...of: Parameters<SampleUpstream['fetch']>): Promise<Response> =>
      isUp ? upstream.fetch(...of) : new Response('', { status: 503 })
    goOnline({ 'one.test': fetch })
    const first = await prefetch()
    expect(first.status).toMatchObject({
      state: 'waiting',
      note: 'one.test: it is unavailable',
      until: clock.now() + 30 * SECOND,
    })
    for (const wait of [30, 60]) {
      clock.advance(wait * SECOND)
      expect((await prefetch(IMAGE, first.id)).status.state).toBe('waiting')
    }
    clock.advance(2 * MINUTE)
    const last = await prefetch(IMAGE, first.id)
    expect(last.status).toMatchObject({ state: 'failed', result: { failed: 1 } })
    expect(last.report).toMatchObject([{ outcome: 'failed', note: 'one.test: it is unavailable' }])
    isUp = true
    expect((await prefetch()).status).toMatchObject({ state: 'done', result: { fetched: 1 } })
  })

  it('of one blob leaves the others', async () => {
    const image = await sampleImage({ layers: [1000, 2000, 3000, 4000, 5000] })
    await addSample(upstream, 'team/app', image, '1.0')
    const [, lost] = image.blobs
    goOnline({
      'one.test': async (url, init) =>
        url.endsWith(`blobs/${lost?.digest}`)
          ? new Response('', { status: 404 })
          : upstream.fetch(url, init),
    })
    const { report } = await prefetch()
    expect(report).toMatchObject([{ outcome: 'failed', note: 'one.test does not have it' }])
    expect(await keysIn('mirror/one.test/blobs/')).toHaveLength(5)
  })
})

describe('a fill that takes longer than a step', () => {
  it('goes on through the steps, and is asked of the upstream once', async () => {
    const image = await sampleImage({ layers: [6 * MiB] })
    await addSample(upstream, 'team/app', image, '1.0')
    const { release } = withhold(upstream, 5 * MiB)
    const id = `prefetch-test-${crypto.randomUUID()}`
    const first = runJob('prefetch', { images: [IMAGE] }, { id, steps: 1 })
    await vi.waitFor(() => expect(upstream.count({ kind: 'blob' })).toBe(2))
    clock.advance(61 * SECOND)
    expect((await first).status).toMatchObject({ state: 'running', progress: { done: 0 } })
    const second = runJob('prefetch', { images: [IMAGE] }, { id })
    release()
    const { status } = await second
    expect(status).toMatchObject({ state: 'done', result: { fetched: 1 } })
    expect(status.result['bytes']).toBeGreaterThan(6 * MiB)
    expect(upstream.count({ kind: 'blob' })).toBe(2)
  }, 40_000)
})

describe('an order', () => {
  function parse(members: Readonly<Record<string, unknown>>): unknown {
    return servicesWith({ HOSTED: ['hosted/**'] }).jobs.parse('prefetch', members).state
  }

  it('names images as clients do, and is kept by their canonical names', () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const images = [
      'nginx:1.29',
      'index.docker.io/nginx:1.29',
      'docker.io/library/nginx:1.29',
      `team/app@${digest}`,
      'port.test:5000/a/b:v1',
      `port.test:5000/a/b@${digest}`,
    ]
    expect(parse({ images })).toMatchObject({
      images: [
        'docker.io/library/nginx:1.29',
        `docker.io/team/app@${digest}`,
        'port.test:5000/a/b:v1',
        `port.test:5000/a/b@${digest}`,
      ],
    })
  })

  it.each<[Readonly<Record<string, unknown>>, string, RegExp]>([
    [{}, 'images', /1 to 1000/],
    [{ images: [] }, 'images', /1 to 1000/],
    [{ images: 'nginx:1' }, 'images', /1 to 1000 images, found "nginx:1"$/],
    [{ images: Array.from({ length: 1001 }, () => 'nginx:1') }, 'images', /1 to 1000/],
    [{ images: ['nginx:1', 5] }, 'images[1]', /expected an image.*, found 5$/],
    [{ images: ['nginx'] }, 'images[0]', /a tag or a digest.*, found "nginx"$/],
    [{ images: ['nginx:'] }, 'images[0]', /expected an image/],
    [{ images: ['Nginx:1'] }, 'images[0]', /configured/],
    [{ images: ['nginx@sha256:1'] }, 'images[0]', /expected an image/],
    [{ images: [`nginx:1@sha256:${'0'.repeat(64)}`] }, 'images[0]', /expected an image/],
    [
      { images: ['unknown.test/a/b:v1'] },
      'images[0]',
      /configured, found "unknown.test\/a\/b:v1"$/,
    ],
    [{ images: ['hosted/app:v1'] }, 'images[0]', /hosted here/],
    [{ images: ['limited.test/open/secret:v1'] }, 'images[0]', /does not let/],
    [{ images: ['nginx:1'], platforms: [] }, 'platforms', /list of platforms/],
    [
      { images: ['nginx:1'], platforms: ['amd64'] },
      'platforms',
      /list of platforms.*, found "amd64"$/,
    ],
    [{ images: ['nginx:1'], platforms: 'linux/amd64' }, 'platforms', /list of platforms/],
    [{ images: ['nginx:1'], platform: ['linux/amd64'] }, 'platform', /no such member/],
  ])('is refused with what is wrong: %o', (members, field, why) => {
    try {
      parse(members)
      expect.fail('it was taken')
    } catch (error) {
      expect(error).toBeInstanceOf(OrderError)
      expect(error).toMatchObject({ field, message: expect.stringMatching(why) })
    }
  })

  it('does not repeat a capability that stands in a name', () => {
    const secret = 'a'.repeat(52)
    for (const name of [`t/${secret}/nginx:1`, `t/${secret}:1`, `one.test/t/${secret}:1`]) {
      expect(() => parse({ images: [name] })).toThrow(/expected an image(?!.*aaaa)/)
    }
  })

  it.each([
    'https://mover:canary@one.test/a:1',
    'mover:canary@one.test/a:1',
    'one.test/a?token=canary',
    'one.test/a:1#canary',
    { canary: 'canary' },
  ])('does not repeat what may hold a secret: %o', (image) => {
    expect(() => parse({ images: [image] })).toThrow(/^expected an image(?!.*canary)/)
  })

  it('repeats no more than 200 characters of what is wrong, as JSON', () => {
    const images = [`"${'x'.repeat(300)}`]
    expect(() => parse({ images })).toThrow(`, found "\\"${'x'.repeat(199)}"…`)
  })

  it('of an upstream that is not configured when its turn comes fails that image', async () => {
    await addIndex()
    const id = `prefetch-test-${crypto.randomUUID()}`
    await runJob('prefetch', { images: [IMAGE] }, { id, steps: 0 })
    const settings = { UPSTREAMS: { 'two.test': { private: false } }, UPSTREAM_CREDENTIALS: '' }
    const { status, report } = await runJob('prefetch', {}, { id, settings })
    expect(status).toMatchObject({ state: 'failed', result: { failed: 1 } })
    expect(report).toMatchObject([{ note: expect.stringMatching('configured') }])
  })
})
