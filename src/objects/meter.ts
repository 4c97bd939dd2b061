// The shell of the object that adds up what isolates have counted. It needs no configuration, so it has a file of its
// own: a wrong setting loses no count.

import { DurableObject } from 'cloudflare:workers'
import type { Hour, Meter as MeterState, Scrape } from '../meter/meter.ts'
import type { Delivery } from '../meter/outbox.ts'
import type { StorageFigures } from '../meter/storage.ts'
import { openMeter } from '../services/meter.ts'

/** What is counted: one object for the deployment. */
export class Meter extends DurableObject<Env> {
  #opened: MeterState | undefined

  handOver(delivery: Delivery): void {
    this.#open().handOver(delivery)
  }

  scrape(delivery: Delivery): Scrape {
    return this.#open().scrape(delivery)
  }

  hours(): readonly Hour[] {
    return this.#open().hours()
  }

  measured(figures: StorageFigures): void {
    this.#open().measured(figures)
  }

  storage(): StorageFigures | undefined {
    return this.#open().storage()
  }

  #open(): MeterState {
    this.#opened ??= openMeter(this.ctx.storage, () => Date.now())
    return this.#opened
  }
}
