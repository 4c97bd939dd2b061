// Storage and objects that fail on the Worker's side of a blob, over HTTP: the client is served all the same,
// or cut where the bytes are not to be had; never is it given an error page or other bytes (design §2,
// property 8). What the object's side does is in test/mirror/fill.test.ts.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { BlobFill } from '../../src/objects.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
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
import { broken, cutBody, storageIsAway } from '../support/broken.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const
const SIZE = 6 * MiB

let upstream: SampleUpstream

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

type Broken = Readonly<Record<string, unknown>>

/** R2 of which a method does something else for the segments of fills. */
function segments(
  get: (key: string, options?: R2GetOptions) => Promise<R2ObjectBody | null>,
): Broken {
  const real = env.BLOBS.get.bind(env.BLOBS)
  const method = (key: string, options?: R2GetOptions) =>
    key.startsWith('fills/') ? get(key, options) : real(key, options)
  return { BLOBS: broken(env.BLOBS, { get: method }) }
}

/** Objects that answer as `methods` say. */
function objects(methods: (stub: DurableObjectStub<BlobFill>) => Broken): Broken {
  const getByName = (name: string) => {
    const stub = env.BLOB_FILL.getByName(name)
    const replaced = methods(stub)
    return new Proxy(stub, {
      get: (_, method) => replaced[String(method)] ?? Reflect.get(stub, method),
    })
  }
  return { BLOB_FILL: broken(env.BLOB_FILL, { getByName }) }
}

const AWAY: readonly { readonly name: string; readonly bindings: () => Broken }[] = [
  {
    name: 'R2 fails whatever it is asked',
    bindings: () => ({
      BLOBS: broken(env.BLOBS, { get: storageIsAway, head: storageIsAway, put: storageIsAway }),
    }),
  },
  {
    name: 'the object cannot be reached',
    bindings: () => objects(() => ({ begin: storageIsAway })),
  },
  {
    name: 'the namespace of objects fails',
    bindings: () => ({
      BLOB_FILL: broken(env.BLOB_FILL, {
        getByName: () => {
          throw new Error('overloaded')
        },
      }),
    }),
  },
  {
    name: 'the object says that storage fails',
    bindings: () => {
      const failure = { kind: 'storage', reason: 'away' }
      return objects(() => ({ begin: async () => ({ state: 'failed', failure }) }))
    },
  },
  {
    name: 'the object says that it is stored, and it is not',
    bindings: () => objects(() => ({ begin: async () => ({ state: 'stored', size: 1 }) })),
  },
]

describe.each([100 * KiB, SIZE])('a blob of %i bytes while $name', (size) => {
  describe.each(AWAY)('$name', ({ bindings }) => {
    it('is streamed from the upstream, past the cache', async () => {
      const blob = await addSampleBlob(upstream, size)
      const worker = isolate(bindings())
      const response = await worker.get(blob.path)
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-status')).toBe('entrepot; fwd=miss')
      expect(response.headers.get('content-length')).toBe(String(size))
      expectBytes(await bytesOf(response), blob.bytes)
      expect(worker.lines('blob-past-cache')).toHaveLength(1)
      expect(upstream.count(BLOB_GET)).toBe(1)
    })

    it('sends its first byte before its last one has come', async () => {
      const blob = await addSampleBlob(upstream, size)
      const { release, isReleased } = withhold(upstream, size - 1)
      const body = openBody(await isolate(bindings()).get(blob.path))
      // One piece is held back until the digest holds, so a blob of one piece has to wait.
      const pieces = size === SIZE ? [await body.piece()] : []
      expect(isReleased()).toBe(false)
      release()
      expectBytes(join([...pieces, await body.rest()]), blob.bytes)
    })

    it('is not served complete when it is wrong', async () => {
      const blob = await addSampleBlob(upstream, size)
      upstream.fault({ on: BLOB_GET, do: { bytes: new Uint8Array([1, 2, 3]) } })
      const { bytes, isWhole } = await openBody(await isolate(bindings()).get(blob.path)).remains()
      expect(isWhole).toBe(false)
      expect(bytes.byteLength).toBeLessThan(size)
    })

    it('gives a range, its size, and its absence', async () => {
      const blob = await addSampleBlob(upstream, size)
      const worker = isolate(bindings())
      const response = await worker.get(blob.path, { range: 'bytes=10-19' })
      expect(response.status).toBe(206)
      expect(response.headers.get('content-range')).toBe(`bytes 10-19/${size}`)
      expectBytes(await bytesOf(response), blob.bytes.slice(10, 20))
      const outside = await worker.get(blob.path, { range: `bytes=${size}-` })
      expect(await refusalOf(outside)).toBe('416 SIZE_INVALID')
      const head = await worker.head(blob.path)
      expect(head.headers.get('content-length')).toBe(String(size))
      upstream.deleteBlob(blob.name, blob.digest)
      expect(await refusalOf(await worker.get(blob.path))).toBe('404 BLOB_UNKNOWN')
    })
  })
})

interface Row {
  readonly name: string
  readonly bindings: () => Broken
}

const MIDSTREAM: readonly Row[] = [
  { name: 'segments are gone', bindings: () => segments(async () => null) },
  { name: 'segments cannot be read', bindings: () => segments(storageIsAway) },
  {
    name: 'the body of a segment fails every time',
    bindings: () =>
      segments(async (key, options) => {
        const object = await env.BLOBS.get(key, options)
        return object && withBody(object, cutBody(object.body, 1000))
      }),
  },
  {
    name: 'a call for progress is lost',
    bindings: () => {
      let calls = 0
      return objects((stub) => ({
        progress: (id: string, from: number) =>
          calls++ % 2 === 0 ? storageIsAway() : stub.progress(id, from),
      }))
    },
  },
]

function withBody(object: R2ObjectBody, body: ReadableStream): R2ObjectBody {
  return new Proxy(object, {
    get: (target, name) => (name === 'body' ? body : Reflect.get(target, name)),
  })
}

describe('a client in mid-stream', () => {
  it.each(MIDSTREAM)('gets every byte once when $name', async ({ bindings }) => {
    const blob = await addSampleBlob(upstream, SIZE)
    const { release } = withhold(upstream, 3 * MiB)
    const whole = openBody(await isolate(bindings()).get(blob.path))
    const part = await isolate(bindings()).get(blob.path, { range: `bytes=100000-${SIZE - 5}` })
    release()
    expectBytes(await whole.rest(), blob.bytes)
    expectBytes(await bytesOf(part), blob.bytes.slice(100_000, SIZE - 4))
    await expectStored(blob)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it('goes on in the stored blob at its exact byte when its segments are removed', async () => {
    const blob = await addSampleBlob(upstream, SIZE)
    const { release } = withhold(upstream, 3 * MiB)
    const body = openBody(await isolate().get(blob.path))
    const first = await body.piece()
    release()
    // The client stops here, until the fill has ended and cleared up.
    await expectStored(blob)
    expectBytes(join([first, await body.rest()]), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(1)
  })

  it('is cut when neither segments nor the blob can be read', async () => {
    const blob = await addSampleBlob(upstream, SIZE)
    const { release } = withhold(upstream, 3 * MiB)
    let isAway = false
    const get = (key: string, options?: R2GetOptions) =>
      isAway ? storageIsAway() : env.BLOBS.get(key, options)
    const body = openBody(await isolate({ BLOBS: broken(env.BLOBS, { get }) }).get(blob.path))
    await body.piece()
    isAway = true
    release()
    expect((await body.remains()).isWhole).toBe(false)
    await expectStored(blob)
  })

  it('is cut when the object cannot be asked any more and nothing is stored', async () => {
    const blob = await addSampleBlob(upstream, SIZE)
    const { release } = withhold(upstream, 3 * MiB)
    const away = objects(() => ({ progress: storageIsAway }))
    const body = openBody(await isolate(away).get(blob.path))
    await body.piece()
    expect((await body.remains()).isWhole).toBe(false)
    release()
    await expectStored(blob)
  })
})
