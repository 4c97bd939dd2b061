// What an alternate says of a tag: believed only while nothing else is known, never longer than until the
// upstream can be asked, and never as if the upstream had said it.

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { refusalOf } from '../support/answer.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const TAG = '/v2/backed.test/a/b/manifests/v1'
const DOWN = { do: { status: 503 } }

let primary: SampleUpstream
let second: SampleUpstream
let clock: Clock
/** What the alternate says, and what the upstream says once it differs. */
let old: SampleManifest
let current: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  ;[primary, second] = [startUpstream(), startUpstream()]
  goOnline({ 'backed.test': primary, 'second.test': second })
  old = await sampleImage({ layers: [64] })
  current = await sampleImage({ layers: [64], seed: 2 })
  await addSample(second, 'a/b', old, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Pulls in an isolate that knows nothing. */
async function pull(path = TAG): Promise<Response> {
  const { get, settle } = isolate()
  const answer = await get(path)
  await settle()
  return answer
}

/** Digest and whether there was a warning. */
async function pulled(): Promise<readonly [string | null, boolean]> {
  const { headers } = await pull()
  return [headers.get('docker-content-digest'), headers.has('warning')]
}

/** The upstream is down, and the alternate is believed. */
async function guess(): Promise<() => void> {
  const up = primary.fault(DOWN)
  expect(await pulled()).toEqual([old.digest, true])
  primary.forget()
  second.forget()
  return up
}

describe('a guess', () => {
  it('is served with a warning, stale, and to be asked for again', async () => {
    primary.fault(DOWN)
    const { headers, status } = await pull()
    expect(status).toBe(200)
    expect(headers.get('warning')).toBe(
      '110 - "Response is Stale", 299 - "backed.test did not confirm this tag: it is unavailable"',
    )
    expect(headers.get('cache-status')).toContain('fwd=stale')
    expect(headers.get('etag')).toContain(old.digest)
  })

  it('is repeated for half a minute without asking anybody, by every isolate and after a restart', async () => {
    await guess()
    clock.advance(30 * SECOND - 1)
    expect(await pulled()).toEqual([old.digest, true])
    await evictAllDurableObjects()
    expect(await pulled()).toEqual([old.digest, true])
    expect([...asked(primary), ...asked(second)]).toEqual([])
  })

  it('is checked with the upstream then, and stays while that is down; the alternate is not asked again', async () => {
    await guess()
    clock.advance(30 * SECOND)
    expect(await pulled()).toEqual([old.digest, true])
    expect(asked(primary)).not.toEqual([])
    expect(asked(second)).toEqual([])
    clock.advance(2 * HOUR - 30 * SECOND)
    expect(await pulled()).toEqual([old.digest, true])
    expect(asked(second)).toEqual([])
  })

  it('is not repeated longer than maxStale: the alternate is asked anew', async () => {
    await guess()
    await addSample(second, 'a/b', current, 'v1')
    clock.advance(2 * HOUR + 1)
    expect(await pulled()).toEqual([current.digest, true])
  })

  it('becomes verified when the upstream says the same', async () => {
    const up = await guess()
    await addSample(primary, 'a/b', old, 'v1')
    up()
    clock.advance(30 * SECOND)
    expect(await pulled()).toEqual([old.digest, false])
    expect(asked(primary)).toContain('HEAD /v2/a/b/manifests/v1')
    expect(primary.count({ kind: 'manifest', method: 'GET' })).toBe(0)
    primary.forget()
    clock.advance(5 * MINUTE - 1)
    expect(await pulled()).toEqual([old.digest, false])
    expect(asked(primary)).toEqual([])
  })

  it('is replaced when the upstream says otherwise', async () => {
    const up = await guess()
    await addSample(primary, 'a/b', current, 'v1')
    up()
    clock.advance(30 * SECOND)
    expect(await pulled()).toEqual([current.digest, false])
    expect(asked(second)).toEqual([])
  })

  it('is deleted when the upstream says that there is no such tag', async () => {
    const up = await guess()
    await addSample(primary, 'a/b', current, 'v2')
    up()
    clock.advance(30 * SECOND)
    expect(await refusalOf(await pull())).toBe('404 MANIFEST_UNKNOWN')
    primary.fault(DOWN)
    clock.advance(MINUTE)
    second.deleteTag('a/b', 'v1')
    expect(await refusalOf(await pull())).toBe('502 UNKNOWN')
  })

  it('is never told to KV as a tag, not even once it is verified by others', async () => {
    await guess()
    const keys = async (): Promise<string[]> =>
      (await env.HINTS.list()).keys.map(({ name }) => name).filter((name) => name.includes('v1'))
    expect(await keys()).toEqual([])
    clock.advance(30 * SECOND)
    await pull()
    expect(await keys()).toEqual([])
  })

  it('is fetched once for all who ask at once', async () => {
    primary.fault(DOWN)
    const all = await Promise.all(Array.from({ length: 20 }, () => pull()))
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 200))
    expect(second.count({ kind: 'manifest' })).toBe(1)
    expect(primary.count({ kind: 'base' })).toBe(1)
  })

  it('by digest is the same manifest, without a warning', async () => {
    await guess()
    const answer = await pull(TAG.replace('v1', old.digest))
    expect([answer.status, answer.headers.has('warning')]).toEqual([200, false])
    expect([...asked(primary), ...asked(second)]).toEqual([])
  })
})

describe('no guess is made', () => {
  async function known(): Promise<void> {
    await addSample(primary, 'a/b', current, 'v1')
    expect(await pulled()).toEqual([current.digest, false])
    primary.fault(DOWN)
  }

  it.each([5 * MINUTE, HOUR, 2 * HOUR])(
    'while the upstream’s own word is not older than maxStale (%i ms)',
    async (age) => {
      await known()
      clock.advance(age)
      expect(await pulled()).toEqual([current.digest, true])
      expect(asked(second)).toEqual([])
    },
  )

  it('until the upstream’s own word is too old to be served', async () => {
    await known()
    clock.advance(2 * HOUR + 1)
    expect(await pulled()).toEqual([old.digest, true])
  })

  it.each([
    { name: 'says 404', fault: { status: 404 }, want: '404 MANIFEST_UNKNOWN' },
    { name: 'refuses', fault: { status: 403 }, want: '403 DENIED' },
  ])('when the upstream $name', async ({ fault, want }) => {
    primary.fault({ on: { kind: 'manifest' }, do: fault })
    expect(await refusalOf(await pull())).toBe(want)
    expect(asked(second)).toEqual([])
  })

  it('of a private tag that the upstream gave, though it cannot be served: our login is refused', async () => {
    const accounts: Record<string, string> = { mirror: 'canary-password' }
    const vault = startUpstream({ authentication: { accounts } })
    goOnline({ 'vault.test': vault, 'second.test': second })
    await addSample(vault, 'a/b', current, 'v1')
    const grants = [{ repositories: ['vault.test/**'], actions: ['pull'] }]
    const get = (): Promise<Response> =>
      isolate({ ANONYMOUS: grants }).get('/v2/vault.test/a/b/manifests/v1')
    expect((await get()).headers.get('docker-content-digest')).toBe(current.digest)
    delete accounts['mirror']
    vault.expireTokens()
    clock.advance(5 * MINUTE)
    expect(await refusalOf(await get())).toBe('403 DENIED')
    expect(asked(second)).toEqual([])
    // And it is still the upstream's word that is kept.
    accounts['mirror'] = 'canary-password'
    clock.advance(10 * MINUTE)
    const answer = await get()
    expect(answer.headers.get('docker-content-digest')).toBe(current.digest)
    expect(answer.headers.has('warning')).toBe(false)
  })
})
