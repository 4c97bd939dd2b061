// A range that begins far ahead of a running fill (design §2, property 9): one ranged upstream GET per
// request, at most four at once, and nothing of it stored.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf } from '../support/answer.ts'
import { MiB, addSampleBlob, expectBytes, expectStored, keysIn, openBody } from '../support/blob.ts'
import type { SampleBlob } from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const SIZE = 36 * MiB
const AHEAD = 35 * MiB

let upstream: SampleUpstream
let worker: Isolate
let blob: SampleBlob
let release: () => void

/** A fill that has its first bytes and waits for the rest. */
beforeEach(async () => {
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  worker = isolate()
  blob = await addSampleBlob(upstream, SIZE)
  const { promise, resolve } = Promise.withResolvers<void>()
  release = resolve
  const isWhole = { kind: 'blob', method: 'GET' } as const
  upstream.fault({
    on: (request) => request.kind === isWhole.kind && request.headers['range'] === undefined,
    do: { hold: promise, after: MiB },
  })
})

afterEach(async () => {
  release()
  vi.restoreAllMocks()
  await reset()
})

function get(range: string, from: Isolate = worker): Promise<Response> {
  return from.get(blob.path, { range })
}

function ranged(): number {
  return upstream.count(
    (request) => request.kind === 'blob' && request.headers['range'] !== undefined,
  )
}

describe('a range far ahead of a fill', () => {
  it('is answered before the fill comes there, by one ranged GET', async () => {
    const response = await get(`bytes=${AHEAD}-${AHEAD + 99}`)
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${AHEAD}-${AHEAD + 99}/${SIZE}`)
    expectBytes(await bytesOf(response), blob.bytes.subarray(AHEAD, AHEAD + 100))
    expect(ranged()).toBe(1)
    expect(await keysIn('mirror/')).toEqual([])
  })

  it('leaves the fill alone, which is stored from one GET of its own', async () => {
    await bytesOf(await get(`bytes=${AHEAD}-`))
    release()
    await expectStored(blob)
    expect(upstream.count({ kind: 'blob' })).toBe(2)
  })

  it('waits for the fill where the upstream does not know ranges', async () => {
    upstream.fault({
      on: (request) => request.headers['range'] !== undefined,
      do: { ignoreRange: true },
    })
    const response = await get(`bytes=${AHEAD}-`)
    expect(response.status).toBe(206)
    release()
    expectBytes(await bytesOf(response), blob.bytes.subarray(AHEAD))
  })

  it('is one of four at once; the fifth waits for the fill, the next one after an end does not', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({
      on: (request) => request.headers['range'] !== undefined,
      do: { hold: promise, after: 10 },
    })
    const running = await Promise.all([1, 2, 3, 4].map((n) => get(`bytes=${AHEAD + n}-`)))
    const fifth = await get(`bytes=${AHEAD}-`, isolate())
    expect(ranged()).toBe(4)
    resolve()
    for (const [index, response] of running.entries()) {
      expectBytes(await bytesOf(response), blob.bytes.subarray(AHEAD + index + 1))
    }
    await worker.settle()
    await bytesOf(await get(`bytes=${AHEAD}-${AHEAD}`))
    expect(ranged()).toBe(5)
    release()
    expectBytes(await bytesOf(fifth), blob.bytes.subarray(AHEAD))
  })

  it('is given back when its client leaves', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const remove = upstream.fault({
      on: (request) => request.headers['range'] !== undefined,
      do: { hold: promise, after: 10 },
    })
    const running = await Promise.all([1, 2, 3, 4].map((n) => get(`bytes=${AHEAD + n}-`)))
    for (const response of running) await openBody(response).cancel()
    remove()
    resolve()
    await worker.settle()
    await bytesOf(await get(`bytes=${AHEAD}-${AHEAD}`))
    expect(ranged()).toBe(5)
  })
})

describe('a range a little ahead of a fill', () => {
  it('waits for it', async () => {
    const response = await get(`bytes=${20 * MiB}-${20 * MiB + 9}`)
    expect(ranged()).toBe(0)
    release()
    expectBytes(await bytesOf(response), blob.bytes.subarray(20 * MiB, 20 * MiB + 10))
  })
})
