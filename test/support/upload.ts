// Upload sessions as tests drive them: within an object of their own, with limits and storage of the test's
// choice, and with real claims behind them.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SpareBuffers } from '../../src/hosted/spare-buffers.ts'
import { Upload } from '../../src/hosted/upload-session.ts'
import type { Chunk, UploadGiven, UploadLimits } from '../../src/hosted/upload-session.ts'
import { UPLOAD_LIMITS } from '../../src/hosted/upload.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Algorithm, Digest } from '../../src/oci/digest.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { MiB, expectBytes, keysIn } from './blob.ts'
import { broken } from './broken.ts'
import { repository } from './parsed.ts'

/** R2 takes no smaller parts; the fewer bytes, the quicker the tests. */
export const PART = 5 * MiB

const REPOSITORY = repository('hosted/a')

/** The body says nothing of itself, as docker's. */
export const STREAM: Chunk = { range: undefined, length: undefined }

/** A chunk with its `Content-Range`. */
export function chunkAt(first: number, size: number, length: number | undefined = size): Chunk {
  return { range: { first, last: first + size - 1 }, length }
}

/** What a body is made of: chunks, and whether it breaks off after them. */
export function bodyOf(chunks: readonly Uint8Array[], isCut = false): ReadableStream<Uint8Array> {
  const rest = [...chunks]
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = rest.shift()
      if (chunk !== undefined) controller.enqueue(chunk)
      else if (isCut) controller.error(new Error('Network connection lost.'))
      else controller.close()
    },
  })
}

/** A body whose next chunk comes when the test says so. */
export interface HeldBody {
  readonly body: ReadableStream<Uint8Array>
  readonly send: (chunk: Uint8Array) => void
  readonly end: () => void
  /** Resolves when somebody reads it. */
  readonly asked: Promise<void>
  /** Resolves when whoever reads it reads no further. */
  readonly cancelled: Promise<void>
}

/** Makes such a body. */
export function heldBody(): HeldBody {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>()
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
  let held: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        held = controller
      },
      pull: () => ask(),
      cancel: () => resolve(),
    },
    { highWaterMark: 0 },
  )
  return {
    body,
    asked,
    cancelled,
    send: (chunk) => held?.enqueue(chunk),
    end: () => held?.close(),
  }
}

/** A body that is refused: the client that still writes it sees the answer only when somebody has read it. */
export function refusedBody(): {
  readonly body: ReadableStream<Uint8Array>
  readonly isDrained: () => boolean
} {
  let left = 3
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        left -= 1
        if (left < 0) controller.close()
        else controller.enqueue(new Uint8Array(1))
      },
    },
    { highWaterMark: 0 },
  )
  return { body, isDrained: () => left < 0 }
}

/** Cuts bytes into pieces of one size. */
export function piecesOf(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.byteLength / size) }, (_, n) =>
    bytes.subarray(n * size, (n + 1) * size),
  )
}

/** Noise, and its digest. */
export async function noise(
  size: number,
  algorithm: Algorithm = 'sha256',
): Promise<{ readonly bytes: Uint8Array; readonly digest: Digest }> {
  const bytes = sampleBytes(size, size + 1)
  return { bytes, digest: await digestOf(bytes, algorithm) }
}

/** A session, as a test uses it. */
export interface Session {
  /** The object as it is now. */
  readonly upload: Upload
  readonly storage: DurableObjectStorage
  /** Loses the object's memory; `upload` is a new one from now on. */
  readonly evict: () => void
  /** All at once, by the bytes' own digest. */
  readonly append: (bytes: Uint8Array) => ReturnType<Upload['append']>
  readonly close: (digest: Digest) => ReturnType<Upload['close']>
  /** Waits for all work that outlives an answer. */
  readonly settle: () => Promise<void>
  readonly log: readonly string[]
  /** Rows of the tail. */
  readonly rows: () => number
  readonly stage: () => string | undefined
  readonly alarmIn: (now: number) => Promise<number | undefined>
}

/** What a test changes. */
export interface SessionOptions {
  readonly limits?: Partial<UploadLimits>
  readonly given?: Partial<UploadGiven>
  /** Makes what the session is given of what it would be given. */
  readonly change?: (given: UploadGiven, state: DurableObjectState) => Partial<UploadGiven>
}

/** Uses the session of that name within its object; it is not opened yet. */
export async function inSession<Value>(
  use: (session: Session) => Promise<Value>,
  options: SessionOptions = {},
  name: string = crypto.randomUUID(),
): Promise<Value> {
  const stub = env.UPLOAD_SESSION.getByName(`${REPOSITORY} ${name}`)
  return runInDurableObject(stub, async (_, state) => {
    const { storage } = state
    const work: Promise<unknown>[] = []
    const log: string[] = []
    const usual: UploadGiven = {
      name: { repository: REPOSITORY, session: name },
      storage,
      bucket: env.BLOBS,
      spareBuffers: new SpareBuffers(1),
      adopt: async (digest, content) => env.BLOB_CLAIMS.getByName(digest).adopt(content),
      disown: async (digest, id) => env.BLOB_CLAIMS.getByName(digest).disown(id),
      hold,
      now: () => Date.now(),
      defer: (one) => void work.push(one),
      log: (event) => void log.push(event),
      ...options.given,
    }
    const given = { ...usual, ...options.change?.(usual, state) }
    const limits = { ...UPLOAD_LIMITS, partSize: PART, ...options.limits }
    let upload = new Upload(given, limits)
    const value = await use({
      get upload() {
        return upload
      },
      storage,
      log,
      evict: () => {
        upload = new Upload(given, limits)
      },
      append: (bytes) => upload.append(STREAM, bodyOf([bytes])),
      close: (digest) => upload.close({ ...STREAM, digest }, null),
      settle: async () => void (await Promise.all(work)),
      rows: () => Number(storage.sql.exec('SELECT count(*) AS rows FROM tail').one()['rows']),
      stage: () => stageOf(storage),
      alarmIn: async (now) => {
        const alarm = await storage.getAlarm()
        return alarm === null ? undefined : alarm - now
      },
    })
    await Promise.all(work)
    return value
  })
}

/** The stage in the session's row; undefined when the object is empty. */
function stageOf(storage: DurableObjectStorage): string | undefined {
  if (tablesOf(storage).length === 0) return undefined
  return storage.sql.exec<{ stage: string }>('SELECT stage FROM session').toArray()[0]?.stage
}

function tablesOf(storage: DurableObjectStorage): string[] {
  const tables = storage.sql.exec<{ name: string }>('SELECT name FROM sqlite_master').toArray()
  return tables.map(({ name }) => name).filter((name) => !name.startsWith('_cf'))
}

/** Fails unless the object has no table and no alarm. */
export async function expectEmpty(storage: DurableObjectStorage): Promise<void> {
  expect(tablesOf(storage)).toEqual([])
  expect(await storage.getAlarm()).toBeNull()
}

async function hold(digest: Digest) {
  const answer = await env.BLOB_CLAIMS.getByName(digest).claim(REPOSITORY, 1)
  if (!answer.ok) return { ok: false, reason: 'absent' } as const
  return { ok: true, size: answer.content.size } as const
}

/** Fails unless these bytes, as the blob of this digest, are all that R2 has of uploads. */
export async function expectStored(bytes: Uint8Array, digest: Digest): Promise<void> {
  const claim = await hold(digest)
  expect(claim).toEqual({ ok: true, size: bytes.byteLength })
  const answer = await env.BLOB_CLAIMS.getByName(digest).claim(REPOSITORY, 1)
  const key = hostedContentKey(answer.ok ? answer.content.id : expect.fail('nobody has it'))
  expect(await keysIn('hosted/content/')).toEqual([key])
  expectBytes((await (await env.BLOBS.get(key))?.bytes()) ?? new Uint8Array(), bytes)
}

/** Fails unless R2 has nothing of uploads. */
export async function expectNothingStored(): Promise<void> {
  expect(await keysIn('hosted/content/')).toEqual([])
}

/** A bucket that is watched. */
export interface WatchedBucket {
  readonly bucket: R2Bucket
  /** Operations so far, by their names. */
  readonly operations: string[]
  /** Multipart uploads that were begun and neither completed nor aborted. */
  readonly open: Set<string>
}

/** Is called around each operation that the session asks of R2. */
export type Around = <Value>(operation: string, run: () => Promise<Value>) => Promise<Value>

const passing: Around = (_, run) => run()

/** The bucket, with every operation counted and passed through `around`. */
export function watchBucket(around: Around = passing): WatchedBucket {
  const operations: string[] = []
  const open = new Set<string>()
  const asked = <Value>(operation: string, run: () => Promise<Value>): Promise<Value> => {
    operations.push(operation)
    return around(operation, run)
  }
  const watch = (upload: R2MultipartUpload): R2MultipartUpload =>
    broken(upload, {
      uploadPart: (number: number, bytes: Uint8Array) =>
        asked('uploadPart', () => upload.uploadPart(number, bytes)),
      complete: (parts: R2UploadedPart[]) =>
        asked('complete', async () => {
          const object = await upload.complete(parts)
          open.delete(upload.uploadId)
          return object
        }),
      abort: () =>
        asked('abort', async () => {
          await upload.abort()
          open.delete(upload.uploadId)
        }),
    })
  const { BLOBS } = env
  const bucket = broken(BLOBS, {
    createMultipartUpload: (key: string) =>
      asked('create', async () => {
        const upload = await BLOBS.createMultipartUpload(key)
        open.add(upload.uploadId)
        return watch(upload)
      }),
    resumeMultipartUpload: (key: string, id: string) => watch(BLOBS.resumeMultipartUpload(key, id)),
    put: (key: string, bytes: Uint8Array, options: R2PutOptions) =>
      asked('put', () => BLOBS.put(key, bytes, options)),
    get: (key: string) => asked('get', () => BLOBS.get(key)),
    head: (key: string) => asked('head', () => BLOBS.head(key)),
    delete: (key: string) => asked('delete', () => BLOBS.delete(key)),
  })
  return { bucket, operations, open }
}
