// The schema of an object's SQLite, and how state that an older release has written becomes state of this one.
// Steps are only ever added. The first step is what the release before schemas had a version has made; tables
// without a version are of that one. A room uses it so:
//
//   const SCHEMA = { table: 'tags', steps: [FIRST_SQL, (sql) => sql.exec(…)] }
//   if (schema.isEmpty) return []      // before reading: migrates, and leaves no trace of an object without rows
//   schema.prepare()                   // before the first row

/** One step, which leads from a version to the next: SQL, or work that waits for nothing. */
export type SchemaStep = string | ((sql: SqlStorage) => void)

/** What stands in an object, from its first version to the one of this release. */
export interface SchemaSteps {
  /** A table of the first step. State that has it and no version is of version 1. */
  readonly table: string
  /** The version of this release is their number. */
  readonly steps: readonly SchemaStep[]
}

/** State that a newer release has written. It is left as it is. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError'
}

/** The storage of an object, as far as a schema needs it. */
export type SchemaStorage = Pick<DurableObjectStorage, 'sql' | 'transactionSync'>

/** Makes and migrates the tables of one object. */
export class Schema {
  readonly #storage: SchemaStorage
  readonly #of: SchemaSteps
  /** Whether the tables of this release are there; `undefined` before anybody has looked. */
  #isReady: boolean | undefined

  constructor(storage: SchemaStorage, of: SchemaSteps) {
    this.#storage = storage
    this.#of = of
  }

  /**
   * Whether the object has no tables, hence no rows. State of an older release is brought up to date before this
   * answers, in one transaction: it is as it was, or as this release knows it.
   * @throws {SchemaError} on state of a newer release.
   */
  get isEmpty(): boolean {
    this.#isReady ??= this.#open()
    return !this.#isReady
  }

  /** Makes the tables, unless they are there. @throws {SchemaError} on state of a newer release. */
  prepare(): void {
    if (!this.isEmpty) return
    this.#migrate(0)
    this.#isReady = true
  }

  /** Everything was deleted, tables and all: the object is empty again. */
  forget(): void {
    this.#isReady = undefined
  }

  #open(): boolean {
    const version = this.#version()
    if (version === 0) return false
    const { length } = this.#of.steps
    if (version > length) {
      throw new SchemaError(
        `this object has version ${version} of its schema and this release knows ${length} at most: a newer release has written it`,
      )
    }
    if (version < length) this.#migrate(version)
    return true
  }

  #version(): number {
    const { sql } = this.#storage
    const tables = sql
      .exec('SELECT name FROM sqlite_master WHERE name IN (?, ?)', 'schema', this.#of.table)
      .toArray()
      .map(({ name }) => name)
    if (!tables.includes('schema')) return tables.length
    return Number(sql.exec('SELECT version FROM schema').one()['version'])
  }

  #migrate(from: number): void {
    const { sql } = this.#storage
    this.#storage.transactionSync(() => {
      for (const step of this.#of.steps.slice(from)) {
        if (typeof step === 'string') sql.exec(step)
        else step(sql)
      }
      sql.exec('CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)')
      sql.exec('DELETE FROM schema')
      sql.exec('INSERT INTO schema (version) VALUES (?)', this.#of.steps.length)
    })
  }
}
