// Everything that happens between objects, one thing at a time: operations of storage, messages, answers,
// timers and alarms. Whoever drives the world chooses what comes next, what fails, and who dies.

import { DigestStream } from './contents.ts'
import { Disk, storageOf } from './disk.ts'
import type { Life, Settle } from './disk.ts'

/** What becomes of an operation or a message: it has its effect, with or without an answer, or none. */
export type Fate = 'done' | 'lost' | 'unanswered'

/** Something that waits to happen. */
export interface Happening {
  readonly kind: 'storage' | 'message' | 'answer'
  readonly label: string
  /** Who waits for it; nobody waits for a message that came twice. */
  readonly life: Life | undefined
  /** Whether it may come twice, and late: also when its sender has died. */
  readonly mayRepeat: boolean
  readonly run: (fate: Fate) => void
  /** Its effect, with nobody waiting; an answer has none. */
  readonly alone: (() => void) | undefined
}

/** An object that can be woken. */
export interface Wakeable {
  alarm(): Promise<void>
}

interface Incarnation {
  readonly life: Life
  readonly object: Wakeable
  /** Tells callers that the object has died. */
  readonly callers: Set<(error: Error) => void>
}

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** A point at which an object may die: around an operation of `by`, or a message from it to `to`. */
export interface Moment {
  readonly when: 'before' | 'after'
  readonly label: string
  readonly by: string
  readonly to: string | undefined
}

/** What a world is given. */
export interface WorldGiven {
  readonly make: (name: string, life: Life, storage: DurableObjectStorage) => Wakeable
  /** Told of every moment; it may kill. */
  readonly watch?: (moment: Moment) => void
  /** Whether an operation that was under way when its object died has its effect nevertheless. */
  readonly outlives: () => boolean
}

interface Operation<Value> {
  readonly life: Life
  readonly label: string
  readonly effect: () => Value
}

interface Message<Target, Value> {
  /** Undefined: a client. */
  readonly life: Life | undefined
  readonly label: string
  readonly to: string
  readonly mayRepeat?: boolean
  readonly call: (target: Target) => Value | Promise<Value>
}

const START = Date.parse('2026-10-01T00:00:00Z')
const never = () => new Promise<never>(() => undefined)

/** Objects, what they store, and what is under way between them. */
export class World {
  now = START
  readonly pending: Happening[] = []
  readonly disks = new Map<string, Disk>()
  /** What must never happen, and did. */
  readonly violations: string[] = []
  /** Whether anything has changed since this was last set to false. */
  isTouched = true
  readonly #given: WorldGiven
  readonly #incarnations = new Map<string, Incarnation>()
  readonly #timers = new Map<number, Timer>()
  #lastTimer = 0

  constructor(given: WorldGiven) {
    this.#given = given
  }

  touch(): void {
    this.isTouched = true
  }

  /** An operation of R2. */
  operate<Value>({ life, label, effect }: Operation<Value>): Promise<Value> {
    if (life.isDead) return never()
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    const run = (fate: Fate) => {
      if (!this.#survives('before', label, life)) return
      let answer = () => reject(new Error(`${label}: storage is away (10001)`))
      try {
        const value = fate === 'lost' ? undefined : { is: effect() }
        if (fate === 'done' && value !== undefined) answer = () => resolve(value.is)
      } catch (error) {
        answer = () => reject(error)
      }
      if (this.#survives('after', label, life)) this.#answer(label, life, answer)
    }
    this.pending.push({ kind: 'storage', label, life, mayRepeat: false, run, alone: effect })
    return promise
  }

  /** A message to another object. */
  send<Target, Value>(message: Message<Target, Value>): Promise<Value> {
    const { life, label, to, mayRepeat = false } = message
    if (life?.isDead === true) return never()
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    // What has died meanwhile may wait in vain.
    promise.catch(() => undefined)
    const run = (fate: Fate) => {
      const fail = (error: unknown) => this.#answer(label, life, () => reject(error))
      if (!this.#survives('before', label, life, to) || fate === 'lost') {
        fail(new Error(`${label}: the object is away`))
        return
      }
      const { life: target, answer } = this.#call(message)
      answer.then((value) => {
        this.#survives('after', label, life, to)
        if (fate === 'done' && !target.isDead) this.#answer(label, life, () => resolve(value))
        else fail(new Error(`${label}: the answer is lost`))
      }, fail)
    }
    const alone = () => void this.#call(message).answer.catch(() => undefined)
    this.pending.push({ kind: 'message', label, life, mayRepeat, run, alone })
    return promise
  }

  /** Lets something that waits happen. */
  async happen(happening: Happening, fate: Fate): Promise<void> {
    const index = this.pending.indexOf(happening)
    if (index >= 0) this.pending.splice(index, 1)
    happening.run(fate)
    await drained()
  }

  /** A message comes once more, sometime, with nobody waiting for an answer. */
  repeat({ kind, label, alone }: Happening): void {
    if (alone === undefined) return
    this.pending.push({ kind, label, life: undefined, mayRepeat: true, run: alone, alone })
  }

  /** Names of objects whose alarm is due. */
  due(): readonly string[] {
    return [...this.disks].flatMap(([name, { alarm, isRinging }]) =>
      alarm !== null && alarm <= this.now && !isRinging ? [name] : [],
    )
  }

  /** Wakes an object. */
  async ring(name: string): Promise<void> {
    const disk = this.disk(name)
    disk.isRinging = true
    disk.hasSetAlarm = false
    const { life, object } = this.#incarnation(name)
    object.alarm().then(
      () => {
        if (life.isDead) return
        disk.isRinging = false
        if (!disk.hasSetAlarm) disk.alarm = null
      },
      (error: unknown) => {
        if (!life.isDead) this.violations.push(`the alarm of ${name} throws: ${String(error)}`)
      },
    )
    await drained()
  }

  /** An object dies: nothing is left of it but its disk. */
  kill(name: string): void {
    const incarnation = this.#incarnations.get(name)
    if (incarnation === undefined) return
    const { life, callers } = incarnation
    life.isDead = true
    this.#incarnations.delete(name)
    this.disk(name).isRinging = false
    const own = this.pending.filter((each) => each.life === life)
    for (const each of own) {
      this.pending.splice(this.pending.indexOf(each), 1)
      this.#bury(each)
    }
    for (const fail of callers) fail(new Error(`${name} has died`))
  }

  /** Names of the objects that live. */
  get living(): readonly string[] {
    return [...this.#incarnations.keys()]
  }

  /** The next time at which a timer or an alarm comes; undefined if none will. */
  next(): number | undefined {
    const alarms = [...this.disks.values()].flatMap(({ alarm, isRinging }) =>
      alarm === null || isRinging ? [] : [alarm],
    )
    const times = [...alarms, ...[...this.#timers.values()].map(({ at }) => at)]
    return times.length === 0 ? undefined : Math.max(this.now, Math.min(...times))
  }

  /** Lets time pass, and with it the deadlines of whoever waits. */
  async pass(until: number): Promise<void> {
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= until)
      const [first] = due.toSorted(([, a], [, b]) => a.at - b.at)
      if (first === undefined) break
      const [id, { at, run }] = first
      this.now = Math.max(this.now, at)
      this.#timers.delete(id)
      run()
      await drained()
    }
    this.now = Math.max(this.now, until)
  }

  /** The storage of an object, which need not live. */
  disk(name: string): Disk {
    const disk = this.disks.get(name) ?? new Disk(() => this.touch())
    this.disks.set(name, disk)
    return disk
  }

  /** Runs `work` with the timers and ids of this world in the place of the platform's, and with what Node lacks. */
  async within<Value>(work: () => Promise<Value>): Promise<Value> {
    const { setTimeout: set, clearTimeout: clear } = globalThis
    const fake = (run: () => void, milliseconds = 0): number => {
      this.#timers.set(++this.#lastTimer, { at: this.now + milliseconds, run })
      return this.#lastTimer
    }
    const unset = (id: number) => void this.#timers.delete(id)
    let id = 0
    const uuid = () => `00000000-0000-4000-8000-${String(++id).padStart(12, '0')}`
    Object.assign(globalThis, { setTimeout: fake, clearTimeout: unset })
    Object.defineProperty(crypto, 'randomUUID', { value: uuid, configurable: true })
    Object.defineProperty(crypto, 'DigestStream', { value: DigestStream, configurable: true })
    try {
      return await work()
    } finally {
      Object.assign(globalThis, { setTimeout: set, clearTimeout: clear })
      // The platform's own stands behind it.
      Reflect.deleteProperty(crypto, 'randomUUID')
      Reflect.deleteProperty(crypto, 'DigestStream')
      for (const disk of this.disks.values()) disk.close()
    }
  }

  #call<Target, Value>({
    to,
    call,
  }: Message<Target, Value>): {
    readonly life: Life
    readonly answer: Promise<Value>
  } {
    const { life, object, callers } = this.#incarnation(to)
    const { promise: answer, resolve, reject } = Promise.withResolvers<Value>()
    callers.add(reject)
    const end = (settle: () => void) => {
      callers.delete(reject)
      if (!life.isDead) settle()
    }
    // A process is started by a name and called by the type of its class, which only its caller knows.
    const work = (async () => call(object as unknown as Target))()
    work.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    )
    return { life, answer }
  }

  #answer(label: string, life: Life | undefined, run: () => void): void {
    if (life?.isDead === true) return
    this.pending.push({ kind: 'answer', label, life, mayRepeat: false, run, alone: undefined })
  }

  /** Whether whoever waits lives, after all that may die at this moment has died. */
  #survives(when: Moment['when'], label: string, life: Life | undefined, to?: string): boolean {
    this.#given.watch?.({ when, label, by: life?.name ?? 'client', to })
    return life?.isDead !== true
  }

  /** What becomes of that which waits for an object that has died. */
  #bury(happening: Happening): void {
    const { mayRepeat, alone } = happening
    if (mayRepeat) this.repeat(happening)
    else if (this.#given.outlives()) alone?.()
  }

  #incarnation(name: string): Incarnation {
    const known = this.#incarnations.get(name)
    if (known !== undefined) return known
    const life: Life = { name, isDead: false }
    const settle: Settle = async (what, effect) => {
      if (life.isDead || !this.#survives('before', what, life)) return never()
      const value = effect()
      // Nothing else comes to an object while it waits for its own storage (the platform's input gate).
      return this.#survives('after', what, life) ? value : never()
    }
    const object = this.#given.make(name, life, storageOf(this.disk(name), life, settle))
    const made = { life, object, callers: new Set<(error: Error) => void>() }
    this.#incarnations.set(name, made)
    return made
  }
}

/** Resolves when nothing goes on any more until something happens. */
export async function drained(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve)
  })
}
