// A ledger that the release before schemas had a version has written opens in this one: it serves what it served, and
// learns from the stored bytes what its manifests name before anything is forgotten.

import { evictAllDurableObjects, reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { ManifestStore } from '../../src/storage/manifests.ts'
import { dayOf } from '../../src/storage/reads.ts'
import { bytesOf } from '../support/answer.ts'
import { storageIsAway } from '../support/broken.ts'
import { DAY, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { NAME, keysLeft, ledger, pullManifests } from '../support/mirror-ledger.ts'
import { digest, tag } from '../support/parsed.ts'

/* As src/mirror/records.ts had it at 01ffc1f. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS tags (
    tag TEXT PRIMARY KEY, digest TEXT NOT NULL, verified_at INTEGER NOT NULL, tried_at INTEGER NOT NULL,
    is_guess INTEGER NOT NULL DEFAULT 0, failure TEXT, hinted_digest TEXT, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS manifests (
    digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS descriptors (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS referrers (
    subject TEXT NOT NULL, digest TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (subject, digest)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS accesses (day INTEGER PRIMARY KEY, isolates INTEGER NOT NULL);
`
const MARKER = 'repositories/mirrored/one.test/a/b'

let upstream: SampleUpstream
let clock: Clock
let today: number
let amd: SampleManifest
let arm: SampleManifest
let index: SampleManifest
let signature: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  today = dayOf(clock.now())
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  amd = await sampleImage({ layers: [100, 2000] })
  arm = await sampleImage({ layers: [100, 3000], platform: { os: 'linux', architecture: 'arm64' } })
  index = await sampleIndex([amd, arm])
  signature = await sampleArtifact({ subject: index.descriptor, artifactType: 'a/sig' })
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** What the previous release has left: v1 is the index, v2 one of its images, all pulled by clients on two days. */
async function writeOld(): Promise<void> {
  const manifests = [index, amd, arm, signature]
  const store = new ManifestStore(env.BLOBS)
  await env.BLOBS.put(MARKER, '')
  for (const manifest of manifests) {
    await store.put(mirroredManifestKey(NAME, manifest.digest), manifest.digest, manifest)
  }
  await ledger().inside(({ sql }) => {
    sql.exec(SCHEMA)
    const at = clock.now()
    for (const { digest: of, mediaType, blobs } of manifests) {
      sql.exec('INSERT INTO manifests VALUES (?, ?, 0)', of, mediaType)
      for (const blob of blobs) {
        sql.exec('INSERT OR REPLACE INTO descriptors VALUES (?, ?)', blob.digest, blob.bytes.length)
      }
    }
    const tags = { v1: index, v2: amd }
    for (const [name, { digest: of }] of Object.entries(tags)) {
      const row = `INSERT INTO tags VALUES (?, ?, ?, ?, 0, NULL, NULL, 0)`
      sql.exec(row, name, of, at, at)
    }
    const referrer = JSON.stringify({ ...signature.descriptor, artifactType: 'a/sig' })
    sql.exec('INSERT INTO referrers VALUES (?, ?, ?)', index.digest, signature.digest, referrer)
    sql.exec('INSERT INTO accesses VALUES (?, 3), (?, 1)', today - 20, today - 4)
  })
}

function blobsOf(...manifests: readonly SampleManifest[]): string[] {
  return [
    ...new Set(manifests.flatMap(({ blobs }) => blobs.map(({ digest: of }) => of))),
  ].toSorted()
}

describe('an old ledger', () => {
  it('serves what it had, without a question to anybody, and then has this version', async () => {
    await writeOld()
    const { get, head } = isolate()
    const answer = await get('/v2/one.test/a/b/manifests/v1')
    expect(answer.status).toBe(200)
    expect(await bytesOf(answer)).toEqual(index.bytes)
    expect((await head(`/v2/one.test/a/b/manifests/${arm.digest}`)).status).toBe(200)
    expect(upstream.requests).toEqual([])
    const size = await ledger().stub.size(NAME, arm.blobs[1]?.digest ?? expect.fail())
    expect(size).toBe(arm.blobs[1]?.bytes.length)
    const versions = await ledger().inside(({ sql }) => sql.exec('SELECT * FROM schema').toArray())
    expect(versions).toEqual([{ version: 2 }])
  })

  it('has lost no row, and knows what its manifests name', async () => {
    await writeOld()
    const images = await ledger().images()
    const times = { firstSeen: (today - 20) * DAY, lastRead: (today - 4) * DAY }
    const expected = [
      {
        digest: index.digest,
        tags: ['v1'],
        platforms: ['linux/amd64', 'linux/arm64'],
        ...times,
      },
      { digest: amd.digest, tags: ['v2'], platforms: [], ...times },
      {
        digest: signature.digest,
        tags: [],
        subject: index.digest,
        artifactType: 'a/sig',
        ...times,
      },
    ]
    expect(images).toMatchObject(
      expected.toSorted((one, other) => (one.digest < other.digest ? -1 : 1)),
    )
    const root = images.find(({ digest: of }) => of === index.digest)
    expect(root?.manifests.toSorted()).toEqual(
      [index, amd, arm].map((each) => each.digest).toSorted(),
    )
    expect(root?.blobs.map(({ digest: of }) => of).toSorted()).toEqual(blobsOf(amd, arm))
    expect(await ledger().summary()).toMatchObject({
      tags: 2,
      manifests: 4,
      lastPull: (today - 4) * DAY,
      firstSeen: (today - 20) * DAY,
      pulls: [],
    })
    const page = await ledger().stub.knownReferrers(NAME, index.digest, true)
    expect(page).toMatchObject({ items: [{ digest: signature.digest, artifactType: 'a/sig' }] })
  })

  it('is looked through once', async () => {
    await writeOld()
    await ledger().images()
    await evictAllDurableObjects()
    const get = vi.spyOn(Object.getPrototypeOf(env.BLOBS) as R2Bucket, 'get')
    expect((await ledger().images()).length).toBe(3)
    expect(get).not.toHaveBeenCalled()
    const left = await ledger().inside(({ sql }) => sql.exec('SELECT * FROM descriptors').toArray())
    expect(left).toEqual([])
  })
})

describe('what an old image names', () => {
  it('is known to the first who asks', async () => {
    await writeOld()
    const all = [...blobsOf(amd, arm, signature), digest('0')]
    const named = await ledger().named(all as (typeof index.digest)[])
    expect(named.toSorted()).toEqual(blobsOf(amd, arm, signature))
  })

  it('stays when another is forgotten first of all', async () => {
    await writeOld()
    const { forgotten, blobs } = await ledger().forget({ tags: ['v1'] })
    expect(forgotten.toSorted()).toEqual([index.digest, arm.digest].toSorted())
    expect(blobs).toEqual(blobsOf(arm).filter((each) => !blobsOf(amd).includes(each)))
    expect(await keysLeft()).toContain(mirroredManifestKey(NAME, amd.digest))
  })

  it('is spared when it was read since, as far as that was known', async () => {
    await writeOld()
    const order = (day: number) => ({ tags: ['v1'], unlessReadSince: day * DAY })
    expect((await ledger().forget(order(today - 4))).forgotten).toEqual([])
    expect((await ledger().forget(order(today - 3))).forgotten).not.toEqual([])
  })

  it('is not guessed while storage is away', async () => {
    await writeOld()
    const get = vi.spyOn(Object.getPrototypeOf(env.BLOBS) as R2Bucket, 'get')
    get.mockImplementation(storageIsAway)
    const order = { tags: [tag('v1')], digests: [] }
    await runInDurableObject(ledger().stub, async (object) => {
      await expect(object.named(NAME, [digest('0')])).rejects.toThrow(/storage/)
      await expect(object.forget(NAME, order)).rejects.toThrow(/storage/)
      await expect(object.forgetAll(NAME)).rejects.toThrow(/storage/)
    })
    get.mockRestore()
    expect(await ledger().named([digest('0')])).toEqual([])
    expect(await ledger().images()).toHaveLength(3)
  })

  it('is nothing where its bytes are lost or damaged, and known again when it is fetched again', async () => {
    await writeOld()
    await env.BLOBS.delete(mirroredManifestKey(NAME, index.digest))
    await env.BLOBS.put(mirroredManifestKey(NAME, amd.digest), 'x', {
      httpMetadata: { contentType: amd.mediaType },
    })
    expect(await ledger().named(blobsOf(amd, arm) as (typeof index.digest)[])).toEqual(
      expect.arrayContaining(blobsOf(arm)),
    )
    expect((await ledger().images()).map(({ digest: of }) => of)).toContain(arm.digest)
    await addSample(upstream, 'a/b', index, 'v1')
    await pullManifests('v1', amd.digest)
    const [root] = (await ledger().images()).filter(({ tags }) => tags.includes(tag('v1')))
    expect(root?.manifests).toHaveLength(3)
    expect(root?.blobs.map(({ digest: of }) => of).toSorted()).toEqual(blobsOf(amd, arm))
  })

  it('is not said to be unknown before all of so many have been looked through', async () => {
    await writeOld()
    await ledger().inside(({ sql }) => {
      for (let n = 0; n < 500; n++) {
        sql.exec(`INSERT INTO manifests VALUES (?, 'a/b', 0)`, digest(`${n}`))
      }
    })
    const stranger = [digest('abc')]
    expect(await ledger().named(stranger)).toEqual(stranger)
    expect(await ledger().named(stranger)).toEqual([])
    expect((await ledger().summary())?.manifests).toBe(504)
  })
})

it('a newer release has written: it is left alone, and clients get what they ask for', async () => {
  await addSample(upstream, 'a/b', index, 'v1')
  await pullManifests('v1')
  await ledger().inside(({ sql }) => void sql.exec('UPDATE schema SET version = 3'))
  await evictAllDurableObjects()
  await env.HINTS.delete('tag/one.test/a/b:v1')
  const one = isolate()
  const answer = await one.get('/v2/one.test/a/b/manifests/v1')
  expect(answer.status).toBe(200)
  expect(await bytesOf(answer)).toEqual(index.bytes)
  expect(one.lines('ledger-away')).toMatchObject([{ reason: expect.stringMatching(/version 3/) }])
  await runInDurableObject(ledger().stub, async (object) => {
    await expect(object.summary(NAME)).rejects.toThrow(/newer release/)
  })
  const rows = await ledger().inside(({ sql }) => [
    sql.exec('SELECT version FROM schema').one()['version'],
    sql.exec('SELECT tag FROM tags').toArray(),
  ])
  expect(rows).toEqual([3, [{ tag: 'v1' }]])
})
