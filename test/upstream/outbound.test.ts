// What leaves this registry, and what never does: hops, credentials, addresses, deadlines and sizes.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { OutboundRequest } from '../../src/outbound.ts'
import { Outbound, OutboundError, readWhole, viaOf } from '../../src/outbound.ts'
import { network } from '../support/network.ts'
import type { Host, Network } from '../support/network.ts'
import { VIA } from '../support/upstream-client.ts'

const START = 'https://one.test/start'
const SECRET = 'Bearer canary'

afterEach(() => {
  vi.useRealTimers()
})

/** A host that redirects by path and answers 200 for everything else. */
function redirecting(table: Readonly<Record<string, readonly [number, string]>>): Host {
  return async (url) => {
    const [status, location] = table[new URL(url).pathname] ?? []
    return status === undefined || location === undefined
      ? new Response('the end')
      : new Response(null, { status, headers: { Location: location } })
  }
}

async function ok(): Promise<Response> {
  return new Response('the end')
}

/** Answers only when its caller gives up. */
const silent: Host = (_, { signal }) =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(new Error('given up')))
  })

function send(net: Network, request: Partial<OutboundRequest> = {}): Promise<Response> {
  return new Outbound(net.fetch, VIA).send({
    url: START,
    method: 'GET',
    isLocal: false,
    within: 10_000,
    ...request,
  })
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((reason: unknown) => reason)
  return error instanceof OutboundError ? error.kind : expect.fail(String(error))
}

/** The `Authorization` that each request carried, by host. */
function credentials({ requests }: Network): readonly (readonly [string, string | undefined])[] {
  return requests.map(({ host, headers }) => [host, headers['authorization']])
}

describe('storage behind a registry', () => {
  const STORAGE = 'https://storage.test/blob'
  const answering = (status: number): Network =>
    network({
      'one.test': redirecting({ '/start': [307, STORAGE] }),
      'storage.test': async () => new Response('', { status }),
    })

  it.each([401, 403, 404])(
    'that says %i is out of order, which is no word of the registry',
    async (status) => {
      expect(await kindOf(send(answering(status), { hasStorage: true }))).toBe('network')
      expect((await send(answering(status))).status).toBe(status)
    },
  )

  it.each([200, 206, 416, 500])('that says %i is heard', async (status) => {
    expect((await send(answering(status), { hasStorage: true })).status).toBe(status)
  })

  it('is no other host: what the registry itself says after a redirect counts', async () => {
    const net = network({
      'one.test': async (url) =>
        url === START
          ? new Response(null, { status: 307, headers: { Location: '/blob' } })
          : new Response('', { status: 404 }),
    })
    expect((await send(net, { hasStorage: true })).status).toBe(404)
  })
})

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('%i is followed by hand', async (status) => {
    const net = network({ 'one.test': redirecting({ '/start': [status, '/blob?x=1'] }) })
    const response = await send(net)
    expect(await response.text()).toBe('the end')
    expect(net.urls()).toEqual([START, 'https://one.test/blob?x=1'])
    expect(net.requests.map(({ redirect }) => redirect)).toEqual(['manual', 'manual'])
  })

  it.each([300, 304, 305])('%i is an answer like any other', async (status) => {
    const net = network({ 'one.test': redirecting({ '/start': [status, '/blob'] }) })
    expect((await send(net)).status).toBe(status)
    expect(net.count()).toBe(1)
  })

  it('without a Location is an answer like any other', async () => {
    const net = network({ 'one.test': async () => new Response(null, { status: 302 }) })
    expect((await send(net)).status).toBe(302)
  })

  it('keeps the method, also behind 303', async () => {
    const net = network({ 'one.test': redirecting({ '/start': [303, '/blob'] }) })
    await send(net, { method: 'HEAD' })
    expect(net.requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD'])
  })

  it('hands the headers of the request on, among them the range', async () => {
    const net = network({
      'one.test': redirecting({ '/start': [307, 'https://two.test/blob'] }),
      'two.test': ok,
    })
    await send(net, { headers: { Range: 'bytes=7-' } })
    expect(net.requests.map(({ headers }) => headers['range'])).toEqual(['bytes=7-', 'bytes=7-'])
  })

  it.each([
    { hops: 5, want: 'the end' },
    { hops: 6, want: 'forbidden' },
  ])('$hops in a row: $want', async ({ hops, want }) => {
    const table = Object.fromEntries(
      Array.from({ length: hops }, (_, index) => [
        index === 0 ? '/start' : `/${index}`,
        [307, `/${index + 1}`] as const,
      ]),
    )
    const net = network({ 'one.test': redirecting(table) })
    const outcome = send(net)
    expect(want === 'forbidden' ? await kindOf(outcome) : await (await outcome).text()).toBe(want)
    expect(net.count()).toBe(6)
  })

  it('in a circle ends', async () => {
    const net = network({ 'one.test': redirecting({ '/start': [302, '/start'] }) })
    expect(await kindOf(send(net))).toBe('forbidden')
    expect(net.count()).toBe(6)
  })

  it('frees the body of each hop, and survives one that is already cut', async () => {
    const cancelled = vi.fn<() => void>()
    const bodies = [
      new ReadableStream({ cancel: cancelled }),
      new ReadableStream({ start: (controller) => controller.error(new Error('cut')) }),
    ]
    const net = network({
      'one.test': async () => {
        const body = bodies.shift()
        return body === undefined
          ? new Response('the end')
          : new Response(body, { status: 302, headers: { Location: '/start' } })
      },
    })
    expect(await (await send(net)).text()).toBe('the end')
    expect(cancelled).toHaveBeenCalledOnce()
  })
})

describe('a credential', () => {
  it('stays with the origin that it is meant for', async () => {
    const net = network({
      'one.test': redirecting({
        '/start': [307, '/same'],
        '/same': [307, 'https://two.test/away'],
      }),
      'two.test': ok,
    })
    await send(net, { authorization: SECRET })
    expect(credentials(net)).toEqual([
      ['one.test', SECRET],
      ['one.test', SECRET],
      ['two.test', undefined],
    ])
  })

  it.each([
    { name: 'another host', away: 'https://two.test/' },
    { name: 'a host below it', away: 'https://cdn.one.test/' },
    { name: 'another port', away: 'https://one.test:8443/' },
    { name: 'a host that begins like it', away: 'https://one.test.two.test/' },
  ])('does not go to $name', async ({ away }) => {
    const host = new URL(away).host
    const net = network({ 'one.test': redirecting({ '/start': [302, away] }), [host]: ok })
    await send(net, { authorization: SECRET })
    expect(credentials(net)).toEqual([
      ['one.test', SECRET],
      [host, undefined],
    ])
  })

  it('does not come back once it has left', async () => {
    const net = network({
      'one.test': redirecting({ '/start': [302, 'https://two.test/back'] }),
      'two.test': redirecting({ '/back': [302, 'https://one.test/end'] }),
    })
    await send(net, { authorization: SECRET })
    expect(credentials(net)).toEqual([
      ['one.test', SECRET],
      ['two.test', undefined],
      ['one.test', undefined],
    ])
  })
})

describe('a redirect is refused, and nothing is asked there,', () => {
  it.each([
    { name: 'down to http', location: 'http://one.test/blob' },
    { name: 'to loopback', location: 'https://127.0.0.1/' },
    { name: 'to loopback in decimal', location: 'https://2130706433/' },
    { name: 'to loopback in hex', location: 'https://0x7f.1/' },
    { name: 'to loopback over http', location: 'http://127.0.0.1:8080/' },
    { name: 'to localhost', location: 'https://localhost/' },
    { name: 'to a name below localhost', location: 'https://x.localhost/' },
    { name: 'to IPv6 loopback', location: 'https://[::1]/' },
    { name: 'to the metadata service', location: 'https://169.254.169.254/latest/meta-data' },
    { name: 'to the metadata service by name', location: 'https://metadata.google.internal/' },
    { name: 'to 10.0.0.0/8', location: 'https://10.1.2.3/' },
    { name: 'to 172.16.0.0/12', location: 'https://172.31.0.1/' },
    { name: 'to 192.168.0.0/16', location: 'https://192.168.1.1/' },
    { name: 'to 100.64.0.0/10', location: 'https://100.64.0.1/' },
    { name: 'to 0.0.0.0', location: 'https://0.0.0.0/' },
    { name: 'to an IPv4 address within IPv6', location: 'https://[::ffff:10.0.0.1]/' },
    { name: 'to loopback within IPv6', location: 'https://[::ffff:127.0.0.1]/' },
    { name: 'to a 6to4 address', location: 'https://[2002:7f00:1::]/' },
    { name: 'to a NAT64 address', location: 'https://[64:ff9b::7f00:1]/' },
    { name: 'to a unique local address', location: 'https://[fd00::1]/' },
    { name: 'to a link-local address', location: 'https://[fe80::1]/' },
    { name: 'to a name of one label', location: 'https://intranet/' },
    { name: 'with a user', location: 'https://user@two.test/' },
    { name: 'with a user and a password', location: 'https://u:p@two.test/' },
    { name: 'to another scheme', location: 'ftp://two.test/' },
    { name: 'to data', location: 'data:text/plain,hello' },
    { name: 'to no URL', location: 'https://[' },
  ])('$name', async ({ location }) => {
    const net = network({ 'one.test': redirecting({ '/start': [307, location] }) })
    expect(await kindOf(send(net, { authorization: SECRET }))).toBe('forbidden')
    expect(net.urls()).toEqual([START])
  })

  it('from loopback into a private network', async () => {
    const url = 'http://127.0.0.1:5000/start'
    const net = network({ '127.0.0.1:5000': redirecting({ '/start': [307, 'http://10.0.0.1/'] }) })
    expect(await kindOf(send(net, { url, isLocal: true }))).toBe('forbidden')
    expect(net.count()).toBe(1)
  })
})

describe('an upstream on loopback', () => {
  it('may be spoken to over http, and redirect to loopback and to the internet', async () => {
    const net = network({
      '127.0.0.1:5000': redirecting({ '/start': [307, 'http://localhost:9000/storage'] }),
      'localhost:9000': redirecting({ '/storage': [307, 'https://two.test/blob'] }),
      'two.test': ok,
    })
    const response = await send(net, { url: 'http://127.0.0.1:5000/start', isLocal: true })
    expect(await response.text()).toBe('the end')
  })

  it('may not redirect to the internet over http', async () => {
    const net = network({
      '127.0.0.1:5000': redirecting({ '/start': [307, 'http://two.test/blob'] }),
    })
    const url = 'http://127.0.0.1:5000/start'
    expect(await kindOf(send(net, { url, isLocal: true }))).toBe('forbidden')
  })

  it('is not reached when the configuration does not point there', async () => {
    const net = network({ '127.0.0.1:5000': ok })
    expect(await kindOf(send(net, { url: 'http://127.0.0.1:5000/start' }))).toBe('forbidden')
    expect(net.count()).toBe(0)
  })
})

describe('every request', () => {
  it('says who we are, and no more', async () => {
    const net = network({ 'one.test': ok })
    await send(net, { headers: { Accept: 'application/json' } })
    expect(net.requests[0]?.headers).toEqual({
      accept: 'application/json',
      'user-agent': 'entrepot/0.1',
      via: VIA,
    })
  })

  it('carries a Via that is the same for the same table only', () => {
    expect(viaOf('{"a":{}}')).toMatch(/^1\.1 entrepot-[0-9a-f]+$/)
    expect(viaOf('{"a":{}}')).toBe(viaOf('{"a":{}}'))
    expect(viaOf('{"a":{}}')).not.toBe(viaOf('{"b":{}}'))
  })
})

describe('a wait for headers', () => {
  it('ends at the deadline', async () => {
    expect(await kindOf(send(network({ 'one.test': silent }), { within: 5 }))).toBe('timeout')
  })

  it('ends at once when the deadline has passed', async () => {
    expect(await kindOf(send(network({ 'one.test': silent }), { within: -1 }))).toBe('timeout')
  })

  it('has one deadline for all hops', async () => {
    const net = network({
      'one.test': redirecting({ '/start': [307, 'https://two.test/'] }),
      'two.test': silent,
    })
    expect(await kindOf(send(net, { within: 5 }))).toBe('timeout')
    expect(net.count()).toBe(2)
  })

  it('is over when they are here: the body may take longer', async () => {
    vi.useFakeTimers()
    const signals: (AbortSignal | null | undefined)[] = []
    const net = network({
      'one.test': async (_, { signal }) => {
        signals.push(signal)
        return new Response('the end')
      },
    })
    await send(net, { within: 1000 })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(signals.map((signal) => signal?.aborted)).toEqual([false])
  })

  it('that nobody answers is a failure of the network, which names no path', async () => {
    const error: unknown = await send(network({})).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ kind: 'network', message: 'one.test cannot be reached' })
  })
})

describe('a body that is read whole', () => {
  const bytes = sampleBytes(1000)
  const pieces = (...chunks: readonly Uint8Array[]): Response =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(chunk)
          controller.close()
        },
      }),
    )

  it('is exact, in however many pieces it comes', async () => {
    const response = pieces(bytes.subarray(0, 1), bytes.subarray(1, 600), bytes.subarray(600))
    expect(await readWhole(response, 1000, 5000)).toEqual(bytes)
  })

  it('may be absent or empty', async () => {
    expect(await readWhole(new Response(null), 10, 5000)).toEqual(new Uint8Array())
    expect(await readWhole(pieces(), 10, 5000)).toEqual(new Uint8Array())
  })

  it.each([
    { name: 'without Content-Length', headers: {} },
    { name: 'with a small Content-Length', headers: { 'Content-Length': '3' } },
    { name: 'with the true Content-Length', headers: { 'Content-Length': '1001' } },
  ])('is too large by one byte, $name', async ({ headers }) => {
    const cancelled = vi.fn<() => void>()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(1001)),
      cancel: cancelled,
    })
    expect(await kindOf(readWhole(new Response(body, { headers }), 1000, 5000))).toBe('too-large')
    expect(cancelled).toHaveBeenCalledOnce()
  })

  it('does not have to be as large as Content-Length says', async () => {
    const response = new Response(pieces(bytes).body, { headers: { 'Content-Length': '999999' } })
    expect(await readWhole(response, 1000, 5000)).toEqual(bytes)
  })

  it('and cut is a failure of the network', async () => {
    const chunks = [bytes]
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const chunk = chunks.pop()
        if (chunk === undefined) controller.error(new Error('cut'))
        else controller.enqueue(chunk)
      },
    })
    expect(await kindOf(readWhole(new Response(body), 5000, 5000))).toBe('network')
  })

  it('and stalling is given up at the deadline', async () => {
    const cancelled = vi.fn<() => void>()
    const body = new ReadableStream<Uint8Array>({ cancel: cancelled })
    expect(await kindOf(readWhole(new Response(body), 5000, 5))).toBe('timeout')
    expect(cancelled).toHaveBeenCalledOnce()
  })
})
