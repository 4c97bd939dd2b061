// The budget that a gate keeps: how many requests go out, what happens at zero, and what an operator sees.

import { evictDurableObject, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import type { Authorization, Gate, Purpose, Report } from '../../src/upstream/gate.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'
import type { TokenHostOptions } from '../support/token-host.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'

const ANNA = { username: 'anna', password: 'canary' }
const REPOSITORY = repository('a/b')
const PURPOSES: readonly Purpose[] = ['counted', 'check', 'free']

let clock: Clock

beforeEach(() => {
  clock = stopClock()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Stage {
  readonly net: Network
  readonly host: TokenHost
  readonly anna: Gate
  readonly nobody: Gate
}

function stage(options: TokenHostOptions = {}): Stage {
  const upstream = upstreamFrom({ credentials: [ANNA] })
  const host = new TokenHost(options)
  const net = network({ 'one.test': host })
  const { gateOf } = connect(upstream, { network: net })
  return { net, host, anna: gateOf(upstream.credentials[0]), nobody: gateOf() }
}

/** What a caller tells whose answer said that so much of 100 is left. */
function left(remaining: number, changed: Partial<Report> = {}): Report {
  const budget = { limit: 100, remaining, window: 6 * HOUR, at: clock.now() }
  return { isCounted: false, budget, failure: undefined, ...changed }
}

function failed(failure: UpstreamFailure): Report {
  return { isCounted: false, budget: undefined, failure }
}

function limited(retryAfter: number): object {
  return { ok: false, failure: { kind: 'rate-limited', retryAfter } }
}

/** Asks so often at once; how many may go out. */
async function passed(gate: Gate, times: number, purpose: Purpose = 'counted'): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: times }, () => gate.authorize(REPOSITORY, purpose)),
  )
  return answers.filter(({ ok }) => ok).length
}

describe('at zero', () => {
  it('nothing that counts goes out, token requests neither', async () => {
    const { anna, net } = stage()
    await anna.report(left(0))
    expect(await anna.authorize(REPOSITORY, 'counted')).toEqual(limited(60))
    expect(await anna.authorize(REPOSITORY, 'check')).toEqual(limited(60))
    expect(net.urls()).toEqual([])
  })

  it('blobs and listings still go out', async () => {
    const { anna } = stage()
    await anna.report(left(0))
    expect(await anna.authorize(REPOSITORY, 'free')).toMatchObject({ ok: true })
  })

  it('one request a minute finds out whether there is a budget again', async () => {
    const { anna } = stage()
    await anna.report(left(0))
    clock.advance(MINUTE - 1)
    expect(await passed(anna, 5)).toBe(0)
    for (let minute = 0; minute < 3; minute++) {
      clock.advance(minute === 0 ? 1 : MINUTE)
      expect(await passed(anna, 5)).toBe(1)
      expect(await passed(anna, 5, 'check')).toBe(0)
      await anna.report(left(0, { isCounted: true }))
    }
    clock.advance(MINUTE)
    expect(await passed(anna, 5, 'check')).toBe(1)
    await anna.report(left(100))
    expect(await passed(anna, 5)).toBe(5)
  })

  it('a request that found out is not one more a minute after it was answered', async () => {
    const { anna } = stage()
    await anna.report(left(0))
    clock.advance(MINUTE)
    expect(await passed(anna, 1)).toBe(1)
    clock.advance(MINUTE - 1)
    expect(await anna.authorize(REPOSITORY, 'counted')).toEqual(limited(1))
  })

  it('all goes out again once the window is over', async () => {
    const { anna } = stage()
    await anna.report({
      ...left(0),
      budget: { limit: 9, remaining: 0, window: 30_000, at: clock.now() },
    })
    expect(await passed(anna, 3)).toBe(0)
    clock.advance(30 * SECOND)
    expect(await passed(anna, 3)).toBe(3)
  })

  it('nobody is not stopped: the budget is that of an address', async () => {
    const { nobody } = stage()
    await nobody.report(left(0))
    expect(await passed(nobody, 20)).toBe(20)
    expect(await nobody.standing()).toEqual({ remaining: Infinity, stretch: 1 })
  })
})

describe('counting down', () => {
  it('lets out as many as are left, one after the other', async () => {
    const { anna } = stage()
    let remaining = 5
    await anna.report(left(remaining))
    let sent = 0
    while ((await passed(anna, 1)) === 1) {
      sent += 1
      remaining -= 1
      clock.advance(1)
      await anna.report(left(remaining, { isCounted: true }))
    }
    expect(sent).toBe(5)
  })

  it.each([0, 1, 3, 10])('lets %i of ten at once out when so many are left', async (remaining) => {
    const { anna } = stage()
    await anna.report(left(remaining))
    expect(await passed(anna, 10)).toBe(remaining)
  })

  it('lets no more out when it was told of the budget long ago', async () => {
    const { anna } = stage()
    await anna.report(left(3))
    clock.advance(HOUR)
    expect(await passed(anna, 10)).toBe(3)
    expect(await passed(anna, 10)).toBe(0)
  })

  it('lets no more out when all wait for one token', async () => {
    const token = Promise.withResolvers<Response>()
    const { anna, host } = stage({ answer: () => token.promise })
    await anna.report(left(3))
    const all = passed(anna, 10)
    token.resolve(Response.json({ token: 't', expires_in: 300 }))
    expect(await all).toBe(3)
    expect(host.tokens).toBe(1)
  })

  it('says when the first that is out counts no more, if nobody reports it', async () => {
    const { anna } = stage()
    await anna.report(left(2))
    expect(await passed(anna, 1)).toBe(1)
    clock.advance(10 * SECOND)
    expect(await passed(anna, 2)).toBe(1)
    expect(await anna.authorize(REPOSITORY, 'counted')).toEqual(limited(20))
    clock.advance(20 * SECOND - 1)
    expect(await passed(anna, 2)).toBe(0)
    clock.advance(1)
    expect(await passed(anna, 2)).toBe(1)
    clock.advance(30 * SECOND)
    expect(await passed(anna, 9)).toBe(2)
  })

  it('counts one that is reported only in what the upstream says', async () => {
    const { anna } = stage()
    await anna.report(left(2))
    expect(await passed(anna, 2)).toBe(2)
    clock.advance(1)
    await anna.report(left(1, { isCounted: true }))
    expect(await passed(anna, 1)).toBe(0)
    // The other one failed before it was sent, so what was left then still is.
    await anna.report({ isCounted: true, budget: undefined, failure: undefined })
    expect(await passed(anna, 2)).toBe(1)
  })

  it('takes nothing for checks and for what is free', async () => {
    const { anna } = stage()
    await anna.report(left(1))
    expect(await passed(anna, 5, 'check')).toBe(5)
    expect(await passed(anna, 5, 'free')).toBe(5)
    expect(await passed(anna, 5)).toBe(1)
  })

  it('takes nothing for the second try of a request whose token was refused', async () => {
    const { anna } = stage()
    await anna.report(left(1))
    expect(await anna.authorize(REPOSITORY, 'counted')).toMatchObject({ ok: true })
    const refusal = { refused: 'Bearer token-1', challenge: null }
    const again = await anna.authorize(REPOSITORY, 'counted', refusal)
    expect(again).toMatchObject({ ok: true, header: 'Bearer token-2' })
  })

  it('believes of two answers the one that came later, whichever is told first', async () => {
    const { anna } = stage()
    const early = left(7)
    clock.advance(1)
    const late = left(6)
    await anna.report(late)
    await anna.report(early)
    expect((await anna.standing()).remaining).toBe(6)
  })

  it('counts nothing where nobody has told of a budget', async () => {
    const { anna } = stage()
    expect(await passed(anna, 50)).toBe(50)
  })
})

describe('a Retry-After', () => {
  it.each(PURPOSES)('stops what is %s until it is over', async (purpose) => {
    const { anna, net } = stage()
    await anna.authorize(REPOSITORY, 'free')
    net.forget()
    await anna.report(failed({ kind: 'rate-limited', retryAfter: 90 }))
    expect(await anna.authorize(REPOSITORY, purpose)).toEqual(limited(90))
    clock.advance(90 * SECOND - 1)
    const refusal = { refused: 'Bearer token-1', challenge: null }
    expect(await anna.authorize(REPOSITORY, purpose, refusal)).toEqual(limited(1))
    expect(net.urls()).toEqual([])
    clock.advance(1)
    expect(await anna.authorize(REPOSITORY, purpose)).toMatchObject({ ok: true })
  })

  it('stops nobody as well', async () => {
    const { nobody, net } = stage()
    await nobody.report(failed({ kind: 'rate-limited', retryAfter: 90 }))
    expect(await nobody.authorize(REPOSITORY, 'free')).toEqual(limited(90))
    expect(net.urls()).toEqual([])
  })

  it('holds though a budget is told meanwhile', async () => {
    const { anna } = stage()
    await anna.report(left(50, { failure: { kind: 'rate-limited', retryAfter: 90 } }))
    expect(await passed(anna, 1)).toBe(0)
    expect(await anna.standing()).toEqual({ remaining: 0, stretch: 1 })
  })
})

describe('how a gate stands', () => {
  it.each([
    { remaining: 100, stretch: 1 },
    { remaining: 30, stretch: 2 },
    { remaining: 5, stretch: 12 },
    { remaining: 0, stretch: 12 },
  ])('with $remaining left', async ({ remaining, stretch }) => {
    const { anna } = stage()
    await anna.report(left(remaining))
    expect(await anna.standing()).toEqual({ remaining, stretch })
  })

  it('without a budget, and with requests on their way', async () => {
    const { anna } = stage()
    expect(await anna.standing()).toEqual({ remaining: Infinity, stretch: 1 })
    await anna.report(left(60))
    await passed(anna, 15)
    expect(await anna.standing()).toEqual({ remaining: 45, stretch: 1 })
  })

  it('while its credential rests: with nothing', async () => {
    const { anna } = stage({ answer: () => new Response('', { status: 401 }) })
    await anna.authorize(REPOSITORY, 'free')
    expect((await anna.standing()).remaining).toBe(0)
  })

  it('is seen by an operator: nothing known', () => {
    expect(stage().anna.status()).toEqual({
      budget: undefined,
      limitedUntil: undefined,
      restingUntil: undefined,
      nextAttempt: undefined,
      lastError: undefined,
    })
  })

  it('is seen by an operator: a budget, an empty one, a limit, until each is over', async () => {
    const { anna } = stage()
    const now = clock.now()
    await anna.report(left(7))
    expect(anna.status()).toMatchObject({
      budget: { limit: 100, remaining: 7 },
      nextAttempt: undefined,
    })
    clock.advance(1)
    await anna.report(left(0))
    expect(anna.status()).toMatchObject({ budget: { remaining: 0 }, nextAttempt: now + 1 + MINUTE })
    await anna.report(failed({ kind: 'rate-limited', retryAfter: 90 }))
    const until = now + 1 + 90 * SECOND
    expect(anna.status()).toMatchObject({
      limitedUntil: until,
      restingUntil: undefined,
      nextAttempt: until,
      lastError: { at: now + 1, reason: 'rate-limited' },
    })
    clock.advance(90 * SECOND)
    expect(anna.status()).toMatchObject({ limitedUntil: undefined, nextAttempt: undefined })
    clock.advance(6 * HOUR)
    expect(anna.status().budget).toBeUndefined()
  })

  it('is seen by an operator: a credential that rests', async () => {
    const { anna } = stage({ answer: () => new Response('', { status: 401 }) })
    await anna.authorize(REPOSITORY, 'free')
    const until = clock.now() + 10 * MINUTE
    const reason = 'the credential for one.test was refused'
    expect(anna.status()).toMatchObject({
      restingUntil: until,
      nextAttempt: until,
      lastError: { at: clock.now(), reason },
    })
    // Whoever had a request on its way meanwhile hears it from the gate, and must not make it rest longer.
    clock.advance(MINUTE)
    await anna.report(failed({ kind: 'unauthorized', reason }))
    expect(anna.status().restingUntil).toBe(until)
  })

  it.each([
    { kind: 'not-found' },
    { kind: 'denied', reason: 'one.test refuses this repository' },
  ] as const)('is not touched by what is said of one repository: $kind', async (failure) => {
    const { anna } = stage()
    await anna.report(failed(failure))
    expect(anna.status().lastError).toBeUndefined()
    expect(await passed(anna, 1)).toBe(1)
  })

  it.each([
    { kind: 'unavailable', isTimeout: false, reason: 'one.test answered 503' },
    { kind: 'invalid', reason: 'one.test answered 302' },
  ] as const)('keeps the last error, which stops nothing: $kind', async (failure) => {
    const { anna } = stage()
    await anna.report(failed(failure))
    expect(anna.status()).toMatchObject({
      lastError: { reason: failure.reason },
      nextAttempt: undefined,
    })
    expect(await passed(anna, 1)).toBe(1)
  })
})

describe('the way of authenticating', () => {
  it('is asked once, however many repositories wait for the answer', async () => {
    const { anna, net } = stage()
    const names = Array.from({ length: 20 }, (_, n) => repository(`a/${n}`))
    const all = await Promise.all(names.map((name) => anna.authorize(name, 'counted')))
    expect(all.every(({ ok }) => ok)).toBe(true)
    expect(net.urls().filter((url) => url.endsWith('/v2/'))).toHaveLength(1)
    expect(new Set(all.map((one: Authorization) => one.ok && one.header)).size).toBe(20)
  })

  it('that could not be asked is told to all who waited, and is asked by the next', async () => {
    let isDown = true
    const host = new TokenHost()
    const upstream = upstreamFrom()
    const net = network({
      'one.test': async (url, init) =>
        isDown ? new Response('', { status: 503 }) : host.fetch(url, init),
    })
    const gate = connect(upstream, { network: net }).gateOf()
    const names = ['a/1', 'a/2', 'a/3'].map(repository)
    const all = await Promise.all(names.map((name) => gate.authorize(name, 'free')))
    expect(all.map(({ ok }) => ok)).toEqual([false, false, false])
    expect(net.count()).toBe(1)
    isDown = false
    expect(await gate.authorize(REPOSITORY, 'free')).toMatchObject({ ok: true })
  })
})

describe('a gate that is an object', () => {
  const NAME = { upstream: 'login.test', credential: '' }

  /** The id of the one credential that the test's bindings have. */
  function named(): typeof NAME {
    const login = { username: 'mirror', password: 'canary-password' }
    const { credentials } = upstreamFrom({ host: 'login.test', credentials: [login] })
    return { ...NAME, credential: credentials[0]?.id ?? expect.fail('no credential') }
  }

  it('keeps its budget, its limit, its probe and its last error when it is evicted', async () => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(
      network({ 'login.test': new TokenHost() }).fetch,
    )
    const name = named()
    const stub = env.UPSTREAM_GATE.getByName(`login.test ${name.credential}`)
    await stub.report(name, left(0))
    await evictDurableObject(stub)
    expect(await stub.authorize(name, REPOSITORY, 'counted', undefined)).toEqual(limited(60))
    clock.advance(MINUTE)
    expect(await stub.authorize(name, REPOSITORY, 'check', undefined)).toMatchObject({ ok: true })
    await evictDurableObject(stub)
    expect(await stub.authorize(name, REPOSITORY, 'check', undefined)).toEqual(limited(60))
    await stub.report(name, failed({ kind: 'rate-limited', retryAfter: 300 }))
    await evictDurableObject(stub)
    expect(await stub.authorize(name, REPOSITORY, 'free', undefined)).toEqual(limited(300))
    expect(await stub.standing(name)).toEqual({ remaining: 0, stretch: 12 })
    expect(await stub.status(name)).toMatchObject({
      budget: { limit: 100, remaining: 0 },
      nextAttempt: clock.now() + 300 * SECOND,
      lastError: { reason: 'rate-limited' },
    })
  })

  it('says that nothing limits it over RPC too', async () => {
    const name = named()
    const stub = env.UPSTREAM_GATE.getByName(`login.test ${name.credential}`)
    expect(await stub.standing(name)).toEqual({ remaining: Infinity, stretch: 1 })
  })
})
