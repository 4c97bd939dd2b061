// One fill: the upstream's bytes of one blob are read once, hashed, and written twice, as segments for the
// clients that wait and as the blob itself. Clients never slow it, and nothing shows under the digest, nor
// does the last segment, before the hash holds. See docs/decisions/0002-a-fill-writes-clients-read.md.

import { digestOf, algorithmOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log, Now } from '../seams.ts'
import type { BlobWriter } from '../storage/blob-writer.ts'
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
import { LATE, within } from './patience.ts'
import type { Patience } from './patience.ts'
import { SegmentWriter, deleteSegments } from './segments.ts'

/** A blob up to this size that arrives within a second is stored at once, without segments (bytes). */
const MAX_WITHOUT_SEGMENTS = 4 * 1024 * 1024

/** Why a fill ended without a blob: the upstream's fault, or the storage's (then the upstream can still be streamed). */
export type FillFailure = UpstreamFailure | { readonly kind: 'storage'; readonly reason: string }

/** How a fill ended. */
export type FillEnd =
  | { readonly state: 'stored'; readonly size: number }
  | { readonly state: 'failed'; readonly failure: FillFailure }

/** How far a fill is. `segments` are the lengths of those that can be read, from the one that was asked for. */
export type FillProgress =
  | {
      readonly state: 'filling'
      readonly id: string
      readonly size: number | undefined
      readonly segments: readonly number[]
      /** Whether `segments` reach to the end of the whole, verified blob. */
      readonly isComplete: boolean
    }
  | FillEnd

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
  /** Notes, before the first one exists, that there will be segments to remove. */
  readonly note: () => Promise<void>
  /** Whether everybody has left so long ago that the platform is about to end this. */
  readonly isAbandoned: () => boolean
  readonly now: Now
  readonly log: Log
  readonly patience: Patience
}

/** A running or finished fill. */
export class Fill {
  readonly id: string
  readonly #given: FillGiven
  readonly #segments: number[] = []
  #size: number | undefined
  #end: FillEnd | undefined
  /** Present once there may be segments. */
  #segmentWriter: SegmentWriter | undefined
  /** Whether the segments hold the whole, verified blob. */
  #isComplete = false
  #hasHeaders = false
  #waiting = Promise.withResolvers<void>()

  constructor(given: FillGiven) {
    this.id = given.id
    this.#given = given
  }

  /** How it ended; `undefined` while it runs. */
  get end(): FillEnd | undefined {
    return this.#end
  }

  /** Whether anything can be told to a client: bytes, or how it ended. */
  get isReadable(): boolean {
    return this.#end !== undefined || this.#segments.length > 0
  }

  /** Whether the upstream has answered with the blob's headers, and its size is known. */
  get isSized(): boolean {
    return this.#hasHeaders && this.#size !== undefined
  }

  /** Whether there may be segments in storage. */
  get hasSegments(): boolean {
    return this.#segmentWriter !== undefined
  }

  /** Bytes of memory that its segments take: none once it has ended, however long its object stays. */
  get memory(): number {
    return this.#segmentWriter?.memory ?? 0
  }

  /** Whether clients read segments because there is no stored blob to go on with. */
  get needsSegments(): boolean {
    return this.#isComplete && this.#end?.state === 'failed'
  }

  /** How far it is, with the segments from number `from` on. */
  progress(from: number): FillProgress {
    // A failed put loses the copy, not the segments: clients that read them finish.
    if (this.#end !== undefined && !this.needsSegments) return this.#end
    const segments = this.#segments.slice(from)
    const isComplete = this.#isComplete
    return { state: 'filling', id: this.id, size: this.#size, segments, isComplete }
  }

  /** Resolves at the next change: headers, a segment, or the end. */
  changed(): Promise<void> {
    return this.#waiting.promise
  }

  /** Runs to the end. Never rejects: how it ended is in `end`. */
  async run(): Promise<void> {
    const { key, log } = this.#given
    try {
      this.#end = { state: 'stored', size: await this.#fill(await this.#given.open()) }
    } catch (error) {
      const failure = fillFailureOf(error)
      this.#end = { state: 'failed', failure }
      if (failure.kind !== 'not-found') log('fill-failed', { key, reason: String(error) })
    }
    // What is still on its way is waited for when the segments are removed.
    void this.#segmentWriter?.settle()
    this.#notify()
  }

  /** Removes the segments, once how it ended is known to whoever asks. @throws when some may be left. */
  async removeSegments(): Promise<void> {
    const { bucket, patience } = this.#given
    // What is still on its way would arrive after the removal.
    await storing(this.#segmentWriter?.settle() ?? Promise.resolve(), patience.storage)
    await deleteSegments(bucket, this.id)
  }

  async #fill(source: BlobSource): Promise<number> {
    try {
      return await this.#fillFrom(source)
    } catch (error) {
      // Never rejects, and nobody waits for an upstream that does not let go.
      void source.cancel()
      // While nobody has seen anything of what was wrong, another source may still be right.
      const isOpen = isWrong(error) && !this.hasSegments
      const other = isOpen ? await source.another() : undefined
      if (other === undefined) throw error
      return this.#fill(other)
    }
  }

  async #fillFrom(source: BlobSource): Promise<number> {
    const { patience } = this.#given
    this.#size = source.size ?? (await this.#statedSize())
    this.#hasHeaders = true
    this.#notify()
    const bytes = new Bytes(source)
    const isSmall = this.#size === undefined || this.#size <= MAX_WITHOUT_SEGMENTS
    const small = isSmall ? await bytes.readAll(MAX_WITHOUT_SEGMENTS, patience.cut) : undefined
    if (small?.isWhole) await this.#putSmall(small.bytes)
    else await this.#putLarge(bytes, small?.bytes ?? new Uint8Array())
    return this.#size ?? 0
  }

  /** Only a hint: whoever keeps it may be away, or silent. */
  async #statedSize(): Promise<number | undefined> {
    const { statedSize, patience, log, key } = this.#given
    try {
      const size = await within(statedSize(), patience.headers)
      return size === LATE ? undefined : size
    } catch (error) {
      log('stated-size-unknown', { key, reason: String(error) })
      return undefined
    }
  }

  async #putSmall(bytes: Uint8Array): Promise<void> {
    const { blobs, key, digest, patience } = this.#given
    this.#checkSize(bytes.byteLength)
    this.#checkDigest(await digestOf(bytes, algorithmOf(digest)))
    this.#size = bytes.byteLength
    await storing(blobs.put(key, bytes, digest), patience.storage)
  }

  /** Segments and, where the size is known, the blob itself in the same pass; one of the two may fail. */
  async #putLarge(bytes: Bytes, first: Uint8Array): Promise<void> {
    const { note, patience } = this.#given
    await storing(note(), patience.storage)
    const segments = new SegmentWriter(this.#given, (length) => this.#announce(length))
    this.#segmentWriter = segments
    const writer = this.#size === undefined ? undefined : await this.#openBlob(this.#size)
    const outputs = {
      segments: new Output(segments, patience.storage),
      blob: writer && new Output(writer, patience.storage),
    }
    let size: number
    try {
      size = await this.#pump(bytes, first, { segments, outputs })
      this.#size = size
      await this.#complete(outputs)
    } catch (error) {
      await this.#abort(writer, error)
      throw error
    }
    if (outputs.blob !== undefined && outputs.blob.failure === undefined) return
    await this.#abort(writer, outputs.blob?.failure)
    if (outputs.segments.failure !== undefined) throw outputs.segments.failure
    await this.#assemble(size)
  }

  /** Hands every byte on and checks the digest; returns how many there were. */
  async #pump(
    bytes: Bytes,
    first: Uint8Array,
    to: { readonly segments: SegmentWriter; readonly outputs: Outputs },
  ): Promise<number> {
    const { now, digest, patience, isAbandoned } = this.#given
    const digester = new Digester(digest)
    let length = 0
    let chunk: Uint8Array | typeof LATE | undefined = first
    for (; chunk !== undefined; chunk = await bytes.next(patience.cut)) {
      if (isAbandoned()) throw abandoned()
      if (chunk !== LATE) {
        length += chunk.byteLength
        this.#checkSize(length, 'so far')
        await Promise.all([digester.update(chunk), writeAll(to.outputs, chunk)])
      }
      // The last byte stays in memory until the digest holds.
      const isOld = chunk === LATE || to.segments.isOlderThan(patience.cut, now())
      if (isOld && length !== this.#size) await to.outputs.segments.attempt(() => to.segments.cut())
    }
    this.#checkSize(length)
    this.#checkDigest(await digester.digest())
    return length
  }

  /** The digest holds: the last segment may be read, and the blob may be seen. */
  async #complete({ segments, blob }: Outputs): Promise<void> {
    await segments.close()
    if (segments.failure === undefined) {
      this.#isComplete = true
      this.#notify()
    }
    await blob?.close()
  }

  /**
   * Puts the blob together from its segments: one whose size nobody told, because R2 takes no body of unknown
   * length, and one whose first put failed.
   */
  async #assemble(size: number): Promise<void> {
    const { blobs, bucket, key, digest, patience } = this.#given
    const writer = await storing(blobs.open(key, size, digest), patience.storage)
    try {
      for (let n = 0; n < this.#segments.length; n++) {
        const object = await storing(bucket.get(segmentKey(this.id, n)), patience.storage)
        if (object === null) throw new StorageError('a segment is gone')
        const segment = object.bytes().then((bytes) => writer.write(bytes))
        await storing(segment, patience.storage)
      }
      await storing(writer.close(), patience.storage)
    } catch (error) {
      await this.#abort(writer, error)
      throw error
    }
  }

  async #openBlob(size: number): Promise<BlobWriter | undefined> {
    const { blobs, key, digest, patience, log } = this.#given
    try {
      return await storing(blobs.open(key, size, digest), patience.storage)
    } catch (error) {
      log('blob-not-opened', { key, reason: String(error) })
      return undefined
    }
  }

  async #abort(writer: BlobWriter | undefined, reason?: unknown): Promise<void> {
    if (writer !== undefined) await within(writer.abort(reason), this.#given.patience.storage)
  }

  #checkSize(length: number, when: 'so far' | 'at the end' = 'at the end'): void {
    const size = this.#size
    if (size === undefined || length === size || (when === 'so far' && length < size)) return
    throw wrong('size that was stated')
  }

  #checkDigest(computed: Digest): void {
    if (computed !== this.#given.digest) throw wrong('digest that was asked for')
  }

  #announce(length: number): void {
    this.#segments.push(length)
    this.#notify()
  }

  #notify(): void {
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers<void>()
  }
}

function isWrong(error: unknown): boolean {
  return error instanceof UpstreamError && error.failure.kind === 'invalid'
}

function wrong(what: string): UpstreamError {
  return new UpstreamError({ kind: 'invalid', reason: `the blob does not have the ${what}` })
}

function abandoned(): UpstreamError {
  const reason = 'the blob was still on its way long after its last client had left'
  return new UpstreamError({ kind: 'unavailable', isTimeout: true, reason })
}

function fillFailureOf(error: unknown): FillFailure {
  if (error instanceof StorageError) return { kind: 'storage', reason: error.message }
  try {
    return failureOf(error)
  } catch {
    // Something of our own: whatever it is, clients get on without this object.
    return { kind: 'storage', reason: String(error) }
  }
}
