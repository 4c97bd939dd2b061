// `/_/api/pins`: what an administrator pins is fetched, is kept and followed by the ledger of its repository, and comes
// back when that has lost everything; what is refused, and why.

import {
  evictAllDurableObjects,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { JobStatus } from '../../src/jobs/job.ts'
import { createSchedule } from '../../src/schedule.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { keysIn } from '../support/blob.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { servicesWith } from '../support/job-run.ts'
import { reference, repository } from '../support/parsed.ts'
import { broken } from '../support/operations.ts'

const PATH = '/_/api/pins'
const IMAGE = 'one.test/a/b:v1'
const NAME = { host: 'one.test', repository: repository('a/b') }

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let registry: Isolate
let upstream: SampleUpstream
let image: SampleManifest

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream, 'two.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
  const made = await accounts({
    root: [granting('**', 'admin')],
    reader: [granting('**', 'pull')],
  })
  settings = { HOSTED: ['hosted/**'], ...made }
  registry = isolate(settings)
})

afterEach(async () => {
  // None goes on in the next test.
  const { jobs: all } = await servicesWith(settings).jobs.list(100)
  await Promise.all(all.map(({ id }) => servicesWith(settings).jobs.cancel(id)))
  vi.restoreAllMocks()
  await reset()
})

function ask(
  method: string,
  body?: unknown,
  { query = '', by = 'root', of = registry } = {},
): Promise<Response> {
  return of.fetch(PATH + query, {
    method,
    headers: {
      authorization: basic(by),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}

/** Status, message and detail of a refusal. */
async function refusalOf(answer: Response): Promise<Readonly<Record<string, unknown>>> {
  const { errors }: { errors: readonly object[] } = await answer.json()
  return { status: answer.status, ...errors[0] }
}

async function put(members: object): Promise<Readonly<Record<string, unknown>>> {
  const answer = await ask('PUT', members)
  expect(answer.status).toBe(200)
  return answer.json()
}

function remove(named: string): Promise<Response> {
  return ask('DELETE', undefined, { query: `?image=${encodeURIComponent(named)}` })
}

/** All jobs, once each of them has ended. */
async function jobs(): Promise<readonly JobStatus[]> {
  return vi.waitFor(
    async () => {
      const { jobs: all } = await servicesWith(settings).jobs.list(100)
      // The clock of the platform is not that of the test.
      const running = all.filter(({ state }) => state !== 'done')
      for (const { id } of running) await runDurableObjectAlarm(env.JOB.getByName(id))
      expect(all.map(({ state }) => state)).toEqual(all.map(() => 'done'))
      return all
    },
    { timeout: 10_000, interval: 50 },
  )
}

function ledger() {
  return env.MIRROR_LEDGER.getByName('one.test/a/b')
}

async function isPinned(): Promise<readonly boolean[]> {
  const { images } = await ledger().images(NAME, undefined, 10)
  return images.map((each) => each.isPinned)
}

/** Lets the clock run, and the ledger look at its pins then; how the jobs stand after that. */
async function pass(milliseconds: number): Promise<readonly JobStatus[]> {
  clock.advance(milliseconds)
  expect(await runDurableObjectAlarm(ledger())).toBe(true)
  return jobs()
}

describe('a pin', () => {
  it('is kept, shown and audited, and its image is fetched', async () => {
    const { job, ...pin } = await put({ image: IMAGE, platforms: ['linux/amd64'] })
    const at = new Date(clock.now()).toISOString()
    expect(pin).toEqual({ image: IMAGE, by: 'root', at, platforms: ['linux/amd64'] })
    const listed = await (await ask('GET')).json()
    expect(listed).toEqual({ pins: [pin] })
    expect(await jobs()).toMatchObject([
      { id: job, kind: 'prefetch', title: `${IMAGE} (linux/amd64)`, by: 'root' },
    ])
    expect(await keysIn('mirror/one.test/blobs/')).toHaveLength(image.blobs.length)
    expect(await isPinned()).toEqual([true])
    expect(await authority().audit()).toContainEqual({
      at: clock.now(),
      what: 'pin',
      name: IMAGE,
      by: 'root',
    })
  })

  it('is the same for every spelling, and pinned again it changes nothing', async () => {
    for (const host of ['one.test', 'ONE.test']) {
      await put({ image: `${host}/a/b:v1` })
      await jobs()
      clock.advance(SECOND)
    }
    const { pins }: { pins: readonly unknown[] } = await (await ask('GET')).json()
    expect(pins).toMatchObject([{ image: IMAGE }])
    expect((await authority().audit()).filter(({ what }) => what === 'pin')).toHaveLength(1)
  })

  it('that is put again while its image is on its way has no second job for it', async () => {
    const held = Promise.withResolvers<void>()
    goOnline({
      'one.test': async (url, init) => {
        await held.promise
        return upstream.fetch(url, init)
      },
    })
    const { job } = await put({ image: IMAGE })
    expect(await put({ image: IMAGE })).toMatchObject({ job })
    expect((await put({ image: IMAGE, platforms: ['linux/amd64'] }))['job']).not.toBe(job)
    held.resolve()
    expect(await jobs()).toHaveLength(2)
  })

  it('of a tag is checked ahead of its TTL, so that a client never finds it old', async () => {
    await put({ image: IMAGE })
    await jobs()
    upstream.forget()
    expect(await pass(4 * MINUTE)).toHaveLength(1)
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
    clock.advance(2 * MINUTE)
    upstream.forget()
    const answer = await isolate(settings).get('/v2/one.test/a/b/manifests/v1', {
      authorization: basic('reader'),
    })
    expect([answer.status, answer.headers.get('age')]).toEqual([200, '120'])
    expect(asked(upstream)).toEqual([])
  })

  it('whose tag has moved has the new image fetched before anybody asks, once', async () => {
    await put({ image: IMAGE })
    await jobs()
    await pass(4 * MINUTE)
    const next = await sampleImage({ layers: [64, 128], seed: 2 })
    await addSample(upstream, 'a/b', next, 'v1')
    const all = await pass(4 * MINUTE)
    expect(all.map(({ by, title, result }) => [by, title, result['fetched']])).toEqual([
      ['', IMAGE, 1],
      ['root', IMAGE, 1],
    ])
    expect(await pass(4 * MINUTE)).toHaveLength(2)
    upstream.forget()
    const { get, settle } = isolate(settings)
    const headers = { authorization: basic('reader') }
    expect((await get(`/v2/one.test/a/b/manifests/${next.digest}`, headers)).status).toBe(200)
    for (const { digest } of next.blobs) {
      expect((await get(`/v2/one.test/a/b/blobs/${digest}`, headers)).status).toBe(200)
    }
    await settle()
    expect(asked(upstream)).toEqual([])
  })

  it('comes back, and its image with it, when the ledger has lost everything', async () => {
    await put({ image: IMAGE })
    await jobs()
    await runInDurableObject(ledger(), async (_, { storage }) => {
      await storage.deleteAlarm()
      await storage.deleteAll()
    })
    await evictAllDurableObjects()
    const { objects } = await env.BLOBS.list({ prefix: 'mirror/' })
    await env.BLOBS.delete(objects.map(({ key }) => key))
    await servicesWith(settings).pins.reapply()
    clock.advance(4 * MINUTE)
    expect(await pass(MINUTE)).toHaveLength(2)
    expect(await isPinned()).toEqual([true])
    expect(await keysIn('mirror/one.test/blobs/')).toHaveLength(image.blobs.length)
    await servicesWith(settings).pins.reapply()
    expect(await pass(4 * MINUTE)).toHaveLength(2)
  })

  it('is kept while its ledger is away, and applied later', async () => {
    const away = isolate({ ...settings, MIRROR_LEDGER: broken('objects') })
    const answer = await ask('PUT', { image: IMAGE }, { of: away })
    expect(answer.status).toBe(200)
    await jobs()
    expect(away.lines('pin-not-applied')).toHaveLength(1)
    expect(await isPinned()).toEqual([false])
    await servicesWith(settings).pins.reapply()
    expect(await isPinned()).toEqual([true])
  })
})

describe('the clock', () => {
  it('has ledgers told again what is pinned when it starts its jobs', async () => {
    await authority().pin({ image: IMAGE, platforms: undefined }, 'root')
    const strike = createSchedule(() => undefined)
    const bindings = { ...env, ...settings }
    await strike(bindings, { waitUntil: () => undefined })
    expect(await runDurableObjectAlarm(ledger())).toBe(true)
    await runInDurableObject(ledger(), (_, { storage }) => storage.deleteAlarm())
    // Those jobs are not due again so soon.
    await strike(bindings, { waitUntil: () => undefined })
    expect(await runDurableObjectAlarm(ledger())).toBe(false)
  })
})

describe('an image that is unpinned', () => {
  it('is not pinned any more, which is audited, and nothing is checked', async () => {
    await put({ image: IMAGE })
    await jobs()
    expect((await remove('one.test/a/b:v1')).status).toBe(204)
    expect(await (await ask('GET')).json()).toEqual({ pins: [] })
    expect(await isPinned()).toEqual([false])
    expect((await authority().audit())[0]).toMatchObject({ what: 'unpin', name: IMAGE, by: 'root' })
    expect(await runDurableObjectAlarm(ledger())).toBe(false)
    expect((await remove(IMAGE)).status).toBe(404)
  })

  it('is not followed any more either, whoever has unpinned it', async () => {
    await put({ image: IMAGE })
    await jobs()
    await ledger().pin(NAME, reference('v1'), false)
    expect(await isPinned()).toEqual([false])
    expect(await runDurableObjectAlarm(ledger())).toBe(false)
  })

  it('stays pinned while its ledger cannot be told', async () => {
    await put({ image: IMAGE })
    const away = isolate({ ...settings, MIRROR_LEDGER: broken('objects') })
    const query = `?image=${encodeURIComponent(IMAGE)}`
    expect((await ask('DELETE', undefined, { query, of: away })).status).toBe(503)
    expect(await authority().pins()).toHaveLength(1)
  })

  it('may be of an upstream that is not configured any more', async () => {
    await authority().pin({ image: 'gone.test/a/b:v1', platforms: undefined }, 'root')
    await servicesWith(settings).pins.reapply()
    expect((await remove('gone.test/a/b:v1')).status).toBe(204)
    expect((await remove('gone.test/a/b:v1')).status).toBe(400)
  })
})

describe('a request for pins', () => {
  it.each<[unknown, string, RegExp]>([
    [{}, 'image', /expected an image/],
    [{ image: 'one.test/a/b' }, 'image', /a tag or a digest/],
    [{ image: 'hosted/app:v1' }, 'image', /hosted here/],
    [{ image: 'other.test/a/b:v1' }, 'image', /configured/],
    [{ image: 'limited.test/open/secret:v1' }, 'image', /does not let/],
    [{ image: IMAGE, platforms: ['amd64'] }, 'platforms', /list of platforms/],
    [{ image: IMAGE, platform: 'linux/amd64' }, '', /no other keys/],
  ])('is refused with what is wrong: %o', async (members, field, why) => {
    const { status, detail, message } = await refusalOf(await ask('PUT', members))
    expect({ status, detail, message }).toEqual({
      status: 400,
      detail: { field },
      message: expect.stringMatching(why),
    })
    expect(await authority().pins()).toEqual([])
  })

  it('is for administrators', async () => {
    for (const [method, body] of [['GET'], ['PUT', { image: IMAGE }], ['DELETE']] as const) {
      expect((await ask(method, body, { by: 'reader' })).status).toBe(401)
    }
    expect((await ask('POST', {})).status).toBe(405)
  })

  it('is refused once there are as many as there can be, but a known one can be changed', async () => {
    const pins = Array.from({ length: 500 }, (_, n) => ({
      image: `one.test/a/b:v${n}`,
      by: 'root',
      at: clock.now(),
      platforms: undefined,
    }))
    await authority().restorePins(pins)
    const refused = await refusalOf(await ask('PUT', { image: 'one.test/a/b:w' }))
    expect(refused).toMatchObject({ status: 400, message: expect.stringMatching('500 pins') })
    await put({ image: 'one.test/a/b:v1', platforms: ['linux/amd64'] })
    expect(await authority().pins()).toHaveLength(500)
  })
})
