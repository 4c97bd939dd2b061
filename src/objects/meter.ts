// The shell of the object that adds up what isolates have counted. It needs no configuration, so it has a file of its
// own: a wrong setting loses no count.

import { DurableObject } from 'cloudflare:workers'
import type { Hour, Meter as MeterState, Totals } from '../meter/meter.ts'
import type { Delivery } from '../meter/outbox.ts'
import { openMeter } from '../services/meter.ts'

/** What is counted: one object for the deployment. */
export class Meter extends DurableObject<Env> {
  #opened: MeterState | undefined

  handOver(delivery: Delivery): void {
    this.#open().handOver(delivery)
  }

  scrape(delivery: Delivery): Totals {
    return this.#open().scrape(delivery)
  }

  hours(): readonly Hour[] {
    return this.#open().hours()
  }

  #open(): MeterState {
    this.#opened ??= openMeter(this.ctx.storage, () => Date.now())
    return this.#opened
  }
}
