// A client's side of a fill, with the object played by the test: every byte exactly once, whatever vanishes
// when, and a body that is cut, never ended, when the bytes are not to be had.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { FillReader } from '../../src/mirror/fill-reader.ts'
import type { FillReaderGiven, Slice } from '../../src/mirror/fill-reader.ts'
import type { FillEnd, FillProgress } from '../../src/mirror/fill.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { mirroredBlobKey } from '../../src/storage/keys.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { expectBytes, join, openBody } from '../support/blob.ts'
import { broken, silence, storageIsAway } from '../support/broken.ts'
import { IMPATIENCE } from '../support/fill.ts'
import { repository } from '../support/parsed.ts'

const ID = 'the-fill'
const LENGTHS = [10, 20, 300_000, 40]
const SIZE = LENGTHS.reduce((a, b) => a + b, 0)
const BYTES = sampleBytes(SIZE)

type Answer = Awaited<ReturnType<FillReaderGiven['progress']>>

let key: StorageKey

beforeEach(async () => {
  key = mirroredBlobKey(
    { host: 'one.test', repository: repository('a/b') },
    false,
    await digestOf(BYTES),
  )
  let offset = 0
  for (const [n, length] of LENGTHS.entries()) {
    await env.BLOBS.put(`fills/${ID}/${n}`, BYTES.subarray(offset, offset + length))
    offset += length
  }
})

afterEach(() => reset())

const store = () => env.BLOBS.put(key, BYTES)

/** A fill that has so many segments. */
function filling(
  segments: readonly number[],
  isComplete = false,
  size: number | undefined = SIZE,
): FillProgress & { readonly state: 'filling' } {
  return { state: 'filling', id: ID, size, segments, isComplete }
}

const WHOLE: Slice = { offset: 0, end: SIZE }
const UNSIZED: Slice = { offset: 0, end: undefined }
const STORED: FillEnd = { state: 'stored', size: SIZE }
const FAILED: FillEnd = { state: 'failed', failure: { kind: 'storage', reason: 'away' } }
const GONE = { state: 'gone' } as const

/** Reads with an object that gives these answers, the last one for ever. */
function read(
  slice: Slice,
  answers: readonly (Answer | 'lost')[],
  changed: Partial<FillReaderGiven> & {
    readonly ends?: readonly (FillEnd | typeof GONE | undefined)[]
  } = {},
) {
  const [first, ...rest] = answers
  const { ends = [STORED], ...given } = changed
  const calls: number[] = []
  let ended = 0
  const progress = async (_: string, from: number): Promise<Answer> => {
    const answer = rest[Math.min(calls.length, rest.length - 1)]
    calls.push(from)
    if (answer === undefined || answer === 'lost') throw new Error('Network connection lost.')
    return answer
  }
  const running = typeof first === 'object' && first.state === 'filling' ? first : filling([])
  const { body, work } = FillReader.read(
    {
      key,
      bucket: env.BLOBS,
      blobs: new BlobStore(env.BLOBS),
      progress,
      end: async () => ends[Math.min(ended++, ends.length - 1)],
      ...given,
    },
    running,
    slice,
    IMPATIENCE,
  )
  return { ...openBody(body), work, calls }
}

/** R2 that does something else for segment `n`. */
function segment(
  n: number,
  get: (key: string, options?: R2GetOptions) => Promise<R2ObjectBody | null>,
) {
  const bucket = broken(env.BLOBS, {
    get: (asked: string, options?: R2GetOptions) =>
      asked.endsWith(`/${n}`) ? get(asked, options) : env.BLOBS.get(asked, options),
  })
  return { bucket }
}

describe('a slice', () => {
  const edges = [0, 1, 9, 10, 11, 29, 30, 31, 1000, 300_029, 300_030, SIZE - 1, SIZE]
  const slices = edges.flatMap((offset) =>
    edges.filter((end) => end > offset).map((end) => ({ offset, end })),
  )

  it.each(slices)('$offset-$end', async (slice) => {
    const { rest, work } = read(slice, [filling([10]), filling([20, 300_000]), filling([40], true)])
    expectBytes(await rest(), BYTES.slice(slice.offset, slice.end))
    await work
  })
})

interface Row {
  readonly name: string
  readonly slice?: Slice
  readonly isStored?: boolean
  readonly answers: readonly (Answer | 'lost')[]
  readonly given?: () => Parameters<typeof read>[2]
  /** How many bytes the client has when the body ends or is cut. */
  readonly want: number
  readonly isWhole: boolean
}

const ALL = filling(LENGTHS, true)
const GROWING = [filling([10]), filling([20]), filling([300_000]), filling([40], true)]

const ROWS: readonly Row[] = [
  { name: 'everything is there', answers: [ALL], want: SIZE, isWhole: true },
  { name: 'segments come one by one', answers: GROWING, want: SIZE, isWhole: true },
  {
    name: 'answers bring no news',
    answers: [filling([]), filling([]), ALL],
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the blob is stored half-way',
    answers: [filling([10, 20]), STORED],
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the object was reset and the blob is stored',
    answers: [filling([10, 20]), GONE],
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  { name: 'the object was reset', answers: [filling([10, 20]), GONE], want: 30, isWhole: false },
  { name: 'the fill fails', answers: [filling([10, 20]), FAILED], want: 30, isWhole: false },
  {
    name: 'one call is lost',
    answers: [filling([10, 20]), 'lost', filling([300_000, 40], true)],
    want: SIZE,
    isWhole: true,
  },
  { name: 'every call is lost', answers: [filling([10]), 'lost'], want: 10, isWhole: false },
  {
    name: 'a segment is gone and the blob will be stored',
    answers: [ALL],
    given: () => ({ ...segment(2, async () => null), ends: [undefined, undefined, STORED] }),
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'a segment is gone and the fill fails',
    answers: [ALL],
    given: () => ({ ...segment(2, async () => null), ends: [FAILED] }),
    want: 30,
    isWhole: false,
  },
  {
    name: 'a segment cannot be read once',
    answers: [ALL],
    given: () => {
      let calls = 0
      return segment(2, (...args) => (calls++ === 0 ? storageIsAway() : env.BLOBS.get(...args)))
    },
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'a segment never answers',
    answers: [ALL],
    given: () => segment(1, silence),
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the stored blob cannot be read once',
    answers: [filling([10]), STORED],
    isStored: true,
    given: () => {
      let calls = 0
      const get = (asked: string, options?: R2GetOptions) =>
        calls++ === 0 ? storageIsAway() : env.BLOBS.get(asked, options)
      return { blobs: new BlobStore(broken(env.BLOBS, { get })) }
    },
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the size is unknown',
    slice: UNSIZED,
    answers: [filling([10], false, undefined), filling([20, 300_000, 40], true, undefined)],
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the size is unknown and the blob is stored half-way',
    slice: UNSIZED,
    answers: [filling([10, 20], false, undefined), STORED],
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the size is unknown and all was read when it is stored',
    slice: UNSIZED,
    answers: [filling(LENGTHS, false, undefined), STORED],
    isStored: true,
    want: SIZE,
    isWhole: true,
  },
  {
    name: 'the size is unknown and the fill fails at its end',
    slice: UNSIZED,
    answers: [filling(LENGTHS, false, undefined), FAILED],
    want: SIZE,
    isWhole: false,
  },
  {
    name: 'the size is unknown and the object was reset at its end',
    slice: UNSIZED,
    answers: [filling(LENGTHS, false, undefined), GONE],
    want: SIZE,
    isWhole: false,
  },
]

describe('a body', () => {
  it.each(ROWS)('when $name', async ({ slice = WHOLE, isStored, answers, given, ...want }) => {
    if (isStored) await store()
    const { remains, work } = read(slice, answers, given?.())
    const { bytes, isWhole } = await remains()
    expectBytes(bytes, BYTES.slice(0, want.want))
    expect(isWhole).toBe(want.isWhole)
    await work
  })
})

describe('a client that leaves', () => {
  it('ends the work and lets go of what is being read', async () => {
    const cancelled = vi.fn<() => void>()
    const get = async (asked: string, options?: R2GetOptions) => {
      const object = await env.BLOBS.get(asked, options)
      if (object === null) return null
      // A body without an end.
      const body = new ReadableStream({
        type: 'bytes',
        autoAllocateChunkSize: 1000,
        pull: (controller) => {
          controller.enqueue(new Uint8Array(1000))
        },
        cancel: cancelled,
      })
      return new Proxy(object, {
        get: (target, name) => (name === 'body' ? body : Reflect.get(target, name)),
      })
    }
    const { piece, cancel, work } = read(WHOLE, [ALL], { ...segment(2, get) })
    join([await piece(), await piece(), await piece()])
    await cancel()
    await work
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce())
  })

  it('that does not read is waited for, and costs no call', async () => {
    const { rest, calls, work } = read(WHOLE, GROWING)
    await new Promise((done) => setTimeout(done, 20))
    expect(calls).toEqual([])
    expectBytes(await rest(), BYTES)
    expect(calls).toEqual([1, 2, 3])
    await work
  })
})
