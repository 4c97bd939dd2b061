// What a manifest costs: upstream requests for any number of clients, and operations on storage and
// objects once something is known (design, operation budget).

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { compareASCII } from '../../src/oci/page.ts'
import { bytesOf } from '../support/answer.ts'
import { DAY, HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { count } from '../support/operations.ts'

const STEM = '/v2/one.test/a/b/manifests'
const TAG = `${STEM}/v1`
const SCOPE = encodeURIComponent('repository:a/b:pull')
const TOKEN = ['GET /v2/', `GET /token?service=one.test&scope=${SCOPE}`]

let upstream: SampleUpstream
let image: SampleManifest
let clock: Clock

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream({ authentication: {} })
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Pulls in a new isolate, which knows nothing. */
async function pull(path: string, method = 'GET'): Promise<Response> {
  const { fetch, settle } = isolate()
  const answer = await fetch(path, { method })
  await settle()
  return answer
}

describe('upstream requests', () => {
  it('cold by tag: one token and one GET', async () => {
    expect((await pull(TAG)).status).toBe(200)
    expect(asked(upstream)).toEqual([...TOKEN, 'GET /v2/a/b/manifests/v1'])
  })

  it('cold by digest: one token and one GET', async () => {
    expect((await pull(`${STEM}/${image.digest}`)).status).toBe(200)
    expect(asked(upstream)).toEqual([...TOKEN, `GET /v2/a/b/manifests/${image.digest}`])
  })

  it('HEAD by tag, then GET by tag and by digest: one GET in all', async () => {
    const { get, head } = isolate()
    expect((await head(TAG)).status).toBe(200)
    expect(await bytesOf(await get(TAG))).toEqual(image.bytes)
    expect(await bytesOf(await get(`${STEM}/${image.digest}`))).toEqual(image.bytes)
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
  })

  it('a client’s whole pull, HEAD and GET of index and child: one GET per manifest, one token', async () => {
    const index = await sampleIndex([image])
    await addSample(upstream, 'a/b', index, 'multi')
    const { get, head } = isolate()
    for (const reference of ['multi', index.digest, image.digest]) {
      expect((await head(`${STEM}/${reference}`)).status).toBe(200)
      expect((await get(`${STEM}/${reference}`)).status).toBe(200)
    }
    expect(asked(upstream)).toEqual([
      ...TOKEN,
      'GET /v2/a/b/manifests/multi',
      `GET /v2/a/b/manifests/${image.digest}`,
    ])
  })

  it('within the TTL: none, from any isolate and after a restart', async () => {
    await pull(TAG)
    upstream.forget()
    clock.advance(5 * MINUTE - 1)
    await pull(TAG)
    await evictAllDurableObjects()
    expect(await bytesOf(await pull(TAG))).toEqual(image.bytes)
    expect(upstream.requests).toEqual([])
  })

  it('after the TTL: one HEAD, then none within the next TTL', async () => {
    await pull(TAG)
    upstream.forget()
    clock.advance(4 * MINUTE)
    expect((await pull(TAG)).headers.get('age')).toBe('240')
    clock.advance(MINUTE)
    for (let isolates = 0; isolates < 3; isolates++) {
      const answer = await pull(TAG)
      expect(answer.headers.get('age')).toBe('0')
      expect(answer.headers.get('warning')).toBeNull()
      expect(await bytesOf(answer)).toEqual(image.bytes)
    }
    // The first token lived for five minutes.
    expect(asked(upstream)).toEqual([TOKEN[1], 'HEAD /v2/a/b/manifests/v1'])
  })

  it('after the TTL, another digest: one HEAD and one GET by digest', async () => {
    await pull(TAG)
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'a/b', next, 'v1')
    upstream.forget()
    clock.advance(4 * MINUTE)
    expect((await pull(TAG)).headers.get('docker-content-digest')).toBe(image.digest)
    clock.advance(MINUTE)
    for (let isolates = 0; isolates < 2; isolates++) {
      const answer = await pull(TAG)
      expect(answer.headers.get('docker-content-digest')).toBe(next.digest)
      expect(await bytesOf(answer)).toEqual(next.bytes)
    }
    expect(asked(upstream).slice(1)).toEqual([
      'HEAD /v2/a/b/manifests/v1',
      `GET /v2/a/b/manifests/${next.digest}`,
    ])
  })

  it('after the TTL, a digest that was pulled before: one HEAD only', async () => {
    await pull(TAG)
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'a/b', next, 'v2')
    await pull(`${STEM}/v2`)
    upstream.setTag('a/b', 'v1', next.digest)
    upstream.forget()
    clock.advance(5 * MINUTE)
    expect((await pull(TAG)).headers.get('docker-content-digest')).toBe(next.digest)
    expect(asked(upstream).slice(1)).toEqual(['HEAD /v2/a/b/manifests/v1'])
  })

  it.each([
    { name: 'tells no digest by HEAD', fault: { digestHeader: null } },
    { name: 'tells nonsense by HEAD', fault: { digestHeader: 'sha256:0' } },
    { name: 'knows no HEAD of a manifest', fault: { status: 405 } },
    { name: 'refuses HEAD as a bad request', fault: { status: 400 } },
    {
      name: 'names a digest that it does not have',
      fault: { digestHeader: `sha256:${'7'.repeat(64)}` },
    },
  ])('after the TTL, the upstream $name: GET decides', async ({ fault }) => {
    await pull(TAG)
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'a/b', next, 'v1')
    upstream.fault({ on: { kind: 'manifest', method: 'HEAD' }, do: fault })
    clock.advance(5 * MINUTE)
    const answer = await pull(TAG)
    expect(answer.headers.get('docker-content-digest')).toBe(next.digest)
    expect(answer.headers.get('warning')).toBeNull()
    upstream.forget()
    await pull(TAG)
    expect(upstream.requests).toEqual([])
  })

  it('by digest: never again, years later, with the upstream down and another tag on it', async () => {
    await pull(TAG)
    upstream.forget()
    upstream.stop()
    for (const later of [0, 6 * MINUTE, 2 * DAY, 2000 * DAY]) {
      clock.advance(later)
      for (const method of ['HEAD', 'GET']) {
        const answer = await pull(`${STEM}/${image.digest}`, method)
        expect(answer.status).toBe(200)
        expect(answer.headers.get('cache-status')).toBe('entrepot; hit')
        expect(answer.headers.get('warning')).toBeNull()
      }
    }
    expect(upstream.requests).toEqual([])
  })

  it.each([
    { name: 'a tag', path: TAG },
    { name: 'a tag, half of them by HEAD', path: TAG, methods: ['GET', 'HEAD'] },
    { name: 'a digest', path: 'digest' },
  ])('40 clients at once, $name, cold: one token and one GET for all', async (row) => {
    const path = row.path === 'digest' ? `${STEM}/${image.digest}` : row.path
    const { methods = ['GET'] } = row
    // No answer before every client has asked.
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({ on: { kind: 'manifest' }, do: { holdHeaders: promise } })
    const pulls = Array.from({ length: 40 }, (_, n) => pull(path, methods[n % methods.length]))
    await vi.waitFor(() => expect(upstream.count({ kind: 'manifest' })).toBe(1))
    resolve()
    for (const [n, answer] of (await Promise.all(pulls)).entries()) {
      expect(answer.status).toBe(200)
      const isGet = methods[n % methods.length] === 'GET'
      expect(await bytesOf(answer)).toEqual(isGet ? image.bytes : new Uint8Array())
    }
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
    expect(upstream.count({ kind: 'token' })).toBe(1)
  })

  it('40 clients at once after the TTL: one HEAD for all', async () => {
    await pull(TAG)
    clock.advance(5 * MINUTE)
    upstream.forget()
    await Promise.all(Array.from({ length: 40 }, () => pull(TAG)))
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
    expect(upstream.count({ kind: 'manifest', method: 'HEAD' })).toBe(1)
  })

  it('40 clients at once, and the one GET fails: all are told, and the next one asks again', async () => {
    upstream.fault({ on: { kind: 'manifest' }, times: 1, do: { status: 503 } })
    const answers = await Promise.all(Array.from({ length: 40 }, () => pull(TAG)))
    expect(answers.some(({ status }) => status === 502)).toBe(true)
    expect(upstream.count({ kind: 'manifest' })).toBeLessThanOrEqual(2)
    expect((await pull(TAG)).status).toBe(200)
  })
})

describe('operations', () => {
  const isDeferred = (name: string) => name === 'MIRROR_LEDGER.read'

  async function operationsOf(
    path: string,
    times = 1,
    between?: () => void,
  ): Promise<readonly string[][]> {
    const { bindings, operations } = count()
    const { get, head, settle } = isolate(bindings)
    const seen: string[][] = []
    for (let request = 0; request < times; request++) {
      expect((await (request % 2 === 0 ? get : head)(path)).status).toBe(200)
      await settle()
      seen.push(operations.splice(0))
      between?.()
    }
    return seen
  }

  it.each([
    { name: 'tag', path: () => TAG },
    { name: 'digest', path: () => `${STEM}/${image.digest}` },
  ])('warm by $name: one KV read in a new isolate, then none of anything', async ({ path }) => {
    await pull(TAG)
    upstream.forget()
    const [first, second, third] = await operationsOf(path(), 3)
    expect(first?.filter((name) => !isDeferred(name))).toEqual(['HINTS.getWithMetadata'])
    expect(first?.filter(isDeferred)).toHaveLength(1)
    expect([second, third]).toEqual([[], []])
    expect(upstream.requests).toEqual([])
  })

  it('by digest for ever, by tag for a minute', async () => {
    await pull(TAG)
    const byDigest = await operationsOf(`${STEM}/${image.digest}`, 3, () => clock.advance(DAY / 2))
    expect(
      byDigest
        .slice(1)
        .flat()
        .filter((name) => !isDeferred(name)),
    ).toEqual([])
    await pull(TAG)
    const byTag = await operationsOf(TAG, 3, () => clock.advance(MINUTE - SECOND))
    expect(byTag[1]).toEqual([])
    expect(byTag[2]).toEqual(['HINTS.getWithMetadata'])
  })

  it('after a HEAD in the cold isolate too', async () => {
    const { bindings, operations } = count()
    const { get, head, settle } = isolate(bindings)
    await head(TAG)
    await settle()
    operations.splice(0)
    await get(TAG)
    await get(`${STEM}/${image.digest}`)
    expect(operations).toEqual([])
  })

  it('once KV is older than the TTL: one KV read and one call a minute', async () => {
    await pull(TAG)
    clock.advance(6 * MINUTE)
    await pull(TAG)
    clock.advance(SECOND)
    const [first, second] = await operationsOf(TAG, 2)
    expect(first?.filter((name) => !isDeferred(name))).toEqual([
      'HINTS.getWithMetadata',
      'MIRROR_LEDGER.knownTag',
    ])
    expect(second).toEqual([])
  })

  it('cold: one KV read and two calls; the isolate itself touches neither R2 nor a gate', async () => {
    const [first] = await operationsOf(TAG)
    expect(first?.filter((name) => !isDeferred(name))).toEqual([
      'HINTS.getWithMetadata',
      'MIRROR_LEDGER.knownTag',
      'MIRROR_LEDGER.tag',
    ])
  })

  it('revalidation: one KV read and one call', async () => {
    await pull(TAG)
    clock.advance(6 * MINUTE)
    upstream.forget()
    const [first] = await operationsOf(TAG)
    expect(upstream.count({ kind: 'manifest', method: 'HEAD' })).toBe(1)
    expect(first?.filter((name) => !isDeferred(name))).toEqual([
      'HINTS.getWithMetadata',
      'MIRROR_LEDGER.knownTag',
    ])
  })

  it('tells what was read once an hour', async () => {
    await pull(TAG)
    const { bindings, operations } = count()
    const { get, settle } = isolate(bindings)
    for (const later of [0, MINUTE, HOUR, SECOND]) {
      clock.advance(later)
      await get(`${STEM}/${image.digest}`)
      await settle()
    }
    expect(operations.filter(isDeferred)).toHaveLength(2)
  })

  it('KV is written when a digest changes or an hour has passed, not at each check', async () => {
    const put = vi.spyOn(Object.getPrototypeOf(env.HINTS), 'put')
    await pull(TAG)
    expect(put.mock.calls.map(([key]) => String(key)).toSorted(compareASCII)).toEqual([
      `manifest/one.test/a/b@${image.digest}`,
      'tag/one.test/a/b:v1',
    ])
    put.mockClear()
    for (let checks = 0; checks < 9; checks++) {
      clock.advance(6 * MINUTE)
      await pull(TAG)
    }
    expect(put).not.toHaveBeenCalled()
    clock.advance(7 * MINUTE)
    await pull(TAG)
    expect(put.mock.calls.map(([key]) => key)).toContain('tag/one.test/a/b:v1')
  })
})
