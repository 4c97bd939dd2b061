// One cell of the crash matrix: a flow during which somebody dies at one moment, what stands after that, and
// what a client finds that tries again.

import { Client } from './client.ts'
import type { Outcome } from './client.ts'
import { Facts } from './facts.ts'
import type { Flow } from './flows.ts'
import { broken, leftOver } from './invariants.ts'
import { Registry } from './registry.ts'
import { ledgers, unfinishedUploads } from './state.ts'
import type { Moment } from './world.ts'

/** Who dies: all objects, the one that asks, or the one that is asked. */
export type Victim = 'all' | 'sender' | 'receiver'

/** When the client tries again; `never`: only alarms clean up. */
export type Retry = 'at-once' | 'after-alarms' | 'never'

/** What to try. */
export interface Crash {
  readonly flow: Flow
  /** The moment, counted from the start of the flow; Infinity: nobody dies. */
  readonly at: number
  readonly victim: Victim
  /** Whether an operation under way has its effect although its object has died. */
  readonly outlives: boolean
  readonly retry: Retry
}

/** What was seen. */
export interface Seen {
  /** Moments of the flow, its deferred work and the first alarms included. */
  readonly moments: number
  /** The moment at which somebody died, in words. */
  readonly moment: string
  readonly problems: readonly string[]
}

const MINUTE = 60_000
const REST = 40 * 24 * 60 * MINUTE

/** Plays it. */
export function crash(what: Crash): Promise<Seen> {
  return new Attempt(what).play()
}

class Attempt {
  readonly #what: Crash
  readonly #facts = new Facts()
  readonly #registry: Registry
  readonly #client: Client
  readonly #problems: string[] = []
  #isWatched = false
  #moments = 0
  #moment = ''

  constructor(what: Crash) {
    this.#what = what
    this.#registry = new Registry({
      outlives: () => what.outlives,
      watch: (moment) => this.#watch(moment),
    })
    this.#client = new Client(this.#registry, this.#facts)
  }

  play(): Promise<Seen> {
    const { flow, retry } = this.#what
    const { world } = this.#registry
    return world.within(async () => {
      this.#expect('done', await this.#run(() => flow.before(this.#client)), 'before')
      this.#isWatched = true
      const outcome = await this.#run(() => flow.run(this.#client))
      if (outcome === 'done') this.#expectDone('the client was told')
      // The first alarms belong to the flow.
      if (retry !== 'at-once') await this.#pass(world.now + (flow.lasts ?? 2 * MINUTE))
      this.#isWatched = false
      if (retry !== 'never') await this.#retry()
      await this.#pass(world.now + REST)
      this.#problems.push(...leftOver(this.#registry))
      const problems = [...new Set(this.#problems)]
      return { moments: this.#moments, moment: this.#moment, problems }
    })
  }

  /** A client may fail a few times: what is half done is in its way until the alarms come. */
  async #retry(): Promise<void> {
    const { flow } = this.#what
    await this.#run(() => flow.run(this.#client))
    this.#expectDone('the client has tried again')
  }

  #expect(wanted: Outcome, outcome: Outcome, when: string): void {
    if (outcome !== wanted) this.#problems.push(`${when}: ${outcome}`)
  }

  #expectDone(when: string): void {
    const states = new Map(ledgers(this.#registry).map((each) => [each.repository, each]))
    if (!this.#what.flow.isDone(states)) this.#problems.push(`not done although ${when}`)
  }

  /** Runs a request to its end, and everything that it leaves behind but alarms. */
  async #run(request: () => Promise<Outcome>): Promise<Outcome> {
    let outcome: Outcome = 'failed'
    const running = request().then((end) => {
      outcome = end
    })
    await this.#drain()
    await running
    return outcome
  }

  async #drain(): Promise<void> {
    const { world } = this.#registry
    for (;;) {
      const [first] = world.pending
      const [due] = world.due()
      if (first !== undefined) await world.happen(first, 'done')
      else if (due === undefined) return
      else await world.ring(due)
      this.#client.bury(unfinishedUploads(this.#registry))
      this.#problems.push(...broken(this.#registry, this.#facts))
    }
  }

  async #pass(until: number): Promise<void> {
    const { world } = this.#registry
    for (;;) {
      const next = world.next()
      if (next === undefined || next > until) break
      await world.pass(next)
      await this.#drain()
    }
    await world.pass(until)
    await this.#drain()
  }

  #watch({ when, label, by, to }: Moment): void {
    // Whoever dies around a question dies after what came before it.
    if (!this.#isWatched || label === 'getAlarm') return
    this.#moments += 1
    if (this.#moments !== this.#what.at) return
    this.#moment = `${when} ${label}`
    const { world } = this.#registry
    const { victim } = this.#what
    const name = victim === 'sender' ? by : to
    const victims = victim === 'all' ? world.living : [name ?? '']
    for (const each of victims) world.kill(each)
  }
}
