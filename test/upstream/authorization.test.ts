// Who may ask for our password, what is asked of a token service, and what its answer is good for.

import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Authorization } from '../../src/upstream/gate.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'
import type { TokenHostOptions } from '../support/token-host.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'
import type { UpstreamSettings } from '../support/upstream-client.ts'

const LOGIN = { username: 'anna', password: 'canary' }
const BASIC = `Basic ${btoa('anna:canary')}`
const REPOSITORY = repository('a/b')

afterEach(() => {
  vi.restoreAllMocks()
})

interface Stage {
  readonly net: Network
  readonly host: TokenHost
  readonly authorize: (name?: string) => Promise<Authorization>
}

/** An upstream with a credential, and somebody at every host that a row names. */
function stage(
  options: TokenHostOptions,
  settings: UpstreamSettings = {},
  others: readonly string[] = [],
): Stage {
  const upstream = upstreamFrom({ credentials: [LOGIN], ...settings })
  const host = new TokenHost(options)
  const hosts = [new URL(upstream.url).host, ...others]
  const net = network(Object.fromEntries(hosts.map((name) => [name, host])))
  const { gateOf } = connect(upstream, { network: net })
  const gate = gateOf(upstream.credentials[0])
  return { net, host, authorize: (name = 'a/b') => gate.authorize(repository(name), 'free') }
}

/** The hosts that saw the password. */
function trusted({ requests }: Network): readonly string[] {
  return requests
    .filter(({ headers }) => headers['authorization'] === BASIC)
    .map(({ host }) => host)
}

describe('a realm is believed if it is', () => {
  it.each([
    { name: 'on the very host', realm: 'https://one.test/token' },
    { name: 'with a query of its own', realm: 'https://one.test/token?x=1' },
    { name: 'listed', realm: 'https://auth.test/token', realms: ['https://auth.test'] },
    {
      name: 'listed with its port',
      realm: 'https://auth.test:8443/token',
      realms: ['https://auth.test:8443'],
    },
  ])('$name', async ({ realm, realms }) => {
    const { host } = new URL(realm)
    const entry = realms === undefined ? {} : { realms }
    const { net, authorize } = stage({ challenge: `Bearer realm="${realm}"` }, { entry }, [host])
    expect(await authorize()).toMatchObject({ ok: true, header: 'Bearer token-1' })
    expect(trusted(net)).toEqual([host])
  })
})

describe('a realm is refused, and never asked, if it is', () => {
  it.each([
    { name: 'on a foreign host', realm: 'https://evil.example.net/token' },
    { name: 'on a host with the same registrable domain', realm: 'https://auth.one.test/token' },
    { name: 'on a host that ends like it', realm: 'https://evilone.test/token' },
    { name: 'on a host that begins like it', realm: 'https://one.test.evil.net/token' },
    { name: 'on a host with it as user', realm: 'https://one.test@evil.net/token' },
    {
      name: 'on a host with it as user, by backslash',
      realm: 'https://evil.net\\\\@one.test/token',
    },
    { name: 'over http', realm: 'http://one.test/token' },
    { name: 'on another port', realm: 'https://one.test:8443/token' },
    { name: 'on the same host with a dot', realm: 'https://one.test./token' },
    { name: 'on loopback', realm: 'https://127.0.0.1/token' },
    { name: 'on the metadata service', realm: 'http://169.254.169.254/token' },
    { name: 'in a private network', realm: 'https://10.0.0.1/token' },
    { name: 'on the same host with a user', realm: 'https://u:p@one.test/token' },
    { name: 'relative', realm: '/token' },
    { name: 'empty', realm: '' },
  ])('$name', async ({ realm }) => {
    const { net, authorize } = stage({ challenge: `Bearer realm="${realm}"` })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'invalid' } })
    expect(net.urls()).toEqual(['https://one.test/v2/'])
    expect(trusted(net)).toEqual([])
  })

  it('on a neighbour below a public suffix', async () => {
    const challenge = 'Bearer realm="https://b.github.io/token"'
    const { net, authorize } = stage({ challenge }, { host: 'a.github.io' })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'invalid' } })
    expect(net.count('b.github.io')).toBe(0)
  })

  it('listed for http, which stops the start', () => {
    expect(() => upstreamFrom({ entry: { realms: ['http://auth.test'] } })).toThrow(/https/)
  })

  it('learnt from a refusal', async () => {
    const upstream = upstreamFrom({ credentials: [LOGIN] })
    const net = network({ 'one.test': new TokenHost() })
    const gate = connect(upstream, { network: net }).gateOf(upstream.credentials[0])
    const challenge = 'Bearer realm="https://evil.test/token"'
    const refusal = { refused: undefined, challenge }
    expect(await gate.authorize(REPOSITORY, 'free', refusal)).toMatchObject({
      ok: false,
      failure: { kind: 'invalid' },
    })
    expect(net.count()).toBe(0)
  })
})

describe('of several challenges', () => {
  const evil = 'Bearer realm="https://evil.test/token",service="x"'
  const good = 'Bearer realm="https://one.test/token",service="y"'

  it.each([
    { name: 'the trusted one is used, when it comes last', challenge: `${evil}, ${good}` },
    { name: 'the trusted one is used, when it comes first', challenge: `${good}, ${evil}` },
    {
      name: 'a trusted Bearer is preferred to Basic',
      challenge: `Basic realm="https://evil.test/", ${good}`,
    },
    {
      name: 'a realm within a quoted value is none',
      challenge: `Bearer service="y",realm="https://one.test/token",error="x, Bearer realm=\\"https://evil.test/\\""`,
    },
    {
      name: 'the scheme and the names are read in any case',
      challenge: 'bEARER REALM="https://one.test/token" , Service="y"',
    },
  ])('$name', async ({ challenge }) => {
    const { net, authorize } = stage({ challenge })
    expect(await authorize()).toMatchObject({ ok: true, header: 'Bearer token-1' })
    expect(net.count('one.test')).toBe(2)
    expect(net.count()).toBe(2)
  })

  it('Basic is not the way round a refused realm', async () => {
    const { net, authorize } = stage({ challenge: `${evil}, Basic realm="one.test"` })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'invalid' } })
    expect(trusted(net)).toEqual([])
  })

  it('the realm of Basic is no URL: the password goes to the registry alone', async () => {
    const { net, authorize } = stage({ challenge: 'Basic realm="https://evil.test/"' })
    expect(await authorize()).toEqual({ ok: true, header: BASIC, isNew: true })
    expect(net.urls()).toEqual(['https://one.test/v2/'])
  })

  it.each(['Negotiate abc', '"', 'Bearer', ''])(
    '%j asks for nothing that we have',
    async (challenge) => {
      const { net, authorize } = stage({ challenge })
      expect(await authorize()).toMatchObject({ ok: true, header: undefined })
      expect(net.count()).toBe(1)
    },
  )
})

describe('a token is asked for', () => {
  it('by one GET with exactly this scope, this service and this account', async () => {
    const { net, authorize } = stage({})
    await authorize('team/app')
    const { method, url, headers } = net.requests[1] ?? expect.fail('no token request')
    expect(method).toBe('GET')
    expect([...new URL(url).searchParams]).toEqual([
      ['service', 'one.test'],
      ['scope', 'repository:team/app:pull'],
      ['account', 'anna'],
    ])
    expect(headers['authorization']).toBe(BASIC)
  })

  it('by nobody without account and password', async () => {
    const upstream = upstreamFrom()
    const net = network({ 'one.test': new TokenHost() })
    await connect(upstream, { network: net }).gateOf().authorize(REPOSITORY, 'free')
    const { url, headers } = net.requests[1] ?? expect.fail('no token request')
    expect(new URL(url).searchParams.has('account')).toBe(false)
    expect(headers['authorization']).toBeUndefined()
  })

  it('with a password beyond ASCII, in UTF-8', async () => {
    const credentials = [{ username: 'zoë', password: 'pässwörd:☃' }]
    const { net, authorize } = stage({}, { credentials })
    await authorize()
    const sent = net.requests[1]?.headers['authorization']?.replace('Basic ', '') ?? ''
    const bytes = Uint8Array.from(atob(sent), (char) => char.charCodeAt(0))
    expect(new TextDecoder().decode(bytes)).toBe('zoë:pässwörd:☃')
  })

  it('across a redirect without the password', async () => {
    const answer = (n: number): Response | undefined =>
      n === 1
        ? new Response(null, { status: 307, headers: { Location: 'https://two.test/token' } })
        : undefined
    const { net, authorize } = stage({ answer }, {}, ['two.test'])
    expect(await authorize()).toMatchObject({ ok: true, header: 'Bearer token-2' })
    expect(trusted(net)).toEqual(['one.test'])
    expect(net.count('two.test')).toBe(1)
  })

  it('but not across a redirect into a private network', async () => {
    const answer = (): Response =>
      new Response(null, { status: 307, headers: { Location: 'https://169.254.169.254/' } })
    const { net, authorize } = stage({ answer })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'invalid' } })
    expect(net.count('169.254.169.254')).toBe(0)
  })
})

/** An unsigned JWT with these claims. */
function jwt(claims: unknown): string {
  const part = (value: unknown): string =>
    btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
  return `${part({ alg: 'none' })}.${part(claims)}.c2ln`
}

describe('a token is used until ten seconds before its end:', () => {
  const now = 1_800_000_000
  it.each([
    { name: 'expires_in', answer: { token: 't', expires_in: 300 }, seconds: 300 },
    { name: 'at least a minute', answer: { token: 't', expires_in: 5 }, seconds: 60 },
    { name: 'a minute where nothing is stated', answer: { token: 't' }, seconds: 60 },
    {
      name: 'a minute where nonsense is stated',
      answer: { token: 't', expires_in: '9' },
      seconds: 60,
    },
    {
      name: 'a minute where the past is stated',
      answer: { token: 't', expires_in: -9 },
      seconds: 60,
    },
    { name: 'the exp of a JWT (Quay)', answer: { token: jwt({ exp: now + 3600 }) }, seconds: 3600 },
    {
      name: 'a minute for a JWT of the past',
      answer: { token: jwt({ exp: now - 9 }) },
      seconds: 60,
    },
    { name: 'a minute for a JWT without end', answer: { token: jwt({ sub: 'x' }) }, seconds: 60 },
    { name: 'a minute for a JWT that is none', answer: { token: 'a.b.c' }, seconds: 60 },
    {
      name: 'expires_in rather than exp',
      answer: { token: jwt({ exp: now + 3600 }), expires_in: 120 },
      seconds: 120,
    },
    { name: 'access_token alone', answer: { access_token: 't', expires_in: 90 }, seconds: 90 },
  ])('$name', async ({ answer, seconds }) => {
    vi.spyOn(Date, 'now').mockReturnValue(now * SECOND)
    const clock = stopClock()
    const { host, authorize } = stage({ answer: () => Response.json(answer) })
    expect(await authorize()).toMatchObject({ ok: true, isNew: true })
    clock.advance((seconds - 10) * SECOND - 1)
    expect(await authorize()).toMatchObject({ ok: true, isNew: false })
    expect(host.tokens).toBe(1)
    clock.advance(1)
    expect(await authorize()).toMatchObject({ ok: true, isNew: true })
    expect(host.tokens).toBe(2)
  })
})

describe('a token service that', () => {
  const cut = (): Response =>
    new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('cut')) }))
  const html = (): Response =>
    new Response('<html>sign in</html>', { headers: { 'Content-Type': 'text/html' } })
  const page = (status: number) => (): Response => new Response('<html>', { status })

  it.each([
    { name: 'answers a page', answer: html },
    { name: 'answers no token', answer: () => Response.json({ expires_in: 300 }) },
    { name: 'answers null', answer: () => Response.json(null) },
    { name: 'answers a list', answer: () => Response.json(['t']) },
    { name: 'answers a number for a token', answer: () => Response.json({ token: 7 }) },
    { name: 'answers an empty token', answer: () => Response.json({ token: '' }) },
    { name: 'answers a header for a token', answer: () => Response.json({ token: 'a\r\nX: y' }) },
    { name: 'answers too much', answer: () => Response.json({ token: 'a'.repeat(65_536) }) },
    { name: 'answers half', answer: cut },
    { name: 'answers 500', answer: page(500) },
    { name: 'answers 404', answer: page(404) },
    { name: 'answers 400', answer: page(400) },
    { name: 'answers a redirect to nowhere', answer: page(302) },
  ])('$name is unavailable, and is asked again next time', async ({ answer }) => {
    const { host, authorize } = stage({ answer })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'unavailable' } })
    expect(await authorize()).toMatchObject({ ok: false, failure: { kind: 'unavailable' } })
    expect(host.tokens).toBe(2)
  })

  it('is not there is unavailable', async () => {
    const { authorize } = stage(
      { challenge: 'Bearer realm="https://auth.test/token"' },
      { entry: { realms: ['https://auth.test'] } },
    )
    expect(await authorize()).toMatchObject({
      ok: false,
      failure: { kind: 'unavailable', isTimeout: false, reason: 'auth.test cannot be reached' },
    })
  })

  it.each([401, 403])('answers %i to nobody has spoken of the repository', async (status) => {
    const upstream = upstreamFrom()
    const host = new TokenHost({ answer: page(status) })
    const gate = connect(upstream, { network: network({ 'one.test': host }) }).gateOf()
    expect(await gate.authorize(REPOSITORY, 'free')).toMatchObject({
      ok: false,
      failure: { kind: 'denied' },
    })
    // It may be different for the next repository.
    await gate.authorize(repository('c/d'), 'free')
    expect(host.tokens).toBe(2)
  })

  it('asks for patience gets it', async () => {
    const clock = stopClock()
    const answer = (): Response =>
      new Response('', { status: 429, headers: { 'Retry-After': '120' } })
    const { host, authorize } = stage({ answer })
    const limited = (retryAfter: number): object => ({
      ok: false,
      failure: { kind: 'rate-limited', retryAfter },
    })
    expect(await authorize()).toEqual(limited(120))
    clock.advance(MINUTE)
    expect(await authorize('c/d')).toEqual(limited(60))
    expect(host.tokens).toBe(1)
  })
})

describe('a registry that is asked how it authenticates', () => {
  const base = (status: number, headers: Record<string, string> = {}): Network =>
    network({ 'one.test': async () => new Response('{}', { status, headers }) })

  it.each([
    { name: '200', net: base(200), want: { ok: true, header: undefined } },
    { name: '404', net: base(404), want: { ok: true, header: undefined } },
    { name: '401 without a challenge', net: base(401), want: { ok: true, header: undefined } },
    { name: '500', net: base(500), want: { ok: false, failure: { kind: 'unavailable' } } },
    {
      name: '429',
      net: base(429, { 'Retry-After': '7' }),
      want: { ok: false, failure: { kind: 'rate-limited', retryAfter: 7 } },
    },
    { name: 'nothing', net: network({}), want: { ok: false, failure: { kind: 'unavailable' } } },
  ])('and answers $name', async ({ net, want }) => {
    const gate = connect(upstreamFrom(), { network: net }).gateOf()
    expect(await gate.authorize(REPOSITORY, 'free')).toMatchObject(want)
    expect(net.urls()).toEqual(['https://one.test/v2/'])
  })
})
