// A purge among faults: what was forgotten is never served on because something else fails, or because somebody ends the
// job. R2 and SQLite are real, the ledgers are the test's.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Pin } from '../../src/auth/pins.ts'
import type { ReportItem } from '../../src/jobs/job.ts'
import type { MirroredLedger } from '../../src/jobs/mirrored.ts'
import { Purge } from '../../src/jobs/purge.ts'
import type { PurgeState } from '../../src/jobs/purge.ts'
import type { Step } from '../../src/jobs/task.ts'
import { canonicalName, markerKey } from '../../src/storage/keys.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { MINUTE } from '../support/clock.ts'
import { NOW, SampleMirror, daysAgo, digestNamed, named } from '../support/mirror.ts'
import { tag } from '../support/parsed.ts'

const A = 'one.test/a/app'
const B = 'one.test/b/app'
const WHOLE: PurgeState = { target: { scope: 'repository', name: named(A) } }

let mirror: SampleMirror
let told: string[]
let pins: Pin[]
let unpinned: string[]
let report: ReportItem[]
/** What ledgers do otherwise. */
let changed: Readonly<Record<string, Partial<MirroredLedger>>>
let bucket: R2Bucket

beforeEach(async () => {
  mirror = new SampleMirror()
  told = []
  pins = []
  unpinned = []
  report = []
  changed = {}
  bucket = env.BLOBS
  await mirror.add({ in: A, image: 'm1', read: daysAgo(1), blobs: { l1: 5, l2: 5 } })
  await mirror.add({ in: B, image: 'm2', read: daysAgo(1), blobs: { l2: 5 } })
})

afterEach(() => reset())

function purge(): Purge {
  return new Purge({
    bucket,
    markers: new RepositoryMarkers(env.BLOBS),
    ledgerOf: (name) => ({ ...mirror.ledgerOf(name), ...changed[canonicalName(name)] }),
    isPrivate: () => false,
    authority: () => ({
      pins: async () => pins,
      unpin: async (image, by) => unpinned.push(`${image} by ${by}`) > 0,
      purged: async (scope) => told.push(scope),
    }),
    now: () => NOW,
  })
}

/** Takes steps until the job is done or waits; `isEnded`: and is then ended by somebody. */
async function run(state = WHOLE, { isEnded = false } = {}): Promise<Step<PurgeState>> {
  return runInDurableObject(env.JOB.getByName('purge'), async (_, { storage }) => {
    const context = {
      id: 'purge',
      by: 'ann',
      until: NOW + MINUTE,
      isCancelled: () => false,
      show: () => undefined,
      sql: storage.sql,
      report: (item: ReportItem) => void report.push(item),
    }
    for (;;) {
      const step = await purge().step(state, context)
      if (step.next === 'again') continue
      if (isEnded) await purge().end(state, context)
      return step
    }
  })
}

const away = async (): Promise<never> => {
  throw new Error('the ledger is away')
}

describe('once rows are gone', () => {
  it('isolates are told at once, and a ledger that fails is waited for', async () => {
    changed = { [B]: { named: away } }
    const step = await run()
    expect(step.next).toEqual({ until: NOW + MINUTE, why: `${B}: the ledger is away` })
    expect(told).toEqual([A])
    expect(await mirror.stored()).toContain('l1')
    changed = {}
    expect((await run()).next).toBe('done')
    expect(told).toEqual([A, A])
    expect(await mirror.stored()).toEqual(['l2', 'm2'])
  })

  it('storage that fails is waited for', async () => {
    bucket = new Proxy(env.BLOBS, {
      get: (target, method) =>
        method === 'delete' ? away : Reflect.get(target, method).bind(target),
    })
    expect((await run()).next).toEqual({ until: NOW + MINUTE, why: 'the ledger is away' })
    bucket = env.BLOBS
    expect((await run()).next).toBe('done')
    expect(await mirror.stored()).toEqual(['l2', 'm2'])
  })

  it('who ends it has isolates told once more, and is told of what is left', async () => {
    changed = { [B]: { named: away } }
    await run(WHOLE, { isEnded: true })
    expect(told).toEqual([A, A])
    const left = { subject: A, outcome: 'left', note: 'blob, unless others need it' }
    expect(report.filter(({ outcome }) => outcome === 'left')).toEqual([
      { ...left, digest: digestNamed('l1') },
      { ...left, digest: digestNamed('l2') },
    ])
  })
})

it('a ledger that fails before anything is gone fails the step, and nobody is told anything', async () => {
  changed = { [A]: { images: away } }
  await expect(run()).rejects.toThrow('the ledger is away')
  expect(told).toEqual([])
})

it('blobs that a ledger comes to know only while it forgets go too', async () => {
  changed = {
    [A]: {
      images: async () => ({ images: [], next: undefined }),
      forgetAll: async () => {
        mirror.images.delete(A)
        const blobs = [digestNamed('l1'), digestNamed('l2')]
        return { forgotten: [digestNamed('m1')], blobs, isDone: true }
      },
    },
  }
  expect((await run()).next).toBe('done')
  expect(await mirror.stored()).toEqual(['l2', 'm2'])
})

it('a tag that is pinned and not stored is unpinned, in the name of who has ordered that', async () => {
  const pin = { by: 'bob', at: 1, platforms: undefined }
  pins = [
    { ...pin, image: `${A}:never` },
    { ...pin, image: `${A}:other` },
  ]
  const reference = { kind: 'tag', tag: tag('never') } as const
  await run({ target: { scope: 'image', name: named(A), reference } })
  expect(unpinned).toEqual([`${A}:never by ann`])
})

it('a list of R2 that is empty and goes on is gone on with', async () => {
  await env.BLOBS.delete(markerKey('mirrored', B))
  let lists = 0
  bucket = new Proxy(env.BLOBS, {
    get: (target, method) => {
      if (method !== 'list') return Reflect.get(target, method).bind(target)
      return async (options: R2ListOptions) => {
        lists += 1
        if (options.cursor === undefined) return { objects: [], truncated: true, cursor: 'on' }
        const { cursor: _, ...rest } = options
        return target.list(rest)
      }
    },
  })
  expect((await run({ target: { scope: 'host', host: 'one.test' } })).next).toBe('done')
  expect(await mirror.stored()).toEqual([])
  expect(lists).toBe(2)
})
