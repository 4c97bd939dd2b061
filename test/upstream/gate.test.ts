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
import type { Authorization, Gate, GateStorage, GateStub } from '../../src/upstream/gate.ts'
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

function bearer(n: number, isNew: boolean): Authorization {
  return { ok: true, header: `Bearer token-${n}`, isNew }
}

describe('a token', () => {
  it('is used again for its repository and its identity, and for no other', async () => {
    const { gates, host } = stage()
    const [anna, bert, nobody] = gates
    expect(await anna.authorize(REPOSITORY)).toEqual(bearer(1, true))
    expect(await anna.authorize(REPOSITORY)).toEqual(bearer(1, false))
    expect(await anna.authorize(repository('a/c'))).toEqual(bearer(2, true))
    expect(await anna.authorize(repository('a'))).toEqual(bearer(3, true))
    expect(await bert.authorize(REPOSITORY)).toEqual(bearer(4, true))
    expect(await nobody.authorize(REPOSITORY)).toEqual(bearer(5, true))
    expect(await anna.authorize(REPOSITORY)).toEqual(bearer(1, false))
    expect(host.tokens).toBe(5)
  })

  it('is fetched once, however many requests need one', async () => {
    const { gates, net } = stage()
    const all = await Promise.all(Array.from({ length: 20 }, () => gates[0].authorize(REPOSITORY)))
    expect(new Set(all.map((one) => one.ok && one.header))).toEqual(new Set(['Bearer token-1']))
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual(['/v2/', '/token'])
  })

  it('is fetched once when it is refused to many', async () => {
    const { gates, host } = stage()
    await gates[0].authorize(REPOSITORY)
    const refusal = { refused: 'Bearer token-1', challenge: null }
    const all = await Promise.all(
      Array.from({ length: 20 }, () => gates[0].authorize(REPOSITORY, refusal)),
    )
    expect(new Set(all.map((one) => one.ok && one.header))).toEqual(new Set(['Bearer token-2']))
    expect(host.tokens).toBe(2)
  })

  it('that came late is not refused twice: who holds the old one is given the new one', async () => {
    const { gates, host } = stage()
    const refusal = { refused: 'Bearer token-1', challenge: null }
    await gates[0].authorize(REPOSITORY)
    await gates[0].authorize(REPOSITORY, refusal)
    expect(await gates[0].authorize(REPOSITORY, refusal)).toEqual(bearer(2, false))
    expect(host.tokens).toBe(2)
  })

  it('that could not be had is not had by those who waited, and is asked for by the next', async () => {
    const { gates, host } = stage({
      answer: (n) => (n === 1 ? new Response('', { status: 503 }) : undefined),
    })
    const all = await Promise.all([1, 2, 3].map(() => gates[0].authorize(REPOSITORY)))
    expect(all.map(({ ok }) => ok)).toEqual([false, false, false])
    expect(await gates[0].authorize(REPOSITORY)).toEqual(bearer(2, true))
    expect(host.tokens).toBe(2)
  })

  it('of a rotated password is not used for the new one', async () => {
    const net = network({ 'one.test': new TokenHost() })
    const memories = new Map<string, GateStorage>()
    const authorize = (password: string): Promise<Authorization> => {
      const upstream = upstreamFrom({ credentials: [{ username: 'anna', password }] })
      const { gateOf } = connect(upstream, { network: net, memories })
      return gateOf(upstream.credentials[0]).authorize(REPOSITORY)
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
    await gates[0].authorize(REPOSITORY)
    await gates[0].authorize(repository('c/d'))
    clock.advance(HOUR - 1)
    await gates[0].authorize(REPOSITORY)
    expect(pings(net)).toBe(1)
    clock.advance(6 * MINUTE)
    await gates[0].authorize(REPOSITORY)
    expect(pings(net)).toBe(2)
  })

  it('is learnt from a refusal without asking', async () => {
    const { gates, net } = stage()
    const challenge = 'Bearer realm="https://one.test/token",service="learnt"'
    const answer = await gates[0].authorize(REPOSITORY, { refused: undefined, challenge })
    expect(answer).toEqual(bearer(1, true))
    expect(pings(net)).toBe(0)
    expect(net.urls()[0]).toContain('service=learnt')
  })
})

describe.each([401, 403])('a credential that the token service refuses with %i', (status) => {
  const refusing: TokenHostOptions = {
    answer: (_, authorization) =>
      authorization === null ? undefined : new Response('', { status }),
  }
  const unauthorized = { ok: false, failure: { kind: 'unauthorized' } }

  it('rests for ten minutes, for every repository', async () => {
    const { gates, net } = stage(refusing)
    expect(await gates[0].authorize(REPOSITORY)).toMatchObject(unauthorized)
    net.forget()
    clock.advance(10 * MINUTE - 1)
    expect(await gates[0].authorize(REPOSITORY)).toMatchObject(unauthorized)
    expect(await gates[0].authorize(repository('c/d'))).toMatchObject(unauthorized)
    expect(net.urls()).toEqual([])
    clock.advance(1)
    await gates[0].authorize(REPOSITORY)
    expect(net.count()).toBe(1)
  })

  it('rests alone', async () => {
    const { gates, host } = stage(refusing)
    await gates[0].authorize(REPOSITORY)
    await gates[1].authorize(REPOSITORY)
    expect(host.tokens).toBe(2)
    expect(await gates[2].authorize(REPOSITORY)).toMatchObject({ ok: true })
  })
})

describe('a limit', () => {
  const closed = (retryAfter: number): object => ({
    ok: false,
    failure: { kind: 'rate-limited', retryAfter },
  })

  it('lets nothing out before it is over, tokens that are at hand included', async () => {
    const { gates, net } = stage()
    await gates[0].authorize(REPOSITORY)
    net.forget()
    await gates[0].limit(90)
    expect(await gates[0].authorize(REPOSITORY)).toEqual(closed(90))
    clock.advance(89 * SECOND + 1)
    expect(await gates[0].authorize(repository('c/d'))).toEqual(closed(1))
    expect(net.urls()).toEqual([])
    clock.advance(SECOND)
    expect(await gates[0].authorize(REPOSITORY)).toEqual(bearer(1, false))
  })

  it('holds for one credential', async () => {
    const { gates } = stage()
    await gates[0].limit(90)
    expect(await gates[1].authorize(REPOSITORY)).toMatchObject({ ok: true })
    expect(await gates[2].authorize(REPOSITORY)).toMatchObject({ ok: true })
  })

  it('is not shortened by a later answer that knows of none', async () => {
    const { gates } = stage()
    await gates[0].limit(3600)
    await gates[0].limit(60)
    expect(await gates[0].authorize(REPOSITORY)).toEqual(closed(3600))
  })
})

describe('a gate that is an object', () => {
  const GATE = { host: 'one.test', credential: undefined }

  function object(net: Network): DurableObjectStub<UpstreamGate> {
    vi.spyOn(globalThis, 'fetch').mockImplementation(net.fetch)
    return env.UPSTREAM_GATE.getByName('one.test anonymous')
  }

  it('keeps tokens, limits and the way of authenticating when it is evicted', async () => {
    const host = new TokenHost()
    const net = network({ 'one.test': host })
    const stub = object(net)
    expect(await stub.authorize(GATE, REPOSITORY, undefined)).toEqual(bearer(1, true))
    net.forget()
    await evictDurableObject(stub)
    expect(await stub.authorize(GATE, REPOSITORY, undefined)).toEqual(bearer(1, false))
    expect(net.urls()).toEqual([])
    expect(await stub.authorize(GATE, repository('c/d'), undefined)).toEqual(bearer(2, true))
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual(['/token'])
    await stub.limit(GATE, 60)
    await evictDurableObject(stub)
    expect(await stub.authorize(GATE, REPOSITORY, undefined)).toMatchObject({ ok: false })
  })

  it('fetches one token for all who ask at once', async () => {
    const host = new TokenHost()
    const stub = object(network({ 'one.test': host }))
    await Promise.all(Array.from({ length: 10 }, () => stub.authorize(GATE, REPOSITORY, undefined)))
    expect(host.tokens).toBe(1)
  })

  it('puts nothing into KV', async () => {
    const stub = object(network({ 'one.test': new TokenHost() }))
    await stub.authorize(GATE, REPOSITORY, undefined)
    expect((await env.HINTS.list()).keys).toEqual([])
  })

  it('forgets everything an hour after it was last told something', async () => {
    const stub = object(network({ 'one.test': new TokenHost() }))
    await stub.authorize(GATE, REPOSITORY, undefined)
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBe(
      clock.now() + HOUR,
    )
    await runDurableObjectAlarm(stub)
    const left = await runInDurableObject(stub, (_, { storage }) => [...storage.kv.list()])
    expect(left).toEqual([])
    expect(await stub.authorize(GATE, REPOSITORY, undefined)).toEqual(bearer(2, true))
  })
})

describe('a gate that is away', () => {
  const away: GateStub = {
    authorize: () => Promise.reject(new Error('the object was reset')),
    limit: () => Promise.reject(new Error('the object was reset')),
  }

  it('does not stop a request, which goes on alone', async () => {
    const { gates, host } = stage()
    const gate = new DistantGate(away, gates[2])
    expect(await gate.authorize(REPOSITORY)).toEqual(bearer(1, true))
    expect(await gate.authorize(REPOSITORY)).toEqual(bearer(1, false))
    expect(host.tokens).toBe(1)
  })

  it('does not undo a limit that the request itself has met', async () => {
    const { gates, net } = stage()
    const gate = new DistantGate(away, gates[2])
    await gate.limit(60)
    expect(await gate.authorize(REPOSITORY)).toMatchObject({ failure: { kind: 'rate-limited' } })
    expect(net.urls()).toEqual([])
  })

  it('is not asked twice when it answers', async () => {
    const { gates } = stage()
    const local = vi.fn<GateStub['authorize']>()
    const gate = new DistantGate(gates[2], { ...away, authorize: local })
    expect(await gate.authorize(REPOSITORY)).toEqual(bearer(1, true))
    expect(local).not.toHaveBeenCalled()
  })
})
