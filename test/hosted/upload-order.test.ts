// Who may write what where: order, lengths and limits of chunks, bodies that break off, and two requests that want
// the same session.

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import type { Chunk } from '../../src/hosted/upload-session.ts'
import { MiB } from '../support/blob.ts'
import {
  PART,
  STREAM,
  bodyOf,
  chunkAt,
  expectStored,
  heldBody,
  inSession,
  noise,
  piecesOf,
  refusedBody,
  watchBucket,
} from '../support/upload.ts'
import type { Session } from '../support/upload.ts'

afterEach(() => reset())

const offsetOf = async ({ upload }: Session) => {
  const status = await upload.status()
  return status.ok ? status.offset : expect.fail('the session is over')
}

describe('a chunk that does not start where the session ends', () => {
  it.each([
    { name: 'a gap', chunk: chunkAt(11, 5) },
    { name: 'an overlap', chunk: chunkAt(5, 10) },
    { name: 'a replay', chunk: chunkAt(0, 10) },
    { name: 'backwards', chunk: chunkAt(9, 1) },
    {
      name: 'an end before its start',
      chunk: { range: { first: 10, last: 9 }, length: undefined },
    },
    { name: 'an end far before its start', chunk: { range: { first: 10, last: 2 }, length: 5 } },
    { name: 'far away', chunk: chunkAt(Number.MAX_SAFE_INTEGER - 10, 5) },
  ] satisfies { name: string; chunk: Chunk }[])('is refused: $name', async ({ chunk }) => {
    const { bytes, digest } = await noise(30)
    await inSession(async (session) => {
      const { upload, append, close } = session
      await upload.open()
      await append(bytes.subarray(0, 10))
      const want = { ok: false, reason: 'out-of-order', offset: 10 }
      const patched = refusedBody()
      expect(await upload.append(chunk, patched.body)).toEqual(want)
      const put = refusedBody()
      expect(await upload.close({ ...chunk, digest }, put.body)).toEqual(want)
      expect([patched.isDrained(), put.isDrained()]).toEqual([true, true])
      expect(await offsetOf(session)).toBe(10)
      // It survives, and takes the right one.
      await upload.append(chunkAt(10, 20), bodyOf([bytes.subarray(10)]))
      expect(await close(digest)).toEqual({ ok: true, size: 30 })
    })
    await expectStored(bytes, digest)
  })
})

describe('a body that is not what it claims to be', () => {
  it.each([
    { name: 'Content-Length is more than the range', chunk: chunkAt(10, 5, 6) },
    { name: 'Content-Length is less than the range', chunk: chunkAt(10, 5, 4) },
    { name: 'Content-Length says nothing comes', chunk: chunkAt(10, 5, 0) },
  ])('is refused at once when $name', async ({ chunk }) => {
    await inSession(async (session) => {
      await session.upload.open()
      await session.append(new Uint8Array(10))
      const { body, isDrained } = refusedBody()
      const want = { ok: false, reason: 'length', offset: 10 }
      expect(await session.upload.append(chunk, body)).toEqual(want)
      expect(isDrained()).toBe(true)
    })
  })

  it.each([
    { name: 'shorter than the range', chunk: chunkAt(10, 9, undefined) },
    { name: 'longer than the range', chunk: chunkAt(10, 7, undefined) },
    { name: 'shorter than Content-Length', chunk: { range: undefined, length: 9 } },
    { name: 'longer than Content-Length', chunk: { range: undefined, length: 7 } },
    { name: 'absent', chunk: chunkAt(10, 3), pieces: [] },
  ])('leaves no byte when it is $name', async ({ chunk, pieces }) => {
    const { bytes, digest } = await noise(18)
    await inSession(async (session) => {
      const { upload, append, close } = session
      await upload.open()
      await append(bytes.subarray(0, 10))
      const body = bodyOf(pieces ?? piecesOf(bytes.subarray(10), 3))
      const want = { ok: false, reason: 'length', offset: 10 }
      expect(await upload.append(chunk, pieces === undefined ? body : null)).toEqual(want)
      const again = bodyOf(piecesOf(bytes.subarray(10), 3))
      if (pieces === undefined) {
        expect(await upload.close({ ...chunk, digest }, again)).toEqual(want)
      }
      expect(await offsetOf(session)).toBe(10)
      await append(bytes.subarray(10))
      expect(await close(digest)).toEqual({ ok: true, size: 18 })
    })
    await expectStored(bytes, digest)
  })

  it('commits whole parts at most, and never more than its range', async () => {
    const { bytes, digest } = await noise(2 * PART)
    await inSession(async (session) => {
      const { upload, append, close } = session
      await upload.open()
      const chunk = chunkAt(0, PART + 10, undefined)
      const want = { ok: false, reason: 'length', offset: PART }
      expect(await upload.append(chunk, bodyOf(piecesOf(bytes, MiB)))).toEqual(want)
      expect(await offsetOf(session)).toBe(PART)
      await append(bytes.subarray(PART))
      expect(await close(digest)).toMatchObject({ ok: true })
    })
    await expectStored(bytes, digest)
  })
})

describe('an upload that becomes too large', () => {
  const limits = { maxParts: 2, partSize: 1000 }
  const want = { ok: false, reason: 'too-large', limit: 2000 }

  it.each([
    { name: 'Content-Length', chunk: { range: undefined, length: 2001 } },
    { name: 'Content-Range', chunk: chunkAt(0, 2001, undefined) },
  ])('is refused at once when $name says so', async ({ chunk }) => {
    await inSession(
      async ({ upload }) => {
        await upload.open()
        const { body, isDrained } = refusedBody()
        expect(await upload.append(chunk, body)).toEqual(want)
        expect(isDrained()).toBe(true)
      },
      { limits },
    )
  })

  it('counts what is there', async () => {
    await inSession(
      async (session) => {
        await session.upload.open()
        await session.append(new Uint8Array(500))
        const { body, isDrained } = refusedBody()
        expect(await session.upload.append({ ...STREAM, length: 1501 }, body)).toEqual(want)
        expect(isDrained()).toBe(true)
      },
      { limits },
    )
  })

  it.each([
    { name: 'in one chunk', size: 5000 },
    { name: 'in many', size: 7 },
  ])('is refused when its bytes say so, $name', async ({ size }) => {
    const { bucket, operations } = watchBucket()
    await inSession(
      async (session) => {
        await session.upload.open()
        const body = bodyOf(piecesOf(new Uint8Array(5000), size))
        expect(await session.upload.append(STREAM, body)).toEqual(want)
        expect(await offsetOf(session)).toBeLessThanOrEqual(2000)
        expect(operations.filter((one) => one === 'uploadPart').length).toBeLessThanOrEqual(2)
        await session.upload.cancel()
      },
      { limits, given: { bucket } },
    )
  })

  it('is taken up to the limit, exactly', async () => {
    const { bytes, digest } = await noise(2 * PART)
    await inSession(
      async ({ upload, append, close }) => {
        await upload.open()
        expect(await append(bytes)).toEqual({ ok: true, offset: 2 * PART })
        expect(await append(new Uint8Array(1))).toMatchObject({ reason: 'too-large' })
        expect(await close(digest)).toMatchObject({ ok: true })
      },
      { limits: { maxParts: 2 } },
    )
    await expectStored(bytes, digest)
  })
})

describe('a body that breaks off', () => {
  it.each([
    { name: 'in the tail', at: 12_345 },
    { name: 'after a part', at: PART },
    { name: 'between parts', at: 2 * PART + 77 },
    { name: 'before anything', at: 0 },
  ])('$name leaves what has arrived, and the client goes on', async ({ at }) => {
    const { bytes, digest } = await noise(2 * PART + MiB)
    await inSession(async (session) => {
      const { upload, append, close } = session
      await upload.open()
      const cut = bodyOf(piecesOf(bytes.subarray(0, at), 100_000), true)
      const answer = await upload.append(chunkAt(0, bytes.byteLength), cut)
      expect(answer).toEqual({ ok: false, reason: 'cut', offset: at })
      expect(await offsetOf(session)).toBe(at)
      session.evict()
      expect(await offsetOf(session)).toBe(at)
      await append(bytes.subarray(at))
      expect(await close(digest)).toMatchObject({ ok: true })
    })
    await expectStored(bytes, digest)
  })

  it('does not close the session when it comes with the PUT', async () => {
    const { bytes, digest } = await noise(1000)
    await inSession(async (session) => {
      const { upload } = session
      await upload.open()
      const cut = bodyOf([bytes.subarray(0, 400)], true)
      expect(await upload.close({ ...STREAM, digest }, cut)).toEqual({
        ok: false,
        reason: 'cut',
        offset: 400,
      })
      expect(session.stage()).toBe('open')
      const rest = bodyOf([bytes.subarray(400)])
      expect(await upload.close({ ...chunkAt(400, 600), digest }, rest)).toMatchObject({ ok: true })
    })
    await expectStored(bytes, digest)
  })
})

describe('two requests for one session', () => {
  it('without Content-Range: the second is refused with the committed offset', async () => {
    const { bytes, digest } = await noise(30)
    await inSession(async (session) => {
      const { upload, append, close } = session
      await upload.open()
      await append(bytes.subarray(0, 10))
      const held = heldBody()
      const first = upload.append(STREAM, held.body)
      held.send(bytes.subarray(10, 20))
      const want = { ok: false, reason: 'out-of-order', offset: 10 }
      const { body, isDrained } = refusedBody()
      expect(await upload.append(STREAM, body)).toEqual(want)
      expect(isDrained()).toBe(true)
      expect(await upload.close({ ...STREAM, digest }, null)).toEqual(want)
      expect(await offsetOf(session)).toBe(10)
      held.send(bytes.subarray(20))
      held.end()
      expect(await first).toEqual({ ok: true, offset: 30 })
      expect(await close(digest)).toMatchObject({ ok: true })
    })
    await expectStored(bytes, digest)
  })

  it('with Content-Range at the committed offset: the second takes over, though the first hangs', async () => {
    const { bytes, digest } = await noise(30)
    await inSession(async ({ upload, append }) => {
      await upload.open()
      await append(bytes.subarray(0, 10))
      const held = heldBody()
      const first = upload.append(chunkAt(10, 20), held.body)
      held.send(new Uint8Array(15))
      const second = upload.close(
        { ...chunkAt(10, 20), digest },
        bodyOf(piecesOf(bytes.subarray(10), 4)),
      )
      expect((await first).ok).toBe(false)
      expect(await first).toMatchObject({ reason: 'out-of-order' })
      await held.cancelled
      expect(await second).toEqual({ ok: true, size: 30 })
    })
    await expectStored(bytes, digest)
  })

  it('a request that is refused for its headers takes nothing over', async () => {
    const { bytes } = await noise(30)
    await inSession(async ({ upload, append }) => {
      await upload.open()
      await append(bytes.subarray(0, 10))
      const held = heldBody()
      const first = upload.append(STREAM, held.body)
      for (const chunk of [chunkAt(9, 5), chunkAt(10, 5, 6), chunkAt(10, PART * 10_000)]) {
        expect(await upload.append(chunk, null)).toMatchObject({ ok: false })
      }
      held.send(bytes.subarray(10))
      held.end()
      expect(await first).toEqual({ ok: true, offset: 30 })
    })
  })

  it('the second waits for the part of the first, which then is nobody’s', async () => {
    const { bytes, digest } = await noise(2 * PART + 3)
    const wrong = new Uint8Array(PART + 5)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    let parts = 0
    const { bucket, operations } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart' && parts++ === 0) {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    await inSession(
      async (session) => {
        const { upload, close } = session
        await upload.open()
        const held = heldBody()
        const first = upload.append(chunkAt(0, 2 * PART), held.body)
        held.send(wrong)
        await begun.promise
        const second = upload.append(chunkAt(0, bytes.byteLength), bodyOf(piecesOf(bytes, MiB)))
        let isDone = false
        void second.then(() => (isDone = true))
        expect(await offsetOf(session)).toBe(0)
        expect(operations.filter((one) => one === 'uploadPart')).toHaveLength(1)
        expect(isDone).toBe(false)
        gate.resolve()
        expect(await first).toMatchObject({ reason: 'out-of-order' })
        expect(await second).toEqual({ ok: true, offset: bytes.byteLength })
        expect(await close(digest)).toMatchObject({ ok: true })
      },
      { given: { bucket } },
    )
    await expectStored(bytes, digest)
  })

  it('the second is told to come later when storage does not let the first go', async () => {
    const { bytes, digest } = await noise(PART + 5)
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    let parts = 0
    const { bucket } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart' && parts++ === 0) {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    await inSession(
      async ({ upload, close, settle }) => {
        await upload.open()
        const first = upload.append(STREAM, bodyOf([bytes]))
        await begun.promise
        const chunk = chunkAt(0, bytes.byteLength)
        const later = { ok: false, reason: 'later', retryAfter: 10 }
        expect(await upload.append(chunk, bodyOf([bytes]))).toEqual(later)
        expect(await upload.append(chunk, bodyOf([bytes]))).toEqual(later)
        expect(await upload.append(STREAM, null)).toMatchObject({ reason: 'out-of-order' })
        gate.resolve()
        expect(await first).toMatchObject({ reason: 'out-of-order' })
        await settle()
        expect(await upload.append(chunk, bodyOf([bytes]))).toMatchObject({ ok: true })
        expect(await close(digest)).toMatchObject({ ok: true })
      },
      { given: { bucket }, limits: { patience: 10 } },
    )
    await expectStored(bytes, digest)
  })

  it('the second looks again when it is its turn', async () => {
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { bucket } = watchBucket(async (operation, run) => {
      if (operation === 'uploadPart') {
        begun.resolve()
        await gate.promise
      }
      return run()
    })
    await inSession(
      async ({ upload, storage }) => {
        await upload.open()
        const first = upload.append(STREAM, bodyOf([new Uint8Array(PART)]))
        await begun.promise
        const second = upload.append(chunkAt(0, 5), bodyOf([new Uint8Array(5)]))
        // Nothing of today's code does this while it ends.
        storage.sql.exec('UPDATE session SET committed = 3')
        gate.resolve()
        const want = { ok: false, reason: 'out-of-order', offset: 3 }
        expect(await Promise.all([first, second])).toEqual([want, want])
        await upload.cancel()
      },
      { given: { bucket } },
    )
  })

  it.each([2, 5])(
    'of %i at one offset exactly one wins, and its bytes are the right ones',
    async (count) => {
      const { bytes, digest } = await noise(PART + 1000)
      await inSession(async (session) => {
        const { upload, close } = session
        await upload.open()
        const answers = await Promise.all(
          Array.from({ length: count }, () =>
            upload.append(chunkAt(0, bytes.byteLength), bodyOf(piecesOf(bytes, 333_333))),
          ),
        )
        expect(answers.filter(({ ok }) => ok)).toEqual([{ ok: true, offset: bytes.byteLength }])
        for (const answer of answers.filter(({ ok }) => !ok)) {
          expect(answer).toMatchObject({ reason: 'out-of-order' })
        }
        expect(await close(digest)).toEqual({ ok: true, size: bytes.byteLength })
      })
      await expectStored(bytes, digest)
    },
  )

  it('the status is the committed offset while a body is on its way', async () => {
    const { bytes } = await noise(PART + 10)
    const stored = Promise.withResolvers<void>()
    const { bucket } = watchBucket(async (operation, run) => {
      const value = await run()
      if (operation === 'uploadPart') stored.resolve()
      return value
    })
    await inSession(
      async (session) => {
        const { upload } = session
        await upload.open()
        const held = heldBody()
        const appending = upload.append(STREAM, held.body)
        held.send(bytes.subarray(0, PART - 1))
        expect(await offsetOf(session)).toBe(0)
        held.send(bytes.subarray(PART - 1, PART + 5))
        await stored.promise
        await expect.poll(() => offsetOf(session)).toBe(PART)
        held.send(bytes.subarray(PART + 5))
        held.end()
        expect(await appending).toEqual({ ok: true, offset: PART + 10 })
        expect(await offsetOf(session)).toBe(PART + 10)
        await upload.cancel()
      },
      { given: { bucket } },
    )
  })
})
