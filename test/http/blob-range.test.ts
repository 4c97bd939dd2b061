// Ranges and conditions of a blob, on its way in and stored (RFC 9110 §13, §14; design §2, property 9 as far
// as it reaches: what has been filled, and what the fill will reach).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import {
  KiB,
  MiB,
  addSampleBlob,
  expectBytes,
  expectStored,
  join,
  keysIn,
  openBody,
  withhold,
} from '../support/blob.ts'
import type { SampleBlob } from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const SIZE = 6 * MiB
const FILLED = 2 * MiB
const BLOB_GET = { kind: 'blob', method: 'GET' } as const

let upstream: SampleUpstream
let worker: Isolate

beforeEach(() => {
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  worker = isolate()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Row {
  readonly name: string
  readonly range: string
  /** First byte, and the byte after the last. */
  readonly slice: readonly [number, number]
}

const INSIDE: readonly Row[] = [
  { name: 'the first byte', range: 'bytes=0-0', slice: [0, 1] },
  { name: 'within one segment', range: 'bytes=70000-70009', slice: [70_000, 70_010] },
  { name: 'across segments', range: 'bytes=60000-900000', slice: [60_000, 900_001] },
]

const REACHED: readonly Row[] = [
  {
    name: 'from what is filled to what is not',
    range: `bytes=${MiB}-${5 * MiB}`,
    slice: [MiB, 5 * MiB + 1],
  },
  {
    name: 'wholly ahead of the fill',
    range: `bytes=${5 * MiB}-${5 * MiB + 9}`,
    slice: [5 * MiB, 5 * MiB + 10],
  },
  { name: 'open at its end', range: `bytes=${3 * MiB}-`, slice: [3 * MiB, SIZE] },
  { name: 'a suffix', range: 'bytes=-10', slice: [SIZE - 10, SIZE] },
  { name: 'a suffix longer than the blob', range: `bytes=-${SIZE + 1}`, slice: [0, SIZE] },
  { name: 'beyond the end on its right', range: `bytes=1-${SIZE + 1}`, slice: [1, SIZE] },
]

/** Ranges that count as none: the answer is the whole blob. */
const IGNORED: readonly string[] = ['bytes=0-1,4-5', 'lines=0-1', 'bytes=a-b', 'bytes=']

function expectPartial(response: Response, [first, end]: Row['slice'], size = SIZE): void {
  expect(response.status).toBe(206)
  expect(response.headers.get('content-range')).toBe(`bytes ${first}-${end - 1}/${size}`)
  expect(response.headers.get('content-length')).toBe(String(end - first))
}

describe('a range of a blob that is on its way', () => {
  let blob: SampleBlob
  let release: () => void

  beforeEach(async () => {
    blob = await addSampleBlob(upstream, SIZE)
    ;({ release } = withhold(upstream, FILLED))
  })

  afterEach(async () => {
    release()
    await expectStored(blob)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it.each(INSIDE)('$name is answered while the rest is withheld', async ({ range, slice }) => {
    const response = await worker.get(blob.path, { range })
    expectPartial(response, slice)
    expectBytes(await bytesOf(response), blob.bytes.slice(...slice))
  })

  it.each(REACHED)('$name has its headers at once, and its bytes', async ({ range, slice }) => {
    const response = await worker.get(blob.path, { range })
    expectPartial(response, slice)
    release()
    expectBytes(await bytesOf(response), blob.bytes.slice(...slice))
  })

  it('from what is filled to what is not sends what there is', async () => {
    const range = `bytes=100-${4 * MiB}`
    const body = openBody(await worker.get(blob.path, { range }))
    const first = await body.piece()
    release()
    expectBytes(join([first, await body.rest()]), blob.bytes.slice(100, 4 * MiB + 1))
  })

  it.each([`bytes=${SIZE}-`, `bytes=${SIZE + 5}-${SIZE + 6}`, 'bytes=-0', 'bytes=5-4'])(
    '%s is outside of it',
    async (range) => {
      const response = await worker.get(blob.path, { range })
      expect(response.headers.get('content-range')).toBe(`bytes */${SIZE}`)
      expect(await refusalOf(response)).toBe('416 SIZE_INVALID')
    },
  )

  it.each(IGNORED)('%s is no range', async (range) => {
    const response = await worker.get(blob.path, { range })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-range')).toBeNull()
    release()
    expectBytes(await bytesOf(response), blob.bytes)
  })
})

describe('a range of a small blob that is not stored', () => {
  it('is answered from the blob, which is stored first', async () => {
    const blob = await addSampleBlob(upstream, 100 * KiB)
    const response = await worker.get(blob.path, { range: 'bytes=10-19' })
    expectPartial(response, [10, 20], 100 * KiB)
    expectBytes(await bytesOf(response), blob.bytes.slice(10, 20))
    await expectStored(blob)
  })

  it('of unknown size is the whole blob while nobody knows where it ends', async () => {
    const blob = await addSampleBlob(upstream, 5 * MiB)
    const { release } = withhold(upstream, 4.5 * MiB, { noContentLength: true })
    const response = await worker.get(blob.path, { range: 'bytes=10-19' })
    expect(response.status).toBe(200)
    release()
    expectBytes(await bytesOf(response), blob.bytes)
  })
})

describe('a stored blob', () => {
  const size = 100 * KiB
  let blob: SampleBlob
  let etag: string

  beforeEach(async () => {
    blob = await addSampleBlob(upstream, size)
    etag = `"${blob.digest}"`
    await bytesOf(await worker.get(blob.path))
    await expectStored(blob)
    upstream.stop()
  })

  it('has an entity tag, accepts ranges, and may be kept for ever', async () => {
    const { headers } = await worker.get(blob.path)
    expect(Object.fromEntries(headers)).toMatchObject({
      etag,
      'accept-ranges': 'bytes',
      'content-length': String(size),
      'content-type': 'application/octet-stream',
      'docker-content-digest': blob.digest,
      'cache-control': 'private, max-age=31536000, immutable, no-transform',
      'cache-status': 'entrepot; hit',
    })
  })

  it.each([
    { name: 'the first byte', range: 'bytes=0-0', slice: [0, 1] },
    { name: 'the middle', range: 'bytes=500-999', slice: [500, 1000] },
    { name: 'open at its end', range: `bytes=${size - 1}-`, slice: [size - 1, size] },
    { name: 'a suffix', range: 'bytes=-10', slice: [size - 10, size] },
    { name: 'a suffix longer than the blob', range: `bytes=-${size * 2}`, slice: [0, size] },
    { name: 'cut at the end', range: `bytes=1-${size * 2}`, slice: [1, size] },
  ] as const)('$name', async ({ range, slice }) => {
    const response = await worker.get(blob.path, { range })
    expectPartial(response, slice, size)
    expectBytes(await bytesOf(response), blob.bytes.slice(...slice))
  })

  it.each([`bytes=${size}-`, 'bytes=-0', 'bytes=5-4'])('%s is outside of it', async (range) => {
    const response = await worker.get(blob.path, { range })
    expect(response.headers.get('content-range')).toBe(`bytes */${size}`)
    expect(await refusalOf(response)).toBe('416 SIZE_INVALID')
  })

  it.each(IGNORED)('%s is no range', async (range) => {
    const response = await worker.get(blob.path, { range })
    expect(response.status).toBe(200)
    expectBytes(await bytesOf(response), blob.bytes)
  })

  it('ignores a range on HEAD', async () => {
    const response = await worker.head(blob.path, { range: 'bytes=0-0' })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe(String(size))
    expect(response.body).toBeNull()
  })

  it.each([
    { name: 'its own tag', ifRange: () => etag, status: 206 },
    { name: 'another tag', ifRange: () => '"sha256:0"', status: 200 },
    { name: 'a weak tag, which is never enough', ifRange: () => `W/${etag}`, status: 200 },
    {
      name: 'a date, which it has none of',
      ifRange: () => 'Thu, 01 Jan 2026 00:00:00 GMT',
      status: 200,
    },
  ])('If-Range with $name', async ({ ifRange, status }) => {
    const headers = { range: 'bytes=0-9', 'if-range': ifRange() }
    const response = await worker.get(blob.path, headers)
    expect(response.status).toBe(status)
    expectBytes(await bytesOf(response), status === 206 ? blob.bytes.slice(0, 10) : blob.bytes)
  })

  it.each([
    { name: 'its tag', value: () => etag, status: 304 },
    { name: 'its tag, weak', value: () => `W/${etag}`, status: 304 },
    { name: 'its tag among others', value: () => `"x", ${etag}`, status: 304 },
    { name: 'anything', value: () => '*', status: 304 },
    { name: 'another tag', value: () => '"x"', status: 200 },
  ])('If-None-Match with $name', async ({ value, status }) => {
    for (const ask of [worker.get, worker.head]) {
      const response = await ask(blob.path, { 'if-none-match': value() })
      expect(response.status).toBe(status)
      expect(response.headers.get('etag')).toBe(etag)
      if (status === 304) expect(await response.text()).toBe('')
      else await response.body?.cancel()
    }
  })

  it('that was removed is filled again', async () => {
    await env.BLOBS.delete(blob.key)
    upstream.start()
    upstream.forget()
    const response = await worker.get(blob.path)
    expect(response.headers.get('cache-status')).toBe('entrepot; fwd=miss; stored')
    expectBytes(await bytesOf(response), blob.bytes)
    await expectStored(blob)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it('makes no object and no segment', async () => {
    await bytesOf(await worker.get(blob.path))
    expect(await keysIn('')).toEqual([blob.key])
  })
})

describe('an empty blob', () => {
  it.each([{ name: 'of known size' }, { name: 'of unknown size', noContentLength: true as const }])(
    '$name is stored and served',
    async ({ noContentLength }) => {
      const blob = await addSampleBlob(upstream, 0)
      if (noContentLength) upstream.fault({ on: BLOB_GET, do: { noContentLength } })
      for (const status of ['entrepot; fwd=miss; stored', 'entrepot; hit']) {
        const response = await worker.get(blob.path)
        expect(response.status).toBe(200)
        expect(response.headers.get('content-length')).toBe('0')
        expect(response.headers.get('cache-status')).toBe(status)
        expectBytes(await bytesOf(response), blob.bytes)
      }
      const ranged = await worker.get(blob.path, { range: 'bytes=0-' })
      expect(ranged.headers.get('content-range')).toBe('bytes */0')
      expect(await refusalOf(ranged)).toBe('416 SIZE_INVALID')
      await expectStored(blob)
      expect(upstream.count(BLOB_GET)).toBe(1)
    },
  )
})
