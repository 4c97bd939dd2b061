// Manifests over HTTP: exact bytes of every kind, the headers that clients rely on, conditional requests,
// and documents that must not be believed.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { Algorithm, Digest } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const STEM = '/v2/one.test/a/b/manifests'

let upstream: SampleUpstream
let clock: Clock

beforeEach(() => {
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A descriptor as JSON text. */
function descriptor(mediaType: string): string {
  return `{"mediaType":"${mediaType}","digest":"sha256:${'1'.repeat(64)}","size":1}`
}

const CONFIG = descriptor('application/vnd.oci.image.config.v1+json')
const OCI = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPE.OCI_MANIFEST}","config":${CONFIG},"layers":[]}`

interface Kind {
  readonly name: string
  readonly make: () => Promise<{ bytes: Uint8Array; mediaType: string }>
  readonly algorithm?: Algorithm
  /** As the upstream sends it, where that differs from the type served. */
  readonly sent?: string
}

function written(text: string, mediaType: string): Kind['make'] {
  return () => Promise.resolve({ bytes: encode(text), mediaType })
}

const KINDS: readonly Kind[] = [
  { name: 'OCI manifest', make: () => sampleImage() },
  { name: 'docker schema 2', make: () => sampleImage({ format: 'docker' }) },
  { name: 'OCI index', make: async () => sampleIndex([await sampleImage()]) },
  {
    name: 'docker manifest list',
    make: async () => sampleIndex([await sampleImage({ format: 'docker' })], { format: 'docker' }),
  },
  { name: 'artifact with artifactType', make: () => sampleArtifact() },
  {
    name: 'OCI artifact manifest',
    make: written(
      `{"mediaType":"${MEDIA_TYPE.OCI_ARTIFACT}","artifactType":"a/b","blobs":[]}`,
      MEDIA_TYPE.OCI_ARTIFACT,
    ),
  },
  {
    name: 'custom type',
    make: written(
      '{"mediaType":"application/vnd.acme.thing+json","x":1}',
      'application/vnd.acme.thing+json',
    ),
  },
  { name: 'sha512', make: () => sampleImage({ algorithm: 'sha512' }), algorithm: 'sha512' },
  {
    name: 'white space, order, escapes and a last newline',
    make: written(
      ` {\n\t"layers": [ ] , "config" : ${CONFIG},"a\\u0062c":"\\u00e9\\/","schemaVersion":2.0}\r\n\n`,
      MEDIA_TYPE.OCI_MANIFEST,
    ),
  },
  {
    name: 'no mediaType and a generic Content-Type',
    make: written(`{"schemaVersion":2,"config":${CONFIG},"layers":[]}`, MEDIA_TYPE.OCI_MANIFEST),
    sent: 'application/json',
  },
  {
    name: 'Content-Type with parameters',
    make: written(OCI, MEDIA_TYPE.OCI_MANIFEST),
    sent: `${MEDIA_TYPE.OCI_MANIFEST}; charset=utf-8`,
  },
  {
    name: 'foreign layers, whose urls are nobody’s business',
    make: written(
      OCI.replace(
        '"layers":[]',
        `"layers":[{"mediaType":"a/b","digest":"sha256:${'2'.repeat(64)}","size":1,"urls":["https://evil.test/x"]}]`,
      ),
      MEDIA_TYPE.OCI_MANIFEST,
    ),
  },
]

describe.each(KINDS)('$name', ({ make, algorithm = 'sha256', sent }) => {
  let bytes: Uint8Array
  let mediaType: string
  let digest: Digest

  beforeEach(async () => {
    const made = await make()
    ;({ bytes, mediaType } = made)
    digest = await digestOf(bytes, algorithm)
    await upstream.addManifest('a/b', bytes, { mediaType: sent ?? mediaType, digest, tag: 'v1' })
  })

  it.each(['tag', 'digest'])(
    'by %s: exact bytes and headers, cold, warm and from KV',
    async (by) => {
      const path = `${STEM}/${by === 'tag' ? 'v1' : digest}`
      const first = isolate()
      const cold = await first.get(path)
      await first.settle()
      const answers = [cold, await first.get(path), await isolate().get(path)]
      for (const answer of answers) {
        expect(answer.status).toBe(200)
        expect(await bytesOf(answer)).toEqual(bytes)
        expect(answer.headers.get('content-type')).toBe(mediaType)
        expect(answer.headers.get('content-length')).toBe(String(bytes.byteLength))
        expect(answer.headers.get('docker-content-digest')).toBe(digest)
        expect(answer.headers.get('etag')).toBe(`"${digest}"`)
        expect(answer.headers.get('cache-control')).toContain('no-transform')
      }
      const statuses = answers.map(({ headers }) => headers.get('cache-status'))
      expect(statuses).toEqual(['entrepot; fwd=miss; stored', 'entrepot; hit', 'entrepot; hit'])
    },
  )

  it.each(['tag', 'digest'])(
    'HEAD by %s: the headers of GET and no body, also cold',
    async (by) => {
      const path = `${STEM}/${by === 'tag' ? 'v1' : digest}`
      const { get, head } = isolate()
      const cold = await head(path)
      expect(cold.status).toBe(200)
      expect(cold.body).toBeNull()
      const known = new Set(['x-request-id', 'cache-status'])
      const pick = (answer: Response) => [...answer.headers].filter(([name]) => !known.has(name))
      expect(pick(cold)).toEqual(pick(await get(path)))
      expect(cold.headers.get('content-length')).toBe(String(bytes.byteLength))
    },
  )
})

describe('conditional requests', () => {
  it.each([
    { name: 'the ETag', header: (etag: string) => etag, status: 304 },
    { name: 'weak', header: (etag: string) => `W/${etag}`, status: 304 },
    { name: 'in a list', header: (etag: string) => `"x", ${etag}`, status: 304 },
    { name: 'anything', header: () => '*', status: 304 },
    { name: 'another', header: () => '"x"', status: 200 },
    { name: 'without quotes', header: (etag: string) => etag.replaceAll('"', ''), status: 200 },
  ])('If-None-Match, $name: $status', async ({ header, status }) => {
    const image = await sampleImage()
    await addSample(upstream, 'a/b', image, 'v1')
    const etag = `"${image.digest}"`
    for (const reference of ['v1', image.digest]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await isolate().fetch(`${STEM}/${reference}`, {
          method,
          headers: { 'if-none-match': header(etag) },
        })
        expect(answer.status).toBe(status)
        expect(answer.headers.get('etag')).toBe(etag)
        expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
        const { byteLength } = await bytesOf(answer)
        expect(byteLength).toBe(status === 200 && method === 'GET' ? image.bytes.length : 0)
      }
    }
  })
})

describe('Age', () => {
  it('counts a tag’s seconds since the upstream confirmed it; a digest has none', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'a/b', image, 'v1')
    const ageOf = async (reference: string) =>
      (await isolate().get(`${STEM}/${reference}`)).headers.get('age')
    expect(await ageOf('v1')).toBe('0')
    clock.advance(90 * SECOND + 999)
    expect(await ageOf('v1')).toBe('90')
    clock.advance(5 * MINUTE)
    expect(await ageOf('v1')).toBe('0')
    clock.advance(-MINUTE)
    expect(await ageOf('v1')).toBe('0')
    expect(await ageOf(image.digest)).toBeNull()
  })
})

interface Lie {
  readonly name: string
  readonly text?: string
  readonly type?: string
  readonly fault?: Fault
}

describe('what must not be believed', () => {
  const HTML = '<html>log in</html>'

  it.each<Lie>([
    {
      name: 'T012: layers and manifests',
      text: OCI.replace('"layers"', '"manifests":[],"layers"'),
    },
    {
      name: 'T012: config and manifests',
      text: `{"schemaVersion":2,"config":${CONFIG},"manifests":[]}`,
    },
    { name: 'T012: a key twice', text: OCI.replace('"layers":[]', '"layers":[],"layers":[]') },
    {
      name: 'T012: a key twice, once escaped',
      text: OCI.replace('"layers":[]', '"layers":[],"l\\u0061yers":[]'),
    },
    { name: 'T012: mediaType is not Content-Type', text: OCI, type: MEDIA_TYPE.OCI_INDEX },
    { name: 'T012: HTML', text: HTML, type: 'text/html' },
    { name: 'T013: a manifest as HTML', text: OCI, type: 'text/html; charset=utf-8' },
    { name: 'T013: HTML as a manifest', text: HTML, type: MEDIA_TYPE.OCI_MANIFEST },
    { name: 'schema 1', text: '{"schemaVersion":1}', type: MEDIA_TYPE.DOCKER_SCHEMA1_SIGNED },
    { name: 'a list', text: '[]', type: MEDIA_TYPE.OCI_MANIFEST },
    { name: 'nothing', text: '', type: MEDIA_TYPE.OCI_MANIFEST },
    { name: 'cut short', text: OCI, fault: { truncateAt: 0.5 } },
    {
      name: 'more than 4 MiB',
      text: OCI.replace('[]}', `[],"x":"${'x'.repeat(4 * 1024 * 1024)}"}`),
    },
  ])('$name: 502, nothing cached, and asked again', async (lie) => {
    const { text = OCI, type = MEDIA_TYPE.OCI_MANIFEST, fault } = lie
    const digest = await upstream.addManifest('a/b', encode(text), { mediaType: type, tag: 'v1' })
    if (fault !== undefined) upstream.fault({ on: { kind: 'manifest' }, do: fault })
    const { get, settle } = isolate()
    for (const reference of ['v1', digest]) {
      expect(await refusalOf(await get(`${STEM}/${reference}`))).toBe('502 UNKNOWN')
      const before = upstream.count({ method: 'GET', kind: 'manifest' })
      expect(await refusalOf(await get(`${STEM}/${reference}`))).toBe('502 UNKNOWN')
      expect(upstream.count({ method: 'GET', kind: 'manifest' })).toBe(before + 1)
    }
    await settle()
    expect((await env.BLOBS.list()).objects).toEqual([])
    expect((await env.HINTS.list()).keys).toEqual([])
  })

  it('T002: another manifest than the digest names is refused, and asked for again', async () => {
    const digest: Digest = await digestOf(encode('what was meant'))
    await upstream.addManifest('a/b', encode(OCI), { digest })
    const { get } = isolate()
    expect(await refusalOf(await get(`${STEM}/${digest}`))).toBe('502 UNKNOWN')
    expect(await refusalOf(await get(`${STEM}/${digest}`))).toBe('502 UNKNOWN')
    expect(upstream.count({ method: 'GET', kind: 'manifest' })).toBe(2)
    expect((await env.BLOBS.list()).objects).toEqual([])
  })

  it.each([
    { name: 'of other bytes', claimed: `sha256:${'9'.repeat(64)}` },
    { name: 'that is none', claimed: 'sha256:xyz' },
    { name: 'missing', claimed: null },
  ])('T004: Docker-Content-Digest $name: the computed one is served', async ({ claimed }) => {
    const digest = await upstream.addManifest('a/b', encode(OCI), { tag: 'v1' })
    upstream.fault({ on: { kind: 'manifest' }, do: { digestHeader: claimed } })
    const { get, head } = isolate()
    expect((await head(`${STEM}/v1`)).headers.get('docker-content-digest')).toBe(digest)
    const answer = await get(`${STEM}/v1`)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    expect(await digestOf(await bytesOf(answer))).toBe(digest)
  })

  it('is only asked for with the types that it may have, whatever the client accepts', async () => {
    await upstream.addManifest('a/b', encode(OCI), { tag: 'v1' })
    const { get } = isolate()
    const accept = MEDIA_TYPE.DOCKER_SCHEMA1
    expect((await get(`${STEM}/v1`, { accept, 'accept-encoding': 'gzip' })).status).toBe(200)
    const sent = upstream.requests.find(({ kind }) => kind === 'manifest')?.headers
    expect(sent?.['accept']).toContain(MEDIA_TYPE.OCI_INDEX)
    expect(sent?.['accept']).not.toContain('v1+prettyjws')
    expect(sent?.['accept-encoding']).toBe('identity')
    expect(asked(upstream).filter((line) => line.startsWith('HEAD'))).toEqual([])
  })
})
