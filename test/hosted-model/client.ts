// A client of the model's registry: it pushes, mounts and deletes as clients do, and notes what it was
// promised.

import { GRACE } from '../../src/hosted/ledger.ts'
import type { Tag } from '../../src/oci/reference.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import { TAGS } from './contents.ts'
import type { SampleBlob, Image } from './contents.ts'
import type { Facts } from './facts.ts'
import type { Registry } from './registry.ts'
import { ledgerOf } from './registry.ts'

/** What becomes of a request; `failed`: the client does not know. */
export type Outcome = 'done' | 'refused' | 'failed'

/** A client that gives up at the first failure. */
export class Client {
  readonly #registry: Registry
  readonly #facts: Facts
  /** Uploads that failed: they may still be finished. */
  readonly #ghosts = new Map<string, () => void>()

  constructor(registry: Registry, facts: Facts) {
    this.#registry = registry
    this.#facts = facts
  }

  /** Asks whether a blob is there, as whoever is about to push it does. */
  head(repository: RepositoryName, blob: SampleBlob): Promise<Outcome> {
    const fact = this.#facts.of(repository, blob.digest)
    const doing = fact.begin('touch')
    const until = this.#registry.world.now + GRACE
    return outcomeOf(async () => {
      const isThere = (await this.#registry.blob(repository, blob, true)) !== undefined
      fact.end(doing, isThere, until)
      return isThere
    })
  }

  /** Uploads a blob. */
  async upload(repository: RepositoryName, blob: SampleBlob): Promise<Outcome> {
    const fact = this.#facts.of(repository, blob.digest)
    const doing = fact.begin('write')
    const until = this.#registry.world.now + GRACE
    let session: string | undefined
    const outcome = await outcomeOf(async () => {
      session = await this.#registry.open(repository)
      return (await this.#registry.close(session, blob)).ok
    })
    if (outcome === 'done' || session === undefined) fact.end(doing, outcome === 'done', until)
    else this.#ghosts.set(session, () => fact.end(doing, false))
    return outcome
  }

  /** Takes a blob over from another repository. */
  async mount(
    repository: RepositoryName,
    blob: SampleBlob,
    from: RepositoryName,
  ): Promise<Outcome> {
    const source = await this.head(from, blob)
    if (source !== 'done') return source
    const fact = this.#facts.of(repository, blob.digest)
    const doing = fact.begin('write')
    const until = this.#registry.world.now + GRACE
    const outcome = await outcomeOf(async () => (await this.#registry.hold(repository, blob)).ok)
    fact.end(doing, outcome === 'done', until)
    return outcome
  }

  /** Puts a manifest. */
  async putManifest(
    repository: RepositoryName,
    image: Image,
    tags: readonly Tag[],
  ): Promise<Outcome> {
    const fact = this.#facts.of(repository, image.digest)
    const tagged = tags.map((tag) => this.#facts.of(repository, tag))
    if (!fact.isWriting && !this.#isKnown(repository, image)) fact.putSince = Infinity
    const doing = fact.begin('write')
    fact.putSince = Math.min(fact.putSince, doing.since)
    const doings = tagged.map((tag) => tag.begin('write'))
    const outcome = await outcomeOf(
      async () => (await this.#registry.putManifest(repository, image, tags)).ok,
    )
    const isDone = outcome === 'done'
    if (isDone) fact.putSince = Math.max(fact.putSince, doing.since)
    fact.end(doing, isDone, Infinity)
    tagged.forEach((tag, index) => {
      const each = doings[index]
      if (each !== undefined) tag.end(each, isDone, undefined, image.digest)
    })
    return outcome
  }

  /** Pushes all of an image: what is there already is not uploaded. */
  async push(repository: RepositoryName, image: Image, tags: readonly Tag[]): Promise<Outcome> {
    for (const child of image.images) {
      const outcome = await this.push(repository, child, [])
      if (outcome !== 'done') return outcome
    }
    for (const blob of image.blobs) {
      const there = await this.head(repository, blob)
      const outcome = there === 'refused' ? await this.upload(repository, blob) : there
      if (outcome !== 'done') return outcome
    }
    return this.putManifest(repository, image, tags)
  }

  deleteBlob(repository: RepositoryName, blob: SampleBlob): Promise<Outcome> {
    return this.#delete(
      repository,
      [blob.digest],
      async () => (await this.#registry.deleteBlob(repository, blob)) === true,
    )
  }

  deleteTag(repository: RepositoryName, tag: Tag): Promise<Outcome> {
    return this.#delete(
      repository,
      [tag],
      async () => (await this.#registry.deleteTag(repository, tag)) === true,
    )
  }

  deleteManifest(repository: RepositoryName, image: Image): Promise<Outcome> {
    return this.#delete(
      repository,
      [image.digest, ...TAGS],
      async () => (await this.#registry.deleteManifest(repository, image)) === true,
    )
  }

  /** Forgets the failed uploads that have come to an end. */
  bury(unfinished: readonly string[]): void {
    for (const [session, end] of this.#ghosts) {
      if (unfinished.includes(session)) continue
      end()
      this.#ghosts.delete(session)
    }
  }

  /** Deletes the first of these, and with it perhaps the others. */
  async #delete(
    repository: RepositoryName,
    names: readonly string[],
    call: () => Promise<boolean>,
  ): Promise<Outcome> {
    const doings = names.map((name) => {
      const fact = this.#facts.of(repository, name)
      return { fact, doing: fact.begin('delete') }
    })
    const outcome = await outcomeOf(call)
    doings.forEach(({ fact, doing }, index) => {
      fact.end(doing, outcome !== 'failed' && index === 0)
    })
    return outcome
  }

  #isKnown(repository: RepositoryName, { digest }: Image): boolean {
    const { world } = this.#registry
    const rows = world.disk(ledgerOf(repository)).rows('repository', 'SELECT digest FROM manifests')
    return rows.some((row) => row['digest'] === digest)
  }
}

async function outcomeOf(request: () => Promise<boolean>): Promise<Outcome> {
  try {
    return (await request()) ? 'done' : 'refused'
  } catch {
    return 'failed'
  }
}
