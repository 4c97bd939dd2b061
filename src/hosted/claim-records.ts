// The rows of one hosted digest, in the SQLite of its `BlobClaims`: where its bytes are, which uploads have
// been settled, and the highest counter of every repository that has ever claimed it.

import type { RepositoryName } from '../oci/repository-name.ts'
import { Schema } from '../storage/schema.ts'

const FIRST = `
  CREATE TABLE IF NOT EXISTS contents (
    id TEXT PRIMARY KEY, size INTEGER NOT NULL, state TEXT NOT NULL, changed_at INTEGER NOT NULL, unclaimed_since INTEGER
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS claims (
    repository TEXT PRIMARY KEY, counter INTEGER NOT NULL, is_held INTEGER NOT NULL, changed_at INTEGER NOT NULL
  ) WITHOUT ROWID;
`

const SCHEMA = { table: 'contents', steps: [FIRST] }

/** The bytes of an upload, by its id, and how many they are. */
export interface Content {
  readonly id: string
  readonly size: number
}

/**
 * What has become of an upload: its bytes are the blob's (`current`), are being deleted because nobody claims
 * them (`collected`) or another upload won (`lost`), are deleted (`gone`), or were never adopted (`disowned`).
 */
export type ContentState = 'current' | 'collected' | 'lost' | 'gone' | 'disowned'

/** A repository's claim: held, or given up. */
export interface Claim {
  readonly counter: number
  readonly isHeld: boolean
}

/** Reads and writes the rows. */
export class ClaimRecords {
  readonly #sql: SqlStorage
  readonly #schema: Schema

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql
    this.#schema = new Schema(storage, SCHEMA)
  }

  /** Whether nothing is remembered of this digest. */
  get isEmpty(): boolean {
    const rows = this.#rows('SELECT 1 FROM contents UNION ALL SELECT 1 FROM claims LIMIT 1')
    return rows.length === 0
  }

  /** The bytes that can be claimed. */
  current(): Content | undefined {
    const row = this.#rows(`SELECT id, size FROM contents WHERE state = 'current'`)[0]
    return row && { id: row['id'] as string, size: Number(row['size']) }
  }

  /** What has become of an upload; `undefined` if it was never heard of, or long ago. */
  state(id: string): ContentState | undefined {
    // Only states are written.
    return this.#rows('SELECT state FROM contents WHERE id = ?', id)[0]?.['state'] as
      | ContentState
      | undefined
  }

  /** Bytes in this state. */
  contents(state: 'collected' | 'lost'): readonly string[] {
    return this.#rows('SELECT id FROM contents WHERE state = ?', state).map(
      (row) => row['id'] as string,
    )
  }

  /** The claim of a repository. */
  claim(repository: RepositoryName): Claim | undefined {
    const row = this.#rows(
      'SELECT counter, is_held FROM claims WHERE repository = ?',
      repository,
    )[0]
    return row && { counter: Number(row['counter']), isHeld: Number(row['is_held']) === 1 }
  }

  /** Repositories that hold a claim, at most `limit`. */
  holders(limit: number): readonly RepositoryName[] {
    const rows = this.#rows(
      'SELECT repository FROM claims WHERE is_held = 1 ORDER BY repository LIMIT ?',
      limit,
    )
    // Only names are written.
    return rows.map((row) => row['repository'] as RepositoryName)
  }

  /** Makes these bytes the blob's, in the place of others that are not there any more. */
  adopt({ id, size }: Content, now: number): void {
    this.#write(`UPDATE contents SET state = 'gone', changed_at = ? WHERE state = 'current'`, now)
    this.#write(
      `INSERT INTO contents (id, size, state, changed_at, unclaimed_since) VALUES (?, ?, 'current', ?, ?)`,
      id,
      size,
      now,
      this.#isClaimed() ? null : now,
    )
  }

  /** Notes bytes that lost against the blob's, whose grace begins anew. */
  lose({ id, size }: Content, now: number): void {
    this.#write(
      `INSERT INTO contents (id, size, state, changed_at) VALUES (?, ?, 'lost', ?)`,
      id,
      size,
      now,
    )
    this.#write(
      `UPDATE contents SET unclaimed_since = ? WHERE state = 'current' AND unclaimed_since IS NOT NULL`,
      now,
    )
  }

  /** Notes that these bytes will never be adopted. */
  disown(id: string, now: number): void {
    this.#write(
      `INSERT INTO contents (id, size, state, changed_at) VALUES (?, 0, 'disowned', ?)`,
      id,
      now,
    )
  }

  /** The repository holds a claim. */
  hold(repository: RepositoryName, counter: number, now: number): void {
    this.#count(repository, { counter, isHeld: true }, now)
    this.#write(`UPDATE contents SET unclaimed_since = NULL WHERE state = 'current'`)
  }

  /** The repository holds none any more. */
  release(repository: RepositoryName, counter: number, now: number): void {
    this.#count(repository, { counter, isHeld: false }, now)
    if (this.#isClaimed()) return
    this.#write(
      `UPDATE contents SET unclaimed_since = ? WHERE state = 'current' AND unclaimed_since IS NULL`,
      now,
    )
  }

  /** The blob's bytes, unclaimed since `before` or longer, are not handed out any more. */
  collect(before: number, now: number): void {
    this.#write(
      `UPDATE contents SET state = 'collected', changed_at = ? WHERE state = 'current' AND unclaimed_since <= ?`,
      now,
      before,
    )
  }

  /** Storage has confirmed that these bytes are deleted. */
  confirm(id: string, now: number): void {
    this.#write(
      `UPDATE contents SET state = 'gone', changed_at = ?, unclaimed_since = NULL WHERE id = ?`,
      now,
      id,
    )
  }

  /** Forgets what no message that is still on its way can be about: it has not changed since `before`. */
  forget(before: number): void {
    this.#write(
      `DELETE FROM contents WHERE state IN ('gone', 'disowned') AND changed_at <= ?`,
      before,
    )
    this.#write('DELETE FROM claims WHERE is_held = 0 AND changed_at <= ?', before)
  }

  /** Notes that the storage has been emptied. */
  reset(): void {
    this.#schema.forget()
  }

  /** Since when the oldest thing waits that time will change (milliseconds). */
  waitingSince(): number | undefined {
    const row = this.#rows(
      `SELECT MIN(since) AS since FROM (
         SELECT unclaimed_since AS since FROM contents WHERE state = 'current'
         UNION ALL SELECT changed_at FROM contents WHERE state IN ('gone', 'disowned')
         UNION ALL SELECT changed_at FROM claims WHERE is_held = 0)`,
    )[0]
    const since = row?.['since'] ?? null
    return since === null ? undefined : Number(since)
  }

  #isClaimed(): boolean {
    return this.#rows('SELECT 1 FROM claims WHERE is_held = 1 LIMIT 1').length > 0
  }

  #count(repository: RepositoryName, { counter, isHeld }: Claim, now: number): void {
    this.#write(
      `INSERT INTO claims (repository, counter, is_held, changed_at) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (repository) DO UPDATE SET counter = ?2, is_held = ?3, changed_at = ?4`,
      repository,
      counter,
      isHeld ? 1 : 0,
      now,
    )
  }

  #rows(query: string, ...bindings: SqlStorageValue[]): Record<string, SqlStorageValue>[] {
    return this.#schema.isEmpty ? [] : this.#sql.exec(query, ...bindings).toArray()
  }

  #write(query: string, ...bindings: SqlStorageValue[]): void {
    this.#schema.prepare()
    this.#sql.exec(query, ...bindings)
  }
}
