// What a prefetch brings here, what it asks of the upstream for that, and what it leaves to clients: counted at the
// upstream, and by what is stored afterwards.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest, SamplePlatform } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { keysIn } from '../support/blob.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { runJob } from '../support/job-run.ts'
import { repository, tag } from '../support/parsed.ts'

const AMD64 = { os: 'linux', architecture: 'amd64' }
const ARM64 = { os: 'linux', architecture: 'arm64', variant: 'v8' }
const ARM7 = { os: 'linux', architecture: 'arm', variant: 'v7' }
const IMAGE = 'one.test/team/app:1.0'

let clock: Clock
let upstream: SampleUpstream

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream, 'two.test': upstream, 'private.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function platformImage(platform: SamplePlatform, seed: number): Promise<SampleManifest> {
  return sampleImage({ platform, seed, layers: [4000, 3000] })
}

/** An index of three platforms, the first one with an attestation as buildx makes it. */
async function addIndex(): Promise<{
  readonly index: SampleManifest
  readonly images: readonly SampleManifest[]
  readonly attestation: SampleManifest
}> {
  const platforms = [AMD64, ARM64, ARM7].map((each, seed) => platformImage(each, seed + 1))
  const images = await Promise.all(platforms)
  const made = await platformImage({ os: 'unknown', architecture: 'unknown' }, 9)
  const annotations = { 'vnd.docker.reference.digest': images[0]?.digest ?? '' }
  const attestation = { ...made, descriptor: { ...made.descriptor, annotations } }
  const index = await sampleIndex([...images, attestation])
  await addSample(upstream, 'team/app', index, '1.0')
  return { index, images, attestation }
}

function prefetch(images: readonly string[] = [IMAGE], more: object = {}) {
  return runJob('prefetch', { images, ...more })
}

function blobsHere(): Promise<string[]> {
  return keysIn('mirror/one.test/blobs/')
}

async function manifestsHere(): Promise<number> {
  return (await keysIn('mirror/one.test/manifests/')).length
}

function bytesOf(manifests: readonly SampleManifest[]): number {
  const all = manifests.flatMap((each) => [each, ...each.blobs])
  return all.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
}

describe('an image', () => {
  it('is here afterwards with all that it is made of, and a pull asks the upstream nothing', async () => {
    const { index, images, attestation } = await addIndex()
    const { status, report } = await prefetch()
    const bytes = bytesOf([index, ...images, attestation])
    expect(status).toMatchObject({
      state: 'done',
      title: IMAGE,
      progress: { done: 1, total: 1, unit: 'images' },
      result: { fetched: 1, present: 0, failed: 0, bytes },
    })
    expect(report).toEqual([{ subject: IMAGE, outcome: 'fetched', digest: index.digest, bytes }])
    expect(await blobsHere()).toHaveLength(12)
    expect(await manifestsHere()).toBe(5)
    // Each once.
    expect(asked(upstream).toSorted()).toEqual([...new Set(asked(upstream))].toSorted())
    upstream.forget()
    const { get, settle } = isolate()
    for (const { digest } of [index, ...images]) {
      expect((await get(`/v2/one.test/team/app/manifests/${digest}`)).status).toBe(200)
    }
    expect((await get('/v2/one.test/team/app/manifests/1.0')).status).toBe(200)
    for (const { digest } of images.flatMap(({ blobs }) => blobs)) {
      expect((await get(`/v2/one.test/team/app/blobs/${digest}`)).status).toBe(200)
    }
    await settle()
    expect(asked(upstream)).toEqual([])
  })

  it('is present the second time, and within the TTL nobody is asked', async () => {
    const { index } = await addIndex()
    await prefetch()
    upstream.forget()
    clock.advance(4 * MINUTE)
    const { status, report } = await prefetch()
    expect(status.result).toEqual({ fetched: 0, present: 1, failed: 0, bytes: 0 })
    expect(report).toEqual([{ subject: IMAGE, outcome: 'present', digest: index.digest, bytes: 0 }])
    expect(asked(upstream)).toEqual([])
    clock.advance(MINUTE)
    expect((await prefetch()).status.result).toMatchObject({ present: 1 })
    expect(asked(upstream)).toEqual(['HEAD /v2/team/app/manifests/1.0'])
  })

  it('by digest, and of a private repository, is fetched like any other', async () => {
    const image = await sampleImage()
    await addSample(upstream, 'team/app', image)
    const named = `private.test/team/app@${image.digest}`
    expect((await prefetch([named])).report).toMatchObject([{ outcome: 'fetched' }])
    expect(await keysIn('mirror/private.test/private/team/app/blobs/')).toHaveLength(2)
  })

  it('is what the upstream has now, though an isolate and KV still show another', async () => {
    const { get, settle } = isolate()
    await addSample(upstream, 'team/app', await sampleImage({ seed: 1 }), '1.0')
    await get('/v2/one.test/team/app/manifests/1.0')
    await settle()
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'team/app', next, '1.0')
    const ledger = env.MIRROR_LEDGER.getByName('one.test/team/app')
    const name = { host: 'one.test', repository: repository('team/app') }
    clock.advance(SECOND)
    await ledger.refresh(name, tag('1.0'))
    const { report } = await prefetch()
    expect(report).toMatchObject([{ outcome: 'fetched', digest: next.digest }])
  })

  it('with a layer that must not be distributed is fetched without it', async () => {
    const image = await sampleImage()
    const foreign = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: `sha256:${'0'.repeat(64)}`,
      size: 10,
    }
    const manifest = JSON.parse(new TextDecoder().decode(image.bytes)) as { layers: unknown[] }
    manifest.layers.push(foreign)
    await addSample(upstream, 'team/app', image)
    const bytes = new TextEncoder().encode(JSON.stringify(manifest))
    await upstream.addManifest('team/app', bytes, { mediaType: image.mediaType, tag: '1.0' })
    expect((await prefetch()).report).toMatchObject([{ outcome: 'fetched' }])
  })
})

describe('platforms', () => {
  it('bring the chosen ones with their attestations, and nothing else', async () => {
    const { index, images, attestation } = await addIndex()
    const [amd64] = images
    const { status } = await prefetch([IMAGE], { platforms: ['linux/amd64'] })
    expect(status.title).toBe(`${IMAGE} (linux/amd64)`)
    expect(status.result['bytes']).toBe(
      bytesOf([index, attestation, ...(amd64 === undefined ? [] : [amd64])]),
    )
    expect(await blobsHere()).toHaveLength(6)
    expect(await manifestsHere()).toBe(3)
  })

  it('go by what clients mean: arm64 is arm64/v8, and arm without a variant is all of them', async () => {
    await addIndex()
    await prefetch([IMAGE], { platforms: ['linux/arm64', 'linux/arm'] })
    expect(await manifestsHere()).toBe(3)
  })

  it('that are missing are told, and fail an image that has none of them', async () => {
    await addIndex()
    const { report } = await prefetch([IMAGE], { platforms: ['linux/amd64', 'linux/s390x'] })
    expect(report).toMatchObject([
      { outcome: 'fetched', note: expect.stringMatching('no linux/s390x among linux/amd64') },
    ])
    const other = await prefetch([IMAGE], { platforms: ['linux/s390x'] })
    expect(other.status).toMatchObject({ state: 'failed', result: { failed: 1, fetched: 0 } })
    expect(other.report).toMatchObject([{ outcome: 'failed' }])
  })

  it('of an image without an index are those of its configuration, which is read first', async () => {
    await addSample(upstream, 'team/app', await platformImage(ARM64, 1), '1.0')
    const wrong = await prefetch([IMAGE], { platforms: ['linux/amd64'] })
    expect(wrong.report).toMatchObject([{ outcome: 'failed', note: 'it is for linux/arm64/v8' }])
    expect(await blobsHere()).toHaveLength(1)
    const right = await prefetch([IMAGE], { platforms: ['linux/arm64'] })
    expect(right.report).toMatchObject([{ outcome: 'fetched' }])
    expect(await blobsHere()).toHaveLength(3)
  })

  it('of a thing without a platform are nobody’s, and it is taken as it is', async () => {
    const image = await sampleImage({ platform: { os: '', architecture: '' } })
    await addSample(upstream, 'team/app', image, '1.0')
    const { report } = await prefetch([IMAGE], { platforms: ['linux/amd64'] })
    expect(report).toMatchObject([{ outcome: 'fetched' }])
  })
})

describe('many images', () => {
  it('are done one after the other, each by itself: what fails is told and stops no other', async () => {
    await addSample(upstream, 'a', await sampleImage({ seed: 1 }), 'v1')
    await addSample(upstream, 'b', await sampleImage({ seed: 2 }), 'v1')
    const images = ['one.test/a:v1', 'one.test/none:v1', 'one.test/b:v1', 'one.test/a:v1']
    const { status, report } = await prefetch(images)
    expect(status).toMatchObject({
      state: 'done',
      title: 'one.test/a:v1 and 2 more',
      progress: { done: 3, total: 3 },
      result: { fetched: 2, present: 0, failed: 1 },
    })
    expect(report.map(({ outcome, note }) => [outcome, note])).toEqual([
      ['fetched', undefined],
      ['failed', 'one.test does not have it'],
      ['fetched', undefined],
    ])
  })

  it('of which none could be had make a job that has failed, with its report and its figures', async () => {
    const { status, report } = await prefetch(['one.test/none:v1', 'one.test/nor:v1'])
    expect(status).toMatchObject({
      state: 'failed',
      note: 'nothing could be fetched: the report says why',
      progress: { done: 2, total: 2 },
      result: { fetched: 0, present: 0, failed: 2 },
    })
    expect(report.map(({ subject, outcome }) => [subject, outcome])).toEqual([
      ['one.test/none:v1', 'failed'],
      ['one.test/nor:v1', 'failed'],
    ])
  })

  it('of which one was here already and the others failed are done', async () => {
    await addSample(upstream, 'a', await sampleImage(), 'v1')
    await prefetch(['one.test/a:v1'])
    const { status } = await prefetch(['one.test/none:v1', 'one.test/a:v1'])
    expect(status).toMatchObject({ state: 'done', note: '', result: { present: 1, failed: 1 } })
  })

  it('are gone on with by the next step, which asks for nothing a second time', async () => {
    for (const name of ['a', 'b', 'c']) {
      await addSample(upstream, name, await sampleImage({ seed: name.charCodeAt(0) }), 'v1')
    }
    // Time passes with each request, so that no step gets further than an image.
    const answer = upstream.fetch.bind(upstream)
    goOnline({
      'one.test': async (...request) => {
        clock.advance(20 * SECOND)
        return answer(...request)
      },
    })
    const { status } = await prefetch(['one.test/a:v1', 'one.test/b:v1', 'one.test/c:v1'])
    expect(status).toMatchObject({ state: 'done', result: { fetched: 3 } })
    expect(asked(upstream)).toHaveLength(new Set(asked(upstream)).size)
  })

  it('are no more once the job is cancelled', async () => {
    for (const name of ['a', 'b']) {
      await addSample(upstream, name, await sampleImage({ seed: name.charCodeAt(0) }), 'v1')
    }
    const gate = Promise.withResolvers<void>()
    const answer = upstream.fetch.bind(upstream)
    goOnline({
      'one.test': async (...request) => {
        await gate.promise
        return answer(...request)
      },
    })
    const { status } = await runJob(
      'prefetch',
      { images: ['one.test/a:v1', 'one.test/b:v1'] },
      {
        meanwhile: async (run) => {
          await run.cancel()
          gate.resolve()
        },
      },
    )
    expect(status.state).toBe('cancelled')
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
    expect(await blobsHere()).toEqual([])
  })
})
