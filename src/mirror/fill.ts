// One fill: the upstream's bytes of one blob are read once, hashed, and written twice, as segments for the
// clients that wait and as the blob itself. Clients never slow it, and nothing shows under the digest, nor
// does the last segment, before the hash holds. See docs/decisions/0002-fills-write-clients-read.md.

import { digestOf, algorithmOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log, Now } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import { Digester } from '../storage/digester.ts'
import { segmentKey } from '../storage/keys.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { BlobSource } from '../upstream/blob-source.ts'
import { UpstreamError, failureOf } from '../upstream/error.ts'
import type { UpstreamFailure } from '../upstream/error.ts'
import { Bytes } from './bytes.ts'
import { Output, StorageError, storing, writeAll } from './output.ts'
import type { Outputs } from './output.ts'
import { SegmentWriter, deleteSegments } from './segments.ts'

/** A blob up to this size that arrives within a second is stored at once, without segments (bytes). */
const MAX_WITHOUT_SEGMENTS = 4 * 1024 * 1024
/** Bytes that have waited so long are cut into a segment of their own (milliseconds). */
const CUT_AFTER = 1000

/** Why a fill ended without a blob: the upstream's fault, or the storage's (then the upstream can still be streamed). */
export type FillFailure = UpstreamFailure | { readonly kind: 'storage'; readonly reason: string }

/** How far a fill is. `segments` are the lengths of those that can be read, from the one that was asked for. */
export type FillProgress =
  | {
      readonly state: 'filling'
      readonly id: string
      readonly size: number | undefined
      readonly segments: readonly number[]
      readonly isComplete: boolean
    }
  | { readonly state: 'stored'; readonly size: number }
  | { readonly state: 'failed'; readonly failure: FillFailure }

/** What a fill is given. */
export interface FillGiven {
  readonly id: string
  readonly key: StorageKey
  readonly digest: Digest
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  /** Opens the blob upstream. */
  readonly open: () => Promise<BlobSource>
  /** The size that a manifest states, asked only when the upstream does not say. */
  readonly statedSize: () => Promise<number | undefined>
  readonly now: Now
  readonly log: Log
}

/** A running or finished fill. */
export class Fill {
  readonly id: string
  readonly #given: FillGiven
  readonly #segments: number[] = []
  #size: number | undefined
  #end: 'stored' | FillFailure | undefined
  /** Whether the segments hold the whole, verified blob. */
  #isComplete = false
  #hasHeaders = false
  #waiting = Promise.withResolvers<void>()

  constructor(given: FillGiven) {
    this.id = given.id
    this.#given = given
  }

  /** Whether it has ended, one way or the other. */
  get isOver(): boolean {
    return this.#end !== undefined
  }

  /** Whether anything can be told to a client: bytes, or how it ended. */
  get isReadable(): boolean {
    return this.isOver || this.#segments.length > 0
  }

  /** Whether the upstream has answered with the blob's headers. */
  get hasHeaders(): boolean {
    return this.#hasHeaders
  }

  /** Whether the size is known. */
  get isSized(): boolean {
    return this.#size !== undefined
  }

  /** How far it is, with the segments from number `from` on. */
  progress(from: number): FillProgress {
    if (this.#end === 'stored') return { state: 'stored', size: this.#size ?? 0 }
    // A failed put loses the copy, not the segments: clients that read them finish.
    if (this.#end !== undefined && !this.#isComplete) return { state: 'failed', failure: this.#end }
    const segments = this.#segments.slice(from)
    return {
      state: 'filling',
      id: this.id,
      size: this.#size,
      segments,
      isComplete: this.#isComplete,
    }
  }

  /** Resolves at the next change: a segment, or the end. */
  changed(): Promise<void> {
    return this.#waiting.promise
  }

  /** Runs to the end. Never rejects: how it ended is in `progress`. */
  async run(): Promise<void> {
    try {
      await this.#fill(await this.#open())
      this.#finish('stored')
    } catch (error) {
      this.#finish(fillFailureOf(error))
      this.#given.log('fill-failed', { key: this.#given.key, reason: String(error) })
    }
  }

  /** Removes the segments, once how it ended is known to whoever asks. */
  async removeSegments(): Promise<void> {
    await deleteSegments(this.#given.bucket, this.id)
  }

  /** Whether clients may still be reading segments because there is no stored blob to go on with. */
  get needsSegments(): boolean {
    return this.#isComplete && this.#end !== 'stored'
  }

  async #open(): Promise<BlobSource> {
    const source = await this.#given.open()
    this.#size = source.size ?? (await this.#given.statedSize())
    this.#hasHeaders = true
    this.#notify()
    return source
  }

  async #fill(source: BlobSource): Promise<void> {
    const bytes = new Bytes(source)
    try {
      const isSmall = this.#size === undefined || this.#size <= MAX_WITHOUT_SEGMENTS
      const small = isSmall ? await bytes.readAll(MAX_WITHOUT_SEGMENTS, CUT_AFTER) : undefined
      if (small?.isWhole) await this.#putSmall(small.bytes)
      else await this.#putLarge(bytes, small?.bytes ?? new Uint8Array())
    } catch (error) {
      await source.cancel()
      throw error
    }
  }

  async #putSmall(bytes: Uint8Array): Promise<void> {
    const { blobs, key, digest } = this.#given
    this.#checkSize(bytes.byteLength)
    this.#checkDigest(await digestOf(bytes, algorithmOf(digest)))
    this.#size = bytes.byteLength
    await storing(blobs.put(key, bytes, digest))
  }

  /** Segments and, where the size is known, the blob itself in the same pass; one of the two may fail. */
  async #putLarge(bytes: Bytes, first: Uint8Array): Promise<void> {
    const { blobs, key, digest } = this.#given
    const segments = new SegmentWriter(this.#given, (length) => this.#announce(length))
    const size = this.#size
    const writer = size === undefined ? undefined : await storing(blobs.open(key, size, digest))
    const outputs = { segments: new Output(segments), blob: writer && new Output(writer) }
    try {
      this.#size = await this.#pump(bytes, first, { segments, outputs })
      await this.#complete(segments, outputs.segments)
      if (writer === undefined) await this.#assemble(this.#size)
      else await storing(outputs.blob?.failure ?? writer.close())
    } catch (error) {
      await writer?.abort(error)
      throw error
    }
  }

  /** Hands every byte on and checks the digest; returns how many there were. */
  async #pump(
    bytes: Bytes,
    first: Uint8Array,
    to: { readonly segments: SegmentWriter; readonly outputs: Outputs },
  ): Promise<number> {
    const { now, digest } = this.#given
    const digester = new Digester(digest)
    let length = 0
    let chunk: Uint8Array | 'idle' | undefined = first
    for (; chunk !== undefined; chunk = await bytes.next(CUT_AFTER)) {
      if (chunk !== 'idle') {
        length += chunk.byteLength
        this.#checkSize(length, 'so far')
        await Promise.all([digester.update(chunk), writeAll(to.outputs, chunk)])
      }
      // The last byte stays in memory until the digest holds.
      const isOld = chunk === 'idle' || to.segments.isOlderThan(CUT_AFTER, now())
      if (isOld && length !== this.#size) await to.outputs.segments.attempt(() => to.segments.cut())
    }
    this.#checkSize(length)
    this.#checkDigest(await digester.digest())
    return length
  }

  async #complete(segments: SegmentWriter, output: Output): Promise<void> {
    await output.attempt(() => segments.close())
    if (output.failure !== undefined) return
    this.#isComplete = true
    this.#notify()
  }

  /** A blob whose size nobody told is put together from its segments: R2 takes no body of unknown length. */
  async #assemble(size: number): Promise<void> {
    const { blobs, bucket, key, digest } = this.#given
    const writer = await storing(blobs.open(key, size, digest))
    try {
      for (let n = 0; n < this.#segments.length; n++) {
        const object = await storing(bucket.get(segmentKey(this.id, n)))
        if (object === null) throw new StorageError('a segment is gone')
        await storing(object.bytes().then((bytes) => writer.write(bytes)))
      }
      await storing(writer.close())
    } catch (error) {
      await writer.abort(error)
      throw error
    }
  }

  #checkSize(length: number, when: 'so far' | 'at the end' = 'at the end'): void {
    const size = this.#size
    if (size === undefined || length === size || (when === 'so far' && length < size)) return
    throw new UpstreamError({
      kind: 'invalid',
      reason: 'the blob does not have the size that was stated',
    })
  }

  #checkDigest(computed: Digest): void {
    if (computed === this.#given.digest) return
    throw new UpstreamError({
      kind: 'invalid',
      reason: 'the blob does not have the digest that was asked for',
    })
  }

  #announce(length: number): void {
    this.#segments.push(length)
    this.#notify()
  }

  #finish(end: 'stored' | FillFailure): void {
    this.#end = end
    this.#notify()
  }

  #notify(): void {
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers<void>()
  }
}

function fillFailureOf(error: unknown): FillFailure {
  if (error instanceof StorageError) return { kind: 'storage', reason: error.message }
  return failureOf(error)
}
