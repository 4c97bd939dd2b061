// Whether a repository is being brought back from an export, and from which: a row that stands from the first rows until
// all are back. A restoration that failed leaves it, so that another job can go on with the same export, and until then
// nothing is dropped that it has brought.

import type { RepositoryName } from '../oci/repository-name.ts'
import type { Records } from './records.ts'

/** A restoration from which nothing came for so long is over for whoever pushes (milliseconds). */
const SILENCE = 24 * 60 * 60 * 1000
/** Blobs that no manifest names are kept for so long after its end (milliseconds). */
const GRACE = 24 * 60 * 60 * 1000

/** Reads and writes the row. */
export class RestoreMark {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /** The export; `undefined`: the repository is like any other. */
  get from(): string | undefined {
    const [row] = this.#records.rows('SELECT export FROM restoring')
    // Only ids are written.
    return row && (row['export'] as string)
  }

  /** Rows of the export came, now. */
  put(repository: RepositoryName, from: string, now: number): void {
    this.#records.write(
      'INSERT OR REPLACE INTO restoring (repository, export, at) VALUES (?, ?, ?)',
      repository,
      from,
      now,
    )
  }

  /** A client has put a manifest: a restoration that was given up must not come back to a repository in use. */
  used(now: number): void {
    const [row] = this.#records.rows('SELECT at FROM restoring')
    if (row !== undefined && Number(row['at']) <= now - SILENCE) this.end(now)
  }

  /** The repository is like any other; blobs that no manifest names are kept for a while. */
  end(now: number): void {
    this.#records.write('DELETE FROM restoring')
    this.#records.write('UPDATE blobs SET kept_until = ? WHERE kept_until IS NOT NULL', now + GRACE)
  }
}
