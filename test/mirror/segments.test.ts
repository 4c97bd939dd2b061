// Cutting bytes into segments: their sizes, that each is announced only when it can be read, and that all
// are removed.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SegmentWriter, deleteSegments } from '../../src/mirror/segments.ts'
import { KiB, MiB, expectBytes, join, keysIn } from '../support/blob.ts'
import { broken, storageIsAway } from '../support/broken.ts'

afterEach(() => reset())

function writer(bucket: R2Bucket = env.BLOBS, now = () => 0) {
  const announced: number[] = []
  const id = crypto.randomUUID()
  const segments = new SegmentWriter({ bucket, id, now }, (length) => announced.push(length))
  return { id, announced, segments }
}

async function read(id: string, count: number): Promise<Uint8Array> {
  const objects = Array.from({ length: count }, (_, n) => env.BLOBS.get(`fills/${id}/${n}`))
  const pieces = (await Promise.all(objects)).map(async (object) => object?.bytes())
  return join((await Promise.all(pieces)).map((bytes) => bytes ?? new Uint8Array()))
}

describe('segments', () => {
  it.each([
    { name: 'nothing', writes: [], want: [] },
    { name: 'one byte', writes: [1], want: [1] },
    { name: 'exactly one', writes: [64 * KiB], want: [64 * KiB] },
    { name: 'one and a byte', writes: [64 * KiB, 1], want: [64 * KiB, 1] },
    { name: 'a chunk over several', writes: [200 * KiB], want: [64 * KiB, 128 * KiB, 8 * KiB] },
    {
      name: 'growing to 2 MiB and no further',
      writes: Array.from({ length: 17 }, () => MiB),
      want: [64, 128, 256, 512, 1024, 2048, 2048, 2048, 2048, 2048, 2048, 2048, 1088].map(
        (size) => size * KiB,
      ),
    },
  ])('$name', async ({ writes, want }) => {
    const { id, announced, segments } = writer()
    const bytes = sampleBytes(writes.reduce((sum, size) => sum + size, 0))
    let offset = 0
    for (const size of writes) {
      await segments.write(bytes.subarray(offset, offset + size))
      offset += size
    }
    await segments.close()
    expect(announced).toEqual(want)
    expectBytes(await read(id, want.length), bytes)
  })

  it('are announced in order, each when it can be read', async () => {
    const gates = [0, 1, 2].map(() => Promise.withResolvers<void>())
    let puts = 0
    const put = async (key: string, bytes: Uint8Array) => {
      await gates[puts++]?.promise
      return env.BLOBS.put(key, bytes)
    }
    const { announced, segments } = writer(broken(env.BLOBS, { put }))
    await segments.write(new Uint8Array(10))
    await segments.cut()
    await segments.write(new Uint8Array(20))
    const second = segments.cut()
    expect(announced).toEqual([])
    gates.forEach(({ resolve }) => resolve())
    await second
    expect(announced).toEqual([10])
    await segments.close()
    expect(announced).toEqual([10, 20])
  })

  it('take no more than two of them into memory', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const put = async (key: string, bytes: Uint8Array) => {
      await promise
      return env.BLOBS.put(key, bytes)
    }
    const { segments } = writer(broken(env.BLOBS, { put }))
    await segments.write(new Uint8Array((64 + 128) * KiB))
    let isTaken = false
    const more = segments.write(new Uint8Array(1)).then(() => (isTaken = true))
    await Promise.resolve()
    expect(isTaken).toBe(false)
    resolve()
    await more
    await segments.close()
  })

  it('say when bytes have waited', async () => {
    let now = 5
    const { segments } = writer(env.BLOBS, () => now)
    expect(segments.isOlderThan(10, 100)).toBe(false)
    await segments.write(new Uint8Array(1))
    now = 12
    await segments.write(new Uint8Array(1))
    expect(segments.isOlderThan(10, 15)).toBe(false)
    expect(segments.isOlderThan(10, 16)).toBe(true)
    await segments.cut()
    expect(segments.isOlderThan(10, 100)).toBe(false)
    await segments.settle()
  })

  it.each([
    { name: 'closed', put: undefined },
    { name: 'closed in vain', put: storageIsAway },
  ])('keep no memory once they are $name', async ({ put }) => {
    const { segments } = writer(put === undefined ? env.BLOBS : broken(env.BLOBS, { put }))
    await segments.write(new Uint8Array(65 * KiB)).catch(() => undefined)
    expect(segments.memory).toBe((64 + 128) * KiB)
    await segments.close().catch(() => undefined)
    expect(segments.memory).toBe(0)
  })

  it('keep no memory once they are given up, and take nothing from a write that waited', async () => {
    const begun = Promise.withResolvers<void>()
    const { promise, resolve } = Promise.withResolvers<void>()
    const put = async (key: string, bytes: Uint8Array) => {
      begun.resolve()
      await promise
      return env.BLOBS.put(key, bytes)
    }
    const { segments, announced } = writer(broken(env.BLOBS, { put }))
    const writing = segments.write(new Uint8Array(MiB))
    await begun.promise
    const settled = segments.settle()
    expect(segments.memory).toBe(0)
    resolve()
    await settled
    await writing
    await segments.close()
    expect(announced).toEqual([64 * KiB])
    expect(await keysIn('fills/')).toHaveLength(1)
  })

  it('that cannot be stored fail the next cut, and are not announced', async () => {
    const { announced, segments } = writer(broken(env.BLOBS, { put: storageIsAway }))
    await segments.write(new Uint8Array(1))
    await segments.cut()
    await segments.settle()
    await expect(segments.close()).rejects.toThrow('10001')
    expect(announced).toEqual([])
  })
})

describe('deleteSegments', () => {
  it('removes all of one fill, however many, and of no other', async () => {
    const put = (id: string, n: number) => env.BLOBS.put(`fills/${id}/${n}`, 'x')
    await Promise.all(Array.from({ length: 120 }, (_, n) => put('mine', n)))
    await put('mine-too', 0)
    await deleteSegments(env.BLOBS, 'mine')
    expect(await keysIn('fills/')).toEqual(['fills/mine-too/0'])
  })

  it('follows the cursor past a page without objects', async () => {
    const deleted: string[] = []
    const pages = [
      { objects: [], truncated: true, cursor: 'a' },
      { objects: [{ key: 'fills/x/0' }], truncated: true, cursor: 'b' },
      { objects: [], truncated: false },
    ]
    const cursors: (string | undefined)[] = []
    const bucket = broken(env.BLOBS, {
      list: async ({ cursor }: R2ListOptions) => {
        cursors.push(cursor)
        return pages.shift()
      },
      delete: async (keys: string[]) => void deleted.push(...keys),
    })
    await deleteSegments(bucket, 'x')
    expect(cursors).toEqual([undefined, 'a', 'b'])
    expect(deleted).toEqual(['fills/x/0'])
  })
})
