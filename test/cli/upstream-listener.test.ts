// The listener shows over a real socket what the sample upstream does in memory; `fetch` of Node is the
// client.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { listenUpstream, type UpstreamListener } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import { digestOf } from '../../src/oci/digest.ts'

const SIZE = 300_000
const BYTES = sampleBytes(SIZE)

describe('the listener', () => {
  let upstream: SampleUpstream
  let listener: UpstreamListener
  let url: string

  beforeEach(async () => {
    upstream = new SampleUpstream()
    listener = await listenUpstream(upstream.handle)
    url = `${listener.url}/v2/a/b/blobs/${await upstream.addBlob('a/b', BYTES)}`
  })

  afterEach(async () => {
    await listener.close()
  })

  it('serves a blob whole', async () => {
    const response = await fetch(url)
    expect(response.headers.get('content-length')).toBe(String(SIZE))
    expect(await digestOf(new Uint8Array(await response.arrayBuffer()))).toBe(await digestOf(BYTES))
  })

  it('keeps Content-Length on HEAD', async () => {
    const response = await fetch(url, { method: 'HEAD' })
    expect(response.headers.get('content-length')).toBe(String(SIZE))
  })

  it('sends chunks where there is no length', async () => {
    upstream.fault({ do: { noContentLength: true } })
    const response = await fetch(url)
    expect(response.headers.get('transfer-encoding')).toBe('chunked')
    expect((await response.arrayBuffer()).byteLength).toBe(SIZE)
  })

  it('compresses for real', async () => {
    upstream.fault({ do: { gzip: true } })
    const response = await fetch(url)
    expect(response.headers.get('content-encoding')).toBe('gzip')
    expect((await response.arrayBuffer()).byteLength).toBe(SIZE)
  })

  it.each<{ name: string; fault: Fault }>([
    { name: 'cut short', fault: { truncateAt: 0.5 } },
    { name: 'cut short without a length', fault: { truncateAt: 0.5, noContentLength: true } },
    { name: 'shorter than promised', fault: { contentLength: SIZE + 1 } },
  ])('lets a client notice a body that is $name', async ({ fault }) => {
    upstream.fault({ do: fault })
    await expect((await fetch(url)).arrayBuffer()).rejects.toThrow('terminated')
  })

  it.each<{ name: string; fault: Fault; error: RegExp }>([
    { name: 'refused', fault: { refuse: true }, error: /fetch failed/ },
    { name: 'left alone', fault: { hangHeaders: true }, error: /timeout/ },
  ])('fails a request that is $name', async ({ fault, error }) => {
    upstream.fault({ do: fault })
    await expect(fetch(url, { signal: AbortSignal.timeout(200) })).rejects.toThrow(error)
  })

  it('notices a client that leaves', async () => {
    upstream.fault({ do: { allow: () => 1000 } })
    const leaving = new AbortController()
    const response = await fetch(url, { signal: leaving.signal })
    await response.body?.getReader().read()
    leaving.abort()
    await expect.poll(() => upstream.requests[0]?.ending).toMatch(/cut|cancelled/)
  })

  it('takes an upload in chunks of unknown length', async () => {
    const start = await fetch(`${listener.url}/v2/p/q/blobs/uploads/`, { method: 'POST' })
    const session = new URL(start.headers.get('location') ?? '', listener.url)
    const body = new Blob([BYTES.slice()]).stream()
    const patch = { method: 'PATCH', body, duplex: 'half' } as const
    expect((await fetch(session, patch)).headers.get('range')).toBe(`0-${SIZE - 1}`)
    session.searchParams.set('digest', await digestOf(BYTES))
    expect((await fetch(session, { method: 'PUT' })).status).toBe(201)
  })
})
