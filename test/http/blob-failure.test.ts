// Upstreams that do not give a blob, over HTTP: which error the client sees, that no repository answers for
// another, and that nothing is left of the attempt.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import {
  KiB,
  MiB,
  addSampleBlob,
  expectBytes,
  expectNothing,
  expectStored,
  openBody,
  withhold,
} from '../support/blob.ts'
import { SECOND, stopClock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const

let upstream: SampleUpstream
let worker: Isolate

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
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
  readonly fault: Fault
  readonly want: string
  readonly retryAfter?: string
}

const HTML = '<html>do not show this</html>'

const ROWS: readonly Row[] = [
  { name: '404', fault: { status: 404, body: HTML }, want: '404 BLOB_UNKNOWN' },
  { name: '401', fault: { status: 401, body: HTML }, want: '403 DENIED' },
  { name: '403', fault: { status: 403, body: HTML }, want: '403 DENIED' },
  {
    name: '429',
    fault: { status: 429, body: HTML, headers: { 'Retry-After': '7' } },
    want: '429 TOOMANYREQUESTS',
    retryAfter: '7',
  },
  { name: '500', fault: { status: 500, body: HTML }, want: '502 UNKNOWN', retryAfter: '10' },
  { name: '503', fault: { status: 503, body: HTML }, want: '502 UNKNOWN', retryAfter: '10' },
  { name: 'nobody there', fault: { refuse: true }, want: '502 UNKNOWN', retryAfter: '10' },
  { name: 'a status that means nothing', fault: { status: 418 }, want: '502 UNKNOWN' },
  { name: 'part of it, unasked', fault: { status: 206, body: HTML }, want: '502 UNKNOWN' },
]

describe.each(['GET', 'HEAD'] as const)(
  '%s of a blob that the upstream does not give',
  (method) => {
    it.each(ROWS)('$name is $want', async ({ fault, want, retryAfter = null }) => {
      const blob = await addSampleBlob(upstream, KiB)
      upstream.fault({ on: BLOB_GET, do: fault })
      const response = await worker.fetch(blob.path, { method })
      expect(response.headers.get('retry-after')).toBe(retryAfter)
      expect(response.headers.get('www-authenticate')).toBeNull()
      expect(response.headers.get('cache-status')).toBe('entrepot; fwd=miss')
      if (method === 'GET') expect(await refusalOf(response)).toBe(want)
      else expect(String(response.status)).toBe(want.slice(0, 3))
      await expectNothing()
    })
  },
)

describe('a blob that the upstream does not have', () => {
  it('is believed for a minute, then asked for again', async () => {
    const clock = stopClock()
    const blob = await addSampleBlob(upstream, KiB)
    upstream.deleteBlob(blob.name, blob.digest)
    for (const wait of [0, 59 * SECOND]) {
      clock.advance(wait)
      expect(await refusalOf(await worker.get(blob.path))).toBe('404 BLOB_UNKNOWN')
      expect(upstream.count(BLOB_GET)).toBe(1)
    }
    await upstream.addBlob(blob.name, blob.bytes)
    clock.advance(2 * SECOND)
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(2)
  })

  it('in one repository is served to another that has it', async () => {
    const blob = await addSampleBlob(upstream, KiB, { name: 'has/it' })
    const lacking = blob.path.replace('has/it', 'lacks/it')
    expect(await refusalOf(await worker.get(lacking))).toBe('404 BLOB_UNKNOWN')
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    await expectStored(blob)
  })

  it.each([
    { name: 'not there', fault: {}, want: '404 BLOB_UNKNOWN' },
    { name: 'refused', fault: { status: 403 }, want: '403 DENIED' },
    { name: 'wrong', fault: { status: 200, body: 'wrong' }, want: '502 UNKNOWN' },
  ])('in the repository that asked first ($name) is asked for in the next', async (row) => {
    const blob = await addSampleBlob(upstream, KiB, { name: 'has/it' })
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({
      on: { ...BLOB_GET, repository: 'lacks/it' },
      do: { ...row.fault, holdHeaders: promise },
    })
    const first = worker.get(blob.path.replace('has/it', 'lacks/it'))
    await vi.waitFor(() => expect(upstream.count(BLOB_GET)).toBe(1))
    const others = [1, 2, 3].map(() => worker.get(blob.path))
    resolve()
    expect(await refusalOf(await first)).toBe(row.want)
    for (const other of await Promise.all(others)) expectBytes(await bytesOf(other), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(2)
  })
})

describe('a body that is cut', () => {
  it('is continued where it ended, and nobody notices', async () => {
    const blob = await addSampleBlob(upstream, 6 * MiB)
    upstream.fault({ on: BLOB_GET, times: 2, do: { truncateAt: 0.4 } })
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    await expectStored(blob)
    const ranges = upstream.requests.filter(({ kind }) => kind === 'blob')
    expect(ranges.map(({ headers }) => headers['range'])).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-$/),
      expect.stringMatching(/^bytes=\d+-$/),
    ])
  })

  it('by a cable that is pulled cuts its clients, and is fetched anew later', async () => {
    const blob = await addSampleBlob(upstream, 6 * MiB)
    withhold(upstream, 2 * MiB)
    const body = openBody(await worker.get(blob.path))
    await body.piece()
    upstream.stop()
    expect((await body.remains()).isWhole).toBe(false)
    await expectNothing()
    upstream.clearFaults()
    upstream.start()
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    await expectStored(blob)
  })
})
