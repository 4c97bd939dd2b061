// `GET /_/upstreams`: how every upstream stands, for whoever a grant names, without a secret.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken } from '../support/operations.ts'

const PATH = '/_/upstreams'
const ADMIN = {
  ANONYMOUS: [
    { repositories: ['**'], actions: ['pull'] },
    { repositories: ['**'], actions: ['admin'] },
  ],
}

interface Shown {
  readonly host: string
  readonly url: string
  readonly paused: boolean
  readonly private: string
  readonly gates: readonly Readonly<Record<string, unknown>>[]
}

let clock: Clock
let upstream: SampleUpstream
let net: Network

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream({ authentication: { accounts: { mirror: 'canary-password' } } })
  net = goOnline({ 'budget.test': upstream, 'backed.test': upstream })
  await addSample(upstream, 'a/b', await sampleImage({ layers: [64] }), 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function show(): Promise<{ readonly text: string; readonly upstreams: readonly Shown[] }> {
  const response = await isolate(ADMIN).get(PATH)
  expect(response.status).toBe(200)
  const text = await response.text()
  const { upstreams }: { upstreams: Shown[] } = JSON.parse(text)
  return { text, upstreams }
}

/** The gates of one endpoint. */
async function gatesOf(url: string): Promise<Shown['gates']> {
  const { upstreams } = await show()
  return upstreams.find((each) => each.url === url)?.gates ?? expect.fail('it is not shown')
}

async function pull(path: string): Promise<Response> {
  const { get, settle } = isolate(ADMIN)
  const answer = await get(path)
  await settle()
  return answer
}

describe('without a grant', () => {
  it.each([
    { name: 'by default', settings: {} },
    { name: 'with no grant at all', settings: { ANONYMOUS: [] } },
    {
      name: 'with every other action on everything',
      settings: { ANONYMOUS: [{ repositories: ['**'], actions: ['pull', 'push', 'delete'] }] },
    },
  ])('$name it is denied, and nobody is asked', async ({ settings }) => {
    const response = await isolate({ ...settings, UPSTREAM_GATE: undefinedGate() }).get(PATH)
    expect(response.headers.get('www-authenticate')).toBe(
      'Bearer realm="https://registry.test/token",service="registry.test"',
    )
    expect(await refusalOf(response)).toBe('401 UNAUTHORIZED')
    expect(net.urls()).toEqual([])
  })

  /** Whoever touches it fails. */
  function undefinedGate(): unknown {
    return broken('objects')
  }
})

describe('with the grant', () => {
  it('every upstream and alternate is shown, each credential and nobody, before anything was asked', async () => {
    const response = await isolate(ADMIN).get(PATH)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    const { upstreams } = await show()
    expect(upstreams).toContainEqual({
      host: 'budget.test',
      url: 'https://budget.test',
      isAlternate: false,
      private: 'none',
      paused: false,
      gates: [{ credential: 0 }, { credential: null }],
    })
    expect(upstreams.filter(({ host }) => host === 'backed.test')).toEqual(
      ['https://backed.test', 'https://second.test', 'https://third.test'].map((url) => ({
        host: 'backed.test',
        url,
        isAlternate: url !== 'https://backed.test',
        private: 'none',
        paused: false,
        gates: [{ credential: null }],
      })),
    )
    expect(net.urls()).toEqual([])
  })

  it('how much of each is private is shown', async () => {
    const { upstreams } = await show()
    const privacy = new Map(upstreams.map((each) => [each.host, each.private]))
    expect(['one.test', 'part.test', 'private.test'].map((host) => privacy.get(host))).toEqual([
      'none',
      'some',
      'all',
    ])
  })

  it('the API shows the same, to accounts alone', async () => {
    const made = await accounts({ root: [granting('**', 'admin')] })
    const worker = isolate({ ...ADMIN, ...made })
    const answer = await worker.get('/_/api/upstreams', { authorization: basic('root') })
    expect([answer.status, await answer.text()]).toEqual([200, (await show()).text])
    expect(await refusalOf(await worker.get('/_/api/upstreams'))).toBe('401 UNAUTHORIZED')
    const head = await worker.fetch('/_/api/upstreams', {
      method: 'HEAD',
      headers: { authorization: basic('root') },
    })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('the budget is shown', async () => {
    upstream.setRateLimit({ limit: 100, remaining: 43 })
    await pull('/v2/budget.test/a/b/manifests/v1')
    const at = new Date(clock.now()).toISOString()
    expect((await gatesOf('https://budget.test'))[0]).toEqual({
      credential: 0,
      budget: { limit: 100, remaining: 42, window: 21_600, at },
    })
  })

  it('a limit is shown, with when it ends and what was the last error', async () => {
    upstream.setRateLimit({ limit: 100, remaining: 0, retryAfter: 90 })
    await pull('/v2/budget.test/a/b/manifests/v1')
    const until = new Date(clock.now() + 90 * SECOND).toISOString()
    expect((await gatesOf('https://budget.test'))[0]).toMatchObject({
      budget: { remaining: 0 },
      limitedUntil: until,
      nextAttempt: until,
      lastError: { at: new Date(clock.now()).toISOString(), reason: 'rate-limited' },
    })
  })

  it('a refused credential is shown, and of nobody nothing', async () => {
    upstream = startUpstream({ authentication: { accounts: {} } })
    goOnline({ 'budget.test': upstream })
    await pull('/v2/budget.test/a/b/manifests/v1')
    const [mirror, nobody] = await gatesOf('https://budget.test')
    const until = new Date(clock.now() + 10 * MINUTE).toISOString()
    expect(mirror).toMatchObject({
      restingUntil: until,
      nextAttempt: until,
      lastError: { reason: 'the credential for budget.test was refused' },
    })
    expect(nobody).toEqual({ credential: null })
  })

  it('an outage is shown by what we say of it', async () => {
    upstream.fault({ on: { kind: 'manifest' }, do: { status: 503, body: 'canary-body' } })
    await pull('/v2/backed.test/a/b/manifests/v1')
    const [gate] = await gatesOf('https://backed.test')
    expect(gate).toMatchObject({ lastError: { reason: 'backed.test answered 503' } })
    // Nobody is there.
    const [second] = await gatesOf('https://second.test')
    expect(second).toMatchObject({ lastError: { reason: 'second.test cannot be reached' } })
  })

  it('no password, no user, no token and no hash of them is in it', async () => {
    upstream.setRateLimit({ limit: 100, remaining: 43 })
    await pull('/v2/budget.test/a/b/manifests/v1')
    const tokens = net.requests.flatMap(({ headers }) => headers['authorization'] ?? [])
    expect(tokens.length).toBeGreaterThan(1)
    const { text } = await show()
    for (const secret of [
      'canary',
      'mirror',
      'Bearer',
      'Basic',
      'sample-',
      btoa('mirror:canary-password'),
    ]) {
      expect(text).not.toContain(secret)
    }
    expect(text).not.toMatch(/"[0-9]+-[0-9a-f]{8}"/)
  })

  it('a gate that is away is shown as such, and hides no other', async () => {
    const response = await isolate({ ...ADMIN, UPSTREAM_GATE: broken('objects') }).get(PATH)
    expect(response.status).toBe(200)
    const { upstreams }: { upstreams: Shown[] } = await response.json()
    const gates = upstreams.flatMap((each) => each.gates)
    expect(gates.every(({ lastError }) => JSON.stringify(lastError).includes('is away'))).toBe(true)
  })

  it('HEAD is answered without a body', async () => {
    const response = await isolate(ADMIN).head(PATH)
    expect([response.status, await response.text()]).toEqual([200, ''])
  })

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is refused', async (method) => {
    const response = await isolate(ADMIN).fetch(PATH, { method })
    expect(response.headers.get('allow')).toBe('GET, HEAD')
    expect(await refusalOf(response)).toMatch(/^405 UNSUPPORTED$/)
  })

  it('the log says that it was asked', async () => {
    const worker = isolate(ADMIN)
    await worker.get(PATH)
    expect(worker.lines('request')).toMatchObject([{ endpoint: 'upstreams', status: 200 }])
  })
})
