// What outlives an object: its SQLite and its alarm. An object sees them as `DurableObjectStorage`, as long
// as it lives; one that was killed sees and writes nothing more.

import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'

/** A row, by its columns. */
export type Row = Readonly<Record<string, unknown>>

/** One incarnation of an object. */
export interface Life {
  readonly name: string
  isDead: boolean
}

/** The storage of one object. */
export class Disk {
  #opened: DatabaseSync | undefined
  #statements = new Map<string, StatementSync>()
  #depth = 0
  /** When the alarm rings; `isRinging`: its handler runs. */
  alarm: number | null = null
  isRinging = false
  hasSetAlarm = false
  /** Counts everything that may have changed rows. */
  version = 0
  readonly #touched: () => void

  /** `touched` is called for everything that may have changed rows. */
  constructor(touched: () => void) {
    this.#touched = touched
  }

  /** Runs one statement, or several without bindings. */
  exec(query: string, bindings: readonly unknown[] = []): Row[] {
    if (!query.startsWith('SELECT')) this.#touch()
    if (bindings.length === 0 && query.trimEnd().endsWith(';')) {
      this.#database.exec(query)
      return []
    }
    let statement = this.#statements.get(query)
    statement ??= this.#database.prepare(query)
    this.#statements.set(query, statement)
    return statement.all(...bindings)
  }

  /** Rows of a table that need not exist. */
  rows(table: string, query: string): Row[] {
    if (this.#opened === undefined) return []
    const found = this.exec('SELECT 1 FROM sqlite_master WHERE name = ?', [table])
    return found.length > 0 ? this.exec(query) : []
  }

  /** All of `work`, or nothing. */
  transaction<Value>(work: () => Value): Value {
    const name = `level_${++this.#depth}`
    this.#database.exec(`SAVEPOINT ${name}`)
    try {
      const value = work()
      this.#database.exec(`RELEASE ${name}`)
      return value
    } catch (error) {
      this.#database.exec(`ROLLBACK TO ${name}; RELEASE ${name}`)
      throw error
    } finally {
      this.#depth -= 1
    }
  }

  /** Empties the storage, the alarm included. */
  clear(): void {
    this.close()
    this.#statements.clear()
    this.setAlarm(null)
    this.#touch()
  }

  setAlarm(at: number | null): void {
    this.alarm = at
    this.hasSetAlarm = true
  }

  /** Whether nothing is stored. */
  get isEmpty(): boolean {
    if (this.#opened === undefined) return true
    return this.exec('SELECT 1 FROM sqlite_master LIMIT 1').length === 0
  }

  close(): void {
    this.#opened?.close()
    this.#opened = undefined
  }

  get #database(): DatabaseSync {
    this.#opened ??= new DatabaseSync(':memory:')
    return this.#opened
  }

  #touch(): void {
    this.version += 1
    this.#touched()
  }
}

/** Waits for whatever a test wants to put between a storage operation and its answer. */
export type Settle = <Value>(what: string, effect: () => Value) => Promise<Value>

/** The storage as an object sees it while it lives. */
export function storageOf(disk: Disk, life: Life, settle: Settle): DurableObjectStorage {
  const alive = () => {
    if (life.isDead) throw new Error('the object is dead')
  }
  const storage = {
    sql: {
      exec: (query: string, ...bindings: readonly unknown[]) => {
        alive()
        return cursorOf(disk.exec(query, bindings))
      },
    },
    transactionSync: <Value>(work: () => Value): Value => {
      alive()
      return disk.transaction(work)
    },
    getAlarm: () =>
      settle('getAlarm', () => (disk.isRinging && !disk.hasSetAlarm ? null : disk.alarm)),
    setAlarm: (at: number) => settle('setAlarm', () => disk.setAlarm(at)),
    deleteAlarm: () => settle('deleteAlarm', () => disk.setAlarm(null)),
    deleteAll: () => settle('deleteAll', () => disk.clear()),
  }
  // Only what the classes under test call.
  return storage as unknown as DurableObjectStorage
}

function cursorOf(rows: readonly Row[]) {
  const converted = rows.map(converting)
  return {
    toArray: () => converted,
    one: () => {
      if (converted.length !== 1) throw new Error('not exactly one row')
      return converted[0]
    },
    [Symbol.iterator]: () => converted[Symbol.iterator](),
  }
}

/** A Durable Object gives bytes as an `ArrayBuffer`. */
function converting(row: Row): Row {
  if (!Object.values(row).some((value) => value instanceof Uint8Array)) return row
  const entries = Object.entries(row).map(([column, value]) => [
    column,
    value instanceof Uint8Array ? value.slice().buffer : value,
  ])
  return Object.fromEntries(entries) as Row
}
