// Imports that are longer than a step, or whose object dies: what has arrived is kept, and nothing is left over when
// they are ended.

import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { isOver } from '../../src/jobs/job.ts'
import { MiB } from '../support/blob.ts'
import { SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { digestAt, hosted, lines, orderOf, runImport } from '../support/import-job.ts'
import { goOnline, startUpstream } from '../support/internet.ts'

const ORDER = { from: 'https://old.example/', repositories: ['team/app'], to: 'hosted/team' }
const TARGET = 'hosted/team/app'
/** More than a part of an upload. */
const LARGE = 12 * MiB
const PIECE = 32 * 1024

let upstream: SampleUpstream
let clock: Clock

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'old.example': upstream, 'one.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** An image with one large layer. */
async function addLarge(size = LARGE) {
  const image = await sampleImage({ layers: [size] })
  await addSample(upstream, 'team/app', image, '1.0')
  const layer = image.blobs[1] ?? expect.fail('no layer')
  const GETs = () => upstream.requests.filter(({ reference }) => reference === layer.digest)
  return { image, layer, GETs, on: { kind: 'blob', reference: layer.digest } as const }
}

/** A body in the middle of which the step's time is over; it is asked twice for a piece of 64 KiB. */
function slow(after: number): Fault {
  let sent = 0
  return {
    allow: () => {
      if (sent <= after && sent + PIECE > after) clock.advance(61 * SECOND)
      sent += PIECE
      return Infinity
    },
  }
}

async function expectStored({ layer, image }: Awaited<ReturnType<typeof addLarge>>): Promise<void> {
  const question = { wants: 'bytes', range: undefined } as const
  const answer = await hosted(TARGET).blobs.get(layer.digest, question)
  expect(answer.ok && (await new Response(answer.body).bytes())).toEqual(layer.bytes)
  expect(await digestAt(TARGET, '1.0')).toBe(image.digest)
}

describe('a blob that takes longer than a step', () => {
  it('goes on in the next one, from the byte at which it was', async () => {
    const large = await addLarge()
    upstream.fault({ on: large.on, times: 1, do: slow(9 * MiB) })
    const { id, status: before } = await runImport(ORDER, { steps: 2 })
    expect(before).toMatchObject({ state: 'running', result: { copied: 0 } })
    const { status } = await runImport(ORDER, { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 0 } })
    await expectStored(large)
    const [first, second, ...more] = large.GETs()
    expect(first?.headers['range']).toBeUndefined()
    const offset = Number(/^bytes=(\d+)-$/.exec(second?.headers['range'] ?? '')?.[1])
    expect(offset).toBeGreaterThan(8 * MiB)
    expect(second?.sent).toBe(LARGE - offset)
    expect(more).toEqual([])
    expect(status.result['bytes']).toBe(
      [large.image, ...large.image.blobs].reduce((sum, { bytes }) => sum + bytes.length, 0),
    )
  })

  it('is read from its beginning where the registry knows no ranges', async () => {
    const large = await addLarge()
    upstream.fault({ on: large.on, times: 1, do: slow(9 * MiB) })
    upstream.fault({ on: large.on, do: { ignoreRange: true } })
    const { id } = await runImport(ORDER, { steps: 2 })
    const { status } = await runImport(ORDER, { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1 } })
    await expectStored(large)
    expect(large.GETs().at(-1)?.sent).toBe(LARGE)
  })

  it('begins anew where its upload has ended meanwhile', async () => {
    const large = await addLarge()
    upstream.fault({ on: large.on, times: 1, do: slow(9 * MiB) })
    const { id } = await runImport(ORDER, {
      steps: 2,
      look: async ({ sql }) => {
        const { session } = sql
          .exec<{ session: string }>('SELECT session FROM import_uploads')
          .one()
        expect(await hosted(TARGET).upload(session).cancel()).toBe(true)
      },
    })
    const { status } = await runImport(ORDER, { id })
    expect(status.state).toBe('done')
    await expectStored(large)
    expect(large.GETs().at(-1)?.headers['range']).toBeUndefined()
  })

  it('that is cut short by its registry is tried again from there', async () => {
    const large = await addLarge()
    // Whatever a client of an upstream tries by itself is cut as well.
    upstream.fault({ on: large.on, times: 4, do: { truncateAt: 2 * MiB } })
    const { id, status: before } = await runImport(ORDER)
    expect(before).toMatchObject({ state: 'waiting', until: clock.now() + 5 * SECOND })
    clock.advance(5 * SECOND)
    const { status } = await runImport(ORDER, { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 0 } })
    await expectStored(large)
  })
})

describe('a job whose object dies in the middle of a blob', () => {
  it('goes on with the same upload', async () => {
    vi.mocked(Date.now).mockRestore()
    const image = await sampleImage({ layers: [LARGE] })
    await addSample(upstream, 'team/app', image, '1.0')
    const layer = image.blobs[1] ?? expect.fail('no layer')
    const { promise, resolve } = Promise.withResolvers<void>()
    const on = { kind: 'blob', reference: layer.digest } as const
    upstream.fault({ on, do: { hold: promise, after: 11 * MiB } })
    const id = `import-${crypto.randomUUID()}`
    const stub = () => env.JOB.getByName(id)
    const to = `${TARGET}:1.0`
    await stub().start(id, orderOf({ images: [{ from: 'one.test/team/app:1.0', to }] }), 'root')
    const session = (): Promise<string | undefined> =>
      runInDurableObject(stub(), (_, { storage }) => {
        const tables = storage.sql.exec(`SELECT 1 FROM sqlite_master WHERE name = 'import_uploads'`)
        if (tables.toArray().length === 0) return undefined
        const rows = storage.sql.exec<{ session: string }>(
          'SELECT session FROM import_uploads WHERE digest = ?',
          layer.digest,
        )
        return rows.toArray()[0]?.session
      })
    const committed = async (): Promise<number> => {
      const known = await session()
      const status = known && (await hosted(TARGET).upload(known).status())
      return status && status.ok ? status.offset : 0
    }
    await vi.waitFor(async () => expect(await committed()).toBeGreaterThanOrEqual(8 * MiB), {
      timeout: 20_000,
      interval: 50,
    })
    const before = await session()
    await runInDurableObject(stub(), (_, state) => state.abort()).catch(() => undefined)
    resolve()
    await vi.waitFor(
      async () => {
        const status = await stub().status()
        if (status !== undefined && !isOver(status.state)) await runDurableObjectAlarm(stub())
        if (status !== undefined && !isOver(status.state)) expect(await session()).toBe(before)
        expect((await stub().status())?.state).toBe('done')
      },
      { timeout: 25_000, interval: 200 },
    )
    expect(await stub().status()).toMatchObject({ result: { copied: 1, failed: 0 } })
    // It has become the blob: had another one, this would still be open.
    const ended = await hosted(TARGET)
      .upload(before ?? '')
      .status()
    expect(ended).toEqual({ ok: false, reason: 'unknown' })
    expect(await digestAt(TARGET, '1.0')).toBe(image.digest)
    expect(upstream.count({ ...on, method: 'GET' })).toBe(1)
  })
})

describe('an import of many images', () => {
  it('goes on with those that are left', async () => {
    const tags = ['1', '2', '3', '4', '5', '6', '7', '8']
    for (const [index, tag] of tags.entries()) {
      await addSample(upstream, 'team/app', await sampleImage({ seed: index + 1 }), tag)
    }
    upstream.fault({ on: { kind: 'manifest', reference: '5' }, times: 1, do: slow(0) })
    const { id, status: before } = await runImport(ORDER, { steps: 2 })
    expect(before.state).toBe('running')
    const done = before.progress.done
    expect(done).toBeGreaterThan(0)
    expect(done).toBeLessThan(8)
    upstream.forget()
    const { status, report } = await runImport(ORDER, { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 8, failed: 0 } })
    expect(lines(report)).toEqual(tags.map((tag) => `copied ${TARGET}:${tag}`))
    // What was done is not asked about again.
    for (const tag of ['1', '2']) expect(upstream.count({ reference: tag })).toBe(0)
  })
})

describe('a job that is cancelled', () => {
  it('leaves no upload', async () => {
    const large = await addLarge()
    upstream.fault({ on: large.on, times: 1, do: slow(9 * MiB) })
    const sessions: string[] = []
    const { id } = await runImport(ORDER, {
      steps: 2,
      look: ({ sql }) => {
        for (const { session } of sql.exec<{ session: string }>(
          'SELECT session FROM import_uploads',
        ))
          sessions.push(session)
      },
    })
    expect(sessions).toHaveLength(1)
    await runImport(ORDER, { id, steps: 0, look: async (_, run) => void (await run.cancel()) })
    for (const session of sessions) {
      expect(await hosted(TARGET).upload(session).status()).toEqual({
        ok: false,
        reason: 'unknown',
      })
    }
    expect((await hosted(TARGET).blobs.get(large.layer.digest, { wants: 'size' })).ok).toBe(false)
  })

  it('begins nothing more', async () => {
    const large = await addLarge()
    let cancelled: Promise<unknown> = Promise.resolve()
    const { id } = await runImport(ORDER, { steps: 1 })
    const { status } = await runImport(ORDER, {
      id,
      before: () => undefined,
      steps: 0,
      look: async (_, run) => {
        const fault: Fault = {
          allow: () => {
            cancelled = run.cancel()
            return Infinity
          },
        }
        upstream.fault({ on: large.on, do: fault })
        await run.alarm()
        await cancelled
      },
    })
    expect(status.state).not.toBe('done')
    expect(await digestAt(TARGET, '1.0')).toBeUndefined()
  })
})
