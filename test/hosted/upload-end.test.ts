// How a session ends that did not become a blob: cancelled, abandoned, or given up after it failed for too long.
// Its bytes go with it, those that became somebody else's stay, and a session that is not there leaves no trace.

import { reset, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { keysIn } from '../support/blob.ts'
import { broken, storageIsAway } from '../support/broken.ts'
import { DAY, HOUR, MINUTE } from '../support/clock.ts'
import {
  PART,
  STREAM,
  bodyOf,
  chunkAt,
  expectEmpty,
  expectNothingStored,
  expectStored,
  heldBody,
  inSession,
  noise,
  watchBucket,
} from '../support/upload.ts'
import type { Session, SessionOptions } from '../support/upload.ts'

afterEach(() => reset())

const UNKNOWN = { ok: false, reason: 'unknown' }

/** A session whose clock the test moves. */
function clocked(options: SessionOptions = {}) {
  let now = 1_900_000_000_000
  return {
    options: { ...options, given: { ...options.given, now: () => now } },
    advance: (milliseconds: number) => {
      now += milliseconds
    },
    now: () => now,
  }
}

describe('a session that there is not', () => {
  it.each([
    { name: 'PATCH', ask: ({ append }: Session) => append(new Uint8Array(5)), want: UNKNOWN },
    {
      name: 'PATCH with Content-Range',
      ask: ({ upload }: Session) => upload.append(chunkAt(0, 5), bodyOf([new Uint8Array(5)])),
      want: UNKNOWN,
    },
    {
      name: 'PUT',
      ask: async ({ upload }: Session) => {
        const { bytes, digest } = await noise(5)
        return upload.close({ ...STREAM, digest }, bodyOf([bytes]))
      },
      want: UNKNOWN,
    },
    { name: 'GET', ask: ({ upload }: Session) => upload.status(), want: UNKNOWN },
    { name: 'DELETE', ask: ({ upload }: Session) => upload.cancel(), want: false },
    { name: 'an alarm', ask: ({ upload }: Session) => upload.alarm(), want: undefined },
  ])('is unknown to $name, and nothing is written', async ({ ask, want }) => {
    const { bucket, operations } = watchBucket()
    await inSession(
      async (session) => {
        expect(await ask(session)).toEqual(want)
        await expectEmpty(session.storage)
        // Nor does it begin by that.
        expect(await ask(session)).toEqual(want)
      },
      { given: { bucket } },
    )
    expect(operations).toEqual([])
  })

  it('is one that was opened, and nothing of it is in R2', async () => {
    const { bucket, operations } = watchBucket()
    const { options, now } = clocked({ given: { bucket } })
    await inSession(async ({ upload, alarmIn }) => {
      await upload.open()
      expect(await upload.status()).toEqual({ ok: true, offset: 0 })
      expect(await alarmIn(now())).toBe(DAY)
      // An answer that was lost: the session is the same.
      await upload.open()
      expect(await upload.status()).toEqual({ ok: true, offset: 0 })
    }, options)
    expect(operations).toEqual([])
  })
})

describe('a session that is cancelled', () => {
  it.each([
    { name: 'empty', size: 0, operations: [] },
    { name: 'below a part', size: 1000, operations: [] },
    { name: 'of parts', size: PART + 9, operations: ['create', 'uploadPart', 'abort'] },
  ])('leaves nothing: $name', async ({ size, operations }) => {
    const { bytes } = await noise(size)
    for (const isEvicted of [false, true]) {
      const watched = watchBucket()
      await inSession(
        async (session) => {
          await session.upload.open()
          await session.append(bytes)
          if (isEvicted) session.evict()
          expect(await session.upload.cancel()).toBe(true)
          await expectEmpty(session.storage)
          expect(await session.upload.cancel()).toBe(false)
          expect(await session.append(bytes)).toEqual(UNKNOWN)
          await expectEmpty(session.storage)
        },
        { given: { bucket: watched.bucket } },
      )
      expect(watched.operations).toEqual(operations)
      expect(watched.open.size).toBe(0)
    }
  })

  it('ends while a PATCH holds it, which commits nothing more', async () => {
    const { bytes } = await noise(PART + 9)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { bucket, open } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart') {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    await inSession(
      async ({ upload, append, storage }) => {
        await upload.open()
        const held = heldBody()
        const appending = upload.append(STREAM, held.body)
        held.send(bytes)
        await begun.promise
        const cancelling = upload.cancel()
        // Decided, though not done.
        expect(await upload.status()).toEqual(UNKNOWN)
        expect(await append(bytes)).toEqual(UNKNOWN)
        expect(await upload.append(chunkAt(0, 5), null)).toEqual(UNKNOWN)
        gate.resolve()
        expect(await cancelling).toBe(true)
        expect(await appending).toEqual(UNKNOWN)
        await held.cancelled
        await expectEmpty(storage)
      },
      { given: { bucket } },
    )
    expect(open.size).toBe(0)
  })

  it('is not closed by a PUT whose body ends in that moment', async () => {
    const { bytes, digest } = await noise(1000)
    const gate = Promise.withResolvers<void>()
    let isOpened = false
    await inSession(
      async ({ upload, storage }) => {
        await upload.open()
        isOpened = true
        const held = heldBody()
        const closing = upload.close({ ...STREAM, digest }, held.body)
        await held.asked
        const cancelling = upload.cancel()
        held.send(bytes)
        held.end()
        // The body has ended by then.
        await new Promise((resolve) => setTimeout(resolve, 0))
        gate.resolve()
        expect(await cancelling).toBe(true)
        expect(await closing).toEqual(UNKNOWN)
        await expectEmpty(storage)
      },
      {
        change: ({ storage }) => ({
          storage: broken(storage, {
            setAlarm: async (at: number) => {
              await storage.setAlarm(at)
              if (isOpened) await gate.promise
            },
          }),
        }),
      },
    )
    await expectNothingStored()
  })

  it('is left to the alarm when storage is away', async () => {
    const { bytes } = await noise(PART)
    let isAway = true
    const { bucket, open } = watchBucket((operation, run) =>
      operation === 'abort' && isAway ? storageIsAway() : run(),
    )
    const { options, advance, now } = clocked({ given: { bucket } })
    await inSession(async (session) => {
      await session.upload.open()
      await session.append(bytes)
      expect(await session.upload.cancel()).toBe(true)
      expect(session.stage()).toBe('over')
      expect(await session.upload.status()).toEqual(UNKNOWN)
      expect(await session.alarmIn(now())).toBe(MINUTE)
      advance(MINUTE)
      session.evict()
      await session.upload.alarm()
      expect(await session.alarmIn(now())).toBe(MINUTE)
      isAway = false
      advance(MINUTE)
      await session.upload.alarm()
      await expectEmpty(session.storage)
    }, options)
    expect(open.size).toBe(0)
  })

  it('is over at once though storage stands still', async () => {
    const { bytes } = await noise(PART)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { bucket, open } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart') {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    await inSession(
      async ({ upload, storage, settle }) => {
        await upload.open()
        const appending = upload.append(STREAM, bodyOf([bytes]))
        await begun.promise
        expect(await upload.cancel()).toBe(true)
        expect(await upload.status()).toEqual(UNKNOWN)
        gate.resolve()
        expect(await appending).toEqual(UNKNOWN)
        await settle()
        await expectEmpty(storage)
      },
      { given: { bucket }, limits: { patience: 10 } },
    )
    expect(open.size).toBe(0)
  })

  it('is unharmed by a multipart upload that R2 has ended itself', async () => {
    const { bytes } = await noise(PART)
    const { bucket } = watchBucket((operation, run) => {
      if (operation !== 'abort') return run()
      throw new Error('abort: The specified multipart upload does not exist. (10024)')
    })
    await inSession(
      async ({ upload, append, storage }) => {
        await upload.open()
        await append(bytes)
        expect(await upload.cancel()).toBe(true)
        await expectEmpty(storage)
      },
      { given: { bucket } },
    )
  })

  it.each([
    { name: 'while its bytes are put', at: 'put', size: 1000, isEvicted: false },
    { name: 'while they become one object', at: 'complete', size: PART + 9, isEvicted: false },
    { name: 'while they do, not verified yet', at: 'complete', size: PART + 9, isEvicted: true },
    { name: 'while they are read', at: 'get', size: PART + 9, isEvicted: true },
  ])('ends a PUT $name', async ({ at, size, isEvicted }) => {
    const { bytes, digest } = await noise(size)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { bucket, open } = watchBucket(async (operation, run) => {
      if (operation === at) {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    let adoptions = 0
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        if (isEvicted) session.evict()
        const closing = session.close(digest)
        await begun.promise
        const cancelling = session.upload.cancel()
        gate.resolve()
        expect(await cancelling).toBe(true)
        expect(await closing).toEqual(UNKNOWN)
        await expectEmpty(session.storage)
      },
      { given: { bucket }, change: counting(() => (adoptions += 1)) },
    )
    expect(adoptions).toBe(0)
    expect(open.size).toBe(0)
    await expectNothingStored()
  })

  it.each([
    { name: 'before it was taken', when: 'before', stored: 0 },
    { name: 'after it was taken', when: 'after', stored: 1 },
  ])('asks whose the bytes are when a hand-over failed $name', async ({ when, stored }) => {
    const { bytes, digest } = await noise(1000)
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        await expect(session.close(digest)).rejects.toThrow('10001')
        expect(await session.upload.cancel()).toBe(true)
        expect(await session.close(digest)).toEqual(UNKNOWN)
        await expectEmpty(session.storage)
      },
      {
        change: ({ adopt }) => ({
          adopt: async (of, content) => {
            if (when === 'after') await adopt(of, content)
            return storageIsAway()
          },
        }),
      },
    )
    expect(await keysIn('hosted/content/')).toHaveLength(stored)
  })

  it('never deletes what is being taken at that moment', async () => {
    const { bytes, digest } = await noise(1000)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        const closing = session.close(digest)
        await begun.promise
        const cancelling = session.upload.cancel()
        expect(session.stage()).toBe('disowning')
        gate.resolve()
        expect(await cancelling).toBe(true)
        expect(await closing).toEqual(UNKNOWN)
        await expectEmpty(session.storage)
      },
      {
        change: ({ adopt }) => ({
          adopt: async (of, content) => {
            begun.resolve()
            await gate.promise
            return adopt(of, content)
          },
        }),
      },
    )
    await expectStored(bytes, digest)
  })

  it('asks again whose the bytes are when nobody answers', async () => {
    const { bytes, digest } = await noise(1000)
    let isAway = true
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(bytes)
        await expect(session.close(digest)).rejects.toThrow('10001')
        expect(await session.upload.cancel()).toBe(true)
        expect(session.stage()).toBe('disowning')
        expect(await keysIn('hosted/content/')).toHaveLength(1)
        isAway = false
        session.evict()
        await session.upload.alarm()
        await expectEmpty(session.storage)
      },
      {
        change: ({ disown }) => ({
          adopt: storageIsAway,
          disown: (of, id) => (isAway ? storageIsAway() : disown(of, id)),
        }),
      },
    )
    await expectNothingStored()
  })
})

describe('a session that nobody uses', () => {
  it.each([
    { name: 'empty', size: 0 },
    { name: 'below a part', size: 1000 },
    { name: 'of parts', size: PART + 9 },
  ])('ends after a day, and not before: $name', async ({ size }) => {
    const { bytes } = await noise(size)
    const { bucket, open } = watchBucket()
    const { options, advance, now } = clocked({ given: { bucket } })
    await inSession(async (session) => {
      await session.upload.open()
      advance(HOUR)
      await session.append(bytes)
      advance(23 * HOUR)
      // The alarm of the first day: the body came an hour later.
      await session.upload.alarm()
      expect(await session.upload.status()).toEqual({ ok: true, offset: size })
      expect(await session.alarmIn(now())).toBe(HOUR)
      advance(HOUR - 1)
      await session.upload.alarm()
      expect(await session.alarmIn(now())).toBe(1)
      advance(1)
      await session.upload.alarm()
      await expectEmpty(session.storage)
      expect(await session.upload.status()).toEqual(UNKNOWN)
    }, options)
    expect(open.size).toBe(0)
    await expectNothingStored()
  })

  it('ends though a PATCH holds it that sends nothing', async () => {
    const { options, advance } = clocked()
    await inSession(async ({ upload, storage }) => {
      await upload.open()
      const held = heldBody()
      const appending = upload.append(STREAM, held.body)
      advance(DAY)
      await upload.alarm()
      expect(await appending).toEqual(UNKNOWN)
      await held.cancelled
      await expectEmpty(storage)
    }, options)
  })

  it('is kept for an hour when it is done, for whoever repeats the PUT', async () => {
    const { bytes, digest } = await noise(1000)
    const { options, advance, now } = clocked()
    await inSession(async ({ upload, append, close, storage, alarmIn, evict }) => {
      await upload.open()
      await append(bytes)
      await close(digest)
      expect(await alarmIn(now())).toBe(HOUR)
      advance(HOUR - 1)
      await upload.alarm()
      expect(await close(digest)).toEqual({ ok: true, size: 1000 })
      advance(1)
      evict()
      await upload.alarm()
      await expectEmpty(storage)
      expect(await close(digest)).toEqual(UNKNOWN)
    }, options)
    await expectStored(bytes, digest)
  })

  it.each([
    { name: 'stored', size: 1000, at: 'put', operations: ['delete'] },
    { name: 'made one object', size: PART + 9, at: 'complete', operations: ['abort', 'delete'] },
    { name: 'read', size: PART + 9, at: 'get', operations: ['abort', 'delete'] },
  ])('is given up when its bytes could not be $name for a day', async (row) => {
    const { bytes, digest } = await noise(row.size)
    const { bucket, open, operations } = watchBucket((operation, run) =>
      operation === row.at ? storageIsAway() : run(),
    )
    const { options, advance, now } = clocked({ given: { bucket } })
    await inSession(async (session) => {
      await session.upload.open()
      await session.append(bytes)
      session.evict()
      await expect(session.close(digest)).rejects.toThrow('10001')
      expect(session.stage()).toBe('closing')
      advance(DAY - 1)
      await session.upload.alarm()
      expect(session.stage()).toBe('closing')
      expect(session.log).toContain('upload-alarm-failed')
      expect(await session.alarmIn(now())).toBe(MINUTE)
      advance(1)
      await session.upload.alarm()
      await expectEmpty(session.storage)
    }, options)
    expect(operations.slice(-row.operations.length)).toEqual(row.operations)
    expect(open.size).toBe(0)
    await expectNothingStored()
  })

  it.each([
    { name: 'not taken', which: 'adopt', when: 'before', stored: 0 },
    { name: 'taken', which: 'adopt', when: 'after', stored: 1 },
    { name: 'taken, and nobody’s yet', which: 'hold', when: 'before', stored: 1 },
  ] as const)(
    'asks whose its bytes are when the hand-over failed for a day: $name',
    async (row) => {
      const { bytes, digest } = await noise(1000)
      const { options, advance } = clocked()
      await inSession(
        async (session) => {
          await session.upload.open()
          await session.append(bytes)
          await expect(session.close(digest)).rejects.toThrow('10001')
          advance(DAY - 1)
          await session.upload.alarm()
          expect(session.stage()).toBe('verified')
          advance(1)
          await session.upload.alarm()
          await expectEmpty(session.storage)
        },
        {
          ...options,
          change: (given) => ({
            [row.which]: async (...args: never[]) => {
              const call: (...args: never[]) => Promise<unknown> = given[row.which]
              if (row.when === 'after') await call(...args)
              return storageIsAway()
            },
          }),
        },
      )
      expect(await keysIn('hosted/content/')).toHaveLength(row.stored)
    },
  )

  it('is woken by a real alarm, which knows nothing of it but its rows', async () => {
    const { bytes } = await noise(PART + 9)
    const { bucket, open } = watchBucket()
    const name = crypto.randomUUID()
    await inSession(
      async ({ upload, append, storage }) => {
        await upload.open()
        await append(bytes)
        storage.sql.exec('UPDATE session SET active_at = active_at - ?', DAY)
      },
      { given: { bucket } },
      name,
    )
    expect(open.size).toBe(1)
    const stub = env.UPLOAD_SESSION.getByName(`hosted/a ${name}`)
    expect(await runDurableObjectAlarm(stub)).toBe(true)
    await inSession(({ storage }) => expectEmpty(storage), {}, name)
    await expectNothingStored()
  })
})

function counting(count: () => void): NonNullable<SessionOptions['change']> {
  return ({ adopt }) => ({
    adopt: (digest, content) => {
      count()
      return adopt(digest, content)
    },
  })
}
