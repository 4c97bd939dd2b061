// Manifests in memory and KV, with purges that are known late: who waits for what, and that nothing is kept that was
// found before a purge.

import { beforeEach, describe, expect, it } from 'vitest'
import { NearManifests } from '../../src/mirror/near-manifests.ts'
import type { KnownPurge, KnownPurges, ManifestMemory } from '../../src/mirror/near-manifests.ts'
import type { ServedManifest } from '../../src/mirror/ledger.ts'
import type { ManifestHint } from '../../src/storage/hints.ts'
import { Memory } from '../../src/storage/memory.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { repository } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const NONE: KnownPurges = { number: 0, recent: [] }
const PURGED: KnownPurges = { number: 1, recent: [purged(1, 'one.test/a/b')] }
const bytes = new Uint8Array(8)

function purged(number: number, scope: string): KnownPurge {
  return { number, at: 100, scope }
}

let memory: ManifestMemory
let digest: ManifestHint['digest']

beforeEach(async () => {
  memory = { manifests: new Memory(1000), purges: undefined }
  digest = await digestOf(bytes)
})

function near(purges: KnownPurges | Promise<KnownPurges>): NearManifests {
  return new NearManifests({ name: NAME, memory, purges: () => purges, now: () => 200 })
}

function hint(verifiedAt: number): ManifestHint {
  return { digest, mediaType: 'text/plain', verifiedAt, bytes }
}

function answer(): ServedManifest {
  return { ok: true, ...hint(100), outcome: 'hit', until: Infinity, warning: undefined }
}

/** What is near: where it was found. */
async function placeOf(of: NearManifests, verifiedAt = 101): Promise<string> {
  const found = await of.look(':v1', () => Promise.resolve(hint(verifiedAt)))
  if (found.held !== undefined) return 'memory'
  return found.hint === undefined ? 'nowhere' : 'KV'
}

describe('manifests that are near', () => {
  it('are believed as far as they are newer than the purge', async () => {
    expect([await placeOf(near(NONE), 100), await placeOf(near(PURGED), 100)]).toEqual([
      'KV',
      'nowhere',
    ])
    expect(await placeOf(near(PURGED), 101)).toBe('KV')
  })

  it.each([
    ['one.test', 'nowhere'],
    ['one.test/a/b', 'nowhere'],
    ['one.test/a', 'KV'],
    ['one.test/a/b/c', 'KV'],
    ['two.test', 'KV'],
  ])('are of the repository or the host that was purged: %s', async (scope, place) => {
    expect(await placeOf(near({ number: 1, recent: [purged(1, scope)] }), 100)).toBe(place)
  })

  it.each([
    { scopes: ['one.test/a/b'], place: 'KV' },
    { scopes: ['one.test'], place: 'KV' },
    { scopes: ['two.test', 'one.test/a/b', 'one.test/a'], place: 'KV' },
    { scopes: ['one.test/a'], place: 'memory' },
    { scopes: ['one.test/a/b/c', 'one.test/a/bc', 'two.test/a/b', 'two.test'], place: 'memory' },
  ])('are kept when something else was purged: $scopes', async ({ scopes, place }) => {
    const before = near({ number: 7, recent: [] })
    await placeOf(before)
    before.hold(':v1', answer())
    const recent = scopes.map((scope, index) => purged(7 + scopes.length - index, scope))
    const of = near({ number: 7 + scopes.length, recent })
    expect([await placeOf(of), await placeOf(of)]).toEqual([place, place])
    const byDigest = await of.look(`@${digest}`, () => Promise.resolve(hint(101)))
    expect(byDigest.held === undefined).toBe(place === 'KV')
  })

  it.each([
    { why: 'it is an older one', number: 8, recent: [purged(7, 'one.test/a/b')], place: 'memory' },
    { why: 'none is missing', number: 900, recent: [900, 8], place: 'memory' },
    { why: 'few are, and newer ones stand for them', number: 106, recent: [106], place: 'memory' },
    { why: 'some are missing', number: 107, recent: [107, 9], place: 'KV' },
    { why: 'there were fewer', number: 6, recent: [6], place: 'KV' },
  ])('are kept as far as all purges since are known: $why', async ({ number, recent, place }) => {
    const before = near({ number: 7, recent: [] })
    await placeOf(before)
    before.hold(':v1', answer())
    const list = recent.map((each) =>
      typeof each === 'number' ? purged(each, 'other.test') : each,
    )
    expect(await placeOf(near({ number, recent: list }))).toBe(place)
  })

  it('are forgotten when the number of purges is another, and nothing says of what', async () => {
    for (const number of [5, 206, 408, 1]) {
      const looking = near({ number, recent: [] })
      expect(await placeOf(looking)).toBe('KV')
      looking.hold(':v1', answer())
      expect(await placeOf(looking)).toBe('memory')
    }
  })

  it('are not kept by a request that began before others saw a purge', async () => {
    const early = near(NONE)
    await placeOf(early)
    await placeOf(near(PURGED))
    expect(early.hold(':v1', answer())).toMatchObject({ ok: true })
    expect(await placeOf(near(PURGED))).toBe('KV')
    expect(await placeOf(near(PURGED), 100)).toBe('nowhere')
  })

  it('are read from KV while somebody asks for purges, and not without need', async () => {
    const asked = Promise.withResolvers<KnownPurges>()
    let reads = 0
    const read = () => {
      reads += 1
      return Promise.resolve(hint(100))
    }
    const first = near(asked.promise).look(':v1', read)
    expect(reads).toBe(1)
    asked.resolve(NONE)
    expect(await first).toMatchObject({ held: undefined, hint: { verifiedAt: 100 } })
    const looking = near(NONE)
    await looking.look(':v1', read)
    looking.hold(':v1', answer())
    reads = 0
    expect(await near(Promise.resolve(NONE)).look(':v1', read)).toMatchObject({ held: {} })
    expect(reads).toBe(0)
    expect(await near(Promise.resolve(PURGED)).look(':v1', read)).toEqual({
      held: undefined,
      hint: undefined,
    })
    expect(reads).toBe(1)
  })
})
