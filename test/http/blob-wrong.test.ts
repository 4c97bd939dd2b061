// Blobs that are not what their digest says, over HTTP: nothing is stored, nobody receives a complete wrong
// body, and the next request asks again (design §2, property 6).

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import {
  MiB,
  addSampleBlob,
  expectBytes,
  expectNothing,
  expectStored,
  openBody,
} from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const
const SMALL = 100_000
const LARGE = 6 * MiB

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

const BYTES = sampleBytes(MiB, 99)

const ROWS: readonly { readonly name: string; readonly fault: (size: number) => Fault }[] = [
  { name: 'other bytes of the right length', fault: () => ({ bytes: BYTES }) },
  { name: 'other bytes, chunked', fault: () => ({ bytes: BYTES, noContentLength: true }) },
  { name: 'one byte too few', fault: (size) => ({ contentLength: size - 1 }) },
  { name: 'one byte too many', fault: (size) => ({ body: sampleBytes(size + 1) }) },
  {
    name: 'one byte too many, chunked',
    fault: (size) => ({ body: sampleBytes(size + 1), noContentLength: true }),
  },
  { name: 'no body at all', fault: () => ({ body: '' }) },
  { name: 'a body that is cut before its first byte', fault: () => ({ truncateAt: 0 }) },
  { name: 'a body that is cut half-way', fault: () => ({ truncateAt: 0.5 }) },
  {
    name: 'a body that is cut half-way, chunked',
    fault: () => ({ truncateAt: 0.5, noContentLength: true }),
  },
]

describe.each([
  { kind: 'small', size: SMALL, algorithm: 'sha256' },
  { kind: 'large', size: LARGE, algorithm: 'sha256' },
  { kind: 'large sha512', size: LARGE, algorithm: 'sha512' },
] as const)('a $kind blob', ({ size, algorithm }) => {
  it.each(ROWS)('with $name', async ({ fault }) => {
    const blob = await addSampleBlob(upstream, size, { algorithm })
    const clear = upstream.fault({ on: BLOB_GET, do: fault(size) })
    // Each continued request is cut in the same way, until the fill gives up.
    const response = await worker.get(blob.path)
    if (response.status === 200) {
      const { bytes, isWhole } = await openBody(response).remains()
      expect(isWhole).toBe(false)
      // What has no stated length is complete only when its end has come.
      if (response.headers.has('content-length')) expect(bytes.byteLength).toBeLessThan(size)
    } else {
      expect(await refusalOf(response)).toBe('502 UNKNOWN')
    }
    await expectNothing()
    clear()
    upstream.forget()
    const again = await worker.get(blob.path)
    expect(again.status).toBe(200)
    expectBytes(await bytesOf(again), blob.bytes)
    await expectStored(blob)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it('that comes encoded is decoded or refused, never stored as it came', async () => {
    const blob = await addSampleBlob(upstream, size, { algorithm })
    upstream.fault({ on: BLOB_GET, do: { gzip: true } })
    const response = await worker.get(blob.path)
    expectBytes(await bytesOf(response), blob.bytes)
    await expectStored(blob)
  })

  it('that is a page is refused before its first byte', async () => {
    const blob = await addSampleBlob(upstream, size, { algorithm })
    upstream.fault({ on: BLOB_GET, do: { contentType: 'text/html; charset=utf-8' } })
    expect(await refusalOf(await worker.get(blob.path))).toBe('502 UNKNOWN')
    await expectNothing()
  })
})

describe('a stated size', () => {
  it('that a chunked blob does not have lets nothing pass', async () => {
    const blob = await addSampleBlob(upstream, SMALL)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const config = { mediaType: 'application/json', digest: blob.digest, size: SMALL - 1 }
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [] })
    const bytes = new TextEncoder().encode(manifest)
    await upstream.addManifest('a/b', bytes, { tag: 'v1', mediaType })
    expect((await worker.get('/v2/one.test/a/b/manifests/v1')).status).toBe(200)
    upstream.fault({ on: BLOB_GET, do: { noContentLength: true } })
    expect(await refusalOf(await worker.get(blob.path))).toBe('502 UNKNOWN')
  })
})
