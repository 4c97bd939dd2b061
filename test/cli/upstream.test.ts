// The sample upstream does what other tests rely on: it serves, it counts, and it goes wrong exactly
// as asked. Its conformance to the spec is proved by the official suite.

import { beforeEach, describe, expect, it } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { AuthenticationOptions } from '../../cli/upstream-token.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

const ORIGIN = 'http://upstream.test'
const SIZE = 200_000
const BYTES = sampleBytes(SIZE)
const MANUAL = { redirect: 'manual' } as const

let upstream: SampleUpstream
let digest: Digest
let blobURL: string

beforeEach(async () => {
  upstream = new SampleUpstream()
  digest = await upstream.addBlob('a/b', BYTES)
  blobURL = `${ORIGIN}/v2/a/b/blobs/${digest}`
})

async function get(path: string, init: RequestInit = {}): Promise<Response> {
  return await upstream.fetch(ORIGIN + path, { ...MANUAL, ...init })
}

async function readLength(response: Response): Promise<number> {
  return (await response.arrayBuffer()).byteLength
}

async function statusOfTags(): Promise<number> {
  return (await get('/v2/a/b/tags/list')).status
}

function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${btoa(`${username}:${password}`)}` }
}

async function tokenFor(scope: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await get(`/token?service=sample&scope=${encodeURIComponent(scope)}`, {
    headers,
  })
  return JSON.parse(await response.text()).token
}

async function statusOf(path: string, token?: string): Promise<number> {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await get(path, { headers })).status
}

async function startGuarded(options: AuthenticationOptions, now?: () => number): Promise<void> {
  upstream = new SampleUpstream({
    authentication: { service: 'sample', accounts: { u: 'p' }, ...options },
    ...(now === undefined ? {} : { now }),
  })
  for (const name of ['open/x', 'closed/x']) {
    upstream.setTag(name, 'latest', digest)
  }
}

describe('pulling', () => {
  it('end-3: serves an image with everything that it names, byte for byte', async () => {
    const image = await sampleImage({ layers: [1000, 5000] })
    await addSample(upstream, 'library/x', image, 'latest')
    const response = await get('/v2/library/x/manifests/latest')
    expect(response.headers.get('docker-content-digest')).toBe(image.digest)
    expect(response.headers.get('content-type')).toBe(image.mediaType)
    expect(response.headers.get('content-length')).toBe(String(image.bytes.length))
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(image.bytes)
    for (const blob of image.blobs) {
      const answer = await get(`/v2/library/x/blobs/${blob.digest}`)
      expect(await digestOf(new Uint8Array(await answer.arrayBuffer()))).toBe(blob.digest)
    }
  })

  it('end-1: answers the base', async () => {
    expect((await get('/v2/')).status).toBe(200)
  })

  it.each([
    { path: '/v2/a/b/manifests/none', status: 404, code: 'MANIFEST_UNKNOWN' },
    { path: '/v2/no/repo/manifests/latest', status: 404, code: 'NAME_UNKNOWN' },
    { path: '/v2/no/repo/tags/list', status: 404, code: 'NAME_UNKNOWN' },
    { path: `/v2/a/b/blobs/sha256:${'0'.repeat(64)}`, status: 404, code: 'BLOB_UNKNOWN' },
    { path: '/v2/a/b/blobs/sha256:00', status: 400, code: 'DIGEST_INVALID' },
    { path: '/v2/A/b/tags/list', status: 400, code: 'NAME_INVALID' },
    { path: '/v2/_catalog', status: 404, code: 'UNSUPPORTED' },
    { path: '/elsewhere', status: 404, code: 'UNSUPPORTED' },
    { path: '/token', status: 404, code: 'UNSUPPORTED' },
  ])('answers $path with $status $code', async ({ path, status, code }) => {
    const response = await get(path)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ errors: [{ code }] })
  })

  it.each([
    { range: 'bytes=5-9', status: 206, length: 5, contentRange: `bytes 5-9/${SIZE}` },
    {
      range: 'bytes=-5',
      status: 206,
      length: 5,
      contentRange: `bytes ${SIZE - 5}-${SIZE - 1}/${SIZE}`,
    },
    {
      range: `bytes=${SIZE - 1}-`,
      status: 206,
      length: 1,
      contentRange: `bytes ${SIZE - 1}-${SIZE - 1}/${SIZE}`,
    },
    { range: `bytes=${SIZE}-`, status: 416, length: 0, contentRange: `bytes */${SIZE}` },
    { range: 'bytes=5-9', ifRange: '"other"', status: 200, length: SIZE, contentRange: null },
  ])('end-2: $range, If-Range $ifRange: $status', async (row) => {
    const headers: Record<string, string> = { range: row.range }
    if (row.ifRange !== undefined) {
      headers['if-range'] = row.ifRange
    }
    const response = await upstream.fetch(blobURL, { ...MANUAL, headers })
    expect(response.status).toBe(row.status)
    expect(await readLength(response)).toBe(row.length)
    expect(response.headers.get('content-range')).toBe(row.contentRange)
  })

  it('end-8: pages of tags lead through all of them', async () => {
    upstream = new SampleUpstream({ pageSize: 2 })
    for (const tag of ['b', 'c', 'A', 'a', 'd']) {
      upstream.setTag('a/b', tag, digest)
    }
    const seen: string[] = []
    let path: string | undefined = '/v2/a/b/tags/list'
    while (path !== undefined) {
      const response: Response = await get(path)
      const { tags }: { tags: string[] } = JSON.parse(await response.text())
      seen.push(...tags)
      path = /<([^>]+)>/.exec(response.headers.get('link') ?? '')?.[1]
    }
    expect(seen).toEqual(['A', 'a', 'b', 'c', 'd'])
  })

  it('lists its repositories, where it is one that does', async () => {
    upstream = new SampleUpstream({ pageSize: 2, catalog: true })
    for (const name of ['team/b', 'a', 'team/a']) upstream.setTag(name, 'x', digest)
    const first = await get('/v2/_catalog')
    expect(await first.json()).toEqual({ repositories: ['a', 'team/a'] })
    const next = /<([^>]+)>/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await get(next)
    expect(await second.json()).toEqual({ repositories: ['team/b'] })
    expect(second.headers.get('link')).toBeNull()
  })

  it('end-12: lists and filters referrers, page by page', async () => {
    upstream = new SampleUpstream({ pageSize: 1 })
    const image = await sampleImage()
    const subject = image.descriptor
    await addSample(upstream, 'a/b', image)
    for (const artifactType of ['t/one+json', 't/two']) {
      await addSample(upstream, 'a/b', await sampleArtifact({ subject, artifactType }))
    }
    const path = `/v2/a/b/referrers/${image.digest}`
    const all = await get(path)
    expect(all.headers.get('link')).toContain('rel="next"')
    expect(all.headers.get('oci-filters-applied')).toBeNull()
    const filtered = await get(`${path}?artifactType=t/one+json`)
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(await filtered.json()).toMatchObject({ manifests: [{ artifactType: 't/one+json' }] })
    upstream = new SampleUpstream({ referrersAPI: false })
    expect((await get(path)).status).toBe(404)
  })
})

describe('samples', () => {
  it('are the same on every run', async () => {
    const image = await sampleImage({ layers: [4096] })
    expect(image.digest).toBe(
      'sha256:351bdcd917c309aabb96b359b55b1ea55b2a49e022bd6009b0c5406541e5150e',
    )
  })

  it('have the sizes that were asked', async () => {
    const { blobs } = await sampleImage({ layers: [0, 1, 1535, 1536, 10_001] })
    expect(blobs.slice(1).map((blob) => blob.bytes.length)).toEqual([0, 1, 1535, 1536, 10_001])
  })

  it('nest, and use either algorithm and format', async () => {
    const arm = { os: 'linux', architecture: 'arm64', variant: 'v8' }
    const inner = await sampleIndex([
      await sampleImage({ seed: 1 }),
      await sampleImage({ seed: 2, platform: arm }),
    ])
    const docker = await sampleImage({ format: 'docker', algorithm: 'sha512' })
    const outer = await sampleIndex([inner, docker])
    await addSample(upstream, 'n/n', outer, 'latest')
    const child = JSON.parse(await (await get(`/v2/n/n/manifests/${inner.digest}`)).text())
    expect(child.manifests[1].platform).toEqual(arm)
    expect(docker.digest).toMatch(/^sha512:/)
    const response = await get(`/v2/n/n/manifests/${docker.digest}`)
    expect(response.headers.get('content-type')).toContain('docker.distribution.manifest.v2')
  })
})

describe('the record', () => {
  it('counts what was asked, and how it ended', async () => {
    await readLength(await upstream.fetch(blobURL, MANUAL))
    await (await upstream.fetch(blobURL, { ...MANUAL, headers: { 'X-Y': 'z' } })).body?.cancel()
    await readLength(await get('/v2/a/b/manifests/none'))
    expect(upstream.count()).toBe(3)
    expect(upstream.count({ kind: 'blob', repository: 'a/b', reference: digest })).toBe(2)
    expect(upstream.count({ kind: 'manifest', reference: 'none', status: 404 })).toBe(1)
    expect(upstream.count(({ headers }) => headers['x-y'] === 'z')).toBe(1)
    expect(upstream.requests.map(({ ending }) => ending)).toEqual([
      'complete',
      'cancelled',
      'complete',
    ])
    expect(upstream.requests[0]?.sent).toBe(SIZE)
    upstream.forget()
    expect(upstream.count()).toBe(0)
  })

  it('gives HEAD the headers of GET and no body', async () => {
    const response = await upstream.fetch(blobURL, { ...MANUAL, method: 'HEAD' })
    expect(response.headers.get('content-length')).toBe(String(SIZE))
    expect(await readLength(response)).toBe(0)
  })
})

describe('faults of the answer', () => {
  it.each<{ name: string; fault: Fault; status?: number; headers?: Record<string, string | null> }>(
    [
      {
        name: 'a status with headers and a body',
        fault: { status: 429, headers: { 'Retry-After': '7' }, body: '<html>' },
        status: 429,
        headers: { 'retry-after': '7', 'content-length': '6' },
      },
      { name: 'a redirect', fault: { redirect: 'https://e.test/x', status: 302 }, status: 302 },
      {
        name: 'another content type',
        fault: { contentType: 'text/html' },
        headers: { 'content-type': 'text/html' },
      },
      {
        name: 'another digest',
        fault: { digestHeader: 'sha256:lie' },
        headers: { 'docker-content-digest': 'sha256:lie' },
      },
      {
        name: 'no digest',
        fault: { digestHeader: null },
        headers: { 'docker-content-digest': null },
      },
      {
        name: 'extra headers',
        fault: { headers: { 'Set-Cookie': 'a=b' } },
        headers: { 'set-cookie': 'a=b' },
      },
      { name: 'no length', fault: { noContentLength: true }, headers: { 'content-length': null } },
    ],
  )('$name', async ({ fault, status = 200, headers = {} }) => {
    upstream.fault({ do: fault })
    const response = await upstream.fetch(blobURL, MANUAL)
    expect(response.status).toBe(status)
    for (const [name, value] of Object.entries(headers)) {
      expect(response.headers.get(name)).toBe(value)
    }
    await response.body?.cancel()
  })

  it('wrong bytes keep their length', async () => {
    upstream.fault({ do: { bytes: new Uint8Array([1, 2]) } })
    const bytes = new Uint8Array(await (await upstream.fetch(blobURL, MANUAL)).arrayBuffer())
    expect(bytes.length).toBe(SIZE)
    expect(bytes.subarray(0, 4)).toEqual(new Uint8Array([1, 2, 1, 2]))
  })

  it('JSON can be edited', async () => {
    upstream.setTag('a/b', 'x', digest)
    upstream.fault({ on: { kind: 'tags' }, do: { edit: (value) => ({ ...value, manifest: {} }) } })
    expect(await (await get('/v2/a/b/tags/list')).json()).toEqual({
      name: 'a/b',
      tags: ['x'],
      manifest: {},
    })
  })

  it('a range can be ignored', async () => {
    upstream.fault({ do: { ignoreRange: true } })
    const response = await upstream.fetch(blobURL, { ...MANUAL, headers: { range: 'bytes=1-2' } })
    expect(response.status).toBe(200)
    expect(await readLength(response)).toBe(SIZE)
  })

  it('happen to those that match, after a while, so many times, until taken out', async () => {
    const remove = upstream.fault({ on: { kind: 'tags' }, after: 1, times: 2, do: { status: 500 } })
    upstream.fault({ on: { kind: 'blob' }, do: { status: 502 } })
    expect([
      await statusOfTags(),
      await statusOfTags(),
      await statusOfTags(),
      await statusOfTags(),
    ]).toEqual([200, 500, 500, 200])
    remove()
    upstream.fault({ on: ({ method }) => method === 'GET', do: { status: 503 } })
    expect(await statusOfTags()).toBe(503)
    upstream.clearFaults()
    expect(await statusOfTags()).toBe(200)
  })
})

describe('faults of the wire', () => {
  it.each<{ name: string; fault: Fault; sent: number }>([
    { name: 'at nothing', fault: { truncateAt: 0 }, sent: 0 },
    { name: 'at one byte', fault: { truncateAt: 1 }, sent: 1 },
    { name: 'at half', fault: { truncateAt: 0.5 }, sent: SIZE / 2 },
    { name: 'at the last byte', fault: { truncateAt: SIZE - 1 }, sent: SIZE - 1 },
    { name: 'where a length promised more', fault: { contentLength: SIZE + 1 }, sent: SIZE },
  ])('a body is cut $name', async ({ fault, sent }) => {
    upstream.fault({ do: fault })
    const response = await upstream.fetch(blobURL, MANUAL)
    await expect(response.arrayBuffer()).rejects.toThrow('fetch failed')
    expect(upstream.requests[0]).toMatchObject({ sent, ending: 'cut', status: 200 })
  })

  it('a length too short cuts the body without an error', async () => {
    upstream.fault({ do: { contentLength: 10 } })
    expect(await readLength(await upstream.fetch(blobURL, MANUAL))).toBe(10)
  })

  it('gzip is compressed on the wire and decoded by fetch, headers kept', async () => {
    upstream.fault({ do: { gzip: true } })
    const fetched = await upstream.fetch(blobURL, MANUAL)
    expect(fetched.headers.get('content-encoding')).toBe('gzip')
    expect(await readLength(fetched)).toBe(SIZE)
    const wire = await upstream.handle(new Request(blobURL))
    const length = Number(wire.headers.get('content-length'))
    expect(await readLength(wire)).toBe(length)
    expect(length).not.toBe(SIZE)
  })

  it('a held body waits for its promise', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({ do: { hold: promise, after: 1000 } })
    const reading = readLength(await upstream.fetch(blobURL, MANUAL))
    await expect.poll(() => upstream.requests[0]?.sent).toBe(1000)
    resolve()
    expect(await reading).toBe(SIZE)
  })

  it('held headers wait for their promise', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({ do: { holdHeaders: promise } })
    const asking = upstream.fetch(blobURL, MANUAL)
    expect(upstream.requests[0]?.status).toBeUndefined()
    resolve()
    expect((await asking).status).toBe(200)
  })

  it('a body goes as far as it is allowed', async () => {
    let allowed = 10
    upstream.fault({ do: { allow: () => allowed } })
    const reading = readLength(await upstream.fetch(blobURL, MANUAL))
    await expect.poll(() => upstream.requests[0]?.sent).toBe(10)
    allowed = SIZE
    expect(await reading).toBe(SIZE)
  })

  it('a dripping body arrives in pieces', async () => {
    upstream.fault({ do: { drip: { bytes: SIZE / 4, every: 1 } } })
    let pieces = 0
    for await (const piece of (await upstream.fetch(blobURL, MANUAL)).body ?? []) {
      expect(piece.length).toBeLessThanOrEqual(SIZE / 4)
      pieces++
    }
    expect(pieces).toBeGreaterThanOrEqual(4)
  })

  it('a refused connection rejects, and is Response.error() for the server', async () => {
    upstream.fault({ do: { refuse: true } })
    await expect(upstream.fetch(blobURL, MANUAL)).rejects.toThrow(TypeError)
    expect((await upstream.handle(new Request(blobURL))).type).toBe('error')
    expect(upstream.count({ kind: 'blob' })).toBe(2)
  })

  it('hanging headers end with the caller’s patience', async () => {
    upstream.fault({ do: { hangHeaders: true } })
    const asking = upstream.fetch(blobURL, { ...MANUAL, signal: AbortSignal.timeout(10) })
    await expect(asking).rejects.toThrow(/timeout/)
  })

  it('an abort in mid-body fails the body with its reason', async () => {
    const leaving = new AbortController()
    upstream.fault({ do: { allow: () => 10 } })
    const response = await upstream.fetch(blobURL, { ...MANUAL, signal: leaving.signal })
    const reading = readLength(response)
    leaving.abort(new Error('gone'))
    await expect(reading).rejects.toThrow('gone')
  })

  it('a pulled cable refuses and cuts, a plugged one serves again', async () => {
    upstream.fault({ times: 1, do: { allow: () => 10 } })
    const reading = readLength(await upstream.fetch(blobURL, MANUAL))
    upstream.stop()
    await expect(reading).rejects.toThrow('fetch failed')
    await expect(upstream.fetch(blobURL, MANUAL)).rejects.toThrow('fetch failed')
    upstream.start()
    expect(await readLength(await upstream.fetch(blobURL, MANUAL))).toBe(SIZE)
  })
})

describe('redirects', () => {
  it('to storage carry a signature, and storage takes no authorization', async () => {
    upstream = new SampleUpstream({ storage: 'http://storage.test' })
    await upstream.addBlob('a/b', BYTES)
    const response = await upstream.fetch(blobURL, MANUAL)
    expect(response.status).toBe(307)
    const location = response.headers.get('location') ?? ''
    expect(location).toMatch(/^http:\/\/storage\.test\/.*signature=/)
    expect(await readLength(await upstream.fetch(location, MANUAL))).toBe(SIZE)
    const headers = { authorization: 'Bearer x' }
    expect((await upstream.fetch(location, { ...MANUAL, headers })).status).toBe(400)
    expect(upstream.count({ kind: 'storage' })).toBe(2)
  })

  it('are never followed, and asking for that is an error', async () => {
    upstream.fault({ do: { redirect: 'https://elsewhere.test/' } })
    await expect(upstream.fetch(blobURL)).rejects.toThrow(/by hand/)
  })
})

describe('authentication', () => {
  it('challenges, issues, accepts, and binds a token to its scope', async () => {
    await startGuarded({})
    const challenge = (await get('/v2/open/x/tags/list')).headers.get('www-authenticate')
    expect(challenge).toBe(
      'Bearer realm="http://upstream.test/token",service="sample",scope="repository:open/x:pull"',
    )
    const token = await tokenFor('repository:open/x:pull')
    expect(await statusOf('/v2/open/x/tags/list', token)).toBe(200)
    expect(await statusOf('/v2/closed/x/tags/list', token)).toBe(401)
    expect(await statusOf('/v2/', token)).toBe(200)
    expect(await statusOf('/v2/')).toBe(401)
    expect(upstream.count({ kind: 'token', reference: 'repository:open/x:pull' })).toBe(1)
  })

  it('says why a token that was presented does not do', async () => {
    await startGuarded({})
    const refused = await get('/v2/open/x/tags/list', { headers: { authorization: 'Bearer no' } })
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    const authorization = `Bearer ${await tokenFor('repository:other:pull')}`
    const narrow = await get('/v2/open/x/tags/list', { headers: { authorization } })
    expect(narrow.headers.get('www-authenticate')).toContain('error="insufficient_scope"')
  })

  it('keeps private repositories from anonymous callers', async () => {
    await startGuarded({ isPrivate: (name) => name.startsWith('closed/') })
    const scope = 'repository:closed/x:pull'
    expect(await statusOf('/v2/closed/x/tags/list', await tokenFor(scope))).toBe(401)
    const token = await tokenFor(scope, basic('u', 'p'))
    expect(await statusOf('/v2/closed/x/tags/list', token)).toBe(200)
  })

  it('hides what does not exist, as Docker Hub does', async () => {
    await startGuarded({ hidesMissing: true })
    const scope = 'repository:no/where:pull'
    expect(await statusOf('/v2/no/where/tags/list', await tokenFor(scope))).toBe(401)
    const token = await tokenFor(scope, basic('u', 'p'))
    expect(await statusOf('/v2/no/where/tags/list', token)).toBe(404)
  })

  it.each([
    { name: 'a wrong password', options: {}, headers: basic('u', 'wrong') },
    { name: 'an unknown account', options: {}, headers: basic('toString', 'p') },
    { name: 'no account where one is needed', options: { anonymous: false }, headers: {} },
  ])('the token service refuses $name', async ({ options, headers }) => {
    await startGuarded(options)
    expect((await get('/token', { headers })).status).toBe(401)
  })

  it('tokens expire by the clock, and all at once on demand', async () => {
    let now = 0
    await startGuarded({ expiresIn: 60 }, () => now)
    const first = await tokenFor('repository:open/x:pull')
    now = 59_999
    expect(await statusOf('/v2/open/x/tags/list', first)).toBe(200)
    now = 60_000
    expect(await statusOf('/v2/open/x/tags/list', first)).toBe(401)
    const second = await tokenFor('repository:open/x:pull')
    upstream.expireTokens()
    expect(await statusOf('/v2/open/x/tags/list', second)).toBe(401)
  })

  it('Basic is asked for where the scheme says so', async () => {
    await startGuarded({ scheme: 'basic' })
    const refused = await get('/v2/open/x/tags/list')
    expect(refused.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    const accepted = await get('/v2/open/x/tags/list', { headers: basic('u', 'p') })
    expect(accepted.status).toBe(200)
  })

  it('a realm elsewhere is named, and answers on its own path', async () => {
    await startGuarded({ realm: 'https://auth.test/jwt/auth' })
    expect((await get('/v2/')).headers.get('www-authenticate')).toContain(
      'https://auth.test/jwt/auth',
    )
    expect((await upstream.fetch('https://auth.test/jwt/auth', MANUAL)).status).toBe(200)
  })
})

describe('the rate limit', () => {
  it('counts manifest GETs, tells how many remain, and ends in 429', async () => {
    upstream = new SampleUpstream({ rateLimit: { limit: 100, remaining: 1, retryAfter: 9 } })
    await addSample(upstream, 'a/b', await sampleImage(), 'latest')
    const path = '/v2/a/b/manifests/latest'
    expect((await get(path, { method: 'HEAD' })).headers.get('ratelimit-remaining')).toBe(
      '1;w=21600',
    )
    expect((await get(path)).headers.get('ratelimit-remaining')).toBe('0;w=21600')
    const over = await get(path)
    expect(over.status).toBe(429)
    expect(over.headers.get('retry-after')).toBe('9')
    upstream.setRateLimit(undefined)
    expect((await get(path)).headers.get('ratelimit-limit')).toBeNull()
  })
})
