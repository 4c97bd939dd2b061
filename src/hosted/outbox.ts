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
    for (;;) {
      const releases = blobs.releases(AT_ONCE).map((each) => this.#release(each))
      const deletions = kept.deletions(AT_ONCE).map((each) => this.#delete(each))
      const work = [...releases, ...deletions]
      if (work.length === 0) return
      const outcomes = await Promise.allSettled(work)
      const failed = outcomes.find(({ status }) => status === 'rejected')
      if (failed !== undefined) {
        this.#given.log('outbox-failed', {
          reason: String((failed as PromiseRejectedResult).reason),
        })
        return
      }
    }
  }

  async #release(release: Release): Promise<void> {
    const { repository, claimsOf, blobs } = this.#given
    const { digest, counter } = release
    await inTime(claimsOf(digest).release(repository, counter), WITHIN, 'claims do not answer')
    blobs.acknowledge(release)
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
