// What was purged is served by nobody a minute later: not from an isolate's memory, and not from what KV still shows.
// Here it is gone from ledger and R2, and KV shows all of it, as it may for a minute.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { authority } from '../support/accounts.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { broken, count } from '../support/operations.ts'

const STEM = '/v2/one.test/a/b/manifests'
const TAG = `${STEM}/v1`
const OTHER = '/v2/one.test/a/c/manifests/v1'
const KV_READ = 'HINTS.getWithMetadata'

let clock: Clock
let upstream: SampleUpstream
let isUp: boolean
let image: SampleManifest
let digest: string

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  isUp = true
  goOnline({
    'one.test': async (url, init) =>
      isUp ? upstream.fetch(url, init) : Promise.reject(new TypeError('nobody is there')),
  })
  image = await sampleImage({ layers: [64] })
  digest = `${STEM}/${image.digest}`
  for (const name of ['a/b', 'a/c']) await addSample(upstream, name, image, 'v1')
  // Hints are older than what is asked of them below.
  const first = isolate()
  for (const path of [TAG, digest, OTHER]) await pull(first, path)
  clock.advance(SECOND)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function pull({ get, settle }: Isolate, path: string): Promise<number> {
  const { status } = await get(path)
  await settle()
  return status
}

/** Removes a repository from ledger and R2, and from the upstream, and tells everybody. */
async function purge(scope = 'one.test/a/b'): Promise<void> {
  const ledger = env.MIRROR_LEDGER.getByName('one.test/a/b')
  await runInDurableObject(ledger, (_, { storage }) => {
    storage.sql.exec('DELETE FROM tags; DELETE FROM manifests; DELETE FROM descriptors')
  })
  const { objects } = await env.BLOBS.list({ prefix: 'mirror/one.test/manifests/a/b/' })
  await env.BLOBS.delete(objects.map(({ key }) => key))
  await authority().purged(scope)
  isUp = false
}

/** What was asked but that ledgers are told, after the answer, what was read. */
function besidesReads(operations: readonly string[]): readonly string[] {
  return operations.filter((name) => name !== 'MIRROR_LEDGER.read')
}

/** The object that keeps purges, counted. */
function counted(): { readonly AUTHORITY: unknown; readonly calls: () => number } {
  let calls = 0
  const snapshot = () => {
    calls += 1
    return authority().snapshot()
  }
  return { AUTHORITY: { getByName: () => ({ snapshot }) }, calls: () => calls }
}

describe('an isolate that has served it', () => {
  it.each(['one.test/a/b', 'one.test'])(
    'serves it no more 45 s later, by tag and by digest: %s',
    async (scope) => {
      const warm = isolate()
      expect([await pull(warm, TAG), await pull(warm, digest)]).toEqual([200, 200])
      await purge(scope)
      clock.advance(44 * SECOND)
      expect(await pull(warm, digest)).toBe(200)
      clock.advance(SECOND)
      expect([await pull(warm, TAG), await pull(warm, digest)]).toEqual([502, 502])
    },
  )

  it('serves it no more after an hour in which nobody has asked it anything', async () => {
    const warm = isolate()
    expect(await pull(warm, digest)).toBe(200)
    await purge()
    clock.advance(HOUR)
    expect(await pull(warm, digest)).toBe(502)
  })

  it('serves it no more though it knew of nothing when it served it first', async () => {
    let isAway = true
    const snapshot = () => (isAway ? Promise.reject(new Error('away')) : authority().snapshot())
    const warm = isolate({ AUTHORITY: { getByName: () => ({ snapshot }) } })
    expect(await pull(warm, digest)).toBe(200)
    await purge()
    isAway = false
    clock.advance(10 * SECOND)
    expect(await pull(warm, digest)).toBe(502)
  })

  it('keeps other repositories', async () => {
    const { bindings, operations } = count()
    const warm = isolate(bindings)
    await pull(warm, OTHER)
    await purge()
    clock.advance(45 * SECOND)
    operations.length = 0
    expect([await pull(warm, OTHER), await pull(warm, OTHER)]).toEqual([200, 200])
    expect(besidesReads(operations)).toEqual([])
  })

  it('keeps what it has when nothing was purged', async () => {
    const { bindings, operations } = count()
    const warm = isolate(bindings)
    await pull(warm, digest)
    operations.length = 0
    clock.advance(HOUR)
    expect(await pull(warm, digest)).toBe(200)
    expect(besidesReads(operations)).toEqual([])
  })
})

describe('an isolate that has served nothing', () => {
  it('does not believe KV, by tag and by digest', async () => {
    await purge()
    const cold = isolate()
    expect([await pull(cold, TAG), await pull(cold, digest)]).toEqual([502, 502])
    expect(await pull(cold, OTHER)).toBe(200)
  })

  it('serves nothing stale of it, whatever is switched', async () => {
    await purge()
    await authority().setSwitches({ noFills: true }, 'a test')
    expect([await pull(isolate(), TAG), await pull(isolate(), digest)]).toEqual([503, 503])
  })

  it('serves nothing stale of it while the ledger is away', async () => {
    await purge()
    clock.advance(HOUR)
    expect(await pull(isolate({ MIRROR_LEDGER: broken('objects') }), TAG)).toBe(502)
  })

  it('believes what KV was told since', async () => {
    await purge()
    clock.advance(1)
    isUp = true
    expect([await pull(isolate(), TAG), await pull(isolate(), digest)]).toEqual([200, 200])
    const { bindings, operations } = count()
    const cold = isolate(bindings)
    expect([await pull(cold, TAG), await pull(isolate(bindings), digest)]).toEqual([200, 200])
    expect(besidesReads(operations)).toEqual([KV_READ, KV_READ])
  })
})

describe('to know of purges', () => {
  it('costs one call in 45 s, however many ask at once, and no other operation', async () => {
    const { AUTHORITY, calls } = counted()
    const { bindings, operations } = count()
    const warm = isolate({ ...bindings, AUTHORITY })
    await pull(warm, TAG)
    expect(calls()).toBe(1)
    operations.length = 0
    for (const passed of [44, 1, 44, 1]) {
      clock.advance(passed * SECOND)
      const answers = Array.from({ length: 20 }, () => pull(warm, digest))
      expect(new Set(await Promise.all(answers))).toEqual(new Set([200]))
    }
    expect([calls(), besidesReads(operations)]).toEqual([3, []])
  })

  it('costs no time while the object is away, and what is here is served', async () => {
    let calls = 0
    const fail = () => {
      calls += 1
      return Promise.reject(new Error('away'))
    }
    const warm = isolate({ AUTHORITY: { getByName: () => ({ snapshot: fail }) } })
    for (let n = 0; n < 5; n++) expect(await pull(warm, digest)).toBe(200)
    expect(calls).toBe(1)
    clock.advance(10 * SECOND)
    expect(await pull(warm, digest)).toBe(200)
    expect(calls).toBe(2)
  })

  it('takes a second while the object is silent, and then none', async () => {
    passDeadlines()
    const warm = isolate({
      AUTHORITY: { getByName: () => ({ snapshot: () => new Promise(() => undefined) }) },
    })
    expect(await pull(warm, digest)).toBe(200)
    clock.advance(MINUTE)
    expect([await pull(warm, digest), await pull(warm, TAG)]).toEqual([200, 200])
    const waits = vi.mocked(setTimeout).mock.calls.filter(([, delay]) => delay === SECOND)
    expect(waits).toHaveLength(2)
  })
})
