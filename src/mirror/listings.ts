// Tags and referrers of a mirrored repository: asked of the upstream a page at a time, kept briefly, and
// put together from what is known here while the upstream cannot answer.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import { MEDIA_TYPE } from '../oci/manifest.ts'
import { compareASCII, parseNextLink, takePage } from '../oci/page.ts'
import type { Page } from '../oci/page.ts'
import { parseTag } from '../oci/reference.ts'
import type { Tag } from '../oci/reference.ts'
import { parseReferrers, referrersTag } from '../oci/referrers.ts'
import { readWhole, timeoutAfter } from '../outbound.ts'
import type { Now } from '../seams.ts'
import type { MirroredName } from '../storage/keys.ts'
import { Memory } from '../storage/memory.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import { UpstreamError, failureOf } from '../upstream/error.ts'
import type { UpstreamFailure } from '../upstream/error.ts'
import type { MirrorFailure } from './admission.ts'
import type { Ledger, LedgerAnswer } from './ledger.ts'
import type { Records } from './records.ts'

/** How long a listing is repeated without asking (milliseconds). */
const LISTING_TTL = 30_000
/** Listings that one object keeps, of tags and of referrers each, for as long as the upstream is down (bytes). */
const MEMORY = 16 * 1024 * 1024
/** A page of an upstream, and all pages of one list of referrers together (bytes). */
const MAX_ANSWER = 8 * 1024 * 1024
const MAX_REFERRER_PAGES = 50
/** A question has so long, with all its pages (milliseconds). */
const WITHIN = 12_000
/** What an entry of the memory takes besides its key and its items, about (bytes). */
const ENTRY = 200
/** The longest tag (distribution-spec v1.1.1, "Pulling manifests"). */
const MAX_TAG = 128
/** ECR refuses larger pages. */
const MAX_PAGE = 1000

/** A list and how it was come by. */
export type ListingAnswer<Item> =
  | {
      readonly ok: true
      readonly items: readonly Item[]
      /** The value of `last` for the next page, if there is one. */
      readonly next: string | undefined
      readonly outcome: 'hit' | 'fill' | 'stale' | 'direct'
      readonly warning: string | undefined
    }
  | { readonly ok: false; readonly failure: MirrorFailure }

/** A list that needs no upstream, if there is one. */
export type KnownListing<Item> = ListingAnswer<Item> | undefined

interface Kept<Item> {
  readonly items: readonly Item[]
  readonly next: string | undefined
  readonly until: number
}

/** What listing needs; a caller for whom nothing is known gives records that say so. */
export interface ListingsGiven {
  readonly name: MirroredName
  readonly client: UpstreamClient
  readonly records: Pick<Records, 'isEmpty' | 'tags' | 'referrers'>
  readonly ledger: Pick<Ledger, 'tag'>
  readonly now: Now
}

/** Lists tags and referrers. */
export class Listings {
  readonly #given: ListingsGiven
  readonly #tags: Memory<Kept<string>>
  readonly #referrers: Memory<Kept<Descriptor>>
  readonly #flights = new Map<string, Promise<unknown>>()

  /** `memory` is for tags and for referrers each (bytes). */
  constructor(given: ListingsGiven, memory = MEMORY) {
    this.#given = given
    this.#tags = new Memory(memory)
    this.#referrers = new Memory(memory)
  }

  /** One page of tags (distribution-spec v1.1.1, "Listing Tags"). */
  async tags(page: Page): Promise<ListingAnswer<string>> {
    return this.#list(this.#tags, keyOf(page), {
      ask: () => this.#fetchTags(page),
      known: (kept) => this.#localTags(page, kept),
      // Anybody can make up a `last`; one that no list has given out is not worth keeping.
      isKept: (page.last?.length ?? 0) <= MAX_TAG,
    })
  }

  /** All referrers of a digest (distribution-spec v1.1.1, "Listing Referrers"), unfiltered. */
  async referrers(digest: Digest): Promise<ListingAnswer<Descriptor>> {
    return this.#list(this.#referrers, digest, {
      ask: () => this.#fetchReferrers(digest),
      known: (kept) => this.#localReferrers(digest, kept),
      isKept: true,
    })
  }

  /** Forgets every list that was kept. */
  clear(): void {
    this.#tags.clear()
    this.#referrers.clear()
  }

  /** As `tags`, but `undefined` where only the upstream can tell; while it is `isClosed`, what is known stands in. */
  knownTags(page: Page, isClosed = false): KnownListing<string> {
    const key = keyOf(page)
    const known = (kept: Kept<string> | undefined) => this.#localTags(page, kept)
    return (
      this.#fresh(this.#tags, key) ?? (isClosed ? this.#local(this.#tags, key, known) : undefined)
    )
  }

  /** As `referrers`, in the same way. */
  knownReferrers(digest: Digest, isClosed = false): KnownListing<Descriptor> {
    const known = (kept: Kept<Descriptor> | undefined) => this.#localReferrers(digest, kept)
    return (
      this.#fresh(this.#referrers, digest) ??
      (isClosed ? this.#local(this.#referrers, digest, known) : undefined)
    )
  }

  async #list<Item>(
    memory: Memory<Kept<Item>>,
    key: string,
    how: {
      readonly ask: () => Promise<Omit<Kept<Item>, 'until'>>
      readonly known: (kept: Kept<Item> | undefined) => Omit<Kept<Item>, 'until'> | undefined
      readonly isKept: boolean
    },
  ): Promise<ListingAnswer<Item>> {
    const fresh = this.#fresh(memory, key)
    if (fresh !== undefined) return fresh
    try {
      const asked = await this.#once(key, how.ask)
      if (how.isKept) this.#keep(memory, key, asked)
      return { ok: true, ...asked, outcome: how.isKept ? 'fill' : 'direct', warning: undefined }
    } catch (error) {
      const failure = failureOf(error)
      const local = this.#isPassing(failure) ? this.#local(memory, key, how.known) : undefined
      return local ?? { ok: false, failure }
    }
  }

  /** What is known here in place of what the upstream would say. */
  #local<Item>(
    memory: Memory<Kept<Item>>,
    key: string,
    find: (kept: Kept<Item> | undefined) => Omit<Kept<Item>, 'until'> | undefined,
  ): KnownListing<Item> {
    const known = find(memory.get(key, this.#given.now()))
    if (known === undefined) return undefined
    const warning = `${this.#given.name.host} cannot be asked: this list holds only what is known here`
    return { ok: true, ...known, outcome: 'stale', warning }
  }

  #fresh<Item>(memory: Memory<Kept<Item>>, key: string): ListingAnswer<Item> | undefined {
    const { now } = this.#given
    const kept = memory.get(key, now())
    if (kept === undefined || kept.until <= now()) return undefined
    return { ok: true, items: kept.items, next: kept.next, outcome: 'hit', warning: undefined }
  }

  /** A list outlives its time for an outage, an empty one does not: it is what made-up questions get. */
  #keep<Item>(memory: Memory<Kept<Item>>, key: string, asked: Omit<Kept<Item>, 'until'>): void {
    const until = this.#given.now() + LISTING_TTL
    const size = ENTRY + key.length + JSON.stringify(asked.items).length
    memory.put(
      key,
      { ...asked, until },
      { size, until: asked.items.length === 0 ? until : Infinity },
    )
  }

  async #fetchTags(page: Page): Promise<Omit<Kept<string>, 'until'>> {
    const query = new URLSearchParams()
    if (page.n !== undefined && page.n > 0) query.set('n', String(Math.min(page.n, MAX_PAGE)))
    if (page.last !== undefined) query.set('last', page.last)
    const path = `tags/list${query.size > 0 ? `?${query.toString()}` : ''}`
    const deadline = this.#given.now() + WITHIN
    const response = await this.#send(path, deadline)
    const link = parseNextLink(response.headers.get(HEADER.link))
    const tags = await this.#tagsOf(response, deadline)
    if (link === undefined) {
      // Without a link this is everything after `last`, or everything: some registries ignore the query.
      const { items, next } = takePage([...new Set(tags)].toSorted(compareASCII), page)
      return { items, next }
    }
    const items = tags.slice(0, page.n)
    if (page.n === 0) return { items, next: undefined }
    return {
      items,
      next: items.length < tags.length ? items.at(-1) : (lastOf(link) ?? tags.at(-1)),
    }
  }

  async #tagsOf(response: Response, deadline: number): Promise<string[]> {
    const bytes = await readWhole(response, MAX_ANSWER, this.#left(deadline))
    const members = parseJSONObject(bytes)?.members
    // Go writes an empty list that was never made as null.
    const tags: unknown = members === undefined ? undefined : (members['tags'] ?? [])
    if (!Array.isArray(tags)) throw this.#invalid('no list of tags')
    return tags.filter(
      (tag): tag is string => typeof tag === 'string' && parseTag(tag) !== undefined,
    )
  }

  #localTags(page: Page, kept: Kept<string> | undefined): Omit<Kept<string>, 'until'> | undefined {
    if (kept !== undefined) return kept
    const tags = this.#given.records.tags()
    return tags.length === 0 ? undefined : takePage(tags, page)
  }

  async #fetchReferrers(digest: Digest): Promise<Omit<Kept<Descriptor>, 'until'>> {
    const deadline = this.#given.now() + WITHIN
    const items = (await this.#fromAPI(digest, deadline)) ?? (await this.#fromTag(digest, deadline))
    return { items, next: undefined }
  }

  /** `undefined` where the upstream has no referrers API (404, or whatever else it says to such a path). */
  async #fromAPI(digest: Digest, deadline: number): Promise<Descriptor[] | undefined> {
    const found: Descriptor[] = []
    let room = MAX_ANSWER
    let path: string | undefined = `referrers/${digest}`
    for (let page = 0; path !== undefined && page < MAX_REFERRER_PAGES; page++) {
      const response = await this.#sendToAPI(path, deadline)
      if (response === undefined) return undefined
      const bytes = await readWhole(response, room, this.#left(deadline))
      const descriptors = parseReferrers(bytes)
      if (descriptors === undefined) return undefined
      room -= bytes.byteLength
      found.push(...descriptors)
      const link = parseNextLink(response.headers.get(HEADER.link))
      path = link === undefined ? undefined : `referrers/${digest}${queryOf(link)}`
    }
    if (path !== undefined) throw this.#invalid('referrers without an end')
    return found
  }

  async #sendToAPI(path: string, deadline: number): Promise<Response | undefined> {
    try {
      const response = await this.#send(path, deadline, MEDIA_TYPE.OCI_INDEX)
      const type = response.headers.get(HEADER.contentType)?.split(';')[0]?.trim()
      if (type === MEDIA_TYPE.OCI_INDEX) return response
      await response.body?.cancel()
      return undefined
    } catch (error) {
      const { kind } = failureOf(error)
      if (kind === 'not-found' || kind === 'invalid') return undefined
      throw error
    }
  }

  /** distribution-spec v1.1.1, "Referrers Tag Schema": an index under a tag made of the digest. */
  async #fromTag(digest: Digest, deadline: number): Promise<Descriptor[]> {
    const tag = parseTag(referrersTag(digest))
    if (tag === undefined) return []
    const answer = await this.#tagWithin(tag, this.#left(deadline))
    if (answer.ok) return [...(parseReferrers(answer.bytes ?? new Uint8Array()) ?? [])]
    if (answer.failure.kind === 'not-found') return []
    throw new UpstreamError(answer.failure)
  }

  /** The ledger gives a tag its own time; only what is left of the question's is waited for. */
  async #tagWithin(tag: Tag, left: number): Promise<LedgerAnswer> {
    const late = timeoutAfter(left, 'the referrers tag was too late')
    try {
      return await Promise.race([this.#given.ledger.tag(tag, undefined), late.expired])
    } finally {
      late.clear()
    }
  }

  #localReferrers(
    digest: Digest,
    kept: Kept<Descriptor> | undefined,
  ): Omit<Kept<Descriptor>, 'until'> | undefined {
    const { records } = this.#given
    if (records.isEmpty) return undefined
    const all = [...(kept?.items ?? []), ...records.referrers(digest)]
    const byDigest = new Map(all.map((descriptor) => [descriptor.digest, descriptor]))
    return { items: [...byDigest.values()], next: undefined }
  }

  async #send(path: string, deadline: number, accept = 'application/json'): Promise<Response> {
    const { client, name } = this.#given
    this.#left(deadline)
    return client.send({
      method: 'GET',
      repository: name.repository,
      path,
      purpose: 'free',
      headers: { [HEADER.accept]: accept },
      deadline,
    })
  }

  /**
   * Milliseconds until the deadline.
   * @throws {UpstreamError} where it is over.
   */
  #left(deadline: number): number {
    const left = deadline - this.#given.now()
    if (left > 0) return left
    const reason = `${this.#given.name.host} took too long for a list`
    throw new UpstreamError({ kind: 'unavailable', isTimeout: true, reason })
  }

  /** Whether the upstream may answer this later: only then does what is known here stand in for it. */
  #isPassing({ kind }: UpstreamFailure): boolean {
    const { client, name } = this.#given
    if (kind === 'unauthorized') return !client.upstream.isPrivate(name.repository)
    return kind === 'unavailable' || kind === 'rate-limited'
  }

  #invalid(what: string): UpstreamError {
    return new UpstreamError({ kind: 'invalid', reason: `${this.#given.name.host} sent ${what}` })
  }

  /** One question to the upstream at a time for one list; what is kept under a key has one type. */
  #once<Item>(key: string, work: () => Promise<Item>): Promise<Item> {
    const running = this.#flights.get(key)
    if (running !== undefined) return running as Promise<Item>
    const flight = work().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }
}

function keyOf({ n, last }: Page): string {
  return JSON.stringify([n, last])
}

function lastOf(link: string): string | undefined {
  return new URLSearchParams(queryOf(link)).get('last') ?? undefined
}

/** The query of a link, which alone is believed: where it leads is known. */
function queryOf(link: string): string {
  const start = link.indexOf('?')
  return start === -1 ? '' : link.slice(start)
}
