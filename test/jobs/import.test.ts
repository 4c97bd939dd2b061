// Imports of images of configured upstreams: what is copied, that nothing is copied twice, what is left out for
// platforms, and what stays as it is.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { referrersTag } from '../../src/oci/referrers.ts'
import { HOSTED, digestAt, hosted, lines, runImport } from '../support/import-job.ts'
import { goOnline, startUpstream } from '../support/internet.ts'

const AMD64 = { os: 'linux', architecture: 'amd64' }
const ARM64 = { os: 'linux', architecture: 'arm64', variant: 'v8' }
const FROM = 'one.test/team/app:1.0'
const TO = 'hosted/app:1.0'

let upstream: SampleUpstream

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** An image for two platforms, each with an attestation, as buildx makes it. */
async function attested(): Promise<{
  readonly index: SampleManifest
  readonly amd64: SampleManifest
  readonly arm64: SampleManifest
  readonly ofAmd64: SampleManifest
  readonly ofArm64: SampleManifest
}> {
  const amd64 = await sampleImage({ seed: 1, platform: AMD64, layers: [4000, 3000] })
  const arm64 = await sampleImage({ seed: 2, platform: ARM64 })
  const attest = async (of: SampleManifest, seed: number): Promise<SampleManifest> => {
    const image = await sampleImage({ seed, platform: { os: 'unknown', architecture: 'unknown' } })
    const annotations = {
      'vnd.docker.reference.digest': of.digest,
      'vnd.docker.reference.type': 'attestation-manifest',
    }
    return { ...image, descriptor: { ...image.descriptor, annotations } }
  }
  const ofAmd64 = await attest(amd64, 3)
  const ofArm64 = await attest(arm64, 4)
  const index = await sampleIndex([amd64, arm64, ofAmd64, ofArm64])
  return { index, amd64, arm64, ofAmd64, ofArm64 }
}

function blobGETs(): number {
  return upstream.count({ method: 'GET', kind: 'blob' })
}

describe('an image', () => {
  it('is copied byte for byte with all its platforms', async () => {
    const { index, amd64, arm64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const { status, report } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status).toMatchObject({
      state: 'done',
      title: `${FROM} -> ${TO}`,
      progress: { done: 1, total: 1, unit: 'images' },
      result: { copied: 1, present: 0, failed: 0 },
    })
    expect(report).toMatchObject([{ subject: TO, outcome: 'copied', digest: index.digest }])
    const answer = await hosted('hosted/app').manifest({ kind: 'tag', tag: '1.0' as never })
    expect(answer).toMatchObject({ ok: true, digest: index.digest, mediaType: index.mediaType })
    expect(answer.ok && answer.bytes).toEqual(index.bytes)
    for (const { digest, blobs } of [amd64, arm64]) {
      expect(await digestAt('hosted/app', digest)).toBe(digest)
      for (const blob of blobs) {
        const held = await hosted('hosted/app').blobs.get(blob.digest, {
          wants: 'bytes',
          range: undefined,
        })
        expect(held.ok && (await new Response(held.body).bytes())).toEqual(blob.bytes)
      }
    }
    // Config and layers of the four, and the manifests with their index.
    const all = [index, ...index.children]
    const bytes = [...all, ...index.children.flatMap(({ blobs }) => blobs)]
    expect(status.result['bytes']).toBe(bytes.reduce((sum, each) => sum + each.bytes.length, 0))
  })

  it('comes with everything that refers to it, and with what refers to that', async () => {
    const { index, amd64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const sbom = await sampleArtifact({ subject: index.descriptor, artifactType: 'a/sbom' })
    const ofSbom = await sampleArtifact({ subject: sbom.descriptor, artifactType: 'a/signature' })
    const ofChild = await sampleArtifact({ subject: amd64.descriptor, artifactType: 'a/child' })
    for (const each of [sbom, ofSbom, ofChild]) await addSample(upstream, 'team/app', each)
    const { status, report } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status.state).toBe('done')
    expect(report).toMatchObject([{ outcome: 'copied', note: 'with 3 that refer to it' }])
    for (const [subject, referrer] of [
      [index, sbom],
      [sbom, ofSbom],
      [amd64, ofChild],
    ] as const) {
      const page = { artifactTypes: [], last: undefined }
      const { items } = await hosted('hosted/app').referrers(subject.digest, page)
      expect(items.map(({ digest }) => digest)).toEqual([referrer.digest])
    }
  })

  it('comes with the tags of cosign and of registries without referrers', async () => {
    upstream = startUpstream({ referrersAPI: false })
    vi.restoreAllMocks()
    vi.spyOn(console, 'log').mockReturnValue()
    goOnline({ 'one.test': upstream })
    const { index, amd64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const signature = await sampleImage({ seed: 10 })
    const ofChild = await sampleImage({ seed: 11 })
    const sbom = await sampleArtifact({ subject: index.descriptor })
    const list = await sampleIndex([sbom])
    const tags = {
      [`${referrersTag(index.digest)}.sig`]: signature,
      [`${referrersTag(amd64.digest)}.att`]: ofChild,
      [referrersTag(index.digest)]: list,
    }
    for (const [tag, sample] of Object.entries(tags)) {
      await addSample(upstream, 'team/app', sample, tag)
    }
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status.state).toBe('done')
    for (const [tag, { digest }] of Object.entries(tags)) {
      expect(await digestAt('hosted/app', tag)).toBe(digest)
    }
    expect(await digestAt('hosted/app', sbom.digest)).toBe(sbom.digest)
  })

  it('costs few requests, whatever could refer to its manifests', async () => {
    const { index, amd64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const tag = `${referrersTag(amd64.digest)}.sig`
    const signature = await sampleImage({ seed: 10 })
    await addSample(upstream, 'team/app', signature, tag)
    await runImport({ images: [{ from: FROM, to: TO }] })
    expect(await digestAt('hosted/app', tag)).toBe(signature.digest)
    expect(upstream.count({ kind: 'tags' })).toBe(1)
    // Those that are listed, and no others: the index, its four, the signature.
    const manifests = upstream.requests.filter(({ kind, method }) => {
      return kind === 'manifest' && method === 'GET'
    })
    expect(manifests).toHaveLength(6)
  })

  it('comes with its signature where tags are listed in any order', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    const tag = `${referrersTag(image.digest)}.sig`
    await addSample(upstream, 'team/app', await sampleImage({ seed: 10 }), tag)
    upstream.fault({
      on: { kind: 'tags' },
      do: {
        edit: () => ({ name: 'team/app', tags: ['x', 'v'] }),
        headers: { link: '</v2/team/app/tags/list?next=1>; rel="next"' },
      },
    })
    await runImport({ images: [{ from: FROM, to: TO }] })
    expect(await digestAt('hosted/app', tag)).toBeDefined()
  })

  it('is found there the second time, and nothing is fetched', async () => {
    const { index } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const order = { images: [{ from: FROM, to: TO }] }
    await runImport(order)
    upstream.forget()
    const { status, report } = await runImport(order)
    expect(status.result).toEqual({ copied: 0, present: 1, failed: 0, bytes: 0 })
    expect(lines(report)).toEqual([`present ${TO}`])
    expect(blobGETs()).toBe(0)
  })

  it('gets a signature that was made after it was imported', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    const order = { images: [{ from: 'one.test/team/app@' + image.digest, to: 'hosted/app' }] }
    const first = await runImport(order)
    expect(lines(first.report)).toEqual([`copied hosted/app@${image.digest}`])
    const signature = await sampleImage({ seed: 7 })
    const tag = `${referrersTag(image.digest)}.sig`
    await addSample(upstream, 'team/app', signature, tag)
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000)
    const { status } = await runImport(order)
    expect(status.result).toMatchObject({ copied: 1, present: 0, failed: 0 })
    expect(await digestAt('hosted/app', tag)).toBe(signature.digest)
  })

  it('is read from the mirror where that has it', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    await runImport({ images: [{ from: FROM, to: TO }] })
    expect(blobGETs()).toBe(2)
    await hosted('hosted/app').deleteManifest(image.digest)
    for (const { digest } of image.blobs) await hosted('hosted/app').deleteBlob(digest)
    upstream.forget()
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status.result).toMatchObject({ copied: 1 })
    expect(blobGETs()).toBe(0)
  })

  it('gets back a blob that was deleted', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    await runImport({ images: [{ from: FROM, to: TO }] })
    const { digest } = image.blobs[1]!
    await hosted('hosted/app').deleteBlob(digest)
    await runImport({ images: [{ from: FROM, to: TO }] })
    expect((await hosted('hosted/app').blobs.get(digest, { wants: 'size' })).ok).toBe(true)
  })

  it('takes over blobs that it has brought into another repository', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    await addSample(upstream, 'other', image, 'x')
    const images = [
      { from: FROM, to: TO },
      { from: 'one.test/other:x', to: 'hosted/other:x' },
    ]
    const { status } = await runImport({ images })
    expect(status.result).toMatchObject({ copied: 2, present: 0 })
    expect(blobGETs()).toBe(image.blobs.length)
    expect(await digestAt('hosted/other', 'x')).toBe(image.digest)
  })

  it('gets no blob that only somebody else here has, by whatever manifest names it', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    await runImport({ images: [{ from: FROM, to: 'hosted/secret:1.0' }] })
    const [digest] = image.blobs.map((blob) => blob.digest)
    const evil = startUpstream()
    goOnline({ 'one.test': upstream, 'two.test': evil })
    await evil.addManifest('evil', image.bytes, { mediaType: image.mediaType, tag: '1.0' })
    const { status, report } = await runImport({ images: [{ from: 'two.test/evil:1.0', to: TO }] })
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([{ outcome: 'failed' }])
    expect((await hosted('hosted/app').blobs.get(digest!, { wants: 'size' })).ok).toBe(false)
  })

  it('gets no blob that only another repository of its private registry has', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    await upstream.addManifest('evil', image.bytes, { mediaType: image.mediaType, tag: '1.0' })
    const images = [
      { from: FROM, to: 'hosted/secret:1.0' },
      { from: 'one.test/evil:1.0', to: TO },
    ]
    const UPSTREAMS = { 'one.test': { url: 'https://one.test', private: true } }
    const settings = { ...HOSTED, UPSTREAMS, UPSTREAM_CREDENTIALS: '{}', DEFAULT_UPSTREAM: '' }
    const { status, report } = await runImport({ images }, { settings })
    expect(status.result).toMatchObject({ copied: 1, failed: 1 })
    expect(lines(report)).toEqual(['copied hosted/secret:1.0', `failed ${TO}`])
    const why = 'the source does not have it'
    expect(report).toContainEqual({ subject: TO, outcome: 'failed', note: why })
    for (const { digest } of image.blobs) {
      expect((await hosted('hosted/app').blobs.get(digest, { wants: 'size' })).ok).toBe(false)
    }
  })

  it('that is missing fails, and the others go on', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image, '1.0')
    const { status, report } = await runImport({
      images: [
        { from: 'one.test/team/app:2.0', to: 'hosted/app:2.0' },
        { from: FROM, to: TO },
      ],
    })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 1 } })
    expect(lines(report)).toEqual([`copied ${TO}`, 'failed hosted/app:2.0'])
  })

  it('that is the only one and fails makes the job fail, with its figures', async () => {
    const { status, report } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status).toMatchObject({
      state: 'failed',
      note: 'nothing could be imported: the report says why',
      result: { copied: 0, present: 0, failed: 1 },
    })
    expect(report).toMatchObject([{ outcome: 'failed', note: 'the source does not have it' }])
  })

  it('keeps layers that must not be distributed where they are', async () => {
    const layer = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      size: 9,
    }
    const image = await sampleImage()
    const document = JSON.parse(new TextDecoder().decode(image.bytes))
    const foreign = { ...layer, digest: `sha256:${'7'.repeat(64)}` }
    const bytes = new TextEncoder().encode(
      JSON.stringify({ ...document, layers: [...document.layers, foreign] }),
    )
    await addSample(upstream, 'team/app', image)
    const digest = await upstream.addManifest('team/app', bytes, { tag: '1.0' })
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status.state).toBe('done')
    expect(await digestAt('hosted/app', '1.0')).toBe(digest)
  })
})

describe('an index', () => {
  const INDEX = 'application/vnd.oci.image.index.v1+json'

  /** An index of whatever descriptors. */
  async function addIndex(manifests: readonly object[], tag: string) {
    const document = { schemaVersion: 2, mediaType: INDEX, manifests }
    const bytes = new TextEncoder().encode(JSON.stringify(document))
    const digest = await upstream.addManifest('team/app', bytes, { tag, mediaType: INDEX })
    return { mediaType: INDEX, digest, size: bytes.byteLength }
  }

  it('that names the same one many times, in indexes that do so too, is walked once', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image)
    let descriptor: object = image.descriptor
    for (const tag of ['a', 'b', 'c', 'd', '1.0']) {
      descriptor = await addIndex(Array(15).fill(descriptor), tag)
    }
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] }, { steps: 1 })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 0 } })
    expect(await digestAt('hosted/app', image.digest)).toBe(image.digest)
  })

  it('that is more than a step can do goes on with the children that are left', async () => {
    const count = 210
    const [first, ...more] = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        sampleImage({ layers: [10], annotations: { index: String(index) } }),
      ),
    )
    if (first === undefined) expect.fail('no image')
    await addSample(upstream, 'team/app', first)
    for (const { bytes } of more) await upstream.addManifest('team/app', bytes)
    const descriptors = [first, ...more].map((each) => each.descriptor)
    await addIndex(descriptors, '1.0')
    const order = { from: 'https://one.test/', repositories: ['team/app'], to: 'hosted/team' }
    const { status } = await runImport(order, { steps: 6 })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 0 } })
    const last = more.at(-1)?.digest ?? expect.fail('no image')
    expect(await digestAt('hosted/team/app', last)).toBe(last)
  }, 60_000)

  it('of too many is not walked', async () => {
    const descriptors = Array.from({ length: 10_001 }, (_, index) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${String(index).padStart(64, '0')}`,
      size: 100,
    }))
    await addIndex(descriptors, '1.0')
    const { status, report } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([
      { note: 'a manifest of it names more than 10000 others and blobs' },
    ])
    const children = upstream.requests.filter(({ reference }) =>
      reference?.startsWith('sha256:000'),
    )
    expect(children).toEqual([])
  })
})

describe('chosen platforms', () => {
  it('come with their attestations, under the whole index', async () => {
    const { index, amd64, arm64, ofAmd64, ofArm64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const { status } = await runImport({
      images: [{ from: FROM, to: TO }],
      platforms: ['linux/arm64'],
    })
    expect(status.state).toBe('done')
    expect(await digestAt('hosted/app', '1.0')).toBe(index.digest)
    for (const { digest } of [arm64, ofArm64]) {
      expect(await digestAt('hosted/app', digest)).toBe(digest)
    }
    for (const { digest } of [amd64, ofAmd64]) {
      expect(await digestAt('hosted/app', digest)).toBeUndefined()
    }
    for (const { digest } of amd64.blobs) expect(upstream.count({ reference: digest })).toBe(0)
  })

  it('are completed by a later import of all of them', async () => {
    const { index, amd64 } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const images = [{ from: FROM, to: TO }]
    await runImport({ images, platforms: ['linux/arm64/v8'] })
    const { status } = await runImport({ images })
    expect(status.result).toMatchObject({ copied: 1, failed: 0 })
    expect(await digestAt('hosted/app', amd64.digest)).toBe(amd64.digest)
  })

  it('that the image does not have are refused with those that it has', async () => {
    const { index } = await attested()
    await addSample(upstream, 'team/app', index, '1.0')
    const { status, report } = await runImport({
      images: [{ from: FROM, to: TO }],
      platforms: ['linux/amd64', 'linux/s390x'],
    })
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([
      { note: 'there is no linux/s390x: it has linux/amd64, linux/arm64/v8' },
    ])
    expect(blobGETs()).toBe(0)
  })

  it.each([
    ['linux/amd64', 'done'],
    ['linux/arm64', 'failed'],
  ])('%s of an image that is no index: %s', async (platform, state) => {
    await addSample(upstream, 'team/app', await sampleImage({ platform: AMD64 }), '1.0')
    const images = [{ from: FROM, to: TO }]
    const { status, report } = await runImport({ images, platforms: [platform] })
    expect(status.state).toBe(state)
    if (state === 'failed') {
      expect(report[0]?.note).toBe('there is no linux/arm64: it has linux/amd64')
    }
  })
})

describe('a tag that exists', () => {
  const IMMUTABLE = { HOSTED: [{ pattern: 'hosted/**', immutable: ['1.*'] }] }

  it('is moved where it may be', async () => {
    const [old, next] = [await sampleImage({ seed: 1 }), await sampleImage({ seed: 2 })]
    await addSample(upstream, 'team/app', old, '1.0')
    await addSample(upstream, 'team/app', next, '2.0')
    await runImport({ images: [{ from: FROM, to: TO }] })
    await runImport({ images: [{ from: 'one.test/team/app:2.0', to: TO }] })
    expect(await digestAt('hosted/app', '1.0')).toBe(next.digest)
  })

  it('stays where it is immutable, and nothing is fetched for it', async () => {
    const [old, next] = [await sampleImage({ seed: 1 }), await sampleImage({ seed: 2 })]
    await addSample(upstream, 'team/app', old, '1.0')
    await addSample(upstream, 'team/app', next, '2.0')
    await runImport({ images: [{ from: FROM, to: TO }] }, { settings: IMMUTABLE })
    upstream.forget()
    const { status, report } = await runImport(
      { images: [{ from: 'one.test/team/app:2.0', to: TO }] },
      { settings: IMMUTABLE },
    )
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([
      { outcome: 'failed', note: `1.0 is ${old.digest} here, and may not be changed` },
    ])
    expect(await digestAt('hosted/app', '1.0')).toBe(old.digest)
    expect(blobGETs()).toBe(0)
  })

  it('is present where it is immutable and the same', async () => {
    await addSample(upstream, 'team/app', await sampleImage(), '1.0')
    await runImport({ images: [{ from: FROM, to: TO }] }, { settings: IMMUTABLE })
    const { status } = await runImport(
      { images: [{ from: FROM, to: TO }] },
      { settings: IMMUTABLE },
    )
    expect(status.result).toMatchObject({ present: 1, failed: 0 })
  })
})

describe('an index that lacks its manifests', () => {
  it('is refused to everybody else', async () => {
    const { index, amd64 } = await attested()
    const target = hosted('hosted/app')
    const put = {
      bytes: index.bytes,
      contentType: index.mediaType,
      reference: { kind: 'digest', digest: index.digest } as const,
      tags: [],
      mayMove: true,
    }
    const digests = index.children.map(({ digest }) => digest)
    expect(await target.putManifest(put)).toEqual({ ok: false, reason: 'missing', digests })
    // Only what may be lacking.
    const others = digests.filter((digest) => digest !== amd64.digest)
    expect(await target.putManifest({ ...put, mayLack: others })).toEqual({
      ok: false,
      reason: 'missing',
      digests: [amd64.digest],
    })
    expect(await target.putManifest({ ...put, mayLack: digests })).toMatchObject({ ok: true })
  })

  it('may not lack a blob', async () => {
    const image = await sampleImage()
    const digests = image.blobs.map(({ digest }) => digest)
    const answer = await hosted('hosted/app').putManifest({
      bytes: image.bytes,
      contentType: image.mediaType,
      reference: { kind: 'digest', digest: image.digest },
      tags: [],
      mayMove: true,
      mayLack: digests,
    })
    expect(answer).toEqual({ ok: false, reason: 'missing', digests })
  })
})

describe('an order', () => {
  it('waits while hosted repositories are read-only', async () => {
    await addSample(upstream, 'team/app', await sampleImage(), '1.0')
    const { env } = await import('cloudflare:workers')
    await env.AUTHORITY.getByName('authority').setSwitches({ readOnly: true }, 'a test')
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status).toMatchObject({
      state: 'waiting',
      note: 'hosted repositories are read-only',
    })
    expect(await digestAt('hosted/app', '1.0')).toBeUndefined()
  })

  it('asks nothing of an upstream that is paused', async () => {
    await addSample(upstream, 'team/app', await sampleImage(), '1.0')
    const { env } = await import('cloudflare:workers')
    await env.AUTHORITY.getByName('authority').setSwitches({ paused: ['one.test'] }, 'a test')
    const { status } = await runImport({ images: [{ from: FROM, to: TO }] })
    expect(status).toMatchObject({
      state: 'waiting',
      note: 'an administrator has switched off that it is asked',
    })
    expect(upstream.requests).toEqual([])
  })
})
