// The SQLite of one `MirrorLedger`, as those who keep records in it see it. The tables are made with the first row and
// not earlier: reading an empty object leaves no trace of a name that somebody guessed.

import { Schema } from '../storage/schema.ts'
import type { SchemaStorage } from '../storage/schema.ts'
import { LEDGER_SCHEMA } from './schema.ts'

/** A row, by its columns. */
export type Row = Readonly<Record<string, SqlStorageValue>>

/** Runs queries on rows, which need not exist yet. */
export class Rows {
  readonly #storage: SchemaStorage
  readonly #schema: Schema

  constructor(storage: SchemaStorage) {
    this.#storage = storage
    this.#schema = new Schema(storage, LEDGER_SCHEMA)
  }

  /** Whether this repository has never had a row, or was forgotten. */
  get isEmpty(): boolean {
    return this.#schema.isEmpty
  }

  /** Rows of a query; none of an empty repository. */
  read(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.isEmpty ? [] : this.#storage.sql.exec(query, ...bindings).toArray()
  }

  /** Writes rows, the first ones perhaps. */
  write(query: string, ...bindings: SqlStorageValue[]): void {
    this.#schema.prepare()
    this.#storage.sql.exec(query, ...bindings)
  }

  /** Changes or deletes rows; of an empty repository, none. */
  change(query: string, ...bindings: SqlStorageValue[]): void {
    if (!this.isEmpty) this.#storage.sql.exec(query, ...bindings)
  }

  /** Runs `work`, which waits for nothing, as one change: all of it or none. */
  atomically<Value>(work: () => Value): Value {
    // Made outside: the memory of what stands must not outlive a change that failed.
    this.#schema.prepare()
    return this.#storage.transactionSync(work)
  }

  /** All rows and tables were deleted. */
  forget(): void {
    this.#schema.forget()
  }
}

/** A column that is declared TEXT NOT NULL. */
export function text(value: SqlStorageValue | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** A column that may be NULL. */
export function nullableText(value: SqlStorageValue | undefined): string | null {
  return typeof value === 'string' ? value : null
}
