// The ledger of one mirrored repository: what its tags point at and since when, and which manifests are
// stored. Every upstream request for a manifest or a listing is made here, so that all clients everywhere
// share one. Blobs have their own object (`fill.ts`).

import type { Digest } from '../oci/digest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { Hints } from '../storage/hints.ts'
import { canonicalName, mirroredManifestKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import { Memory } from '../storage/memory.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import { UpstreamError, failureOf } from '../upstream/error.ts'
import type { UpstreamFailure } from '../upstream/error.ts'
import { fetchManifest, headManifest } from '../upstream/manifests.ts'
import type { FetchedManifest, Manifest } from '../upstream/manifests.ts'
import { freshUntil, judge, mayServeStale, restsUntil } from './freshness.ts'
import type { FreshnessRules } from './freshness.ts'
import type { Records, TagRecord } from './records.ts'

/** A client waits at most so long for a name that was never seen (milliseconds). */
const WITHIN = 12_000
/** Where a stale manifest can stand in, the upstream has only so long to confirm it (milliseconds). */
const CHECK_WITHIN = 5000
/** "Not found" is believed for so long (milliseconds), and for so many references. */
const NEGATIVE_TTL = 60_000
const MAX_NEGATIVES = 1000
/** Manifests that one object keeps at hand for the minute in which KV does not show them yet (bytes). */
const MEMORY = 8 * 1024 * 1024
/** KV is told again after so long, also when nothing has changed (milliseconds). */
const HINT_TTL = 60 * 60 * 1000

/** A manifest and how it was come by; `bytes` are left out when the caller has them. */
export interface ServedManifest {
  readonly ok: true
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array | undefined
  readonly outcome: 'hit' | 'fill' | 'stale'
  /** When the upstream last confirmed it, and until when this answer may be repeated (milliseconds). */
  readonly verifiedAt: number
  readonly until: number
  readonly warning: string | undefined
}

/** What the ledger says to a question for a manifest. */
export type ManifestAnswer =
  | ServedManifest
  | { readonly ok: false; readonly failure: UpstreamFailure }

/** What a ledger is given. */
export interface LedgerGiven {
  readonly name: MirroredName
  readonly client: UpstreamClient
  readonly records: Records
  readonly manifests: ManifestStore
  readonly markers: RepositoryMarkers
  readonly hints: Hints
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** State and decisions of a `MirrorLedger`. */
export class Ledger {
  readonly #given: LedgerGiven
  readonly #memory = new Memory<Manifest>(MEMORY)
  readonly #negatives = new Memory<true>(MAX_NEGATIVES)
  readonly #flights = new Map<string, Promise<ManifestAnswer>>()

  constructor(given: LedgerGiven) {
    this.#given = given
  }

  /** The manifest that a tag points at: as stored while it is fresh, else as the upstream says, else stale. */
  async tag(tag: Tag, known: Digest | undefined): Promise<ManifestAnswer> {
    const { now } = this.#given
    const record = this.#given.records.tag(tag)
    if (record === undefined && this.#isNegative(tag)) return notFound()
    const rules = this.#rules(tag)
    if (record !== undefined) {
      const freshness = judge(record, rules, now())
      const failure = parseFailure(record.failure)
      if (freshness === 'fresh') return this.#serve(record, freshUntil(record, rules), known)
      if (freshness === 'resting' && mayServeStale(failure, record.verifiedAt, rules, now())) {
        return this.#serveStale(record, { failure, until: restsUntil(record, rules), known })
      }
    }
    return withoutKnown(await this.#once(tag, () => this.#check(tag, record, rules)), known)
  }

  /** The manifest of a digest: as stored, for ever; else as the upstream has it. */
  async manifest(digest: Digest): Promise<ManifestAnswer> {
    if (this.#isNegative(digest)) return notFound()
    return this.#once(digest, async () => {
      try {
        return await this.#byDigest(digest)
      } catch (error) {
        return this.#failed(digest, failureOf(error))
      }
    })
  }

  /** The size of a blob according to the manifests seen (bytes). */
  sizeOf(digest: Digest): number | undefined {
    return this.#given.records.size(digest)
  }

  /** One more isolate has served this repository on that day. */
  touch(day: number): void {
    this.#given.records.touch(day)
  }

  async #check(
    tag: Tag,
    record: TagRecord | undefined,
    rules: FreshnessRules,
  ): Promise<ManifestAnswer> {
    const { now, records, hints, name, defer } = this.#given
    try {
      return await this.#resolve(tag, record, rules)
    } catch (error) {
      const failure = failureOf(error)
      if (failure.kind === 'not-found' && record !== undefined) {
        records.deleteTag(tag)
        defer(hints.deleteTag(name, tag))
      }
      if (record === undefined || !mayServeStale(failure, record.verifiedAt, rules, now())) {
        return this.#failed(tag, failure)
      }
      records.tryTag(tag, JSON.stringify(failure), now())
      const until = restsUntil({ verifiedAt: record.verifiedAt, triedAt: now() }, rules)
      return this.#serveStale(record, { failure, until, known: undefined })
    }
  }

  /** Asks the upstream: HEAD where something is known, GET where nothing is or the digest is new. */
  async #resolve(
    tag: Tag,
    record: TagRecord | undefined,
    rules: FreshnessRules,
  ): Promise<ManifestAnswer> {
    const { client, now } = this.#given
    const request = this.#request({ kind: 'tag', tag })
    const check = { ...request, deadline: Math.min(request.deadline, now() + CHECK_WITHIN) }
    const digest = record === undefined ? undefined : await headManifest(client, check)
    if (digest !== undefined) {
      const answer = await this.manifest(digest)
      if (answer.ok) return this.#verified(tag, answer, rules)
      if (answer.failure.kind !== 'not-found') throw new UpstreamError(answer.failure)
    }
    const fetched = await fetchManifest(client, request, now)
    await this.#store(fetched)
    return this.#verified(tag, served(fetched, 'fill', now()), rules)
  }

  /** Notes what the upstream has just said of a tag; only a stored manifest is ever pointed at. */
  #verified(tag: Tag, answer: ServedManifest, rules: FreshnessRules): ManifestAnswer {
    const { now, records } = this.#given
    const { digest, mediaType, bytes } = answer
    const verifiedAt = now()
    if (records.manifest(digest) !== undefined) {
      records.verifyTag(tag, digest, verifiedAt)
      if (bytes !== undefined) this.#hintTag(tag, { digest, mediaType, bytes }, verifiedAt)
    }
    return { ...answer, verifiedAt, until: verifiedAt + rules.ttl }
  }

  async #byDigest(digest: Digest): Promise<ServedManifest> {
    const { client, now, records } = this.#given
    const row = records.manifest(digest)
    const stored = row === undefined ? undefined : await this.#read(digest)
    if (row !== undefined && stored !== undefined) {
      this.#hintManifest(stored, row.hintedAt)
      return served(stored, 'hit', now())
    }
    const fetched = await fetchManifest(client, this.#request({ kind: 'digest', digest }), now)
    if (await this.#store(fetched)) this.#hintManifest(fetched, 0)
    return served(fetched, 'fill', now())
  }

  async #serve(
    record: TagRecord,
    until: number,
    known: Digest | undefined,
  ): Promise<ManifestAnswer> {
    const base = {
      verifiedAt: record.verifiedAt,
      until,
      outcome: 'hit',
      warning: undefined,
    } as const
    return this.#answer(record, base, known)
  }

  async #serveStale(
    record: TagRecord,
    how: {
      readonly failure: UpstreamFailure
      readonly until: number
      readonly known: Digest | undefined
    },
  ): Promise<ManifestAnswer> {
    const warning = `${this.#given.name.host} did not confirm this tag: ${describe(how.failure)}`
    const base = {
      verifiedAt: record.verifiedAt,
      until: how.until,
      outcome: 'stale',
      warning,
    } as const
    return this.#answer(record, base, how.known)
  }

  /** Fills in the bytes; where storage has lost them, the upstream is asked for that digest again. */
  async #answer(
    record: TagRecord,
    base: Pick<ServedManifest, 'verifiedAt' | 'until' | 'outcome' | 'warning'>,
    known: Digest | undefined,
  ): Promise<ManifestAnswer> {
    const { digest } = record
    const mediaType = this.#given.records.manifest(digest)?.mediaType
    if (digest === known && mediaType !== undefined) {
      return { ok: true, digest, mediaType, bytes: undefined, ...base }
    }
    const answer = await this.manifest(digest)
    return answer.ok ? { ...answer, ...base } : answer
  }

  async #read(digest: Digest): Promise<Manifest | undefined> {
    const { manifests, name, now, log } = this.#given
    const held = this.#memory.get(digest, now())
    if (held !== undefined) return held
    try {
      const stored = await manifests.get(mirroredManifestKey(name, digest), digest)
      return stored && this.#hold({ digest, ...stored })
    } catch (error) {
      log('manifest-read-failed', {
        repository: canonicalName(name),
        digest,
        reason: String(error),
      })
      return undefined
    }
  }

  /** Bytes first, then the row that points at them. A cache that cannot be written breaks no client. */
  async #store(manifest: FetchedManifest): Promise<boolean> {
    const { manifests, markers, records, name, log } = this.#given
    const { digest, mediaType, bytes } = manifest
    try {
      if (records.isEmpty) await markers.mark('mirrored', canonicalName(name))
      await manifests.put(mirroredManifestKey(name, digest), digest, { bytes, mediaType })
      records.putManifest(manifest)
      this.#negatives.delete(digest)
      this.#hold({ digest, mediaType, bytes })
      return true
    } catch (error) {
      log('manifest-write-failed', {
        repository: canonicalName(name),
        digest,
        reason: String(error),
      })
      return false
    }
  }

  #hold(manifest: Manifest): Manifest {
    const size = manifest.bytes.byteLength
    this.#memory.put(manifest.digest, manifest, { size, until: Infinity })
    return manifest
  }

  #hintTag(tag: Tag, manifest: Manifest, verifiedAt: number): void {
    const { records, hints, name, defer } = this.#given
    const record = records.tag(tag)
    const isCurrent =
      record?.hintedDigest === manifest.digest && verifiedAt - record.hintedAt < HINT_TTL
    if (isCurrent) return
    records.hintTag(tag, manifest.digest, verifiedAt)
    defer(hints.putTag(name, tag, { ...manifest, verifiedAt }))
    this.#hintManifest(manifest, records.manifest(manifest.digest)?.hintedAt ?? 0)
  }

  #hintManifest(manifest: Manifest, hintedAt: number): void {
    const { records, hints, name, defer, now } = this.#given
    if (now() - hintedAt < HINT_TTL) return
    records.hintManifest(manifest.digest, now())
    defer(hints.putManifest(name, { ...manifest, verifiedAt: now() }))
  }

  #failed(reference: Tag | Digest, failure: UpstreamFailure): ManifestAnswer {
    if (failure.kind === 'not-found') {
      this.#negatives.put(reference, true, { size: 1, until: this.#given.now() + NEGATIVE_TTL })
    }
    return { ok: false, failure }
  }

  #isNegative(reference: Tag | Digest): boolean {
    return this.#negatives.get(reference, this.#given.now()) !== undefined
  }

  #rules(tag: Tag): FreshnessRules {
    const { client, name } = this.#given
    const { upstream } = client
    return {
      ttl: upstream.tagTTL(name.repository, tag),
      maxStale: upstream.maxStale,
      isPrivate: upstream.isPrivate(name.repository),
    }
  }

  #request(reference: Reference) {
    const { name, now } = this.#given
    return { repository: name.repository, reference, deadline: now() + WITHIN }
  }

  #once(reference: Tag | Digest, work: () => Promise<ManifestAnswer>): Promise<ManifestAnswer> {
    const running = this.#flights.get(reference)
    if (running !== undefined) return running
    const flight = work().finally(() => this.#flights.delete(reference))
    this.#flights.set(reference, flight)
    return flight
  }
}

function served(manifest: Manifest, outcome: 'hit' | 'fill', now: number): ServedManifest {
  const { digest, mediaType, bytes } = manifest
  const base = { outcome, verifiedAt: now, until: Infinity, warning: undefined } as const
  return { ok: true, digest, mediaType, bytes, ...base }
}

function notFound(): ManifestAnswer {
  return { ok: false, failure: { kind: 'not-found' } }
}

/** A caller that has the bytes is not sent them again. */
function withoutKnown(answer: ManifestAnswer, known: Digest | undefined): ManifestAnswer {
  return answer.ok && answer.digest === known ? { ...answer, bytes: undefined } : answer
}

/** The reason of the last failed check as `Records.tryTag` was given it. */
function parseFailure(text: string | null): UpstreamFailure {
  if (text !== null) return JSON.parse(text) as UpstreamFailure
  return { kind: 'unavailable', isTimeout: false, reason: 'it was not asked' }
}

/** In words that a client may see: no address and nothing that an upstream has written. */
function describe(failure: UpstreamFailure): string {
  switch (failure.kind) {
    case 'unavailable':
      return failure.isTimeout ? 'it does not answer' : 'it is unavailable'
    case 'rate-limited':
      return 'it limits requests'
    case 'unauthorized':
      return 'it refuses the configured credential'
    case 'denied':
      return 'it refuses access'
    case 'not-found':
    case 'invalid':
      return 'its answer cannot be used'
    default:
      return failure satisfies never
  }
}
