// What a mirrored repository holds, for those who look at it: the answers of its records, once every manifest has said
// what it names.

import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Reads } from '../storage/reads.ts'
import type { InventoryRecords } from './inventory-records.ts'
import type { BlobReadPage, ImagePage, RepositorySummary } from './inventory.ts'
import type { Marker } from './marker.ts'
import type { UnreadManifests } from './unread-manifests.ts'

/** What a stock is made of. */
export interface StockGiven {
  readonly records: InventoryRecords
  readonly unread: UnreadManifests
  readonly marker: Marker
}

/** Answers what is here. */
export class Stock {
  readonly #given: StockGiven

  constructor(given: StockGiven) {
    this.#given = given
  }

  /** Notes what isolates tell. */
  read(reads: Reads): void {
    this.#given.records.note(reads)
  }

  /**
   * A page of images. Where more manifests of an older release are still to be looked through than one call can, some
   * are shown without what they name, and some of what they name as images. @throws while storage is away.
   */
  async images(after: Digest | undefined, limit: number): Promise<ImagePage> {
    await this.#given.unread.read()
    return this.#given.records.images(after, limit)
  }

  /** A page of what was read besides manifests that are here. */
  blobReads(after: Digest | undefined, limit: number): BlobReadPage {
    return this.#given.records.blobReads(after, limit)
  }

  /** The repository in one line; with manifests of an older release as `images`. @throws while storage is away. */
  async summary(): Promise<RepositorySummary | undefined> {
    await this.#given.unread.read()
    return this.#given.records.summary()
  }

  /** Which of these some manifest names: all of them, as long as that is not known. @throws while storage is away. */
  async named(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return (await this.#given.unread.read()) ? this.#given.records.named(digests) : digests
  }

  /** Pins a reference, which need not be here yet, or unpins it. @throws while storage is away. */
  async pin(reference: Reference, isPinned: boolean): Promise<void> {
    const { records, marker } = this.#given
    if (isPinned) return marker.during(() => records.pin(reference))
    records.unpin(reference)
    // It may be all that there was.
    if (records.isIdle) await marker.remove()
  }
}
