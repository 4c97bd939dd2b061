// Which jobs there are, in a real bucket: the newest first, as they stood, a page at a time, whatever their texts are.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { JobStatus } from '../../src/jobs/job.ts'
import { JobListing, isJobCursor } from '../../src/jobs/listing.ts'
import { broken, storageIsAway } from '../support/broken.ts'

const START = Date.UTC(2026, 10, 23)

afterEach(async () => {
  await reset()
})

function job(n: number, changed: Partial<JobStatus> = {}): JobStatus {
  return {
    id: `purge-${n}`,
    kind: 'purge',
    title: `docker.io/library/app:${n}`,
    by: 'root',
    state: 'running',
    createdAt: START + n,
    endedAt: undefined,
    until: undefined,
    progress: { done: 0, total: undefined, unit: '' },
    note: '',
    result: {},
    ...changed,
  }
}

function listing(bucket = env.BLOBS): JobListing {
  return new JobListing(bucket)
}

async function idsOf(limit: number, cursor?: string): Promise<readonly string[]> {
  return (await listing().list(limit, cursor)).jobs.map(({ id }) => id)
}

describe('the list', () => {
  it('is empty where there is none', async () => {
    expect(await listing().list(10)).toEqual({ jobs: [], next: undefined })
  })

  it('has the newest first, whatever their ids are', async () => {
    for (const n of [2, 1, 30, 4]) await listing().put(job(n))
    expect(await idsOf(10)).toEqual(['purge-30', 'purge-4', 'purge-2', 'purge-1'])
  })

  it('has two jobs of one moment', async () => {
    await listing().put(job(1, { id: 'purge-a', createdAt: START }))
    await listing().put(job(2, { id: 'purge-b', createdAt: START }))
    expect((await idsOf(10)).toSorted()).toEqual(['purge-a', 'purge-b'])
  })

  it('has a job as it was last put, and once', async () => {
    await listing().put(job(1))
    const ended = job(1, {
      state: 'failed',
      endedAt: START + 9,
      progress: { done: 3, total: 4, unit: 'images' },
      note: 'the upstream says “no”: 100 %',
      result: { removed: 3, first: 'a/b' },
    })
    await listing().put(ended)
    expect(await listing().list(10)).toEqual({ jobs: [ended], next: undefined })
  })

  it('has a job no more that was taken off it', async () => {
    for (const n of [1, 2]) await listing().put(job(n))
    await listing().delete(job(1, { state: 'done' }))
    await listing().delete(job(7))
    expect(await idsOf(10)).toEqual(['purge-2'])
  })

  it('is given a page at a time, also while it grows', async () => {
    for (let n = 1; n <= 5; n++) await listing().put(job(n))
    const first = await listing().list(2)
    expect(first.jobs.map(({ id }) => id)).toEqual(['purge-5', 'purge-4'])
    expect(isJobCursor(first.next ?? '')).toBe(true)
    await listing().put(job(6))
    const second = await listing().list(2, first.next)
    expect(second.jobs.map(({ id }) => id)).toEqual(['purge-3', 'purge-2'])
    expect(await listing().list(2, second.next)).toEqual({ jobs: [job(1)], next: undefined })
  })

  it('has no page after one that is just full', async () => {
    for (const n of [1, 2]) await listing().put(job(n))
    expect((await listing().list(2)).next).toBeUndefined()
  })

  it('goes on where storage gives fewer than it was asked for', async () => {
    for (let n = 1; n <= 4; n++) await listing().put(job(n))
    const stingy = broken(env.BLOBS, {
      list: ({ limit = 0, ...options }: R2ListOptions) =>
        env.BLOBS.list({ ...options, limit: Math.min(limit, 2) }),
    })
    const { jobs, next } = await listing(stingy).list(3)
    expect(jobs.map(({ id }) => id)).toEqual(['purge-4', 'purge-3', 'purge-2'])
    expect(await idsOf(3, next)).toEqual(['purge-1'])
  })

  it.each(['', 'x', '../repositories/', '0'.repeat(13), '~'])(
    'begins at its beginning for %j, which is no cursor',
    async (cursor) => {
      await listing().put(job(1))
      expect(isJobCursor(cursor)).toBe(false)
      expect(await idsOf(10, cursor)).toEqual(['purge-1'])
    },
  )

  it('fails while storage is away', async () => {
    const away = listing(broken(env.BLOBS, { list: storageIsAway, put: storageIsAway }))
    await expect(away.list(1)).rejects.toThrow('10001')
    await expect(away.put(job(1))).rejects.toThrow('10001')
  })
})

describe('of a job with', () => {
  it.each<{ readonly what: string; readonly changed: Partial<JobStatus> }>([
    { what: 'a long title', changed: { title: 'x'.repeat(10_000) } },
    { what: 'a long note', changed: { note: '/'.repeat(10_000), state: 'failed' } },
    { what: 'texts in characters of many bytes', changed: manyBytes(10_000) },
    { what: 'half a character at the cut', changed: { title: `${'x'.repeat(499)}😀` } },
    {
      what: 'a long result',
      changed: {
        result: Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`name ${n}`, 'x'])),
      },
    },
  ])('$what the beginning is listed', async ({ changed }) => {
    const status = job(1, changed)
    await listing().put(status)
    const [listed] = (await listing().list(1)).jobs
    expect(listed).toMatchObject({ id: 'purge-1', by: 'root', state: status.state })
    expect(listed?.title.length).toBeLessThanOrEqual(500)
    expect(listed?.title.slice(0, 100)).toBe(status.title.slice(0, 100))
    expect(listed?.note.slice(0, 100)).toBe(status.note.slice(0, 100))
  })
})

function manyBytes(length: number): Partial<JobStatus> {
  return { title: '漢'.repeat(length), note: '字'.repeat(length) }
}
