// The meter and the boxes that hand over to it: whatever is lost, late or repeated, nothing is counted twice, and
// what is too old goes.

import { describe, expect, it } from 'vitest'
import { Meter } from '../../src/meter/meter.ts'
import type { MeterStorage } from '../../src/meter/meter.ts'
import { Outbox } from '../../src/meter/outbox.ts'
import type { Delivery } from '../../src/meter/outbox.ts'
import { NO_SUMS, Tally } from '../../src/meter/tally.ts'

const SECOND = 1000
const HOUR = 3600 * SECOND
const CALLED = 'entrepot_errors_total{code="UNKNOWN"}'

class Disk implements MeterStorage {
  readonly rows = new Map<string, unknown>()

  get(key: string): unknown {
    return structuredClone(this.rows.get(key))
  }

  put(key: string, value: unknown): void {
    this.rows.set(key, structuredClone(value))
  }

  delete(key: string): void {
    this.rows.delete(key)
  }

  list(prefix: string): Iterable<[string, unknown]> {
    return [...this.rows]
      .filter(([key]) => key.startsWith(prefix))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
}

class World {
  readonly disk = new Disk()
  now = 1_800_000_000_000
  readonly meter = this.wake()

  /** The object as it is after an eviction: what it knows is on disk. */
  wake(): Meter {
    return new Meter({ storage: this.disk, now: () => this.now })
  }

  total(meter = this.meter): number | undefined {
    return meter.scrape({ isolate: 'scrape', batches: [] }).series[CALLED]
  }
}

class Isolate {
  readonly tally = new Tally()
  readonly box = new Outbox(this.tally)
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  count(times: number): void {
    for (let n = 0; n < times; n++) this.tally.error('UNKNOWN')
  }

  take(): Delivery {
    return this.box.take(this.#world.now, () => undefined)
  }

  /** A call whose answer may not come back. */
  handOver(fate: 'answered' | 'lost before' | 'lost after' = 'answered'): void {
    const delivery = this.take()
    if (fate === 'lost before') return
    this.#world.meter.handOver(structuredClone(delivery))
    if (fate === 'answered') this.box.delivered(delivery)
  }
}

describe('handing over', () => {
  it('adds isolates up, and what they hand over later', () => {
    const world = new World()
    const [first, second] = [new Isolate(world), new Isolate(world)]
    for (const isolate of [first, second, first]) {
      isolate.count(2)
      isolate.handOver()
    }
    expect(world.total()).toBe(6)
    expect(world.total(world.wake())).toBe(6)
  })

  it.each(['lost before', 'lost after'] as const)(
    'is repeated where it was %s, and counts once',
    (fate) => {
      const world = new World()
      const isolate = new Isolate(world)
      isolate.count(1)
      isolate.handOver(fate)
      isolate.count(10)
      isolate.handOver(fate)
      isolate.count(100)
      isolate.handOver(fate)
      isolate.count(1000)
      isolate.handOver()
      isolate.handOver()
      expect(world.total()).toBe(1111)
      expect(isolate.take().batches).toEqual([])
    },
  )

  it('counts once whatever the order in which calls arrive', () => {
    const world = new World()
    const isolate = new Isolate(world)
    isolate.count(1)
    const early = isolate.take()
    isolate.count(10)
    const late = isolate.take()
    for (const delivery of [late, early, early, late]) world.meter.handOver(delivery)
    isolate.box.delivered(early)
    expect(isolate.take().batches.map(({ number }) => number)).toEqual([2])
    isolate.box.delivered(late)
    expect(isolate.take().batches).toEqual([])
    expect(world.total()).toBe(11)
  })

  it('keeps two batches at most, and the rest in the tally', () => {
    const world = new World()
    const isolate = new Isolate(world)
    for (let n = 0; n < 5; n++) {
      isolate.count(1)
      isolate.handOver('lost before')
    }
    expect(isolate.take().batches).toHaveLength(2)
    isolate.handOver()
    isolate.handOver()
    expect(world.total()).toBe(5)
  })

  it('is given up after an hour, so that a meter that has forgotten the isolate counts nothing twice', () => {
    const world = new World()
    const isolate = new Isolate(world)
    isolate.count(1)
    isolate.handOver('lost after')
    world.now += 3 * HOUR
    const other = new Isolate(world)
    other.count(10)
    other.handOver()
    isolate.count(100)
    isolate.handOver()
    expect(world.total()).toBe(111)
  })

  it('is due 10 s after the first request, of an object at once, then every 10 s', () => {
    const box = new Outbox(new Tally())
    expect([
      box.isDue(0, 'worker'),
      box.isDue(9999, 'worker'),
      box.isDue(10_000, 'worker'),
    ]).toEqual([false, false, true])
    box.take(10_000, () => undefined)
    expect([box.isDue(19_999, 'worker'), box.isDue(20_000, 'worker')]).toEqual([false, true])
    const own = new Outbox(new Tally())
    expect(own.isDue(0, 'object')).toBe(true)
    own.take(0, () => undefined)
    expect([own.isDue(9999, 'object'), own.isDue(10_000, 'object')]).toEqual([false, true])
  })

  it('of nothing writes nothing', () => {
    const world = new World()
    new Isolate(world).handOver()
    expect(world.total()).toBeUndefined()
    expect(world.disk.rows.size).toBe(0)
  })
})

describe('the meter', () => {
  it('knows since when it counts', () => {
    const world = new World()
    const since = world.now
    const isolate = new Isolate(world)
    isolate.count(1)
    isolate.handOver()
    world.now += HOUR
    expect(world.wake().scrape({ isolate: 'scrape', batches: [] }).since).toBe(since)
  })

  it('keeps the sums of 30 days by hours, and no more', () => {
    const world = new World()
    const isolate = new Isolate(world)
    const first = world.now
    for (let hour = 0; hour < 31 * 24; hour++) {
      isolate.count(1)
      isolate.tally.read('one.test', 1)
      isolate.handOver()
      isolate.tally.read('one.test', 10)
      isolate.handOver()
      world.now += HOUR
    }
    world.now -= HOUR
    const hours = world.meter.hours()
    expect(hours).toHaveLength(30 * 24)
    expect(hours.at(-1)?.at).toBe(Math.floor(world.now / HOUR) * HOUR)
    expect(hours[0]?.at).toBe(Math.floor(first / HOUR) * HOUR + 24 * HOUR)
    for (const { sums } of hours) expect(sums).toEqual({ ...NO_SUMS, readBytes: 11 })
    expect([...world.disk.rows.keys()].filter((key) => key.startsWith('hour:'))).toHaveLength(720)
  })

  it('counts nothing twice that comes again within the hour, whatever it has forgotten', () => {
    const world = new World()
    const [isolate, other] = [new Isolate(world), new Isolate(world)]
    isolate.count(1)
    isolate.handOver('lost after')
    world.now += HOUR - SECOND
    other.count(10)
    other.handOver()
    isolate.handOver()
    expect(world.total()).toBe(11)
  })

  it('remembers isolates for two hours', () => {
    const world = new World()
    for (let n = 0; n < 50; n++) {
      const isolate = new Isolate(world)
      isolate.count(1)
      isolate.handOver()
      world.now += HOUR / 4
    }
    const isolates = [...world.disk.rows.keys()].filter((key) => key.startsWith('isolate:'))
    // Those of the last two hours, and what has come since the hour began.
    expect([isolates.length >= 8, isolates.length <= 12]).toEqual([true, true])
    expect(world.total()).toBe(50)
  })

  it('keeps so many series and no more', () => {
    const world = new World()
    const series = Object.fromEntries(Array.from({ length: 10_050 }, (_, n) => [`a_${n}`, 1]))
    for (const number of [1, 2]) {
      world.meter.handOver({ isolate: 'a', batches: [{ number, series, sums: NO_SUMS }] })
    }
    const kept = Object.values(world.meter.scrape({ isolate: 'b', batches: [] }).series)
    expect([kept.length, new Set(kept)]).toEqual([10_000, new Set([2])])
  })
})
