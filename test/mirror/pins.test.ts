// Pins as a ledger follows them, on a clock: when a tag is checked, what has its image fetched and how often, and what
// is waited for.

import { beforeEach, describe, expect, it } from 'vitest'
import { PinnedReferences } from '../../src/mirror/pinned.ts'
import type { PinnedReference } from '../../src/mirror/pinned.ts'
import type { Refreshed } from '../../src/mirror/inventory.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { formatReference } from '../../src/oci/reference.ts'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import { HOUR, MINUTE, SECOND } from '../support/clock.ts'
import { reference, repository } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const TTL = 10 * MINUTE
const AHEAD = 8 * MINUTE

let now: number
let values: Map<string, unknown>
let alarmAt: number | undefined
/** What the upstream says of every tag, and what the ledger had before. */
let digest: Digest
let failure: UpstreamFailure | undefined
let isStale: boolean
let ttl: number | undefined
const known = new Map<string, Digest>()
let contact: 'all' | 'unknown' | 'none'
/** Whether an order is taken; `undefined`: storage is away. */
let takes: boolean | undefined
/** What was done, in order. */
let done: string[]
let pinned: PinnedReferences
let one: Digest
let two: Digest

beforeEach(async () => {
  one = await digestOf(new Uint8Array(1))
  two = await digestOf(new Uint8Array(2))
  now = Date.UTC(2026, 0, 1)
  values = new Map()
  alarmAt = undefined
  digest = one
  failure = undefined
  isStale = false
  ttl = TTL
  known.clear()
  known.set('v1', one)
  known.set('v2', one)
  contact = 'all'
  takes = true
  done = []
  pinned = create()
})

/** The same again is the one after an eviction. */
function create(): PinnedReferences {
  return new PinnedReferences({
    storage: {
      kv: {
        get: (key: string) => structuredClone(values.get(key)),
        put: (key, value) => void values.set(key, structuredClone(value)),
        delete: (key) => values.delete(key),
      },
      setAlarm: async (at) => {
        alarmAt = Number(at)
      },
      deleteAlarm: async () => {
        alarmAt = undefined
      },
    },
    ledger: () => ({
      pin: async (of, isPinned) => {
        done.push(`${isPinned ? 'pin' : 'unpin'} ${formatReference(of)}`)
      },
      refresh: async (tag): Promise<Refreshed> => {
        done.push(`check ${tag}`)
        const before = known.get(tag)
        if (failure !== undefined) return { before, answer: { ok: false, failure } }
        if (!isStale) known.set(tag, digest)
        const answer = {
          ok: true as const,
          digest,
          mediaType: 'application/json',
          bytes: undefined,
          outcome: isStale ? ('stale' as const) : ('hit' as const),
          verifiedAt: now,
          until: now,
          warning: undefined,
        }
        return { before, answer }
      },
    }),
    ttl: () => ttl,
    contact: async () => contact,
    order: async (_, { reference: of, platforms }) => {
      done.push(`order ${[formatReference(of), ...(platforms ?? [])].join(' ')}`)
      if (takes === undefined) throw new Error('storage is away')
      return takes
    },
    now: () => now,
    log: () => undefined,
  })
}

function pin(text = 'v1', platforms?: readonly string[]): PinnedReference {
  return { reference: reference(text), platforms }
}

/** Lets the clock run to the next alarm; how long that took and what was done. */
async function next(): Promise<readonly [number | undefined, readonly string[]]> {
  done = []
  if (alarmAt === undefined) return [undefined, []]
  const wait = alarmAt - now
  now = alarmAt
  await create().alarm()
  return [wait, done]
}

describe('a pinned tag', () => {
  it('is checked at 80 % of its TTL, time after time, and nothing is fetched while it stays', async () => {
    await pinned.follow(NAME, [pin()], true)
    expect(done).toEqual(['pin v1'])
    for (let n = 0; n < 3; n++) expect(await next()).toEqual([AHEAD, ['check v1']])
  })

  it('that has moved has its image fetched, once', async () => {
    await pinned.follow(NAME, [pin('v1', ['linux/amd64'])], true)
    await next()
    digest = two
    expect(await next()).toEqual([AHEAD, ['check v1', 'order v1 linux/amd64']])
    expect(await next()).toEqual([AHEAD, ['check v1']])
    digest = one
    expect(await next()).toEqual([AHEAD, ['check v1', 'order v1 linux/amd64']])
  })

  it('whose fetching is under way is ordered again in a minute, without a check', async () => {
    await pinned.follow(NAME, [pin()], true)
    await next()
    digest = two
    takes = false
    expect(await next()).toEqual([AHEAD, ['check v1', 'order v1']])
    expect(await next()).toEqual([MINUTE, ['order v1']])
    takes = undefined
    expect(await next()).toEqual([MINUTE, ['order v1']])
    takes = true
    expect(await next()).toEqual([MINUTE, ['order v1']])
    expect(await next()).toEqual([AHEAD, ['check v1']])
  })

  it('is fetched when nobody has ordered it, though the tag is known', async () => {
    await pinned.follow(NAME, [pin()], false)
    expect(await next()).toEqual([MINUTE, ['check v1', 'order v1']])
    expect(await next()).toEqual([AHEAD, ['check v1']])
  })

  it('is fetched again when the ledger has forgotten what it pointed at', async () => {
    await pinned.follow(NAME, [pin()], true)
    await next()
    known.clear()
    expect(await next()).toEqual([AHEAD, ['check v1', 'order v1']])
    expect(await next()).toEqual([AHEAD, ['check v1']])
  })

  it('is checked once a minute at most, however short its TTL', async () => {
    ttl = 0
    await pinned.follow(NAME, [pin()], true)
    expect(await next()).toEqual([MINUTE, ['check v1']])
    expect(await next()).toEqual([MINUTE, ['check v1']])
  })

  it('of an upstream that is not configured any more is let be', async () => {
    await pinned.follow(NAME, [pin()], true)
    ttl = undefined
    expect(await next()).toEqual([AHEAD, []])
    expect(alarmAt).toBeUndefined()
  })
})

describe('a check that fails', () => {
  it.each<[string, () => void]>([
    ['it is away', () => (failure = { kind: 'unavailable', isTimeout: false, reason: '' })],
    ['it is not there', () => (failure = { kind: 'not-found' })],
    ['what is stored was served', () => (isStale = true)],
  ])('is tried again ever later, an hour at most: %s', async (_, fail) => {
    await pinned.follow(NAME, [pin()], true)
    await next()
    fail()
    const waits: (number | undefined)[] = []
    for (let n = 0; n < 9; n++) waits.push((await next())[0])
    const minutes = waits.map((wait = 0) => wait / MINUTE)
    expect(minutes).toEqual([8, 1, 2, 4, 8, 16, 32, 60, 60])
    failure = undefined
    isStale = false
    expect((await next())[0]).toBe(HOUR)
    expect(await next()).toEqual([AHEAD, ['check v1']])
  })

  it('waits as long as the upstream says', async () => {
    await pinned.follow(NAME, [pin()], true)
    await next()
    failure = { kind: 'rate-limited', retryAfter: 7200 }
    await next()
    expect((await next())[0]).toBe(2 * HOUR)
  })

  it('puts off the other tags too, but not for what is wrong with one', async () => {
    await pinned.follow(NAME, [pin('v1'), pin('v2')], true)
    failure = { kind: 'not-found' }
    expect((await next())[1]).toEqual(['check v1', 'check v2'])
    failure = { kind: 'rate-limited', retryAfter: 600 }
    expect((await next())[1]).toEqual(['check v1'])
    failure = undefined
    expect((await next())[0]).toBe(600 * SECOND)
  })
})

describe('while the upstream may not be asked', () => {
  it.each(['none', 'unknown'] as const)(
    'nothing is checked (%s), a minute at a time',
    async (may) => {
      await pinned.follow(NAME, [pin('v1'), pin('v2')], true)
      contact = may
      expect(await next()).toEqual([AHEAD, []])
      expect(await next()).toEqual([MINUTE, []])
      contact = 'all'
      expect(await next()).toEqual([MINUTE, ['check v1', 'check v2']])
    },
  )
})

describe('pins', () => {
  it('of a digest are fetched where nobody has, and never checked', async () => {
    await pinned.follow(NAME, [pin(one)], true)
    expect(alarmAt).toBeUndefined()
    await pinned.follow(NAME, [pin(two)], false)
    expect(await next()).toEqual([MINUTE, [`order ${two}`]])
    expect(alarmAt).toBeUndefined()
  })

  it('that are told again change nothing, and bring back a lost alarm', async () => {
    await pinned.follow(NAME, [pin()], true)
    const before = structuredClone(values)
    alarmAt = undefined
    now += MINUTE
    await pinned.follow(NAME, [pin()], false)
    expect(values).toEqual(before)
    expect(await next()).toEqual([7 * MINUTE, ['check v1']])
  })

  it('for other platforms are another pin of the image', async () => {
    await pinned.follow(NAME, [pin('v1', ['linux/amd64'])], true)
    await pinned.follow(NAME, [pin('v1', ['linux/arm64', 'linux/amd64'])], false)
    expect((await next())[1]).toEqual(['check v1', 'order v1 linux/arm64 linux/amd64'])
    await pinned.follow(NAME, [pin('v1', ['linux/amd64', 'linux/arm64'])], false)
    expect((await next())[1]).toEqual(['check v1'])
  })

  it('end: the one that is let go is not checked any more, and the last one leaves nothing', async () => {
    await pinned.follow(NAME, [pin('v1'), pin('v2')], true)
    await pinned.unfollow(NAME, reference('v1'))
    expect(done.at(-1)).toBe('unpin v1')
    expect((await next())[1]).toEqual(['check v2'])
    await pinned.unfollow(NAME, reference('v2'))
    expect([values.size, alarmAt]).toEqual([0, undefined])
    await pinned.unfollow(NAME, reference('v2'))
    expect(done.at(-1)).toBe('unpin v2')
  })

  it('that are lost with the storage of the object end with its alarm', async () => {
    await pinned.follow(NAME, [pin()], true)
    values.clear()
    expect(await next()).toEqual([AHEAD, []])
    expect(alarmAt).toBeUndefined()
  })
})
