// Whether a hosted repository shows in the catalog: its marker in R2 is written before its first row and
// removed after its last.

import type { RepositoryName } from '../oci/repository-name.ts'
import { inTime } from '../storage/in-time.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import type { Records } from './records.ts'
import { Turns } from './turns.ts'
import type { KeepTurn } from './turns.ts'

/** One step of storage has so long (milliseconds). */
const WITHIN = 10_000
const MARKER = 'marker'

/** What a presence is given. */
export interface PresenceGiven {
  readonly repository: RepositoryName
  readonly markers: RepositoryMarkers
  readonly records: Records
}

/** The name of the repository whose rows these are; an alarm is told none. */
export function repositoryOf(records: Records): RepositoryName | undefined {
  // Only names are written.
  return records.rows('SELECT name FROM repository')[0]?.['name'] as RepositoryName | undefined
}

/** Keeps the marker. */
export class Presence {
  readonly #given: PresenceGiven
  readonly #turns = new Turns()

  constructor(given: PresenceGiven) {
    this.#given = given
  }

  /** Runs `write`, which makes the first row or another, while the marker stands. */
  async begin<Value>(write: () => Value): Promise<Value> {
    return this.#turns.take(MARKER, async (keep) => {
      if (!this.#isMarked) await this.#mark(keep)
      return write()
    })
  }

  /** Removes the marker if the repository still has nothing when it is its turn. */
  async end(isEmpty: () => boolean): Promise<void> {
    const ended = this.#turns.take(MARKER, async () => {
      const { repository, markers, records } = this.#given
      if (repositoryOf(records) === undefined || !isEmpty()) return
      records.write('UPDATE repository SET is_marked = 0')
      await markers.unmark('hosted', repository)
    })
    await inTime(ended, WITHIN, 'storage does not remove the marker')
  }

  async #mark(keep: KeepTurn): Promise<void> {
    const { repository, markers, records } = this.#given
    // The name first: after a crash, the alarm finds out by it which marker may be left over.
    records.write('INSERT OR IGNORE INTO repository (name, is_marked) VALUES (?, 0)', repository)
    const marked = markers.mark('hosted', repository)
    // A marker that is late must not come after the next removal.
    keep(marked)
    await inTime(marked, WITHIN, 'storage does not take the marker')
    records.write('UPDATE repository SET is_marked = 1')
  }

  get #isMarked(): boolean {
    return this.#given.records.rows('SELECT 1 FROM repository WHERE is_marked = 1').length > 0
  }
}
