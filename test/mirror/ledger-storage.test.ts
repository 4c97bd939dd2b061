// A cache fault never breaks a client, and what nobody serves leaves no trace: KV, R2 and the ledger away
// or wrong, one after the other and together, and what is stored after each kind of pull.

import {
  evictAllDurableObjects,
  listDurableObjectIds,
  reset,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { Hints } from '../../src/storage/hints.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { silence } from '../support/broken.ts'
import { DAY, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'
import { repository, tag } from '../support/parsed.ts'

const STEM = '/v2/one.test/a/b/manifests'
const TAG = `${STEM}/v1`
const NAME = { host: 'one.test', repository: repository('a/b') }

let upstream: SampleUpstream
let clock: Clock
let image: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
  // Failing storage is logged on purpose.
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function pull(
  path: string,
  changed: Readonly<Record<string, unknown>> = {},
): Promise<Response> {
  const { get, settle } = isolate(changed)
  const answer = await get(path)
  await settle()
  return answer
}

/** Breaks a method of a store for everybody, the objects included. */
function breakStore(store: object, ...methods: readonly string[]): void {
  for (const method of methods) {
    vi.spyOn(Object.getPrototypeOf(store), method).mockRejectedValue(new Error('storage is away'))
  }
}

async function expectImage(answer: Response): Promise<void> {
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(image.mediaType)
  expect(await bytesOf(answer)).toEqual(image.bytes)
}

async function keysOf(bucket: R2Bucket): Promise<string[]> {
  return (await bucket.list()).objects.map(({ key }) => key)
}

const KV_METHODS = ['getWithMetadata', 'put', 'delete']

describe('KV is away', () => {
  beforeEach(() => breakStore(env.HINTS, ...KV_METHODS))

  it('T155: cold, warm and stale pulls are served, and no request more goes upstream', async () => {
    await expectImage(await pull(TAG))
    upstream.forget()
    await expectImage(await pull(TAG))
    await expectImage(await pull(`${STEM}/${image.digest}`))
    expect(upstream.requests).toEqual([])
    upstream.stop()
    clock.advance(6 * MINUTE)
    const stale = await pull(TAG)
    expect(stale.headers.get('warning')).not.toBeNull()
    await expectImage(stale)
  })

  it('a tag that the upstream has deleted is deleted', async () => {
    await pull(TAG)
    upstream.deleteTag('a/b', 'v1')
    clock.advance(6 * MINUTE)
    expect(await refusalOf(await pull(TAG))).toBe('404 MANIFEST_UNKNOWN')
  })
})

describe('KV is wrong', () => {
  it('T156: a hint that lags behind the ledger is not believed once its TTL is over', async () => {
    const old = await sampleImage({ seed: 9 })
    await pull(TAG)
    await new Hints(env.HINTS, () => undefined).putTag(NAME, tag('v1'), {
      ...old,
      verifiedAt: clock.now() - 6 * MINUTE,
    })
    await expectImage(await pull(TAG))
  })

  it('T156: a hint does not bring back a tag that the upstream has deleted', async () => {
    await pull(TAG)
    breakStore(env.HINTS, 'delete')
    upstream.deleteTag('a/b', 'v1')
    clock.advance(6 * MINUTE)
    expect((await pull(TAG)).status).toBe(404)
    clock.advance(2 * MINUTE)
    expect((await pull(TAG)).status).toBe(404)
  })

  it.each([
    { name: 'other bytes', text: '{}', digest: () => image.digest },
    { name: 'another digest', text: '{}', digest: () => `sha256:${'0'.repeat(64)}` },
    { name: 'no digest', text: '{}', digest: () => 'x' },
  ])('$name under a key: as if it were not there', async ({ text, digest }) => {
    const metadata = { digest: digest(), mediaType: 'text/html', verifiedAt: clock.now() }
    for (const key of ['tag/one.test/a/b:v1', `manifest/one.test/a/b@${image.digest}`]) {
      await env.HINTS.put(key, text, { metadata })
    }
    await expectImage(await pull(`${STEM}/${image.digest}`))
    await expectImage(await pull(TAG))
  })

  it('a value without metadata: as if it were not there', async () => {
    await env.HINTS.put('tag/one.test/a/b:v1', image.bytes)
    await expectImage(await pull(TAG))
  })
})

describe('R2 is away', () => {
  it('T152: writing fails: clients are served, nothing is claimed to be stored, later it is', async () => {
    breakStore(env.BLOBS, 'put')
    for (let pulls = 0; pulls < 2; pulls++) {
      const answer = await pull(TAG)
      expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=miss')
      await expectImage(answer)
    }
    await expectImage(await pull(`${STEM}/${image.digest}`))
    expect((await env.HINTS.list()).keys).toEqual([])
    vi.mocked(Object.getPrototypeOf(env.BLOBS).put).mockRestore()
    expect((await pull(TAG)).headers.get('cache-status')).toBe('entrepot; fwd=miss; stored')
    upstream.stop()
    await expectImage(await pull(TAG))
  })

  it('T150: reading fails and KV is empty: what is not in memory comes from the upstream', async () => {
    await pull(TAG)
    for (const { name } of (await env.HINTS.list()).keys) await env.HINTS.delete(name)
    await evictAllDurableObjects()
    breakStore(env.BLOBS, 'get')
    upstream.forget()
    await expectImage(await pull(TAG))
    await expectImage(await pull(`${STEM}/${image.digest}`))
    expect(asked(upstream)).toContain(`GET /v2/a/b/manifests/${image.digest}`)
  })

  it('T155: reading fails, KV is there and the upstream down: served from KV, also stale', async () => {
    await pull(TAG)
    await evictAllDurableObjects()
    breakStore(env.BLOBS, 'get', 'put', 'head')
    upstream.stop()
    await expectImage(await pull(TAG))
    await expectImage(await pull(`${STEM}/${image.digest}`))
    clock.advance(DAY)
    await expectImage(await pull(TAG))
  })
})

describe('R2 has lost something', () => {
  async function lose(change: (key: string) => Promise<unknown>): Promise<void> {
    await pull(TAG)
    for (const { name } of (await env.HINTS.list()).keys) await env.HINTS.delete(name)
    for (const key of await keysOf(env.BLOBS)) {
      if (key.startsWith('mirror/')) await change(key)
    }
    await evictAllDurableObjects()
    upstream.forget()
  }

  const LOSSES = [
    { name: 'T151: the manifest', change: (key: string) => env.BLOBS.delete(key) },
    { name: 'T011: the right bytes', change: (key: string) => env.BLOBS.put(key, '{"a":1}') },
  ]

  it.each(LOSSES)('$name: by tag, it is fetched once more by digest and stored', async (row) => {
    await lose(row.change)
    await expectImage(await pull(TAG))
    await expectImage(await pull(`${STEM}/${image.digest}`))
    await evictAllDurableObjects()
    await expectImage(await pull(TAG))
    expect(asked(upstream)).toEqual([`GET /v2/a/b/manifests/${image.digest}`])
  })

  it.each(LOSSES)('$name: by digest, it is fetched once more and stored', async (row) => {
    await lose(row.change)
    await expectImage(await pull(`${STEM}/${image.digest}`))
    const keys = await keysOf(env.BLOBS)
    expect(keys).toContain(`mirror/one.test/manifests/a/b/sha256/${image.digest.slice(7)}`)
    expect(upstream.count()).toBe(1)
  })

  it.each(LOSSES)('$name, and the upstream is down: an outage, not 404', async (row) => {
    await lose(row.change)
    upstream.stop()
    expect(await refusalOf(await pull(TAG))).toBe('502 UNKNOWN')
    expect(await refusalOf(await pull(`${STEM}/${image.digest}`))).toBe('502 UNKNOWN')
  })
})

describe('the ledger is away', () => {
  const AWAY = { MIRROR_LEDGER: broken('objects') }

  it('T158: cold: the request asks alone', async () => {
    const answer = await pull(TAG, AWAY)
    expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=miss')
    await expectImage(answer)
    await expectImage(await pull(`${STEM}/${image.digest}`, AWAY))
    expect(await refusalOf(await pull(`${STEM}/none`, AWAY))).toBe('404 MANIFEST_UNKNOWN')
  })

  it('what KV and R2 know is served without the upstream', async () => {
    await pull(TAG)
    upstream.forget()
    await expectImage(await pull(TAG, AWAY))
    await expectImage(await pull(`${STEM}/${image.digest}`, AWAY))
    await expectImage(await pull(`${STEM}/${image.digest}`, { ...AWAY, HINTS: broken('store') }))
    expect(upstream.requests).toEqual([])
  })

  it('once KV is older than the TTL the upstream is asked; while that is down too, KV is served stale', async () => {
    await pull(TAG)
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'a/b', next, 'v1')
    clock.advance(6 * MINUTE)
    expect((await pull(TAG, AWAY)).headers.get('docker-content-digest')).toBe(next.digest)
    upstream.stop()
    const stale = await pull(TAG, AWAY)
    expect(stale.headers.get('warning')).toContain('110')
    expect(stale.headers.get('age')).toBe('360')
    await expectImage(stale)
    clock.advance(7 * DAY)
    expect(await refusalOf(await pull(TAG, AWAY))).toBe('502 UNKNOWN')
  })

  it('tags and referrers come from the upstream', async () => {
    const tags = await pull('/v2/one.test/a/b/tags/list', AWAY)
    expect(await tags.json()).toEqual({ name: 'a/b', tags: ['v1'] })
    expect(tags.headers.get('cache-status')).toBe('entrepot; fwd=miss')
    expect((await pull(`/v2/one.test/a/b/referrers/${image.digest}`, AWAY)).status).toBe(200)
    upstream.stop()
    expect(await refusalOf(await pull('/v2/one.test/a/b/tags/list', AWAY))).toBe('502 UNKNOWN')
  })

  it('everything is away but the upstream', async () => {
    const away = {
      ...AWAY,
      UPSTREAM_GATE: broken('objects'),
      BLOB_FILL: broken('objects'),
      BLOBS: broken('store'),
      HINTS: broken('store'),
    }
    await expectImage(await pull(TAG, away))
    await expectImage(await pull(`${STEM}/${image.digest}`, away))
  })
})

describe('what never answers counts as away', () => {
  const store = new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : silence) })
  const LEDGER = { MIRROR_LEDGER: { getByName: () => store } }
  const KV = { HINTS: store }
  const R2 = { BLOBS: store }

  it.each([
    { name: 'the ledger', silent: LEDGER },
    { name: 'KV', silent: KV },
    { name: 'the ledger and KV', silent: { ...LEDGER, ...KV } },
    { name: 'the ledger, KV and R2', silent: { ...LEDGER, ...KV, ...R2 } },
  ])('$name: by tag and by digest', async ({ silent }) => {
    await pull(TAG)
    clock.advance(6 * MINUTE)
    passDeadlines()
    await expectImage(await pull(TAG, silent))
    await expectImage(await pull(`${STEM}/${image.digest}`, silent))
  })

  it('the ledger: a listing comes from the upstream', async () => {
    passDeadlines()
    const tags = await pull('/v2/one.test/a/b/tags/list', LEDGER)
    expect(await tags.json()).toEqual({ name: 'a/b', tags: ['v1'] })
    expect(tags.headers.get('cache-status')).toBe('entrepot; fwd=miss')
  })

  it('the ledger, and the upstream is down: KV is served stale', async () => {
    await pull(TAG)
    clock.advance(6 * MINUTE)
    upstream.stop()
    passDeadlines()
    const stale = await pull(TAG, LEDGER)
    expect(stale.headers.get('warning')).toContain('110')
    await expectImage(stale)
  })
})

describe('a restart', () => {
  it('loses nothing: tag, digest, both clocks', async () => {
    await pull(TAG)
    clock.advance(6 * MINUTE)
    upstream.fault({ do: { status: 503 } })
    await pull(TAG)
    await evictAllDurableObjects()
    upstream.forget()
    const stale = await pull(TAG)
    expect(stale.headers.get('age')).toBe('360')
    await expectImage(stale)
    await expectImage(await pull(`${STEM}/${image.digest}`))
    // The failed check of before still counts.
    expect(upstream.requests).toEqual([])
    clock.advance(30 * SECOND)
    await pull(TAG)
    expect(upstream.count()).toBe(1)
  })
})

describe('what is stored', () => {
  /** The tables of every ledger that there is. */
  async function tables(): Promise<unknown[]> {
    const ids = await listDurableObjectIds(env.MIRROR_LEDGER)
    const of = ids.map((id) =>
      runInDurableObject(env.MIRROR_LEDGER.get(id), (_, { storage }) =>
        storage.sql
          .exec(`SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'`)
          .toArray(),
      ),
    )
    return (await Promise.all(of)).flat()
  }

  const absent = `sha256:${'0'.repeat(64)}`
  const paths = [
    `manifests/none`,
    `manifests/${absent}`,
    'tags/list',
    `referrers/${absent}`,
    `blobs/${absent}`,
  ]

  it.each([
    { name: 'does not have', before: () => undefined },
    { name: 'refuses', before: () => void upstream.fault({ do: { status: 403 } }) },
    { name: 'limits', before: () => void upstream.fault({ do: { status: 429 } }) },
    { name: 'cannot answer for', before: () => upstream.stop() },
    { name: 'sends nonsense for', before: () => void upstream.fault({ do: { body: '<html>' } }) },
  ])('a repository that the upstream $name leaves no trace', async ({ before }) => {
    before()
    for (const path of paths) {
      await (await pull(`/v2/one.test/never/seen/${path}`)).text()
    }
    expect(await keysOf(env.BLOBS)).toEqual([])
    expect((await env.HINTS.list()).keys).toEqual([])
    expect(await tables()).toEqual([])
  })

  it('one pull: a marker, the manifest, and its hints', async () => {
    await pull(TAG)
    expect(await keysOf(env.BLOBS)).toEqual([
      `mirror/one.test/manifests/a/b/sha256/${image.digest.slice(7)}`,
      'repositories/mirrored/one.test/a/b',
    ])
    expect((await env.HINTS.list()).keys.map(({ name }) => name)).toEqual([
      `manifest/one.test/a/b@${image.digest}`,
      'tag/one.test/a/b:v1',
    ])
    expect(await tables()).not.toEqual([])
  })

  it('no tag points at what could not be stored', async () => {
    breakStore(env.BLOBS, 'put')
    await pull(TAG)
    expect(await tables()).toEqual([])
  })

  it('a manifest without a place in KV is served by its ledger', async () => {
    const long = `x/${'y'.repeat(240)}`
    const tagged = 't'.repeat(128)
    await addSample(upstream, long, image, tagged)
    await pull(`/v2/one.test/${long}/manifests/${tagged}`)
    for (const { name } of (await env.HINTS.list()).keys) expect(name.length).toBeLessThan(512)
    upstream.stop()
    await expectImage(await pull(`/v2/one.test/${long}/manifests/${tagged}`))
  })
})
