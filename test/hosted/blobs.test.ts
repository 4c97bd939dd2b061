// A blob as a request reads it: where the ledger says it is, where its claims say it is now, or an outage
// that is told as one (design §3; faults 150, 151 and 158).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HostedBlobs } from '../../src/hosted/blobs.ts'
import type { HostedBlobsGiven } from '../../src/hosted/blobs.ts'
import { RegistryError } from '../../src/oci/error.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { Memory } from '../../src/storage/memory.ts'
import { broken, silence, storageIsAway } from '../support/broken.ts'
import { HOUR } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { store } from '../support/hosted-objects.ts'
import type { Uploaded } from '../support/hosted-objects.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const BYTES = { wants: 'bytes', range: undefined } as const
const SIZE = { wants: 'size' } as const
const PLACE = { wants: 'place', range: undefined } as const

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
    seen: new Memory<true>(10),
    now: () => Date.now(),
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

  it.each([BYTES, SIZE, PLACE])(
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

  it.each([BYTES, SIZE, PLACE])(
    'that storage has lost is absent, and that is logged: $wants',
    async (question) => {
      const blob = await store()
      await env.BLOBS.delete(hostedContentKey(blob.content.id))
      const { blobs, events } = blobsOf(blob)
      expect(await blobs.get(blob.digest, question)).toEqual({
        ok: false,
        failure: { kind: 'not-found' },
      })
      expect(events).toEqual(['hosted-content-missing'])
    },
  )

  it.each([BYTES, PLACE])(
    'that does not belong is absent, and storage is not asked: $wants',
    async (question) => {
      const blob = await store()
      const away = new BlobStore(broken(env.BLOBS, { get: storageIsAway, head: storageIsAway }))
      const { blobs } = blobsOf(blob, { blobs: away, locate: async () => undefined })
      expect((await blobs.get(blob.digest, question)).ok).toBe(false)
    },
  )
})

describe('the place of a blob', () => {
  /** R2, and how often it was asked whether something is there. */
  function countHeads(): { readonly store: BlobStore; readonly count: () => number } {
    let asked = 0
    const head = (key: string): Promise<R2Object | null> => {
      asked += 1
      return env.BLOBS.head(key)
    }
    return { store: new BlobStore(broken(env.BLOBS, { head })), count: () => asked }
  }

  it('is its key and size, without bytes, looked up once an hour by one call of the ledger each', async () => {
    const blob = await store()
    const place = { key: hostedContentKey(blob.content.id), size: 100 }
    const heads = countHeads()
    let now = 0
    const { blobs, calls } = blobsOf(blob, { blobs: heads.store, now: () => now })
    for (now of [0, 1, HOUR - 1]) {
      const answer = await blobs.get(blob.digest, PLACE)
      expect(answer).toMatchObject({ ok: true, size: 100, place, body: undefined })
    }
    expect(heads.count()).toBe(1)
    now = HOUR
    await blobs.get(blob.digest, PLACE)
    expect(heads.count()).toBe(2)
    expect(calls).toEqual(['read', 'read', 'read', 'read'])
  })

  it('that was not found is looked up again', async () => {
    const blob = await store()
    const key = hostedContentKey(blob.content.id)
    const object = await env.BLOBS.get(key)
    const bytes = (await object?.bytes()) ?? expect.fail('nothing is stored')
    await env.BLOBS.delete(key)
    const { blobs } = blobsOf(blob)
    expect((await blobs.get(blob.digest, PLACE)).ok).toBe(false)
    await env.BLOBS.put(key, bytes)
    expect((await blobs.get(blob.digest, PLACE)).ok).toBe(true)
  })

  it('is forgotten as soon as somebody finds nothing there', async () => {
    const blob = await store()
    const { blobs } = blobsOf(blob)
    await blobs.get(blob.digest, PLACE)
    await env.BLOBS.delete(hostedContentKey(blob.content.id))
    expect((await blobs.get(blob.digest, PLACE)).ok).toBe(true)
    expect((await blobs.get(blob.digest, SIZE)).ok).toBe(false)
    expect((await blobs.get(blob.digest, PLACE)).ok).toBe(false)
  })

  it('is of each content its own', async () => {
    const [one, other] = [await store(), await store()]
    const seen = new Memory<true>(10)
    await blobsOf(one, { seen }).blobs.get(one.digest, PLACE)
    await env.BLOBS.delete(hostedContentKey(other.content.id))
    expect((await blobsOf(other, { seen }).blobs.get(other.digest, PLACE)).ok).toBe(false)
  })

  it.each([
    { name: 'within it', range: { kind: 'slice', first: 99, last: 200 }, want: { ok: true } },
    { name: 'a suffix of it', range: { kind: 'suffix', length: 500 }, want: { ok: true } },
    {
      name: 'behind its end, which there is not',
      range: { kind: 'slice', first: 100, last: undefined },
      want: { ok: false, unsatisfiable: 100 },
    },
  ] as const)('is that of a range too: $name', async ({ range, want }) => {
    const blob = await store()
    const { blobs } = blobsOf(blob)
    for (let time = 0; time < 2; time++) {
      expect(await blobs.get(blob.digest, { wants: 'place', range })).toMatchObject(want)
    }
  })
})

/** How a call of an object fails, and whether it is made once more. */
const FAILURES = [
  { name: 'moved under the call', error: { retryable: true }, calls: 2 },
  { name: 'overloaded', error: { retryable: true, overloaded: true }, calls: 1 },
  { name: 'reset', error: {}, calls: 1 },
]

describe('an outage', () => {
  it.each([BYTES, SIZE, PLACE])('of storage is 503, not absence: $wants', async (question) => {
    const blob = await store()
    const away = new BlobStore(broken(env.BLOBS, { get: storageIsAway, head: storageIsAway }))
    const { blobs } = blobsOf(blob, { blobs: away })
    const error = await blobs.get(blob.digest, question).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(RegistryError)
    expect(error).toMatchObject({ code: 'UNKNOWN', status: 503, headers: { 'Retry-After': '5' } })
  })

  it.each([BYTES, SIZE, PLACE])(
    'of storage that never answers is 503 in time: $wants',
    async (question) => {
      const blob = await store()
      passDeadlines()
      const silent = new BlobStore(broken(env.BLOBS, { get: silence, head: silence }))
      const { blobs } = blobsOf(blob, { blobs: silent })
      await expect(blobs.get(blob.digest, question)).rejects.toMatchObject({ status: 503 })
    },
  )

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
