// Manifests from an upstream that makes mistakes, or lies: what is hashed, and what is refused.

import { describe, expect, it } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { digestOf, parseDigest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import type { FetchedManifest } from '../../src/upstream/manifests.ts'
import { fetchManifest, headManifest } from '../../src/upstream/manifests.ts'
import { SECOND } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { reference, repository } from '../support/parsed.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'

const MIB = 1024 * 1024
const MANIFEST = { on: { kind: 'manifest' } } as const

interface Stage {
  readonly sample: SampleUpstream
  readonly net: Network
  readonly fetch: (text: string) => Promise<FetchedManifest>
  readonly head: (text: string) => Promise<Digest | undefined>
}

function stage(): Stage {
  const sample = new SampleUpstream()
  const net = network({ 'one.test': sample })
  const { client } = connect(upstreamFrom(), { network: net })
  const requestFor = (text: string) => ({
    repository: repository('a/b'),
    reference: reference(text),
    deadline: Date.now() + 20 * SECOND,
  })
  return {
    sample,
    net,
    fetch: (text) => fetchManifest(client, requestFor(text), () => Date.now()),
    head: (text) => headManifest(client, requestFor(text)),
  }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

const CONFIG = { mediaType: 'application/x', digest: `sha256:${'a'.repeat(64)}`, size: 1 }

/** A manifest of exactly so many bytes. */
function manifestOf(size: number): Uint8Array {
  const bare = { schemaVersion: 2, mediaType: MEDIA_TYPE.OCI_MANIFEST, config: CONFIG, layers: [] }
  const annotations = { filler: '' }
  const missing = size - encode({ ...bare, annotations }).byteLength
  return encode({ ...bare, annotations: { filler: 'x'.repeat(missing) } })
}

describe('a manifest', () => {
  it.each(['sha256', 'sha512'] as const)(
    'is fetched by %s digest and by tag',
    async (algorithm) => {
      const { sample, fetch } = stage()
      const image = await sampleImage({ algorithm })
      await addSample(sample, 'a/b', image, 'latest')
      for (const text of [image.digest, 'latest']) {
        const manifest = await fetch(text)
        expect(manifest.digest).toBe(image.digest)
        expect(manifest.bytes).toEqual(image.bytes)
        expect(manifest.mediaType).toBe(MEDIA_TYPE.OCI_MANIFEST)
      }
    },
  )

  it('comes with what its document says', async () => {
    const { sample, fetch } = stage()
    const index = await sampleIndex([await sampleImage()])
    await addSample(sample, 'a/b', index, 'latest')
    const { document } = await fetch('latest')
    expect(document.descriptors.map(({ digest }) => digest)).toEqual(
      index.children.map(({ digest }) => digest),
    )
  })

  it('is asked for as it is, in every modern type and not in schema 1', async () => {
    const { sample, net, fetch } = stage()
    await addSample(sample, 'a/b', await sampleImage(), 'latest')
    await fetch('latest')
    const { headers = {} } = net.requests.at(-1) ?? {}
    expect(headers['accept-encoding']).toBe('identity')
    expect(headers['accept']?.split(/, */)).toEqual(
      expect.arrayContaining([
        MEDIA_TYPE.OCI_INDEX,
        MEDIA_TYPE.OCI_MANIFEST,
        MEDIA_TYPE.DOCKER_LIST,
        MEDIA_TYPE.DOCKER_MANIFEST,
      ]),
    )
    expect(headers['accept']).not.toContain('distribution.manifest.v1')
  })

  it('that the upstream does not have is not found', async () => {
    const { fetch } = stage()
    expect(await failureFrom(fetch('latest'))).toEqual({ kind: 'not-found' })
  })

  it.each([
    { name: 'exactly 4 MiB is taken', size: 4 * MIB, fault: {}, want: undefined },
    { name: 'a byte more is refused', size: 4 * MIB + 1, fault: {}, want: 'invalid' },
    {
      name: 'a byte more is refused without Content-Length',
      size: 4 * MIB + 1,
      fault: { noContentLength: true },
      want: 'invalid',
    },
  ] as const)('of $name', async ({ size, fault, want }) => {
    const { sample, fetch } = stage()
    const bytes = manifestOf(size)
    expect(bytes.byteLength).toBe(size)
    const digest = await sample.addManifest('a/b', bytes, { mediaType: MEDIA_TYPE.OCI_MANIFEST })
    sample.fault({ ...MANIFEST, do: fault })
    if (want === undefined) expect((await fetch(digest)).bytes.byteLength).toBe(size)
    else expect(await failureFrom(fetch(digest))).toMatchObject({ kind: want })
  })

  it.each([
    { name: 'is cut', fault: { truncateAt: 0.5 } },
    { name: 'is cut without Content-Length', fault: { truncateAt: 10, noContentLength: true } },
    { name: 'is cut before it begins', fault: { truncateAt: 0 } },
  ] satisfies readonly { name: string; fault: Fault }[])(
    'that $name is an outage, not an answer',
    async ({ fault }) => {
      const { sample, fetch } = stage()
      await addSample(sample, 'a/b', await sampleImage(), 'latest')
      sample.fault({ ...MANIFEST, do: fault })
      expect(await failureFrom(fetch('latest'))).toMatchObject({ kind: 'unavailable' })
    },
  )

  it('that comes encoded all the same is hashed decoded', async () => {
    const { sample, fetch } = stage()
    const image = await sampleImage()
    await addSample(sample, 'a/b', image, 'latest')
    sample.fault({ ...MANIFEST, do: { gzip: true } })
    expect(await fetch(image.digest)).toMatchObject({ digest: image.digest, bytes: image.bytes })
  })
})

describe('a digest', () => {
  it('that was asked for and does not hold is refused, whatever the header says', async () => {
    const { sample, fetch } = stage()
    const [asked, other] = [await sampleImage({ seed: 1 }), await sampleImage({ seed: 2 })]
    await addSample(sample, 'a/b', asked)
    sample.fault({ ...MANIFEST, do: { body: other.bytes, digestHeader: asked.digest } })
    expect(await failureFrom(fetch(asked.digest))).toMatchObject({ kind: 'invalid' })
  })

  it('that was asked for and holds is right, whatever the header says', async () => {
    const { sample, fetch } = stage()
    const [asked, other] = [await sampleImage({ seed: 1 }), await sampleImage({ seed: 2 })]
    await addSample(sample, 'a/b', asked)
    sample.fault({ ...MANIFEST, do: { digestHeader: other.digest } })
    expect((await fetch(asked.digest)).digest).toBe(asked.digest)
  })

  const wrong = `sha256:${'0'.repeat(64)}`
  it.each([
    { name: 'is another', digestHeader: wrong },
    { name: 'is none', digestHeader: null },
    { name: 'is nonsense', digestHeader: 'sha256:abc' },
    { name: 'is of an algorithm that nobody knows', digestHeader: 'md5:abcdef' },
    { name: 'is a sha512 that is wrong', digestHeader: `sha512:${'0'.repeat(128)}` },
  ])('of a tag is computed where the header $name', async ({ digestHeader }) => {
    const { sample, fetch } = stage()
    const image = await sampleImage()
    await addSample(sample, 'a/b', image, 'latest')
    sample.fault({ ...MANIFEST, do: { digestHeader } })
    const { digest, bytes } = await fetch('latest')
    expect(digest).toBe(image.digest)
    expect(bytes).toEqual(image.bytes)
  })

  it('of a tag may be a sha512 that is right', async () => {
    const { sample, fetch } = stage()
    const image = await sampleImage()
    await addSample(sample, 'a/b', image, 'latest')
    const digestHeader = await digestOf(image.bytes, 'sha512')
    sample.fault({ ...MANIFEST, do: { digestHeader } })
    expect((await fetch('latest')).digest).toBe(digestHeader)
  })
})

describe('what is no manifest is refused:', () => {
  const both = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.OCI_MANIFEST,
    config: CONFIG,
    layers: [],
    manifests: [],
  }
  it.each([
    { name: 'a page', bytes: '<html>sign in</html>', mediaType: 'text/html' },
    { name: 'a manifest that calls itself a page', bytes: manifestOf(500), mediaType: 'text/html' },
    {
      name: 'a manifest that calls itself an index',
      bytes: manifestOf(500),
      mediaType: MEDIA_TYPE.OCI_INDEX,
    },
    { name: 'both manifest and index', bytes: encode(both), mediaType: MEDIA_TYPE.OCI_MANIFEST },
    { name: 'no JSON', bytes: sampleBytes(100), mediaType: MEDIA_TYPE.OCI_MANIFEST },
    { name: 'nothing', bytes: new Uint8Array(), mediaType: MEDIA_TYPE.OCI_MANIFEST },
    {
      name: 'two media types',
      bytes: `{"schemaVersion":2,"mediaType":"${MEDIA_TYPE.OCI_INDEX}","mediaType":"${MEDIA_TYPE.OCI_MANIFEST}"}`,
      mediaType: MEDIA_TYPE.OCI_MANIFEST,
    },
    {
      name: 'schema 1',
      bytes: encode({ schemaVersion: 1, name: 'a/b', fsLayers: [] }),
      mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
    },
  ])('$name', async ({ bytes, mediaType }) => {
    const { sample, fetch } = stage()
    const raw = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
    const digest = await sample.addManifest('a/b', raw, { mediaType, tag: 'latest' })
    expect(await failureFrom(fetch('latest'))).toMatchObject({ kind: 'invalid' })
    expect(await failureFrom(fetch(digest))).toMatchObject({ kind: 'invalid' })
  })
})

describe('HEAD of a tag', () => {
  it('tells its digest', async () => {
    const { sample, net, head } = stage()
    const image = await sampleImage()
    await addSample(sample, 'a/b', image, 'latest')
    expect(await head('latest')).toBe(image.digest)
    expect(net.requests.at(-1)?.method).toBe('HEAD')
  })

  it.each([
    { name: 'no digest', fault: { digestHeader: null } },
    { name: 'nonsense', fault: { digestHeader: 'latest' } },
    { name: '405', fault: { status: 405 } },
  ] satisfies readonly { name: string; fault: Fault }[])(
    'that is answered with $name tells nothing',
    async ({ fault }) => {
      const { sample, head } = stage()
      await addSample(sample, 'a/b', await sampleImage(), 'latest')
      sample.fault({ ...MANIFEST, do: fault })
      expect(await head('latest')).toBeUndefined()
    },
  )

  it.each([
    { fault: { status: 404 }, want: 'not-found' },
    { fault: { status: 429 }, want: 'rate-limited' },
    { fault: { status: 503 }, want: 'unavailable' },
    { fault: { status: 403 }, want: 'denied' },
  ])('fails as GET would: $fault', async ({ fault, want }) => {
    const { sample, head } = stage()
    sample.fault({ ...MANIFEST, do: fault })
    expect(await failureFrom(head('latest'))).toMatchObject({ kind: want })
  })

  it('tells a sha512 digest too', async () => {
    const { sample, head } = stage()
    const image = await sampleImage({ algorithm: 'sha512' })
    await addSample(sample, 'a/b', image, 'latest')
    expect(await head('latest')).toBe(parseDigest(image.digest))
  })
})
