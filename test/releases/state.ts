// The state of a deployment as JSON: what every object holds in tables, keys and alarm, and what lies in R2 and KV. A
// release writes one down (dump.test.ts); the next ones load it.

import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect } from 'vitest'

/** Milliseconds. */
const YEAR = 365 * 24 * 60 * 60 * 1000

/** The classes of objects, by their bindings; a release has those that it has. */
export const BINDINGS = [
  'MIRROR_LEDGER',
  'BLOB_FILL',
  'UPSTREAM_GATE',
  'HOSTED_LEDGER',
  'UPLOAD_SESSION',
  'BLOB_CLAIMS',
  'AUTHORITY',
  'METER',
  'JOB',
] as const

/** A class of objects. */
export type Binding = (typeof BINDINGS)[number]

/** A value of a row or a key: JSON, but bytes. */
type Value = unknown

/** What one object holds. */
export interface ObjectState {
  readonly binding: Binding
  readonly name: string
  /** Statements that make its tables and indexes. */
  readonly schema: readonly string[]
  readonly tables: Readonly<Record<string, readonly Readonly<Record<string, Value>>[]>>
  readonly keys: readonly (readonly [string, Value])[]
  readonly alarm: number | null
}

/** What lies in R2 or KV. */
export interface Stored {
  readonly key: string
  readonly bytes: string
  readonly contentType?: string
  readonly metadata?: unknown
}

/** All of it. */
export interface State {
  /** When it was written (milliseconds). */
  readonly at: number
  /** What a test has to know of it: names, digests, secrets. */
  readonly facts: Readonly<Record<string, string>>
  readonly objects: readonly ObjectState[]
  readonly r2: readonly Stored[]
  readonly kv: readonly Stored[]
}

/** Reads everything. `names` has those of all objects: the platform does not tell them. */
export async function dumpState(
  at: number,
  facts: State['facts'],
  names: readonly string[],
): Promise<State> {
  const objects: ObjectState[] = []
  for (const binding of BINDINGS) {
    const namespace = namespaceOf(binding)
    if (namespace === undefined) continue
    const known = new Map(names.map((name) => [String(namespace.idFromName(name)), name]))
    const ids = (await listDurableObjectIds(namespace)).map((id) => known.get(String(id)))
    // Each must have been asked for by a name.
    expect(ids).not.toContain(undefined)
    const named = ids.flatMap((name) => name ?? []).toSorted()
    for (const name of named) objects.push(await dumpObject(binding, name))
  }
  const kept = objects.filter(({ schema, keys }) => schema.length + keys.length > 0)
  return { at, facts, objects: kept, r2: await dumpBucket(), kv: await dumpHints() }
}

/**
 * Writes everything, as if it had been written just now: alarms ring by the clock of the platform, which no test stops.
 */
export async function loadState(state: State): Promise<State> {
  const shifted = shift(state, { at: state.at, by: Date.now() - state.at }) as State
  const { objects, r2, kv } = shifted
  for (const { key, bytes, contentType } of r2) {
    await env.BLOBS.put(key, bytesOf(bytes), {
      ...(contentType !== undefined && { httpMetadata: { contentType } }),
    })
  }
  for (const { key, bytes, metadata } of kv) {
    await env.HINTS.put(key, bytesOf(bytes), metadata === undefined ? {} : { metadata })
  }
  for (const object of objects) await loadObject(object)
  return shifted
}

/** Every time moved: a number within a year of the one when the state was written. */
function shift(value: unknown, to: { readonly at: number; readonly by: number }): unknown {
  if (typeof value === 'number') return Math.abs(value - to.at) < YEAR ? value + to.by : value
  if (Array.isArray(value)) return value.map((each: unknown) => shift(each, to))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shift(each, to)]))
}

async function dumpObject(binding: Binding, name: string): Promise<ObjectState> {
  return runInDurableObject(stubOf(binding, name), async (_, { storage }) => {
    const made = storage.sql
      .exec<{ type: string; name: string; sql: string | null }>(
        `SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY type DESC, name`,
      )
      .toArray()
    const tables = made.flatMap(({ type, name: table }) =>
      type === 'table'
        ? [[table, storage.sql.exec(`SELECT * FROM "${table}"`).toArray()] as const]
        : [],
    )
    return {
      binding,
      name,
      schema: made.flatMap(({ sql }) => sql ?? []),
      tables: Object.fromEntries(tables.map(([table, rows]) => [table, rows.map(plain)])),
      keys: Array.from(storage.kv.list(), ([key, value]) => [key, packed(value)] as const),
      alarm: await storage.getAlarm(),
    }
  })
}

async function loadObject({ binding, name, ...state }: ObjectState): Promise<void> {
  await runInDurableObject(stubOf(binding, name), async (_, { storage }) => {
    for (const statement of state.schema) storage.sql.exec(statement)
    for (const [table, rows] of Object.entries(state.tables)) {
      for (const row of rows) {
        const columns = Object.keys(row).join(', ')
        const marks = Object.keys(row).map(() => '?')
        const values = Object.values(row).map((value) => unpacked(value) as SqlStorageValue)
        storage.sql.exec(
          `INSERT INTO ${table} (${columns}) VALUES (${marks.join(', ')})`,
          ...values,
        )
      }
    }
    for (const [key, value] of state.keys) storage.kv.put(key, unpacked(value))
    if (state.alarm !== null) await storage.setAlarm(state.alarm)
  })
}

async function dumpBucket(): Promise<readonly Stored[]> {
  const { objects } = await env.BLOBS.list({ limit: 1000 })
  return Promise.all(
    objects.map(async ({ key }) => {
      const object = await env.BLOBS.get(key)
      const contentType = object?.httpMetadata?.contentType
      // Segments are large, and nobody reads what a release before has left of them.
      const bytes = key.startsWith('fills/') ? new Uint8Array() : await object?.bytes()
      return { key, bytes: textOf(bytes ?? new Uint8Array()), ...(contentType && { contentType }) }
    }),
  )
}

async function dumpHints(): Promise<readonly Stored[]> {
  const { keys } = await env.HINTS.list()
  return Promise.all(
    keys.map(async ({ name, metadata }) => {
      const bytes = await env.HINTS.get(name, 'arrayBuffer')
      return { key: name, bytes: textOf(new Uint8Array(bytes ?? new ArrayBuffer())), metadata }
    }),
  )
}

function namespaceOf(binding: Binding): DurableObjectNamespace | undefined {
  // A release before may not have it.
  return (env as unknown as Readonly<Record<string, DurableObjectNamespace | undefined>>)[binding]
}

function stubOf(binding: Binding, name: string): DurableObjectStub {
  return namespaceOf(binding)?.getByName(name) ?? expect.fail(`there is no ${binding}`)
}

function plain(row: Readonly<Record<string, SqlStorageValue>>): Readonly<Record<string, Value>> {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, packed(value)]))
}

/** JSON has no bytes, and leaves out what is undefined. */
function packed(value: unknown): Value {
  if (value instanceof ArrayBuffer) return { base64: textOf(new Uint8Array(value)) }
  return value
}

function unpacked(value: Value): unknown {
  const isBytes = typeof value === 'object' && value !== null && 'base64' in value
  return isBytes ? bytesOf(String(value.base64)).buffer : value
}

function textOf(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
