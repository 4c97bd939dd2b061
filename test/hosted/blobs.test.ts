// A blob as a request reads it: where the ledger says it is, where its claims say it is now, or an outage
// that is told as one (design §3; faults 150, 151 and 158).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { HostedBlobs } from '../../src/hosted/blobs.ts'
import type { HostedBlobsGiven } from '../../src/hosted/blobs.ts'
import { RegistryError } from '../../src/oci/error.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { broken, storageIsAway } from '../support/broken.ts'
import { store } from '../support/hosted-objects.ts'
import type { Uploaded } from '../support/hosted-objects.ts'

afterEach(() => reset())

const BYTES = { wants: 'bytes', range: undefined } as const
const SIZE = { wants: 'size' } as const

/** Reads blobs of which the ledger knows one; `calls` is what it was asked. */
function blobsOf({ content }: Uploaded, changed: Partial<HostedBlobsGiven> = {}) {
  const calls: string[] = []
  const events: string[] = []
  const blobs = new HostedBlobs({
    blobs: new BlobStore(env.BLOBS),
    locate: async (_, isWanted) => {
      calls.push(isWanted ? 'wanted' : 'read')
      return content
    },
    relocate: async () => {
      calls.push('relocate')
      return content
    },
    log: (event) => void events.push(event),
    ...changed,
  })
  return { blobs, calls, events }
}

describe('a blob', () => {
  it('is read with one call of the ledger, and wanted by whoever asks for its size', async () => {
    const blob = await store()
    const { blobs, calls } = blobsOf(blob)
    const answer = await blobs.get(blob.digest, BYTES)
    const body = answer.ok ? answer.body : undefined
    expect(new Uint8Array(await new Response(body).arrayBuffer())).toEqual(blob.bytes)
    expect(await blobs.get(blob.digest, SIZE)).toMatchObject({ ok: true, size: 100 })
    expect(calls).toEqual(['read', 'wanted'])
  })

  it.each([BYTES, SIZE])(
    'is found where it was uploaded again after storage lost it: $wants',
    async (question) => {
      const [blob, again] = [await store(), await store()]
      await env.BLOBS.delete(hostedContentKey(blob.content.id))
      const { blobs } = blobsOf(blob, { relocate: async () => again.content })
      const answer = await blobs.get(blob.digest, question)
      expect(answer).toMatchObject({ ok: true, size: 100 })
      if (answer.ok) await answer.body?.cancel()
    },
  )

  it('that storage has lost is absent, and that is logged', async () => {
    const blob = await store()
    await env.BLOBS.delete(hostedContentKey(blob.content.id))
    const { blobs, events } = blobsOf(blob)
    expect(await blobs.get(blob.digest, BYTES)).toEqual({
      ok: false,
      failure: { kind: 'not-found' },
    })
    expect(events).toEqual(['hosted-content-missing'])
  })

  it('that does not belong is absent, and storage is not asked', async () => {
    const blob = await store()
    const away = new BlobStore(broken(env.BLOBS, { get: storageIsAway, head: storageIsAway }))
    const { blobs } = blobsOf(blob, { blobs: away, locate: async () => undefined })
    expect((await blobs.get(blob.digest, BYTES)).ok).toBe(false)
  })
})

/** How a call of an object fails, and whether it is made once more. */
const FAILURES = [
  { name: 'moved under the call', error: { retryable: true }, calls: 2 },
  { name: 'overloaded', error: { retryable: true, overloaded: true }, calls: 1 },
  { name: 'reset', error: {}, calls: 1 },
]

describe('an outage', () => {
  it.each([BYTES, SIZE])('of storage is 503, not absence: $wants', async (question) => {
    const blob = await store()
    const away = new BlobStore(broken(env.BLOBS, { get: storageIsAway, head: storageIsAway }))
    const { blobs } = blobsOf(blob, { blobs: away })
    const error = await blobs.get(blob.digest, question).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(RegistryError)
    expect(error).toMatchObject({ code: 'UNKNOWN', status: 503, headers: { 'Retry-After': '5' } })
  })

  it.each(FAILURES)('of the ledger is 503, after $calls calls: $name', async ({ error, calls }) => {
    const blob = await store()
    let count = 0
    const locate = async () => {
      count += 1
      throw Object.assign(new Error('the object is away'), error)
    }
    const { blobs } = blobsOf(blob, { locate })
    await expect(blobs.get(blob.digest, BYTES)).rejects.toMatchObject({ status: 503 })
    expect(count).toBe(calls)
  })

  it('of the ledger that is over when it is asked again is none', async () => {
    const blob = await store()
    let count = 0
    const locate = async () => {
      count += 1
      if (count === 1) throw Object.assign(new Error('moved'), { retryable: true })
      return blob.content
    }
    const { blobs } = blobsOf(blob, { locate })
    expect((await blobs.get(blob.digest, SIZE)).ok).toBe(true)
  })
})
