// What is known of the public registries before they are asked, and that they are spoken to that way.

import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import type { UpstreamRequest } from '../../src/upstream/client.ts'
import { profileOf } from '../../src/upstream/profile.ts'
import { SECOND } from '../support/clock.ts'
import { network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { TokenHost } from '../support/token-host.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'

const LOGIN = { username: 'anna', password: 'canary' }

function requestFor(name: string): UpstreamRequest {
  return {
    method: 'GET',
    repository: repository(name),
    path: 'manifests/latest',
    purpose: 'counted',
    deadline: Date.now() + 20 * SECOND,
  }
}

describe('a well-known registry', () => {
  const docker = {
    url: 'https://registry-1.docker.io',
    token: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
  }
  it.each([
    { host: 'docker.io', ...docker },
    { host: 'index.docker.io', canonical: 'docker.io', ...docker },
    { host: 'registry-1.docker.io', canonical: 'docker.io', ...docker },
    { host: 'registry.hub.docker.com', canonical: 'docker.io', ...docker },
    { host: 'Docker.IO', canonical: 'docker.io', ...docker },
    { host: 'ghcr.io', token: 'https://ghcr.io/token', service: 'ghcr.io' },
    { host: 'quay.io', token: 'https://quay.io/v2/auth', service: 'quay.io' },
    { host: 'registry.k8s.io', token: 'none' },
    {
      host: 'k8s.gcr.io',
      canonical: 'registry.k8s.io',
      url: 'https://registry.k8s.io',
      token: 'none',
    },
    { host: 'gcr.io', token: 'https://gcr.io/v2/token', service: 'gcr.io' },
    { host: 'eu.gcr.io', token: 'https://eu.gcr.io/v2/token', service: 'eu.gcr.io' },
    {
      host: 'europe-docker.pkg.dev',
      token: 'https://europe-docker.pkg.dev/v2/token',
      service: 'europe-docker.pkg.dev',
    },
    { host: 'mcr.microsoft.com', token: 'none' },
    {
      host: 'public.ecr.aws',
      token: 'https://public.ecr.aws/token/',
      service: 'public.ecr.aws',
      scope: 'aws',
      expired: [400],
    },
    { host: 'nvcr.io', token: 'https://nvcr.io/proxy_auth' },
    {
      host: 'registry.gitlab.com',
      token: 'https://gitlab.com/jwt/auth',
      service: 'container_registry',
    },
  ])('$host', (row) => {
    const { host, canonical = host, url = `https://${host}`, token } = row
    const { upstreams } = parseConfig({ UPSTREAMS: { [host]: {} } })
    const upstream = upstreams.get(canonical) ?? expect.fail('another canonical host')
    const { service, scope = 'repository:team/app:pull', expired = [] } = row
    expect(upstream.url).toBe(url)
    expect(upstream.authentication).toEqual(token === 'none' ? 'none' : { realm: token, service })
    expect(upstream.scope(repository('team/app'))).toBe(scope)
    expect(upstream.expiredStatuses).toEqual(expired)
    const origins = token === 'none' ? [url] : [url, new URL(token).origin]
    expect(new Set(upstream.realms)).toEqual(new Set(origins))
  })

  it.each([
    'one.test',
    'mygcr.io',
    'evil-gcr.io',
    'pkg.dev',
    'docker.io.evil.net',
    'ghcr.io:443',
    '',
  ])('is not %j', (host) => {
    expect(profileOf(host)).toBeUndefined()
  })

  it('is asked like any other when its url is somebody else', () => {
    const relay = { url: 'https://relay.test', private: false }
    expect(upstreamFrom({ host: 'docker.io', entry: relay })).toMatchObject({
      authentication: 'ask',
      realms: ['https://relay.test'],
    })
  })
})

describe('Docker Hub', () => {
  it('is given the password at its token service, and nowhere else', async () => {
    const upstream = upstreamFrom({ host: 'docker.io', credentials: [LOGIN] })
    const host = new TokenHost()
    const net = network({ 'registry-1.docker.io': host, 'auth.docker.io': host })
    const { client } = connect(upstream, { network: net })
    await client.send(requestFor('library/nginx'))
    expect(net.requests.map(({ url, headers }) => [url, headers['authorization']])).toEqual([
      [
        'https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fnginx%3Apull&account=anna',
        `Basic ${btoa('anna:canary')}`,
      ],
      ['https://registry-1.docker.io/v2/library/nginx/manifests/latest', 'Bearer token-1'],
    ])
  })
})

describe('a registry that never asks', () => {
  it.each(['registry.k8s.io', 'mcr.microsoft.com'])('%s is not asked how', async (name) => {
    const net = network({ [name]: async () => new Response('content') })
    const { client } = connect(upstreamFrom({ host: name }), { network: net })
    await client.send(requestFor('a/b'))
    expect(net.urls()).toEqual([`https://${name}/v2/a/b/manifests/latest`])
    expect(net.requests[0]?.headers).not.toHaveProperty('authorization')
  })
})

describe('public.ecr.aws', () => {
  it('is asked for the scope aws, once for all repositories', async () => {
    const host = new TokenHost()
    const net = network({ 'public.ecr.aws': host })
    const { client } = connect(upstreamFrom({ host: 'public.ecr.aws' }), { network: net })
    await client.send(requestFor('a/b'))
    await client.send(requestFor('c/d'))
    expect(net.urls()[0]).toBe('https://public.ecr.aws/token/?service=public.ecr.aws&scope=aws')
    expect(host.tokens).toBe(1)
  })

  it('says 400 when a token has expired, and means it once', async () => {
    let valid = 'Bearer token-1'
    const content = (authorization: string | null): Response =>
      authorization === valid ? new Response('content') : new Response('{}', { status: 400 })
    const host = new TokenHost({ content })
    const net = network({ 'public.ecr.aws': host })
    let time = Date.now()
    const now = () => time
    const { client } = connect(upstreamFrom({ host: 'public.ecr.aws' }), { network: net, now })
    await client.send(requestFor('a/b'))
    valid = 'Bearer token-2'
    expect((await client.send(requestFor('a/b'))).status).toBe(200)
    expect(host.tokens).toBe(2)
    valid = 'none'
    net.forget()
    const refused = { kind: 'invalid' }
    expect(await failureFrom(client.send(requestFor('a/b')))).toMatchObject(refused)
    expect([host.tokens, net.count()]).toEqual([2, 1])
    time += 60_000
    const later = { ...requestFor('a/b'), deadline: time + 20 * SECOND }
    expect(await failureFrom(client.send(later))).toMatchObject(refused)
    expect([host.tokens, net.count()]).toEqual([3, 4])
  })

  it('says 400 to a token made now, and means the request', async () => {
    const host = new TokenHost({ content: () => new Response('{}', { status: 400 }) })
    const net = network({ 'public.ecr.aws': host })
    const { client } = connect(upstreamFrom({ host: 'public.ecr.aws' }), { network: net })
    expect(await failureFrom(client.send(requestFor('a/b')))).toMatchObject({ kind: 'invalid' })
    expect(net.urls().map((url) => new URL(url).pathname)).toEqual([
      '/token/',
      '/v2/a/b/manifests/latest',
    ])
  })
})

describe('nvcr.io', () => {
  it('names another realm for an expired token, which is never asked', async () => {
    const challenge = 'Bearer realm="https://authn.nvidia.com/token",service="registry"'
    let ended = ''
    const content = (authorization: string | null): Response =>
      authorization === ended
        ? new Response('{}', { status: 401, headers: { 'WWW-Authenticate': challenge } })
        : new Response('content')
    const host = new TokenHost({ content })
    const net = network({ 'nvcr.io': host, 'authn.nvidia.com': host })
    const upstream = upstreamFrom({ host: 'nvcr.io', credentials: [LOGIN] })
    const { client } = connect(upstream, { network: net })
    await client.send(requestFor('nvidia/cuda'))
    ended = 'Bearer token-1'
    expect((await client.send(requestFor('nvidia/cuda'))).status).toBe(200)
    expect(net.count('authn.nvidia.com')).toBe(0)
    const realm = 'https://nvcr.io/proxy_auth'
    const asked = `${realm}?scope=repository%3Anvidia%2Fcuda%3Apull&account=anna`
    expect(net.urls().filter((url) => url.startsWith(realm))).toEqual([asked, asked])
  })
})
