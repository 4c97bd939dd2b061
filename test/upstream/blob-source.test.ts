// The bytes of a blob as an upstream sends them: what is believed of their size, and what becomes of a
// body that is cut or stalls.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { BlobSource } from '../../src/upstream/blob-source.ts'
import { openBlob } from '../../src/upstream/blob-source.ts'
import { SECOND } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'

const SIZE = 300_000
const BYTES = sampleBytes(SIZE)
const BLOB = { on: { kind: 'blob' } } as const

afterEach(() => {
  vi.useRealTimers()
})

interface Stage {
  readonly sample: SampleUpstream
  readonly net: Network
  readonly open: () => Promise<BlobSource>
  /** `Range` and `If-Range` of each request for the blob. */
  readonly ranges: () => readonly (readonly [string | undefined, string | undefined])[]
  readonly etag: string
}

async function stage(bytes: Uint8Array = BYTES, storage?: string): Promise<Stage> {
  const sample = new SampleUpstream(storage === undefined ? {} : { storage })
  const digest = await sample.addBlob('a/b', bytes)
  const net = network({ 'one.test': sample, 'storage.test': sample })
  const { client } = connect(upstreamFrom(), { network: net })
  return {
    sample,
    net,
    open: () => openBlob(client, { repository: repository('a/b'), digest }, () => Date.now()),
    ranges: () =>
      net.requests
        .filter(({ url }) => url.includes(digest))
        .map(({ headers }) => [headers['range'], headers['if-range']]),
    etag: `"${digest}"`,
  }
}

/** Reads to the end, or to the error. */
async function read(source: BlobSource): Promise<{ bytes: Uint8Array; error: unknown }> {
  const chunks: Uint8Array[] = []
  let error: unknown
  try {
    for (;;) {
      const chunk = await source.read()
      if (chunk === undefined) break
      chunks.push(chunk)
    }
  } catch (reason) {
    error = reason
  }
  return { bytes: new Uint8Array(await new Blob(chunks).arrayBuffer()), error }
}

async function expectWhole(source: BlobSource, bytes: Uint8Array = BYTES): Promise<void> {
  const outcome = await read(source)
  expect(outcome.error).toBeUndefined()
  expect(await digestOf(outcome.bytes)).toBe(await digestOf(bytes))
}

/** That it failed, and that everything before is the beginning of the blob. */
async function expectCut(source: BlobSource, length: number): Promise<void> {
  const { bytes, error } = await read(source)
  expect(error).toBeInstanceOf(Error)
  expect(bytes.byteLength).toBe(length)
  expect(await digestOf(bytes)).toBe(await digestOf(BYTES.subarray(0, length)))
}

describe('a blob', () => {
  it.each([0, 1, 262_144, SIZE, 2_000_000])('of %i bytes is read whole', async (size) => {
    const bytes = sampleBytes(size)
    const { open, net } = await stage(bytes)
    const source = await open()
    expect(source.size).toBe(size)
    await expectWhole(source, bytes)
    expect(await source.read()).toBeUndefined()
    expect(net.count()).toBe(2)
  })

  it('is asked for as it is, not encoded, and not by HEAD', async () => {
    const { open, net } = await stage()
    await open()
    expect(net.requests.at(-1)).toMatchObject({
      method: 'GET',
      headers: { 'accept-encoding': 'identity' },
    })
    expect(net.requests.at(-1)?.headers).not.toHaveProperty('range')
  })

  it('that nobody wants any more is let go', async () => {
    const { open, sample } = await stage()
    const source = await open()
    await source.read()
    await source.cancel()
    expect(sample.requests.at(-1)?.ending).toBe('cancelled')
  })

  it('is given as it arrives: the first bytes are there while the rest is withheld', async () => {
    const { open, sample } = await stage()
    const held = Promise.withResolvers<void>()
    sample.fault({ ...BLOB, do: { hold: held.promise, after: 1000 } })
    const source = await open()
    expect((await source.read())?.byteLength).toBe(1000)
    held.resolve()
    const rest = await read(source)
    expect(rest.bytes.byteLength).toBe(SIZE - 1000)
  })
})

describe('the size', () => {
  it.each([
    { name: 'is unknown of a chunked body', fault: { noContentLength: true } },
    { name: 'is unknown of an encoded body, which comes decoded', fault: { gzip: true } },
  ] satisfies readonly { name: string; fault: Fault }[])('$name', async ({ fault }) => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, do: fault })
    const source = await open()
    expect(source.size).toBeUndefined()
    await expectWhole(source)
  })

  it('is unknown when it is no number', async () => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, do: { headers: { 'Content-Length': '12, 12' } } })
    expect((await open()).size).toBeUndefined()
  })

  it('is known of a body that says it is not encoded', async () => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, do: { headers: { 'Content-Encoding': 'identity' } } })
    expect((await open()).size).toBe(SIZE)
  })
})

describe('what is no blob', () => {
  it.each([
    { name: 'a page', fault: { contentType: 'text/html' } },
    { name: 'a page in capitals', fault: { contentType: 'Text/HTML; charset=utf-8' } },
    { name: 'a part that nobody asked for', fault: { status: 206, body: 'x' } },
    { name: 'no body', fault: { status: 304 } },
  ] satisfies readonly { name: string; fault: Fault }[])('$name is refused', async ({ fault }) => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, do: fault })
    expect(await failureFrom(open())).toMatchObject({ kind: 'invalid' })
  })

  it('is let go', async () => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, do: { contentType: 'text/html' } })
    await failureFrom(open())
    expect(sample.requests.at(-1)?.ending).toBe('cancelled')
  })
})

describe.each([
  { where: 'after one byte', at: 1 },
  { where: 'half-way', at: SIZE / 2 },
  { where: 'before the last byte', at: SIZE - 1 },
])('a body that is cut $where', ({ at }) => {
  it('is continued there', async () => {
    const { sample, open, ranges, etag } = await stage()
    sample.fault({ ...BLOB, times: 1, do: { truncateAt: at } })
    await expectWhole(await open())
    expect(ranges()).toEqual([
      [undefined, undefined],
      [`bytes=${at}-`, etag],
    ])
  })

  it.each([
    { name: 'the upstream knows no ranges', fault: { ignoreRange: true } },
    { name: 'the rest begins elsewhere', fault: contentRange(at + 1, SIZE - 1, SIZE) },
    { name: 'the rest ends elsewhere', fault: contentRange(at, SIZE - 2, SIZE) },
    { name: 'the rest is of another whole', fault: contentRange(at, SIZE, SIZE + 1) },
    { name: 'the rest is of an unknown whole', fault: contentRange(at, SIZE - 1, '*') },
    {
      name: 'the rest does not say where it begins',
      fault: { headers: { 'Content-Range': null } },
    },
    { name: 'the rest is a page', fault: { contentType: 'text/html' } },
    { name: 'the upstream has gone', fault: { refuse: true } },
    { name: 'the upstream has lost it', fault: { status: 404 } },
  ] satisfies readonly { name: string; fault: Fault }[])(
    'gives nothing more when $name',
    async ({ fault }) => {
      const { sample, open } = await stage()
      sample.fault({ ...BLOB, times: 1, do: { truncateAt: at } })
      sample.fault({ ...BLOB, do: fault })
      await expectCut(await open(), at)
      expect(sample.count({ kind: 'blob' })).toBe(2)
    },
  )

  it('gives nothing more when it has become another blob meanwhile', async () => {
    const { sample, open, ranges } = await stage()
    sample.fault({ ...BLOB, times: 1, do: { truncateAt: at, headers: { ETag: '"before"' } } })
    await expectCut(await open(), at)
    expect(ranges().at(-1)).toEqual([`bytes=${at}-`, '"before"'])
  })
})

describe('a body that is cut before its first byte', () => {
  it('is asked for again, whole', async () => {
    const { sample, open, ranges } = await stage()
    sample.fault({ ...BLOB, times: 1, do: { truncateAt: 0 } })
    await expectWhole(await open())
    expect(ranges()).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ])
  })

  it('gives nothing when it has another size then', async () => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, times: 1, do: { truncateAt: 0 } })
    sample.fault({ ...BLOB, do: { body: 'something else' } })
    await expectCut(await open(), 0)
    expect(sample.count({ kind: 'blob' })).toBe(2)
  })
})

function contentRange(first: number, last: number, size: number | '*'): Fault {
  return { headers: { 'Content-Range': `bytes ${first}-${last}/${size}` } }
}

describe('a body that is cut', () => {
  it('is continued three times, and then given up', async () => {
    const { sample, open, ranges } = await stage()
    sample.fault({ ...BLOB, do: { truncateAt: 1000 } })
    await expectCut(await open(), 4000)
    expect(ranges().map(([range]) => range)).toEqual([
      undefined,
      'bytes=1000-',
      'bytes=2000-',
      'bytes=3000-',
    ])
  })

  it('is continued without If-Range where its validator is weak', async () => {
    const { sample, open, ranges } = await stage()
    const fault = { truncateAt: 1000, headers: { ETag: 'W/"1"' } }
    sample.fault({ ...BLOB, times: 1, do: fault })
    await expectWhole(await open())
    expect(ranges().at(-1)).toEqual(['bytes=1000-', undefined])
  })

  it('is not continued when its size is unknown', async () => {
    const { sample, open } = await stage()
    sample.fault({ ...BLOB, times: 1, do: { truncateAt: 1000, noContentLength: true } })
    await expectCut(await open(), 1000)
    expect(sample.count({ kind: 'blob' })).toBe(1)
  })

  it('that ends well but short is continued too', async () => {
    const short = new Response(BYTES.slice(0, 1000))
    const { sample } = await stage()
    let isFirst = true
    const net = network({
      'one.test': async (url, init) => {
        if (!url.includes('/blobs/') || !isFirst) return sample.fetch(url, init)
        isFirst = false
        return new Response(short.body, { headers: { 'Content-Length': String(SIZE) } })
      },
    })
    const { client } = connect(upstreamFrom(), { network: net })
    const blob = { repository: repository('a/b'), digest: await digestOf(BYTES) }
    await expectWhole(await openBlob(client, blob, () => Date.now()))
    expect(net.requests.at(-1)?.headers['range']).toBe('bytes=1000-')
  })

  it('is continued at storage, by a new redirect', async () => {
    const { sample, open, net } = await stage(BYTES, 'https://storage.test')
    sample.fault({ on: { kind: 'storage' }, times: 1, do: { truncateAt: 0.5 } })
    await expectWhole(await open())
    expect(net.requests.map(({ host }) => host)).toEqual([
      'one.test',
      'one.test',
      'storage.test',
      'one.test',
      'storage.test',
    ])
    expect(net.requests.at(-1)?.headers['range']).toBe(`bytes=${SIZE / 2}-`)
  })
})

describe('a body that stalls', () => {
  it('for thirty seconds is given up and continued; one that progresses is not', async () => {
    vi.useFakeTimers()
    const { sample } = await stage()
    const release = Promise.withResolvers<void>()
    const stalled = new ReadableStream({
      type: 'bytes',
      async pull(controller) {
        if (offset === 2000) return release.promise
        controller.enqueue(BYTES.slice(offset, offset + 1000))
        offset += 1000
      },
    })
    let offset = 0
    let isFirst = true
    const net = network({
      'one.test': async (url, init) => {
        if (!url.includes('/blobs/') || !isFirst) return sample.fetch(url, init)
        isFirst = false
        return new Response(stalled, { headers: { 'Content-Length': String(SIZE) } })
      },
    })
    const { client } = connect(upstreamFrom(), { network: net })
    const blob = { repository: repository('a/b'), digest: await digestOf(BYTES) }
    const source = await openBlob(client, blob, () => Date.now())
    await source.read()
    // It is the reader that may take its time.
    await vi.advanceTimersByTimeAsync(60 * SECOND)
    await source.read()
    net.forget()
    const next = source.read()
    await vi.advanceTimersByTimeAsync(30 * SECOND - 1)
    expect(net.count()).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    await next
    expect(net.requests.map(({ headers }) => headers['range'])).toEqual(['bytes=2000-'])
    release.resolve()
  })
})
