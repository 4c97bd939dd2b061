// The ledger of one mirrored repository: what its tags point at and since when, and which manifests are
// stored. Every upstream request for a manifest or a listing is made here, so that all clients everywhere
// share one. Blobs have their own object (`fill.ts`).

import type { Digest } from '../oci/digest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { mayStandIn } from '../upstream/alternates.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import { UpstreamError, failureOf } from '../upstream/error.ts'
import type { UpstreamFailure } from '../upstream/error.ts'
import { fetchManifest, guessManifest, headManifest } from '../upstream/manifests.ts'
import type { FetchedManifest, Manifest } from '../upstream/manifests.ts'
import type { Refused } from './admission.ts'
import { freshUntil, judge, mayServeStale, restsUntil } from './freshness.ts'
import type { FreshnessRules, TagClocks } from './freshness.ts'
import { describeFailure, parseFailure, rememberedFailure } from './last-failure.ts'
import type { ManifestKeeper, ManifestKeeperGiven } from './manifest-keeper.ts'
import { Negatives } from './negatives.ts'
import type { TagRecord } from './records.ts'

/** A client waits at most so long for a name that was never seen (milliseconds). */
const WITHIN = 12_000
/** Where a stale manifest can stand in, the upstream has only so long to confirm it (milliseconds). */
const CHECK_WITHIN = 5000

/** A manifest and how it was come by; `bytes` are left out when the caller has them. */
export interface ServedManifest {
  readonly ok: true
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array | undefined
  /** `direct`: fresh from the upstream, but storage did not take it. */
  readonly outcome: 'hit' | 'fill' | 'stale' | 'direct'
  /** When the upstream last confirmed it, and until when this answer may be repeated (milliseconds). */
  readonly verifiedAt: number
  readonly until: number
  readonly warning: string | undefined
}

/** What the ledger says to a question for a manifest. */
export type LedgerAnswer =
  | ServedManifest
  | { readonly ok: false; readonly failure: UpstreamFailure }

/** What becomes of a request for a manifest. */
export type ManifestAnswer = LedgerAnswer | Refused

/** What a ledger is given. */
export interface LedgerGiven extends ManifestKeeperGiven {
  readonly client: UpstreamClient
  readonly kept: ManifestKeeper
}

/** By which rules a tag is checked, and until when (milliseconds of the clock). */
interface CheckTerms {
  readonly rules: FreshnessRules
  readonly deadline: number
}

/** State and decisions of a `MirrorLedger`. */
export class Ledger {
  readonly #given: LedgerGiven
  readonly #kept: ManifestKeeper
  readonly #negatives: Negatives
  readonly #flights = new Map<string, Promise<LedgerAnswer>>()

  constructor(given: LedgerGiven) {
    this.#given = given
    this.#kept = given.kept
    this.#negatives = new Negatives(given.now)
  }

  /** The manifest that a tag points at: as stored while it is fresh, else as the upstream says, else stale. */
  async tag(tag: Tag, known: Digest | undefined): Promise<LedgerAnswer> {
    const { now } = this.#given
    const record = this.#given.records.tag(tag)
    const negative = record === undefined ? this.#negatives.of(tag) : undefined
    if (negative !== undefined) return { ok: false, failure: negative }
    const rules = this.#rules(tag)
    if (record !== undefined) {
      const clocks = clocksOf(record)
      const freshness = judge(clocks, rules, now())
      const failure = parseFailure(record.failure)
      if (freshness === 'fresh') return this.#serve(record, freshUntil(clocks, rules), known)
      if (freshness === 'resting') {
        if (!mayServeStale(failure, record.verifiedAt, rules, now())) return { ok: false, failure }
        return this.#serveStale(record, { failure, until: restsUntil(clocks, rules), known })
      }
      const stretched = await this.#stretched(clocks, rules)
      if (stretched !== undefined) return this.#serve(record, stretched, known)
    }
    return this.#checked(tag, record, known)
  }

  /**
   * Asks the upstream for a tag now, whatever is known of it, or waits for whoever is asking; where it cannot tell, what
   * is stored may still be served. Without bytes.
   */
  async refresh(
    tag: Tag,
  ): Promise<{ readonly before: Digest | undefined; readonly answer: LedgerAnswer }> {
    const record = this.#given.records.tag(tag)
    const answer = await this.#checked(tag, record, undefined)
    return { before: record?.digest, answer: answer.ok ? { ...answer, bytes: undefined } : answer }
  }

  /** What a check of a tag says, one for all who want it; else the tag as it is stored, if it may be stale. */
  async #checked(
    tag: Tag,
    record: TagRecord | undefined,
    known: Digest | undefined,
  ): Promise<LedgerAnswer> {
    const { now } = this.#given
    const rules = this.#rules(tag)
    const answer = await this.#once(tag, () => this.#check(tag, record, rules))
    if (answer.ok) return withoutKnown(answer, known)
    // Stale is served per caller: one that has the bytes needs no storage for it.
    const { failure } = answer
    if (record === undefined || !mayServeStale(failure, record.verifiedAt, rules, now())) {
      return answer
    }
    const until = restsUntil({ verifiedAt: record.verifiedAt, triedAt: now() }, rules)
    return this.#serveStale(record, { failure, until, known })
  }

  /** Until when a tag counts as fresh because the budget runs low; `undefined` where that makes no difference. */
  async #stretched(clocks: TagClocks, rules: FreshnessRules): Promise<number | undefined> {
    const stretched = rules.ttl * (await this.#given.client.stretch())
    // However low the budget, nothing counts as fresh that could not even be served stale.
    const longer = { ...rules, ttl: Math.min(stretched, Math.max(rules.ttl, rules.maxStale)) }
    if (judge(clocks, longer, this.#given.now()) !== 'fresh') return undefined
    return freshUntil(clocks, longer)
  }

  /** The manifest of a digest: as stored, for ever; else as the upstream has it. */
  async manifest(digest: Digest): Promise<LedgerAnswer> {
    if (this.#negatives.isAbsent(digest)) return notFound()
    return this.#once(digest, async () => {
      try {
        return await this.#byDigest(digest)
      } catch (error) {
        return this.#failed(digest, failureOf(error))
      }
    })
  }

  /**
   * As `tag`, but `undefined` where nothing is known of the tag, not even that it is not there: then only the
   * upstream can tell. What is on its way is not known yet.
   */
  async knownTag(tag: Tag, known: Digest | undefined): Promise<LedgerAnswer | undefined> {
    const record = this.#given.records.tag(tag)
    if (record === undefined && this.#negatives.of(tag) === undefined) return undefined
    return this.tag(tag, known)
  }

  /** As `manifest`, but `undefined` where nothing is known of the digest. */
  async knownManifest(digest: Digest): Promise<LedgerAnswer | undefined> {
    const record = this.#given.records.manifest(digest)
    if (record === undefined && this.#negatives.of(digest) === undefined) return undefined
    return this.manifest(digest)
  }

  /** The size of a blob according to the manifests seen (bytes). */
  sizeOf(digest: Digest): number | undefined {
    return this.#given.records.size(digest)
  }

  async #check(
    tag: Tag,
    record: TagRecord | undefined,
    rules: FreshnessRules,
  ): Promise<LedgerAnswer> {
    const { now, records, hints, name, defer } = this.#given
    const deadline = now() + WITHIN
    try {
      return await this.#resolve(tag, record, { rules, deadline })
    } catch (error) {
      const failure = rememberedFailure(record, failureOf(error))
      if (failure.kind === 'not-found' && record !== undefined) {
        records.deleteTag(tag)
        defer(hints.deleteTag(name, tag))
      } else if (record !== undefined) {
        records.tryTag(tag, JSON.stringify(failure), now())
      }
      const guess = isKnown(record, failure, { rules, now: now() })
        ? undefined
        : await this.#guess(tag, failure, { rules, deadline })
      return guess ?? this.#failed(tag, failure)
    }
  }

  /** Nothing else is known of the tag, so an alternate's word has to do until the upstream can be asked. */
  async #guess(
    tag: Tag,
    failure: UpstreamFailure,
    { rules, deadline }: CheckTerms,
  ): Promise<LedgerAnswer | undefined> {
    const { client, now, records } = this.#given
    if (!mayStandIn(failure)) return undefined
    const request = { ...this.#request({ kind: 'tag', tag }), deadline }
    const fetched = await guessManifest(client, request, now)
    if (fetched === undefined) return undefined
    const at = { now: now(), failure: JSON.stringify(failure) }
    if (await this.#keep(fetched)) records.guessTag(tag, fetched.digest, at)
    const until = restsUntil({ verifiedAt: -Infinity, triedAt: at.now }, rules)
    return { ...served(fetched, 'stale', at.now), until, warning: this.#warning(failure) }
  }

  /** Asks the upstream: HEAD where something is known, GET where nothing is or the digest is new. */
  async #resolve(
    tag: Tag,
    record: TagRecord | undefined,
    { rules, deadline }: CheckTerms,
  ): Promise<LedgerAnswer> {
    const { client, now } = this.#given
    // Where alternates may be asked afterwards, half of the time is theirs.
    const half = client.alternates.length > 0 ? now() + WITHIN / 2 : deadline
    const request = { ...this.#request({ kind: 'tag', tag }), deadline: half }
    const check = { ...request, deadline: Math.min(half, now() + CHECK_WITHIN) }
    const digest = record === undefined ? undefined : await headManifest(client, check)
    if (digest !== undefined) {
      const answer = await this.manifest(digest)
      if (answer.ok) return this.#verified(tag, answer, rules)
      if (answer.failure.kind !== 'not-found') throw new UpstreamError(answer.failure)
    }
    const fetched = await fetchManifest(client, request, now)
    const isStored = await this.#keep(fetched)
    return this.#verified(tag, served(fetched, isStored ? 'fill' : 'direct', now()), rules)
  }

  /** Notes what the upstream has just said of a tag; only a stored manifest is ever pointed at. */
  #verified(tag: Tag, answer: ServedManifest, rules: FreshnessRules): LedgerAnswer {
    const { now, records } = this.#given
    const { digest, mediaType, bytes } = answer
    const verifiedAt = now()
    if (records.manifest(digest) !== undefined) {
      records.verifyTag(tag, digest, verifiedAt)
      if (bytes !== undefined) this.#kept.hintTag(tag, { digest, mediaType, bytes }, verifiedAt)
    }
    return { ...answer, verifiedAt, until: verifiedAt + rules.ttl }
  }

  async #byDigest(digest: Digest): Promise<ServedManifest> {
    const { client, now } = this.#given
    // Made first: what storage takes is not added to what the upstream may take.
    const request = this.#request({ kind: 'digest', digest })
    const stored = await this.#kept.get(digest)
    if (stored !== undefined) return served(stored, 'hit', now())
    const { refusal } = this.#negatives
    if (refusal !== undefined) throw new UpstreamError(refusal)
    const fetched = await fetchManifest(client, request, now)
    const isStored = await this.#keep(fetched)
    if (isStored) this.#kept.hint(fetched)
    return served(fetched, isStored ? 'fill' : 'direct', now())
  }

  async #keep(manifest: FetchedManifest): Promise<boolean> {
    this.#negatives.forget(manifest.digest)
    return this.#kept.put(manifest)
  }

  async #serve(record: TagRecord, until: number, known: Digest | undefined): Promise<LedgerAnswer> {
    const base = {
      verifiedAt: record.verifiedAt,
      until,
      outcome: 'hit',
      warning: undefined,
    } as const
    return this.#answer(record, base, known)
  }

  #warning(failure: UpstreamFailure): string {
    return `${this.#given.name.host} did not confirm this tag: ${describeFailure(failure)}`
  }

  async #serveStale(
    record: TagRecord,
    how: {
      readonly failure: UpstreamFailure
      readonly until: number
      readonly known: Digest | undefined
    },
  ): Promise<LedgerAnswer> {
    const warning = this.#warning(how.failure)
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
  ): Promise<LedgerAnswer> {
    const { digest } = record
    const mediaType = this.#given.records.manifest(digest)?.mediaType
    if (digest === known && mediaType !== undefined) {
      return { ok: true, digest, mediaType, bytes: undefined, ...base }
    }
    const answer = await this.manifest(digest)
    return answer.ok ? { ...answer, ...base } : answer
  }

  #failed(reference: Tag | Digest, failure: UpstreamFailure): LedgerAnswer {
    this.#negatives.note(reference, failure)
    return { ok: false, failure }
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

  #once(reference: Tag | Digest, work: () => Promise<LedgerAnswer>): Promise<LedgerAnswer> {
    const running = this.#flights.get(reference)
    if (running !== undefined) return running
    const flight = work().finally(() => this.#flights.delete(reference))
    this.#flights.set(reference, flight)
    return flight
  }
}

function served(
  manifest: Manifest,
  outcome: ServedManifest['outcome'],
  now: number,
): ServedManifest {
  const { digest, mediaType, bytes } = manifest
  const base = { outcome, verifiedAt: now, until: Infinity, warning: undefined } as const
  return { ok: true, digest, mediaType, bytes, ...base }
}

/** What an alternate has said never counts as verified. */
function clocksOf({ isGuess, verifiedAt, triedAt }: TagRecord): TagClocks {
  return { verifiedAt: isGuess ? -Infinity : verifiedAt, triedAt }
}

/** Whether what is known of a tag leaves an alternate nothing to say: the upstream's own word does, served or not. */
function isKnown(
  record: TagRecord | undefined,
  failure: UpstreamFailure,
  { rules, now }: { readonly rules: FreshnessRules; readonly now: number },
): boolean {
  if (record === undefined) return false
  if (!record.isGuess) return now - record.verifiedAt <= rules.maxStale
  return mayServeStale(failure, record.verifiedAt, rules, now)
}

function notFound(): LedgerAnswer {
  return { ok: false, failure: { kind: 'not-found' } }
}

/** A caller that has the bytes is not sent them again. */
function withoutKnown(answer: LedgerAnswer, known: Digest | undefined): LedgerAnswer {
  return answer.ok && answer.digest === known ? { ...answer, bytes: undefined } : answer
}
