// The walk through another registry before anything is copied: its catalog where a pattern has a wildcard, and the
// tags of every repository that is chosen. What it finds is noted a page at a time.

import { parseReference } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { landing } from './import-order.ts'
import type { CatalogState } from './import-order.ts'
import { permanent } from './import-failure.ts'
import { ItemFailure } from './import-pace.ts'
import type { Pace } from './import-pace.ts'
import type { ImportRecords, WalkedRepository } from './import-records.ts'
import type { RemoteRegistry } from './import-remote.ts'
import { SourceError } from './import-source.ts'
import { JobFailure } from './job.ts'

/** Where a login goes: to the command line, which makes the `credential` of an order of it. */
const LOGIN = 'a login (ENTREPOT_SOURCE=<name>:<password>)'

/** The first page of a catalog. */
const FIRST = { next: undefined, page: 0 }

/** What a walk is given, for one step. */
export interface WalkGiven {
  readonly registry: RemoteRegistry
  readonly repositories: readonly string[]
  readonly to: RepositoryName
  /** Whether the registry is shown a login. */
  readonly hasLogin: boolean
  /** The hosted repository of a name. */
  readonly hostedName: (name: string) => RepositoryName | undefined
  readonly records: ImportRecords
  readonly pace: Pace
  /** Tells that a repository cannot be imported. */
  readonly failed: (subject: string, why: string) => void
  /** Tells that a repository has no tags. */
  readonly empty: (subject: string) => void
}

/** Walks through a registry, from wherever an earlier step has left it. */
export class ImportWalk {
  readonly #given: WalkGiven

  constructor(given: WalkGiven) {
    this.#given = given
  }

  /** One page of the catalog, or none where every repository is named. How far it is known then. */
  async names(state: CatalogState): Promise<CatalogState> {
    const { registry, repositories, records, pace } = this.#given
    await pace.spend()
    if (state === 'new') {
      for (const name of repositories.filter((text) => !text.includes('*'))) this.#choose(name)
      if (!repositories.some((text) => text.includes('*'))) return 'done'
    }
    const { next: query, page: number } = typeof state === 'object' ? state : FIRST
    const page = await this.#catalog(query)
    for (const name of page.items) {
      if (landing(name, repositories, this.#given.to) !== undefined) this.#choose(name)
    }
    const isNew = records.addNames(page.items, number)
    if (page.next !== undefined) {
      // Where a link leads is up to the registry: only names show that there is an end.
      if (isNew) return { next: page.next, page: number + 1 }
      throw new JobFailure(`${registry.host}: its list of repositories goes in a circle`)
    }
    if (records.countRepositories() > 0) return 'done'
    throw new JobFailure(`${registry.host} has no repository like ${repositories.join(', ')}`)
  }

  /** One page of the tags of a repository. */
  async tags({ source, target, last }: WalkedRepository): Promise<void> {
    const { registry, records, pace, failed, empty } = this.#given
    await pace.spend()
    try {
      const page = await registry.tags(source, last)
      const isNew = this.#addTags(page.items, { source, target })
      if (last === undefined && page.items.length === 0) empty(source)
      // A page that begins where it was asked to end would come again and again.
      const next = page.next === last ? undefined : page.next
      if (next !== undefined && !isNew) throw new ItemFailure('its list of tags goes in a circle')
      records.listed(source, next)
    } catch (error) {
      refuseLogin(error)
      const why = permanent(error)
      if (why === undefined) throw error
      failed(source, this.#lacksLogin(error) ? `${why}: it may want ${LOGIN}` : why)
      records.listed(source, undefined)
    }
  }

  /** Whether one of them is new. */
  #addTags(
    texts: readonly string[],
    { source, target }: Pick<WalkedRepository, 'source' | 'target'>,
  ): boolean {
    const { registry, records } = this.#given
    const added = texts.map((text) => {
      const reference = parseReference(text)
      if (reference?.kind !== 'tag') return false
      const { tag } = reference
      return records.addImage({ host: registry.host, source, reference, target, tag })
    })
    return added.includes(true)
  }

  #choose(name: string): void {
    const { repositories, to, hostedName, records, failed } = this.#given
    const source = parseRepositoryName(name)
    const place = landing(name, repositories, to)
    const target = place && hostedName(place)
    if (source === undefined || target === undefined) {
      failed(name, `HOSTED does not name ${place ?? 'any place for it'}`)
    } else if (!records.addRepository(source, target)) {
      failed(name, `another repository goes to ${target}`)
    }
  }

  async #catalog(query: string | undefined) {
    const { registry } = this.#given
    try {
      return await registry.catalog(query)
    } catch (error) {
      refuseLogin(error)
      const why = permanent(error)
      if (why === undefined) throw error
      const advice = 'name the repositories, without wildcards'
      throw new JobFailure(
        this.#lacksLogin(error)
          ? `${registry.host} shows no catalog (${why}): it wants ${LOGIN}; without one, ${advice}`
          : `${registry.host} shows no catalog (${why}): ${advice}`,
      )
    }
  }

  /** Whether whoever was refused has shown no login. */
  #lacksLogin(error: unknown): boolean {
    const isDenied = error instanceof SourceError && error.failure.kind === 'denied'
    return isDenied && !this.#given.hasLogin
  }
}

/** A credential that is refused is refused for everything. @throws {JobFailure} */
function refuseLogin(error: unknown): void {
  if (error instanceof SourceError && error.failure.kind === 'unauthorized') {
    throw new JobFailure(error.message)
  }
}
