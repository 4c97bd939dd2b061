// The marker of one mirrored repository: it stands before the repository's first row, and goes after its last one.

import type { RepositoryMarkers } from '../storage/repositories.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { storing } from './output.ts'
import { PATIENCE } from './patience.ts'
import type { Rows } from './rows.ts'

/** A client may wait for it (milliseconds). */
const WRITE_WITHIN = 5000

/** What a marker is about. */
export interface MarkerGiven {
  readonly name: MirroredName
  readonly markers: RepositoryMarkers
  readonly rows: Rows
  readonly storage: Pick<DurableObjectStorage, 'deleteAll' | 'deleteAlarm'>
}

/** Writes the marker and removes it, never both at once. */
export class Marker {
  readonly #given: MarkerGiven
  /** Being written, or written by this object. */
  #writing: Promise<void> | undefined
  #removing: Promise<void> | undefined
  /** Works that may write the first row. */
  #holds = 0

  constructor(given: MarkerGiven) {
    this.#given = given
  }

  /** Does work that may write the first row: the marker stands before, and is not removed meanwhile. */
  async during<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    // However that ends, and another may have begun.
    while (this.#removing !== undefined) await this.#removing.catch(() => undefined)
    this.#holds++
    try {
      if (this.#given.rows.isEmpty) await this.#write()
      return await work()
    } finally {
      this.#holds--
    }
  }

  /** Removes every row, and then the marker. False: somebody is about to write, so nothing was removed. */
  async remove(): Promise<boolean> {
    if (this.#removing !== undefined || this.#holds > 0) return false
    this.#removing = this.#remove().finally(() => (this.#removing = undefined))
    await this.#removing
    return true
  }

  async #remove(): Promise<void> {
    const { storage, rows, markers, name } = this.#given
    this.#writing = undefined
    const deleted = Promise.all([storage.deleteAlarm(), storage.deleteAll()])
    rows.forget()
    await deleted
    rows.forget()
    await storing(markers.unmark('mirrored', canonicalName(name)), PATIENCE.storage)
  }

  /** Once, for however many first rows come together. */
  #write(): Promise<void> {
    const { markers, name } = this.#given
    this.#writing ??= storing(markers.mark('mirrored', canonicalName(name)), WRITE_WITHIN).catch(
      (error: unknown) => {
        this.#writing = undefined
        throw error
      },
    )
    return this.#writing
  }
}
