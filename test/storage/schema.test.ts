// Schemas on real SQLite: made with the first row, brought up to date step by step and all or nothing, and never
// touched where a newer release has written.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { Schema, SchemaError } from '../../src/storage/schema.ts'
import type { SchemaStep } from '../../src/storage/schema.ts'

afterEach(() => reset())

const FIRST = 'CREATE TABLE things (name TEXT PRIMARY KEY); CREATE TABLE old (n INTEGER);'
const SECOND = 'ALTER TABLE things ADD COLUMN size INTEGER; DROP TABLE old;'
const THIRD: SchemaStep = (sql) => void sql.exec('UPDATE things SET size = length(name)')

/** Runs in an object of its own. */
function inObject<Value>(run: (storage: DurableObjectStorage) => Value): Promise<Value> {
  const object = env.METER.getByName('schema')
  return runInDurableObject(object, (_, { storage }) => run(storage))
}

function schema(storage: DurableObjectStorage, ...steps: SchemaStep[]): Schema {
  return new Schema(storage, { table: 'things', steps })
}

function tablesOf({ sql }: DurableObjectStorage): string[] {
  const rows = sql.exec(`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)
  return rows.toArray().flatMap(({ name }) => {
    const text = name as string
    return text.startsWith('_cf') || text.startsWith('sqlite') ? [] : [text]
  })
}

function versionOf({ sql }: DurableObjectStorage): unknown {
  return sql.exec('SELECT * FROM schema').toArray()
}

describe('an empty object', () => {
  it('stays without a trace until it is prepared, then has all steps', async () => {
    await inObject((storage) => {
      const made = schema(storage, FIRST, SECOND, THIRD)
      expect(made.isEmpty).toBe(true)
      expect(tablesOf(storage)).toEqual([])
      made.prepare()
      expect(made.isEmpty).toBe(false)
      expect(tablesOf(storage)).toEqual(['schema', 'things'])
      expect(versionOf(storage)).toEqual([{ version: 3 }])
    })
  })

  it('is prepared once, by whichever schema looks', async () => {
    await inObject((storage) => {
      schema(storage, FIRST, SECOND).prepare()
      storage.sql.exec(`INSERT INTO things (name) VALUES ('a')`)
      const again = schema(storage, FIRST, SECOND)
      again.prepare()
      expect(again.isEmpty).toBe(false)
      expect(storage.sql.exec('SELECT * FROM things').toArray()).toEqual([
        { name: 'a', size: null },
      ])
    })
  })

  it('is empty again when everything was deleted', async () => {
    await inObject(async (storage) => {
      const made = schema(storage, FIRST)
      made.prepare()
      await storage.deleteAll()
      made.forget()
      expect(made.isEmpty).toBe(true)
      made.prepare()
      expect(versionOf(storage)).toEqual([{ version: 1 }])
    })
  })
})

describe('state of an older release', () => {
  it.each([
    { name: 'without a version is of the first', before: [] },
    {
      name: 'of the first',
      before: ['CREATE TABLE schema (version INTEGER)', 'INSERT INTO schema VALUES (1)'],
    },
  ])('$name: takes every step after it, and keeps its rows', async ({ before }) => {
    await inObject((storage) => {
      for (const query of [FIRST, ...before]) storage.sql.exec(query)
      storage.sql.exec(`INSERT INTO things VALUES ('abc')`)
      expect(schema(storage, FIRST, SECOND, THIRD).isEmpty).toBe(false)
      expect(versionOf(storage)).toEqual([{ version: 3 }])
      expect(tablesOf(storage)).toEqual(['schema', 'things'])
      expect(storage.sql.exec('SELECT * FROM things').toArray()).toEqual([{ name: 'abc', size: 3 }])
    })
  })

  it('of the second: takes only the third', async () => {
    await inObject((storage) => {
      schema(storage, FIRST, SECOND).prepare()
      storage.sql.exec(`INSERT INTO things (name) VALUES ('abcd')`)
      expect(schema(storage, FIRST, SECOND, THIRD).isEmpty).toBe(false)
      expect(storage.sql.exec('SELECT size FROM things').toArray()).toEqual([{ size: 4 }])
    })
  })

  it('is as it was when a step fails, and goes on when it no longer does', async () => {
    await inObject((storage) => {
      for (const query of [FIRST, `INSERT INTO things VALUES ('a')`]) storage.sql.exec(query)
      const broken: SchemaStep = (sql) => {
        sql.exec(`DELETE FROM things`)
        throw new Error('no')
      }
      const failing = schema(storage, FIRST, SECOND, broken)
      expect(() => failing.isEmpty).toThrow('no')
      // It is asked again, and has not made itself believe that it is done.
      expect(() => failing.isEmpty).toThrow('no')
      expect(tablesOf(storage)).toEqual(['old', 'things'])
      expect(storage.sql.exec('SELECT * FROM things').toArray()).toEqual([{ name: 'a' }])
      expect(schema(storage, FIRST, SECOND, THIRD).isEmpty).toBe(false)
      expect(storage.sql.exec('SELECT * FROM things').toArray()).toEqual([{ name: 'a', size: 1 }])
    })
  })
})

describe('state of a newer release', () => {
  it('is refused and left as it is', async () => {
    await inObject((storage) => {
      schema(storage, FIRST, SECOND, THIRD).prepare()
      storage.sql.exec(`INSERT INTO things (name) VALUES ('a')`)
      const older = schema(storage, FIRST, SECOND)
      const why = 'version 3 of its schema and this release knows 2 at most'
      expect(() => older.isEmpty).toThrow(SchemaError)
      expect(() => older.isEmpty).toThrow(why)
      expect(() => older.prepare()).toThrow(why)
      expect(versionOf(storage)).toEqual([{ version: 3 }])
      expect(storage.sql.exec('SELECT name FROM things').toArray()).toEqual([{ name: 'a' }])
    })
  })
})
