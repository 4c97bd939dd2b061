// Which repository a request means, over HTTP: every form of design §1, the way back of each, and that
// whoever names an unknown host causes no request to anybody.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { nextOf, refusalOf } from '../support/answer.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

const NAMES = ['a/b', 'nginx', 'library/nginx', 'one.test/a/b', 'x/blobs/manifests/tags/list/y']

let hub: SampleUpstream
let one: SampleUpstream
let port: SampleUpstream
let net: Network
/** A digest tells which upstream and which repository answered. */
let digests: Record<string, Digest>

beforeEach(async () => {
  hub = startUpstream({ authentication: { realm: 'https://auth.docker.io/token' } })
  one = startUpstream()
  port = startUpstream()
  net = goOnline({
    'registry-1.docker.io': hub,
    'auth.docker.io': hub,
    'one.test': one,
    'port.test:5000': port,
  })
  digests = {}
  const hosts = { 'docker.io': hub, 'one.test': one, 'port.test:5000': port }
  let seed = 0
  for (const [host, upstream] of Object.entries(hosts)) {
    for (const name of NAMES) {
      const image = await sampleImage({ layers: [16], seed: ++seed })
      digests[`${host} ${name}`] = await addSample(upstream, name, image, 'v1')
      for (const tag of ['v2', 'v3']) upstream.setTag(name, tag, image.digest)
    }
  }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Row {
  readonly name: string
  /** Before and after the endpoint. */
  readonly path: string
  readonly query?: string
  /** Host and repository. */
  readonly want: string
}

const FORMS: readonly Row[] = [
  { name: 'prefix', path: '/v2/one.test/a/b', want: 'one.test a/b' },
  { name: 'prefix, upper case', path: '/v2/ONE.test/a/b', want: 'one.test a/b' },
  { name: 'prefix, one component, no library', path: '/v2/one.test/nginx', want: 'one.test nginx' },
  { name: 'ns', path: '/v2/a/b', query: 'ns=one.test', want: 'one.test a/b' },
  { name: 'ns, upper case', path: '/v2/a/b', query: 'ns=One.Test', want: 'one.test a/b' },
  {
    name: 'ns with the same prefix',
    path: '/v2/one.test/a/b',
    query: 'ns=one.test',
    want: 'one.test a/b',
  },
  {
    name: 'ns with another prefix: ns decides and the path stays whole',
    path: '/v2/one.test/a/b',
    query: 'ns=docker.io',
    want: 'docker.io one.test/a/b',
  },
  {
    name: 'ns with another name of the same upstream as prefix',
    path: '/v2/index.docker.io/a/b',
    query: 'ns=docker.io',
    want: 'docker.io a/b',
  },
  {
    name: 'ns twice, the same upstream',
    path: '/v2/nginx',
    query: 'ns=docker.io&ns=index.docker.io',
    want: 'docker.io library/nginx',
  },
  { name: 'path base', path: '/one.test/v2/a/b', want: 'one.test a/b' },
  { name: 'path base of Docker Hub', path: '/docker.io/v2/nginx', want: 'docker.io library/nginx' },
  { name: 'no hint, one component', path: '/v2/nginx', want: 'docker.io library/nginx' },
  { name: 'no hint, library written', path: '/v2/library/nginx', want: 'docker.io library/nginx' },
  { name: 'no hint, two components', path: '/v2/a/b', want: 'docker.io a/b' },
  { name: 'docker.io', path: '/v2/docker.io/nginx', want: 'docker.io library/nginx' },
  { name: 'index.docker.io', path: '/v2/index.docker.io/nginx', want: 'docker.io library/nginx' },
  {
    name: 'registry-1.docker.io',
    path: '/v2/registry-1.docker.io/nginx',
    want: 'docker.io library/nginx',
  },
  {
    name: 'ns of an alias',
    path: '/v2/nginx',
    query: 'ns=registry-1.docker.io',
    want: 'docker.io library/nginx',
  },
  {
    name: 'host with port in ns',
    path: '/v2/a/b',
    query: 'ns=port.test:5000',
    want: 'port.test:5000 a/b',
  },
  {
    name: 'host with port in ns, encoded',
    path: '/v2/a/b',
    query: 'ns=port.test%3A5000',
    want: 'port.test:5000 a/b',
  },
  {
    name: 'host with port as path base',
    path: '/port.test:5000/v2/a/b',
    want: 'port.test:5000 a/b',
  },
  {
    name: 'host with port as path base, encoded',
    path: '/port.test%3A5000/v2/a/b',
    want: 'port.test:5000 a/b',
  },
  { name: 'host with port as prefix', path: '/v2/port.test:5000/a/b', want: 'port.test:5000 a/b' },
  {
    name: 'a name with the words of endpoints',
    path: '/v2/one.test/x/blobs/manifests/tags/list/y',
    want: 'one.test x/blobs/manifests/tags/list/y',
  },
  {
    name: 'a name with the words of endpoints, path base',
    path: '/one.test/v2/x/blobs/manifests/tags/list/y',
    want: 'one.test x/blobs/manifests/tags/list/y',
  },
]

describe.each(FORMS)('$name', ({ path, query, want }) => {
  const ns = query === undefined ? null : new URLSearchParams(query).get('ns')

  it(`means ${want}`, async () => {
    const suffix = query === undefined ? '' : `?${query}`
    const answer = await isolate().get(`${path}/manifests/v1${suffix}`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('docker-content-digest')).toBe(digests[want])
    expect(answer.headers.get('oci-namespace')).toBe(ns)
  })

  it('gives a Link that leads to the next page', async () => {
    const { get } = isolate()
    const first = await get(`${path}/tags/list?n=2${query === undefined ? '' : `&${query}`}`)
    const repository = want.split(' ')[1]
    expect(await first.json()).toEqual({ name: repository, tags: ['v1', 'v2'] })
    const link = nextOf(first)
    expect(link).toContain(`${path.replace('%3A', ':')}/tags/list?`)
    const second = await get(link ?? '')
    expect(await second.json()).toEqual({ name: repository, tags: ['v3'] })
    expect(nextOf(second)).toBeUndefined()
    expect(second.headers.get('oci-namespace')).toBe(ns)
  })
})

describe('a name that leads nowhere', () => {
  const digest = `sha256:${'0'.repeat(64)}`

  it.each([
    { name: 'unknown prefix', path: '/v2/evil.test/a/b/manifests/v1', want: '404 NAME_UNKNOWN' },
    {
      name: 'unknown prefix, blob',
      path: `/v2/evil.test/a/b/blobs/${digest}`,
      want: '404 NAME_UNKNOWN',
    },
    { name: 'unknown prefix, tags', path: '/v2/evil.test/a/b/tags/list', want: '404 NAME_UNKNOWN' },
    {
      name: 'unknown prefix, referrers',
      path: `/v2/evil.test/a/b/referrers/${digest}`,
      want: '404 NAME_UNKNOWN',
    },
    { name: 'unknown ns', path: '/v2/a/b/manifests/v1?ns=evil.test', want: '404 NAME_UNKNOWN' },
    {
      name: 'unknown ns beside a known prefix',
      path: '/v2/one.test/a/b/manifests/v1?ns=evil.test',
      want: '404 NAME_UNKNOWN',
    },
    { name: 'empty ns', path: '/v2/a/b/manifests/v1?ns=', want: '404 NAME_UNKNOWN' },
    {
      name: 'ns twice',
      path: '/v2/a/b/manifests/v1?ns=docker.io&ns=evil.test',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'ns twice, both known',
      path: '/v2/a/b/manifests/v1?ns=docker.io&ns=one.test',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'ns that is a URL',
      path: '/v2/a/b/manifests/v1?ns=https://one.test',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'ns with credentials',
      path: '/v2/a/b/manifests/v1?ns=one.test@evil.test',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'ns with another port',
      path: '/v2/a/b/manifests/v1?ns=one.test:444',
      want: '404 NAME_UNKNOWN',
    },
    { name: 'unknown path base', path: '/evil.test/v2/a/b/manifests/v1', want: '404 NAME_UNKNOWN' },
    { name: 'unknown path base alone', path: '/evil.test/v2/', want: '404 NAME_UNKNOWN' },
    { name: 'localhost', path: '/v2/localhost/a/manifests/v1', want: '404 NAME_UNKNOWN' },
    {
      name: 'metadata service',
      path: '/v2/169.254.169.254/a/manifests/v1',
      want: '404 NAME_UNKNOWN',
    },
    { name: 'hosted pattern', path: '/v2/hosted/app/manifests/v1', want: '401 UNAUTHORIZED' },
    {
      name: 'hosted pattern, deeper',
      path: '/v2/hosted/team/app/tags/list',
      want: '401 UNAUTHORIZED',
    },
    {
      name: 'the host alone',
      path: '/v2/one.test/manifests/v1?ns=evil.test',
      want: '404 NAME_UNKNOWN',
    },
    { name: 'encoded slash', path: '/v2/one.test%2Fa/b/manifests/v1', want: '400 NAME_INVALID' },
    {
      name: 'encoded slash in the repository',
      path: '/v2/one.test/a%2Fb/manifests/v1',
      want: '400 NAME_INVALID',
    },
    { name: 'encoded letter', path: '/v2/one.test/%61/b/manifests/v1', want: '400 NAME_INVALID' },
    { name: 'encoded NUL', path: '/v2/one.test/a%00/manifests/v1', want: '400 NAME_INVALID' },
    { name: 'empty component', path: '/v2/one.test//a/manifests/v1', want: '400 NAME_INVALID' },
    { name: 'upper case', path: '/v2/one.test/A/b/manifests/v1', want: '400 NAME_INVALID' },
    { name: 'no name', path: '/v2//manifests/v1', want: '404 NAME_UNKNOWN' },
    {
      name: 'two slashes before v2',
      path: '//v2/one.test/a/b/manifests/v1',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'dot segments that leave v2',
      path: '/v2/one.test/../../manifests/v1',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'encoded dot segments',
      path: '/v2/one.test/%2e%2e/%2e%2e/manifests/v1',
      want: '404 NAME_UNKNOWN',
    },
    {
      name: 'NUL in the reference',
      path: '/v2/one.test/a/b/manifests/v1%00',
      want: '404 MANIFEST_UNKNOWN',
    },
    {
      name: 'slash in the reference',
      path: '/v2/one.test/a/b/manifests/..%2Fv1',
      want: '404 MANIFEST_UNKNOWN',
    },
    {
      name: 'broken encoding',
      path: '/v2/one.test/a/b/manifests/%E0%A4',
      want: '404 MANIFEST_UNKNOWN',
    },
    {
      name: 'broken digest',
      path: '/v2/one.test/a/b/manifests/sha256:00',
      want: '400 DIGEST_INVALID',
    },
    {
      name: 'upper-case digest',
      path: `/v2/one.test/a/b/blobs/sha256:${'A'.repeat(64)}`,
      want: '400 DIGEST_INVALID',
    },
  ])('$name: $want, and nobody is asked', async ({ path, want }) => {
    const answer = await isolate({ HOSTED: ['hosted/**'] }).get(path)
    expect(await refusalOf(answer)).toBe(want)
    expect(net.urls()).toEqual([])
  })

  it('is every name without a hint when there is no default upstream', async () => {
    const { get } = isolate({ DEFAULT_UPSTREAM: '' })
    expect(await refusalOf(await get('/v2/nginx/manifests/v1'))).toBe('404 NAME_UNKNOWN')
    expect(net.urls()).toEqual([])
    expect((await get('/v2/docker.io/nginx/manifests/v1')).status).toBe(200)
  })

  it('no header names an upstream', async () => {
    const headers = {
      'x-forwarded-host': 'evil.test',
      'x-forwarded-proto': 'http',
      'x-original-url': '/v2/evil.test/a/b/manifests/v1',
      forwarded: 'host=evil.test',
    }
    const { get } = isolate()
    const answer = await get('/v2/one.test/a/b/manifests/v1?hubhost=evil.test', headers)
    expect(answer.headers.get('docker-content-digest')).toBe(digests['one.test a/b'])
    const first = await get('/v2/one.test/a/b/tags/list?n=1', headers)
    expect(nextOf(first)).toBe('/v2/one.test/a/b/tags/list?n=1&last=v1')
    expect(net.urls().every((url) => url.startsWith('https://one.test/'))).toBe(true)
  })
})

describe('the base', () => {
  it.each([
    '/v2/',
    '/v2',
    '/one.test/v2/',
    '/docker.io/v2/',
    '/port.test%3A5000/v2/',
    '/v2/?ns=one.test',
  ])('end-1: %s answers 200 and asks nobody', async (path) => {
    const answer = await isolate().get(path)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({})
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
    expect(net.urls()).toEqual([])
  })
})
