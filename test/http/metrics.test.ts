// `GET /metrics`: who may read it, that what it says is what happened, that its text is Prometheus's, and what handing
// over costs and loses.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import dashboard from '../../docs/grafana.json?raw'
import page from '../../docs/metrics.md?raw'
import type { JobStatus } from '../../src/jobs/job.ts'
import { JobListing } from '../../src/jobs/listing.ts'
import type { Delivery } from '../../src/meter/outbox.ts'
import { METRICS as TABLE } from '../../src/meter/series.ts'
import { accounts, add, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { OPEN, noise, startHosted } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const PATH = '/metrics'
const NOBODY = { ANONYMOUS: [{ repositories: ['**'], actions: ['pull'] }] }

let tests = 0
let clock: Clock
let upstream: SampleUpstream
let image: SampleManifest
let settings: Readonly<Record<string, unknown>>

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream, 'budget.test': upstream, 'two.test': startUpstream() })
  image = await sampleImage({ layers: [64, 1000] })
  await addSample(upstream, 'a/b', image, 'v1')
  const configured = await accounts({
    prometheus: [granting('**', 'admin')],
    owner: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { ...NOBODY, LOGIN_LIMIT: undefined, ...configured }
  // What the objects of this file have counted before is none of this test's.
  clock.advance((tests += 1) * HOUR)
  await objectsHandOver()
  await reset()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Objects share an isolate here, which hands over when one of them asks for something 10 s after the last time. */
async function objectsHandOver(): Promise<void> {
  clock.advance(MINUTE)
  const { get, settle } = isolate(settings)
  await get('/v2/two.test/x/tags/list')
  await settle()
  await vi.waitFor(async () => {
    const { series } = await env.METER.getByName('meter').scrape({ isolate: 'test', batches: [] })
    expect(Object.keys(series).join()).toContain('upstream="two.test"')
  })
}

/** The answer to a scrape, by series. */
async function scrape(worker: Isolate): Promise<Readonly<Record<string, number>>> {
  const answer = await worker.get(PATH, { authorization: basic('prometheus') })
  expect(answer.status).toBe(200)
  const lines = (await answer.text()).split('\n').filter((line) => line !== '' && line[0] !== '#')
  return Object.fromEntries(lines.map(readLine))
}

function readLine(line: string): [string, number] {
  const end = line.lastIndexOf(' ')
  return [line.slice(0, end), Number(line.slice(end + 1))]
}

/** What a scrape says of one metric, without its name. */
async function shown(worker: Isolate, name: string): Promise<Readonly<Record<string, number>>> {
  const series = Object.entries(await scrape(worker))
  const own = series.filter(([called]) => called.split('{')[0] === name)
  return Object.fromEntries(own.map(([called, value]) => [called.slice(name.length), value]))
}

const layer = (): string => `/v2/one.test/a/b/blobs/${image.blobs.at(-1)?.digest}`
const manifest = '/v2/one.test/a/b/manifests/v1'

/** A meter that tells what it was asked, and answers as the test wants. */
function meterOf(answer: (method: string, delivery: Delivery) => Promise<unknown>): unknown {
  const call = (method: string) => (delivery: Delivery) => answer(method, delivery)
  return { getByName: () => ({ handOver: call('handOver'), scrape: call('scrape') }) }
}

describe('jobs', () => {
  it('that run or wait are counted by kind, and those that have ended are not', async () => {
    const worker = isolate(settings)
    const status: JobStatus = {
      id: 'prefetch-1',
      kind: 'prefetch',
      title: 'one.test/a/b:v1',
      by: 'root',
      state: 'waiting',
      createdAt: Date.now(),
      endedAt: undefined,
      until: undefined,
      progress: { done: 0, total: 1, unit: 'images' },
      note: '',
      result: {},
    }
    const listing = new JobListing(env.BLOBS)
    await listing.put(status)
    await listing.put({ ...status, id: 'import-1', kind: 'import', state: 'done' })
    const series = await shown(worker, 'entrepot_jobs_unfinished')
    expect(series).toEqual({ '{kind="prefetch",state="waiting"}': 1 })
  })

  it('that cannot be listed leave the rest as it is', async () => {
    const away = isolate({ ...settings, BLOBS: broken('store') })
    expect(await shown(away, 'entrepot_jobs_unfinished')).toEqual({})
    expect(await shown(away, 'entrepot_counting_since_timestamp_seconds')).not.toEqual({})
  })
})

describe('without a grant of admin', () => {
  it.each([
    { name: 'nobody', authorization: async () => undefined },
    { name: 'an account with every other right', authorization: async () => basic('owner') },
    { name: 'a wrong password', authorization: async () => basic('prometheus', 'wrong') },
  ])('$name is denied as for /_/upstreams, and nothing is asked', async ({ authorization }) => {
    const shownTo = await authorization()
    const headers = shownTo === undefined ? {} : { authorization: shownTo }
    const away = { UPSTREAM_GATE: broken('objects'), METER: broken('objects') }
    const worker = isolate({ ...settings, ...away })
    const answers = [await worker.get(PATH, headers), await worker.get('/_/upstreams', headers)]
    for (const answer of answers) {
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm=/)
      expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
    }
  })

  it('a capability does not lead here', async () => {
    const secret = await add('capability', 'nodes', granting('**', 'pull'))
    const answer = await isolate(settings).get(`/t/${secret}${PATH}`)
    expect(await refusalOf(answer)).toBe('404 NAME_UNKNOWN')
  })
})

describe('the text', () => {
  it('is the format 0.0.4: HELP and TYPE once before the series of each metric', async () => {
    const worker = isolate(settings)
    await worker.get(manifest)
    const answer = await worker.get(PATH, { authorization: basic('prometheus') })
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const text = await answer.text()
    expect(text.endsWith('\n')).toBe(true)
    let current = ''
    const seen: string[] = []
    for (const line of text.trimEnd().split('\n')) {
      const help = /^# HELP (\S+) \S.*$/.exec(line)
      if (help !== null) {
        current = help[1] ?? ''
        expect(seen).not.toContain(current)
        seen.push(current)
      } else if (line.startsWith('#')) {
        const type = current.endsWith('_total') ? 'counter' : 'gauge'
        expect(line).toBe(`# TYPE ${current} ${type}`)
      } else {
        expect(line).toMatch(/^[a-z_]+(\{([a-z]+="[^"\\\n]*",?)+\})? [0-9.e+]+$/)
        expect(line.split(/[{ ]/)[0]).toBe(current)
      }
    }
    expect(seen).toContain('entrepot_requests_total')
    expect(Object.keys(TABLE)).toEqual(expect.arrayContaining(seen))
  })

  it('HEAD has no body, and nobody writes', async () => {
    const headers = { authorization: basic('prometheus') }
    const head = await isolate(settings).head(PATH, headers)
    expect([head.status, await head.text()]).toEqual([200, ''])
    const post = await isolate(settings).fetch(PATH, { method: 'POST', headers })
    expect(await refusalOf(post)).toBe('405 UNSUPPORTED')
  })
})

describe('what is counted', () => {
  it('a cold pull and a warm one, on both sides', async () => {
    const worker = isolate(settings)
    for (let round = 0; round < 2; round++) {
      await (await worker.get(manifest)).arrayBuffer()
      await (await worker.get(layer())).arrayBuffer()
      await worker.settle()
    }
    await objectsHandOver()
    const series = await scrape(worker)
    const of = (endpoint: string, outcome: string) =>
      series[
        `entrepot_requests_total{endpoint="${endpoint}",kind="mirrored",outcome="${outcome}",status="2xx"}`
      ]
    expect([of('manifest', 'fill'), of('manifest', 'hit')]).toEqual([1, 1])
    expect([of('blob', 'fill'), of('blob', 'hit')]).toEqual([1, 1])
    const bytes = 1000 + image.bytes.byteLength
    expect(series).toMatchObject({
      'entrepot_sent_bytes_total{kind="mirrored",from="cache"}': bytes,
      'entrepot_sent_bytes_total{kind="mirrored",from="upstream"}': bytes,
      'entrepot_upstream_read_bytes_total{upstream="one.test"}': bytes,
      'entrepot_upstream_requests_total{upstream="one.test",status="2xx"}': 2,
      'entrepot_fills_started_total{upstream="one.test"}': 1,
      'entrepot_fills_ended_total{upstream="one.test",result="stored"}': 1,
    })
  })

  it('what is not there, a fill that failed, and an upstream that said no', async () => {
    const worker = isolate(settings)
    await worker.get(`/v2/one.test/a/b/blobs/sha256:${'0'.repeat(64)}`)
    upstream.fault({ on: { kind: 'blob' }, do: { status: 503 } })
    await worker.get(layer())
    upstream.fault({ on: { kind: 'manifest' }, do: { status: 429 } })
    await worker.get(manifest)
    await worker.settle()
    await objectsHandOver()
    expect(await scrape(worker)).toMatchObject({
      'entrepot_requests_total{endpoint="blob",kind="mirrored",outcome="miss",status="4xx"}': 1,
      'entrepot_requests_total{endpoint="blob",kind="mirrored",outcome="miss",status="5xx"}': 1,
      'entrepot_errors_total{code="BLOB_UNKNOWN"}': 1,
      'entrepot_errors_total{code="UNKNOWN"}': 1,
      'entrepot_errors_total{code="TOOMANYREQUESTS"}': 1,
      'entrepot_fills_ended_total{upstream="one.test",result="absent"}': 1,
      'entrepot_fills_ended_total{upstream="one.test",result="failed"}': 1,
      'entrepot_upstream_requests_total{upstream="one.test",status="4xx"}': 1,
      'entrepot_upstream_requests_total{upstream="one.test",status="429"}': 1,
    })
  })

  it('an upstream that does not answer', async () => {
    const worker = isolate(settings)
    upstream.fault({ on: { kind: 'manifest' }, do: { refuse: true } })
    await worker.get(manifest)
    await objectsHandOver()
    expect(await shown(worker, 'entrepot_upstream_requests_total')).toMatchObject({
      '{upstream="one.test",status="none"}': 1,
    })
  })

  it('a client that is sent to storage, and how much it reads there', async () => {
    await isolate(settings).get(layer())
    const sent = {
      S3_ENDPOINT: 'https://account.r2.cloudflarestorage.com',
      S3_BUCKET: 'entrepot-blobs',
      S3_ACCESS_KEY_ID: 'key',
      S3_SECRET_ACCESS_KEY: 'secret',
    }
    goOnline({ 'account.r2.cloudflarestorage.com': async () => new Response('a', { status: 206 }) })
    const worker = isolate({ ...settings, ...sent })
    expect((await worker.get(layer())).status).toBe(307)
    expect((await worker.get(layer(), { range: 'bytes=10-19' })).status).toBe(307)
    expect(await scrape(worker)).toMatchObject({
      'entrepot_redirects_total{kind="mirrored"}': 2,
      'entrepot_sent_bytes_total{kind="mirrored",from="redirect"}': 1010,
      'entrepot_requests_total{endpoint="blob",kind="mirrored",outcome="hit",status="3xx"}': 2,
    })
  })

  it('what is hosted: no outcome, and bytes of its own kind', async () => {
    const registry = startHosted({ ...OPEN, ...settings, ANONYMOUS: OPEN.ANONYMOUS })
    const content = await noise(500)
    await registry.pushBlob('hosted/app', content)
    const path = `/v2/hosted/app/blobs/${content.digest}`
    await (await registry.get(path)).arrayBuffer()
    await registry.head(path)
    const series = await scrape(registry)
    expect(series).toMatchObject({
      'entrepot_requests_total{endpoint="blob",kind="hosted",outcome="none",status="2xx"}': 2,
      'entrepot_sent_bytes_total{kind="hosted",from="store"}': 500,
    })
  })

  it('budgets and next attempts, of each credential and of nobody', async () => {
    upstream.setRateLimit({ limit: 100, remaining: 0, retryAfter: 90 })
    const worker = isolate(settings)
    await worker.get('/v2/budget.test/a/b/manifests/v1')
    await worker.settle()
    const until = (clock.now() + 90 * SECOND) / 1000
    const credential = '{upstream="budget.test",credential="0"}'
    expect(await scrape(worker)).toMatchObject({
      [`entrepot_upstream_budget_limit${credential}`]: 100,
      [`entrepot_upstream_budget_remaining${credential}`]: 0,
      [`entrepot_upstream_next_attempt_timestamp_seconds${credential}`]: until,
      [`entrepot_upstream_last_error_timestamp_seconds${credential}`]: clock.now() / 1000,
      'entrepot_upstream_next_attempt_timestamp_seconds{upstream="one.test",credential="none"}': 0,
    })
  })

  it('nothing that a client wrote is in a label', async () => {
    const worker = isolate(settings)
    for (const path of [
      '/canary',
      '/v2/canary/x/tags/list',
      '/v2/one.test/canary/manifests/canary',
      '/v2/canary.test/x/manifests/v1',
      '/v2/a/manifests/v1?ns=canary.test',
      '/token?service=canary&scope=repository:canary:pull',
    ]) {
      await worker.fetch(path, { method: 'GET', headers: { authorization: basic('canary', 'x') } })
    }
    await worker.settle()
    await objectsHandOver()
    const text = Object.keys(await scrape(worker)).join('\n')
    expect(text.toLowerCase()).not.toContain('canary')
    expect(text).toContain('endpoint="unknown"')
  })
})

describe('handing over', () => {
  it('is one call in 10 s, after an answer, of all that was counted', async () => {
    const calls: Delivery[] = []
    const METER = meterOf(async (_, delivery) => void calls.push(delivery))
    const worker = isolate({ ...settings, METER })
    for (let n = 0; n < 5; n++) await worker.get('/healthz')
    clock.advance(10 * SECOND - 1)
    await worker.get('/healthz')
    await worker.settle()
    expect(calls).toEqual([])
    clock.advance(1)
    await worker.get('/healthz')
    await worker.get('/healthz')
    await worker.settle()
    const counted = Object.values(calls[0]?.batches[0]?.series ?? {})
    expect([calls.length, counted]).toEqual([1, [7]])
  })

  it('and a scrape, each say a batch once where it was answered', async () => {
    const told: string[] = []
    const METER = meterOf(async (method, { batches }) => {
      told.push(`${method} ${batches.map(({ number }) => number).join()}`)
      return { since: 0, series: {} }
    })
    const worker = isolate({ ...settings, METER })
    await worker.get('/healthz')
    for (let n = 0; n < 2; n++) {
      clock.advance(10 * SECOND)
      await worker.get('/healthz')
      await worker.settle()
      await scrape(worker)
    }
    await scrape(worker)
    await scrape(worker)
    expect(told).toEqual(['handOver 1', 'scrape ', 'handOver 2', 'scrape ', 'scrape 3', 'scrape 4'])
  })

  it('whose answer is lost is repeated and counted once', async () => {
    const stub = env.METER.getByName('meter')
    const METER = meterOf(async (method, delivery) => {
      if (method === 'scrape') return stub.scrape(delivery)
      await stub.handOver(delivery)
      throw new Error('the answer is lost')
    })
    const worker = isolate({ ...settings, METER })
    for (let n = 0; n < 3; n++) {
      await worker.get('/healthz')
      clock.advance(10 * SECOND)
    }
    await worker.settle()
    expect(worker.lines('meter-away').length).toBeGreaterThan(0)
    const requests = await shown(worker, 'entrepot_requests_total')
    expect(requests).toEqual({ '{endpoint="unknown",kind="none",outcome="none",status="2xx"}': 3 })
  })

  it('that fails loses nothing, and breaks nobody', async () => {
    const worker = isolate({ ...settings, METER: broken('objects') })
    for (let n = 0; n < 4; n++) {
      expect((await worker.get('/healthz')).status).toBe(200)
      clock.advance(MINUTE)
    }
    await worker.settle()
    expect(worker.lines('deferred-work-failed')).toEqual([])
    const answer = await worker.get(PATH, { authorization: basic('prometheus') })
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })

  it('adds isolates up', async () => {
    const [first, second] = [isolate(settings), isolate(settings)]
    for (const worker of [first, second]) await worker.get('/healthz')
    clock.advance(10 * SECOND)
    await second.get('/healthz')
    await second.settle()
    const requests = await shown(first, 'entrepot_requests_total')
    expect(requests).toEqual({ '{endpoint="unknown",kind="none",outcome="none",status="2xx"}': 3 })
  })

  it('a scrape is one call of the meter, and one of each gate', async () => {
    const calls: string[] = []
    const METER = meterOf(async (method) => {
      calls.push(method)
      return { since: 0, series: {} }
    })
    const worker = isolate({ ...settings, METER })
    await worker.get('/healthz')
    clock.advance(MINUTE)
    await scrape(worker)
    await worker.settle()
    expect(calls).toEqual(['scrape'])
  })
})

describe('Analytics Engine', () => {
  it('gets one point for a batch, also where a batch is sent twice', async () => {
    const points: { readonly doubles: readonly number[] }[] = []
    const METRICS = { writeDataPoint: (point: (typeof points)[number]) => void points.push(point) }
    const worker = isolate({ ...settings, METRICS, METER: broken('objects') })
    await worker.get(manifest)
    await worker.settle()
    await worker.get(manifest)
    await worker.get('/v2/one.test/x/manifests/v1')
    await worker.settle()
    expect(points).toEqual([])
    clock.advance(10 * SECOND)
    await worker.get('/healthz')
    clock.advance(10 * SECOND)
    await worker.get('/healthz')
    await worker.settle()
    expect(points.map(({ doubles }) => doubles[0])).toEqual([4, 1])
    const size = image.bytes.byteLength
    expect(points[0]?.doubles.slice(0, 6)).toEqual([4, 0, 1, 1, size, size])
    expect(worker.lines('configuration-wrong')).toEqual([])
  })

  it('that fails breaks nothing', async () => {
    const METRICS = { writeDataPoint: () => expect.fail('away') }
    const worker = isolate({ ...settings, METRICS })
    await worker.get('/healthz')
    expect(Object.keys(await shown(worker, 'entrepot_requests_total'))).toHaveLength(1)
  })
})

describe('the documents', () => {
  const named = (text: string): string[] => [...new Set(text.match(/\bentrepot_[a-z_]+/g))]

  it('the dashboard asks for metrics and labels that there are', () => {
    const { panels }: { panels: { targets: { expr: string }[] }[] } = JSON.parse(dashboard)
    const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
    expect(queries.length).toBeGreaterThan(8)
    const labels = new Set<string>(Object.values(TABLE).flatMap((metric) => [...metric.labels]))
    for (const query of queries) {
      expect(named(query).length).toBeGreaterThan(0)
      expect(Object.keys(TABLE)).toEqual(expect.arrayContaining(named(query)))
      const used = [...query.matchAll(/([a-z]+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label]) => label)
      const grouped = [...query.matchAll(/by \(([^)]*)\)/g)].flatMap(([, by = '']) =>
        by.split(',').map((each) => each.trim()),
      )
      for (const label of [...used, ...grouped])
        expect([query, labels.has(label ?? '')]).toEqual([query, true])
    }
  })

  it('the page explains every metric with its labels, and no other', () => {
    expect(named(page).toSorted()).toEqual(Object.keys(TABLE).toSorted())
    for (const [name, { labels }] of Object.entries(TABLE)) {
      const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` |`)) ?? ''
      const cell = row.split('|')[2]?.trim()
      expect([name, cell]).toEqual([name, labels.map((label) => `\`${label}\``).join(', ') || '–'])
    }
  })
})
