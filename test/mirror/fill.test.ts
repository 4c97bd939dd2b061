// One fill on storage that fails, stalls or is too small for one put, and on sources that lie: what is stored,
// what clients can read, and what is left (design §2, properties 6 and 8, on the object's side).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { Fault } from '../../cli/upstream-fault.ts'
import { Fill } from '../../src/mirror/fill.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { KiB, MiB, expectBytes, keysIn } from '../support/blob.ts'
import { broken, silence, storageIsAway } from '../support/broken.ts'
import { IMPATIENCE, fillOf, givenFor, readSegments, upstreamed } from '../support/fill.ts'
import type { Upstreamed } from '../support/fill.ts'

const LARGE = 6 * MiB
const CHUNKED: Fault = { noContentLength: true }

afterEach(() => reset())

type Put = (key: string, value: unknown, options: R2PutOptions) => Promise<unknown>
const put: Put = (key, value, options) => env.BLOBS.put(key, value as Uint8Array, options)

const isSegment = (key: string) => key.startsWith('fills/')

/** R2 whose `put` is another for some keys, the first `times` of them. */
function putting(instead: Put, of: (key: string) => boolean, times = Infinity): R2Bucket {
  let left = times
  return broken(env.BLOBS, {
    put: (key: string, value: unknown, options: R2PutOptions) =>
      of(key) && left-- > 0 ? instead(key, value, options) : put(key, value, options),
  })
}

/** Takes half of the body, then fails. */
const failHalfWay: Put = async (_, value) => {
  const reader = (value as ReadableStream).getReader()
  for (let size = 0; size < LARGE / 2;) size += (await reader.read()).value?.byteLength ?? LARGE
  return storageIsAway()
}

/** Takes half of the body, then stalls. */
const stallHalfWay: Put = async (_, value) => {
  await failHalfWay('', value, {}).catch(() => undefined)
  return silence()
}

interface Row {
  readonly name: string
  readonly bucket: () => R2Bucket
  readonly size?: number
  readonly fault?: Fault
  readonly isStored: boolean
  /** Whether clients can read the whole blob in segments when it is not stored. */
  readonly isReadable?: boolean
}

const isBlob = (key: string) => !isSegment(key)
const any = () => true

const ROWS: readonly Row[] = [
  { name: 'nothing fails', bucket: () => env.BLOBS, isStored: true },
  { name: 'no put succeeds', bucket: () => putting(storageIsAway, any), isStored: false },
  { name: 'no put answers', bucket: () => putting(silence, any), isStored: false },
  {
    name: 'no segment can be put',
    bucket: () => putting(storageIsAway, isSegment),
    isStored: true,
  },
  {
    name: 'no put of a segment answers',
    bucket: () => putting(silence, isSegment),
    isStored: true,
  },
  {
    name: 'the third segment cannot be put',
    bucket: () => putting(storageIsAway, (key) => key.endsWith('/2')),
    isStored: true,
  },
  {
    name: 'the first put of the blob fails at once',
    bucket: () => putting(storageIsAway, isBlob, 1),
    isStored: true,
  },
  {
    name: 'the first put of the blob fails half-way',
    bucket: () => putting(failHalfWay, isBlob, 1),
    isStored: true,
  },
  {
    name: 'the first put of the blob stalls half-way',
    bucket: () => putting(stallHalfWay, isBlob, 1),
    isStored: true,
  },
  {
    name: 'every put of the blob fails',
    bucket: () => putting(storageIsAway, isBlob),
    isStored: false,
    isReadable: true,
  },
  {
    name: 'no put of the blob answers',
    bucket: () => putting(silence, isBlob),
    isStored: false,
    isReadable: true,
  },
  {
    name: 'every put of a small blob fails',
    size: 100 * KiB,
    bucket: () => putting(storageIsAway, any),
    isStored: false,
  },
  {
    name: 'no put of a small blob answers',
    size: 100 * KiB,
    bucket: () => putting(silence, any),
    isStored: false,
  },
  { name: 'the size is unknown', fault: CHUNKED, bucket: () => env.BLOBS, isStored: true },
  {
    name: 'the size is unknown and no segment can be put',
    fault: CHUNKED,
    bucket: () => putting(storageIsAway, isSegment),
    isStored: false,
  },
  {
    name: 'the size is unknown and the blob cannot be put',
    fault: CHUNKED,
    bucket: () => putting(storageIsAway, isBlob),
    isStored: false,
    isReadable: true,
  },
  {
    name: 'the size is unknown and segments cannot be read back',
    fault: CHUNKED,
    bucket: () => broken(env.BLOBS, { get: storageIsAway }),
    isStored: false,
    isReadable: true,
  },
  {
    name: 'the size is unknown and a segment has vanished',
    fault: CHUNKED,
    bucket: () => broken(env.BLOBS, { get: async () => null }),
    isStored: false,
    isReadable: true,
  },
]

describe('a fill while storage fails', () => {
  it.each(ROWS)('$name', async ({ size = LARGE, fault, bucket, isStored, isReadable }) => {
    const blob = await upstreamed(size, fault)
    const { fill, end } = await fillOf(blob, { bucket: bucket() })
    if (isStored) expect(end).toEqual({ state: 'stored', size })
    else expect(end).toMatchObject({ state: 'failed', failure: { kind: 'storage' } })
    expect(fill.needsSegments).toBe(isReadable === true)
    expect(fill.memory).toBe(0)
    if (isReadable === true) {
      expect(fill.progress(0)).toMatchObject({ state: 'filling', size, isComplete: true })
      expectBytes(await readSegments(fill), blob.bytes)
    } else {
      expect(fill.progress(0)).toEqual(end)
    }
    await expectOnly(blob, isStored)
    expect(blob.upstream.count({ kind: 'blob' })).toBe(1)
  })

  it('waits for a segment that is still on its way before it removes them', async () => {
    const blob = await upstreamed(LARGE, { truncateAt: 0.9 })
    const late = Promise.withResolvers<void>()
    const steps: string[] = []
    const isThird = (key: string) => key.endsWith('/2')
    const putLate: Put = async (...args) => {
      await late.promise
      await put(...args)
      steps.push('put')
    }
    const list = (options: R2ListOptions) => {
      steps.push('list')
      return env.BLOBS.list(options)
    }
    const bucket = broken(putting(putLate, isThird), { list })
    const { fill, end } = await fillOf(blob, { bucket })
    expect(end.state).toBe('failed')
    const removal = fill.removeSegments()
    await new Promise((done) => setTimeout(done, 30))
    late.resolve()
    await removal
    expect(steps).toEqual(['put', 'list'])
    expect(await keysIn('')).toEqual([])
  })

  it('says that some may be left when one does not arrive', async () => {
    const blob = await upstreamed(LARGE)
    const { fill, end } = await fillOf(blob, { bucket: putting(silence, isSegment) })
    expect(end.state).toBe('stored')
    await expect(fill.removeSegments()).rejects.toThrow('storage does not answer')
  })

  it('does not begin to write what could not be noted', async () => {
    const blob = await upstreamed(LARGE)
    const { fill, end } = await fillOf(blob, { note: storageIsAway })
    expect(end).toMatchObject({ failure: { kind: 'storage' } })
    expect(fill.hasSegments).toBe(false)
    expect(await keysIn('')).toEqual([])
  })
})

/** In R2 is the blob, or nothing, besides segments. */
async function expectOnly(blob: Upstreamed, isStored: boolean): Promise<void> {
  expect(await keysIn('mirror/')).toEqual(isStored ? [blob.key] : [])
  const object = await env.BLOBS.get(blob.key)
  if (object !== null) expectBytes(await object.bytes(), blob.bytes)
}

describe('a small blob that comes at once', () => {
  it('is one put, and no list, no get and no note', async () => {
    const calls: string[] = []
    const bucket = new Proxy(env.BLOBS, {
      get: (target, name) => {
        calls.push(String(name))
        const method: unknown = Reflect.get(target, name)
        return typeof method === 'function' ? method.bind(target) : method
      },
    })
    const blob = await upstreamed(4 * MiB)
    const note = async () => void calls.push('note')
    const { fill } = await fillOf(blob, { bucket, note })
    expect(calls).toEqual(['put'])
    expect(fill.hasSegments).toBe(false)
  })
})

const SMALLEST_PART = 8 * MiB

describe('a blob that is too large for one put', () => {
  const size = 2.5 * SMALLEST_PART

  it.each([
    { name: 'of known size', fault: {} },
    { name: 'of unknown size', fault: CHUNKED },
  ])('$name is stored in parts', async ({ fault }) => {
    const blob = await upstreamed(size, fault)
    const { end } = await fillOf(blob, { blobs: new BlobStore(env.BLOBS, MiB) })
    expect(end).toEqual({ state: 'stored', size })
    await expectOnly(blob, true)
    expect((await env.BLOBS.head(blob.key))?.etag).toMatch(/-3$/)
  })

  it.each([
    { name: 'wrong bytes', fault: { bytes: new Uint8Array([7, 8, 9]) } },
    { name: 'wrong bytes, chunked', fault: { bytes: new Uint8Array([7]), ...CHUNKED } },
    { name: 'a body that is cut', fault: { truncateAt: 0.7, headers: { 'Accept-Ranges': null } } },
  ])('is not completed with $name', async ({ fault }) => {
    const blob = await upstreamed(size, fault)
    const calls: string[] = []
    const createMultipartUpload = async (key: string, options: R2MultipartOptions) => {
      const upload = await env.BLOBS.createMultipartUpload(key, options)
      return new Proxy(upload, {
        get: (target, name) => {
          calls.push(String(name))
          const method: unknown = Reflect.get(target, name)
          return typeof method === 'function' ? method.bind(target) : method
        },
      })
    }
    const bucket = broken(env.BLOBS, { createMultipartUpload })
    const { end } = await fillOf(blob, { bucket, blobs: new BlobStore(bucket, MiB) })
    expect(end.state).toBe('failed')
    expect(calls).not.toContain('complete')
    if (calls.length > 0) expect(calls.at(-1)).toBe('abort')
    await expectOnly(blob, false)
  })

  it('is put together from its segments when its upload cannot be created', async () => {
    const blob = await upstreamed(size)
    let calls = 0
    const createMultipartUpload = (key: string, options: R2MultipartOptions) =>
      calls++ === 0 ? storageIsAway() : env.BLOBS.createMultipartUpload(key, options)
    const blobs = new BlobStore(broken(env.BLOBS, { createMultipartUpload }), MiB)
    const { end } = await fillOf(blob, { blobs })
    expect(end.state).toBe('stored')
    await expectOnly(blob, true)
  })
})

describe('the size that a manifest states', () => {
  const stated = async (statedSize: () => Promise<number | undefined>, fault: Fault) => {
    const blob = await upstreamed(LARGE, fault)
    return (await fillOf(blob, { statedSize })).end
  }

  it('is not asked for when the upstream says', async () => {
    expect((await stated(storageIsAway, {})).state).toBe('stored')
  })

  it('counts when it does not', async () => {
    expect(await stated(async () => LARGE, CHUNKED)).toEqual({ state: 'stored', size: LARGE })
    expect(await stated(async () => LARGE + 1, CHUNKED)).toMatchObject({
      failure: { kind: 'invalid' },
    })
    expect(await stated(async () => LARGE - 1, CHUNKED)).toMatchObject({
      failure: { kind: 'invalid' },
    })
  })

  it('can be missing, fail or stay away', async () => {
    for (const statedSize of [async () => undefined, storageIsAway, silence]) {
      expect((await stated(statedSize, CHUNKED)).state).toBe('stored')
    }
  })
})

describe('the last byte', () => {
  it('is in no segment before the digest holds, however slowly it comes', async () => {
    const ended = Promise.withResolvers<void>()
    const { promise, resolve } = Promise.withResolvers<void>()
    // Every byte has been sent, but the body has not ended.
    const blob = await upstreamed(LARGE)
    const source = await blob.open()
    const read = source.read.bind(source)
    source.read = async () => {
      const chunk = await read()
      if (chunk !== undefined) return chunk
      ended.resolve()
      await promise
      return undefined
    }
    const fill = new Fill(givenFor(blob, { open: async () => source }))
    const run = fill.run()
    await ended.promise
    // Many times longer than it takes for waiting bytes to be cut.
    await new Promise((done) => setTimeout(done, 30 * IMPATIENCE.cut))
    const early = await readSegments(fill)
    expect(early.byteLength).toBeGreaterThan(0)
    expect(early.byteLength).toBeLessThan(LARGE)
    expect(fill.progress(0)).toMatchObject({ state: 'filling', isComplete: false })
    resolve()
    await run
    expect(fill.end?.state).toBe('stored')
  })
})

describe('a fill that nobody waits for', () => {
  it('is given up in the end, with a line in the log and nothing left', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const blob = await upstreamed(LARGE, { hold: promise, after: MiB })
    const lines: unknown[] = []
    let isAbandoned = false
    const log = (event: string, fields: unknown) => void lines.push(event, fields)
    const fill = new Fill(givenFor(blob, { isAbandoned: () => isAbandoned, log }))
    const run = fill.run()
    await fill.changed()
    isAbandoned = true
    await run
    expect(fill.end).toMatchObject({ failure: { kind: 'unavailable', isTimeout: true } })
    expect(lines).toEqual(['fill-failed', expect.objectContaining({ key: blob.key })])
    await fill.removeSegments()
    expect(await keysIn('')).toEqual([])
    resolve()
  })
})

describe('an error of our own', () => {
  it('ends the fill like any other, and clients get on without it', async () => {
    const blob = await upstreamed(KiB)
    const open = async () => {
      throw new TypeError('a bug')
    }
    const { fill } = await fillOf(blob, { open })
    expect(fill.end).toMatchObject({ state: 'failed', failure: { kind: 'storage' } })
  })
})
