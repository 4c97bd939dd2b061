// Bytes on their way into a session: whatever the chunks are, however often the object loses its memory, the blob
// is what was sent, and neither rows nor buffers nor work grow without bound.

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { rewriteFrom } from '../../src/hosted/upload-records.ts'
import type { TailRow } from '../../src/hosted/upload-records.ts'
import { KiB, MiB } from '../support/blob.ts'
import {
  PART,
  STREAM,
  bodyOf,
  expectStored,
  inSession,
  noise,
  piecesOf,
  watchBucket,
} from '../support/upload.ts'

afterEach(() => reset())

const SIZES = [
  { name: 'nothing', size: 0, chunk: 1 },
  { name: 'one byte', size: 1, chunk: 1 },
  { name: 'a thousand chunks of one byte', size: 1000, chunk: 1 },
  { name: 'odd chunks', size: 300_007, chunk: 7919 },
  { name: 'a row of the tail and a byte', size: MiB + 1, chunk: MiB },
  { name: 'a part but for a byte', size: PART - 1, chunk: MiB },
  { name: 'exactly one part', size: PART, chunk: MiB },
  { name: 'one part and a byte', size: PART + 1, chunk: PART },
  { name: 'exactly two parts', size: 2 * PART, chunk: 3 * MiB },
  { name: 'several parts', size: 3 * PART + 12_345, chunk: 777_777 },
] as const

const ALGORITHMS = ['sha256', 'sha512'] as const

const ROWS = ALGORITHMS.flatMap((algorithm) => SIZES.map((row) => ({ ...row, algorithm })))

describe('a blob of its own bytes comes of', () => {
  it.each(ROWS)('$name in one body, $algorithm', async ({ size, chunk, algorithm }) => {
    const { bytes, digest } = await noise(size, algorithm)
    const { bucket, operations, open } = watchBucket()
    await inSession(
      async ({ upload, storage, close, stage }) => {
        await upload.open()
        expect(await upload.append(STREAM, bodyOf(piecesOf(bytes, chunk)))).toEqual({
          ok: true,
          offset: size,
        })
        expect(await close(digest)).toEqual({ ok: true, size })
        expect(stage()).toBe('done')
        // What a repeated PUT needs, and nothing else.
        expect(storage.sql.exec('SELECT * FROM tail').toArray()).toEqual([])
        expect(storage.sql.exec('SELECT * FROM parts').toArray()).toEqual([])
      },
      { given: { bucket } },
    )
    await expectStored(bytes, digest)
    // The hash was in memory: nothing was read again. Below a part one operation is all.
    const parts = Array.from({ length: Math.ceil(size / PART) }, () => 'uploadPart')
    expect(operations).toEqual(size < PART ? ['put'] : ['create', ...parts, 'complete'])
    expect(open.size).toBe(0)
  })

  it.each(ROWS.filter(({ size }) => size > 1 && size !== 1000))(
    '$name in bodies between which memory is lost, $algorithm',
    async ({ size, chunk, algorithm }) => {
      const { bytes, digest } = await noise(size, algorithm)
      await inSession(async (session) => {
        await session.upload.open()
        let offset = 0
        for (const piece of piecesOf(bytes, chunk)) {
          session.evict()
          offset += piece.byteLength
          expect(await session.append(piece)).toEqual({ ok: true, offset })
        }
        session.evict()
        expect(await session.close(digest)).toEqual({ ok: true, size })
      })
      await expectStored(bytes, digest)
    },
  )

  it.each(ALGORITHMS)('a body that comes with the PUT, %s', async (algorithm) => {
    const { bytes, digest } = await noise(2 * PART + 5, algorithm)
    await inSession(async ({ upload, append }) => {
      await upload.open()
      await append(bytes.subarray(0, MiB))
      expect(
        await upload.close({ ...STREAM, digest }, bodyOf(piecesOf(bytes.subarray(MiB), 999_999))),
      ).toEqual({ ok: true, size: bytes.byteLength })
    })
    await expectStored(bytes, digest)
  })

  it('parts that were hashed on their way and a tail that was read from its rows again', async () => {
    const { bytes, digest } = await noise(PART + 3 * MiB)
    const { bucket, operations } = watchBucket()
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        await append(bytes.subarray(0, PART + MiB))
        // A refused body gives up what is in memory, but not the hash of what is stored.
        expect(await upload.append({ ...STREAM, length: 1 }, bodyOf([bytes]))).toMatchObject({
          reason: 'length',
          offset: PART + MiB,
        })
        await append(bytes.subarray(PART + MiB))
        expect(await close(digest)).toEqual({ ok: true, size: bytes.byteLength })
      },
      { given: { bucket } },
    )
    await expectStored(bytes, digest)
    expect(operations).not.toContain('get')
  })
})

describe('the tail', () => {
  it('of a thousand PATCHes of one byte is a few rows', async () => {
    const { bytes, digest } = await noise(1000)
    await inSession(async ({ upload, append, close, rows }) => {
      await upload.open()
      let most = 0
      for (const piece of piecesOf(bytes, 1)) {
        await append(piece)
        most = Math.max(most, rows())
      }
      expect(most).toBeLessThan(16)
      expect(await close(digest)).toEqual({ ok: true, size: 1000 })
    })
    await expectStored(bytes, digest)
  })

  it('has no row larger than SQLite takes', async () => {
    const { bytes } = await noise(PART - 1)
    await inSession(async ({ upload, append, storage }) => {
      await upload.open()
      await append(bytes.subarray(0, 700 * KiB))
      await append(bytes.subarray(700 * KiB, 1500 * KiB))
      await append(bytes.subarray(1500 * KiB))
      const sizes = storage.sql.exec('SELECT size, length(bytes) AS length FROM tail').toArray()
      for (const { size, length } of sizes) {
        expect(length).toBe(size)
        expect(size).toBeLessThanOrEqual(MiB)
      }
      expect(sizes.length).toBeLessThan(8)
    })
  })

  it('is gone with the part that it became', async () => {
    const { bytes } = await noise(PART + 10)
    await inSession(async ({ upload, append, rows, storage }) => {
      await upload.open()
      await append(bytes.subarray(0, PART - 1))
      expect(rows()).toBeGreaterThan(0)
      await append(bytes.subarray(PART - 1, PART))
      expect(rows()).toBe(0)
      await append(bytes.subarray(PART))
      expect(storage.sql.exec('SELECT start, size FROM tail').toArray()).toEqual([
        { start: PART, size: 10 },
      ])
    })
  })

  it.each([
    { name: 'one byte at a time', next: () => 1, work: 8 },
    { name: 'less each time', next: (n: number) => Math.max(1, 60_000 - n), work: 4 },
    { name: 'more each time', next: (n: number) => 1 + n, work: 8 },
    { name: 'by turns large and small', next: (n: number) => (n % 2 === 0 ? 200_000 : 1), work: 3 },
    { name: 'just over half a row', next: () => 600_000, work: 2 },
    { name: 'whole rows and a byte', next: () => MiB + 1, work: 2 },
  ])('grows in few rows and little work: $name', ({ next, work }) => {
    const rowSize = MiB
    let rows: TailRow[] = []
    let offset = 0
    let written = 0
    for (let n = 0; offset < 8 * MiB && n < 20_000; n++) {
      const received = offset + next(n)
      const from = rewriteFrom(rows, { offset, received, rowSize })
      rows = rows.filter(({ start }) => start < from)
      for (let start = from; start < received; start += rowSize) {
        rows.push({ start, size: Math.min(rowSize, received - start) })
      }
      written += received - from
      offset = received
      expect(rows.length).toBeLessThan(20)
    }
    expect(written / offset).toBeLessThan(work)
  })
})

describe('parts', () => {
  it('are stored one at a time, while the next one fills and no further', async () => {
    const { bytes, digest } = await noise(4 * PART)
    let under = 0
    let most = 0
    const gate = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const { bucket } = watchBucket(async (operation, run) => {
      if (operation !== 'uploadPart') return run()
      under += 1
      most = Math.max(most, under)
      begun.resolve()
      await gate.promise
      const value = await run()
      under -= 1
      return value
    })
    await inSession(
      async ({ upload, close }) => {
        await upload.open()
        let pulled = 0
        const pieces = piecesOf(bytes, MiB)
        const body = new ReadableStream<Uint8Array>(
          {
            pull(controller) {
              const piece = pieces[pulled]
              pulled += 1
              if (piece === undefined) controller.close()
              else controller.enqueue(piece)
            },
          },
          { highWaterMark: 0 },
        )
        const appending = upload.append(STREAM, body)
        await begun.promise
        // As long as anything moves.
        for (let before = -1; before !== pulled;) {
          before = pulled
          await new Promise((resolve) => setTimeout(resolve, 0))
        }
        expect(pulled).toBe((2 * PART) / MiB)
        gate.resolve()
        await appending
        expect(most).toBe(1)
        expect(await close(digest)).toMatchObject({ ok: true })
      },
      { given: { bucket } },
    )
    await expectStored(bytes, digest)
  })

  it('that storage refused are not committed; the client goes on where they begin', async () => {
    const { bytes, digest } = await noise(3 * PART + 9)
    let failures = 2
    const { bucket, operations } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart' && operations.length > 3 && failures-- > 0) {
        throw new Error('We encountered an internal error. Please try again. (10001)')
      }
      return run()
    })
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        await append(bytes.subarray(0, PART + 7))
        for (let tries = 0; tries < 2; tries++) {
          await expect(append(bytes.subarray(PART + 7))).rejects.toThrow('10001')
          expect(await upload.status()).toMatchObject({ ok: true })
        }
        const status = await upload.status()
        const offset = status.ok ? status.offset : expect.fail('the session is over')
        expect(offset % PART === 7 || offset % PART === 0).toBe(true)
        expect(await append(bytes.subarray(offset))).toMatchObject({ ok: true })
        expect(await close(digest)).toMatchObject({ ok: true })
        // The hash went on as well.
        expect(operations).not.toContain('get')
      },
      { given: { bucket } },
    )
    await expectStored(bytes, digest)
  })
})
