// Forgetting what a mirrored repository holds. Rows go first, so that nobody finds what is about to go; then the hints,
// and then the bytes. What was being read meanwhile is served once more, and asked for again after that.

import type { Now } from '../seams.ts'
import type { ForgetRecords, ForgottenRows } from './forget-records.ts'
import type { InventoryRecords } from './inventory-records.ts'
import type { ForgetOrder, Forgotten, ForgottenAll } from './inventory.ts'
import type { ManifestKeeper } from './manifest-keeper.ts'
import type { Marker } from './marker.ts'
import type { UnreadManifests } from './unread-manifests.ts'

/** Tags and manifests that one call forgets where it has to forget all, and hints and bytes deleted at once. */
const BATCH = 400
const WIDTH = 100
/** Reads of what no manifest names any more are remembered for so long (milliseconds). */
const KEEP_READS = 30 * 24 * 60 * 60 * 1000

/** What forgetting needs. */
export interface ForgetterGiven {
  readonly records: ForgetRecords
  readonly inventory: InventoryRecords
  readonly unread: UnreadManifests
  readonly kept: ManifestKeeper
  readonly marker: Marker
  /** What the object has in memory besides manifests goes too. */
  readonly clear: () => void
  readonly now: Now
}

/** Forgets. */
export class Forgetter {
  readonly #given: ForgetterGiven

  constructor(given: ForgetterGiven) {
    this.#given = given
  }

  /**
   * Forgets what an order names; where nothing stands afterwards, the repository itself. An order names some hundreds
   * of things at most. Where storage did not delete everything, that is not done, and is made up for by the next call.
   * @throws where manifests of an older release must be looked through before, and that could not be finished.
   */
  async forget(order: ForgetOrder): Promise<Forgotten> {
    const { records, inventory, unread, marker, now } = this.#given
    await unread.readAll()
    const rows = records.forget(order)
    const isDone = await this.#delete(rows)
    records.dropReads(now() - KEEP_READS)
    if (isDone && inventory.isIdle) await marker.remove()
    return { ...rows, isDone }
  }

  /** Forgets everything, in steps: it is to be called until it is done. @throws while storage is away. */
  async forgetAll(): Promise<ForgottenAll> {
    const { records, unread, marker } = this.#given
    if (!(await unread.read())) return { forgotten: [], blobs: [], isDone: false }
    const { tags, forgotten, blobs } = records.forgetSome(BATCH)
    const isDeleted = await this.#delete({ forgotten, blobs })
    const isEmpty = tags.length + forgotten.length + blobs.length === 0
    const isDone = isEmpty && isDeleted && (await marker.remove())
    return { forgotten, blobs, isDone }
  }

  /** Deletes hints and bytes of what was forgotten, now or before. Whether nothing is left of it. */
  async #delete({ forgotten, blobs }: ForgottenRows): Promise<boolean> {
    const { records, kept, clear } = this.#given
    if (forgotten.length + blobs.length > 0) clear()
    for (;;) {
      const deletions = records.deletions(WIDTH)
      if (deletions.length === 0) return true
      const deleted = await kept.delete(deletions)
      for (const reference of deleted) records.closeDeletion(reference)
      if (deleted.length < deletions.length) return false
    }
  }
}
