// What administrators switch, as requests see it: one table of everything that a switch changes and of everything that
// it leaves alone, in isolates that learn of it within a minute, with upstreams that count what they are asked.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Switches } from '../../src/auth/switches.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { KiB, MiB, addSampleBlob, expectBytes, expectStored, withhold } from '../support/blob.ts'
import { DAY, HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { OPEN, OCI_MANIFEST, noise, startHosted, withDigest } from '../support/hosted-registry.ts'
import type { Content } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken } from '../support/operations.ts'

const ABSENT = `sha256:${'0'.repeat(64)}`
const S3 = {
  S3_ENDPOINT: 'https://storage.test',
  S3_BUCKET: 'blobs',
  S3_ACCESS_KEY_ID: 'key',
  S3_SECRET_ACCESS_KEY: 'secret',
}
const SETTINGS = { ...OPEN, ...S3 }
const CLOSED = 'this is not here, and an administrator has switched off that it is fetched'
const READ_ONLY = 'this registry is read only now: an administrator has switched that on'

let clock: Clock
let upstream: SampleUpstream
let net: Network
let image: SampleManifest
let other: SampleManifest
let hosted: Content

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  net = goOnline({
    'one.test': upstream,
    'private.test': upstream,
    'backed.test': upstream,
    'second.test': upstream,
    'third.test': upstream,
    'storage.test': async () => new Response('a', { status: 206 }),
  })
  image = await sampleImage({ layers: [64] })
  other = await sampleImage({ layers: [64], seed: 2 })
  for (const name of ['a/old', 'a/fresh', 'a/moved']) await addSample(upstream, name, image, 'v1')
  await addSample(upstream, 'a/new', other, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function turn(change: Partial<Switches>): Promise<Switches> {
  return authority().setSwitches(change, 'a test')
}

/** Requests that have reached the upstream of that host. */
function askedOf(host: string): number {
  return net.count(host)
}

/** Has everything known that the rows call known: some of it for ten minutes, and one tag since just now. */
async function warm(host = 'one.test'): Promise<void> {
  const { get, settle } = isolate(OPEN)
  const expectOK = async (path: string) => {
    const answer = await get(path)
    expect([path, answer.status]).toEqual([path, 200])
    await bytesOf(answer)
  }
  await expectOK(`/v2/${host}/a/old/manifests/v1`)
  await expectOK(`/v2/${host}/a/moved/manifests/v1`)
  await expectOK(`/v2/${host}/a/old/blobs/${blobOf(image)}`)
  hosted = await startHosted(SETTINGS).pushImage('hosted/app', { reference: 'v1' })
  clock.advance(10 * MINUTE)
  await addSample(upstream, 'a/moved', other, 'v1')
  await expectOK(`/v2/${host}/a/fresh/manifests/v1`)
  await settle()
  net.forget()
}

function blobOf({ blobs }: SampleManifest): string {
  return blobs.at(-1)?.digest ?? expect.fail('no blob')
}

/** A request of a row; `host` is that of the upstream. */
type Probe = (host: string) => readonly [method: string, path: string]

const PROBES: Readonly<Record<string, Probe>> = {
  'a fresh tag': (host) => ['GET', `/v2/${host}/a/fresh/manifests/v1`],
  'an old tag': (host) => ['GET', `/v2/${host}/a/old/manifests/v1`],
  'HEAD of an old tag': (host) => ['HEAD', `/v2/${host}/a/old/manifests/v1`],
  'a tag that has moved': (host) => ['GET', `/v2/${host}/a/moved/manifests/v1`],
  'a new tag': (host) => ['GET', `/v2/${host}/a/new/manifests/v1`],
  'HEAD of a new tag': (host) => ['HEAD', `/v2/${host}/a/new/manifests/v1`],
  'a digest': (host) => ['GET', `/v2/${host}/a/old/manifests/${image.digest}`],
  'a new digest': (host) => ['GET', `/v2/${host}/a/new/manifests/${other.digest}`],
  'a blob': (host) => ['GET', `/v2/${host}/a/old/blobs/${blobOf(image)}`],
  'a new blob': (host) => ['GET', `/v2/${host}/a/new/blobs/${blobOf(other)}`],
  tags: (host) => ['GET', `/v2/${host}/a/old/tags/list`],
  'new tags': (host) => ['GET', `/v2/${host}/a/new/tags/list`],
  referrers: (host) => ['GET', `/v2/${host}/a/old/referrers/${image.digest}`],
  'new referrers': (host) => ['GET', `/v2/${host}/a/new/referrers/${other.digest}`],
  'a hosted manifest': () => ['GET', '/v2/hosted/app/manifests/v1'],
  'a hosted list': () => ['GET', '/v2/hosted/app/tags/list'],
  'the catalog': () => ['GET', '/v2/_catalog'],
  'an upload': () => ['POST', '/v2/hosted/app/blobs/uploads/'],
  'a manifest': () => ['PUT', '/v2/hosted/app/manifests/v2'],
  'a deleted tag': () => ['DELETE', '/v2/hosted/app/manifests/v1'],
  'a deleted blob': () => ['DELETE', `/v2/hosted/app/blobs/${ABSENT}`],
}

/** What comes of it: the status, whether it is stale, and whether the upstream was asked. */
async function outcomeOf(host: string, probe: Probe): Promise<string> {
  const [method, path] = probe(host)
  const worker = isolate(SETTINGS)
  net.forget()
  const answer = await worker.fetch(path, {
    method,
    ...(method === 'PUT' && { body: hosted.bytes, headers: { 'content-type': OCI_MANIFEST } }),
  })
  const text = new TextDecoder().decode(await bytesOf(answer))
  await worker.settle()
  const said = text.includes(CLOSED) ? ' closed' : text.includes(READ_ONLY) ? ' read only' : ''
  const stale = answer.headers.get('warning')?.startsWith('110') === true ? ' stale' : ''
  return `${answer.status}${said}${stale}${askedOf(host) > 0 ? ' asked' : ''}`
}

async function outcomes(host = 'one.test'): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {}
  for (const [name, probe] of Object.entries(PROBES)) found[name] = await outcomeOf(host, probe)
  return found
}

const OFF = {
  'a fresh tag': '200',
  'an old tag': '200 asked',
  // It has been checked just now.
  'HEAD of an old tag': '200',
  'a tag that has moved': '200 asked',
  'a new tag': '200 asked',
  'HEAD of a new tag': '200',
  'a digest': '200',
  'a new digest': '200',
  'a blob': '307',
  'a new blob': '307 asked',
  tags: '200 asked',
  'new tags': '200 asked',
  referrers: '200 asked',
  'new referrers': '200 asked',
  'a hosted manifest': '200',
  'a hosted list': '200',
  'the catalog': '200',
  'an upload': '202',
  'a manifest': '201',
  'a deleted tag': '202',
  'a deleted blob': '404',
} as const

const UNCHECKED = {
  'an old tag': '200 stale',
  'HEAD of an old tag': '200 stale',
  'a tag that has moved': '200 stale',
} as const

const UNASKED = {
  ...UNCHECKED,
  'a new tag': '503 closed',
  'HEAD of a new tag': '503',
  'a new digest': '503 closed',
  'a new blob': '503 closed',
  tags: '200 stale',
  'new tags': '503 closed',
  referrers: '200 stale',
  'new referrers': '503 closed',
} as const

interface Row {
  readonly name: string
  readonly change: Partial<Switches>
  readonly differs: Partial<Readonly<Record<keyof typeof OFF, string>>>
}

const ROWS: readonly Row[] = [
  { name: 'nothing', change: {}, differs: {} },
  {
    name: 'readOnly',
    change: { readOnly: true },
    differs: {
      'an upload': '405 read only',
      'a manifest': '405 read only',
      'a deleted tag': '405 read only',
      'a deleted blob': '405 read only',
    },
  },
  { name: 'noFills', change: { noFills: true }, differs: UNASKED },
  {
    name: 'noRedirect',
    change: { noRedirect: true },
    differs: { 'a blob': '200', 'a new blob': '200 asked' },
  },
  { name: 'alwaysStale', change: { alwaysStale: true }, differs: UNCHECKED },
  { name: 'a pause', change: { paused: ['one.test'] }, differs: UNASKED },
  { name: 'a pause of another', change: { paused: ['private.test'] }, differs: {} },
]

describe.each(ROWS)('with $name switched', ({ change, differs }) => {
  it.each(['one.test', 'private.test'])('%s and what is hosted', async (host) => {
    await warm(host)
    await turn(change)
    const isPaused = change.paused !== undefined
    const isOfHost = !isPaused || change.paused.includes(host)
    const paused = isPaused && !isOfHost ? {} : isPaused ? UNASKED : differs
    expect(await outcomes(host)).toEqual({ ...OFF, ...paused })
  })

  it('and switched off again', async () => {
    await warm()
    await turn(change)
    await turn({
      readOnly: false,
      noFills: false,
      noRedirect: false,
      alwaysStale: false,
      paused: [],
    })
    expect(await outcomes()).toEqual(OFF)
  })
})

describe('an upstream that is not asked', () => {
  it('is not asked by its alternates either, and no token is fetched', async () => {
    await warm('backed.test')
    await turn({ paused: ['backed.test'] })
    expect(await outcomes('backed.test')).toEqual({ ...OFF, ...UNASKED })
    expect(net.requests.filter(({ host }) => host !== 'storage.test')).toEqual([])
  })

  it('is poison for nobody: its requests would fail, and none goes out', async () => {
    await warm()
    await turn({ paused: ['one.test'] })
    const nowhere = goOnline({})
    for (const path of [
      '/v2/one.test/a/old/manifests/v1',
      '/v2/one.test/a/new/manifests/v1',
      `/v2/one.test/a/new/blobs/${ABSENT}`,
      '/v2/one.test/a/old/tags/list',
    ]) {
      const worker = isolate(OPEN)
      expect([200, 503]).toContain((await worker.get(path)).status)
      await worker.settle()
    }
    expect(nowhere.urls()).toEqual([])
  })

  it('answers what is not here with 503, a reason and a time', async () => {
    await turn({ noFills: true })
    const answer = await isolate(SETTINGS).get('/v2/one.test/a/new/manifests/v1')
    expect(answer.headers.get('retry-after')).toBe('60')
    expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=miss')
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })

  it('serves a tag however old, with its age and a warning that names the reason', async () => {
    await warm()
    await turn({ alwaysStale: true })
    clock.advance(30 * DAY)
    const answer = await isolate(SETTINGS).get('/v2/one.test/a/old/manifests/v1')
    expect(answer.headers.get('warning')).toBe(
      '110 - "Response is Stale", 299 - "one.test was not asked for this tag: an administrator has switched that off"',
    )
    expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=stale')
    expect(Number(answer.headers.get('age'))).toBe((30 * DAY + 10 * MINUTE) / SECOND)
    expectBytes(await bytesOf(answer), image.bytes)
    expect(askedOf('one.test')).toBe(0)
  })

  it('counts nothing against the limit of a client', async () => {
    await turn({ noFills: true })
    const limit = vi.fn<RateLimit['limit']>(async () => ({ success: true }))
    const worker = isolate({ ...SETTINGS, FILL_LIMIT: { limit } })
    expect((await worker.get('/v2/one.test/a/new/manifests/v1')).status).toBe(503)
    expect(limit).not.toHaveBeenCalled()
  })

  it('says of a tag that its upstream has refused what it said before', async () => {
    await warm('private.test')
    upstream.fault({ on: { kind: 'manifest' }, do: { status: 403 } })
    const path = '/v2/private.test/a/old/manifests/v1'
    expect(await refusalOf(await isolate(SETTINGS).get(path))).toBe('403 DENIED')
    await turn({ paused: ['private.test'] })
    net.forget()
    expect(await refusalOf(await isolate(SETTINGS).get(path))).toBe('403 DENIED')
    expect(net.count()).toBe(0)
  })

  it('serves what an alternate has said, with a warning even while it is new', async () => {
    upstream.fault({ on: { kind: 'manifest' }, do: { status: 500 }, times: 1 })
    const path = '/v2/backed.test/a/old/manifests/v1'
    const guessed = isolate(SETTINGS)
    expect((await guessed.get(path)).headers.get('warning')).not.toBeNull()
    await guessed.settle()
    await turn({ noFills: true })
    net.forget()
    const answer = await isolate(SETTINGS).get(path)
    expect([answer.status, net.count()]).toEqual([200, 0])
    expect(answer.headers.get('warning')).toContain('administrator')
  })

  it.each([
    { away: 'the ledger', bindings: { MIRROR_LEDGER: broken('objects') }, status: 200 },
    { away: 'KV', bindings: { HINTS: broken('store') }, status: 200 },
    {
      away: 'the ledger and KV',
      bindings: { MIRROR_LEDGER: broken('objects'), HINTS: broken('store') },
      status: 503,
    },
    { away: 'the fills', bindings: { BLOB_FILL: broken('objects') }, status: 200 },
  ])('while $away is away, is not asked either', async ({ bindings, status }) => {
    await warm()
    await turn({ noFills: true })
    const { get, settle } = isolate({ ...SETTINGS, ...bindings })
    expect((await get('/v2/one.test/a/old/manifests/v1')).status).toBe(status)
    expect((await get('/v2/one.test/a/new/manifests/v1')).status).toBe(503)
    expect((await get(`/v2/one.test/a/new/blobs/${blobOf(other)}`)).status).toBe(503)
    expect((await get('/v2/one.test/a/new/tags/list')).status).toBe(503)
    await settle()
    expect(net.count()).toBe(0)
  })

  it('is not asked for the bytes of a tag or a digest that storage has lost', async () => {
    await warm()
    await turn({ noFills: true })
    const { objects } = await env.BLOBS.list()
    await env.BLOBS.delete(objects.map(({ key }) => key))
    const { keys } = await env.HINTS.list()
    for (const { name } of keys) await env.HINTS.delete(name)
    for (const reference of ['v1', image.digest]) {
      const answer = await isolate(SETTINGS).get(`/v2/one.test/a/old/manifests/${reference}`)
      expect([reference, await refusalOf(answer)]).toEqual([reference, '503 UNKNOWN'])
    }
    expect(net.count()).toBe(0)
  })

  it('goes on with a fill that runs, which others join', async () => {
    const blob = await addSampleBlob(upstream, 6 * MiB)
    const held = withhold(upstream, 256 * KiB)
    const first = isolate(SETTINGS)
    const answer = await first.get(blob.path)
    await turn({ noFills: true })
    net.forget()
    const second = isolate(SETTINGS)
    const joined = await second.get(blob.path)
    expect(joined.status).toBe(200)
    held.release()
    expectBytes(await bytesOf(joined), blob.bytes)
    expectBytes(await bytesOf(answer), blob.bytes)
    await expectStored(blob)
    await Promise.all([first.settle(), second.settle()])
    expect(askedOf('one.test')).toBe(0)
  })

  it('refuses whoever may not have anything fetched as before', async () => {
    const made = await accounts({ reader: [granting('**', 'read')] })
    const settings = { ANONYMOUS: [granting('**', 'read')], ...made }
    await turn({ noFills: true })
    const { get } = isolate(settings)
    const path = '/v2/one.test/a/new/manifests/v1'
    expect(await refusalOf(await get(path))).toBe('401 UNAUTHORIZED')
    const answer = await get(path, { authorization: basic('reader') })
    expect(await refusalOf(answer)).toBe('404 MANIFEST_UNKNOWN')
  })
})

describe('readOnly', () => {
  it('holds an upload where it is: it can be looked at, given up, and later gone on with', async () => {
    const registry = startHosted(SETTINGS)
    const [one, two] = [await registry.open('hosted/app'), await registry.open('hosted/app')]
    const blob = await noise(100 * KiB)
    expect((await registry.patch(one, blob.bytes)).status).toBe(202)
    await turn({ readOnly: true })
    const late = startHosted(SETTINGS)
    const refused = [
      await late.patch(one, blob.bytes),
      await late.close(one, blob.digest),
      await late.send('POST', `/v2/hosted/app/blobs/uploads/?mount=${blob.digest}&from=hosted/b`),
    ]
    expect(refused.map(({ status }) => status)).toEqual([405, 405, 405])
    expect(refused.map(({ headers }) => headers.get('allow'))).toEqual([
      'GET, HEAD, DELETE',
      'GET, HEAD, DELETE',
      '',
    ])
    const status = await late.send('GET', one)
    expect([status.status, status.headers.get('range')]).toEqual([204, `0-${100 * KiB - 1}`])
    expect((await late.send('DELETE', two)).status).toBe(204)
    await turn({ readOnly: false })
    const closed = await startHosted(SETTINGS).send('PUT', withDigest(one, blob.digest))
    expect(closed.status).toBe(201)
  })

  it('asks who may not to log in first, and a mirror is what it was', async () => {
    const made = await accounts({ ci: [granting('hosted/**', 'pull', 'push')] })
    await turn({ readOnly: true })
    const { fetch } = isolate({ HOSTED: OPEN.HOSTED, ...made })
    const post = (path: string, authorization?: string) =>
      fetch(path, { method: 'POST', headers: authorization ? { authorization } : {} })
    const path = '/v2/hosted/app/blobs/uploads/'
    expect(await refusalOf(await post(path))).toBe('401 UNAUTHORIZED')
    expect(await refusalOf(await post(path, basic('ci')))).toBe('405 UNSUPPORTED')
    const mirror = await post('/v2/one.test/a/b/blobs/uploads/', basic('ci'))
    expect(await mirror.text()).toContain('a mirrored repository can only be read')
  })
})

/** An `AUTHORITY` that notes how often it is asked, and can be taken away. */
function watchedAuthority(): { asked: number; isAway: boolean; readonly binding: unknown } {
  const state = {
    asked: 0,
    isAway: false,
    binding: {
      getByName: (name: string) =>
        new Proxy(env.AUTHORITY.getByName(name), {
          get: (target, method) => async (): Promise<unknown> => {
            state.asked += 1
            if (state.isAway) throw new Error('the object is away')
            return method === 'snapshot' ? target.snapshot() : expect.fail(String(method))
          },
        }),
    },
  }
  return state
}

const post = async ({ fetch }: Isolate): Promise<number> =>
  (await fetch('/v2/hosted/app/blobs/uploads/', { method: 'POST' })).status

describe('an isolate', () => {
  const LOOKS = [
    {
      name: 'that pushes are refused',
      change: { readOnly: true },
      want: [202, 405],
      look: post,
    },
    {
      name: 'that nothing is fetched',
      change: { noFills: true },
      want: [404, 503],
      look: async ({ get }: Isolate) => (await get('/v2/one.test/a/none/manifests/v1')).status,
    },
    {
      name: 'that an upstream is paused',
      change: { paused: ['one.test'] },
      want: [404, 503],
      look: async ({ get }: Isolate) => (await get(`/v2/one.test/a/new/blobs/${ABSENT}`)).status,
    },
    {
      name: 'that nobody is redirected',
      change: { noRedirect: true },
      want: [307, 200],
      look: async ({ get }: Isolate) => {
        const answer = await get(`/v2/one.test/a/old/blobs/${blobOf(image)}`)
        await answer.body?.cancel()
        return answer.status
      },
    },
  ]
  it.each(LOOKS)('sees within a minute $name, and that it no longer is', async (row) => {
    const { change, want, look } = row
    await warm()
    const worker = isolate(SETTINGS)
    expect(await look(worker)).toBe(want[0])
    clock.advance(SECOND)
    await turn(change)
    clock.advance(59 * SECOND)
    expect(await look(worker)).toBe(want[1])
    clock.advance(SECOND)
    await turn({ readOnly: false, noFills: false, noRedirect: false, paused: [] })
    clock.advance(59 * SECOND)
    expect(await look(worker)).toBe(want[0])
  })

  it('sees at once what is switched before its first request', async () => {
    await turn({ readOnly: true })
    expect(await post(isolate(SETTINGS))).toBe(405)
  })

  it('checks a tag again within a minute, however it was held as stale', async () => {
    await warm()
    await turn({ alwaysStale: true })
    const worker = isolate(SETTINGS)
    const path = '/v2/one.test/a/old/manifests/v1'
    const learning = await worker.get('/v2/one.test/a/moved/manifests/v1')
    expect(learning.headers.get('warning')).not.toBeNull()
    await turn({ alwaysStale: false })
    clock.advance(44 * SECOND)
    expect((await worker.get(path)).headers.get('warning')).not.toBeNull()
    clock.advance(16 * SECOND)
    expect((await worker.get(path)).headers.get('warning')).toBeNull()
  })

  it('asks nothing for what is hosted, and once in 45 s for all else, warm pulls of a manifest among it', async () => {
    await warm()
    const watched = watchedAuthority()
    const worker = isolate({ ...SETTINGS, AUTHORITY: watched.binding })
    const pull = () => worker.get('/v2/one.test/a/fresh/manifests/v1')
    expect((await worker.get('/v2/hosted/app/manifests/v1')).status).toBe(200)
    expect(watched.asked).toBe(0)
    // Whether any of it was purged.
    for (let n = 0; n < 3; n++) expect((await pull()).status).toBe(200)
    expect((await worker.get(`/v2/one.test/a/old/manifests/${image.digest}`)).status).toBe(200)
    expect(watched.asked).toBe(1)
    for (let n = 0; n < 5; n++) expect(await post(worker)).toBe(202)
    expect((await worker.get('/v2/one.test/a/none/manifests/v1')).status).toBe(404)
    expect(watched.asked).toBe(1)
    clock.advance(45 * SECOND)
    for (let n = 0; n < 5; n++) expect(await post(worker)).toBe(202)
    expect(watched.asked).toBe(2)
  })

  it('goes by what it knew while the object is away, however long', async () => {
    await turn({ readOnly: true })
    const watched = watchedAuthority()
    const worker = isolate({ ...SETTINGS, AUTHORITY: watched.binding })
    expect(await post(worker)).toBe(405)
    watched.isAway = true
    for (const time of [HOUR, SECOND, 8 * SECOND, SECOND, DAY]) {
      clock.advance(time)
      expect(await post(worker)).toBe(405)
    }
    // Once when it was known; then an hour, ten seconds and a day later.
    expect(watched.asked).toBe(4)
    watched.isAway = false
    await turn({ readOnly: false })
    clock.advance(30 * SECOND)
    expect(await post(worker)).toBe(202)
  })

  it('takes nothing for switched where it never knew, also while the object is silent', async () => {
    passDeadlines()
    await turn({ readOnly: true, noFills: true, noRedirect: true })
    const snapshot = vi.fn<() => Promise<never>>(() => new Promise(() => undefined))
    const silent = { getByName: () => ({ snapshot }) }
    const worker = isolate({ ...SETTINGS, AUTHORITY: silent })
    expect(await post(worker)).toBe(202)
    expect((await worker.get('/v2/one.test/a/new/manifests/v1')).status).toBe(200)
    await worker.settle()
    expect(snapshot).toHaveBeenCalledTimes(1)
  })
})
