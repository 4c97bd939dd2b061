// The rows of one upload session, in the SQLite of its object. The schema is made with the session and not
// earlier: asking for a session that somebody guessed leaves no trace.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { Schema } from '../storage/schema.ts'
import type { UploadName } from './upload.ts'

/*
 * `session` has one row. `committed` counts the bytes of all parts and of the tail, which is what comes after
 * the last part. `active_at` is when bytes were committed last, or the stage changed.
 */
const FIRST = `
  CREATE TABLE IF NOT EXISTS session (
    content TEXT PRIMARY KEY, repository TEXT NOT NULL, session TEXT NOT NULL, part_size INTEGER NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0, active_at INTEGER NOT NULL, stage TEXT NOT NULL DEFAULT 'open', multipart TEXT, digest TEXT,
    is_right INTEGER NOT NULL DEFAULT 0, is_stored INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY, etag TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS tail (start INTEGER PRIMARY KEY, size INTEGER NOT NULL, bytes BLOB NOT NULL);
`

const SCHEMA = { table: 'session', steps: [FIRST] }

/**
 * How far a session is.
 *
 * - `open`: takes bytes.
 * - `closing`: a digest was named; the bytes are verified and stored.
 * - `verified`: they have that digest, and may have been handed over.
 * - `done`: they are the blob.
 * - `disowning`: given up after `verified`; whether they were handed over is asked.
 * - `over`: given up; they are the session's own and go with it.
 */
export type Stage = 'open' | 'closing' | 'verified' | 'done' | 'disowning' | 'over'

/** The session's row. */
export interface UploadRecord {
  /** The id of its bytes, never used again. */
  readonly id: string
  readonly partSize: number
  /** Bytes that are committed. */
  readonly offset: number
  readonly activeAt: number
  readonly stage: Stage
  /** R2's id of the multipart upload, if there is one. */
  readonly multipart: string | undefined
  /** The digest that it was closed with. */
  readonly digest: Digest | undefined
  /** Whether the bytes are known to have that digest. */
  readonly isRight: boolean
  /** Whether they are known to lie in R2 as one object. */
  readonly isStored: boolean
}

/** A row of the tail: where its bytes start, counted from the start of the upload, and how many they are. */
export interface TailRow {
  readonly start: number
  readonly size: number
}

/** What is committed when a body has ended. */
export interface TailCommit {
  /** Rows from here on are written anew. */
  readonly from: number
  readonly rows: readonly Uint8Array[]
  /** Given when the upload is closed with it. */
  readonly digest: Digest | undefined
  readonly now: number
}

/** Reads and writes the rows. */
export class UploadRecords {
  readonly #storage: DurableObjectStorage
  readonly #schema: Schema

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
    this.#schema = new Schema(storage, SCHEMA)
  }

  /** The session; undefined when there is none, or no more. */
  session(): UploadRecord | undefined {
    const row = this.#rows('SELECT * FROM session')[0]
    if (row === undefined) return undefined
    return {
      id: textOf(row['content']) ?? '',
      partSize: Number(row['part_size']),
      offset: Number(row['committed']),
      activeAt: Number(row['active_at']),
      stage: (textOf(row['stage']) ?? 'over') as Stage,
      multipart: textOf(row['multipart']),
      // Only digests are written.
      digest: textOf(row['digest']) as Digest | undefined,
      isRight: row['is_right'] === 1,
      isStored: row['is_stored'] === 1,
    }
  }

  /** The session's name, for whoever was not called by it: an alarm. */
  name(): UploadName | undefined {
    const row = this.#rows('SELECT repository, session FROM session')[0]
    const session = textOf(row?.['session'])
    // Only repository names are written.
    const repository = textOf(row?.['repository']) as RepositoryName | undefined
    return repository === undefined || session === undefined ? undefined : { repository, session }
  }

  /** Begins the session; `id` is that of its bytes. */
  open(
    name: UploadName,
    { id, partSize, now }: { id: string; partSize: number; now: number },
  ): void {
    this.#storage.transactionSync(() => {
      this.#schema.prepare()
      this.#write(
        `INSERT INTO session (content, repository, session, part_size, active_at) VALUES (?, ?, ?, ?, ?)`,
        id,
        name.repository,
        name.session,
        partSize,
        now,
      )
    })
  }

  /** R2 has begun a multipart upload. */
  beginMultipart(id: string): void {
    this.#write('UPDATE session SET multipart = ?', id)
  }

  /** R2 has a part, with which the bytes before `offset` are committed: no row of the tail is needed any more. */
  addPart(part: R2UploadedPart, offset: number, now: number): void {
    this.#storage.transactionSync(() => {
      this.#write('INSERT INTO parts VALUES (?, ?)', part.partNumber, part.etag)
      this.#write('DELETE FROM tail')
      this.#write('UPDATE session SET committed = ?, active_at = ?', offset, now)
    })
  }

  /** The parts that R2 has, in order. */
  parts(): R2UploadedPart[] {
    return this.#rows('SELECT * FROM parts ORDER BY number').map((row) => ({
      partNumber: Number(row['number']),
      etag: textOf(row['etag']) ?? '',
    }))
  }

  /** How many parts R2 has. */
  countParts(): number {
    return Number(this.#rows('SELECT count(*) AS parts FROM parts')[0]?.['parts'] ?? 0)
  }

  /** Where the rows of the tail start and end. */
  tailRows(): TailRow[] {
    return this.#rows('SELECT start, size FROM tail ORDER BY start').map((row) => ({
      start: Number(row['start']),
      size: Number(row['size']),
    }))
  }

  /** Hands over the tail's bytes, row by row. */
  readTail(take: (bytes: Uint8Array, start: number) => void): void {
    for (const { start } of this.tailRows()) {
      const bytes = this.#rows('SELECT bytes FROM tail WHERE start = ?', start)[0]?.['bytes']
      if (bytes instanceof ArrayBuffer) take(new Uint8Array(bytes), start)
    }
  }

  /** Commits the tail and, with a digest, that the session takes no more. */
  commitTail({ from, rows, digest, now }: TailCommit): void {
    this.#storage.transactionSync(() => {
      this.#write('DELETE FROM tail WHERE start >= ?', from)
      let start = from
      for (const row of rows) {
        this.#write('INSERT INTO tail VALUES (?, ?, ?)', start, row.byteLength, row)
        start += row.byteLength
      }
      this.#write('UPDATE session SET committed = ?, active_at = ?', start, now)
      if (digest === undefined) return
      this.#write(`UPDATE session SET stage = 'closing', digest = ?`, digest)
    })
  }

  /** The bytes have the digest. */
  confirm(): void {
    this.#write('UPDATE session SET is_right = 1')
  }

  /** The bytes lie in R2 as one object. */
  markStored(): void {
    this.#write('UPDATE session SET is_stored = 1')
  }

  /** The stage changes; `now` when that counts as activity. */
  enter(stage: Stage, now?: number): void {
    this.#write(
      'UPDATE session SET stage = ?, active_at = coalesce(?, active_at)',
      stage,
      now ?? null,
    )
  }

  /** The bytes are the blob: only what a repeated close asks for is kept. */
  finish(now: number): void {
    this.#storage.transactionSync(() => {
      this.enter('done', now)
      this.#write('DELETE FROM tail')
      this.#write('DELETE FROM parts')
    })
  }

  /** The object's storage has been emptied. */
  reset(): void {
    this.#schema.forget()
  }

  #rows(query: string, ...bindings: SqlStorageValue[]): Record<string, SqlStorageValue>[] {
    return this.#schema.isEmpty ? [] : this.#storage.sql.exec(query, ...bindings).toArray()
  }

  #write(query: string, ...bindings: (SqlStorageValue | Uint8Array)[]): void {
    this.#storage.sql.exec(query, ...bindings)
  }
}

/**
 * From where on the tail is written anew when it grows from `offset` to `received` bytes: a row takes in those
 * before it that are not much larger. So the rows are few, however small the chunks are, and a byte is written
 * again only a few dozen times, however many they are.
 */
export function rewriteFrom(
  rows: readonly TailRow[],
  { offset, received, rowSize }: { offset: number; received: number; rowSize: number },
): number {
  let from = offset
  for (const { start, size } of rows.toReversed()) {
    const grown = received - from
    if (grown === 0 || size >= 2 * grown || size + grown > rowSize) break
    from = start
  }
  return from
}

function textOf(value: SqlStorageValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
