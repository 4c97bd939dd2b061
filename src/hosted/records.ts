// The rows of one hosted repository, in the SQLite of its `HostedLedger`: the truth about its tags, manifests,
// referrers and blobs. The schema is made before the first row: asking an empty object leaves no trace.

/*
 * `kept_until` of a blob: when it is dropped unless somebody touches it before; NULL while a manifest names it.
 * A counter outlives its blob, so that every claim and release of one digest has a number of its own.
 * Descriptors are those of referrers; annotations can make one larger than a row may be.
 */
const SCHEMA = `
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

/** A row, by its columns. */
export type Row = Readonly<Record<string, SqlStorageValue>>

/** Runs queries on the repository's rows, which need not exist yet. */
export class Records {
  readonly #storage: DurableObjectStorage
  #isReady: boolean | undefined

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
  }

  /** Rows of a query; none before the first write. */
  rows(query: string, ...bindings: SqlStorageValue[]): Row[] {
    this.#isReady ??=
      this.#storage.sql.exec(`SELECT name FROM sqlite_master WHERE name = 'repository'`).toArray()
        .length > 0
    return this.#isReady ? this.#storage.sql.exec(query, ...bindings).toArray() : []
  }

  /** Changes rows. */
  write(query: string, ...bindings: SqlStorageValue[]): void {
    this.#prepare()
    this.#storage.sql.exec(query, ...bindings)
  }

  /** Runs `work`, which waits for nothing, as one change: all of it or none. */
  atomically<Value>(work: () => Value): Value {
    this.#prepare()
    return this.#storage.transactionSync(work)
  }

  #prepare(): void {
    if (this.#isReady !== true) this.#storage.sql.exec(SCHEMA)
    this.#isReady = true
  }
}
