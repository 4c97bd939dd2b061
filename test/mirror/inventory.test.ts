// What a mirrored repository says that it holds: images with everything below them, when they were read, how often they
// were pulled; on real objects, after real pulls.

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { dayOf } from '../../src/storage/reads.ts'
import { DAY, HOUR, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { NAME, keysLeft, ledger, pullManifests, tablesOf } from '../support/mirror-ledger.ts'
import { digest as sampleDigest } from '../support/parsed.ts'

let upstream: SampleUpstream
let clock: Clock
let amd: SampleManifest
let arm: SampleManifest
let index: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  amd = await sampleImage({ layers: [100, 2000] })
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7' }
  // The first layer is the same.
  arm = await sampleImage({ layers: [100, 3000], platform })
  index = await sampleIndex([amd, arm])
  await addSample(upstream, 'a/b', index, 'v1')
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function sizeOf(...manifests: readonly SampleManifest[]): number {
  const blobs = new Map(
    manifests.flatMap(({ blobs: of }) => of).map(({ digest, bytes }) => [digest, bytes.length]),
  )
  const own = manifests.map(({ bytes }) => bytes.length)
  return [...own, ...blobs.values()].reduce((sum, each) => sum + each, 0)
}

describe('images', () => {
  it('are roots, with what is stored below them', async () => {
    const firstSeen = clock.now()
    await pullManifests('v1')
    clock.advance(HOUR)
    await pullManifests(amd.digest)
    expect(await ledger().images()).toEqual([
      {
        digest: index.digest,
        mediaType: index.mediaType,
        artifactType: undefined,
        subject: undefined,
        tags: ['v1'],
        platforms: ['linux/amd64', 'linux/arm/v7'],
        // The other one is not here.
        size: sizeOf(index, amd),
        firstSeen,
        lastRead: firstSeen,
        isPinned: false,
        manifests: expect.arrayContaining([index.digest, amd.digest]),
        blobs: expect.arrayContaining(
          amd.blobs.map(({ digest, bytes }) => ({ digest, size: bytes.length })),
        ),
      },
    ])
    const [image] = await ledger().images()
    expect([image?.manifests.length, image?.blobs.length]).toEqual([2, 3])
  })

  it('tell of so many blobs that an answer holds them, and of the size of all', async () => {
    await pullManifests('v1')
    const [before] = await ledger().images()
    await ledger().inside(({ sql }) =>
      sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO children SELECT ?, printf('sha256:%064d', i), 10, 'blob', NULL FROM n`,
        index.digest,
      ),
    )
    const [image] = await ledger().images()
    expect(image?.blobs).toHaveLength(20_000)
    expect(image?.size).toBe((before?.size ?? 0) + 250_000)
    // Who asks for one that it did not tell of is told.
    const last = sampleDigest('25000')
    expect(await ledger().named([last])).toEqual([last])
  })

  it('count what they share once, and survive the object', async () => {
    await pullManifests('v1', amd.digest, arm.digest)
    await evictAllDurableObjects()
    const [image] = await ledger().images()
    expect(image).toMatchObject({ size: sizeOf(index, amd, arm) })
    expect(image?.manifests).toHaveLength(3)
    expect(await ledger().summary()).toMatchObject({
      tags: 1,
      manifests: 3,
      bytes: sizeOf(index, amd, arm),
    })
  })

  it('are what has a tag, also below another, and what nothing names', async () => {
    await addSample(upstream, 'a/b', amd, 'amd')
    const signature = await sampleArtifact({ subject: index.descriptor, artifactType: 'a/sig' })
    await addSample(upstream, 'a/b', signature)
    await pullManifests('v1', 'amd', arm.digest, signature.digest)
    const images = await ledger().images()
    const lines = images.map(({ digest, tags, subject, artifactType }) => ({
      digest,
      tags,
      subject,
      artifactType,
    }))
    expect(lines).toHaveLength(3)
    expect(lines).toEqual(
      expect.arrayContaining([
        { digest: index.digest, tags: ['v1'], subject: undefined, artifactType: undefined },
        {
          digest: amd.digest,
          tags: ['amd'],
          subject: undefined,
          artifactType: amd.blobs[0]?.descriptor.mediaType,
        },
        { digest: signature.digest, tags: [], subject: index.digest, artifactType: 'a/sig' },
      ]),
    )
  })

  it('come in pages, in the order of digests, each once', async () => {
    for (let seed = 2; seed < 9; seed++) {
      await addSample(upstream, 'a/b', await sampleImage({ seed, layers: [10] }), `t${seed}`)
      await pullManifests(`t${seed}`)
    }
    const digests = (await ledger().images(3)).map(({ digest }) => digest)
    expect(digests).toHaveLength(7)
    expect(digests).toEqual([...new Set(digests)].toSorted())
    expect(await ledger().images(7)).toHaveLength(7)
    expect(await ledger().images(1)).toHaveLength(7)
  })

  it('show no platform for content that runs nowhere', async () => {
    const platform = { os: 'unknown', architecture: 'unknown' }
    const attestation = await sampleImage({ seed: 5, platform })
    await addSample(upstream, 'a/b', await sampleIndex([amd, attestation]), 'v2')
    await pullManifests('v2')
    expect((await ledger().images())[0]?.platforms).toEqual(['linux/amd64'])
  })
})

describe('reads', () => {
  it('of any manifest of an image are reads of it; the newest counts, whoever is late', async () => {
    await pullManifests('v1', amd.digest)
    const at = clock.now()
    await ledger().read(at + 5000, [amd.digest])
    await ledger().read(at + 3000, [amd.digest, index.digest])
    expect(await ledger().images()).toMatchObject([{ lastRead: at + 5000 }])
  })

  it('of blobs are kept, whether a manifest names them or not', async () => {
    await pullManifests('v1')
    const named = amd.blobs[0]?.digest ?? expect.fail()
    const other = sampleDigest('0')
    await ledger().read(7, [named, other, index.digest])
    await ledger().read(9, [named])
    const { stub } = ledger()
    const all = [
      { digest: other, at: 7 },
      { digest: named, at: 9 },
    ]
    expect(await stub.blobReads(NAME, undefined, 10)).toEqual({ items: all, next: undefined })
    const first = await stub.blobReads(NAME, undefined, 1)
    expect(first).toEqual({ items: [all[0]], next: other })
    expect(await stub.blobReads(NAME, first.next, 1)).toEqual({ items: [all[1]], next: undefined })
  })

  it('are nothing where nothing is', async () => {
    await ledger().read(7, [amd.digest], 3)
    expect(await ledger().summary()).toBeUndefined()
    expect(await ledger().images()).toEqual([])
    expect(await ledger().inside(tablesOf)).toEqual([])
  })
})

describe('pulls', () => {
  it('are counted by day; the newest 30 days that had any are kept', async () => {
    await pullManifests('v1')
    const day = dayOf(clock.now())
    for (let n = 0; n < 40; n++) await ledger().read((day - 2 * n) * DAY + 5, [], n)
    await ledger().read(day * DAY + HOUR, [], 2)
    const summary = await ledger().summary()
    expect(summary).toMatchObject({ lastPull: day * DAY + HOUR, firstSeen: clock.now() })
    expect(summary?.pulls).toHaveLength(30)
    expect(summary?.pulls.at(-1)).toEqual({ day, pulls: 2 })
    expect(summary?.pulls.at(-2)).toEqual({ day: day - 2, pulls: 1 })
  })

  it('of nobody leave it open when the last one was', async () => {
    await pullManifests('v1')
    await ledger().read(clock.now(), [index.digest])
    expect(await ledger().summary()).toMatchObject({ lastPull: undefined, pulls: [] })
  })
})

describe('named', () => {
  it('is what some manifest here names', async () => {
    await pullManifests('v1', amd.digest)
    const own = amd.blobs.map(({ digest }) => digest)
    const onlyArm = arm.blobs.map(({ digest }) => digest).filter((each) => !own.includes(each))
    const others = Array.from({ length: 2500 }, (_, n) => sampleDigest(String(n)))
    const found = await ledger().named([...others, ...own, ...onlyArm, arm.digest, index.digest])
    expect(found).toEqual([...own, arm.digest])
    expect(await ledger().named([])).toEqual([])
  })
})

describe('pins', () => {
  it('pin an image by its tag or its digest, until they go', async () => {
    await pullManifests('v1')
    for (const text of ['v1', index.digest]) {
      await ledger().pin(text)
      expect(await ledger().images()).toMatchObject([{ isPinned: true }])
      await ledger().pin(text, false)
      expect(await ledger().images()).toMatchObject([{ isPinned: false }])
    }
    await ledger().pin('v2')
    expect(await ledger().images()).toMatchObject([{ isPinned: false }])
  })

  it('of what is not here yet are kept, under a marker, and leave no trace when they go', async () => {
    await ledger().pin('v1')
    expect(await keysLeft()).toEqual(['repositories/mirrored/one.test/a/b'])
    expect(await ledger().summary()).toBeUndefined()
    await pullManifests('v1')
    expect(await ledger().images()).toMatchObject([{ isPinned: true }])
    await reset()
    await ledger().pin('v1')
    await ledger().pin('v1', false)
    expect(await keysLeft()).toEqual([])
    expect(await ledger().inside(tablesOf)).toEqual([])
  })
})

describe('refresh', () => {
  it('asks although the tag is fresh, and says what has changed', async () => {
    await pullManifests('v1')
    upstream.forget()
    const before = index.digest
    expect(await ledger().refresh('v1')).toMatchObject({
      before,
      answer: { ok: true, digest: before, bytes: undefined, outcome: 'hit' },
    })
    expect(upstream.requests).toHaveLength(1)
    const next = await sampleImage({ seed: 8 })
    await addSample(upstream, 'a/b', next, 'v1')
    expect(await ledger().refresh('v1')).toMatchObject({
      before,
      answer: { ok: true, digest: next.digest, bytes: undefined, outcome: 'fill' },
    })
    const text = new TextDecoder().decode(next.bytes)
    await vi.waitFor(async () => {
      expect(await env.HINTS.get('tag/one.test/a/b:v1', 'text')).toBe(text)
    })
  })

  it('is one request for however many ask, a client among them', async () => {
    await pullManifests('v1')
    clock.advance(6 * MINUTE)
    upstream.forget()
    const { refresh } = ledger()
    await Promise.all([refresh('v1'), refresh('v1'), pullManifests('v1'), refresh('v1')])
    expect(asked(upstream)).toEqual(['HEAD /v2/a/b/manifests/v1'])
  })

  it('of a tag that nobody has pulled fetches it', async () => {
    expect(await ledger().refresh('v1')).toMatchObject({
      before: undefined,
      answer: { ok: true, digest: index.digest, outcome: 'fill' },
    })
    expect(await ledger().images()).toHaveLength(1)
  })

  it('serves stale while the upstream is away, and says so', async () => {
    await pullManifests('v1')
    upstream.stop()
    expect(await ledger().refresh('v1')).toMatchObject({
      before: index.digest,
      answer: { ok: true, digest: index.digest, outcome: 'stale', bytes: undefined },
    })
    // A failed check rests, but not for who asks now.
    upstream.start()
    expect(await ledger().refresh('v1')).toMatchObject({ answer: { outcome: 'hit' } })
  })

  it('of a tag that the upstream has deleted says so', async () => {
    await pullManifests('v1')
    upstream.deleteTag('a/b', 'v1')
    expect(await ledger().refresh('v1')).toMatchObject({
      before: index.digest,
      answer: { ok: false, failure: { kind: 'not-found' } },
    })
  })
})
