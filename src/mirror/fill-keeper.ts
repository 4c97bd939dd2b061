// Keeps the one fill of a storage key: whoever asks joins the running one, and only when there is none,
// and nothing is stored, does a new one begin. Its alarm removes what a reset left behind.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { BlobSource } from '../upstream/blob-source.ts'
import { Fill } from './fill.ts'
import type { FillProgress } from './fill.ts'
import { deleteSegments } from './segments.ts'

/** A client gets its headers after so long at the latest, once the upstream has sent its own (milliseconds). */
const HEADERS_WITHIN = 5000
/** No call waits longer than this for news; the caller asks again (milliseconds). */
const NEWS_WITHIN = 20_000
/** "Not found" is believed for so long (milliseconds). */
const NEGATIVE_TTL = 60_000
/** No fill outlives this: the platform ends an object without a client after 15 min (milliseconds). */
const LEFT_OVER_AFTER = 20 * 60 * 1000
/** Segments of a blob that could not be stored stay so long for the clients that read them (milliseconds). */
const KEEP_SEGMENTS = 10 * 60 * 1000
const FILLS = 'fills'

/** Which blob to fill, and what the caller waits for: bytes to send, or only the size. */
export interface FillRequest {
  readonly host: string
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly key: StorageKey
  readonly wants: 'bytes' | 'size'
}

/** How far a fill is, or that the object knows nothing of it (any more). */
export type FillAnswer = FillProgress | { readonly state: 'gone' }

/** What a keeper is given. */
export interface FillKeeperGiven {
  readonly storage: DurableObjectStorage
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  readonly open: (request: FillRequest) => Promise<BlobSource>
  readonly statedSize: (request: FillRequest) => Promise<number | undefined>
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** State and decisions of a `BlobFill`. */
export class FillKeeper {
  readonly #given: FillKeeperGiven
  #fill: Fill | undefined
  #beginning: Promise<Fill | number> | undefined
  #failedAt = 0

  constructor(given: FillKeeperGiven) {
    this.#given = given
  }

  /** Joins or starts the fill, and tells as soon as there is something to send. */
  async begin(request: FillRequest): Promise<FillProgress> {
    try {
      const fill = this.#current() ?? (await this.#start(request))
      if (typeof fill === 'number') return { state: 'stored', size: fill }
      await this.#news(fill, request.wants)
      return fill.progress(0)
    } catch (error) {
      this.#given.log('fill-start-failed', { key: request.key, reason: String(error) })
      return { state: 'failed', failure: { kind: 'storage', reason: String(error) } }
    }
  }

  /** How far the fill is, as soon as there is more than the first `from` segments, or at the end. */
  async progress(id: string, from: number): Promise<FillAnswer> {
    const fill = this.#fill
    if (fill?.id !== id) return { state: 'gone' }
    const until = this.#given.now() + NEWS_WITHIN
    for (;;) {
      const progress = fill.progress(from)
      const isNews =
        progress.state !== 'filling' || progress.segments.length > 0 || progress.isComplete
      if (isNews || fill.isOver || this.#given.now() >= until) return progress
      if ((await within(fill.changed(), NEWS_WITHIN)) === 'late') return fill.progress(from)
    }
  }

  /** Removes the segments of fills that a reset has ended, and of those that were kept for their readers. */
  async alarm(): Promise<void> {
    const { storage, bucket, now } = this.#given
    const running = this.#fill?.isOver === false ? this.#fill.id : undefined
    // Set first, so that a failure below is tried again.
    await storage.setAlarm(now() + LEFT_OVER_AFTER)
    for (const id of (await storage.get<string[]>(FILLS)) ?? []) {
      if (id !== running) await deleteSegments(bucket, id)
    }
    if (running === undefined) await storage.deleteAll()
    else await storage.put(FILLS, [running])
  }

  #current(): Fill | undefined {
    const fill = this.#fill
    if (fill === undefined || !fill.isOver) return fill
    const progress = fill.progress(0)
    const isNegative = progress.state === 'failed' && progress.failure.kind === 'not-found'
    return isNegative && this.#given.now() - this.#failedAt < NEGATIVE_TTL ? fill : undefined
  }

  #start(request: FillRequest): Promise<Fill | number> {
    this.#beginning ??= this.#startOnce(request).finally(() => {
      this.#beginning = undefined
    })
    return this.#beginning
  }

  async #startOnce(request: FillRequest): Promise<Fill | number> {
    const { blobs, defer } = this.#given
    const size = await blobs.head(request.key)
    if (size !== undefined) return size
    const id = crypto.randomUUID()
    const fill = new Fill({
      ...this.#given,
      id,
      key: request.key,
      digest: request.digest,
      open: () => this.#open(request, id),
      statedSize: () => this.#given.statedSize(request),
    })
    this.#fill = fill
    defer(this.#run(fill))
    return fill
  }

  /** Notes the fill once the upstream has the blob: before its first segment exists, and not for a guess. */
  async #open(request: FillRequest, id: string): Promise<BlobSource> {
    const { storage, now } = this.#given
    const source = await this.#given.open(request)
    await storage.put(FILLS, [...((await storage.get<string[]>(FILLS)) ?? []), id])
    await storage.setAlarm(now() + LEFT_OVER_AFTER)
    return source
  }

  async #run(fill: Fill): Promise<void> {
    const { storage, now } = this.#given
    await fill.run()
    this.#failedAt = now()
    if (fill.needsSegments) {
      await storage.setAlarm(now() + KEEP_SEGMENTS)
      return
    }
    await fill.removeSegments()
    const others = ((await storage.get<string[]>(FILLS)) ?? []).filter((id) => id !== fill.id)
    if (others.length > 0) await storage.put(FILLS, others)
    else await storage.deleteAll()
  }

  async #news(fill: Fill, wants: FillRequest['wants']): Promise<void> {
    const until = this.#given.now() + NEWS_WITHIN
    while (!fill.isReadable && this.#given.now() < until) {
      if (fill.hasHeaders && wants === 'size' && fill.isSized) return
      const patience = fill.hasHeaders && fill.isSized ? HEADERS_WITHIN : NEWS_WITHIN
      if ((await within(fill.changed(), patience)) === 'late') return
    }
  }
}

async function within(change: Promise<void>, patience: number): Promise<'late' | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => resolve('late'), patience)
  try {
    return (await Promise.race([change, late])) ?? undefined
  } finally {
    clearTimeout(timer)
  }
}
