// How far a purge has come, and the blobs that it may remove, in tables of its job's object. Both are written in the same
// moment, so a purge goes on where it was, whenever its object died.

import type { Digest } from '../oci/digest.ts'

/** What is done, in this order. */
export type PurgeStage =
  | 'gather'
  | 'unpin'
  | 'forget'
  | 'announce'
  | 'check'
  | 'blobs'
  | 'sweep'
  | 'tell'
  | 'done'

/** How far it is. */
export interface PurgeRun {
  readonly stage: PurgeStage
  /** The last name or key that was read from a list, and what was read and not yet dealt with. */
  readonly after: string | undefined
  readonly names: readonly string[]
  /** The last digest that a ledger has told, of its images or of what was read. */
  readonly of: 'images' | 'reads'
  readonly digest: Digest | undefined
  /** Images that were found, as pins name them. */
  readonly pins: readonly string[]
  /** Manifests and blobs that are gone, and the bytes that were seen to go. */
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
}

/** At the beginning of a list. */
export const FROM_START = {
  after: undefined,
  names: [],
  of: 'images',
  digest: undefined,
} as const satisfies Partial<PurgeRun>

const NEW: PurgeRun = {
  stage: 'gather',
  ...FROM_START,
  pins: [],
  manifests: 0,
  blobs: 0,
  bytes: 0,
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS purge_run (number INTEGER PRIMARY KEY, value TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS purge_blobs (digest TEXT PRIMARY KEY) WITHOUT ROWID;
`

/** Reads and writes the tables of one purge. */
export class PurgeBook {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(SCHEMA)
  }

  /** How far the purge is. */
  run(): PurgeRun {
    const [row] = this.#sql.exec('SELECT value FROM purge_run').toArray()
    const value = row?.['value']
    // Only runs are written, as JSON.
    return typeof value === 'string' ? (JSON.parse(value) as PurgeRun) : NEW
  }

  /** Notes how far it is. */
  note(run: PurgeRun): void {
    this.#sql.exec('INSERT OR REPLACE INTO purge_run VALUES (1, ?)', JSON.stringify(run))
  }

  /** Adds blobs that may go. */
  add(digests: readonly Digest[]): void {
    for (const digest of digests) {
      this.#sql.exec('INSERT OR IGNORE INTO purge_blobs VALUES (?)', digest)
    }
  }

  /** Some blobs that may go, in the order of their digests. */
  blobs(after: Digest | undefined, limit: number): readonly Digest[] {
    const rows = this.#sql.exec(
      'SELECT digest FROM purge_blobs WHERE digest > ? ORDER BY digest LIMIT ?',
      after ?? '',
      limit,
    )
    // Only digests are written.
    return Array.from(rows, (row) => row['digest'] as Digest)
  }

  /** All blobs that are left, and none after that. */
  takeAll(): readonly Digest[] {
    const rows = this.#sql.exec('DELETE FROM purge_blobs RETURNING digest')
    // Only digests are written.
    return Array.from(rows, (row) => row['digest'] as Digest)
  }

  /** These stay, or are gone. */
  remove(digests: readonly Digest[]): void {
    for (const digest of digests) {
      this.#sql.exec('DELETE FROM purge_blobs WHERE digest = ?', digest)
    }
  }
}
