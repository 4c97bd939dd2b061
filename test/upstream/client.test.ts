// One request to an upstream: as whom it is sent, how often, and what every answer means.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { AuthenticationOptions } from '../../cli/upstream-token.ts'
import type { UpstreamRequest } from '../../src/upstream/client.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import { DistantGate } from '../../src/upstream/gate.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import { isolate } from '../support/isolate.ts'
import { network } from '../support/network.ts'
import type { Host, Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'
import type { Connection, UpstreamSettings } from '../support/upstream-client.ts'

const ANNA = { username: 'anna', password: 'canary' }
const REPOSITORY = repository('a/b')
const UPSTREAM_IS = { on: { kind: 'manifest' } } as const

afterEach(async () => {
  vi.restoreAllMocks()
  vi.useRealTimers()
  await reset()
})

function requestFor(changed: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    method: 'GET',
    repository: REPOSITORY,
    path: 'manifests/latest',
    purpose: 'counted',
    deadline: Date.now() + 20 * SECOND,
    ...changed,
  }
}

interface Stage extends Connection {
  readonly sample: SampleUpstream
  readonly net: Network
  readonly send: (changed?: Partial<UpstreamRequest>) => Promise<Response>
  readonly failure: (changed?: Partial<UpstreamRequest>) => Promise<UpstreamFailure>
  /** Requests to the token service, and for content. */
  readonly counts: () => { readonly tokens: number; readonly tries: number }
}

/** `one.test` with an image `a/b:latest`. */
async function stage(
  authentication: 'none' | AuthenticationOptions = {},
  settings: UpstreamSettings = {},
): Promise<Stage> {
  const sample = new SampleUpstream({ authentication })
  await addSample(sample, 'a/b', await sampleImage(), 'latest')
  const net = network({ 'one.test': sample })
  const connection = connect(upstreamFrom(settings), { network: net })
  const send = (changed?: Partial<UpstreamRequest>): Promise<Response> =>
    connection.client.send(requestFor(changed))
  return {
    ...connection,
    sample,
    net,
    send,
    failure: (changed) => failureFrom(send(changed)),
    counts: () => ({
      tokens: sample.count({ kind: 'token' }),
      tries: sample.count({ kind: 'manifest' }),
    }),
  }
}

/** The user that each token was asked for; `undefined` for nobody. */
function accounts({ requests }: SampleUpstream): readonly (string | null)[] {
  return requests
    .filter(({ kind }) => kind === 'token')
    .map(({ url }) => new URL(url).searchParams.get('account'))
}

describe('a token', () => {
  it('is fetched once and shown with every request', async () => {
    const { send, counts } = await stage()
    for (const path of ['manifests/latest', 'manifests/latest']) {
      expect((await send({ path })).status).toBe(200)
    }
    expect(counts()).toEqual({ tokens: 1, tries: 2 })
  })

  it('that has expired before its time is replaced within the request', async () => {
    const { sample, send, counts } = await stage()
    await send()
    sample.expireTokens()
    sample.forget()
    expect((await send()).status).toBe(200)
    expect(counts()).toEqual({ tokens: 1, tries: 2 })
  })

  it('that is refused with 403 is replaced within the request', async () => {
    const { sample, send, counts } = await stage()
    await send()
    sample.forget()
    sample.fault({ ...UPSTREAM_IS, times: 1, do: { status: 403 } })
    expect((await send()).status).toBe(200)
    expect(counts()).toEqual({ tokens: 1, tries: 2 })
  })

  it('goes with nothing but the requests of its repository', async () => {
    const { sample, send, net } = await stage()
    await addSample(sample, 'c/d', await sampleImage(), 'latest')
    await send()
    await send({ repository: repository('c/d') })
    const shown = net.requests
      .filter(({ url }) => url.includes('/manifests/'))
      .map(({ headers }) => headers['authorization'])
    expect(new Set(shown).size).toBe(2)
  })
})

describe.each([
  { name: '401 for ever', fault: { status: 401 } },
  { name: '403 for ever', fault: { status: 403 } },
  {
    name: '401 for ever, with a challenge',
    fault: {
      status: 401,
      headers: { 'WWW-Authenticate': 'Bearer realm="https://one.test/token",service="one.test"' },
    },
  },
] satisfies readonly { name: string; fault: Fault }[])('$name', ({ fault }) => {
  it('is denied after one try with a token made now', async () => {
    const { sample, failure, counts } = await stage()
    sample.fault({ ...UPSTREAM_IS, do: fault })
    expect(await failure()).toMatchObject({ kind: 'denied' })
    expect(counts()).toEqual({ tokens: 1, tries: 1 })
  })

  it('is denied after two tries with a token from before', async () => {
    const { sample, send, failure, counts } = await stage()
    await send()
    sample.forget()
    sample.fault({ ...UPSTREAM_IS, do: fault })
    expect(await failure()).toMatchObject({ kind: 'denied' })
    expect(counts()).toEqual({ tokens: 1, tries: 2 })
  })

  it('costs each of two identities the same', async () => {
    const { sample, send, failure, counts } = await stage(
      { accounts: { anna: 'canary' } },
      { credentials: [ANNA] },
    )
    await send()
    sample.fault({ ...UPSTREAM_IS, do: fault })
    await failure()
    sample.forget()
    expect(await failure()).toMatchObject({ kind: 'denied' })
    expect(counts().tokens).toBeLessThanOrEqual(4)
    expect(counts().tries).toBeLessThanOrEqual(4)
    expect(counts().tries).toBeGreaterThan(1)
  })

  it('is denied when it comes after success', async () => {
    const { sample, send, failure } = await stage()
    sample.fault({ ...UPSTREAM_IS, after: 3, do: fault })
    for (let n = 0; n < 3; n++) expect((await send()).status).toBe(200)
    expect(await failure()).toMatchObject({ kind: 'denied' })
  })
})

describe('a registry that never asked', () => {
  it('and asks now is obeyed within the request', async () => {
    const host = new TokenHost()
    let isOpen = true
    const open: Host = async (url, init) =>
      isOpen ? new Response('content') : host.fetch(url, init)
    const net = network({ 'one.test': open })
    const { client } = connect(upstreamFrom(), { network: net })
    expect((await client.send(requestFor())).status).toBe(200)
    isOpen = false
    net.forget()
    expect((await client.send(requestFor())).status).toBe(200)
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual([
      '/v2/a/b/manifests/latest',
      '/token',
      '/v2/a/b/manifests/latest',
    ])
  })

  it('and asks for nothing that we have is not asked twice', async () => {
    const net = network({ 'one.test': async () => new Response('', { status: 401 }) })
    const { client } = connect(upstreamFrom(), { network: net })
    expect(await failureFrom(client.send(requestFor()))).toMatchObject({ kind: 'denied' })
    expect(net.count()).toBe(2)
  })

  it('and names a foreign realm now is told nothing', async () => {
    const challenge = { 'WWW-Authenticate': 'Bearer realm="https://evil.test/token"' }
    const refuse: Host = async (url) =>
      url.endsWith('/v2/')
        ? new Response('{}')
        : new Response('', { status: 401, headers: challenge })
    const net = network({ 'one.test': refuse })
    const { client } = connect(upstreamFrom({ credentials: [ANNA] }), { network: net })
    expect(await failureFrom(client.send(requestFor()))).toMatchObject({ kind: 'invalid' })
    expect(net.count('evil.test')).toBe(0)
    expect(net.requests.some(({ headers }) => 'authorization' in headers)).toBe(false)
  })
})

describe('a request is sent', () => {
  const guarded: AuthenticationOptions = {
    accounts: { anna: 'canary', bert: 'canary' },
    isPrivate: () => true,
  }
  const bert = { username: 'bert', password: 'canary' }
  const eve = { username: 'eve', password: 'wrong' }

  it('with the first credential that is not refused', async () => {
    const { sample, send } = await stage(guarded, { credentials: [eve, bert, ANNA] })
    expect((await send()).status).toBe(200)
    expect(accounts(sample)).toEqual(['eve', 'bert'])
  })

  it('as nobody when every credential is refused and the repository is public', async () => {
    const { sample, send } = await stage({ accounts: {} }, { credentials: [eve] })
    expect((await send()).status).toBe(200)
    expect(accounts(sample)).toEqual(['eve', null])
  })

  it('never as nobody when the repository is private', async () => {
    const { sample, failure } = await stage(
      { accounts: {} },
      { credentials: [eve], entry: { private: true } },
    )
    expect(await failure()).toMatchObject({ kind: 'unauthorized' })
    expect(accounts(sample)).toEqual(['eve'])
    expect(sample.count({ kind: 'manifest' })).toBe(0)
  })

  it('with the password to the token service alone', async () => {
    const { net, send } = await stage(guarded, { credentials: [ANNA] })
    await send()
    const basic = net.requests.filter(({ headers }) =>
      headers['authorization']?.startsWith('Basic '),
    )
    expect(basic.map(({ url }) => new URL(url).pathname)).toEqual(['/token'])
  })

  it('and says that our credential failed, not that the repository is closed', async () => {
    const { failure } = await stage({ ...guarded, accounts: {} }, { credentials: [eve] })
    expect(await failure()).toMatchObject({ kind: 'unauthorized' })
  })

  it('without a refused credential for ten minutes', async () => {
    const clock = stopClock()
    const { sample, send } = await stage({ accounts: {} }, { credentials: [eve] })
    await send()
    sample.forget()
    clock.advance(10 * MINUTE - 1)
    await send()
    expect(accounts(sample)).toEqual([null])
    clock.advance(1)
    await send()
    expect(accounts(sample)).toEqual([null, 'eve'])
  })

  it('to no other identity when the upstream is down', async () => {
    const { sample, failure } = await stage(guarded, { credentials: [ANNA, bert] })
    sample.fault({ ...UPSTREAM_IS, do: { status: 503 } })
    expect(await failure()).toMatchObject({ kind: 'unavailable' })
    expect(accounts(sample)).toEqual(['anna'])
  })
})

describe('429', () => {
  it.each([
    { name: 'seconds', header: '120', want: 120 },
    { name: 'a date', header: new Date(1_800_000_090_000).toUTCString(), want: 90 },
    { name: 'a date of the past', header: 'Wed, 21 Oct 2015 07:28:00 GMT', want: 1 },
    { name: 'no time at all', header: '0', want: 1 },
    { name: 'an absurd time', header: '999999999', want: 3600 },
    { name: 'more than a number can hold', header: '9'.repeat(400), want: 3600 },
    { name: 'an absurd date', header: 'Fri, 31 Dec 9999 23:59:59 GMT', want: 3600 },
    { name: 'nonsense', header: 'soon', want: 60 },
    { name: 'nothing', header: undefined, want: 60 },
  ])('with $name: nothing goes out for $want s', async ({ header, want }) => {
    let now = 1_800_000_000_000
    vi.spyOn(Date, 'now').mockImplementation(() => now)
    const { sample, net, failure, send } = await stage('none')
    const headers = header === undefined ? {} : { 'Retry-After': header }
    sample.fault({ ...UPSTREAM_IS, times: 1, do: { status: 429, headers } })
    expect(await failure()).toEqual({ kind: 'rate-limited', retryAfter: want })
    net.forget()
    now += want * SECOND - 1
    expect(await failure()).toEqual({ kind: 'rate-limited', retryAfter: 1 })
    expect(await failure({ repository: repository('c/d'), path: 'tags/list' })).toMatchObject({
      kind: 'rate-limited',
    })
    expect(net.urls()).toEqual([])
    now += 1
    expect((await send()).status).toBe(200)
  })

  it('is no reason to try the next identity', async () => {
    const { sample, failure } = await stage(
      { accounts: { anna: 'canary' } },
      { credentials: [ANNA] },
    )
    sample.fault({ ...UPSTREAM_IS, do: { status: 429 } })
    expect(await failure()).toMatchObject({ kind: 'rate-limited' })
    expect(accounts(sample)).toEqual(['anna'])
  })
})

describe('an answer', () => {
  it.each([
    { fault: { status: 404 }, want: { kind: 'not-found' } },
    { fault: { status: 500 }, want: { kind: 'unavailable', isTimeout: false } },
    { fault: { status: 503 }, want: { kind: 'unavailable', isTimeout: false } },
    { fault: { status: 400 }, want: { kind: 'invalid' } },
    { fault: { status: 405 }, want: { kind: 'invalid' } },
    { fault: { status: 302 }, want: { kind: 'invalid' } },
    { fault: { refuse: true }, want: { kind: 'unavailable', isTimeout: false } },
    { fault: { redirect: 'http://one.test/' }, want: { kind: 'invalid' } },
    { fault: { redirect: 'https://127.0.0.1/' }, want: { kind: 'invalid' } },
    {
      fault: { status: 500, body: 'x'.repeat(1000), truncateAt: 1 },
      want: { kind: 'unavailable' },
    },
  ] as const)('$fault means $want.kind', async ({ fault, want }) => {
    const { sample, failure } = await stage('none')
    sample.fault({ ...UPSTREAM_IS, do: fault })
    expect(await failure()).toMatchObject(want)
  })

  it.each([200, 206, 304])('%i is handed on with its body unread', async (status) => {
    const { sample, send } = await stage('none')
    sample.fault({ ...UPSTREAM_IS, do: { status, body: 'bytes' } })
    const response = await send()
    expect(response.status).toBe(status)
    expect(response.bodyUsed).toBe(false)
    expect(await response.text()).toBe(status === 304 ? '' : 'bytes')
  })

  it('that is not used is let go', async () => {
    const { sample, failure } = await stage('none')
    sample.fault({ ...UPSTREAM_IS, do: { status: 404, body: 'x'.repeat(1_000_000) } })
    await failure()
    expect(sample.requests.at(-1)?.ending).toBe('cancelled')
  })

  it('names the repository and the path below /v2/, and carries the headers of the request', async () => {
    const { net, send } = await stage('none')
    await send({ method: 'HEAD', headers: { Accept: 'text/x' } })
    expect(net.requests.at(-1)).toMatchObject({
      url: 'https://one.test/v2/a/b/manifests/latest',
      method: 'HEAD',
      headers: { accept: 'text/x' },
      redirect: 'manual',
    })
  })
})

describe('a deadline', () => {
  const hanging = (path: string): Host => {
    const host = new TokenHost()
    return (url, init) =>
      new URL(url).pathname === path
        ? new Promise((_resolve, reject) => {
            init.signal?.addEventListener('abort', () => reject(new Error('given up')))
          })
        : host.fetch(url, init)
  }

  it.each([
    { name: 'the headers', path: '/v2/a/b/manifests/latest' },
    { name: 'the token', path: '/token' },
    { name: 'the first answer', path: '/v2/' },
  ])('holds while $name is awaited', async ({ path }) => {
    const net = network({ 'one.test': hanging(path) })
    const { client } = connect(upstreamFrom(), { network: net })
    const deadline = Date.now() + 20
    expect(await failureFrom(client.send(requestFor({ deadline })))).toMatchObject({
      kind: 'unavailable',
      isTimeout: true,
    })
  })

  it('of ten seconds holds for one request, whatever the caller allows', async () => {
    vi.useFakeTimers()
    const net = network({ 'one.test': hanging('/v2/a/b/manifests/latest') })
    const { client } = connect(upstreamFrom(), { network: net })
    const outcome = failureFrom(client.send(requestFor({ deadline: Date.now() + MINUTE })))
    await vi.advanceTimersByTimeAsync(10 * SECOND)
    expect(await outcome).toMatchObject({ kind: 'unavailable', isTimeout: true })
  })
})

describe('when the gate is away', () => {
  it('a request goes on alone', async () => {
    const { upstream, outbound, gateOf, sample } = await stage()
    const away = {
      authorize: () => Promise.reject(new Error('the object was reset')),
      report: () => Promise.reject(new Error('the object was reset')),
      standing: () => Promise.reject(new Error('the object was reset')),
    }
    const client = new UpstreamClient(upstream, {
      outbound,
      gateOf: () => new DistantGate(away, gateOf()),
      now: () => Date.now(),
      defer: () => undefined,
    })
    expect((await client.send(requestFor())).status).toBe(200)
    expect(sample.count({ kind: 'token' })).toBe(1)
    sample.fault({ ...UPSTREAM_IS, do: { status: 429, headers: { 'Retry-After': '5' } } })
    expect(await failureFrom(client.send(requestFor()))).toEqual({
      kind: 'rate-limited',
      retryAfter: 5,
    })
  })
})

describe('a bug of ours', () => {
  it('is not taken for an outage of theirs', async () => {
    const { upstream, outbound } = await stage()
    const authorize = (): Promise<never> => Promise.reject(new RangeError('a bug'))
    const gateOf = () => ({ authorize, report: authorize, standing: authorize })
    const client = new UpstreamClient(upstream, {
      outbound,
      gateOf,
      now: () => Date.now(),
      defer: () => undefined,
    })
    await expect(client.send(requestFor())).rejects.toThrow(new RangeError('a bug'))
  })
})

describe('a client of ours', () => {
  it('sends an Authorization and a cookie that no upstream ever sees, and no token is in KV', async () => {
    const sample = new SampleUpstream({
      authentication: { accounts: {} },
      storage: 'https://storage.test',
    })
    const image = await sampleImage({ seed: 41 })
    await addSample(sample, 'theirs/app', image, 'latest')
    const net = network({ 'one.test': sample, 'storage.test': sample })
    vi.spyOn(globalThis, 'fetch').mockImplementation(net.fetch)
    const worker = isolate()
    const theirs = { Authorization: 'Bearer theirs', Cookie: 'a=theirs', 'X-Forwarded-For': '::1' }
    const paths = [
      '/v2/one.test/theirs/app/manifests/latest',
      ...image.blobs.map(({ digest }) => `/v2/one.test/theirs/app/blobs/${digest}`),
      '/v2/one.test/theirs/app/tags/list',
    ]
    for (const path of paths) {
      const response = await worker.get(path, theirs)
      expect(response.status).toBe(200)
      await response.arrayBuffer()
    }
    await worker.settle()
    expect(net.count('storage.test')).toBe(image.blobs.length)
    const said = net.requests.map(({ headers }) => headers)
    expect(JSON.stringify(said)).not.toContain('theirs')
    expect(said.some((headers) => 'cookie' in headers || 'x-forwarded-for' in headers)).toBe(false)
    const { keys } = await env.HINTS.list()
    const stored = await Promise.all(keys.map(({ name }) => env.HINTS.get(name)))
    expect(keys.length).toBeGreaterThan(0)
    expect(JSON.stringify([keys, stored])).not.toContain('sample-')
  })
})
