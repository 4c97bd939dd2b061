// What a PUT does: nothing wrong is kept, nothing right is lost, a digest that takes long is taken all the same, and
// whoever repeats the PUT gets its answer.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { MiB, keysIn } from '../support/blob.ts'
import { storageIsAway } from '../support/broken.ts'
import {
  PART,
  STREAM,
  bodyOf,
  chunkAt,
  expectEmpty,
  expectNothingStored,
  expectStored,
  inSession,
  noise,
  piecesOf,
  refusedBody,
  watchBucket,
} from '../support/upload.ts'
import type { Around } from '../support/upload.ts'

afterEach(() => reset())

/** Lets the nth of these operations fail, before it does anything or after it has done it. */
function failing(which: string, when: 'before' | 'after', times = 1): Around {
  let left = times
  return async (operation, run) => {
    if (operation !== which || left-- <= 0) return run()
    if (when === 'after') await run()
    return storageIsAway()
  }
}

describe('a wrong digest', () => {
  it.each([
    { name: 'of nothing', size: 0, operations: ['delete'] },
    { name: 'below a part', size: 1000, operations: ['delete'] },
    {
      name: 'of parts and a tail',
      size: PART + 10,
      operations: ['create', 'uploadPart', 'abort', 'delete'],
    },
    {
      name: 'of parts alone',
      size: 2 * PART,
      operations: ['create', 'uploadPart', 'uploadPart', 'abort', 'delete'],
    },
  ])('$name is noticed before anything is in R2', async ({ size, operations }) => {
    const { bytes } = await noise(size)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const { digest } = await noise(size + 1, algorithm)
      const watched = watchBucket()
      await inSession(
        async ({ upload, append, close, storage }) => {
          await upload.open()
          await append(bytes)
          expect(await close(digest)).toEqual({ ok: false, reason: 'digest' })
          await expectEmpty(storage)
          // The session is over.
          expect(await close(digest)).toEqual({ ok: false, reason: 'unknown' })
          expect(await upload.status()).toEqual({ ok: false, reason: 'unknown' })
          await expectEmpty(storage)
        },
        { given: { bucket: watched.bucket } },
      )
      expect(watched.operations).toEqual(operations)
      expect(watched.open.size).toBe(0)
      await expectNothingStored()
    }
  })

  it('is noticed in R2 when memory was lost, and the object goes', async () => {
    const { bytes } = await noise(PART + 10)
    const { digest } = await noise(5)
    const { bucket, operations, open } = watchBucket()
    await inSession(
      async ({ upload, append, close, evict, storage }) => {
        await upload.open()
        await append(bytes)
        evict()
        expect(await close(digest)).toEqual({ ok: false, reason: 'digest' })
        await expectEmpty(storage)
      },
      { given: { bucket } },
    )
    expect(operations.slice(2)).toEqual(['uploadPart', 'complete', 'get', 'abort', 'delete'])
    expect(open.size).toBe(0)
    await expectNothingStored()
  })

  it.each([
    { name: 'the end of the multipart upload', which: 'abort', isEvicted: false },
    { name: 'the object', which: 'delete', isEvicted: true },
  ])('leaves $name to the alarm when storage is away', async ({ which, isEvicted }) => {
    const { bytes } = await noise(PART + 10)
    const { digest } = await noise(5)
    const { bucket, open } = watchBucket(failing(which, 'before', 2))
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        if (isEvicted) session.evict()
        expect(await session.close(digest)).toEqual({ ok: false, reason: 'digest' })
        expect(session.log).toEqual(['upload-not-removed'])
        expect(session.stage()).toBe('over')
        // Over for everybody, and not forgotten.
        expect(await session.close(digest)).toEqual({ ok: false, reason: 'unknown' })
        expect(await session.upload.status()).toEqual({ ok: false, reason: 'unknown' })
        expect(await session.upload.append(STREAM, null)).toEqual({ ok: false, reason: 'unknown' })
        expect(await session.upload.cancel()).toBe(false)
        await session.upload.alarm()
        expect(session.stage()).toBe('over')
        expect(await session.storage.getAlarm()).not.toBeNull()
        session.evict()
        await session.upload.alarm()
        await expectEmpty(session.storage)
      },
      { given: { bucket } },
    )
    expect(open.size).toBe(0)
    await expectNothingStored()
  })
})

describe('a PUT that is repeated', () => {
  it('gets its answer again, and its body is not taken', async () => {
    const { bytes, digest } = await noise(PART + 10)
    const { digest: other } = await noise(5)
    let adoptions = 0
    await inSession(
      async ({ upload, append, close, evict }) => {
        await upload.open()
        await append(bytes)
        const want = { ok: true, size: bytes.byteLength }
        expect(await close(digest)).toEqual(want)
        for (const isEvicted of [false, true]) {
          if (isEvicted) evict()
          expect(await close(digest)).toEqual(want)
          const { body, isDrained } = refusedBody()
          expect(await upload.close({ ...chunkAt(0, 5), digest }, body)).toEqual(want)
          expect(isDrained()).toBe(true)
          expect(await close(other)).toEqual({ ok: false, reason: 'digest' })
          // For everything else the session is over.
          expect(await upload.status()).toEqual({ ok: false, reason: 'unknown' })
          expect(await append(bytes)).toEqual({ ok: false, reason: 'unknown' })
          expect(await upload.cancel()).toBe(false)
        }
        expect(adoptions).toBe(1)
      },
      {
        change: ({ adopt }) => ({
          adopt: (of, content) => {
            adoptions += 1
            return adopt(of, content)
          },
        }),
      },
    )
    await expectStored(bytes, digest)
  })

  it('joins the one that runs', async () => {
    const { bytes, digest } = await noise(1000)
    const { digest: other } = await noise(5)
    const { bucket, operations } = watchBucket()
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        await append(bytes)
        const answers = Promise.all([close(digest), close(digest), close(other), close(digest)])
        const want = { ok: true, size: 1000 }
        // The first holds the session until it has committed that it is closed.
        expect((await answers)[0]).toEqual(want)
        expect(await close(digest)).toEqual(want)
      },
      { given: { bucket } },
    )
    expect(operations).toEqual(['put'])
    await expectStored(bytes, digest)
  })
})

describe('a digest that takes longer than a client waits', () => {
  const LATER = { ok: false, reason: 'later', retryAfter: 10 }

  it('is taken on; who asks meanwhile is told, and who repeats the PUT gets its answer', async () => {
    const { bytes, digest } = await noise(2 * PART + 10)
    const { digest: other } = await noise(5)
    const gate = Promise.withResolvers<void>()
    const { bucket, operations } = watchBucket(async (operation, run) => {
      if (operation === 'get') await gate.promise
      return run()
    })
    await inSession(
      async ({ upload, append, close, evict, settle }) => {
        await upload.open()
        await append(bytes)
        evict()
        const offset = bytes.byteLength
        const session = upload
        expect(session).toBe(upload)
        expect(await close(digest)).toEqual(LATER)
        expect(await close(digest)).toEqual(LATER)
        expect(await close(other)).toEqual({ ok: false, reason: 'digest' })
        gate.resolve()
        await settle()
        expect(await close(digest)).toEqual({ ok: true, size: offset })
      },
      { given: { bucket }, limits: { patience: 0 } },
    )
    expect(operations.filter((one) => one === 'get')).toHaveLength(1)
    await expectStored(bytes, digest)
  })

  it('says how far it is, and takes no more', async () => {
    const { bytes, digest } = await noise(PART + 10)
    const gate = Promise.withResolvers<void>()
    const { bucket } = watchBucket(async (operation, run) => {
      if (operation === 'get') await gate.promise
      return run()
    })
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        session.evict()
        expect(await session.close(digest)).toEqual(LATER)
        const offset = bytes.byteLength
        expect(await session.upload.status()).toEqual({ ok: true, offset })
        const refused = { ok: false, reason: 'out-of-order', offset }
        expect(await session.append(bytes)).toEqual(refused)
        expect(await session.upload.append(chunkAt(offset, 5), null)).toEqual(refused)
        gate.resolve()
        await session.settle()
        expect(session.stage()).toBe('done')
      },
      { given: { bucket }, limits: { patience: 0 } },
    )
  })

  it('is taken by the alarm when the object has died over it', async () => {
    const { bytes, digest } = await noise(PART + 10)
    const never = Promise.withResolvers<never>()
    let isDead = false
    const { bucket } = watchBucket((operation, run) =>
      operation === 'get' && !isDead ? never.promise : run(),
    )
    const work: Promise<unknown>[] = []
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        session.evict()
        expect(await session.close(digest)).toEqual(LATER)
        expect(await session.alarmIn(Date.now())).toBeLessThanOrEqual(60_000)
        isDead = true
        session.evict()
        await session.upload.alarm()
        expect(session.stage()).toBe('done')
        expect(await session.close(digest)).toEqual({ ok: true, size: bytes.byteLength })
      },
      {
        given: { bucket, defer: (one) => void work.push(one) },
        limits: { patience: 0 },
      },
    )
    await expectStored(bytes, digest)
  })
})

describe('storage that fails while a session is closed', () => {
  it.each([
    { name: 'a put that did nothing', size: 1000, which: 'put', when: 'before' },
    { name: 'a put whose answer was lost', size: 1000, which: 'put', when: 'after' },
    { name: 'a part', size: PART + 10, which: 'uploadPart', when: 'before' },
    { name: 'a part whose answer was lost', size: PART + 10, which: 'uploadPart', when: 'after' },
    { name: 'a completion', size: PART + 10, which: 'complete', when: 'before' },
    { name: 'a read', size: PART + 10, which: 'get', when: 'before' },
  ] as const)('is asked again by the next PUT, or by the alarm: $name', async (row) => {
    const { bytes, digest } = await noise(row.size)
    for (const isByAlarm of [false, true]) {
      for (const isEvicted of [false, true]) {
        let isClosing = false
        const fail = failing(row.which, row.when)
        const { bucket, open } = watchBucket((operation, run) =>
          isClosing ? fail(operation, run) : run(),
        )
        await inSession(
          async (session) => {
            await session.upload.open()
            await session.append(bytes)
            isClosing = true
            // Otherwise nothing is read.
            if (row.which === 'get') session.evict()
            await expect(session.close(digest)).rejects.toThrow('10001')
            expect(session.log).toEqual(['upload-not-finished'])
            expect(session.stage()).toBe('closing')
            if (isEvicted) session.evict()
            if (isByAlarm) await session.upload.alarm()
            if (isByAlarm) expect(session.stage()).toBe('done')
            expect(await session.close(digest)).toEqual({ ok: true, size: row.size })
          },
          { given: { bucket } },
        )
        expect(open.size).toBe(0)
        await expectStored(bytes, digest)
        await reset()
      }
    }
  })

  it('a completion whose answer was lost is recognised by its size', async () => {
    const { bytes, digest } = await noise(PART + 10)
    const { bucket, operations, open } = watchBucket(failing('complete', 'after'))
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        await append(bytes)
        expect(await close(digest)).toEqual({ ok: true, size: bytes.byteLength })
      },
      { given: { bucket } },
    )
    expect(operations.slice(-2)).toEqual(['complete', 'head'])
    expect(open.size).toBe(0)
    await expectStored(bytes, digest)
  })

  it('a multipart upload that got no part is ended when the bytes need none', async () => {
    const { bytes, digest } = await noise(PART)
    const short = await noise(10)
    const { bucket, open, operations } = watchBucket(failing('uploadPart', 'before'))
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        await append(short.bytes)
        await expect(append(bytes)).rejects.toThrow('10001')
        expect(await upload.status()).toEqual({ ok: true, offset: 10 })
        expect(open.size).toBe(1)
        expect(await close(short.digest)).toEqual({ ok: true, size: 10 })
      },
      { given: { bucket } },
    )
    expect(digest).not.toBe(short.digest)
    expect(operations.slice(-2)).toEqual(['put', 'abort'])
    expect(open.size).toBe(0)
    await expectStored(short.bytes, short.digest)
  })
})

describe('bytes that were handed over', () => {
  it.each([{ which: 'adopt' }, { which: 'hold' }] as const)(
    'are handed over again after a failure of $which',
    async ({ which }) => {
      const { bytes, digest } = await noise(1000)
      for (const when of ['before', 'after']) {
        for (const isByAlarm of [false, true]) {
          let failures = 1
          await inSession(
            async (session) => {
              await session.upload.open()
              await session.append(bytes)
              await expect(session.close(digest)).rejects.toThrow('10001')
              expect(session.stage()).toBe('verified')
              expect(await session.upload.status()).toEqual({ ok: true, offset: 1000 })
              session.evict()
              if (isByAlarm) await session.upload.alarm()
              if (isByAlarm) expect(session.stage()).toBe('done')
              expect(await session.close(digest)).toEqual({ ok: true, size: 1000 })
            },
            {
              change: (given) => ({
                [which]: async (...args: never[]) => {
                  const call: (...args: never[]) => Promise<unknown> = given[which]
                  if (failures-- <= 0) return call(...args)
                  if (when === 'after') await call(...args)
                  return storageIsAway()
                },
              }),
            },
          )
          await expectStored(bytes, digest)
          await reset()
        }
      }
    },
  )

  it.each([
    {
      name: 'not taken',
      refuse: { adopt: async () => ({ ok: false }) as const },
    },
    {
      name: 'taken, and deleted before they belonged to anybody',
      refuse: { hold: async () => ({ ok: false, reason: 'absent' }) as const },
    },
  ])(
    'are $name: the upload is unknown, and no byte is deleted by the session',
    async ({ refuse }) => {
      const { bytes, digest } = await noise(1000)
      const { bucket, operations } = watchBucket()
      await inSession(
        async ({ upload, append, close, storage }) => {
          await upload.open()
          await append(bytes)
          expect(await close(digest)).toEqual({ ok: false, reason: 'unknown' })
          await expectEmpty(storage)
        },
        { given: { bucket, ...refuse } },
      )
      expect(operations).toEqual(['put'])
      expect(await keysIn('hosted/content/')).toHaveLength(1)
    },
  )

  it('of two uploads at once are the same blob: both succeed, one object stays', async () => {
    const { bytes, digest } = await noise(100_000)
    const push = () =>
      inSession(async ({ upload }) => {
        await upload.open()
        return upload.close({ ...STREAM, digest }, bodyOf(piecesOf(bytes, 9999)))
      })
    const want = { ok: true, size: 100_000 }
    expect(await Promise.all([push(), push(), push()])).toEqual([want, want, want])
    await expectStored(bytes, digest)
  })

  it('lie in R2 with its own checksum when they are below a part', async () => {
    const { bytes, digest } = await noise(MiB, 'sha512')
    await inSession(async ({ upload, append, close }) => {
      await upload.open()
      await append(bytes)
      await close(digest)
    })
    const [key] = await keysIn('hosted/content/')
    const object = await env.BLOBS.head(key ?? '')
    expect(`sha512:${object?.checksums.toJSON().sha512}`).toBe(digest)
  })
})
