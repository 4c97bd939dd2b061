// `/_/api/images`: what an administrator sees of mirrored and hosted repositories and of each manifest, without a
// question to any upstream, whatever strangers have written into it.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { mirroredBlobKey, mirroredManifestKey } from '../../src/storage/keys.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { broken as failing } from '../support/broken.ts'
import {
  CONFIG,
  LAYER,
  OCI_INDEX,
  OCI_MANIFEST,
  OPEN,
  contentOf,
  descriptorOf,
  encode,
  indexOf,
  manifestOf,
  startHosted,
} from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken } from '../support/operations.ts'
import { repository } from '../support/parsed.ts'

const IMAGES = '/_/api/images'
const ABSENT = `sha256:${'0'.repeat(64)}`

type Members = Readonly<Record<string, unknown>>

interface Line extends Members {
  readonly name: string
  readonly kind: string
}

interface Listed {
  readonly images: readonly Line[]
  readonly next?: string
}

interface Image extends Members {
  readonly digest: string
  readonly tags: readonly string[]
  readonly platforms: readonly string[]
  readonly size?: number
}

interface Manifest extends Members {
  readonly digest: string
  readonly platforms: readonly Members[]
  readonly layers: readonly Members[]
  readonly history: readonly Members[]
  readonly referrers: readonly Members[]
  readonly config?: Members
  readonly isCut: boolean
}

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let registry: HostedRegistry
let upstream: SampleUpstream
let net: Network

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  net = goOnline({ 'one.test': upstream, 'port.test:5000': upstream, 'part.test': upstream })
  const made = await accounts({
    root: [granting('**', 'admin')],
    reader: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { ...OPEN, ...made }
  registry = startHosted(settings)
})

afterEach(async () => {
  await registry.settle()
  vi.restoreAllMocks()
  await reset()
})

function ask(path: string, init: RequestInit = {}, worker = registry): Promise<Response> {
  return worker.fetch(path, { ...init, headers: { authorization: basic('root') } })
}

/** The answer to an administrator, which nobody may keep, and for which nobody outside was asked. */
async function shown(path: string, worker = registry): Promise<unknown> {
  net.forget()
  const response = await ask(path, {}, worker)
  const text = await response.text()
  expect([response.status, text]).toEqual([200, expect.any(String)])
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(net.urls()).toEqual([])
  return JSON.parse(text)
}

async function list(query = ''): Promise<Listed> {
  return (await shown(`${IMAGES}${query}`)) as Listed
}

async function show(image: string): Promise<Manifest> {
  return (await shown(`${IMAGES}/${image}`)) as Manifest
}

async function imagesOf(name: string, query = ''): Promise<Line & { readonly images: Image[] }> {
  return (await shown(`${IMAGES}/${name}${query}`)) as Line & { readonly images: Image[] }
}

async function pull(path: string): Promise<void> {
  const response = await registry.get(path)
  expect(response.status).toBe(200)
  await response.arrayBuffer()
}

/** An index of two platforms in an upstream. */
async function addIndex(name: string, tag = 'v1') {
  const amd64 = await sampleImage({ layers: [100, 200] })
  const arm = await sampleImage({
    layers: [300],
    seed: 2,
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
  })
  const index = await sampleIndex([amd64, arm])
  await addSample(upstream, name, index, tag)
  return { index, amd64, arm }
}

/** Bytes of a manifest and of all that it names. */
function sizeOf({ bytes, blobs }: SampleManifest): number {
  return blobs.reduce((sum, blob) => sum + blob.bytes.byteLength, bytes.byteLength)
}

/** A hosted image with this configuration and two layers. */
async function pushImage(
  name: string,
  reference: string,
  config: object | Uint8Array,
): Promise<Content & { readonly layers: readonly Content[] }> {
  const bytes = config instanceof Uint8Array ? config : encode(config)
  const pushed = await registry.pushBlob(name, await contentOf(bytes))
  const layers = [await contentOf(encode({ layer: 1 })), await contentOf(encode({ layer: 2 }))]
  const named = [
    await registry.pushBlob(name, layers[0] ?? expect.fail('none')),
    await registry.pushBlob(name, layers[1] ?? expect.fail('none')),
  ]
  const document = manifestOf({ ...pushed, mediaType: CONFIG }, named)
  const image = await contentOf(encode(document))
  const answer = await registry.putManifest(`/v2/${name}/manifests/${reference}`, image.bytes)
  expect(answer.status).toBe(201)
  return { ...image, layers }
}

describe('a list of repositories', () => {
  it('has both kinds, in the order of their names, with figures', async () => {
    const { index, amd64 } = await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    await pull(`/v2/one.test/a/b/manifests/${amd64.digest}`)
    await registry.pushImage('hosted/app', { reference: 'v1' })
    await registry.settle()
    const { images, next } = await list()
    expect(next).toBeUndefined()
    expect(images.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      'hosted hosted/app',
      'mirrored one.test/a/b',
    ])
    const firstSeen = new Date(clock.now()).toISOString()
    expect(images[0]).toMatchObject({ tags: 1, manifests: 1, firstSeen })
    // Blobs that manifests name count, whether they are here or not.
    expect(images[1]).toMatchObject({
      tags: 1,
      manifests: 2,
      bytes: index.bytes.byteLength + sizeOf(amd64),
      firstSeen,
    })
  })

  it('is empty where nothing is', async () => {
    expect(await list()).toEqual({ images: [] })
  })

  it.each([
    ['?search=app', ['hosted/app', 'hosted/other-app']],
    ['?search=OTHER', ['hosted/other-app']],
    ['?search=app&n=1', ['hosted/app']],
    ['?search=app&n=1&last=hosted/app', ['hosted/other-app']],
    ['?kind=hosted', ['hosted/app', 'hosted/other-app', 'hosted/zoo']],
    ['?kind=mirrored', ['one.test/a/b']],
    ['?n=0', []],
    ['?n=1000000', ['hosted/app', 'hosted/other-app', 'hosted/zoo', 'one.test/a/b']],
    ['?last=hosted/b', ['hosted/other-app', 'hosted/zoo', 'one.test/a/b']],
    ['?search=%3Cscript%3E', []],
  ])('is searched and paged by %s', async (query, names) => {
    await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    for (const name of ['hosted/app', 'hosted/other-app', 'hosted/zoo']) {
      await registry.pushImage(name, { reference: 'v1' })
    }
    const { images } = await list(query)
    expect(images.map(({ name }) => name)).toEqual(names)
  })

  it('says where to go on', async () => {
    for (const name of ['hosted/a', 'hosted/b']) await registry.pushImage(name, { reference: 'v1' })
    expect((await list('?n=1')).next).toBe('hosted/a')
    expect((await list('?n=2')).next).toBeUndefined()
  })

  it.each([
    ['?kind=both', '400 UNSUPPORTED_VALUE'],
    ['?kind=', '400 UNSUPPORTED_VALUE'],
    ['?n=x', '400 UNSUPPORTED'],
    ['?n=-1', '400 UNSUPPORTED'],
    [`?search=${'x'.repeat(601)}`, '400 UNSUPPORTED_VALUE'],
  ])('is refused for %s', async (query, refusal) => {
    expect(await refusalOf(await ask(`${IMAGES}${query}`))).toBe(refusal)
  })

  it('has names without figures while ledgers are away', async () => {
    await registry.pushImage('hosted/app', { reference: 'v1' })
    await registry.settle()
    const poor = startHosted({ ...settings, HOSTED_LEDGER: broken('objects') })
    expect(await shown(IMAGES, poor)).toEqual({
      images: [{ name: 'hosted/app', kind: 'hosted', pulls: [] }],
    })
  })

  it('is 503 while storage is away', async () => {
    const poor = startHosted({ ...settings, BLOBS: broken('store') })
    const answer = await ask(IMAGES, {}, poor)
    expect(answer.headers.get('retry-after')).toBe('10')
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })
})

describe('a mirrored repository', () => {
  it('has its images with tags, platforms and sizes', async () => {
    const { index, amd64 } = await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    await pull(`/v2/one.test/a/b/manifests/${amd64.digest}`)
    await registry.settle()
    const { images, ...line } = await imagesOf('one.test/a/b')
    expect(line).toMatchObject({ name: 'one.test/a/b', kind: 'mirrored', tags: 1, manifests: 2 })
    const now = new Date(clock.now()).toISOString()
    expect(images).toEqual([
      {
        digest: index.digest,
        mediaType: OCI_INDEX,
        tags: ['v1'],
        platforms: ['linux/amd64', 'linux/arm/v7'],
        size: index.bytes.byteLength + sizeOf(amd64),
        isPinned: false,
        firstSeen: now,
        lastRead: now,
      },
    ])
  })

  it('of an upstream with a port is told from its tag', async () => {
    await addIndex('a/b')
    await pull('/v2/port.test%3A5000/a/b/manifests/v1')
    expect((await imagesOf('port.test:5000/a/b')).images).toHaveLength(1)
    expect(await show('port.test:5000/a/b:v1')).toMatchObject({ tags: ['v1'] })
    expect(await show('port.test%3A5000%2Fa%2Fb%3Av1')).toMatchObject({ tags: ['v1'] })
  })

  it('shows an index with its platforms, and which of them are here', async () => {
    const { index, amd64, arm } = await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    await pull(`/v2/one.test/a/b/manifests/${amd64.digest}`)
    const page = await show('one.test/a/b:v1')
    expect(page).toMatchObject({
      name: 'one.test/a/b',
      kind: 'mirrored',
      digest: index.digest,
      mediaType: OCI_INDEX,
      tags: ['v1'],
      layers: [],
      history: [],
      referrers: [],
      isCut: false,
    })
    expect(page.platforms).toEqual([
      {
        platform: 'linux/amd64',
        digest: amd64.digest,
        mediaType: OCI_MANIFEST,
        size: sizeOf(amd64),
        isHere: true,
        isAttestation: false,
      },
      {
        platform: 'linux/arm/v7',
        digest: arm.digest,
        mediaType: OCI_MANIFEST,
        isHere: false,
        isAttestation: false,
      },
    ])
    expect(page['size']).toBe(index.bytes.byteLength + sizeOf(amd64) + arm.bytes.byteLength)
    expect(page.config).toBeUndefined()
  })

  it.each([
    { host: 'one.test', name: 'a/b', isPrivate: false },
    // Of a private repository the blobs lie elsewhere.
    { host: 'part.test', name: 'closed/b', isPrivate: true },
  ])('of $host shows which layers are here', async ({ host, name, isPrivate }) => {
    const image = await sampleImage({ layers: [100, 200] })
    await addSample(upstream, name, image, 'v1')
    const path = `/v2/${host}/${name}/manifests/v1`
    const owner = { authorization: basic('reader') }
    expect((await registry.get(path, owner)).status).toBe(200)
    for (const { digest, bytes } of image.blobs.slice(0, 2)) {
      const key = mirroredBlobKey({ host, repository: repository(name) }, isPrivate, digest)
      await env.BLOBS.put(key, bytes)
    }
    const page = await show(`${host}/${name}@${image.digest}`)
    expect(page.layers.map(({ size, isHere }) => [size, isHere])).toEqual([
      [100, true],
      [200, false],
    ])
    expect(page.config).toMatchObject({ platform: 'linux/amd64', env: [], labels: {} })
    expect(page).toMatchObject({ tags: ['v1'], size: sizeOf(image), platforms: [] })
  })

  it('shows a configuration that is not here as none', async () => {
    await addSample(upstream, 'a/b', await sampleImage(), 'v1')
    await pull('/v2/one.test/a/b/manifests/v1')
    const page = await show('one.test/a/b:v1')
    expect([page.config, page.history, page.layers[0]?.['isHere']]).toEqual([undefined, [], false])
  })

  it.each([undefined, 10])(
    'does not read a manifest of an index that is too long (said to have %s bytes)',
    async (stated) => {
      const long = await sampleArtifact({ annotations: { text: 'x'.repeat(300_000) } })
      const { size } = long.descriptor
      const child = { ...long, descriptor: { ...long.descriptor, size: stated ?? size } }
      await addSample(upstream, 'a/b', await sampleIndex([child, await sampleImage()]), 'v1')
      await pull('/v2/one.test/a/b/manifests/v1')
      await pull(`/v2/one.test/a/b/manifests/${long.digest}`)
      const page = await show('one.test/a/b:v1')
      expect(page.platforms.map(({ isHere }) => isHere)).toEqual([true, false])
      expect(page.platforms[0]).not.toHaveProperty('size')
      expect(page.isCut).toBe(true)
    },
  )

  it('takes a manifest of an index that was damaged in storage for none', async () => {
    const { index, amd64 } = await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    await pull(`/v2/one.test/a/b/manifests/${amd64.digest}`)
    const name = { host: 'one.test', repository: repository('a/b') }
    await env.BLOBS.put(mirroredManifestKey(name, amd64.digest), '{}')
    const page = await show(`one.test/a/b@${index.digest}`)
    expect(page.platforms.map(({ isHere }) => isHere)).toEqual([false, false])
  })

  it('has the referrers that were pulled, and the tags of cosign', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'a/b', image, 'v1')
    const subject = image.descriptor
    const notation = await sampleArtifact({
      subject,
      artifactType: 'application/vnd.cncf.notary.signature',
      annotations: { 'io.cncf.notary.x509chain.thumbprint#S256': '[]' },
    })
    const sbom = await sampleArtifact({ subject, artifactType: 'application/spdx+json' })
    const cosign = await sampleArtifact({ artifactType: 'application/vnd.sample.cosign' })
    const sig = `${image.digest.replace(':', '-')}.sig`
    await addSample(upstream, 'a/b', notation)
    await addSample(upstream, 'a/b', sbom)
    await addSample(upstream, 'a/b', cosign, sig)
    for (const reference of ['v1', notation.digest, sbom.digest, sig]) {
      await pull(`/v2/one.test/a/b/manifests/${reference}`)
    }
    const { referrers } = await show('one.test/a/b:v1')
    const short = referrers.map(({ digest, artifactType, isSignature, tag }) => {
      return { digest, artifactType, isSignature, tag }
    })
    expect(short[0]).toEqual({
      digest: cosign.digest,
      artifactType: 'application/vnd.sample.cosign',
      isSignature: true,
      tag: sig,
    })
    expect(short.slice(1)).toEqual(
      expect.arrayContaining([
        {
          digest: notation.digest,
          artifactType: 'application/vnd.cncf.notary.signature',
          isSignature: true,
          tag: undefined,
        },
        {
          digest: sbom.digest,
          artifactType: 'application/spdx+json',
          isSignature: false,
          tag: undefined,
        },
      ]),
    )
    expect(referrers).toHaveLength(3)
    expect(await show(`one.test/a/b@${sbom.digest}`)).toMatchObject({
      artifactType: 'application/spdx+json',
      subject: image.digest,
    })
  })

  it('shows what is left while R2 has lost a part of it', async () => {
    const { index, amd64 } = await addIndex('a/b')
    await pull('/v2/one.test/a/b/manifests/v1')
    await pull(`/v2/one.test/a/b/manifests/${amd64.digest}`)
    const store = failing(env.BLOBS, {
      get: async (key: string) => {
        if (key.endsWith(amd64.digest.slice(7))) throw new Error('R2 is ill')
        return env.BLOBS.get(key)
      },
    })
    const poor = startHosted({ ...settings, BLOBS: store })
    const page = (await shown(`${IMAGES}/one.test/a/b:v1`, poor)) as Manifest
    expect(page.digest).toBe(index.digest)
    expect(page.platforms.map(({ isHere }) => isHere)).toEqual([undefined, false])
    expect(poor.lines('image-unreadable')).toHaveLength(1)
  })
})

describe('a hosted repository', () => {
  it('has its images with tags, platforms and sizes', async () => {
    const amd64 = await registry.pushImage('hosted/app', { seed: 1 })
    const arm = await registry.pushImage('hosted/app', { seed: 2 })
    const index = await contentOf(
      encode(
        indexOf([
          { ...descriptorOf(amd64), platform: { os: 'linux', architecture: 'amd64' } },
          { ...descriptorOf(arm), platform: { os: 'linux', architecture: 'arm64' } },
        ]),
      ),
    )
    await registry.putManifest('/v2/hosted/app/manifests/v1', index.bytes, OCI_INDEX)
    await registry.putManifest('/v2/hosted/app/manifests/latest', index.bytes, OCI_INDEX)
    const { images, ...line } = await imagesOf('hosted/app')
    expect(line).toMatchObject({ name: 'hosted/app', kind: 'hosted', tags: 2, manifests: 3 })
    expect(images).toHaveLength(1)
    expect(images[0]).toMatchObject({
      digest: index.digest,
      tags: expect.arrayContaining(['v1', 'latest']),
      platforms: ['linux/amd64', 'linux/arm64'],
      isPinned: false,
    })
    expect(images[0]?.size).toBeGreaterThan(2000)
    const page = await show('hosted/app:latest')
    expect(page.platforms.map(({ platform, isHere }) => [platform, isHere])).toEqual([
      ['linux/amd64', true],
      ['linux/arm64', true],
    ])
    expect(page['size']).toBe(images[0]?.size)
  })

  it('shows what says how an index was built as no platform', async () => {
    const image = await registry.pushImage('hosted/app', { seed: 1 })
    const attestation = await registry.pushImage('hosted/app', { seed: 2 })
    const document = indexOf([
      { ...descriptorOf(image), platform: { os: 'linux', architecture: 'amd64' } },
      {
        ...descriptorOf(attestation),
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
      },
    ])
    await registry.putManifest('/v2/hosted/app/manifests/v1', document, OCI_INDEX)
    expect((await imagesOf('hosted/app')).images[0]?.platforms).toEqual(['linux/amd64'])
    const { platforms } = await show('hosted/app:v1')
    expect(platforms.map(({ isAttestation }) => isAttestation)).toEqual([false, true])
  })

  it('shows an image with configuration, layers and history', async () => {
    const image = await pushImage('hosted/app', 'v1', {
      created: '2026-11-02T10:11:12Z',
      author: 'somebody',
      os: 'linux',
      architecture: 'amd64',
      config: { Cmd: ['nginx'], Env: ['A=1'], Labels: { a: 'b' }, User: 'www' },
      history: [{ created: '2026-11-01T00:00:00Z', created_by: 'ADD x /' }, { empty_layer: true }],
    })
    const page = await show('hosted/app:v1')
    expect(page.config).toEqual({
      created: '2026-11-02T10:11:12.000Z',
      author: 'somebody',
      platform: 'linux/amd64',
      user: 'www',
      entrypoint: [],
      cmd: ['nginx'],
      env: ['A=1'],
      exposedPorts: [],
      volumes: [],
      labels: { a: 'b' },
    })
    expect(page.history).toEqual([
      { created: '2026-11-01T00:00:00.000Z', createdBy: 'ADD x /', isEmpty: false },
      { isEmpty: true },
    ])
    expect(page.layers).toEqual(
      image.layers.map(({ digest, bytes }) => {
        return { digest, mediaType: LAYER, size: bytes.byteLength, isHere: true }
      }),
    )
    expect(page).toMatchObject({ isCut: false, annotations: {}, artifactType: CONFIG })
  })

  it('lets what is no image be what it is', async () => {
    const config = await registry.pushBlob('hosted/chart', await contentOf(encode({ name: 'x' })))
    const file = await registry.pushBlob('hosted/chart', await contentOf(encode({ tgz: 1 })))
    const document = manifestOf(
      { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      [{ ...file, annotations: { 'org.opencontainers.image.title': 'chart.tgz' } }],
      { annotations: { 'org.opencontainers.image.version': '1.0' } },
    )
    await registry.putManifest('/v2/hosted/chart/manifests/v1', document)
    const page = await show('hosted/chart:v1')
    expect(page).toMatchObject({
      artifactType: 'application/vnd.cncf.helm.config.v1+json',
      annotations: { 'org.opencontainers.image.version': '1.0' },
      history: [],
    })
    expect(page.config).toBeUndefined()
    expect(page.layers[0]).toMatchObject({ title: 'chart.tgz', isHere: true })
  })

  it('has the referrers that were pushed', async () => {
    const image = await registry.pushImage('hosted/app', { reference: 'v1' })
    const signature = await registry.pushImage('hosted/app', {
      seed: 2,
      subject: descriptorOf(image),
      artifactType: 'application/vnd.cncf.notary.signature',
      annotations: { a: 'b' },
    })
    const sig = `${image.digest.replace(':', '-')}.sig`
    const cosign = await registry.pushImage('hosted/app', { seed: 3, reference: sig })
    const { referrers } = await show('hosted/app:v1')
    expect(referrers).toEqual([
      expect.objectContaining({ digest: cosign.digest, isSignature: true, tag: sig }),
      {
        digest: signature.digest,
        mediaType: OCI_MANIFEST,
        artifactType: 'application/vnd.cncf.notary.signature',
        size: signature.bytes.byteLength,
        annotations: { a: 'b' },
        isSignature: true,
      },
    ])
  })

  it('goes on after a digest', async () => {
    const pushed: string[] = []
    for (let seed = 1; seed <= 3; seed++) {
      pushed.push((await registry.pushImage('hosted/app', { seed, reference: `v${seed}` })).digest)
    }
    const sorted = pushed.toSorted()
    const { images } = await imagesOf('hosted/app', `?last=${sorted[0]}`)
    expect(images.map(({ digest }) => digest)).toEqual(sorted.slice(1))
  })
})

describe('a stranger', () => {
  it('makes a long history no longer than anybody looks at', async () => {
    const history = Array.from({ length: 5000 }, (_, index) => ({ created_by: `RUN ${index}` }))
    await pushImage('hosted/app', 'v1', { history, config: { Env: ['x'.repeat(9000)] } })
    const page = await show('hosted/app:v1')
    expect([page.history.length, page.isCut]).toEqual([500, true])
    expect(page.config?.['env']).toEqual(['x'.repeat(2000)])
  })

  it.each<{ readonly name: string; readonly config: object | Uint8Array }>([
    { name: 'no JSON', config: new TextEncoder().encode('<html>') },
    { name: 'a list', config: [] },
    { name: 'too long', config: { a: 'x'.repeat(1024 * 1024) } },
  ])('who pushes a configuration that is $name gets his layers shown', async ({ config }) => {
    await pushImage('hosted/app', 'v1', config)
    const page = await show('hosted/app:v1')
    expect([page.config, page.history, page.layers.length]).toEqual([undefined, [], 2])
  })

  it('who writes markup gets it back as JSON', async () => {
    const author = '</script><script>alert(1)</script>\u0000\u202e'
    await pushImage('hosted/app', 'v1', { author })
    expect((await show('hosted/app:v1')).config?.['author']).toBe(author)
  })

  it('makes an index of thousands of entries no work without an end', async () => {
    const image = await registry.pushImage('sparse/app', { seed: 1 })
    const entries = Array.from({ length: 2000 }, (_, index) => ({
      ...descriptorOf(image),
      digest: `sha256:${String(index).padStart(64, '0')}`,
      platform: { os: 'linux', architecture: `a${index}` },
    }))
    const path = '/v2/sparse/app/manifests/v1'
    expect((await registry.putManifest(path, indexOf(entries), OCI_INDEX)).status).toBe(201)
    const page = await show('sparse/app:v1')
    expect([page.platforms.length, page.isCut]).toEqual([500, true])
    expect(page.platforms.filter(({ isHere }) => isHere === false)).toHaveLength(100)
    expect(page.platforms[100]).not.toHaveProperty('isHere')
  })

  it('makes a manifest of hundreds of layers no work without an end', async () => {
    const config = await registry.pushBlob('sparse/app', await contentOf(encode({})))
    const layers = Array.from({ length: 1200 }, (_, index) => ({
      mediaType: LAYER,
      digest: `sha256:${String(index).padStart(64, '0')}`,
      size: 1,
    }))
    await registry.putManifest('/v2/sparse/app/manifests/v1', manifestOf(config, layers))
    const page = await show('sparse/app:v1')
    expect([page.layers.length, page.isCut]).toEqual([1000, true])
    expect(page.layers.filter(({ isHere }) => isHere === false)).toHaveLength(200)
  })
})

describe('there is no', () => {
  beforeEach(async () => {
    await registry.pushImage('hosted/app', { reference: 'v1' })
  })

  it.each([
    [`${IMAGES}/hosted/none`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/hosted/none:v1`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/hosted/app:v2`, '404 MANIFEST_UNKNOWN'],
    [`${IMAGES}/hosted/app@${ABSENT}`, '404 MANIFEST_UNKNOWN'],
    [`${IMAGES}/one.test/a/b`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/one.test/a/b:v1`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/one.test/a/b@${ABSENT}`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/unknown.test/a/b`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/Hosted/App`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/hosted/../app`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/hosted/app:`, '400 NAME_INVALID'],
    [`${IMAGES}/hosted/app:.x`, '400 NAME_INVALID'],
    [`${IMAGES}/hosted/app@sha256:abc`, '400 NAME_INVALID'],
    [`${IMAGES}/%E0%A4%A`, '404 NAME_UNKNOWN'],
    [`${IMAGES}/hosted/app?last=x`, '400 UNSUPPORTED_VALUE'],
    [`${IMAGES}/`, '404 NAME_UNKNOWN'],
  ])('%s: %s', async (path, refusal) => {
    net.forget()
    expect(await refusalOf(await ask(path))).toBe(refusal)
    expect(net.urls()).toEqual([])
  })

  it('answer while the ledger is away', async () => {
    const poor = startHosted({ ...settings, HOSTED_LEDGER: broken('objects') })
    for (const path of ['hosted/app', 'hosted/app:v1']) {
      expect(await refusalOf(await ask(`${IMAGES}/${path}`, {}, poor))).toBe('503 UNKNOWN')
    }
  })

  it('answer to anybody but an administrator', async () => {
    for (const path of [IMAGES, `${IMAGES}/hosted/app`, `${IMAGES}/hosted/app:v1`]) {
      expect(await refusalOf(await registry.get(path))).toBe('401 UNAUTHORIZED')
      const reader = { authorization: basic('reader') }
      expect(await refusalOf(await registry.get(path, reader))).toBe('401 UNAUTHORIZED')
    }
  })

  it('body in the answer to HEAD, and no other method', async () => {
    for (const path of [IMAGES, `${IMAGES}/hosted/app:v1`]) {
      const head = await ask(path, { method: 'HEAD' })
      expect([head.status, await head.text()]).toEqual([200, ''])
      expect(Number(head.headers.get('content-length'))).toBeGreaterThan(10)
      const answer = await ask(path, { method: 'DELETE' })
      expect(answer.headers.get('allow')).toBe('GET, HEAD')
      expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
    }
  })
})

it('leaves no trace of a name that somebody guessed', async () => {
  await refusalOf(await ask(`${IMAGES}/hosted/guess`))
  await refusalOf(await ask(`${IMAGES}/one.test/guess/b:v1`))
  expect((await list()).images).toEqual([])
  expect((await isolate(settings).get('/healthz')).status).toBe(200)
})
