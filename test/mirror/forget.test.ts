// Forgetting: exactly what nothing else holds goes, from rows, KV, R2 and the memory of the object, and whatever runs
// at the same time leaves no row without bytes and no row without a marker.

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { storageIsAway } from '../support/broken.ts'
import { HOUR, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { NAME, keysLeft, ledger, pullManifests, tablesOf } from '../support/mirror-ledger.ts'

const MARKER = 'repositories/mirrored/one.test/a/b'

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
  // The first layer is the same.
  arm = await sampleImage({ layers: [100, 3000], platform: { os: 'linux', architecture: 'arm' } })
  index = await sampleIndex([amd, arm])
  await addSample(upstream, 'a/b', index, 'v1')
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Whatever is stored of these manifests and tags. */
function keysOf(manifests: readonly SampleManifest[], ...tags: readonly string[]): string[] {
  const keys = manifests.flatMap(({ digest }) => [
    mirroredManifestKey(NAME, digest),
    `manifest/one.test/a/b@${digest}`,
  ])
  return [MARKER, ...keys, ...tags.map((each) => `tag/one.test/a/b:${each}`)].toSorted()
}

/** Pulls, until all hints are written. */
async function pullAll(manifests: readonly SampleManifest[], ...tags: readonly string[]) {
  await pullManifests(...tags, ...manifests.map(({ digest }) => digest))
  await vi.waitFor(async () => expect(await keysLeft()).toEqual(keysOf(manifests, ...tags)))
}

function blobsOf(...manifests: readonly SampleManifest[]): string[] {
  return [
    ...new Set(manifests.flatMap(({ blobs }) => blobs.map(({ digest }) => digest))),
  ].toSorted()
}

async function forgotten(order: Parameters<ReturnType<typeof ledger>['forget']>[0]) {
  const answer = await ledger().forget(order)
  return {
    ...answer,
    forgotten: answer.forgotten.toSorted(),
    blobs: answer.blobs.toSorted(),
  }
}

function digestsOf(...manifests: readonly SampleManifest[]): string[] {
  return manifests.map(({ digest }) => digest).toSorted()
}

const NOTHING = { forgotten: [], blobs: [], isDone: true }

describe('a tag', () => {
  it('takes its image with it, everywhere, and the repository when that was all', async () => {
    await pullAll([index, amd, arm], 'v1')
    expect(await forgotten({ tags: ['v1'] })).toEqual({
      forgotten: digestsOf(index, amd, arm),
      blobs: blobsOf(amd, arm),
      isDone: true,
    })
    expect(await keysLeft()).toEqual([])
    expect(await ledger().inside(tablesOf)).toEqual([])
    upstream.forget()
    await pullAll([index, amd, arm], 'v1')
    expect(asked(upstream)).toHaveLength(3)
  })

  it('goes alone while another tag has the same manifest', async () => {
    await addSample(upstream, 'a/b', index, 'v2')
    await pullAll([index, amd], 'v1', 'v2')
    expect(await forgotten({ tags: ['v1'] })).toEqual(NOTHING)
    expect(await keysLeft()).toEqual(keysOf([index, amd], 'v2'))
    expect(await ledger().images()).toMatchObject([{ tags: ['v2'] }])
  })

  it('leaves what another image names', async () => {
    const other = await sampleIndex([amd])
    await addSample(upstream, 'a/b', other, 'v2')
    await pullAll([index, amd, arm, other], 'v1', 'v2')
    const onlyArm = blobsOf(arm).filter((each) => !blobsOf(amd).includes(each))
    expect(await forgotten({ tags: ['v1'] })).toEqual({
      forgotten: digestsOf(index, arm),
      blobs: onlyArm,
      isDone: true,
    })
    expect(await keysLeft()).toEqual(keysOf([amd, other], 'v2'))
  })

  it('leaves what has a tag of its own', async () => {
    await addSample(upstream, 'a/b', arm, 'arm')
    await pullAll([index, amd, arm], 'v1', 'arm')
    expect((await forgotten({ tags: ['v1'] })).forgotten).toEqual(digestsOf(index, amd))
    expect(await keysLeft()).toEqual(keysOf([arm], 'arm'))
    expect(await forgotten({ tags: ['arm'] })).toMatchObject({ blobs: blobsOf(arm) })
    expect(await keysLeft()).toEqual([])
  })

  it('that is not here is nothing', async () => {
    await pullAll([index], 'v1')
    expect(await forgotten({ tags: ['v2'], digests: [amd.digest] })).toEqual(NOTHING)
    expect(await keysLeft()).toEqual(keysOf([index], 'v1'))
  })
})

describe('a digest', () => {
  it('takes its tags with it', async () => {
    await addSample(upstream, 'a/b', index, 'v2')
    await pullAll([index, amd], 'v1', 'v2')
    await forgotten({ digests: [index.digest] })
    expect(await keysLeft()).toEqual([])
  })

  it('stays while an image names it, in whatever order they are given', async () => {
    await pullAll([index, amd, arm], 'v1')
    expect(await forgotten({ digests: [amd.digest] })).toEqual(NOTHING)
    const all = [amd.digest, arm.digest, index.digest]
    expect((await forgotten({ digests: all })).forgotten).toEqual(digestsOf(index, amd, arm))
    expect(await keysLeft()).toEqual([])
  })

  it('and everything below indexes of indexes', async () => {
    const above = await sampleIndex([index])
    await addSample(upstream, 'a/b', above, 'all')
    await pullAll([above, index, amd, arm], 'all')
    expect((await forgotten({ digests: [above.digest] })).forgotten).toHaveLength(4)
    expect(await keysLeft()).toEqual([])
  })
})

describe('unless it was read since', () => {
  const order = (since: number) => ({ digests: [index.digest], unlessReadSince: since })

  it.each([
    { name: 'itself', of: () => index },
    { name: 'a manifest below it', of: () => arm },
  ])('is spared when $name was', async ({ of }) => {
    await pullAll([index, amd, arm], 'v1')
    clock.advance(HOUR)
    await ledger().read(clock.now(), [of().digest])
    expect(await forgotten(order(clock.now()))).toEqual(NOTHING)
    expect(await forgotten({ tags: ['v1'], unlessReadSince: clock.now() })).toEqual(NOTHING)
    expect(await forgotten(order(clock.now() + 1))).toMatchObject({ blobs: blobsOf(amd, arm) })
  })

  it('is spared when any of it has just come', async () => {
    await pullAll([index, amd], 'v1')
    clock.advance(HOUR)
    await pullAll([index, amd, arm], 'v1')
    expect(await forgotten(order(clock.now()))).toEqual(NOTHING)
    expect((await forgotten(order(clock.now() + 1))).forgotten).toHaveLength(3)
  })

  it.each([{ name: 'its tag' }, { name: 'its digest' }])(
    'is spared while $name is pinned; without a time it goes all the same',
    async ({ name }) => {
      await pullAll([index, amd, arm], 'v1')
      await ledger().pin(name === 'its tag' ? 'v1' : index.digest)
      clock.advance(HOUR)
      expect(await forgotten(order(clock.now()))).toEqual(NOTHING)
      expect((await forgotten({ tags: ['v1'] })).forgotten).toHaveLength(3)
      // The pin is somebody else's to remove.
      expect(await keysLeft()).toEqual([MARKER])
      expect((await ledger().forgetAll()).isDone).toBe(true)
      expect(await keysLeft()).toEqual([])
    },
  )

  it('leaves what is pinned below it', async () => {
    await pullAll([index, amd, arm], 'v1')
    await ledger().pin(arm.digest)
    clock.advance(HOUR)
    expect((await forgotten(order(clock.now()))).forgotten).toEqual(digestsOf(index, amd))
    expect(await ledger().images()).toMatchObject([{ digest: arm.digest, isPinned: true }])
  })

  it('keeps when a blob was read that goes on being read', async () => {
    await pullAll([index, amd, arm], 'v1')
    clock.advance(HOUR)
    const [idle, busy] = amd.blobs.map(({ digest }) => digest)
    if (idle === undefined || busy === undefined) return expect.fail()
    await ledger().read(clock.now() - 1, [idle])
    await ledger().read(clock.now(), [busy])
    expect((await forgotten(order(clock.now()))).blobs).toEqual(blobsOf(amd, arm))
    const { items } = await ledger().stub.blobReads(NAME, undefined, 10)
    expect(items).toEqual([{ digest: busy, at: clock.now() }])
    // A month later nobody needs to know, and the repository goes.
    clock.advance(31 * 24 * HOUR)
    await forgotten({})
    expect(await keysLeft()).toEqual([])
  })
})

describe('everything', () => {
  it('goes in steps, the marker last, and leaves an empty object', async () => {
    await pullAll([index, amd, arm], 'v1')
    await ledger().pin('v1')
    await ledger().inside((storage) => storage.setAlarm(Date.now() + HOUR))
    // More than one step can take.
    await ledger().inside(({ sql }) => {
      for (let n = 0; n < 1000; n++) {
        const digest = `sha256:${String(n).padStart(64, '0')}`
        sql.exec(`INSERT INTO manifests (digest, media_type, size) VALUES (?, 'a/b', 1)`, digest)
        sql.exec(
          `INSERT INTO children VALUES (?, ?, 1, 'blob', NULL)`,
          digest,
          `${digest.slice(0, -4)}${n % 7}aaa`,
        )
      }
    })
    const all = { manifests: new Set<string>(), blobs: new Set<string>(), steps: 0 }
    for (let isDone = false; !isDone; all.steps++) {
      const step = await ledger().forgetAll()
      for (const each of step.forgotten) all.manifests.add(each)
      for (const each of step.blobs) all.blobs.add(each)
      isDone = step.isDone
      if (!isDone) expect(await keysLeft()).toContain(MARKER)
    }
    expect(all.manifests.size).toBe(1003)
    expect([...all.blobs]).toEqual(expect.arrayContaining(blobsOf(amd, arm)))
    expect(all.steps).toBeGreaterThan(2)
    expect(await keysLeft()).toEqual([])
    expect(await ledger().inside(tablesOf)).toEqual([])
    expect(await ledger().inside((storage) => storage.getAlarm())).toBeNull()
  })

  it('of nothing is done, and takes a marker that stands for nothing', async () => {
    await env.BLOBS.put(MARKER, '')
    expect(await ledger().forgetAll()).toEqual(NOTHING)
    expect(await keysLeft()).toEqual([])
  })

  it('tells of blobs that were only read', async () => {
    await pullAll([index], 'v1')
    const blob = amd.blobs[1]?.digest ?? expect.fail()
    await ledger().read(1, [blob])
    const blobs: string[] = []
    for (let isDone = false; !isDone;) {
      const step = await ledger().forgetAll()
      blobs.push(...step.blobs)
      isDone = step.isDone
    }
    expect(blobs).toEqual([blob])
  })

  it('can be pulled again, also from the same isolate of the object', async () => {
    await pullAll([index, amd], 'v1')
    while (!(await ledger().forgetAll()).isDone);
    await pullAll([index, amd], 'v1')
    expect(await ledger().images()).toMatchObject([{ tags: ['v1'] }])
  })
})

describe('at the same time', () => {
  it('pulls and forgetting leave each row with bytes, and rows with a marker', async () => {
    await pullAll([index, amd, arm], 'v1')
    for (let round = 0; round < 8; round++) {
      const works = [
        ledger().forget({ tags: ['v1'] }),
        pullManifests('v1', amd.digest, arm.digest),
        round % 2 === 0 ? ledger().forgetAll() : ledger().forget({ digests: [index.digest] }),
        pullManifests(arm.digest, amd.digest),
        ledger().pin('v1', round % 3 === 0),
      ]
      await Promise.all(works)
      await expectWhole()
    }
    while (!(await ledger().forgetAll()).isDone);
    expect(await keysLeft()).toEqual([])
  })

  it('a manifest that is being read is served once more, and neither told nor kept', async () => {
    await pullAll([index], 'v1')
    await evictAllDurableObjects()
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const prototype = Object.getPrototypeOf(env.BLOBS) as R2Bucket
    const reads = vi.spyOn(prototype, 'get')
    const { stub } = ledger()
    reads.mockImplementationOnce(async function hold(this: R2Bucket, key: string) {
      const found = await env.BLOBS.get(key)
      await held
      return found
    })
    const reading = stub.manifest(NAME, index.digest)
    await vi.waitFor(() => expect(reads).toHaveBeenCalled())
    await forgotten({ tags: ['v1'] })
    resolve()
    expect(await reading).toMatchObject({ ok: true, digest: index.digest })
    await new Promise((done) => setTimeout(done, 50))
    expect(await keysLeft()).toEqual([])
    upstream.stop()
    expect(await stub.manifest(NAME, index.digest)).toMatchObject({ ok: false })
  })

  it('a hint that is being written comes before it is deleted', async () => {
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const prototype = Object.getPrototypeOf(env.HINTS) as { put: typeof env.HINTS.put }
    const write = prototype.put.bind(env.HINTS)
    const written: Promise<void>[] = []
    vi.spyOn(prototype, 'put').mockImplementation(((...given: Parameters<typeof write>) => {
      const late = held.then(() => write(...given))
      written.push(late)
      return late
    }) as typeof prototype.put)
    await pullManifests('v1')
    const forgetting = ledger().forget({ tags: ['v1'] })
    await new Promise((done) => setTimeout(done, 100))
    resolve()
    await Promise.all(written)
    expect(written).toHaveLength(2)
    expect(await forgetting).toMatchObject({ isDone: true })
    expect(await keysLeft()).toEqual([])
  })

  it('a manifest that comes again while its hints are deleted keeps its bytes', async () => {
    await pullAll([index], 'v1')
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const prototype = Object.getPrototypeOf(env.HINTS) as { delete: typeof env.HINTS.delete }
    const deleting = vi.spyOn(prototype, 'delete')
    deleting.mockImplementation(() => held)
    const forgetting = ledger().forget({ tags: ['v1'] })
    await vi.waitFor(() => expect(deleting).toHaveBeenCalled())
    expect(await ledger().refresh('v1')).toMatchObject({ before: undefined, answer: { ok: true } })
    resolve()
    expect(await forgetting).toMatchObject({ forgotten: [index.digest], isDone: true })
    await expectWhole()
    expect(await ledger().images()).toMatchObject([{ tags: ['v1'] }])
  })

  it('a manifest that is being written keeps its bytes', async () => {
    await pullAll([index], 'v1')
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const prototype = Object.getPrototypeOf(env.BLOBS) as R2Bucket
    const key = mirroredManifestKey(NAME, index.digest)
    vi.spyOn(prototype, 'delete').mockImplementationOnce(async function hold(this: R2Bucket, keys) {
      await held
      return prototype.delete.call(this, keys)
    })
    const puts = vi.spyOn(prototype, 'put')
    const forgetting = ledger().forget({ tags: ['v1'] })
    await vi.waitFor(async () => expect(await ledger().summary()).toBeUndefined())
    const pulling = pullManifests('v1')
    await new Promise((done) => setTimeout(done, 100))
    // It waits for the bytes to be gone.
    expect(puts.mock.calls.map(([of]) => of)).not.toContain(key)
    resolve()
    await Promise.all([forgetting, pulling])
    await expectWhole()
    expect(await ledger().images()).toMatchObject([{ tags: ['v1'] }])
  })
})

describe('storage that does not delete', () => {
  it.each([
    { name: 'R2', store: () => env.BLOBS, left: () => [mirroredManifestKey(NAME, index.digest)] },
    {
      name: 'KV',
      store: () => env.HINTS,
      left: () => [`manifest/one.test/a/b@${index.digest}`, 'tag/one.test/a/b:v1'],
    },
  ])('$name: is not done, and made up for by the next call', async ({ store, left }) => {
    await pullAll([index], 'v1')
    const prototype = Object.getPrototypeOf(store()) as { delete: () => Promise<void> }
    const broken = vi.spyOn(prototype, 'delete').mockImplementation(storageIsAway)
    expect(await forgotten({ tags: ['v1'] })).toEqual({
      forgotten: [index.digest],
      blobs: [],
      isDone: false,
    })
    expect(await ledger().summary()).toBeUndefined()
    expect(await keysLeft()).toEqual([MARKER, ...left()].toSorted())
    broken.mockRestore()
    expect(await forgotten({})).toEqual(NOTHING)
    expect(await keysLeft()).toEqual([])
  })

  it('what was pulled again meanwhile stays', async () => {
    await pullAll([index], 'v1')
    const prototype = Object.getPrototypeOf(env.BLOBS) as { delete: () => Promise<void> }
    const broken = vi.spyOn(prototype, 'delete').mockImplementation(storageIsAway)
    await forgotten({ tags: ['v1'] })
    broken.mockRestore()
    await pullAll([index], 'v1')
    expect(await forgotten({})).toEqual(NOTHING)
    expect(await keysLeft()).toEqual(keysOf([index], 'v1'))
  })
})

/** Every row has its bytes, and where there are rows there is a marker. */
async function expectWhole(): Promise<void> {
  const rows = await ledger().inside((storage) => {
    if (tablesOf(storage).length === 0) return undefined
    const { sql } = storage
    return {
      manifests: sql.exec('SELECT digest FROM manifests').toArray(),
      tags: sql.exec('SELECT tag, digest FROM tags').toArray(),
    }
  })
  if (rows === undefined) return
  const { objects } = await env.BLOBS.list()
  const keys = objects.map(({ key }) => key)
  expect(keys).toContain(MARKER)
  for (const { digest } of rows.manifests) {
    expect(keys).toContain(mirroredManifestKey(NAME, digest as never))
  }
  for (const { digest } of rows.tags) {
    expect(rows.manifests).toContainEqual({ digest })
  }
}
