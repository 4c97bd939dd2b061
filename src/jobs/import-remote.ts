// Another registry as the source of an import: its catalog, its tags, and its repositories. It is in no table of
// upstreams, so what is known of it, tokens too, lasts as long as a step; the way to it is that of every upstream.

import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import { parseNextLink } from '../oci/page.ts'
import type { Reference } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { Listings } from '../mirror/listings.ts'
import type { ListingAnswer } from '../mirror/listings.ts'
import { readWhole } from '../outbound.ts'
import type { Outbound } from '../outbound.ts'
import type { Defer, Now } from '../seams.ts'
import { openRest } from '../upstream/blob-source.ts'
import { UpstreamClient } from '../upstream/client.ts'
import { failureOf } from '../upstream/error.ts'
import { passingStorage } from '../upstream/gate-storage.ts'
import { Gate } from '../upstream/gate.ts'
import { fetchManifest } from '../upstream/manifests.ts'
import type { Credential, Upstream } from '../upstream/upstream.ts'
import { SourceError, digestsOf } from './import-source.ts'
import type { ImportSource, SourceBlob, SourceManifest } from './import-source.ts'

/** Names or tags that one page is asked for; ECR refuses more. */
const PAGE = 1000
/** A page of a catalog (bytes). */
const MAX_PAGE = 8 * 1024 * 1024
/** One answer has so long, its body included (milliseconds). */
const WITHIN = 30_000
/** Nothing is known of such a repository beforehand. */
const NO_RECORDS = { isEmpty: true, tags: () => [], referrers: () => [] }

/** A page of names or tags; `next` is asked for after it. */
export interface RemotePage {
  readonly items: readonly string[]
  readonly next: string | undefined
}

/** What a remote registry is given. */
export interface RemoteGiven {
  readonly upstream: Upstream
  readonly outbound: Outbound
  readonly now: Now
  readonly defer: Defer
}

/** A registry that is imported from, for one step. Every method throws `SourceError`. */
export class RemoteRegistry {
  readonly #given: RemoteGiven
  readonly #client: UpstreamClient

  constructor(given: RemoteGiven) {
    this.#given = given
    const gates = new Map<Credential | undefined, Gate>()
    const gateOf = (upstream: Upstream, credential: Credential | undefined): Gate => {
      const gate =
        gates.get(credential) ??
        new Gate({ ...given, upstream, credential, storage: passingStorage() })
      gates.set(credential, gate)
      return gate
    }
    this.#client = new UpstreamClient(given.upstream, { ...given, gateOf })
  }

  /** Its host, for messages. */
  get host(): string {
    return this.#given.upstream.host
  }

  /** Names of its repositories; `next` is the query of the page that follows. */
  async catalog(query = `?n=${PAGE}`): Promise<RemotePage> {
    const deadline = this.#given.now() + WITHIN
    const path = `_catalog${query}`
    return ask(async () => {
      const response = await this.#client.send({
        method: 'GET',
        repository: undefined,
        path,
        purpose: 'free',
        headers: { [HEADER.accept]: 'application/json' },
        deadline,
      })
      const link = parseNextLink(response.headers.get(HEADER.link))
      const bytes = await readWhole(response, MAX_PAGE, deadline - this.#given.now())
      const names: unknown = parseJSONObject(bytes)?.members['repositories'] ?? []
      if (!Array.isArray(names)) {
        throw new SourceError({ kind: 'invalid', reason: `${this.host} sent no list of names` })
      }
      // Where a link leads is known; its query alone is believed.
      const next = link?.includes('?') === true ? link.slice(link.indexOf('?')) : undefined
      return {
        items: names.filter((name) => typeof name === 'string'),
        next: next === query ? undefined : next,
      }
    })
  }

  /** Tags of a repository; `next` is the `last` of the page that follows. */
  async tags(repository: RepositoryName, last: string | undefined): Promise<RemotePage> {
    return listed(await this.#listings(repository).tags({ n: PAGE, last }))
  }

  /** One repository. Tags that refer to a manifest by its digest are tags like others here: all are imported. */
  repository(repository: RepositoryName): ImportSource {
    const listings = this.#listings(repository)
    return {
      manifest: (reference) => this.#manifest(repository, reference),
      referrers: async (digest) => digestsOf(listed(await listings.referrers(digest)).items),
      digestTags: async () => undefined,
      blob: (digest, offset) => this.#blob(repository, digest, offset),
    }
  }

  async #manifest(repository: RepositoryName, reference: Reference): Promise<SourceManifest> {
    const { now } = this.#given
    const deadline = now() + WITHIN
    return ask(() => fetchManifest(this.#client, { repository, reference, deadline }, now))
  }

  async #blob(repository: RepositoryName, digest: Digest, offset: number): Promise<SourceBlob> {
    const { now } = this.#given
    const blob = { repository, digest }
    const { source, skip } = await ask(() => openRest(this.#client, blob, offset, now))
    return {
      size: source.size,
      skip,
      read: () => ask(() => source.read()),
      cancel: () => source.cancel(),
    }
  }

  #listings(repository: RepositoryName): Listings {
    const { now } = this.#given
    const missing = { ok: false, failure: { kind: 'not-found' } } as const
    return new Listings({
      name: { host: this.host, repository },
      client: this.#client,
      records: NO_RECORDS,
      // The tag that stands in for a referrers API is imported with the other tags.
      ledger: { tag: async () => missing },
      now,
    })
  }
}

function listed<Item>(answer: ListingAnswer<Item>): {
  readonly items: readonly Item[]
  readonly next: string | undefined
} {
  if (!answer.ok) throw new SourceError(answer.failure)
  return answer
}

async function ask<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof SourceError) throw error
    throw new SourceError(failureOf(error))
  }
}
