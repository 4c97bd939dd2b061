// The rows of one hosted repository, in the SQLite of its `HostedLedger`: the truth about its tags, manifests,
// referrers and blobs. The schema is made before the first row: asking an empty object leaves no trace.

import { Schema } from '../storage/schema.ts'

/*
 * `kept_until` of a blob: when it is dropped unless somebody touches it before; NULL while a manifest names it.
 * A counter outlives its blob, so that every claim and release of one digest has a number of its own.
 * Descriptors are those of referrers; annotations can make one larger than a row may be.
 */
const FIRST = `
  CREATE TABLE IF NOT EXISTS repository (name TEXT PRIMARY KEY, is_marked INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY, counter INTEGER NOT NULL, content TEXT, size INTEGER, kept_until INTEGER
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS blobs_kept_until ON blobs (kept_until) WHERE kept_until IS NOT NULL;
  CREATE INDEX IF NOT EXISTS blobs_claiming ON blobs (digest) WHERE content IS NULL;
  CREATE TABLE IF NOT EXISTS counters (digest TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS releases (digest TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS manifests (
    digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, subject TEXT, pushed_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS children (
    manifest TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (manifest, digest)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS children_digest ON children (digest);
  CREATE TABLE IF NOT EXISTS deletions (digest TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tags (
    tag TEXT PRIMARY KEY, digest TEXT NOT NULL, pushed_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS tags_digest ON tags (digest);
  CREATE TABLE IF NOT EXISTS referrers (
    subject TEXT NOT NULL, digest TEXT NOT NULL, artifact_type TEXT, PRIMARY KEY (subject, digest)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS descriptors (
    digest TEXT NOT NULL, piece INTEGER NOT NULL, json BLOB NOT NULL, PRIMARY KEY (digest, piece)
  ) WITHOUT ROWID;
`

/*
 * What is read, and how often; the size of a manifest, unknown of those that were pushed before there was this column;
 * and a row while a job brings the repository back from an export.
 */
const READS = `
  ALTER TABLE manifests ADD COLUMN size INTEGER;
  CREATE TABLE reads (digest TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE pulls (day INTEGER PRIMARY KEY, pulls INTEGER NOT NULL);
  CREATE TABLE restoring (repository TEXT PRIMARY KEY) WITHOUT ROWID;
`

/* From which export it comes back, and when rows last came. */
const RESTORING = `
  ALTER TABLE restoring ADD COLUMN export TEXT NOT NULL DEFAULT '';
  ALTER TABLE restoring ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
`

const SCHEMA = { table: 'repository', steps: [FIRST, READS, RESTORING] }

/** A row, by its columns. */
export type Row = Readonly<Record<string, SqlStorageValue>>

/** Runs queries on the repository's rows, which need not exist yet. */
export class Records {
  readonly #storage: DurableObjectStorage
  readonly #schema: Schema

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
    this.#schema = new Schema(storage, SCHEMA)
  }

  /** Rows of a query; none before the first write. */
  rows(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.#schema.isEmpty ? [] : this.#storage.sql.exec(query, ...bindings).toArray()
  }

  /** Changes rows. */
  write(query: string, ...bindings: SqlStorageValue[]): void {
    this.#schema.prepare()
    this.#storage.sql.exec(query, ...bindings)
  }

  /** Runs `work`, which waits for nothing, as one change: all of it or none. */
  atomically<Value>(work: () => Value): Value {
    this.#schema.prepare()
    return this.#storage.transactionSync(work)
  }
}
