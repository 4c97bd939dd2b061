// What a restoration remembers in its own tables: the repositories that it restores or leaves alone, and the blobs that
// were not there when it was their turn.

import type { DumpRow } from '../hosted/inventory.ts'
import type { RepositoryName } from '../oci/repository-name.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS restore_repositories (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS restore_missed (
    name TEXT NOT NULL, digest TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (name, digest)
  ) WITHOUT ROWID;
`

type BlobRow = Extract<DumpRow, { readonly kind: 'blob' }>

/** Reads and writes the tables. */
export class RestoreBook {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(SCHEMA)
  }

  /** A repository is being restored. */
  begin(name: RepositoryName): void {
    this.#sql.exec(`INSERT OR IGNORE INTO restore_repositories VALUES (?, 'begun')`, name)
  }

  /** A repository is left alone. False: that is known. */
  keep(name: RepositoryName): boolean {
    const isKnown = this.isKept(name)
    this.#sql.exec(`INSERT OR IGNORE INTO restore_repositories VALUES (?, 'kept')`, name)
    return !isKnown
  }

  /** Whether a repository is left alone. */
  isKept(name: RepositoryName): boolean {
    const query = `SELECT 1 FROM restore_repositories WHERE name = ? AND state = 'kept'`
    return this.#sql.exec(query, name).toArray().length > 0
  }

  /** How many are left alone, or restored. */
  count(state: 'kept' | 'restored'): number {
    const query = `SELECT COUNT(*) AS found FROM restore_repositories WHERE state = ?`
    return Number(this.#sql.exec(query, state).one()['found'])
  }

  /** Repositories that are being restored. */
  begun(): readonly RepositoryName[] {
    const query = `SELECT name FROM restore_repositories WHERE state = 'begun' ORDER BY name`
    // Only names are written.
    return this.#sql
      .exec(query)
      .toArray()
      .map(({ name }) => name as RepositoryName)
  }

  /** A repository is restored. */
  end(name: RepositoryName): void {
    this.#sql.exec(`UPDATE restore_repositories SET state = 'restored' WHERE name = ?`, name)
    this.#sql.exec('DELETE FROM restore_missed WHERE name = ?', name)
  }

  /** A blob was not there. */
  miss(name: RepositoryName, row: DumpRow): void {
    if (row.kind !== 'blob') return
    const json = JSON.stringify(row)
    this.#sql.exec('INSERT OR IGNORE INTO restore_missed VALUES (?, ?, ?)', name, row.digest, json)
  }

  /** Blobs that were not there, in the order of their digests. */
  missed(name: RepositoryName, after: string, limit: number): readonly BlobRow[] {
    return this.#sql
      .exec(
        'SELECT row FROM restore_missed WHERE name = ? AND digest > ? ORDER BY digest LIMIT ?',
        name,
        after,
        limit,
      )
      .toArray()
      .map(({ row }) => JSON.parse(row as string) as BlobRow)
  }
}
