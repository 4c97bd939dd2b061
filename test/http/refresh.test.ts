// `POST /_/api/refresh`: a tag is checked at once, however fresh it is, and within a minute everybody serves what it has
// moved to; what an upstream that fails, and a switch, make of it.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { count } from '../support/operations.ts'

const PATH = '/_/api/refresh'
const IMAGE = 'one.test/a/b:v1'
const TAG = '/v2/one.test/a/b/manifests/v1'

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let upstream: SampleUpstream
let isUp: boolean
let image: SampleManifest
let next: SampleManifest

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  isUp = true
  goOnline({
    'one.test': async (url, init) =>
      isUp ? upstream.fetch(url, init) : new Response('', { status: 503 }),
  })
  image = await sampleImage({ layers: [64] })
  next = await sampleImage({ layers: [64], seed: 2 })
  await addSample(upstream, 'a/b', image, 'v1')
  settings = {
    HOSTED: ['hosted/**'],
    ...(await accounts({
      root: [granting('**', 'admin', 'pull')],
      reader: [granting('**', 'pull')],
    })),
  }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function refresh(
  body: unknown = { image: IMAGE },
  by = 'root',
): Promise<readonly [number, Readonly<Record<string, unknown>>]> {
  const { fetch, settle } = isolate(settings)
  const answer = await fetch(PATH, {
    method: 'POST',
    headers: { authorization: basic(by), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  await settle()
  return [answer.status, await answer.json()]
}

/** The one error of an answer. */
async function refused(body?: unknown, by?: string): Promise<Readonly<Record<string, unknown>>> {
  const [status, { errors }] = await refresh(body, by)
  return { status, ...(errors as readonly object[])[0] }
}

/** The digest that a tag has for a client. */
async function digestFor({ get, settle }: Isolate, path = TAG): Promise<string | null> {
  const answer = await get(path, { authorization: basic('reader') })
  await settle()
  return answer.headers.get('docker-content-digest')
}

describe('a refresh of a tag', () => {
  it('checks it though it is fresh, and is audited', async () => {
    await digestFor(isolate(settings))
    upstream.forget()
    const { digest } = image
    const same = { image: IMAGE, before: digest, digest, outcome: 'unchanged' }
    expect(await refresh()).toEqual([200, same])
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
    expect((await authority().audit())[0]).toMatchObject({
      what: 'refresh',
      name: IMAGE,
      by: 'root',
    })
  })

  it('that was never pulled has it fetched', async () => {
    const { digest } = image
    expect(await refresh()).toEqual([200, { image: IMAGE, digest, outcome: 'new' }])
    expect(asked(upstream)).toContain('GET /v2/a/b/manifests/v1')
  })

  it('that has moved is seen by everybody within a minute, whatever they and KV have', async () => {
    const warm = isolate(settings)
    await digestFor(warm)
    await addSample(upstream, 'a/b', next, 'v1')
    clock.advance(SECOND)
    // It has just repeated the old one, and would for a minute.
    expect(await digestFor(warm)).toBe(image.digest)
    clock.advance(SECOND)
    expect(await refresh()).toEqual([
      200,
      { image: IMAGE, before: image.digest, digest: next.digest, outcome: 'changed' },
    ])
    clock.advance(45 * SECOND)
    expect(await digestFor(warm)).toBe(next.digest)
    const { bindings, operations } = count()
    expect(await digestFor(isolate({ ...settings, ...bindings }))).toBe(next.digest)
    // KV was told, and is believed.
    expect(operations.filter((name) => name.startsWith('MIRROR_LEDGER.known'))).toEqual([])
  })

  it('that has not moved empties nobody’s memory', async () => {
    await digestFor(isolate(settings))
    await refresh()
    expect((await authority().snapshot()).purges.number).toBe(0)
  })

  it('is stale while the upstream fails, and says so', async () => {
    await digestFor(isolate(settings))
    isUp = false
    const { digest } = image
    expect(await refresh()).toEqual([
      200,
      {
        image: IMAGE,
        before: digest,
        digest,
        outcome: 'stale',
        warning: 'one.test did not confirm this tag: it is unavailable',
      },
    ])
  })

  it('is the error that a client would see, where nothing is known', async () => {
    isUp = false
    expect(await refused()).toMatchObject({ status: 502, code: 'UNKNOWN' })
    isUp = true
    expect(await refused({ image: 'one.test/a/b:none' })).toMatchObject({
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    })
  })

  it.each([
    [{ noFills: true }, 'one.test is not asked now: noFills is on'],
    [{ paused: ['one.test'] }, 'one.test is not asked now: it is paused'],
  ])(
    'asks nobody while that is switched off, and says by what, of what is here too: %o',
    async (switches, message) => {
      await digestFor(isolate(settings))
      upstream.forget()
      await authority().setSwitches(switches, 'a test')
      expect(await refused()).toMatchObject({ status: 503, code: 'UNKNOWN', message })
      expect(asked(upstream)).toEqual([])
      expect((await authority().audit()).map(({ what }) => what)).not.toContain('refresh')
    },
  )
})

describe('a refresh of a repository', () => {
  it('checks all tags that are known, each told by itself', async () => {
    for (const tag of ['v2', 'v3']) await addSample(upstream, 'a/b', image, tag)
    const reader = isolate(settings)
    for (const tag of ['v1', 'v2', 'v3']) {
      await digestFor(reader, `/v2/one.test/a/b/manifests/${tag}`)
    }
    await addSample(upstream, 'a/b', next, 'v2')
    upstream.deleteTag('a/b', 'v3')
    clock.advance(MINUTE)
    upstream.forget()
    const { digest } = image
    expect(await refresh({ image: 'one.test/a/b' })).toEqual([
      200,
      {
        image: 'one.test/a/b',
        refreshed: [
          { image: IMAGE, before: digest, digest, outcome: 'unchanged' },
          { image: 'one.test/a/b:v2', before: digest, digest: next.digest, outcome: 'changed' },
          { image: 'one.test/a/b:v3', outcome: 'failed', error: expect.any(String) },
        ],
      },
    ])
    expect(upstream.count({ method: 'HEAD' })).toBe(3)
    clock.advance(45 * SECOND)
    expect(await digestFor(reader, '/v2/one.test/a/b/manifests/v2')).toBe(next.digest)
  })

  it('of which nothing is known is refused', async () => {
    expect(await refused({ image: 'one.test/a/b' })).toMatchObject({
      status: 404,
      code: 'NAME_UNKNOWN',
    })
    expect(asked(upstream)).toEqual([])
  })

  it('of which more than a hundred tags are known is refused', async () => {
    const reader = isolate(settings)
    for (let n = 0; n < 101; n++) {
      await addSample(upstream, 'a/b', image, `n${n}`)
      await digestFor(reader, `/v2/one.test/a/b/manifests/n${n}`)
    }
    expect(await refused({ image: 'one.test/a/b' })).toMatchObject({
      status: 400,
      message: expect.stringMatching('101 tags of one.test/a/b are known here'),
    })
  }, 30_000)
})

describe('a request for a refresh', () => {
  it.each<[unknown, RegExp]>([
    [{}, /expected an image/],
    [{ image: 5 }, /expected an image/],
    [{ image: 'other.test/a:v1' }, /configured/],
    [{ image: 'hosted/app:v1' }, /hosted here/],
    [{ image: `one.test/a/b@sha256:${'0'.repeat(64)}` }, /never changes/],
    [{ image: IMAGE, force: true }, /no other keys/],
  ])('is refused with what is wrong: %o', async (body, message) => {
    expect(await refused(body)).toMatchObject({
      status: 400,
      message: expect.stringMatching(message),
    })
    expect(asked(upstream)).toEqual([])
  })

  it('is for administrators', async () => {
    expect(await refused(undefined, 'reader')).toMatchObject({ status: 401 })
  })
})
