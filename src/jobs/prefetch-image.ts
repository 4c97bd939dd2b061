// One image on its way here: its manifests through the ledger, its blobs through their fills, both as any client would
// cause them. What is left to do is plain data, so that a later step goes on where this one ends.

import { describeFailure } from '../mirror/last-failure.ts'
import type { FillGone } from '../mirror/fill-keeper.ts'
import type { FillEnd, FillFailure, FillProgress } from '../mirror/fill.ts'
import type { LedgerAnswer, ServedManifest } from '../mirror/ledger.ts'
import type { TagRecord } from '../mirror/records.ts'
import { isNonDistributable } from '../oci/descriptor.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { isImageConfig, parseImageConfig } from '../oci/image-config.ts'
import { inspectManifest } from '../oci/manifest.ts'
import type { ManifestInspection } from '../oci/manifest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { inParallel } from '../registry/in-parallel.ts'
import type { Now } from '../seams.ts'
import { choosePlatforms, matches } from './import-platforms.ts'
import type { Hold, UpstreamShare } from './upstream-share.ts'

/** Blobs that are fetched at once. */
const WIDTH = 4
/** What an image may be made of; a hostile index of 4 MiB names tens of thousands. */
const MAX_MANIFESTS = 500
const MAX_BLOBS = 5000
/** What an upstream or storage fails at is tried again after this, after twice this and so on (milliseconds) … */
const RETRY = 30_000
/** … and so often. */
const MAX_TRIES = 4

/** A mirrored repository, as far as fetching goes. */
export interface PrefetchSource {
  readonly host: string
  /** What is known of a tag; nobody is asked. */
  keptTag(tag: Tag): Promise<TagRecord | undefined>
  /** How long a tag counts as fresh (milliseconds). */
  ttl(tag: Tag): number
  tag(tag: Tag): Promise<LedgerAnswer>
  /** `undefined` where the upstream would have to be asked. */
  knownManifest(digest: Digest): Promise<LedgerAnswer | undefined>
  manifest(digest: Digest): Promise<LedgerAnswer>
  /** The size of a blob that is here. */
  stored(digest: Digest): Promise<number | undefined>
  begin(digest: Digest): Promise<FillProgress>
  end(digest: Digest, id: string): Promise<FillEnd | FillGone | undefined>
  /** The bytes of a small blob that is here. */
  read(digest: Digest): Promise<Uint8Array | undefined>
}

/** What is known of an image, and what is left to do. */
export interface ImageState {
  digest: Digest | undefined
  /** Manifests that are still to be had, and all that were ever found. */
  manifests: Digest[]
  known: Digest[]
  /** Blobs that are still to be had, and those whose fills were begun. */
  blobs: Digest[]
  begun: Digest[]
  /** The configuration that is to tell for which platform an image without an index is. */
  config: Digest | undefined
  isFetched: boolean
  bytes: number
  tries: number
  /** Why something of it is missing for good. */
  problem: string | undefined
  note: string | undefined
}

/** What a fetch is given. */
export interface ImageFetchGiven {
  readonly source: PrefetchSource
  readonly share: UpstreamShare
  readonly reference: Reference
  readonly platforms: readonly string[] | undefined
  /** Whether nothing new is to be begun. */
  readonly isOver: () => boolean
  readonly now: Now
}

/** An image of which nothing is known. */
export function newImage(): ImageState {
  return {
    digest: undefined,
    manifests: [],
    known: [],
    blobs: [],
    begun: [],
    config: undefined,
    isFetched: false,
    bytes: 0,
    tries: 0,
    problem: undefined,
    note: undefined,
  }
}

/** How far a fetch has come: to the end of the step, to something to wait for, or to what may be tried again. */
type End = 'done' | 'over' | Hold | { readonly retry: string }

/** What a question for a manifest has come to; `problem`: it is missing for good. */
type Asked = ServedManifest | Exclude<End, 'done'> | { readonly problem: string }

/** Fetches an image, for one step. */
export class ImageFetch {
  readonly #given: ImageFetchGiven
  readonly #state: ImageState
  /** Why no further blob is begun in this step. */
  #stop: Exclude<End, 'done'> | undefined

  /** `state` is brought up to date. */
  constructor(given: ImageFetchGiven, state: ImageState) {
    this.#given = given
    this.#state = state
  }

  /** Goes on as far as it can: `done` is an image of which nothing is left to try. */
  async run(): Promise<'done' | 'over' | Hold> {
    const end = await this.#run().catch((error: unknown) => ({ retry: String(error) }))
    return typeof end === 'object' && 'retry' in end ? this.#again(end.retry) : end
  }

  async #run(): Promise<End> {
    const manifests = await this.#manifests()
    if (manifests !== 'done') return manifests
    const config = await this.#checkConfig()
    if (config !== 'done') return config
    const { blobs } = this.#state
    const ends = await inParallel(blobs, WIDTH, (digest) => this.#blobInTurn(digest))
    this.#state.blobs = blobs.filter((_, index) => ends[index] !== 'done')
    return this.#stop ?? 'done'
  }

  async #manifests(): Promise<End> {
    const { reference, isOver } = this.#given
    const { manifests } = this.#state
    if (this.#state.digest === undefined) {
      const root = await this.#reference(reference)
      const end = this.#take(root)
      if (end !== 'done' || typeof root === 'string' || !('ok' in root)) return end
      this.#state.digest = root.digest
      if (root.outcome === 'stale') this.#state.note = root.warning
    }
    for (let next = manifests[0]; next !== undefined; next = manifests[0]) {
      if (isOver()) return 'over'
      const end = this.#take(await this.#manifest(next))
      if (end !== 'done') return end
      manifests.shift()
    }
    return 'done'
  }

  async #reference(reference: Reference): Promise<Asked> {
    const { source, share, now } = this.#given
    if (reference.kind === 'digest') return this.#manifest(reference.digest)
    const { tag } = reference
    const kept = await source.keptTag(tag)
    const isFresh = kept !== undefined && !kept.isGuess && now() - kept.verifiedAt < source.ttl(tag)
    if (isFresh) return this.#answered(await source.tag(tag))
    const isKept = kept !== undefined && (await share.contact(source.host)) === 'unknown'
    if (isKept) return this.#manifest(kept.digest)
    const hold = await share.hold(source.host, 'counted')
    return hold ?? this.#answered(await source.tag(tag))
  }

  async #manifest(digest: Digest): Promise<Asked> {
    const { source, share } = this.#given
    const known = await source.knownManifest(digest)
    if (known !== undefined) return this.#answered(known)
    const hold = await share.hold(source.host, 'counted')
    return hold ?? this.#answered(await source.manifest(digest))
  }

  #answered(answer: LedgerAnswer): Asked {
    if (!answer.ok) return this.#failure(answer.failure)
    return answer.outcome === 'direct' ? { retry: 'storage did not take a manifest' } : answer
  }

  /** Notes what a manifest names. */
  #take(asked: Asked): End {
    if (typeof asked === 'string') return asked
    if ('problem' in asked) {
      this.#state.problem ??= asked.problem
      return 'done'
    }
    if (!('ok' in asked)) return asked
    const { bytes, mediaType, outcome } = asked
    if (bytes === undefined) return { retry: 'a manifest came without bytes' }
    if (outcome === 'fill') {
      this.#state.isFetched = true
      this.#state.bytes += bytes.byteLength
    }
    const document = inspectManifest(bytes, mediaType)
    if (document.ok) this.#expand(document)
    return 'done'
  }

  #expand({ contents }: ManifestInspection & { readonly ok: true }): void {
    const { platforms } = this.#given
    const isRoot = this.#state.digest === undefined
    this.#addManifests(
      platforms === undefined ? contents.manifests : this.#chosen(contents.manifests),
    )
    this.#addBlobs(contents.blobs)
    const config = contents.blobs.find(({ mediaType }) => isImageConfig(mediaType))
    if (isRoot && platforms !== undefined && contents.manifests.length === 0) {
      this.#state.config = config && parseDigest(config.digest)
    }
  }

  /** Those for the platforms that there are; that one is missing is told, and is no reason to have none. */
  #chosen(manifests: readonly Descriptor[]): readonly Descriptor[] {
    let wanted = this.#given.platforms ?? []
    if (manifests.length === 0) return []
    for (;;) {
      const choice = choosePlatforms(manifests, wanted)
      if (choice.ok) return choice.taken
      const { missing, has } = choice
      wanted = wanted.filter((each) => each !== missing)
      const why = `there is no ${missing} among ${has.join(', ') || 'its platforms'}`
      this.#state.note ??= why
      if (wanted.length > 0) continue
      this.#state.problem ??= why
      return []
    }
  }

  #addManifests(descriptors: readonly Descriptor[]): void {
    const { known, manifests } = this.#state
    for (const descriptor of descriptors) {
      const digest = parseDigest(descriptor.digest)
      if (digest === undefined || known.includes(digest)) continue
      if (known.length >= MAX_MANIFESTS) {
        this.#state.problem ??= `it names more than ${MAX_MANIFESTS} manifests`
        return
      }
      known.push(digest)
      manifests.push(digest)
    }
  }

  #addBlobs(descriptors: readonly Descriptor[]): void {
    const known = new Set(this.#state.blobs)
    for (const { digest: text, mediaType } of descriptors) {
      const digest = parseDigest(text)
      if (digest === undefined || isNonDistributable(mediaType) || known.has(digest)) continue
      if (this.#state.blobs.length >= MAX_BLOBS) {
        this.#state.problem ??= `it names more than ${MAX_BLOBS} blobs`
        return
      }
      known.add(digest)
      this.#state.blobs.push(digest)
    }
  }

  /** An image without an index is fetched for other platforms than its own no further than its configuration. */
  async #checkConfig(): Promise<End> {
    const { config } = this.#state
    if (config === undefined) return 'done'
    const end = await this.#blob(config)
    if (end !== 'done') return end
    const bytes = await this.#given.source.read(config)
    const platform = bytes && parseImageConfig(bytes)?.config.platform
    const { platforms = [] } = this.#given
    this.#state.config = undefined
    this.#state.blobs = this.#state.blobs.filter((each) => each !== config)
    if (platform === undefined || platforms.some((wanted) => matches(wanted, platform)))
      return 'done'
    this.#state.blobs = []
    this.#state.problem ??= `it is for ${platform}`
    return 'done'
  }

  async #blobInTurn(digest: Digest): Promise<End> {
    if (this.#stop !== undefined) return this.#stop
    const end = await this.#blob(digest).catch((error: unknown) => ({ retry: String(error) }))
    if (end !== 'done') this.#stop ??= end
    return end
  }

  async #blob(digest: Digest): Promise<End> {
    const { source, share, isOver } = this.#given
    if (isOver()) return 'over'
    const { begun } = this.#state
    const size = await source.stored(digest)
    if (size !== undefined) {
      // It came between two steps.
      if (begun.includes(digest)) this.#arrived(digest, size)
      return 'done'
    }
    const hold = await share.hold(source.host, 'free')
    if (hold !== undefined) return hold
    if (!begun.includes(digest)) begun.push(digest)
    for (;;) {
      const end = await this.#filled(digest)
      if (end !== undefined) return end
    }
  }

  /** What has become of a fill; `undefined`: its object has begun anew, and has to be asked again. */
  async #filled(digest: Digest): Promise<End | undefined> {
    const { source, isOver } = this.#given
    const progress = await source.begin(digest)
    if (progress.state !== 'filling') return this.#ended(digest, progress)
    // As long as somebody asks, it goes on.
    while (!isOver()) {
      const end = await source.end(digest, progress.id)
      if (end?.state === 'gone') return undefined
      if (end !== undefined) return this.#ended(digest, end)
    }
    return 'over'
  }

  #ended(digest: Digest, end: FillEnd): End {
    if (end.state === 'stored') {
      this.#arrived(digest, end.size)
      return 'done'
    }
    const failure = this.#failure(end.failure)
    if (!('problem' in failure)) return failure
    this.#state.problem ??= failure.problem
    return 'done'
  }

  #arrived(digest: Digest, size: number): void {
    this.#state.begun = this.#state.begun.filter((each) => each !== digest)
    this.#state.isFetched = true
    this.#state.bytes += size
  }

  #failure(failure: FillFailure): Hold | { readonly retry: string } | { readonly problem: string } {
    const { source, now } = this.#given
    switch (failure.kind) {
      case 'rate-limited':
        return { until: now() + failure.retryAfter * 1000, why: `${source.host} limits requests` }
      case 'storage':
        return { retry: failure.reason }
      case 'unavailable':
        return { retry: `${source.host}: ${describeFailure(failure)}` }
      case 'not-found':
        return { problem: `${source.host} does not have it` }
      case 'unauthorized':
      case 'denied':
      case 'invalid':
        return { problem: `${source.host}: ${describeFailure(failure)}` }
      default:
        return failure satisfies never
    }
  }

  /** Waits before the next try, or gives it up. */
  #again(why: string): Hold | 'done' {
    this.#state.tries += 1
    if (this.#state.tries < MAX_TRIES) {
      return { until: this.#given.now() + RETRY * 2 ** (this.#state.tries - 1), why }
    }
    this.#state.problem = why
    return 'done'
  }
}
