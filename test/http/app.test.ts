// What is the same for every request: methods, errors, request id, `Cache-Status`, one line of log, and
// nothing of an upstream or of a secret in any of them.

import { reset } from 'cloudflare:test'
import { exports } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { refusalOf } from '../support/answer.ts'
import { MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { contentOf, locationOf, startHosted } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { LogLine } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

const STEM = '/v2/one.test/a/b'
const ABSENT = `sha256:${'0'.repeat(64)}`

let upstream: SampleUpstream
let net: Network
let image: SampleManifest
let clock: Clock

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  net = goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

describe('methods', () => {
  const read = 'GET, HEAD'

  it.each([
    { method: 'PUT', path: `${STEM}/manifests/v1`, allow: read },
    { method: 'POST', path: `${STEM}/manifests/v1`, allow: read },
    { method: 'PATCH', path: `${STEM}/manifests/v1`, allow: read },
    { method: 'DELETE', path: `${STEM}/manifests/${ABSENT}`, allow: read },
    { method: 'OPTIONS', path: `${STEM}/manifests/v1`, allow: read },
    { method: 'DELETE', path: `${STEM}/blobs/${ABSENT}`, allow: read },
    { method: 'PUT', path: `${STEM}/blobs/${ABSENT}`, allow: read },
    { method: 'POST', path: `${STEM}/tags/list`, allow: read },
    { method: 'PUT', path: `${STEM}/referrers/${ABSENT}`, allow: read },
    { method: 'POST', path: '/v2/', allow: read },
    { method: 'DELETE', path: '/v2/_catalog', allow: read },
    { method: 'PUT', path: `${STEM}/manifests/v1?tag=a&tag=b`, allow: read },
    { method: 'DELETE', path: `${STEM}/manifests/v1`, allow: read },
    { method: 'POST', path: '/healthz', allow: read },
    { method: 'POST', path: `${STEM}/blobs/uploads/`, allow: '' },
    { method: 'POST', path: `${STEM}/blobs/uploads/?mount=${ABSENT}&from=one.test/c`, allow: '' },
    { method: 'GET', path: `${STEM}/blobs/uploads/x`, allow: '' },
    { method: 'PATCH', path: `${STEM}/blobs/uploads/x`, allow: '' },
    { method: 'PUT', path: `${STEM}/blobs/uploads/x?digest=${ABSENT}`, allow: '' },
    { method: 'DELETE', path: `${STEM}/blobs/uploads/x`, allow: '' },
    { method: 'POST', path: '/v2/nginx/blobs/uploads/', allow: '' },
  ])('$method $path: 405, Allow: "$allow"', async ({ method, path, allow }) => {
    const body = method === 'GET' || method === 'HEAD' ? {} : { body: 'x' }
    const answer = await isolate().fetch(path, { method, ...body })
    expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
    expect(answer.headers.get('allow')).toBe(allow)
    expect(net.urls()).toEqual([])
  })
})

describe('paths that are no endpoint', () => {
  it.each([
    { path: '/', want: '404 NAME_UNKNOWN' },
    { path: '/favicon.ico', want: '404 NAME_UNKNOWN' },
    { path: '/v1/repositories/a/b/images', want: '404 NAME_UNKNOWN' },
    { path: '/v2/_catalog/', want: '404 NAME_UNKNOWN' },
    { path: '/v2/one.test', want: '404 NAME_UNKNOWN' },
    { path: `${STEM}/tags`, want: '404 NAME_UNKNOWN' },
    { path: `${STEM}/tags/list/`, want: '404 NAME_UNKNOWN' },
    { path: `${STEM}/manifests/`, want: '404 NAME_UNKNOWN' },
    { path: '/v2/manifests/latest', want: '404 NAME_UNKNOWN' },
    { path: '/cdn-cgi/mf/explorer/', want: '404 NAME_UNKNOWN' },
    { path: '/healthz/', want: '404 NAME_UNKNOWN' },
  ])('$path: $want', async ({ path, want }) => {
    expect(await refusalOf(await isolate().get(path))).toBe(want)
    expect(net.urls()).toEqual([])
  })
})

describe('/healthz', () => {
  it('says ok and asks nobody', async () => {
    const answer = await isolate().get('/healthz')
    expect(answer.status).toBe(200)
    expect(await answer.text()).toBe('ok\n')
    expect((await isolate().head('/healthz')).status).toBe(200)
    expect(net.urls()).toEqual([])
  })

  it.each([
    { name: 'an unknown key', settings: { UPSTREAM: {} }, says: 'UPSTREAM:' },
    {
      name: 'a wrong value',
      settings: { UPSTREAMS: { 'one.test': { private: false, tagTTL: 'canary' } } },
      says: 'tagTTL',
    },
    {
      name: 'secrets that are no JSON',
      settings: { UPSTREAM_CREDENTIALS: '{canary' },
      says: 'UPSTREAM_CREDENTIALS',
    },
    { name: 'a missing binding', settings: { BLOBS: undefined }, says: 'BLOBS' },
  ])('wrong configuration, $name: 503 everywhere, and only the log says why', async (row) => {
    const { get, head, lines } = isolate(row.settings)
    for (const path of ['/healthz', '/v2/', `${STEM}/manifests/v1`]) {
      const answer = await get(path)
      const text = await answer.clone().text()
      expect(await refusalOf(answer)).toBe('503 UNKNOWN')
      expect(text).not.toMatch(/canary|tagTTL|UPSTREAM|BLOBS/)
      expect(answer.headers.get('cache-status')).toBe('entrepot')
    }
    expect((await head('/healthz')).body).toBeNull()
    expect(lines('request')).toHaveLength(4)
    expect(String(lines('configuration-wrong')[0]?.['reason'])).toContain(row.says)
    expect(net.urls()).toEqual([])
  })

  it('a wrong secret is named in the log and not shown', async () => {
    const { get, lines } = isolate({ UPSTREAM_CREDENTIALS: '{"one.test":"canary-password"}' })
    expect((await get('/healthz')).status).toBe(503)
    expect(JSON.stringify(lines())).toContain('UPSTREAM_CREDENTIALS')
    expect(JSON.stringify(lines())).not.toContain('canary')
  })
})

interface Asked {
  readonly name: string
  readonly path: string
  readonly method?: string
  /** What happened before. */
  readonly before?: () => Promise<void> | void
  readonly status: number
  readonly cacheStatus: string
  /** The line of log, without id, ms and bytes. */
  readonly line: Readonly<Record<string, unknown>>
}

async function warm(): Promise<void> {
  const { get, settle } = isolate()
  await get(`${STEM}/manifests/v1`)
  await (await get(`${STEM}/tags/list`)).text()
  await settle()
}

const repository = 'one.test/a/b'

const REQUESTS: readonly Asked[] = [
  {
    name: 'cold manifest',
    path: `${STEM}/manifests/v1?canary=1`,
    status: 200,
    cacheStatus: 'entrepot; fwd=miss; stored',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository,
      outcome: 'fill',
      status: 200,
    },
  },
  {
    name: 'warm manifest',
    path: `${STEM}/manifests/v1`,
    before: warm,
    status: 200,
    cacheStatus: 'entrepot; hit',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository,
      outcome: 'hit',
      status: 200,
    },
  },
  {
    name: 'warm manifest by HEAD',
    path: `${STEM}/manifests/v1`,
    method: 'HEAD',
    before: warm,
    status: 200,
    cacheStatus: 'entrepot; hit',
    line: {
      method: 'HEAD',
      endpoint: 'manifest',
      repository,
      outcome: 'hit',
      status: 200,
    },
  },
  {
    name: 'stale manifest',
    path: `${STEM}/manifests/v1`,
    before: async () => {
      await warm()
      clock.advance(6 * MINUTE)
      upstream.stop()
    },
    status: 200,
    cacheStatus: 'entrepot; fwd=stale',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository,
      outcome: 'stale',
      status: 200,
    },
  },
  {
    name: 'absent manifest',
    path: `${STEM}/manifests/none`,
    status: 404,
    cacheStatus: 'entrepot; fwd=miss',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository,
      outcome: 'miss',
      status: 404,
    },
  },
  {
    name: 'manifest of an upstream that is down',
    path: `${STEM}/manifests/v1`,
    before: () => upstream.stop(),
    status: 502,
    cacheStatus: 'entrepot; fwd=miss',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository,
      outcome: 'miss',
      status: 502,
    },
  },
  {
    name: 'tags',
    path: `${STEM}/tags/list`,
    status: 200,
    cacheStatus: 'entrepot; fwd=miss; stored',
    line: { method: 'GET', endpoint: 'tags', repository, outcome: 'fill', status: 200 },
  },
  {
    name: 'tags again',
    path: `${STEM}/tags/list`,
    before: warm,
    status: 200,
    cacheStatus: 'entrepot; hit',
    line: { method: 'GET', endpoint: 'tags', repository, outcome: 'hit', status: 200 },
  },
  {
    name: 'referrers',
    path: `${STEM}/referrers/${ABSENT}`,
    status: 200,
    cacheStatus: 'entrepot; fwd=miss; stored',
    line: {
      method: 'GET',
      endpoint: 'referrers',
      repository,
      outcome: 'fill',
      status: 200,
    },
  },
  {
    name: 'absent blob',
    path: `${STEM}/blobs/${ABSENT}`,
    status: 404,
    cacheStatus: 'entrepot; fwd=miss',
    line: { method: 'GET', endpoint: 'blob', repository, outcome: 'miss', status: 404 },
  },
  {
    name: 'base',
    path: '/v2/',
    status: 401,
    cacheStatus: 'entrepot',
    line: {
      method: 'GET',
      endpoint: 'base',
      repository: undefined,
      outcome: undefined,
      status: 401,
    },
  },
  {
    name: 'denied',
    path: '/v2/private.test/a/b/manifests/v1',
    status: 401,
    cacheStatus: 'entrepot',
    line: {
      method: 'GET',
      endpoint: 'manifest',
      repository: 'private.test/a/b',
      outcome: undefined,
      status: 401,
    },
  },
  {
    name: 'unknown path',
    path: '/canary-path',
    status: 404,
    cacheStatus: 'entrepot',
    line: {
      method: 'GET',
      endpoint: 'unknown',
      repository: undefined,
      outcome: undefined,
      status: 404,
    },
  },
]

describe('every answer', () => {
  it.each(REQUESTS)('$name: id, Cache-Status and one line of log', async (row) => {
    await row.before?.()
    const { fetch, lines, settle } = isolate()
    const headers = {
      authorization: 'Bearer canary-token',
      cookie: 'canary',
      'x-request-id': 'canary',
    }
    const answer = await fetch(row.path, { method: row.method ?? 'GET', headers })
    expect(answer.status).toBe(row.status)
    expect(answer.headers.get('cache-status')).toBe(row.cacheStatus)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const id = answer.headers.get('x-request-id')
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
    const { byteLength } = await answer.bytes()
    await settle()
    const [line, ...more] = lines('request')
    expect(more).toEqual([])
    const bytes = row.method === 'HEAD' ? undefined : byteLength
    expect(line).toStrictEqual({
      event: 'request',
      id,
      caller: undefined,
      ms: 0,
      bytes,
      ...row.line,
    })
    expect(JSON.stringify(lines())).not.toContain('canary')
  })

  it('has an id of its own', async () => {
    const { get } = isolate()
    const ids = await Promise.all(
      Array.from({ length: 20 }, async () => (await get('/v2/')).headers.get('x-request-id')),
    )
    expect(new Set(ids).size).toBe(20)
  })

  it('comes from the Worker itself as from the app', async () => {
    const printed: LogLine[] = []
    vi.spyOn(console, 'log').mockImplementation(
      (text: string) => void printed.push(JSON.parse(text)),
    )
    const answer = await exports.default.fetch(`https://registry.test${STEM}/manifests/v1`)
    expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
    await answer.bytes()
    expect(printed.filter(({ event }) => event === 'request')).toHaveLength(1)
  })
})

interface Told {
  readonly name: string
  readonly ask: (registry: HostedRegistry) => Promise<Response>
  readonly status: number
  /** What the log calls bytes. */
  readonly bytes: number | 'all of the answer' | undefined
}

const SMALL = new TextEncoder().encode('abcdefgh')
const LAYER_PATH = '/v2/hosted/a/blobs'

async function pushSmall({ pushBlob }: HostedRegistry): Promise<string> {
  const { digest } = await pushBlob('hosted/a', await contentOf(SMALL))
  return `${LAYER_PATH}/${digest}`
}

const TOLD: readonly Told[] = [
  {
    name: 'a blob',
    ask: async (registry) => registry.get(await pushSmall(registry)),
    status: 200,
    bytes: 8,
  },
  {
    name: 'a range',
    ask: async (registry) => registry.get(await pushSmall(registry), { range: 'bytes=2-4' }),
    status: 206,
    bytes: 3,
  },
  {
    name: 'HEAD of a blob',
    ask: async (registry) => registry.head(await pushSmall(registry)),
    status: 200,
    bytes: undefined,
  },
  {
    name: 'a blob that the client has',
    ask: async (registry) => registry.get(await pushSmall(registry), { 'if-none-match': '*' }),
    status: 304,
    bytes: undefined,
  },
  {
    name: 'a manifest that the client has',
    ask: (registry) => registry.get(`${STEM}/manifests/v1`, { 'if-none-match': '*' }),
    status: 304,
    bytes: undefined,
  },
  {
    name: 'HEAD of what is absent',
    ask: (registry) => registry.head(`${LAYER_PATH}/${ABSENT}`),
    status: 404,
    bytes: undefined,
  },
  { name: 'health', ask: (registry) => registry.get('/healthz'), status: 200, bytes: 3 },
  {
    name: 'a session',
    ask: (registry) => registry.send('POST', `${LAYER_PATH}/uploads/`),
    status: 202,
    bytes: 0,
  },
  {
    name: 'a second chunk',
    ask: async (registry) => {
      const first = await registry.patch(await registry.open('hosted/a'), SMALL, 0)
      return registry.patch(locationOf(first), SMALL, 8)
    },
    status: 202,
    bytes: 16,
  },
  {
    name: 'the end of an upload',
    ask: async (registry) => {
      const { bytes, digest } = await contentOf(SMALL)
      return registry.close(await registry.open('hosted/a'), digest, { bytes })
    },
    status: 201,
    bytes: 8,
  },
  {
    name: 'a wrong end of an upload',
    ask: async (registry) => {
      const location = await registry.open('hosted/a')
      return registry.close(location, ABSENT, { bytes: SMALL })
    },
    status: 400,
    bytes: 'all of the answer',
  },
  {
    name: 'a session that is given up',
    ask: async (registry) => registry.send('DELETE', await registry.open('hosted/a')),
    status: 204,
    bytes: undefined,
  },
  {
    name: 'a deleted blob',
    ask: async (registry) => registry.send('DELETE', await pushSmall(registry)),
    status: 202,
    bytes: 0,
  },
]

describe('bytes in the log', () => {
  it.each(TOLD)('$name: $bytes', async ({ ask, status, bytes }) => {
    const registry = startHosted()
    const answer = await ask(registry)
    expect(answer.status).toBe(status)
    const { byteLength } = await answer.bytes()
    await registry.settle()
    const want = bytes === 'all of the answer' ? byteLength : bytes
    expect(registry.lines('request').at(-1)).toHaveProperty('bytes', want)
  })

  it('a pushed manifest: what it holds', async () => {
    const registry = startHosted()
    const answer = await registry.putManifest('/v2/sparse/a/manifests/v1', image.bytes)
    expect(answer.status).toBe(201)
    expect(registry.lines('request')).toMatchObject([{ bytes: image.bytes.byteLength }])
  })
})

describe('a loop', () => {
  it('T039: a request that this registry sent comes back to it: 502, and goes no further', async () => {
    const { get } = isolate()
    await get(`${STEM}/manifests/v1`)
    const via = net.requests.at(-1)?.headers['via']
    expect(via).toMatch(/^1\.1 entrepot-/)
    net.forget()
    for (const header of [via ?? '', `1.1 other, ${via}`, `${via}, 1.0 fred`]) {
      const answer = await get(`${STEM}/manifests/other`, { via: header })
      expect(await refusalOf(answer)).toBe('502 UNKNOWN')
    }
    expect(net.urls()).toEqual([])
    expect((await get(`${STEM}/manifests/v1`, { via: '1.1 vegur' })).status).toBe(200)
  })

  it('T039: an upstream that is this registry ends after one hop', async () => {
    const { get, fetch } = isolate()
    net = goOnline({
      'one.test': (url, init) =>
        fetch(url.slice('https://one.test'.length), init).then((r) => r.clone()),
    })
    expect(await refusalOf(await get('/v2/one.test/v2/x/manifests/v1'))).toBe('502 UNKNOWN')
    expect(net.count()).toBeLessThanOrEqual(2)
  })
})

describe('an upstream’s own words', () => {
  const CANARIES = {
    'set-cookie': 'canary=1',
    'www-authenticate': 'Bearer realm="https://canary.test/token"',
    location: 'https://canary.test/',
    link: '<https://canary.test/?last=x>; rel="canary"',
    server: 'canary',
    connection: 'canary',
    'strict-transport-security': 'max-age=canary',
    'content-security-policy': 'canary',
    'docker-distribution-api-version': 'canary',
    'x-request-id': 'canary',
    'cache-control': 'max-age=1, canary',
    etag: '"canary"',
    'oci-subject': 'canary',
    warning: '299 - "canary"',
  }

  it.each(['/manifests/v1', '/tags/list', '/referrers/digest', '/blobs/digest'])(
    'T021: %s answers with the listed headers only',
    async (path) => {
      upstream.fault({ do: { headers: CANARIES } })
      const digest = path.startsWith('/blobs') ? image.blobs[0]?.digest : image.digest
      const { get, settle } = isolate()
      const answer = await get(`${STEM}${path.replace('digest', String(digest))}`)
      expect(answer.status).toBe(200)
      expect(JSON.stringify([...answer.headers])).not.toContain('canary')
      const listed = [
        'accept-ranges',
        'age',
        'cache-control',
        'cache-status',
        'content-length',
        'content-type',
        'docker-content-digest',
        'docker-distribution-api-version',
        'etag',
        'x-content-type-options',
        'x-request-id',
      ]
      expect([...answer.headers.keys()].filter((name) => !listed.includes(name))).toEqual([])
      await answer.bytes()
      await settle()
    },
  )

  it.each([
    { status: 200, want: '502 UNKNOWN' },
    { status: 204, want: '502 UNKNOWN' },
    { status: 206, want: '502 UNKNOWN' },
    { status: 302, want: '502 UNKNOWN' },
    { status: 304, want: '502 UNKNOWN' },
    { status: 400, want: '502 UNKNOWN' },
    { status: 401, want: '403 DENIED' },
    { status: 402, want: '502 UNKNOWN' },
    { status: 403, want: '403 DENIED' },
    { status: 404, want: '404 MANIFEST_UNKNOWN' },
    { status: 405, want: '502 UNKNOWN' },
    { status: 406, want: '502 UNKNOWN' },
    { status: 410, want: '502 UNKNOWN' },
    { status: 418, want: '502 UNKNOWN' },
    { status: 429, want: '429 TOOMANYREQUESTS' },
    { status: 451, want: '502 UNKNOWN' },
    { status: 500, want: '502 UNKNOWN' },
    { status: 501, want: '502 UNKNOWN' },
    { status: 502, want: '502 UNKNOWN' },
    { status: 503, want: '502 UNKNOWN' },
    { status: 504, want: '502 UNKNOWN' },
    { status: 521, want: '502 UNKNOWN' },
  ])('T176: $status becomes $want', async ({ status, want }) => {
    const isBodiless = status === 204 || status === 304
    const { location: _, ...headers } = CANARIES
    upstream.fault({
      on: { kind: 'manifest' },
      do: {
        status,
        headers: { ...headers, 'content-type': 'text/html', 'www-authenticate': null },
        ...(isBodiless ? {} : { body: '<html>canary</html>' }),
      },
    })
    const { get, head, lines } = isolate()
    const answer = await get(`${STEM}/manifests/v1`)
    const text = await answer.clone().text()
    expect(await refusalOf(answer)).toBe(want)
    expect(text + JSON.stringify([...answer.headers])).not.toContain('canary')
    expect(answer.headers.get('retry-after') !== null).toBe(want.startsWith('429') || status >= 500)
    const withoutBody = await head(`${STEM}/manifests/v1`)
    expect(withoutBody.status).toBe(answer.status)
    expect(withoutBody.body).toBeNull()
    expect(withoutBody.headers.get('content-length')).toBe(String(text.length))
    expect(JSON.stringify(lines())).not.toContain('canary')
  })

  it('a bug of ours is 500, and only the log says more', async () => {
    const { get, lines } = isolate({
      BLOBS: {
        list: () => {
          throw new RangeError('a bug')
        },
      },
    })
    const answer = await get('/v2/_catalog')
    expect(await answer.clone().text()).not.toContain('a bug')
    expect(await refusalOf(answer)).toBe('500 UNKNOWN')
    expect(lines('request-failed')[0]).toMatchObject({ reason: 'a bug' })
  })
})
