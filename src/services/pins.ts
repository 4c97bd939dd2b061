// Composition of pins: what `Authority` keeps of them is carried to the ledgers of their repositories, which follow them,
// and to prefetches, which have them here.

import type { Pin } from '../auth/pins.ts'
import type { Config } from '../config.ts'
import { formatImageName, parseImageName } from '../jobs/image-name.ts'
import type { JobStatus } from '../jobs/job.ts'
import { prefetchOrder } from '../jobs/prefetch.ts'
import { PinnedReferences } from '../mirror/pinned.ts'
import type { PinnedLedger, PinnedReference } from '../mirror/pinned.ts'
import type { Reference } from '../oci/reference.ts'
import { inParallel } from '../registry/in-parallel.ts'
import type { Seams } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { AccessServices } from './access.ts'
import type { JobServices } from './jobs.ts'

/** A ledger has so long (milliseconds), and so many are told at once. */
const WITHIN = 10_000
const WIDTH = 6
const LATE = 'the ledger does not answer'

/** Follows pins, and has them followed. */
export class PinServices {
  readonly #given: {
    readonly env: Env
    readonly seams: Seams
    readonly config: Config
    readonly access: AccessServices
    readonly jobs: JobServices
  }

  constructor(given: {
    readonly env: Env
    readonly seams: Seams
    readonly config: Config
    readonly access: AccessServices
    readonly jobs: JobServices
  }) {
    this.#given = given
  }

  /** What a `MirrorLedger` follows. */
  references(
    storage: DurableObjectStorage,
    ledger: (name: MirroredName) => PinnedLedger,
  ): PinnedReferences {
    const { access, config, seams } = this.#given
    return new PinnedReferences({
      storage,
      ledger,
      ttl: ({ host, repository }, tag) => config.upstreams.get(host)?.tagTTL(repository, tag),
      contact: (host) => access.contact(host),
      order: async (name, { reference, platforms }) => {
        return (await this.order(formatImageName({ name, reference }), platforms, '')).isNew
      },
      ...seams,
    })
  }

  /** The ledger of a repository. */
  ledger(name: MirroredName) {
    return this.#given.env.MIRROR_LEDGER.getByName(canonicalName(name))
  }

  /** Has an image prefetched in somebody's name, unless that is being done. @throws while storage is away. */
  async order(
    image: string,
    platforms: readonly string[] | undefined,
    by: string,
  ): Promise<{ readonly job: JobStatus; readonly isNew: boolean }> {
    const { jobs } = this.#given
    const prefetch = prefetchOrder([image], platforms)
    const unfinished = await jobs.unfinished('prefetch')
    const same = unfinished.find(({ title }) => title === prefetch.title)
    if (same !== undefined) return { job: same, isNew: false }
    return { job: await jobs.start(prefetch, by), isNew: true }
  }

  /** Has the ledger follow a pin whose image has been ordered. @throws while it is away. */
  async follow(name: MirroredName, pin: PinnedReference): Promise<void> {
    await inTime(this.ledger(name).follow(name, [pin], true), WITHIN, LATE)
  }

  /** Has the ledger let go of a pin. @throws while it is away. */
  async unfollow(name: MirroredName, reference: Reference): Promise<void> {
    await inTime(this.ledger(name).unfollow(name, reference), WITHIN, LATE)
  }

  /** Tells all ledgers what is pinned, should one have lost it. @throws while the authority is away. */
  async reapply(): Promise<void> {
    const { access, seams } = this.#given
    const pins = await inTime(access.authority().pins(), WITHIN, 'the authority does not answer')
    const repositories = Map.groupBy(
      pins.flatMap((pin) => this.#parse(pin)),
      ({ name }) => canonicalName(name),
    )
    await inParallel([...repositories.values()], WIDTH, async (pinned) => {
      const [first] = pinned
      if (first === undefined) return
      const { name } = first
      try {
        await inTime(this.ledger(name).follow(name, pinned, false), WITHIN, LATE)
      } catch (error) {
        seams.log('pin-not-applied', { repository: canonicalName(name), reason: String(error) })
      }
    })
  }

  /** None where the configuration leads the name nowhere any more. */
  #parse({
    image,
    platforms,
  }: Pin): readonly (PinnedReference & { readonly name: MirroredName })[] {
    const parsed = parseImageName(image, this.#given.config)
    if (!parsed.ok || parsed.reference === undefined) return []
    return [{ name: parsed.name, reference: parsed.reference, platforms }]
  }
}
