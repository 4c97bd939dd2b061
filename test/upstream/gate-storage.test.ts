// What a gate that is an object keeps: never more than so much, and nothing for ever, however often it is woken
// and whatever it is asked for.

import {
  evictDurableObject,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamGate } from '../../src/objects.ts'
import { durableStorage, sweepStorage } from '../../src/upstream/gate-storage.ts'
import type { ObjectStorage } from '../../src/upstream/gate-storage.ts'
import { HOUR, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'

const GATE = { upstream: 'one.test', credential: undefined }
const MAX_TOKENS = 1000

let clock: Clock
let host: TokenHost
let stub: DurableObjectStub<UpstreamGate>

beforeEach(() => {
  clock = stopClock()
  host = new TokenHost()
  vi.spyOn(globalThis, 'fetch').mockImplementation(network({ 'one.test': host }).fetch)
  stub = env.UPSTREAM_GATE.getByName('one.test anonymous')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const authorize = (name: string) => stub.authorize(GATE, repository(name), 'free', undefined)

function within<Result>(work: (storage: DurableObjectStorage) => Result | Promise<Result>) {
  return runInDurableObject(stub, (_, { storage }) => work(storage))
}

const alarm = () => within((storage) => storage.getAlarm())
const tokens = () => within((storage) => Array.from(storage.kv.list({ prefix: 'token:' })).length)

/** Tokens of so many other repositories, until then. */
function putTokens(count: number, expiresAt: number): Promise<void> {
  return within(({ kv }) => {
    for (let n = 0; n < count; n++) kv.put(`token:z${n}`, { header: 'Bearer z', expiresAt })
  })
}

describe('the alarm', () => {
  it('is not put off by an object that wakes up and is told something', async () => {
    await authorize('a/b')
    const due = clock.now() + HOUR
    expect(await alarm()).toBe(due)
    for (let n = 1; n <= 3; n++) {
      clock.advance(19 * MINUTE)
      await evictDurableObject(stub)
      await authorize(`a/c${n}`)
      expect(await alarm()).toBe(due)
    }
    clock.advance(3 * MINUTE)
    await runDurableObjectAlarm(stub)
    // The last token is three minutes old, and how the upstream authenticates was found out when it woke up.
    expect(await tokens()).toBe(1)
    expect(await alarm()).toBe(clock.now() + HOUR)
  })

  it('that could not be set is set with the next thing that is put', async () => {
    await within(async (storage) => {
      const setAlarm = vi
        .fn<ObjectStorage['setAlarm']>()
        .mockRejectedValueOnce(new Error('the object was reset'))
        .mockResolvedValue()
      const getAlarm = vi.fn<ObjectStorage['getAlarm']>().mockResolvedValue(null)
      const broken: ObjectStorage = {
        kv: storage.kv,
        getAlarm,
        setAlarm,
        deleteAll: () => Promise.resolve(),
      }
      const kept = durableStorage(broken, clock.now)
      kept.put('probed-at', 1)
      await vi.waitFor(() => expect(setAlarm).toHaveBeenCalledTimes(1))
      kept.put('probed-at', 2)
      await vi.waitFor(() => expect(setAlarm).toHaveBeenCalledTimes(2))
    })
  })
})

describe('a sweep', () => {
  it.each([
    { name: 'nothing is over', over: 0, left: 600 },
    { name: 'half is over', over: 300, left: 300 },
    { name: 'all is over', over: 600, left: 0 },
  ])('reads a page at a time: $name', async ({ over, left }) => {
    await within(async (storage) => {
      const { kv } = storage
      for (let n = 0; n < 600; n++) {
        const expiresAt = clock.now() + (n < over ? 0 : HOUR)
        kv.put(`token:${(n * 7) % 600}`, { header: 'Bearer z', expiresAt })
      }
      const sizes: number[] = []
      const watched: ObjectStorage = {
        getAlarm: () => storage.getAlarm(),
        setAlarm: (at) => storage.setAlarm(at),
        deleteAll: () => storage.deleteAll(),
        kv: {
          get: (key) => kv.get(key),
          put: (key, value) => kv.put(key, value),
          delete: (key) => kv.delete(key),
          list: <T>(options?: SyncKvListOptions) => {
            const page = Array.from(kv.list<T>(options))
            sizes.push(page.length)
            return page
          },
        },
      }
      await sweepStorage(watched, clock.now())
      expect(Math.max(...sizes)).toBeLessThan(200)
      expect(Array.from(kv.list())).toHaveLength(left)
      expect(await storage.getAlarm()).toBe(left === 0 ? null : clock.now() + HOUR)
    })
  })
})

describe('tokens', () => {
  it.each([
    { name: 'up to so many are kept', others: MAX_TOKENS - 1, isKept: true },
    { name: 'above that one is handed out, but not kept', others: MAX_TOKENS, isKept: false },
    { name: 'nor is it where there are more already', others: MAX_TOKENS + 300, isKept: false },
  ])('$name', async ({ others, isKept }) => {
    await putTokens(others, clock.now() + HOUR)
    expect(await authorize('a/b')).toEqual({ ok: true, header: 'Bearer token-1', isNew: true })
    expect(await tokens()).toBe(others + Number(isKept))
    expect(await authorize('a/b')).toMatchObject({ ok: true, isNew: !isKept })
  })

  it('that are over make room for others before the sweep', async () => {
    await putTokens(MAX_TOKENS, clock.now() + 2 * MINUTE)
    await authorize('a/b')
    expect(await tokens()).toBe(MAX_TOKENS)
    clock.advance(2 * MINUTE)
    await authorize('a/b')
    expect(await tokens()).toBe(1)
    expect(await authorize('a/b')).toMatchObject({ ok: true, isNew: false })
  })
})
