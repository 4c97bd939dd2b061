// A blob that is not stored yet, over HTTP: who waits for whom. Nothing here is timed: an upstream sends
// the rest only after the test has seen what must not wait for it (design §2, "Filling a blob", 1-3).

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf } from '../support/answer.ts'
import {
  KiB,
  MiB,
  addSampleBlob,
  expectBytes,
  expectStored,
  join,
  openBody,
  withhold,
} from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const

let upstream: SampleUpstream

beforeEach(() => {
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Row {
  readonly name: string
  readonly size: number
  /** Where the upstream stops. */
  readonly after: number
  readonly fault?: Fault
}

const ROWS: readonly Row[] = [
  { name: 'a small blob', size: MiB, after: 512 * KiB },
  { name: 'a small blob of unknown size', size: MiB, after: KiB, fault: { noContentLength: true } },
  { name: 'a large blob', size: 6 * MiB, after: 256 * KiB },
  {
    name: 'a large blob of unknown size',
    size: 6 * MiB,
    after: 5 * MiB,
    fault: { noContentLength: true },
  },
  { name: 'a large blob whose very last byte is missing', size: 6 * MiB, after: 6 * MiB - 1 },
]

describe('the first byte does not wait for the last', () => {
  it.each(ROWS)('of $name', async ({ size, after, fault = {} }) => {
    const blob = await addSampleBlob(upstream, size)
    const held = withhold(upstream, after, fault)
    const response = await isolate().get(blob.path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe(fault.noContentLength ? null : String(size))
    const body = openBody(response)
    const first = await body.piece()
    expect(held.isReleased()).toBe(false)
    held.release()
    expectBytes(join([first, await body.rest()]), blob.bytes)
    await expectStored(blob)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })
})

describe('a fill goes on without its clients', () => {
  it.each(ROWS)('$name is stored when everybody has left', async ({ size, after, fault = {} }) => {
    const blob = await addSampleBlob(upstream, size)
    const held = withhold(upstream, after, fault)
    const worker = isolate()
    const bodies = [openBody(await worker.get(blob.path)), openBody(await worker.get(blob.path))]
    for (const body of bodies) {
      await body.piece()
      await body.cancel()
    }
    expect(held.isReleased()).toBe(false)
    held.release()
    await expectStored(blob)
    const warm = await worker.get(blob.path)
    expect(warm.headers.get('cache-status')).toBe('entrepot; hit')
    expectBytes(await bytesOf(warm), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })
})

describe('one upstream GET', () => {
  it('serves forty clients of any pace, early and late', async () => {
    const blob = await addSampleBlob(upstream, 8 * MiB)
    const held = withhold(upstream, 4 * MiB)
    const early = isolate()
    const join20 = (worker = early) =>
      Promise.all(Array.from({ length: 20 }, async () => openBody(await worker.get(blob.path))))
    const bodies = await join20()
    const stopped = bodies.shift()
    const firsts = await Promise.all(bodies.map((body) => body.piece()))
    // Half of the blob has been on its way for longer than it took the others to read their first piece.
    const late = await join20(isolate())
    const lateFirsts = await Promise.all(late.map((body) => body.piece()))
    expect(held.isReleased()).toBe(false)
    held.release()
    const all = [...bodies, ...late]
    const rests = await Promise.all(all.map((body) => body.rest()))
    rests.forEach((rest, index) => {
      expectBytes(join([[...firsts, ...lateFirsts][index] ?? new Uint8Array(), rest]), blob.bytes)
    })
    // One client has not read a byte so far: neither the fill nor anybody else waited for it.
    await expectStored(blob)
    expectBytes((await stopped?.rest()) ?? new Uint8Array(), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it('serves clients that all come before the upstream has answered', async () => {
    const blob = await addSampleBlob(upstream, 300 * KiB)
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({ on: BLOB_GET, do: { holdHeaders: promise } })
    const worker = isolate()
    const asked = Array.from({ length: 8 }, () => worker.get(blob.path))
    await vi.waitFor(() => expect(upstream.count(BLOB_GET)).toBe(1))
    resolve()
    for (const response of await Promise.all(asked))
      expectBytes(await bytesOf(response), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })
})

/** How the upstream was asked for blobs. */
function methods({ requests }: SampleUpstream): string[] {
  return requests.filter(({ kind }) => kind === 'blob').map(({ method }) => method)
}

describe('HEAD of a blob that is not stored', () => {
  it('starts the fill and answers from its headers', async () => {
    const blob = await addSampleBlob(upstream, 6 * MiB)
    const held = withhold(upstream, 0)
    const head = await isolate().head(blob.path)
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe(String(6 * MiB))
    expect(head.headers.get('docker-content-digest')).toBe(blob.digest)
    expect(held.isReleased()).toBe(false)
    held.release()
    await expectStored(blob)
    expect(methods(upstream)).toEqual(['GET'])
  })

  it('joins a fill that runs', async () => {
    const blob = await addSampleBlob(upstream, 6 * MiB)
    const held = withhold(upstream, MiB)
    const worker = isolate()
    const body = openBody(await worker.get(blob.path))
    const head = await worker.head(blob.path)
    expect(head.headers.get('content-length')).toBe(String(6 * MiB))
    held.release()
    expectBytes(await body.rest(), blob.bytes)
    await expectStored(blob)
    expect(methods(upstream)).toEqual(['GET'])
  })
})
