// As whom a request is sent when budgets differ or are used up, and what gates are told of the answers.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { RateLimit } from '../../cli/upstream-registry.ts'
import type { UpstreamRequest } from '../../src/upstream/client.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import { DistantGate } from '../../src/upstream/gate.ts'
import type { GateStub, Report } from '../../src/upstream/gate.ts'
import { AccountLimits } from '../support/account-limits.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'
import type { Connection, UpstreamSettings } from '../support/upstream-client.ts'

const ACCOUNTS = { anna: 'canary', bert: 'canary', carl: 'canary' }
const LOGINS = Object.entries(ACCOUNTS).map(([username, password]) => ({ username, password }))
const EVE = { username: 'eve', password: 'wrong' }

let clock: Clock

beforeEach(() => {
  clock = stopClock()
})

afterEach(() => {
  vi.restoreAllMocks()
})

interface Stage extends Connection {
  readonly host: AccountLimits
  readonly net: Network
  readonly send: (changed?: Partial<UpstreamRequest>) => Promise<Response>
}

/** `one.test` with an image `a/b:latest` and limits by account. */
async function stage(
  limits: Record<string, RateLimit>,
  settings: UpstreamSettings = {},
): Promise<Stage> {
  const host = new AccountLimits(ACCOUNTS, limits)
  await addSample(host.sample, 'a/b', await sampleImage(), 'latest')
  const net = network({ 'one.test': host })
  const connection = connect(upstreamFrom({ credentials: LOGINS, ...settings }), { network: net })
  return { ...connection, host, net, send: sender(connection.client, connection) }
}

function sender(client: UpstreamClient, { settle }: Connection): Stage['send'] {
  return async (changed = {}) => {
    clock.advance(1)
    try {
      return await client.send({
        method: 'GET',
        repository: repository('a/b'),
        path: 'manifests/latest',
        purpose: 'counted',
        deadline: clock.now() + 20 * SECOND,
        ...changed,
      })
    } finally {
      await settle()
    }
  }
}

function limit(remaining: number, more: Partial<RateLimit> = {}): RateLimit {
  return { limit: 100, remaining, ...more }
}

describe('of several credentials', () => {
  it('the one with most budget is asked first, and the others as it falls', async () => {
    const { host, send } = await stage({ anna: limit(3), bert: limit(7), carl: limit(5) })
    // Nobody knows yet; the order of the configuration counts, and those of whom nothing is known come first.
    for (let n = 0; n < 3; n++) await send()
    expect(host.asked).toEqual(['GET anna', 'GET bert', 'GET carl'])
    host.asked.length = 0
    for (let n = 0; n < 12; n++) expect((await send()).status).toBe(200)
    expect(host.limits).toMatchObject({
      anna: { remaining: 0 },
      bert: { remaining: 0 },
      carl: { remaining: 0 },
    })
    expect(host.asked.slice(0, 3)).toEqual(['GET bert', 'GET bert', 'GET bert'])
  })

  it('each is asked as often as it may, then nothing goes out, as nobody neither', async () => {
    const { host, net, send } = await stage(
      { anna: limit(2), bert: limit(3) },
      {
        credentials: LOGINS.slice(0, 2),
      },
    )
    for (let n = 0; n < 5; n++) expect((await send()).status).toBe(200)
    net.forget()
    expect(await failureFrom(send())).toMatchObject({ kind: 'rate-limited' })
    expect(await failureFrom(send({ method: 'HEAD', purpose: 'check' }))).toMatchObject({
      kind: 'rate-limited',
    })
    expect(net.urls()).toEqual([])
    expect(host.asked.every((one) => one.endsWith('anna') || one.endsWith('bert'))).toBe(true)
    expect((await send({ purpose: 'free', path: 'tags/list' })).status).toBe(200)
  })

  it('one that is rate-limited yields to the next within the request', async () => {
    const { host, send } = await stage({ anna: limit(0, { retryAfter: 120 }), bert: limit(9) })
    expect((await send()).status).toBe(200)
    expect(host.asked).toEqual(['GET anna', 'GET bert'])
    host.asked.length = 0
    expect((await send()).status).toBe(200)
    expect(host.asked).not.toContain('GET anna')
  })

  it('the first that is free again is what a client is told to wait for', async () => {
    const { send } = await stage(
      { anna: limit(0, { retryAfter: 300 }), bert: limit(0, { retryAfter: 90 }) },
      { credentials: LOGINS.slice(0, 2) },
    )
    expect(await failureFrom(send())).toEqual({ kind: 'rate-limited', retryAfter: 90 })
  })

  it.each([
    { name: 'first', credentials: [EVE, ...LOGINS.slice(0, 1)] },
    { name: 'last', credentials: [...LOGINS.slice(0, 1), EVE] },
  ])(
    'a refused one that comes $name does not hide that the other is limited',
    async ({ credentials }) => {
      const { host, send } = await stage({ anna: limit(0, { retryAfter: 90 }) }, { credentials })
      expect(await failureFrom(send())).toEqual({ kind: 'rate-limited', retryAfter: 90 })
      expect(host.asked).toEqual(['GET anna'])
    },
  )

  it('one that rests is asked last', async () => {
    const { host, net, send } = await stage(
      { bert: limit(1) },
      { credentials: [EVE, ...LOGINS.slice(1, 2)] },
    )
    await send()
    net.forget()
    expect(await failureFrom(send())).toMatchObject({ kind: 'rate-limited' })
    expect(net.urls()).toEqual([])
    expect(host.asked).toEqual(['GET bert'])
  })

  it('TTLs follow the best', async () => {
    const { client, send } = await stage(
      { anna: limit(6), bert: limit(31) },
      {
        credentials: LOGINS.slice(0, 2),
      },
    )
    expect(await client.stretch()).toBe(1)
    await send()
    expect(await client.stretch()).toBe(1)
    await send()
    expect(await client.stretch()).toBe(2)
  })
})

describe('nobody', () => {
  it('is neither ordered, nor stopped at zero, nor a reason to stretch', async () => {
    const { client, host, send } = await stage({ nobody: limit(1) }, { credentials: [] })
    expect((await send()).status).toBe(200)
    expect(await client.stretch()).toBe(1)
    host.limits['nobody'] = limit(1)
    expect((await send()).status).toBe(200)
    host.limits['nobody'] = limit(0, { retryAfter: 60 })
    expect(await failureFrom(send())).toEqual({ kind: 'rate-limited', retryAfter: 60 })
    host.asked.length = 0
    expect(await failureFrom(send())).toMatchObject({ kind: 'rate-limited' })
    expect(host.asked).toEqual([])
  })
})

describe('a gate is told', () => {
  const ANNA = { credentials: LOGINS.slice(0, 1) }

  /** A client whose reports to Anna's gate are recorded, and held until told otherwise. */
  async function recorded(
    limits: Record<string, RateLimit>,
    until: Promise<void> = Promise.resolve(),
  ): Promise<Stage & { readonly reports: Report[] }> {
    const given = await stage(limits, ANNA)
    const reports: Report[] = []
    const { outbound, gateOf, upstream } = given
    const client = new UpstreamClient(upstream, {
      outbound,
      now: () => clock.now(),
      defer: () => undefined,
      gateOf: (_, credential) => {
        const gate = gateOf(credential)
        return {
          authorize: (...asked) => gate.authorize(...asked),
          standing: () => gate.standing(),
          report: async (report) => {
            reports.push(report)
            await until
            await gate.report(report)
          },
        }
      },
    })
    return { ...given, client, reports, send: sender(client, given) }
  }

  it('of a 429 before the request is over', async () => {
    const told = Promise.withResolvers<void>()
    const { send, gateOf, upstream, reports } = await recorded(
      { anna: limit(0, { retryAfter: 90 }) },
      told.promise,
    )
    let isOver = false
    const failing = failureFrom(send()).finally(() => (isOver = true))
    await vi.waitFor(() => expect(reports).toHaveLength(1))
    expect(isOver).toBe(false)
    told.resolve()
    expect(await failing).toEqual({ kind: 'rate-limited', retryAfter: 90 })
    expect(gateOf(upstream.credentials[0]).status()).toMatchObject({
      budget: { limit: 100, remaining: 0 },
      limitedUntil: clock.now() + 90 * SECOND,
    })
  })

  it('of a budget after the request is over', async () => {
    const { send, reports } = await recorded({ anna: limit(50) }, new Promise(() => undefined))
    expect((await send()).status).toBe(200)
    expect(reports).toEqual([
      {
        isCounted: true,
        budget: { limit: 100, remaining: 49, window: 6 * HOUR, at: clock.now() },
        failure: undefined,
      },
    ])
  })

  it('nothing of an answer that says nothing', async () => {
    const { send, reports } = await recorded({})
    await send({ purpose: 'check', method: 'HEAD' })
    await send({ purpose: 'free', path: 'tags/list' })
    expect(reports).toEqual([])
  })

  it('that a counted request is over, though it brought no budget, or failed', async () => {
    const { host, send, reports } = await recorded({})
    await send()
    host.sample.fault({ on: { kind: 'manifest' }, times: 1, do: { refuse: true } })
    await failureFrom(send())
    host.sample.fault({ on: { kind: 'manifest' }, times: 1, do: { status: 404 } })
    await failureFrom(send())
    expect(reports.map(({ isCounted }) => isCounted)).toEqual([true, true, true])
    expect(reports.map(({ failure }) => failure?.kind)).toEqual([
      undefined,
      'unavailable',
      'not-found',
    ])
  })

  it('of a failure in our words, with no word of the upstream', async () => {
    const { host, send, reports } = await recorded({})
    host.sample.fault({ on: { kind: 'manifest' }, do: { status: 503, body: 'canary-body' } })
    await failureFrom(send())
    expect(JSON.stringify(reports)).not.toContain('canary')
    expect(reports[0]?.failure).toMatchObject({
      kind: 'unavailable',
      reason: 'one.test answered 503',
    })
  })
})

describe('when the gate is away', () => {
  const reset = (): Promise<never> => Promise.reject(new Error('the object was reset'))
  const away: GateStub = { authorize: reset, report: reset, standing: reset }

  async function alone(
    limits: Record<string, RateLimit>,
    credentials = LOGINS.slice(0, 1),
  ): Promise<Stage> {
    const given = await stage(limits, { credentials })
    const { outbound, gateOf, upstream } = given
    const client = new UpstreamClient(upstream, {
      outbound,
      now: () => clock.now(),
      defer: () => undefined,
      gateOf: (_, credential) => new DistantGate(away, gateOf(credential)),
    })
    return { ...given, client, send: sender(client, given) }
  }

  it('requests go on, but not within a Retry-After that this caller has met', async () => {
    const { host, net, send } = await alone({ anna: limit(1, { retryAfter: 300 }) })
    expect((await send()).status).toBe(200)
    host.limits['anna'] = limit(0, { retryAfter: 300 })
    clock.advance(MINUTE)
    expect(await failureFrom(send())).toEqual({ kind: 'rate-limited', retryAfter: 300 })
    net.forget()
    clock.advance(299 * SECOND - 1)
    expect(await failureFrom(send())).toMatchObject({ kind: 'rate-limited' })
    expect(net.urls()).toEqual([])
    clock.advance(SECOND)
    host.limits['anna'] = limit(9)
    expect((await send()).status).toBe(200)
  })

  it('several credentials are still ordered by what this caller knows', async () => {
    const { host, send } = await alone({ anna: limit(3), bert: limit(9) }, LOGINS.slice(0, 2))
    for (let n = 0; n < 3; n++) expect((await send()).status).toBe(200)
    expect(host.asked).toEqual(['GET anna', 'GET bert', 'GET bert'])
  })
})
