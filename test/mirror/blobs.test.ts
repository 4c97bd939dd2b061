// What a request for a blob waits for, with an object and an upstream that do not answer: nothing keeps a
// client from its headers for 30 s, and a detour never keeps its place (design §2, properties 9 and 10).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Admission } from '../../src/mirror/admission.ts'
import { MirroredBlobs } from '../../src/mirror/blobs.ts'
import type { BlobAnswer, FillStub } from '../../src/mirror/blobs.ts'
import { PATIENCE } from '../../src/mirror/patience.ts'
import type { Patience } from '../../src/mirror/patience.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { KiB, MiB, addSampleBlob, expectBytes, openBody } from '../support/blob.ts'
import type { Body } from '../support/blob.ts'
import { broken, silence } from '../support/broken.ts'
import { SECOND } from '../support/clock.ts'
import { IMPATIENCE } from '../support/fill.ts'
import { startUpstream } from '../support/internet.ts'
import { network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'

afterEach(() => reset())

const SIZE = 33 * MiB
const FIRST = SIZE - KiB
/** Begins more than 32 MiB ahead of a fill that has nothing. */
const AHEAD = { kind: 'slice', first: FIRST, last: undefined } as const
const NEVER = silence()

interface Stage {
  readonly upstream: SampleUpstream
  readonly bytes: Uint8Array
  readonly get: (range?: typeof AHEAD, wants?: 'bytes' | 'place') => Promise<BlobAnswer>
  /** Where the blob would be stored. */
  readonly key: StorageKey
  /** How many times work was deferred. */
  readonly deferred: () => number
  /** Ids of detours that were ended. */
  readonly ended: readonly string[]
  readonly settle: () => Promise<void>
}

/** A blob at an upstream, and an object whose fill of it has nothing yet, but for what `stub` does. */
async function stage(
  stub: Partial<FillStub>,
  patience: Partial<Patience>,
  admission: Admission = { ok: true },
  stored: R2Bucket = env.BLOBS,
): Promise<Stage> {
  const upstream = startUpstream()
  const { bytes, digest, key } = await addSampleBlob(upstream, SIZE)
  const { client } = connect(upstreamFrom(), { network: network({ 'one.test': upstream }) })
  const work: Promise<unknown>[] = []
  const ended: string[] = []
  const fill = { state: 'filling', id: 'f', size: SIZE, segments: [], isComplete: false } as const
  const blobs = new MirroredBlobs(
    {
      name: { host: 'one.test', repository: repository('a/b') },
      client,
      bucket: env.BLOBS,
      blobs: new BlobStore(stored),
      fillOf: () => ({
        join: async () => undefined,
        begin: async () => fill,
        progress: async () => ({ state: 'gone' }),
        end: async () => ({ state: 'gone' }),
        beginDetour: async () => 'mine',
        endDetour: async (id) => void ended.push(id),
        ...stub,
      }),
      admit: async () => admission,
      seams: {
        fetch: silence,
        now: () => Date.now(),
        defer: (one) => void work.push(one),
        log: () => undefined,
      },
    },
    { ...IMPATIENCE, ...patience },
  )
  return {
    upstream,
    bytes,
    get: (range, wants = 'bytes') => blobs.get(digest, { wants, range }),
    key,
    deferred: () => work.length,
    ended,
    settle: async () => void (await Promise.all(work)),
  }
}

function bodyOf(answer: BlobAnswer): Body {
  return openBody('body' in answer && answer.body ? answer.body : expect.fail('no body'))
}

describe('a detour', () => {
  it('is not begun for a request that is not admitted: that waits for the fill', async () => {
    const fill = { state: 'filling', id: 'f', size: SIZE, segments: [], isComplete: false } as const
    const beginDetour = vi.fn<FillStub['beginDetour']>(async () => 'mine')
    const join = async () => fill
    const { upstream, get, settle } = await stage(
      { join, beginDetour },
      {},
      { ok: false, retryAfter: 7 },
    )
    const answer = await get(AHEAD)
    expect(answer).toMatchObject({ ok: true, outcome: 'fill' })
    await bodyOf(answer).cancel()
    await settle()
    expect(beginDetour).not.toHaveBeenCalled()
    expect(upstream.requests).toEqual([])
  })

  it('is cut, and gives its place back, when the upstream stalls', async () => {
    const { upstream, bytes, get, ended, settle } = await stage({}, { idle: 50 })
    upstream.fault({ on: { kind: 'blob' }, do: { hold: NEVER, after: 10 } })
    const answer = await get(AHEAD)
    expect(answer).toMatchObject({ ok: true, outcome: 'direct' })
    const { bytes: got, isWhole } = await bodyOf(answer).remains()
    expect(isWhole).toBe(false)
    expectBytes(got, bytes.subarray(FIRST, FIRST + 10))
    await settle()
    expect(ended).toEqual(['mine'])
  })

  it('outlives its client before the upstream has answered, to give its place back', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { upstream, get, deferred, ended, settle } = await stage({}, {})
    upstream.fault({ on: { kind: 'blob' }, do: { holdHeaders: promise } })
    const answer = get(AHEAD)
    await vi.waitFor(() => expect(upstream.count({ kind: 'blob' })).toBe(1))
    expect(deferred()).toBe(1)
    expect(ended).toEqual([])
    resolve()
    await bodyOf(await answer).cancel()
    await settle()
    expect(ended).toEqual(['mine'])
  })

  it('is not waited for when the object is silent, and the place that it gives late is given back', async () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const { bytes, get, ended, settle } = await stage(
      { beginDetour: () => promise },
      { lookup: 200 },
    )
    const answer = await get(AHEAD)
    expectBytes(await bodyOf(answer).rest(), bytes.subarray(FIRST))
    expect(ended).toEqual([])
    resolve('late')
    await settle()
    expect(ended).toEqual(['late'])
  })
})

describe('headers', () => {
  it.each([
    { name: 'the object is silent', stub: { join: silence } },
    { name: 'the object is silent once it is to begin', stub: { begin: silence } },
    { name: 'the object is silent about a detour', stub: { beginDetour: silence } },
  ])('are refused in time when $name and the upstream too', async ({ stub }) => {
    const { upstream, get } = await stage(stub, { lookup: 200, begin: 200, answer: 500 })
    upstream.fault({ on: { kind: 'blob' }, do: { holdHeaders: NEVER } })
    const failure = { kind: 'unavailable', isTimeout: true }
    expect(await get(AHEAD)).toMatchObject({ ok: false, failure })
  })

  it('wait for a detour only as long as there is time', async () => {
    const { upstream, get, ended, settle } = await stage({}, { answer: 300 })
    upstream.fault({ on: { kind: 'blob' }, do: { holdHeaders: NEVER } })
    const answer = await get(AHEAD)
    expect(answer).toMatchObject({ ok: true, outcome: 'fill' })
    await bodyOf(answer).remains()
    await settle()
    expect(ended).toEqual(['mine'])
  })

  it('are well within the 30 s after which containerd gives up', () => {
    const { answer, begin, headers, lookup, news } = PATIENCE
    expect(answer).toBeLessThanOrEqual(27 * SECOND)
    expect(lookup + begin + lookup).toBeLessThanOrEqual(answer)
    expect(news).toBeLessThan(begin)
    expect(headers).toBeLessThan(news)
  })
})

describe('the place of a blob', () => {
  it('is where it is stored, without bytes and without the object of its fill', async () => {
    const join = vi.fn<FillStub['join']>(async () => undefined)
    const { bytes, get, key } = await stage({ join }, {})
    await env.BLOBS.put(key, bytes)
    const place = { key, size: SIZE }
    const found = { ok: true, size: SIZE, place, body: undefined, outcome: 'hit' }
    expect(await get(undefined, 'place')).toMatchObject(found)
    expect(await get(AHEAD, 'place')).toMatchObject(found)
    expect(join).not.toHaveBeenCalled()
  })

  it('is unknown while it is filled: the bytes come instead', async () => {
    const { get, settle } = await stage({}, {})
    const answer = await get(undefined, 'place')
    expect(answer).toMatchObject({ ok: true, place: undefined, outcome: 'fill' })
    await bodyOf(answer).cancel()
    await settle()
  })

  it('is known to whoever has waited for the fill', async () => {
    const key = Promise.withResolvers<StorageKey>()
    const begin = async () => {
      await env.BLOBS.put(await key.promise, new Uint8Array(10))
      return { state: 'stored', size: 10 } as const
    }
    const staged = await stage({ begin }, {})
    key.resolve(staged.key)
    expect(await staged.get(undefined, 'place')).toMatchObject({
      place: { key: staged.key, size: 10 },
      outcome: 'fill',
    })
  })

  it('is unknown while storage does not say: the bytes come from the upstream', async () => {
    const bucket = broken(env.BLOBS, { head: silence })
    const { bytes, get, settle } = await stage({}, { lookup: 20 }, { ok: true }, bucket)
    const answer = await get(undefined, 'place')
    expect(answer).toMatchObject({ ok: true, place: undefined, outcome: 'direct' })
    expectBytes(await bodyOf(answer).rest(), bytes)
    await settle()
  })

  it('is unknown while nobody can fill it: the bytes come from the upstream', async () => {
    const begin = () => Promise.reject(new Error('the object is away'))
    const { bytes, get, settle } = await stage({ begin }, {})
    const answer = await get(undefined, 'place')
    expect(answer).toMatchObject({ ok: true, place: undefined, outcome: 'direct' })
    expectBytes(await bodyOf(answer).rest(), bytes)
    await settle()
  })
})
