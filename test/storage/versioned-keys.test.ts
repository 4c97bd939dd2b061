// The version of keys in a real object: written with the first key and not by reading, and what becomes of state that a
// newer release has written.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { durableStorage, sweepStorage } from '../../src/upstream/gate-storage.ts'
import { versionedKeys } from '../../src/storage/versioned-keys.ts'
import type { KeyVersion } from '../../src/storage/versioned-keys.ts'

afterEach(() => reset())

/** Uses the storage of an object of nobody's. */
function within<Value>(use: (storage: DurableObjectStorage) => Value | Promise<Value>) {
  const stub = env.UPSTREAM_GATE.getByName('one.test anonymous')
  return runInDurableObject(stub, (_, { storage }) => use(storage))
}

const keysOf = ({ kv }: DurableObjectStorage): readonly [string, unknown][] => [...kv.list()]

const TWO: KeyVersion = { version: 2, newer: 'refuse' }

it('is written with the first key, hidden, and not by whoever reads', async () => {
  await within((storage) => {
    const kv = versionedKeys(storage.kv, TWO)
    expect([kv.get('a'), [...kv.list()]]).toEqual([undefined, []])
    expect(kv.delete('a')).toBe(false)
    expect(keysOf(storage)).toEqual([])
    kv.put('a', 1)
    expect(keysOf(storage)).toEqual([
      ['a', 1],
      ['~schema', 2],
    ])
    expect([...kv.list()]).toEqual([['a', 1]])
    expect([...kv.list({ prefix: 'a' })]).toEqual([['a', 1]])
  })
})

it('is written again after everything was deleted', async () => {
  await within(async (storage) => {
    const kv = versionedKeys(storage.kv, TWO)
    kv.put('a', 1)
    await storage.deleteAll()
    kv.put('b', 2)
    expect(keysOf(storage)).toEqual([
      ['b', 2],
      ['~schema', 2],
    ])
  })
})

describe('state', () => {
  it.each([
    { name: 'of no version is read', found: undefined },
    { name: 'of an older one is read', found: 1 },
    { name: 'of this one is read', found: 2 },
  ])('$name', async ({ found }) => {
    await within((storage) => {
      storage.kv.put('a', 1)
      if (found !== undefined) storage.kv.put('~schema', found)
      expect(versionedKeys(storage.kv, TWO).get('a')).toBe(1)
    })
  })

  it('of a newer one is refused each time, and left alone, where it is property', async () => {
    await within((storage) => {
      storage.kv.put('a', 1)
      storage.kv.put('~schema', 3)
      const kv = versionedKeys(storage.kv, TWO)
      for (const use of [
        () => kv.get('a'),
        () => [...kv.list()],
        () => kv.put('a', 2),
        () => kv.delete('a'),
        () => kv.get('a'),
      ]) {
        expect(use).toThrow(
          'this object has version 3 of its keys and this release knows 2 at most',
        )
      }
      expect(keysOf(storage)).toEqual([
        ['a', 1],
        ['~schema', 3],
      ])
    })
  })

  it('of a newer one is emptied where it is a cache', async () => {
    await within((storage) => {
      storage.kv.put('a', 1)
      storage.kv.put('~schema', 3)
      const kv = versionedKeys(storage.kv, { version: 2, newer: 'empty' })
      expect(kv.get('a')).toBeUndefined()
      expect(keysOf(storage)).toEqual([])
      kv.put('b', 1)
      expect(keysOf(storage)).toEqual([
        ['b', 1],
        ['~schema', 2],
      ])
    })
  })
})

describe('a gate', () => {
  it('forgets what a newer release has written, and goes on', async () => {
    await within(async (storage) => {
      storage.kv.put('limited-until', { of: 'another form' })
      storage.kv.put('~schema', 99)
      const kept = durableStorage(storage, () => Date.now())
      expect(kept.get('limited-until')).toBeUndefined()
      kept.put('limited-until', Date.now() + 60_000)
      expect(keysOf(storage).map(([key]) => key)).toEqual(['limited-until', '~schema'])
      await sweepStorage(storage, Date.now())
      expect(keysOf(storage)).toHaveLength(2)
      await sweepStorage(storage, Date.now() + 120_000)
      expect([keysOf(storage), await storage.getAlarm()]).toEqual([[], null])
    })
  })

  it('with as many keys as a page has is swept to the end', async () => {
    await within(async (storage) => {
      const kv = versionedKeys(storage.kv, { version: 1, newer: 'empty' })
      const token = { header: 'x', expiresAt: 1, madeAt: 0, isRenewal: false }
      for (let number = 0; number < 400; number++) {
        kv.put(`token:${String(number).padStart(4, '0')}`, token)
      }
      await sweepStorage(storage, Date.now())
      expect(keysOf(storage)).toEqual([])
    })
  })
})
