// Manifests that the release before schemas had a version has stored: its rows do not say what they name. They are
// looked through when somebody has to know, a batch at a time, and never again.

import { inspectManifest } from '../oci/manifest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Now } from '../seams.ts'
import { mirroredManifestKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import type { InventoryRecords } from './inventory-records.ts'
import { storing } from './output.ts'
import { PATIENCE } from './patience.ts'
import type { Records } from './records.ts'

/** Manifests of a batch, and how many of them are read at once. */
const BATCH = 480
const WIDTH = 12
/** Whoever has to know it of all waits so long for further batches (milliseconds). */
const WITHIN = 20_000

/** What looking through manifests needs. */
export interface UnreadManifestsGiven {
  readonly name: MirroredName
  readonly records: Records
  readonly inventory: InventoryRecords
  readonly manifests: ManifestStore
  readonly now: Now
}

/** Looks through manifests. */
export class UnreadManifests {
  readonly #given: UnreadManifestsGiven
  #running: Promise<boolean> | undefined
  #isDone = false

  constructor(given: UnreadManifestsGiven) {
    this.#given = given
  }

  /** Looks through a batch. Whether the rows of every manifest now say what it names. @throws while storage is away. */
  async read(): Promise<boolean> {
    if (this.#isDone) return true
    this.#running ??= this.#read().finally(() => (this.#running = undefined))
    return this.#running
  }

  /** Looks through all. @throws while storage is away, and when there are so many that it has to be called again. */
  async readAll(): Promise<void> {
    const { now } = this.#given
    const until = now() + WITHIN
    while (!(await this.read())) {
      if (now() < until) continue
      throw new Error('manifests that an older release has stored are being looked through')
    }
  }

  async #read(): Promise<boolean> {
    const { inventory } = this.#given
    const batch = inventory.unread(BATCH)
    for (let from = 0; from < batch.length; from += WIDTH) {
      await Promise.all(batch.slice(from, from + WIDTH).map((each) => this.#look(each)))
    }
    this.#isDone = inventory.unread(1).length === 0
    if (this.#isDone && batch.length > 0) inventory.closeUnread()
    return this.#isDone
  }

  async #look(stored: { readonly digest: Digest; readonly mediaType: string }): Promise<void> {
    const { name, manifests, records, inventory } = this.#given
    const { digest } = stored
    const key = mirroredManifestKey(name, digest)
    const found = await storing(manifests.get(key, digest), PATIENCE.lookup)
    const document = found && inspectManifest(found.bytes, found.mediaType)
    if (document?.ok !== true) return inventory.giveUp(digest)
    records.describe({ ...stored, bytes: found?.bytes ?? new Uint8Array(), document })
  }
}
