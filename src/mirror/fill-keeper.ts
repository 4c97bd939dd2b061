// Keeps the one fill of a storage key: whoever asks joins the running one, and only when there is none,
// and nothing is stored, does a new one begin. Its alarm removes what a reset left behind.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import type { StorageKey } from '../storage/keys.ts'
import { versionedKeys } from '../storage/versioned-keys.ts'
import type { BlobSource } from '../upstream/blob-source.ts'
import { Detours } from './detours.ts'
import { Fill } from './fill.ts'
import type { FillEnd, FillProgress } from './fill.ts'
import { storing } from './output.ts'
import { LATE, PATIENCE, within } from './patience.ts'
import type { Patience } from './patience.ts'
import { deleteSegments } from './segments.ts'

/** "Not found" is believed for so long (milliseconds), of so many repositories. */
const NEGATIVE_TTL = 60_000
const MAX_NEGATIVE = 1000
/** When the alarm looks for what a reset has left; a fill that still runs then is let be (milliseconds). */
const LEFT_OVER_AFTER = 20 * 60 * 1000
/** Segments of a blob that could not be stored stay so long for the clients that read them (milliseconds). */
const KEEP_SEGMENTS = 10 * 60 * 1000
/** What the upstream says of one repository, and may not say of another that shares the storage key. */
const OF_REPOSITORY: readonly string[] = ['not-found', 'denied', 'unauthorized', 'invalid']

/** Which blob to fill, and what the caller waits for: bytes to send, or only the size. */
export interface FillRequest {
  readonly host: string
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly key: StorageKey
  readonly wants: 'bytes' | 'size'
}

/** That the object knows nothing of a fill (any more). */
export interface FillGone {
  readonly state: 'gone'
}

/** Counts fills, by the host of their upstream. */
export interface FillTally {
  started(upstream: string): void
  ended(upstream: string, result: 'stored' | 'absent' | 'failed'): void
}

/** What a keeper is given. */
export interface FillKeeperGiven {
  readonly storage: DurableObjectStorage
  readonly bucket: R2Bucket
  readonly blobs: BlobStore
  readonly open: (request: FillRequest) => Promise<BlobSource>
  readonly statedSize: (request: FillRequest) => Promise<number | undefined>
  /** Where somebody wants to know. */
  readonly tally?: FillTally
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** A fill, and whose request it makes. */
interface Started {
  readonly fill: Fill
  readonly host: string
  readonly repository: RepositoryName
}

/** State and decisions of a `BlobFill`. In its storage: the id of each fill that may have segments. */
export class FillKeeper {
  readonly #given: FillKeeperGiven
  readonly #kv: SyncKvStorage
  readonly #patience: Patience
  readonly #detours: Detours
  readonly #missing = new Map<RepositoryName, number>()
  #started: Started | undefined
  #starting: Promise<Started | number> | undefined
  #askedAt = 0

  /** `patience` is shortened by tests. */
  constructor(given: FillKeeperGiven, patience: Patience = PATIENCE) {
    this.#given = given
    this.#kv = versionedKeys(given.storage.kv, { version: 1, newer: 'empty' })
    this.#detours = new Detours(given.now)
    this.#patience = patience
  }

  /** Joins or starts the fill, and tells as soon as there is something to send. */
  async begin(request: FillRequest): Promise<FillProgress> {
    const until = this.#askedFor()
    try {
      for (;;) {
        const running = this.#running()
        if (running === undefined && this.#isMissing(request.repository)) return NOT_FOUND
        const started = running ?? (await this.#start(request))
        const progress = await this.#progressOf(started, request, until)
        if (progress !== undefined) return progress
      }
    } catch (error) {
      this.#given.log('fill-start-failed', { key: request.key, reason: String(error) })
      return { state: 'failed', failure: { kind: 'storage', reason: String(error) } }
    }
  }

  /** As `begin`, but `undefined` where a fill would have to be started. */
  async join(request: FillRequest): Promise<FillProgress | undefined> {
    const until = this.#askedFor()
    const running =
      this.#running() ?? (await this.#starting) ?? (await this.#storedSince(request.key))
    if (running !== undefined) return this.#progressOf(running, request, until)
    return this.#isMissing(request.repository) ? NOT_FOUND : undefined
  }

  /** How far the fill is, as soon as there is more than the first `from` segments, or at the end. */
  async progress(id: string, from: number): Promise<FillProgress | FillGone> {
    return this.#when(id, (fill) => {
      const progress = fill.progress(from)
      const isNews = progress.state !== 'filling' || progress.segments.length > 0
      return { isNews: isNews || progress.isComplete, answer: progress }
    })
  }

  /** How the fill ended; `undefined` when it has not within the time that a call may take. */
  async end(id: string): Promise<FillEnd | FillGone | undefined> {
    return this.#when(id, ({ end }) => ({ isNews: end !== undefined, answer: end }))
  }

  /** Lets a request go past the fill to the upstream, by this id; `undefined` while there are enough. */
  beginDetour(): string | undefined {
    return this.#detours.begin()
  }

  /** A request that went past the fill has ended. */
  endDetour(id: string): void {
    this.#detours.end(id)
  }

  /** Removes the segments of fills that a reset has ended, and of those that were kept for their readers. */
  async alarm(): Promise<void> {
    const { storage, bucket, now, log } = this.#given
    // Set first, so that a failure below is tried again.
    await storage.setAlarm(now() + LEFT_OVER_AFTER)
    if (this.#started?.fill.end !== undefined) this.#started = undefined
    try {
      for (const id of this.#noted()) {
        if (id === this.#started?.fill.id) continue
        await deleteSegments(bucket, id)
        this.#kv.delete(id)
      }
    } catch (error) {
      log('segments-not-removed', { reason: String(error) })
    }
    await this.#forget()
  }

  /** Notes that somebody waits; returns until when this call may take. */
  #askedFor(): number {
    this.#askedAt = this.#given.now()
    return this.#askedAt + this.#patience.news
  }

  /** The size, where the blob has been stored since the caller looked for it. */
  async #storedSince(key: StorageKey): Promise<number | undefined> {
    if (this.#started?.fill.end?.state !== 'stored') return undefined
    return storing(this.#given.blobs.head(key), this.#patience.lookup)
  }

  /** How far it is; `undefined` where that says nothing of the repository that asks. */
  async #progressOf(
    started: Started | number,
    request: FillRequest,
    until: number,
  ): Promise<FillProgress | undefined> {
    if (typeof started === 'number') return { state: 'stored', size: started }
    await this.#news(started.fill, request.wants, until)
    const progress = started.fill.progress(0)
    // What another repository was refused says nothing of this one: it is asked for in turn.
    const isOwn = started.repository === request.repository
    if (isOwn || progress.state !== 'failed') return progress
    return OF_REPOSITORY.includes(progress.failure.kind) ? undefined : progress
  }

  /** The fill to join: one that runs, or whose segments are all there is of the blob. */
  #running(): Started | undefined {
    const fill = this.#started?.fill
    return fill?.end === undefined || fill.needsSegments ? this.#started : undefined
  }

  #start(request: FillRequest): Promise<Started | number> {
    this.#starting ??= this.#startOnce(request).finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  async #startOnce(request: FillRequest): Promise<Started | number> {
    const { blobs, defer, now, open, statedSize, tally } = this.#given
    const { key, digest, host, repository } = request
    const size = await storing(blobs.head(key), this.#patience.lookup)
    if (size !== undefined) return size
    const id = crypto.randomUUID()
    const fill = new Fill({
      ...this.#given,
      id,
      key,
      digest,
      open: () => open(request),
      statedSize: () => statedSize(request),
      note: () => this.#note(id),
      isAbandoned: () => now() - this.#askedAt > this.#patience.absence,
      patience: this.#patience,
    })
    this.#started = { fill, host, repository }
    tally?.started(host)
    defer(this.#run(this.#started))
    return this.#started
  }

  async #run({ fill, host, repository }: Started): Promise<void> {
    const { storage, now, tally } = this.#given
    await fill.run()
    const isAbsent = fill.end?.state === 'failed' && fill.end.failure.kind === 'not-found'
    if (isAbsent) this.#miss(repository)
    tally?.ended(host, isAbsent ? 'absent' : fill.end?.state === 'stored' ? 'stored' : 'failed')
    if (!fill.hasSegments) return
    if (fill.needsSegments) {
      await storage.setAlarm(now() + KEEP_SEGMENTS)
      return
    }
    await fill.removeSegments()
    this.#kv.delete(fill.id)
    await this.#forget()
  }

  /** Written before the first segment: R2 is not asked for anything until this is on disk. */
  async #note(id: string): Promise<void> {
    const { storage, now } = this.#given
    this.#kv.put(id, true)
    await storage.setAlarm(now() + LEFT_OVER_AFTER)
  }

  #noted(): string[] {
    return Array.from(this.#kv.list(), ([id]) => id)
  }

  /** Leaves nothing behind, the alarm included, when no fill is noted. */
  async #forget(): Promise<void> {
    if (this.#noted().length === 0) await this.#given.storage.deleteAll()
  }

  #isMissing(repository: RepositoryName): boolean {
    return (this.#missing.get(repository) ?? 0) > this.#given.now()
  }

  #miss(repository: RepositoryName): void {
    const [oldest] = this.#missing.keys()
    if (oldest !== undefined && this.#missing.size >= MAX_NEGATIVE) this.#missing.delete(oldest)
    this.#missing.set(repository, this.#given.now() + NEGATIVE_TTL)
  }

  async #news(fill: Fill, wants: FillRequest['wants'], until: number): Promise<void> {
    const { now } = this.#given
    const { headers, news } = this.#patience
    while (!fill.isReadable && now() < until) {
      if (fill.isSized && wants === 'size') return
      const patience = Math.min(until - now(), fill.isSized ? headers : news)
      if ((await within(fill.changed(), patience)) === LATE) return
    }
  }

  async #when<Answer>(
    id: string,
    look: (fill: Fill) => { readonly isNews: boolean; readonly answer: Answer },
  ): Promise<Answer | FillGone> {
    const { now } = this.#given
    this.#askedAt = now()
    const fill = this.#started?.fill
    if (fill?.id !== id) return { state: 'gone' }
    const until = now() + this.#patience.news
    for (;;) {
      const { isNews, answer } = look(fill)
      if (isNews || now() >= until) return answer
      if ((await within(fill.changed(), until - now())) === LATE) return look(fill).answer
    }
  }
}

const NOT_FOUND = { state: 'failed', failure: { kind: 'not-found' } } as const
