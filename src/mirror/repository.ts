// A mirrored repository as a request sees it: a manifest is looked for in memory, KV and the ledger, in
// that order, and only the ledger asks the upstream. While the ledger is away or does not answer, this
// request asks alone.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { Seams } from '../seams.ts'
import type { Hints, ManifestHint } from '../storage/hints.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import { failureOf } from '../upstream/error.ts'
import { fetchManifest } from '../upstream/manifests.ts'
import { RequestAdmission } from './admission.ts'
import type { Admit, Refused } from './admission.ts'
import type { MirroredBlobs } from './blobs.ts'
import { mayServeStale } from './freshness.ts'
import type { FreshnessRules } from './freshness.ts'
import type { LedgerAnswer, ManifestAnswer, ServedManifest } from './ledger.ts'
import { KeptManifests } from './kept-manifests.ts'
import { Listings } from './listings.ts'
import type { KnownListing, ListingAnswer } from './listings.ts'
import { NearManifests } from './near-manifests.ts'
import type { KnownPurges, ManifestMemory } from './near-manifests.ts'
import { LATE, within } from './patience.ts'
import type { TagRecord } from './records.ts'

/** A request that asks alone waits so long for the upstream (milliseconds). */
const WITHIN = 12_000
/** A ledger that has not answered by then counts as away: longer than it waits for the upstream (milliseconds). */
const LEDGER_WITHIN = 20_000
/** What a request knows of a repository whose ledger is away. */
const NO_RECORDS = { isEmpty: true, tags: () => [], referrers: () => [] }

/** A `MirrorLedger` as this room sees it: what begins with `known` needs no admission. */
export interface LedgerStub {
  knownTag(
    name: MirroredName,
    tag: Tag,
    known: Digest | undefined,
  ): Promise<LedgerAnswer | undefined>
  knownManifest(name: MirroredName, digest: Digest): Promise<LedgerAnswer | undefined>
  /** What is known of a tag, whatever its age; the upstream is not asked. */
  keptTag(name: MirroredName, tag: Tag): Promise<TagRecord | undefined>
  knownTags(name: MirroredName, page: Page, isClosed?: boolean): Promise<KnownListing<string>>
  knownReferrers(
    name: MirroredName,
    digest: Digest,
    isClosed?: boolean,
  ): Promise<KnownListing<Descriptor>>
  tag(name: MirroredName, tag: Tag, known: Digest | undefined): Promise<LedgerAnswer>
  manifest(name: MirroredName, digest: Digest): Promise<LedgerAnswer>
  tags(name: MirroredName, page: Page): Promise<ListingAnswer<string>>
  referrers(name: MirroredName, digest: Digest): Promise<ListingAnswer<Descriptor>>
  size(name: MirroredName, digest: Digest): Promise<number | undefined>
}

/** A question for the ledger: as it can answer it from what is known, and as it asks the upstream. */
interface Question<Answer> {
  readonly known: () => Promise<Answer | undefined>
  readonly anew: () => Promise<Answer>
}

/** What a mirrored repository is given. */
export interface MirroredRepositoryGiven {
  readonly name: MirroredName
  readonly client: UpstreamClient
  /** Made when it is asked: most requests are answered without it. */
  readonly ledger: () => LedgerStub
  readonly hints: Hints
  readonly manifests: ManifestStore
  readonly memory: ManifestMemory
  readonly blobs: () => MirroredBlobs
  /** Of the one request that this is for. */
  readonly admit: Admit
  /** What the upstream may be asked for; of `none`, `admit` says so too. Never rejects. */
  readonly contact: () => Promise<'all' | 'unknown' | 'none'>
  /** What was purged; a promise only where somebody has to be asked. Never rejects. */
  readonly purges: () => KnownPurges | undefined | Promise<KnownPurges | undefined>
  readonly seams: Seams
}

/** Reads one mirrored repository, for one request. */
export class MirroredRepository {
  readonly #given: MirroredRepositoryGiven
  readonly #canonical: string
  readonly #admission: RequestAdmission
  readonly #near: NearManifests

  constructor(given: MirroredRepositoryGiven) {
    this.#given = given
    this.#canonical = canonicalName(given.name)
    this.#admission = new RequestAdmission(given.admit)
    this.#near = new NearManifests({ ...given, now: given.seams.now })
  }

  /** Its blobs. */
  get blobs(): MirroredBlobs {
    return this.#given.blobs()
  }

  /** The manifest of a reference. At most one KV read once an isolate, KV or the ledger knows it. */
  async manifest(reference: Reference): Promise<ManifestAnswer> {
    return reference.kind === 'tag' ? this.#tag(reference.tag) : this.#digest(reference.digest)
  }

  /** One page of tags. */
  async tags(page: Page): Promise<ListingAnswer<string>> {
    const { ledger, name } = this.#given
    return this.#listing({
      known: (isClosed) => ledger().knownTags(name, page, isClosed),
      anew: () => ledger().tags(name, page),
      alone: (listings) => listings.tags(page),
    })
  }

  /** All referrers of a digest. */
  async referrers(digest: Digest): Promise<ListingAnswer<Descriptor>> {
    const { ledger, name } = this.#given
    return this.#listing({
      known: (isClosed) => ledger().knownReferrers(name, digest, isClosed),
      anew: () => ledger().referrers(name, digest),
      alone: (listings) => listings.referrers(digest),
    })
  }

  async #tag(tag: Tag): Promise<ManifestAnswer> {
    const { hints, name, seams } = this.#given
    const key = `:${tag}`
    const near = await this.#near.look(key, () => hints.getTag(name, tag))
    if (near.held !== undefined) return near.held
    const { hint } = near
    const rules = this.#rules(tag)
    if (hint !== undefined && seams.now() - hint.verifiedAt < rules.ttl) {
      return this.#near.hold(
        key,
        fromHint(hint, { outcome: 'hit', until: hint.verifiedAt + rules.ttl }),
      )
    }
    const answer =
      (await this.#unchecked(tag, hint, rules)) ?? (await this.#askLedger(tag, hint, rules))
    return answer.ok ? this.#near.hold(key, answer) : answer
  }

  async #digest(digest: Digest): Promise<ManifestAnswer> {
    const { hints, name } = this.#given
    const key = `@${digest}`
    const near = await this.#near.look(key, () => hints.getManifest(name, digest))
    if (near.held !== undefined) return near.held
    const { hint } = near
    if (hint !== undefined)
      return this.#near.hold(key, fromHint(hint, { outcome: 'hit', until: Infinity }))
    const answer = (await this.#closed(digest)) ?? (await this.#askLedgerForDigest(digest))
    return answer.ok ? this.#near.hold(key, answer) : answer
  }

  /** A tag that is not to be checked, as it is kept here; `undefined`: the upstream may be asked. */
  async #unchecked(
    tag: Tag,
    hint: ManifestHint | undefined,
    rules: FreshnessRules,
  ): Promise<ManifestAnswer | undefined> {
    const may = await this.#given.contact()
    if (may === 'all') return undefined
    const kept = await this.#kept().tag(tag, hint, rules)
    return kept ?? (may === 'none' ? this.#admission.refusal() : undefined)
  }

  /** A digest while the upstream may not be asked for anything. */
  async #closed(digest: Digest): Promise<ManifestAnswer | undefined> {
    if ((await this.#given.contact()) !== 'none') return undefined
    return (await this.#kept().digest(digest)) ?? this.#admission.refusal()
  }

  #kept(): KeptManifests {
    const { ledger } = this.#given
    const tag = (of: Tag) => inTime(ledger().keptTag(this.#given.name, of))
    return new KeptManifests({ ...this.#given, tag })
  }

  async #askLedger(
    tag: Tag,
    hint: ManifestHint | undefined,
    rules: FreshnessRules,
  ): Promise<ManifestAnswer> {
    const { ledger, name, seams } = this.#given
    try {
      const answer = await this.#ask({
        known: () => ledger().knownTag(name, tag, hint?.digest),
        anew: () => ledger().tag(name, tag, hint?.digest),
      })
      return answer.ok ? { ...answer, bytes: answer.bytes ?? hint?.bytes } : answer
    } catch (error) {
      this.#logAway(error)
    }
    const reference = { kind: 'tag', tag } as const
    if (hint === undefined) return this.#alone(reference)
    const answer = await this.#fetch(reference, seams.now() + WITHIN)
    if (answer.ok) return answer
    if (!mayServeStale(answer.failure, hint.verifiedAt, rules, seams.now())) return answer
    const warning = `${name.host} did not confirm this tag`
    return { ...fromHint(hint, { outcome: 'stale', until: 0 }), warning }
  }

  async #askLedgerForDigest(digest: Digest): Promise<ManifestAnswer> {
    const { ledger, name } = this.#given
    try {
      return await this.#ask({
        known: () => ledger().knownManifest(name, digest),
        anew: () => ledger().manifest(name, digest),
      })
    } catch (error) {
      this.#logAway(error)
      return this.#alone({ kind: 'digest', digest })
    }
  }

  /** Without the ledger nothing is stored, but R2 still knows manifests by digest, and the upstream all. */
  async #alone(reference: Reference): Promise<ManifestAnswer> {
    const deadline = this.#given.seams.now() + WITHIN
    const stored =
      reference.kind === 'digest' ? await this.#kept().digest(reference.digest) : undefined
    return stored ?? (await this.#admission.refusal()) ?? this.#fetch(reference, deadline)
  }

  async #fetch(reference: Reference, deadline: number): Promise<LedgerAnswer> {
    const { client, name, seams } = this.#given
    const { repository } = name
    try {
      const fetched = await fetchManifest(client, { repository, reference, deadline }, seams.now)
      const base = {
        outcome: 'direct',
        verifiedAt: seams.now(),
        until: 0,
        warning: undefined,
      } as const
      return {
        ok: true,
        digest: fetched.digest,
        mediaType: fetched.mediaType,
        bytes: fetched.bytes,
        ...base,
      }
    } catch (error) {
      return { ok: false, failure: failureOf(error) }
    }
  }

  async #listing<Item>(question: {
    readonly known: (isClosed: boolean) => Promise<KnownListing<Item>>
    readonly anew: () => Promise<ListingAnswer<Item>>
    readonly alone: (listings: Listings) => Promise<ListingAnswer<Item>>
  }): Promise<ListingAnswer<Item>> {
    const { client, contact, name, seams } = this.#given
    const { now } = seams
    try {
      const isClosed = (await contact()) === 'none'
      return await this.#ask({ known: () => question.known(isClosed), anew: question.anew })
    } catch (error) {
      this.#logAway(error)
      const refusal = await this.#admission.refusal()
      if (refusal !== undefined) return refusal
      const ledger = { tag: (tag: Tag) => this.#fetch({ kind: 'tag', tag }, now() + WITHIN) }
      const listings = new Listings({ name, client, records: NO_RECORDS, ledger, now })
      const answer = await question.alone(listings)
      return answer.ok ? { ...answer, outcome: 'direct' } : answer
    }
  }

  /** Asks the ledger, twice where it does not know. @throws when it is away, or both take too long. */
  #ask<Answer>({ known, anew }: Question<Answer>): Promise<Answer | Refused> {
    return inTime(this.#admission.ask(known, anew))
  }

  #rules(tag: Tag): FreshnessRules {
    const { upstream } = this.#given.client
    const { repository } = this.#given.name
    return {
      ttl: upstream.tagTTL(repository, tag),
      maxStale: upstream.maxStale,
      isPrivate: upstream.isPrivate(repository),
    }
  }

  #logAway(error: unknown): void {
    this.#given.seams.log('ledger-away', { repository: this.#canonical, reason: String(error) })
  }
}

/** What the ledger says. @throws when it does not in time; what it says later is nobody's concern. */
async function inTime<Answer>(asked: Promise<Answer>): Promise<Answer> {
  const answer = await within(asked, LEDGER_WITHIN)
  if (answer === LATE) throw new Error('the ledger does not answer')
  return answer
}

function fromHint(
  hint: ManifestHint,
  how: { readonly outcome: 'hit' | 'stale'; readonly until: number },
): ServedManifest {
  return { ok: true, ...hint, ...how, warning: undefined }
}
