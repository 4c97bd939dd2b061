// The gate to an upstream: one token for everybody, and the times at which nothing may be asked.

import {
  evictDurableObject,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamGate } from '../../src/objects.ts'
import { DistantGate } from '../../src/upstream/gate.ts'
import type { GateStorage } from '../../src/upstream/gate-storage.ts'
import type { Authorization, Gate, GateStub, Report } from '../../src/upstream/gate.ts'
import type { Upstream } from '../../src/upstream/upstream.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'
import type { TokenHostOptions } from '../support/token-host.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'

const ANNA = { username: 'anna', password: 'canary' }
const BERT = { username: 'bert', password: 'canary' }
const REPOSITORY = repository('a/b')

let clock: Clock

beforeEach(() => {
  clock = stopClock()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Stage {
  readonly upstream: Upstream
  readonly host: TokenHost
  readonly net: Network
  /** The gates of Anna, of Bert and of nobody. */
  readonly gates: readonly [Gate, Gate, Gate]
}

function stage(options: TokenHostOptions = {}): Stage {
  const upstream = upstreamFrom({ credentials: [ANNA, BERT] })
  const host = new TokenHost(options)
  const net = network({ 'one.test': host })
  const { gateOf } = connect(upstream, { network: net })
  const [anna, bert] = upstream.credentials
  return { upstream, host, net, gates: [gateOf(anna), gateOf(bert), gateOf()] }
}

/** What a caller tells that was answered 429. */
function limited(retryAfter: number): Report {
  return { isCounted: false, budget: undefined, failure: { kind: 'rate-limited', retryAfter } }
}

function bearer(n: number, isNew: boolean): Authorization {
  return { ok: true, header: `Bearer token-${n}`, isNew }
}

describe('a token', () => {
  it('is used again for its repository and its identity, and for no other', async () => {
    const { gates, host } = stage()
    const [anna, bert, nobody] = gates
    expect(await anna.authorize(REPOSITORY, 'free')).toEqual(bearer(1, true))
    expect(await anna.authorize(REPOSITORY, 'free')).toEqual(bearer(1, false))
    expect(await anna.authorize(repository('a/c'), 'free')).toEqual(bearer(2, true))
    expect(await anna.authorize(repository('a'), 'free')).toEqual(bearer(3, true))
    expect(await bert.authorize(REPOSITORY, 'free')).toEqual(bearer(4, true))
    expect(await nobody.authorize(REPOSITORY, 'free')).toEqual(bearer(5, true))
    expect(await anna.authorize(REPOSITORY, 'free')).toEqual(bearer(1, false))
    expect(host.tokens).toBe(5)
  })

  it('is fetched once, however many requests need one', async () => {
    const { gates, net } = stage()
    const all = await Promise.all(
      Array.from({ length: 20 }, () => gates[0].authorize(REPOSITORY, 'free')),
    )
    expect(new Set(all.map((one) => one.ok && one.header))).toEqual(new Set(['Bearer token-1']))
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual(['/v2/', '/token'])
  })

  it('is fetched once when it is refused to many', async () => {
    const { gates, host } = stage()
    await gates[0].authorize(REPOSITORY, 'free')
    const refusal = { refused: 'Bearer token-1', challenge: null }
    const all = await Promise.all(
      Array.from({ length: 20 }, () => gates[0].authorize(REPOSITORY, 'free', refusal)),
    )
    expect(new Set(all.map((one) => one.ok && one.header))).toEqual(new Set(['Bearer token-2']))
    expect(host.tokens).toBe(2)
  })

  it('that came late is not refused twice: who holds the old one is given the new one', async () => {
    const { gates, host } = stage()
    const refusal = { refused: 'Bearer token-1', challenge: null }
    await gates[0].authorize(REPOSITORY, 'free')
    await gates[0].authorize(REPOSITORY, 'free', refusal)
    expect(await gates[0].authorize(REPOSITORY, 'free', refusal)).toEqual(bearer(2, false))
    expect(host.tokens).toBe(2)
  })

  it('made because another was refused, and refused itself, is not replaced again for a minute', async () => {
    const { gates, host } = stage()
    await gates[0].authorize(REPOSITORY, 'free')
    const refuse = (token: number) =>
      gates[0].authorize(REPOSITORY, 'free', { refused: `Bearer token-${token}`, challenge: null })
    expect(await refuse(1)).toEqual(bearer(2, true))
    clock.advance(60 * SECOND - 1)
    expect(await refuse(2)).toEqual(bearer(2, false))
    expect(host.tokens).toBe(2)
    clock.advance(1)
    expect(await refuse(2)).toEqual(bearer(3, true))
  })

  it('that could not be had is not had by those who waited, and is asked for by the next', async () => {
    const { gates, host } = stage({
      answer: (n) => (n === 1 ? new Response('', { status: 503 }) : undefined),
    })
    const all = await Promise.all([1, 2, 3].map(() => gates[0].authorize(REPOSITORY, 'free')))
    expect(all.map(({ ok }) => ok)).toEqual([false, false, false])
    expect(await gates[0].authorize(REPOSITORY, 'free')).toEqual(bearer(2, true))
    expect(host.tokens).toBe(2)
  })

  it('of a rotated password is not used for the new one', async () => {
    const net = network({ 'one.test': new TokenHost() })
    const memories = new Map<string, GateStorage>()
    const authorize = (password: string): Promise<Authorization> => {
      const upstream = upstreamFrom({ credentials: [{ username: 'anna', password }] })
      const { gateOf } = connect(upstream, { network: net, memories })
      return gateOf(upstream.credentials[0]).authorize(REPOSITORY, 'free')
    }
    expect(await authorize('old')).toEqual(bearer(1, true))
    expect(await authorize('old')).toEqual(bearer(1, false))
    expect(await authorize('new')).toEqual(bearer(2, true))
    expect([...memories.keys()].join(' ')).not.toMatch(/old|new|anna/)
  })
})

describe('the way of authenticating', () => {
  const pings = (net: Network): number =>
    net.urls().filter((url) => new URL(url).pathname === '/v2/').length

  it('is asked once an hour', async () => {
    const { gates, net } = stage()
    await gates[0].authorize(REPOSITORY, 'free')
    await gates[0].authorize(repository('c/d'), 'free')
    clock.advance(HOUR - 1)
    await gates[0].authorize(REPOSITORY, 'free')
    expect(pings(net)).toBe(1)
    clock.advance(6 * MINUTE)
    await gates[0].authorize(REPOSITORY, 'free')
    expect(pings(net)).toBe(2)
  })

  it('is learnt from a refusal without asking', async () => {
    const { gates, net } = stage()
    const challenge = 'Bearer realm="https://one.test/token",service="learnt"'
    const answer = await gates[0].authorize(REPOSITORY, 'free', { refused: undefined, challenge })
    expect(answer).toEqual(bearer(1, true))
    expect(pings(net)).toBe(0)
    expect(net.urls()[0]).toContain('service=learnt')
  })
})

/** Gives tokens to nobody alone. */
function refusing(status: number): TokenHostOptions {
  return {
    answer: (_, authorization) =>
      authorization === null ? undefined : new Response('', { status }),
  }
}

describe('a credential that the token service refuses with 401', () => {
  const unauthorized = { ok: false, failure: { kind: 'unauthorized' } }

  it('rests for ten minutes, for every repository', async () => {
    const { gates, net } = stage(refusing(401))
    expect(await gates[0].authorize(REPOSITORY, 'free')).toMatchObject(unauthorized)
    net.forget()
    clock.advance(10 * MINUTE - 1)
    expect(await gates[0].authorize(REPOSITORY, 'free')).toMatchObject(unauthorized)
    expect(await gates[0].authorize(repository('c/d'), 'free')).toMatchObject(unauthorized)
    expect(net.urls()).toEqual([])
    clock.advance(1)
    await gates[0].authorize(REPOSITORY, 'free')
    expect(net.count()).toBe(1)
  })

  it('rests alone', async () => {
    const { gates, host } = stage(refusing(401))
    await gates[0].authorize(REPOSITORY, 'free')
    await gates[1].authorize(REPOSITORY, 'free')
    expect(host.tokens).toBe(2)
    expect(await gates[2].authorize(REPOSITORY, 'free')).toMatchObject({ ok: true })
  })
})

describe('a credential that the token service refuses a repository with 403', () => {
  it('is denied that repository, and does not rest', async () => {
    const { gates, host } = stage({
      answer: (n) => (n === 1 ? new Response('', { status: 403 }) : undefined),
    })
    const [anna] = gates
    expect(await anna.authorize(REPOSITORY, 'free')).toMatchObject({ failure: { kind: 'denied' } })
    expect(await anna.authorize(repository('c/d'), 'free')).toEqual(bearer(2, true))
    expect(await anna.authorize(REPOSITORY, 'free')).toEqual(bearer(3, true))
    expect(host.tokens).toBe(3)
    expect(anna.status()).toMatchObject({ restingUntil: undefined, lastError: undefined })
  })
})

describe('a limit', () => {
  const closed = (retryAfter: number): object => ({
    ok: false,
    failure: { kind: 'rate-limited', retryAfter },
  })

  it('lets nothing out before it is over, tokens that are at hand included', async () => {
    const { gates, net } = stage()
    await gates[0].authorize(REPOSITORY, 'free')
    net.forget()
    await gates[0].report(limited(90))
    expect(await gates[0].authorize(REPOSITORY, 'free')).toEqual(closed(90))
    clock.advance(89 * SECOND + 1)
    expect(await gates[0].authorize(repository('c/d'), 'free')).toEqual(closed(1))
    expect(net.urls()).toEqual([])
    clock.advance(SECOND)
    expect(await gates[0].authorize(REPOSITORY, 'free')).toEqual(bearer(1, false))
  })

  it('holds for one credential', async () => {
    const { gates } = stage()
    await gates[0].report(limited(90))
    expect(await gates[1].authorize(REPOSITORY, 'free')).toMatchObject({ ok: true })
    expect(await gates[2].authorize(REPOSITORY, 'free')).toMatchObject({ ok: true })
  })

  it('is not shortened by a later answer that knows of none', async () => {
    const { gates } = stage()
    await gates[0].report(limited(3600))
    await gates[0].report(limited(60))
    expect(await gates[0].authorize(REPOSITORY, 'free')).toEqual(closed(3600))
  })
})

describe('a gate that is an object', () => {
  const GATE = { upstream: 'one.test', credential: undefined }

  function object(net: Network): DurableObjectStub<UpstreamGate> {
    vi.spyOn(globalThis, 'fetch').mockImplementation(net.fetch)
    return env.UPSTREAM_GATE.getByName('one.test anonymous')
  }

  it('keeps tokens, limits and the way of authenticating when it is evicted', async () => {
    const host = new TokenHost()
    const net = network({ 'one.test': host })
    const stub = object(net)
    expect(await stub.authorize(GATE, REPOSITORY, 'free', undefined)).toEqual(bearer(1, true))
    net.forget()
    await evictDurableObject(stub)
    expect(await stub.authorize(GATE, REPOSITORY, 'free', undefined)).toEqual(bearer(1, false))
    expect(net.urls()).toEqual([])
    expect(await stub.authorize(GATE, repository('c/d'), 'free', undefined)).toEqual(
      bearer(2, true),
    )
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual(['/token'])
    await stub.report(GATE, limited(60))
    await evictDurableObject(stub)
    expect(await stub.authorize(GATE, REPOSITORY, 'free', undefined)).toMatchObject({ ok: false })
  })

  it('fetches one token for all who ask at once', async () => {
    const host = new TokenHost()
    const stub = object(network({ 'one.test': host }))
    await Promise.all(
      Array.from({ length: 10 }, () => stub.authorize(GATE, REPOSITORY, 'free', undefined)),
    )
    expect(host.tokens).toBe(1)
  })

  it('puts nothing into KV', async () => {
    const stub = object(network({ 'one.test': new TokenHost() }))
    await stub.authorize(GATE, REPOSITORY, 'free', undefined)
    expect((await env.HINTS.list()).keys).toEqual([])
  })

  /** Everything that it keeps beside the version of its keys, by the kind of key. */
  function kept(stub: DurableObjectStub<UpstreamGate>): Promise<string[]> {
    return runInDurableObject(stub, (_, { storage }) =>
      Array.from(storage.kv.list(), ([key]) => key.split(':')[0] ?? '').filter(
        (key) => key !== '~schema',
      ),
    )
  }

  it('forgets everything an hour after it was last told something', async () => {
    const stub = object(network({ 'one.test': new TokenHost() }))
    await stub.authorize(GATE, REPOSITORY, 'free', undefined)
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBe(
      clock.now() + HOUR,
    )
    clock.advance(HOUR)
    await runDurableObjectAlarm(stub)
    expect(await kept(stub)).toEqual([])
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBeNull()
    expect(await stub.authorize(GATE, REPOSITORY, 'free', undefined)).toEqual(bearer(2, true))
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBe(
      clock.now() + HOUR,
    )
  })

  it('keeps what still counts when it sweeps, and sweeps again', async () => {
    const stub = object(network({ 'one.test': new TokenHost() }))
    await stub.authorize(GATE, REPOSITORY, 'free', undefined)
    clock.advance(HOUR - 1)
    const budget = { limit: 100, remaining: 9, window: 6 * HOUR, at: clock.now() }
    await stub.report(GATE, { ...limited(3600), budget })
    clock.advance(1)
    await runDurableObjectAlarm(stub)
    expect(await kept(stub)).toEqual(['budget', 'last-error', 'limited-until'])
    expect(await stub.authorize(GATE, REPOSITORY, 'free', undefined)).toMatchObject({ ok: false })
    clock.advance(HOUR)
    await runDurableObjectAlarm(stub)
    expect(await kept(stub)).toEqual(['budget', 'last-error'])
    clock.advance(6 * HOUR)
    await runDurableObjectAlarm(stub)
    expect(await kept(stub)).toEqual(['last-error'])
    clock.advance(24 * HOUR)
    await runDurableObjectAlarm(stub)
    expect(await kept(stub)).toEqual([])
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBeNull()
  })
})

describe('a gate that is away', () => {
  const away: GateStub = {
    authorize: () => Promise.reject(new Error('the object was reset')),
    report: () => Promise.reject(new Error('the object was reset')),
    standing: () => Promise.reject(new Error('the object was reset')),
  }

  it('does not stop a request, which goes on alone', async () => {
    const { gates, host } = stage()
    const gate = new DistantGate(away, gates[2])
    expect(await gate.authorize(REPOSITORY, 'free')).toEqual(bearer(1, true))
    expect(await gate.authorize(REPOSITORY, 'free')).toEqual(bearer(1, false))
    expect(host.tokens).toBe(1)
  })

  it('does not undo a limit that the request itself has met', async () => {
    const { gates, net } = stage()
    const gate = new DistantGate(away, gates[2])
    await gate.report(limited(60))
    expect(await gate.authorize(REPOSITORY, 'free')).toMatchObject({
      failure: { kind: 'rate-limited' },
    })
    expect(net.urls()).toEqual([])
  })

  it('is not asked twice when it answers', async () => {
    const { gates } = stage()
    const local = vi.fn<GateStub['authorize']>()
    const gate = new DistantGate(gates[2], { ...away, authorize: local })
    expect(await gate.authorize(REPOSITORY, 'free')).toEqual(bearer(1, true))
    expect(local).not.toHaveBeenCalled()
  })
})
