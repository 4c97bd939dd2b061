// Composition of what is counted: the tally that an isolate keeps, and the way to the one object that adds tallies up.

import { Meter } from '../meter/meter.ts'
import type { Hour, MeterStorage, Scrape } from '../meter/meter.ts'
import { Outbox } from '../meter/outbox.ts'
import type { Delivery } from '../meter/outbox.ts'
import type { StorageFigures } from '../meter/storage.ts'
import { Tally } from '../meter/tally.ts'
import type { Sums } from '../meter/tally.ts'
import type { FillTally } from '../mirror/fill-keeper.ts'
import type { Now, Seams } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { versionedKeys } from '../storage/versioned-keys.ts'
import type { UpstreamTally } from '../upstream/client.ts'

/** The object has so long (milliseconds). */
const WITHIN = 5000
/** The one object of a deployment. */
const NAME = 'meter'

/** What an isolate has counted. */
export interface MeterMemory {
  readonly tally: Tally
  readonly outbox: Outbox
}

/** A dataset of Analytics Engine, where one is bound. */
interface Dataset {
  writeDataPoint(point: {
    readonly indexes: readonly string[]
    readonly blobs: readonly string[]
    readonly doubles: readonly number[]
  }): void
}

/** An isolate that has counted nothing. */
export function meterMemory(): MeterMemory {
  const tally = new Tally()
  return { tally, outbox: new Outbox(tally) }
}

/** Counts, and hands over. */
export class MeterServices {
  readonly tally: Tally
  readonly #env: Env
  readonly #seams: Seams
  readonly #memory: MeterMemory

  constructor(given: { readonly env: Env; readonly seams: Seams; readonly memory: MeterMemory }) {
    this.tally = given.memory.tally
    this.#env = given.env
    this.#seams = given.seams
    this.#memory = given.memory
  }

  /** Hands over what the isolate has counted, after the answer, when it is time for that. */
  settle(by: 'worker' | 'object' = 'worker'): void {
    const { now, defer } = this.#seams
    if (this.#memory.outbox.isDue(now(), by)) defer(this.#handOver())
  }

  /** Counts what an object asks of upstreams. A request of the Worker hands over at its end instead. */
  upstreams(): UpstreamTally {
    const { tally } = this
    return {
      asked: (upstream, status) => {
        tally.asked(upstream, status)
        this.settle('object')
      },
      read: (upstream, bytes) => tally.read(upstream, bytes),
    }
  }

  /** Counts fills; what one has brought is handed over at its end. */
  fills(): FillTally {
    const { tally } = this
    return {
      started: (upstream) => tally.fillStarted(upstream),
      ended: (upstream, result) => {
        tally.fillEnded(upstream, result)
        this.settle('object')
      },
    }
  }

  /** Counts a job that has ended. */
  jobEnded(kind: string, state: string): void {
    this.tally.jobEnded(kind, state)
    this.settle('object')
  }

  /** The totals of the deployment, with what this isolate has counted. @throws when the object is away. */
  async scrape(): Promise<Scrape> {
    const delivery = this.#take()
    const totals = await inTime(this.#stub().scrape(delivery), WITHIN, 'the meter does not answer')
    this.#memory.outbox.delivered(delivery)
    return totals
  }

  /** What each hour of the last 30 days has brought, the oldest first. @throws when the object is away. */
  async hours(): Promise<readonly Hour[]> {
    return inTime(this.#stub().hours(), WITHIN, 'the meter does not answer')
  }

  /** Tells how much is mirrored. @throws when the object is away. */
  async measured(figures: StorageFigures): Promise<void> {
    await inTime(this.#stub().measured(figures), WITHIN, 'the meter does not answer')
  }

  /** How much is mirrored, as it was last measured; `undefined`: never. @throws when the object is away. */
  async storage(): Promise<StorageFigures | undefined> {
    return inTime(this.#stub().storage(), WITHIN, 'the meter does not answer')
  }

  /** What fails is sent again with what is counted until then. */
  async #handOver(): Promise<void> {
    const delivery = this.#take()
    try {
      await inTime(this.#stub().handOver(delivery), WITHIN, 'the meter does not answer')
      this.#memory.outbox.delivered(delivery)
    } catch (error) {
      this.#seams.log('meter-away', { reason: String(error) })
    }
  }

  #take(): Delivery {
    return this.#memory.outbox.take(this.#seams.now(), (sums) => this.#write(sums))
  }

  /** One point for each batch; `docs/metrics.md` says what is where in it. */
  #write(sums: Sums): void {
    const { METRICS } = this.#env as Env & { readonly METRICS?: Dataset }
    try {
      METRICS?.writeDataPoint({ indexes: ['entrepot'], blobs: [], doubles: doublesOf(sums) })
    } catch (error) {
      this.#seams.log('dataset-away', { reason: String(error) })
    }
  }

  #stub() {
    return this.#env.METER.getByName(NAME)
  }
}

/** In the order of `double1`, `double2`, … */
function doublesOf(sums: Sums): readonly number[] {
  return [
    sums.requests,
    sums.errors,
    sums.hits,
    sums.misses,
    sums.cachedBytes,
    sums.passedBytes,
    sums.readBytes,
    sums.upstreamRequests,
    sums.fillsStored,
    sums.fillsFailed,
  ]
}

/** The state behind a `Meter`. */
export function openMeter(storage: DurableObjectStorage, now: Now): Meter {
  const kv = versionedKeys(storage.kv, { version: 1, newer: 'refuse' })
  const kept: MeterStorage = {
    get: (key) => kv.get(key),
    put: (key, value) => kv.put(key, value),
    delete: (key) => void kv.delete(key),
    list: (prefix) => kv.list({ prefix }),
  }
  return new Meter({ storage: kept, now })
}
