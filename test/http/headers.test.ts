// The header fields of every kind of answer, by name: none is missing, none is there twice, and none is more.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { respond, warn } from '../../src/http/exchange.ts'
import type { Exchange } from '../../src/http/exchange.ts'
import { MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN, contentOf, descriptorOf, encode, startHosted } from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'

const STEM = '/v2/one.test/a/b'
const ABSENT = `sha256:${'0'.repeat(64)}`

let clock: Clock
let upstream: SampleUpstream
let image: SampleManifest
let registry: HostedRegistry
/** Of a hosted repository. */
let pushed: Content
let blob: Content

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
  registry = startHosted({
    ...OPEN,
    ANONYMOUS: [
      { repositories: ['hosted/**'], actions: ['pull', 'push', 'delete'] },
      { repositories: ['one.test/**'], actions: ['pull'] },
    ],
  })
  pushed = await registry.pushImage('hosted/a', { reference: 'v1' })
  blob = await contentOf(new TextEncoder().encode('abcdefgh'))
  await registry.pushBlob('hosted/a', blob)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** What every answer has. */
const EVERY = [
  'cache-control',
  'cache-status',
  'docker-distribution-api-version',
  'x-content-type-options',
  'x-request-id',
]
const IMMUTABLE = 'private, max-age=31536000, immutable, no-transform'
const REVALIDATE = 'private, no-cache, no-transform'
const ENTITY = ['content-length', 'content-type', 'docker-content-digest', 'etag']
const BLOB = [...ENTITY, 'accept-ranges']
const JSON_BODY = ['content-length', 'content-type']
const SESSION = ['docker-upload-uuid', 'location', 'range']

interface Row {
  readonly name: string
  readonly ask: () => Promise<Response>
  readonly status: number
  readonly cacheControl?: string
  /** Names besides those of every answer. */
  readonly more: readonly string[]
}

const get = (path: string, headers = {}): Promise<Response> => registry.get(path, headers)
const head = (path: string): Promise<Response> => registry.head(path)
const send = (method: string, path: string): Promise<Response> => registry.send(method, path)

function blobPath(): string {
  return `/v2/hosted/a/blobs/${blob.digest}`
}

/** Asks again for what is stored by then. */
async function again(path: string, headers = {}): Promise<Response> {
  await (await get(path, headers)).bytes()
  await registry.settle()
  return get(path, headers)
}

async function stale(): Promise<Response> {
  await again(`${STEM}/manifests/v1`)
  clock.advance(6 * MINUTE)
  upstream.stop()
  return get(`${STEM}/manifests/v1`)
}

async function close(): Promise<Response> {
  const location = await registry.open('hosted/a')
  return registry.close(location, blob.digest, { bytes: blob.bytes })
}

const ANSWERS: readonly Row[] = [
  { name: 'base', ask: () => get('/v2/'), status: 200, more: JSON_BODY },
  {
    name: 'a manifest by tag',
    ask: () => get(`${STEM}/manifests/v1`),
    status: 200,
    cacheControl: REVALIDATE,
    more: [...ENTITY, 'age'],
  },
  {
    name: 'a manifest by tag, from memory',
    ask: () => again(`${STEM}/manifests/v1`),
    status: 200,
    cacheControl: REVALIDATE,
    more: [...ENTITY, 'age'],
  },
  {
    name: 'a manifest by digest',
    ask: () => get(`${STEM}/manifests/${image.digest}`),
    status: 200,
    cacheControl: IMMUTABLE,
    more: ENTITY,
  },
  {
    name: 'HEAD of a manifest',
    ask: () => head(`${STEM}/manifests/v1`),
    status: 200,
    cacheControl: REVALIDATE,
    more: [...ENTITY, 'age'],
  },
  {
    name: 'a manifest by ns',
    ask: () => get('/v2/a/b/manifests/v1?ns=one.test'),
    status: 200,
    cacheControl: REVALIDATE,
    more: [...ENTITY, 'age', 'oci-namespace'],
  },
  {
    name: 'a manifest that the client has',
    ask: () => get(`${STEM}/manifests/v1`, { 'if-none-match': '*' }),
    status: 304,
    cacheControl: REVALIDATE,
    more: ['age', 'docker-content-digest', 'etag'],
  },
  {
    name: 'a stale manifest',
    ask: stale,
    status: 200,
    cacheControl: REVALIDATE,
    more: [...ENTITY, 'age', 'warning'],
  },
  {
    name: 'a hosted manifest',
    ask: () => get('/v2/hosted/a/manifests/v1'),
    status: 200,
    cacheControl: REVALIDATE,
    more: ENTITY,
  },
  {
    name: 'a blob',
    ask: () => get(blobPath()),
    status: 200,
    cacheControl: REVALIDATE,
    more: BLOB,
  },
  {
    name: 'a mirrored blob',
    ask: () => again(`${STEM}/blobs/${image.blobs[0]?.digest}`),
    status: 200,
    cacheControl: IMMUTABLE,
    more: BLOB,
  },
  {
    name: 'HEAD of a blob',
    ask: () => head(blobPath()),
    status: 200,
    cacheControl: REVALIDATE,
    more: BLOB,
  },
  {
    name: 'a range',
    ask: () => get(blobPath(), { range: 'bytes=2-4' }),
    status: 206,
    cacheControl: REVALIDATE,
    more: [...BLOB, 'content-range'],
  },
  {
    name: 'no range',
    ask: () => get(blobPath(), { range: 'bytes=9-' }),
    status: 416,
    more: [...JSON_BODY, 'content-range'],
  },
  {
    name: 'a blob that the client has',
    ask: () => get(blobPath(), { 'if-none-match': `"${blob.digest}"` }),
    status: 304,
    cacheControl: REVALIDATE,
    more: ['accept-ranges', 'docker-content-digest', 'etag'],
  },
  {
    name: 'no such manifest',
    ask: () => get(`${STEM}/manifests/none`),
    status: 404,
    more: JSON_BODY,
  },
  {
    name: 'no such blob',
    ask: () => head(`${STEM}/blobs/${ABSENT}`),
    status: 404,
    more: JSON_BODY,
  },
  { name: 'no such path', ask: () => get('/v1/'), status: 404, more: JSON_BODY },
  {
    name: 'who may not',
    ask: () => get('/v2/private.test/a/manifests/v1'),
    status: 401,
    more: [...JSON_BODY, 'www-authenticate'],
  },
  {
    name: 'another method',
    ask: () => send('POST', '/v2/'),
    status: 405,
    more: [...JSON_BODY, 'allow'],
  },
  { name: 'tags', ask: () => get(`${STEM}/tags/list`), status: 200, more: JSON_BODY },
  {
    name: 'a page of the catalog',
    ask: () => again('/v2/_catalog?n=1'),
    status: 200,
    more: JSON_BODY,
  },
  {
    name: 'referrers of a type',
    ask: () => get(`/v2/hosted/a/referrers/${pushed.digest}?artifactType=a/b`),
    status: 200,
    more: [...JSON_BODY, 'oci-filters-applied'],
  },
  { name: 'a token', ask: () => get('/token'), status: 200, more: JSON_BODY },
  { name: 'health', ask: () => get('/healthz'), status: 200, more: JSON_BODY },
  { name: 'HEAD of health', ask: () => head('/healthz'), status: 200, more: JSON_BODY },
  {
    name: 'an upload',
    ask: () => send('POST', '/v2/hosted/a/blobs/uploads/'),
    status: 202,
    more: [...SESSION, 'content-length', 'oci-chunk-min-length'],
  },
  {
    name: 'a chunk',
    ask: async () => registry.patch(await registry.open('hosted/a'), blob.bytes, 0),
    status: 202,
    more: [...SESSION, 'content-length'],
  },
  {
    name: 'the state of an upload',
    ask: async () => get(await registry.open('hosted/a')),
    status: 204,
    more: SESSION,
  },
  {
    name: 'no upload any more',
    ask: async () => send('DELETE', await registry.open('hosted/a')),
    status: 204,
    more: [],
  },
  {
    name: 'an uploaded blob',
    ask: close,
    status: 201,
    more: ['content-length', 'docker-content-digest', 'location'],
  },
  {
    name: 'a pushed manifest with tags and a subject',
    ask: () =>
      registry.putManifest(
        '/v2/hosted/a/manifests/v2?tag=v3&tag=v4',
        encode({
          ...JSON.parse(new TextDecoder().decode(pushed.bytes)),
          subject: descriptorOf(pushed),
        }),
      ),
    status: 201,
    more: ['content-length', 'docker-content-digest', 'location', 'oci-subject', 'oci-tag'],
  },
  {
    name: 'a deleted manifest',
    ask: () => send('DELETE', `/v2/hosted/a/manifests/${pushed.digest}`),
    status: 202,
    more: ['content-length'],
  },
]

describe('an answer has these header fields', () => {
  it.each(ANSWERS)('$name: $status', async ({ ask, status, cacheControl = 'no-store', more }) => {
    const answer = await ask()
    expect(answer.status).toBe(status)
    expect([...answer.headers.keys()].toSorted()).toEqual([...EVERY, ...more].toSorted())
    expect(answer.headers.get('cache-control')).toBe(cacheControl)
    expect([...answer.headers].filter(([, value]) => /^(.*), \1$/.test(value))).toEqual([])
    await answer.bytes()
    await registry.settle()
  })
})

/** An exchange of nobody in particular. */
function exchangeOf(changes: Partial<Exchange> = {}): Exchange {
  return {
    id: 'its-own',
    method: 'GET',
    origin: 'https://registry.test',
    query: new URLSearchParams(),
    headers: new Headers(),
    body: null,
    now: () => clock.now(),
    client: () => '',
    endpoint: 'unknown',
    caller: undefined,
    isCapability: false,
    address: undefined,
    outcome: undefined,
    bytes: undefined,
    length: undefined,
    redirected: undefined,
    ...changes,
  }
}

describe('a header field that an answer brings along', () => {
  it.each([
    { name: 'Cache-Control', value: 'private', body: undefined, want: 'private' },
    { name: 'X-Request-Id', value: 'other', body: undefined, want: 'its-own' },
    { name: 'Cache-Status', value: 'other; hit', body: undefined, want: 'entrepot' },
    { name: 'Content-Length', value: '1', body: 'äö', want: '4' },
    { name: 'Content-Length', value: '7', body: undefined, want: '7' },
    { name: 'X-Content-Type-Options', value: 'none', body: undefined, want: 'nosniff' },
    { name: 'Allow', value: 'GET', body: undefined, want: 'GET' },
  ])('$name: $value is there once', ({ name, value, body, want }) => {
    const exchange = exchangeOf()
    const answer = respond(exchange, { status: 200, headers: { [name]: value }, body })
    expect(answer.headers.get(name)).toBe(want)
    if (name === 'Content-Length') expect(exchange.length).toBe(Number(want))
  })

  it('HEAD has the fields of GET, and no body', () => {
    const headers = { 'Content-Type': 'text/plain', ETag: '"x"' }
    const answers = ['GET', 'HEAD'].map((method) =>
      respond(exchangeOf({ method }), { status: 200, headers, body: 'äö' }),
    )
    const [full, bare] = answers.map((answer) => [...answer.headers])
    expect(bare).toEqual(full)
    expect(answers[1]?.body).toBeNull()
  })

  it('two warnings stay two', () => {
    const answer = warn(respond(exchangeOf(), { status: 200 }), 'the "upstream" is\naway')
    expect(answer.headers.get('warning')).toBe(
      '110 - "Response is Stale", 299 - "the  upstream  is away"',
    )
  })
})
