// The blobs of a mirrored repository as a request sees them: from R2, else from a fill, else, while storage
// or the fill's object is away, past the cache.

import type { Digest } from '../oci/digest.ts'
import { resolveRange } from '../oci/range.ts'
import type { ByteRange, ResolvedRange } from '../oci/range.ts'
import type { Seams } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import { canonicalName, mirroredBlobKey } from '../storage/keys.ts'
import type { MirroredName, StorageKey } from '../storage/keys.ts'
import type { LocatedBlob } from '../storage/located-blob.ts'
import { openBlobRange } from '../upstream/blob-range.ts'
import type { BlobPart } from '../upstream/blob-range.ts'
import { openBlob } from '../upstream/blob-source.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import { failureOf } from '../upstream/error.ts'
import { RequestAdmission } from './admission.ts'
import type { Admit, MirrorFailure } from './admission.ts'
import { streamDirectly, streamPart } from './direct.ts'
import type { FillGone, FillRequest } from './fill-keeper.ts'
import { FillReader } from './fill-reader.ts'
import type { Slice } from './fill-reader.ts'
import type { FillEnd, FillProgress } from './fill.ts'
import { storing } from './output.ts'
import { PATIENCE } from './patience.ts'
import type { Patience } from './patience.ts'

/** A range that begins no further ahead of a fill waits for it (bytes). */
const MAX_AHEAD = 32 * 1024 * 1024

/** A blob, or the part of it that was asked for. */
export interface ServedBlob {
  readonly ok: true
  /** Bytes of the whole blob, where they are known before its end. */
  readonly size: number | undefined
  /** The part that `body` holds; `undefined`: all of it. */
  readonly range: ResolvedRange | undefined
  /** Absent where only the size was asked for. */
  readonly body: ReadableStream<Uint8Array> | undefined
  /** Where all of it is stored, where that was asked for and is so; then there is no body. */
  readonly place: LocatedBlob | undefined
  readonly outcome: 'hit' | 'fill' | 'direct'
}

/** What becomes of a question for a blob. */
export type BlobAnswer =
  | ServedBlob
  | { readonly ok: false; readonly unsatisfiable: number }
  | { readonly ok: false; readonly failure: MirrorFailure }

/**
 * What is asked for: bytes, all or some, or only the size. `place`: where the blob is stored, and while it is not, the
 * bytes.
 */
export type BlobQuestion =
  | { readonly wants: 'size' }
  | { readonly wants: 'bytes' | 'place'; readonly range: ByteRange | undefined }

/** A question, and by when (milliseconds of the clock) its client must have headers. */
interface Asked {
  readonly digest: Digest
  readonly question: BlobQuestion
  readonly until: number
}

/** A `BlobFill` as this room sees it. */
export interface FillStub {
  join(request: FillRequest): Promise<FillProgress | undefined>
  begin(request: FillRequest): Promise<FillProgress>
  progress(id: string, from: number): Promise<FillProgress | FillGone>
  end(id: string): Promise<FillEnd | FillGone | undefined>
  beginDetour(): Promise<string | undefined>
  endDetour(id: string): Promise<void>
}

/** What reading blobs needs. */
export interface MirroredBlobsGiven {
  readonly name: MirroredName
  readonly client: UpstreamClient
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  readonly fillOf: (key: StorageKey) => FillStub
  /** Of the one request that this is for. */
  readonly admit: Admit
  readonly seams: Seams
}

/** Reads the blobs of one repository, for one request. */
export class MirroredBlobs {
  readonly #given: MirroredBlobsGiven
  readonly #patience: Patience
  readonly #admission: RequestAdmission

  /** `patience` is shortened by tests. */
  constructor(given: MirroredBlobsGiven, patience: Patience = PATIENCE) {
    this.#given = given
    this.#patience = patience
    this.#admission = new RequestAdmission(given.admit)
  }

  /** Answers from the first source that has the blob. */
  async get(digest: Digest, question: BlobQuestion): Promise<BlobAnswer> {
    const { name, client, seams } = this.#given
    const key = mirroredBlobKey(name, client.upstream.isPrivate(name.repository), digest)
    const asked = { digest, question, until: seams.now() + this.#patience.answer }
    try {
      return (await this.#stored(key, question)) ?? (await this.#filled(key, asked))
    } catch (error) {
      // R2 or the object failed, not the upstream: clients are served all the same.
      const repository = canonicalName(name)
      seams.log('blob-past-cache', { repository, digest, reason: String(error) })
      return this.#direct(asked)
    }
  }

  async #stored(key: StorageKey, question: BlobQuestion): Promise<BlobAnswer | undefined> {
    const { blobs } = this.#given
    if (question.wants === 'size') {
      const size = await storing(blobs.head(key), this.#patience.lookup)
      return size === undefined ? undefined : sized(size, 'hit')
    }
    if (question.wants === 'place') {
      const place = await storing(blobs.locate(key), this.#patience.lookup)
      return place && placed(place, question.range)
    }
    const blob = await storing(blobs.get(key, question.range), this.#patience.lookup)
    if (blob === undefined) return undefined
    if ('unsatisfiable' in blob) return { ok: false, unsatisfiable: blob.unsatisfiable }
    const { size, body, offset, length } = blob
    const range = question.range === undefined ? undefined : { offset, length }
    return { ok: true, size, range, body, place: undefined, outcome: 'hit' }
  }

  async #filled(key: StorageKey, asked: Asked): Promise<BlobAnswer> {
    const { name, fillOf } = this.#given
    const { digest, question } = asked
    const wants = question.wants === 'size' ? 'size' : 'bytes'
    const request = { ...name, digest, key, wants } as const
    const beginning = this.#admission.ask(
      () => fillOf(key).join(request),
      () => fillOf(key).begin(request),
    )
    const progress = await storing(beginning, this.#patience.begin)
    if ('ok' in progress) return progress
    if (progress.state === 'stored') {
      const stored = await this.#stored(key, question)
      if (stored === undefined) throw new Error('the blob was removed while it was being served')
      return 'outcome' in stored ? { ...stored, outcome: 'fill' } : stored
    }
    if (progress.state === 'filling') {
      return (await this.#detour(key, progress, asked)) ?? this.#running(key, progress, question)
    }
    const { failure } = progress
    if (failure.kind === 'storage') throw new Error(failure.reason)
    return { ok: false, failure }
  }

  /** A range that begins far ahead of the fill is asked of the upstream by itself, if there are not too many. */
  async #detour(
    key: StorageKey,
    running: FillProgress & { readonly state: 'filling' },
    asked: Asked,
  ): Promise<BlobAnswer | undefined> {
    const { fillOf, seams } = this.#given
    const { size, segments } = running
    const range = rangeAhead(asked.question, size, segments)
    if (range === undefined || size === undefined) return undefined
    // Whoever is not admitted waits for the fill, which it has not caused.
    if ((await this.#admission.refusal()) !== undefined) return undefined
    const begun = fillOf(key).beginDetour()
    const { promise: over, resolve: end } = Promise.withResolvers<void>()
    // Deferred before anything is waited for: a client that leaves, or an id that comes late, holds no place.
    seams.defer(this.#endDetour(key, begun, over))
    let streaming: Promise<void> | undefined
    try {
      const id = await storing(begun, this.#patience.lookup)
      if (id === undefined) return undefined
      const part = await this.#part({ digest: asked.digest, range, size }, asked.until)
      if (part === undefined) return undefined
      const { body, work } = streamPart(part, range.length)
      streaming = work
      return { ok: true, size, range, body, place: undefined, outcome: 'direct' }
    } finally {
      end(streaming)
    }
  }

  async #part(
    of: { readonly digest: Digest; readonly range: ResolvedRange; readonly size: number },
    until: number,
  ): Promise<BlobPart | undefined> {
    const { name, client, seams } = this.#given
    const { digest, range, size } = of
    const blob = { repository: name.repository, digest }
    const patience = { within: until - seams.now(), idle: this.#patience.idle }
    try {
      return await openBlobRange(client, { blob, range, size }, seams.now, patience)
    } catch (error) {
      // The fill will come there in time, or fail with a better reason.
      seams.log('detour-failed', { repository: canonicalName(name), reason: String(error) })
      return undefined
    }
  }

  /** Gives the place of a detour back once it is over, if it got one. */
  async #endDetour(
    key: StorageKey,
    begun: Promise<string | undefined>,
    over: Promise<void>,
  ): Promise<void> {
    await over
    const id = await begun.catch(() => undefined)
    if (id !== undefined) await this.#given.fillOf(key).endDetour(id)
  }

  #running(
    key: StorageKey,
    running: FillProgress & { readonly state: 'filling' },
    question: BlobQuestion,
  ): BlobAnswer {
    const { bucket, blobs, fillOf, seams } = this.#given
    const { size } = running
    if (size === undefined && running.segments.length === 0) return tooSlow()
    if (question.wants === 'size') return sized(size, 'fill')
    const slice = sliceOf(question.range, size)
    if ('unsatisfiable' in slice) return { ok: false, unsatisfiable: slice.unsatisfiable }
    const progress = (id: string, from: number) => fillOf(key).progress(id, from)
    const end = (id: string) => fillOf(key).end(id)
    const given = { key, bucket, blobs, progress, end }
    const { body, work } = FillReader.read(given, running, slice, this.#patience)
    seams.defer(work)
    return { ok: true, size, range: slice.range, body, place: undefined, outcome: 'fill' }
  }

  async #direct({ digest, question, until }: Asked): Promise<BlobAnswer> {
    const refusal = await this.#admission.refusal()
    if (refusal !== undefined) return refusal
    const { name, client, seams } = this.#given
    const blob = { repository: name.repository, digest }
    try {
      const source = await openBlob(client, blob, seams.now, until - seams.now())
      if (question.wants === 'size') {
        await source.cancel()
        return sized(source.size, 'direct')
      }
      const slice = sliceOf(question.range, source.size)
      if ('unsatisfiable' in slice) {
        await source.cancel()
        return { ok: false, unsatisfiable: slice.unsatisfiable }
      }
      const { body, work } = streamDirectly(source, digest, slice)
      seams.defer(work)
      return {
        ok: true,
        size: source.size,
        range: slice.range,
        body,
        place: undefined,
        outcome: 'direct',
      }
    } catch (error) {
      return { ok: false, failure: failureOf(error) }
    }
  }
}

function sized(size: number | undefined, outcome: ServedBlob['outcome']): ServedBlob {
  return { ok: true, size, range: undefined, body: undefined, place: undefined, outcome }
}

function placed(place: LocatedBlob, range: ByteRange | undefined): BlobAnswer {
  const { size } = place
  if (range !== undefined && resolveRange(range, size) === 'unsatisfiable') {
    return { ok: false, unsatisfiable: size }
  }
  return { ...sized(size, 'hit'), place }
}

/** The range asked for, where it begins so far behind what can be read that waiting for it would be long. */
function rangeAhead(
  question: BlobQuestion,
  size: number | undefined,
  segments: readonly number[],
): ResolvedRange | undefined {
  if (question.wants === 'size' || question.range === undefined || size === undefined)
    return undefined
  const resolved = resolveRange(question.range, size)
  if (resolved === 'unsatisfiable') return undefined
  const filled = segments.reduce((sum, length) => sum + length, 0)
  return resolved.offset > filled + MAX_AHEAD ? resolved : undefined
}

/** While nobody knows the size, a range cannot be told from the whole: the whole is the answer. */
function sliceOf(
  range: ByteRange | undefined,
  size: number | undefined,
): (Slice & { readonly range: ResolvedRange | undefined }) | { readonly unsatisfiable: number } {
  if (range === undefined || size === undefined) return { offset: 0, end: size, range: undefined }
  const resolved = resolveRange(range, size)
  if (resolved === 'unsatisfiable') return { unsatisfiable: size }
  const { offset, length } = resolved
  return { offset, end: offset + length, range: resolved }
}

function tooSlow(): BlobAnswer {
  const failure = {
    kind: 'unavailable',
    isTimeout: true,
    reason: 'the upstream did not send the blob in time',
  } as const
  return { ok: false, failure }
}
