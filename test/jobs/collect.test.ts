// What a collection removes, in which order, and what it never touches (docs/size.md). R2 and SQLite are real, the
// ledgers are the test's: how they forget is tested with them.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { DAY, HOUR } from '../support/clock.ts'
import { NOW, SampleMirror, daysAgo, digestNamed, named, runCollect } from '../support/mirror.ts'

const A = 'one.test/a/app'
const B = 'one.test/b/app'

let mirror: SampleMirror

beforeEach(() => {
  mirror = new SampleMirror()
})

afterEach(() => reset())

describe('measuring', () => {
  it('tells bytes and objects of every host, and removes nothing without a target', async () => {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { l1: 100 } })
    await mirror.add({ in: 'two.test/x', image: 'm2', read: daysAgo(9), blobs: { l2: 7 } })
    const { step } = await runCollect(mirror, {})
    const hosts = { 'one.test': { bytes: 110, objects: 2 }, 'two.test': { bytes: 17, objects: 2 } }
    expect(mirror.figures).toEqual([{ at: NOW, hosts }])
    expect(step.result).toMatchObject({ bytesBefore: 127, bytesAfter: 127, bytesRemoved: 0 })
    expect(await mirror.stored()).toEqual(['l1', 'l2', 'm1', 'm2'])
  })

  it('is all that happens up to the very target', async () => {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { l1: 100 } })
    await runCollect(mirror, { target: { target: 110, low: 0 } })
    expect(await mirror.stored()).toEqual(['l1', 'm1'])
    await runCollect(mirror, { target: { target: 109, low: 0 } }, { job: 'other' })
    expect(await mirror.stored()).toEqual([])
  })

  it('goes through more objects than R2 lists at once', async () => {
    const blobs = Array.from({ length: 1050 }, (_, index) => `b${index}`)
    await Promise.all(blobs.map((blob) => mirror.addBlob(A, blob, 1)))
    const { step } = await runCollect(mirror, { target: { target: 100, low: 50 } })
    expect(step.result).toMatchObject({ bytesBefore: 1050, bytesAfter: 50, blobs: 1000 })
    expect(await mirror.bytes()).toBe(50)
  })
})

describe('the order', () => {
  it('whole images go, the one that was idle for longest first, until the low-water mark', async () => {
    await mirror.add({ in: A, image: 'new', read: daysAgo(1), blobs: { l1: 100 } })
    await mirror.add({ in: B, image: 'old', read: daysAgo(8), blobs: { l2: 60, l3: 30 } })
    await mirror.add({ in: A, image: 'mid', read: daysAgo(4), blobs: { l4: 100 } })
    const { report, step } = await runCollect(mirror, { target: { target: 300, low: 230 } })
    expect(await mirror.stored()).toEqual(['l1', 'l4', 'mid', 'new'])
    const image = {
      subject: `${B}:old`,
      digest: digestNamed('old'),
      outcome: 'removed',
      bytes: 100,
    }
    expect(report).toEqual([image])
    expect(step.result).toEqual({
      bytesBefore: 320,
      bytesAfter: 220,
      bytesRemoved: 100,
      images: 1,
      blobs: 2,
      manifests: 1,
      segments: 0,
    })
    expect(mirror.figures.at(-1)?.hosts).toEqual({ 'one.test': { bytes: 220, objects: 4 } })
  })

  it('an image goes as a whole even where one of its blobs would have been enough', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(8), blobs: { l1: 50, l2: 50, l3: 50 } })
    await mirror.add({ in: A, image: 'new', read: daysAgo(1), blobs: { l4: 100 } })
    await runCollect(mirror, { target: { target: 200, low: 220 } })
    expect(await mirror.stored()).toEqual(['l4', 'new'])
  })

  it('an old blob that is pulled by digest every day outlives an idle new one, of an image or of none', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(9), blobs: { daily: 100, idle: 100 } })
    await mirror.addBlob(A, 'loose-daily', 100)
    await mirror.addBlob(A, 'loose-new', 100)
    mirror.read(A, 'daily', daysAgo(0.5))
    mirror.read(A, 'loose-daily', daysAgo(0.5))
    mirror.read(A, 'loose-new', daysAgo(3))
    const { report } = await runCollect(mirror, { target: { target: 300, low: 210 } })
    expect(await mirror.stored()).toEqual(['daily', 'loose-daily'])
    expect(report.map(({ subject, bytes }) => [subject, bytes])).toEqual([
      [`${A}:old`, 110],
      ['one.test', 100],
    ])
  })

  it('a blob of no image goes in its turn: before an image that was read later, after one that was not', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(9), blobs: { l1: 100 } })
    await mirror.add({ in: A, image: 'new', read: daysAgo(1), blobs: { l2: 100 } })
    await mirror.addBlob(A, 'loose', 100)
    mirror.read(A, 'loose', daysAgo(5))
    await runCollect(mirror, { target: { target: 300, low: 211 } })
    expect(await mirror.stored()).toEqual(['l2', 'loose', 'new'])
    await runCollect(mirror, { target: { target: 200, low: 111 } }, { job: 'next' })
    expect(await mirror.stored()).toEqual(['l2', 'new'])
  })

  it('of an image and a blob of none that are as old as each other, the image goes first', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(5), blobs: { l1: 100 } })
    await mirror.addBlob(A, 'loose', 100)
    mirror.read(A, 'loose', daysAgo(5))
    await runCollect(mirror, { target: { target: 200, low: 101 } })
    expect(await mirror.stored()).toEqual(['loose'])
  })

  it('no blob of an image that stays goes, however long nobody has read it', async () => {
    await mirror.add({ in: A, image: 'busy', read: daysAgo(1), blobs: { l1: 100 } })
    await mirror.addBlob(A, 'loose', 100)
    mirror.read(A, 'loose', daysAgo(2))
    await runCollect(mirror, { target: { target: 200, low: 120 } })
    expect(await mirror.stored()).toEqual(['busy', 'l1'])
  })

  it('a manifest that its ledger does not know goes like a blob of no image', async () => {
    await mirror.add({ in: A, image: 'busy', read: daysAgo(1), blobs: { l1: 100 } })
    await env.BLOBS.put(mirroredManifestKey(named(A), digestNamed('lost')), new Uint8Array(50))
    const { step } = await runCollect(mirror, { target: { target: 150, low: 120 } })
    expect(await mirror.stored()).toEqual(['busy', 'l1'])
    expect(step.result).toMatchObject({ images: 0, manifests: 1, bytesRemoved: 50 })
  })

  it('what is mirrored of a host that is configured no more goes first', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(9), blobs: { l1: 100 } })
    await mirror.add({ in: 'gone.test/x', image: 'busy', read: daysAgo(1), blobs: { l2: 100 } })
    await runCollect(mirror, { target: { target: 200, low: 150 } })
    expect(await mirror.stored()).toEqual(['l1', 'old'])
  })
})

describe('what others need', () => {
  it('a blob that two images name goes with the last of them, whichever repository of the host it is in', async () => {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { base: 100, l1: 10 } })
    await mirror.add({ in: A, image: 'm2', read: daysAgo(8), blobs: { base: 100, l2: 10 } })
    await mirror.add({ in: B, image: 'm3', read: daysAgo(7), blobs: { base: 100, l3: 10 } })
    await runCollect(mirror, { target: { target: 150, low: 125 } })
    expect(await mirror.stored()).toEqual(['base', 'l3', 'm3'])
    await runCollect(mirror, { target: { target: 100, low: 90 } }, { job: 'next' })
    expect(await mirror.stored()).toEqual([])
  })

  it('a private repository has blobs of its own: those of others are neither held nor removed by it', async () => {
    const secret = 'one.test/secret/app'
    mirror.privates.add(secret)
    await mirror.add({ in: secret, image: 'm1', read: daysAgo(9), blobs: { base: 100 } })
    await mirror.add({ in: A, image: 'm2', read: daysAgo(1), blobs: { base: 100 } })
    await runCollect(mirror, { target: { target: 200, low: 110 } })
    expect(await env.BLOBS.head(mirror.keyOf(secret, 'base'))).toBeNull()
    expect(await env.BLOBS.head(mirror.keyOf(A, 'base'))).not.toBeNull()
    // The other way round: what a private image names holds no public blob.
    await mirror.add({ in: secret, image: 'm1', read: daysAgo(1), blobs: { base: 100 } })
    mirror.images.set(A, [])
    await runCollect(mirror, { target: { target: 200, low: 130 } }, { job: 'next' })
    expect(await env.BLOBS.head(mirror.keyOf(secret, 'base'))).not.toBeNull()
    expect(await env.BLOBS.head(mirror.keyOf(A, 'base'))).toBeNull()
  })

  it('a read through one repository counts for a blob that others name', async () => {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { base: 100 } })
    mirror.read(B, 'base', NOW - HOUR)
    await env.BLOBS.put('repositories/mirrored/one.test/b/app', new Uint8Array())
    await runCollect(mirror, { target: { target: 100, low: 0 } })
    expect(await mirror.stored()).toEqual(['base'])
  })

  it('a read through a private repository does not count for the public blob', async () => {
    mirror.privates.add(B)
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { base: 100 } })
    mirror.read(B, 'base', NOW - HOUR)
    await env.BLOBS.put('repositories/mirrored/one.test/b/app', new Uint8Array())
    await runCollect(mirror, { target: { target: 100, low: 0 } })
    expect(await mirror.stored()).toEqual([])
  })

  it('the manifest of a tag that an index names too goes with the index, and not before', async () => {
    const blobs = { l1: 100 }
    await mirror.add({ in: A, image: 'amd64', read: daysAgo(9), blobs })
    await mirror.add({ in: A, image: 'index', read: daysAgo(3), blobs, manifests: ['amd64'] })
    await mirror.add({ in: A, image: 'other', read: daysAgo(5), blobs: { l2: 100 } })
    await runCollect(mirror, { target: { target: 200, low: 130 } })
    expect(await mirror.stored()).toEqual(['amd64', 'index', 'l1'])
    await runCollect(mirror, { target: { target: 100, low: 50 } }, { job: 'next' })
    expect(await mirror.stored()).toEqual([])
  })
})

describe('what stays', () => {
  it('is what is pinned, however idle, and what was read since the mark', async () => {
    const blobs = { l1: 100 }
    await mirror.add({ in: A, image: 'pinned', read: daysAgo(9), blobs, isPinned: true })
    await mirror.add({ in: A, image: 'fresh', read: NOW - 2 * HOUR, blobs: { l2: 100 } })
    await mirror.add({ in: A, image: 'stale', read: NOW - 2 * HOUR - 1, blobs: { l3: 100 } })
    await mirror.addBlob(A, 'loose', 100)
    mirror.read(A, 'loose', NOW - 2 * HOUR)
    const target = { target: 10, low: 0 }
    const dry = await runCollect(mirror, { target, isDryRun: true }, { job: 'dry' })
    const { step, report } = await runCollect(mirror, { target })
    for (const { subject } of [...dry.report, ...report]) expect(subject).toBe(`${A}:stale`)
    expect(await mirror.stored()).toEqual(['fresh', 'l1', 'l2', 'loose', 'pinned'])
    expect(step.result).toMatchObject({ images: 1, bytesAfter: 320 })
  })

  it('is what was stored since the mark', async () => {
    await mirror.addBlob(A, 'new', 100)
    await runCollect(mirror, { target: { target: 10, low: 0 } }, { now: Date.now() + HOUR })
    expect(await mirror.stored()).toEqual(['new'])
  })

  it('is an image that was read after it was listed, and all its blobs', async () => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(9), blobs: { l1: 100, shared: 50 } })
    await mirror.add({ in: A, image: 'other', read: daysAgo(8), blobs: { l2: 100, shared: 50 } })
    let isRead = false
    mirror.watch = (what) => {
      if (what !== `forget ${A}` || isRead) return
      isRead = true
      const [image, ...rest] = mirror.images.get(A) ?? []
      const images = [image!, ...rest].map((each) =>
        each.digest === digestNamed('old') ? { ...each, lastRead: NOW } : each,
      )
      mirror.images.set(A, images)
    }
    const { report } = await runCollect(mirror, { target: { target: 200, low: 0 } })
    expect(await mirror.stored()).toEqual(['l1', 'old', 'shared'])
    expect(report).toEqual([
      expect.objectContaining({ subject: `${A}:old`, outcome: 'kept' }),
      expect.objectContaining({ subject: `${A}:other`, outcome: 'removed' }),
    ])
  })

  it.each([
    {
      what: 'a blob that a new image has come to name, in a repository that was not there yet',
      happens: (): void => {
        mirror.addRows({ in: B, image: 'born', read: NOW, blobs: { l1: 100 } })
      },
    },
    {
      what: 'a blob that was read by digest',
      happens: (): void => mirror.read(B, 'l1', NOW),
    },
  ])('is $what while the run was on its way', async ({ happens }) => {
    await mirror.add({ in: A, image: 'old', read: daysAgo(9), blobs: { l1: 100, l2: 100 } })
    let isOver = false
    mirror.watch = (what) => {
      if (what !== `forgotten ${A}` || isOver) return
      isOver = true
      happens()
    }
    const marker = env.BLOBS.put('repositories/mirrored/one.test/b/app', new Uint8Array())
    await marker
    await runCollect(mirror, { target: { target: 200, low: 0 } })
    expect(isOver).toBe(true)
    expect(await mirror.stored()).toEqual(['l1'])
  })

  it('is a blob that was stored anew after it was chosen', async () => {
    await mirror.addBlob(A, 'again', 100)
    // To this run everything here was stored after its mark, only its lists do not show that.
    const now = Date.now() + HOUR
    mirror.listedAs = new Date(now - DAY)
    await runCollect(mirror, { target: { target: 10, low: 0 } }, { now })
    expect(await mirror.stored()).toEqual(['again'])
  })
})

describe('a dry run', () => {
  it('removes nothing and reports what would go, which is what then goes', async () => {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { base: 100, l1: 10 } })
    await mirror.add({ in: B, image: 'm2', read: daysAgo(8), blobs: { base: 100, l2: 10 } })
    await mirror.add({ in: B, image: 'm3', read: daysAgo(1), blobs: { l3: 10 } })
    await mirror.addBlob(A, 'loose', 5)
    mirror.read(A, 'loose', daysAgo(9.5))
    await env.BLOBS.put('fills/left/0', new Uint8Array(1))
    const target = { target: 100, low: 30 }
    const before = await mirror.stored()
    const dry = await runCollect(mirror, { target, isDryRun: true })
    expect(await mirror.stored()).toEqual(before)
    expect((await env.BLOBS.list({ prefix: 'fills/' })).objects).toHaveLength(1)
    const wet = await runCollect(mirror, { target }, { job: 'wet' })
    expect(await mirror.stored()).toEqual(['l3', 'm3'])
    expect(dry.step.result).toEqual({ ...wet.step.result, dryRun: 'nothing was removed' })
    expect(dry.report.map((item) => ({ ...item, outcome: 'removed' }))).toEqual(wet.report)
    expect(new Set(dry.report.map(({ outcome }) => outcome))).toEqual(new Set(['removable']))
  })
})

describe('segments', () => {
  it('of fills of more than a day ago are removed, and others not', async () => {
    await env.BLOBS.put('fills/left/0', new Uint8Array(1))
    await runCollect(mirror, {}, { now: Date.now() + DAY - HOUR })
    expect((await env.BLOBS.list({ prefix: 'fills/' })).objects).toHaveLength(1)
    const { step } = await runCollect(mirror, {}, { job: 'next', now: Date.now() + DAY + HOUR })
    expect((await env.BLOBS.list({ prefix: 'fills/' })).objects).toEqual([])
    expect(step.result).toMatchObject({ segments: 1 })
  })
})

describe('a run that is cut off', () => {
  async function fill(): Promise<void> {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { base: 100, l1: 10 } })
    await mirror.add({ in: B, image: 'm2', read: daysAgo(8), blobs: { base: 100, l2: 10 } })
    await mirror.add({ in: A, image: 'm3', read: daysAgo(7), blobs: { l3: 30 } })
    await mirror.add({
      in: A,
      image: 'pinned',
      read: daysAgo(9),
      blobs: { l4: 30 },
      isPinned: true,
    })
    await mirror.addBlob(A, 'loose', 5)
  }
  const target = { target: 100, low: 80 }
  const left = ['l3', 'l4', 'm3', 'pinned']

  it('comes to the same end wherever it was, and says the same of it', async () => {
    await fill()
    const operations: string[] = []
    mirror.watch = (what) => void operations.push(what)
    const whole = await runCollect(mirror, { target }, { job: 'whole' })
    expect(await mirror.stored()).toEqual(left)
    expect(operations.length).toBeGreaterThan(20)
    const choice = operations.findIndex((operation) => operation.startsWith('forget '))
    for (const [index, operation] of operations.entries()) {
      await reset()
      mirror = new SampleMirror()
      await fill()
      let count = 0
      mirror.watch = () => {
        if (count++ === index) throw new Error('cut off')
      }
      const options = { job: `cut-${index}` }
      if (operation === 'measured' || (index < choice && /^(?:images|reads) /.test(operation))) {
        // Figures that cannot be told end nothing, and ledgers are asked again what they have.
        const { step } = await runCollect(mirror, { target }, options)
        expect(step.result).toEqual(whole.step.result)
        continue
      }
      await expect(runCollect(mirror, { target }, options)).rejects.toThrow('cut off')
      const { step } = await runCollect(mirror, { target }, options)
      expect([operation, await mirror.stored()]).toEqual([operation, left])
      expect([operation, step.result]).toEqual([operation, whole.step.result])
    }
  }, 120_000)

  it('stops where it is when somebody ends it, and its tables go', async () => {
    await fill()
    let isCancelled = false
    mirror.watch = (what) => {
      if (what === `forgotten ${A}`) isCancelled = true
    }
    const { run, step } = await runCollect(mirror, { target }, { isCancelled: () => isCancelled })
    expect(step.next).toBe('again')
    expect(run?.removed).toMatchObject({ images: 1, blobs: 0 })
    expect(await mirror.stored()).toContain('m2')
  })
})

describe('a ledger that does not tell of its images', () => {
  const target = { target: 50, low: 0 }

  async function fill(): Promise<void> {
    await mirror.add({ in: A, image: 'm1', read: daysAgo(9), blobs: { l1: 100 } })
    await mirror.add({ in: A, image: 'm2', read: daysAgo(9), blobs: { l2: 100 } })
    await mirror.add({ in: A, image: 'm3', read: daysAgo(9), blobs: { l3: 100 } })
    await mirror.add({ in: B, image: 'm4', read: daysAgo(8), blobs: { l4: 100 } })
    await mirror.add({ in: 'two.test/x', image: 'm5', read: daysAgo(7), blobs: { l5: 100 } })
    await mirror.addBlob(B, 'loose', 100)
  }

  it('is passed over, and nothing that it may need is removed', async () => {
    await fill()
    let asked = 0
    mirror.watch = (what) => {
      // The first page comes; the second never does.
      if (what === `images ${A}` && (asked += 1) > 1) throw new Error('too large')
      if (what === `forget ${A}`) throw new Error('never')
    }
    const { report, step } = await runCollect(mirror, { target })
    expect(asked).toBe(6)
    expect(report).toContainEqual({ subject: A, outcome: 'failed', note: 'too large' })
    // Another image of its host goes, but no blob that it may share.
    expect(await mirror.stored()).toEqual(['l1', 'l2', 'l3', 'l4', 'loose', 'm1', 'm2', 'm3'])
    expect(step.result).toMatchObject({ images: 2, blobs: 1, bytesAfter: 530 })
  })

  it('that is private leaves what is public to others', async () => {
    mirror.privates.add(A)
    await fill()
    mirror.watch = (what) => {
      if (what === `images ${A}`) throw new Error('too large')
    }
    await runCollect(mirror, { target })
    expect(await mirror.stored()).toEqual(['l1', 'l2', 'l3', 'm1', 'm2', 'm3'])
  })

  it('for a while is asked again a little later', async () => {
    await fill()
    let asked = 0
    mirror.watch = (what) => {
      if (what === `images ${A}` && (asked += 1) < 5) throw new Error('too large')
    }
    const { report } = await runCollect(mirror, { target })
    expect(report.filter(({ outcome }) => outcome === 'failed')).toEqual([])
    expect(await mirror.stored()).toEqual([])
  })

  it('has the job wait', async () => {
    await fill()
    let isCancelled = false
    mirror.watch = (what) => {
      if (what !== `images ${A}`) return
      isCancelled = true
      throw new Error('too large')
    }
    const { step } = await runCollect(mirror, { target }, { isCancelled: () => isCancelled })
    const why = `${A} does not tell of its images: too large`
    expect(step.next).toEqual({ until: NOW + 10_000, why })
  })
})

it('a list of R2 that is empty and goes on is gone on with', async () => {
  await mirror.addBlob(A, 'loose', 100)
  mirror.isHalting = true
  const { step } = await runCollect(mirror, { target: { target: 50, low: 0 } })
  expect(step.result).toMatchObject({ bytesBefore: 100, bytesAfter: 0 })
})

describe('a step', () => {
  it('takes a bounded number of operations, whatever there is to do', async () => {
    const images = Array.from({ length: 40 }, (_, index) => `i${index}`)
    for (const [index, image] of images.entries()) {
      const blobs = { [`b${index}`]: 100 }
      await mirror.add({ in: `one.test/r${index}`, image, read: daysAgo(9), blobs })
    }
    let operations = 0
    mirror.watch = () => void (operations += 1)
    const { steps } = await runCollect(mirror, { target: { target: 100, low: 50 } })
    expect(await mirror.stored()).toEqual([])
    expect(steps).toBeGreaterThan(2)
    // A turn that has begun is finished.
    expect(operations / steps).toBeLessThan(150)
  })
})
