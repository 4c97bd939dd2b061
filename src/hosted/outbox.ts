// What a ledger has decided and others have yet to carry out: claims to be released, bytes of manifests to be
// deleted. It is tried until it is acknowledged, and may be repeated.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Log } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedManifestKey } from '../storage/keys.ts'
import type { BlobRecords, Release } from './blob-records.ts'
import type { ClaimsStub } from './claims.ts'
import type { ManifestRecords } from './manifest-records.ts'
import { Turns } from './turns.ts'

/** Messages that are on their way at the same time. */
const AT_ONCE = 20
/** Another object, and one step of storage, has so long (milliseconds). */
const WITHIN = 10_000
const QUEUE = 'outbox'

/** What an outbox is given. */
export interface OutboxGiven {
  readonly repository: RepositoryName
  readonly bucket: R2Bucket
  readonly claimsOf: (digest: Digest) => ClaimsStub
  readonly blobs: BlobRecords
  readonly kept: ManifestRecords
  readonly turns: Turns
  readonly log: Log
}

/** Delivers what stands in the rows. */
export class Outbox {
  readonly #given: OutboxGiven
  readonly #deliveries = new Turns()

  constructor(given: OutboxGiven) {
    this.#given = given
  }

  /** Whether nothing is left to deliver. */
  get isEmpty(): boolean {
    const { blobs, kept } = this.#given
    return blobs.releases(1).length === 0 && kept.deletions(1).length === 0
  }

  /** Delivers all there is; what fails stays. */
  deliver(): Promise<void> {
    // One at a time, and once more for what came in the meantime.
    return this.#deliveries.take(QUEUE, () => this.#deliver())
  }

  async #deliver(): Promise<void> {
    const { blobs, kept } = this.#given
    await this.#deliverAll(
      (after) => blobs.releases(AT_ONCE, after),
      (release) => this.#release(release),
      ({ digest }) => digest,
    )
    await this.#deliverAll(
      (after) => kept.deletions(AT_ONCE, after),
      (digest) => this.#delete(digest),
      (digest) => digest,
    )
  }

  /** Goes through all rows once, a few at a time: one that fails holds up none behind it. */
  async #deliverAll<Item>(
    next: (after: string) => readonly Item[],
    deliver: (item: Item) => Promise<void>,
    digestOf: (item: Item) => string,
  ): Promise<void> {
    for (let items = next(''); ; items = next(digestOf(items.at(-1) as Item))) {
      if (items.length === 0) return
      const outcomes = await Promise.allSettled(items.map(deliver))
      const failed = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failed !== undefined) {
        this.#given.log('outbox-failed', { reason: String(failed.reason) })
      }
    }
  }

  async #release(release: Release): Promise<void> {
    const { repository, claimsOf, blobs } = this.#given
    const { digest, counter } = release
    const released = claimsOf(digest).release(repository, counter)
    const answer = await inTime(released, WITHIN, 'claims do not answer')
    if (answer.ok || !blobs.isGone(digest)) blobs.acknowledge(release)
    // A claim stands that this ledger has forgotten: it was restored from an older state.
    else blobs.releaseAfter(release, answer.counter)
  }

  /**
   * Nobody puts these bytes meanwhile. A deletion that is late keeps its turn: given up, it could arrive after
   * the next put.
   */
  async #delete(digest: Digest): Promise<void> {
    const { repository, bucket, kept, turns } = this.#given
    const deleted = turns.take(digest, async () => {
      if (!kept.isDeletionPlanned(digest)) return
      if (kept.mediaType(digest) === undefined) {
        await bucket.delete(hostedManifestKey(repository, digest))
      }
      kept.closeDeletion(digest)
    })
    await inTime(deleted, WITHIN, 'storage does not delete')
  }
}
