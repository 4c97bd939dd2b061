// A random history: what clients do, how time passes and who dies, and between any two of these as much as
// chance allows of what the objects do to each other. All of it follows from the seeds.

import { Client } from './client.ts'
import { IMAGES, TAGS } from './contents.ts'
import { Facts } from './facts.ts'
import { broken, leftOver } from './invariants.ts'
import { Chance } from './random.ts'
import { REPOSITORIES, Registry } from './registry.ts'
import type { Tag } from '../../src/oci/reference.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import { unfinishedUploads } from './state.ts'
import type { SampleBlob, Image } from './contents.ts'
import type { Fate, Happening } from './world.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE

/** No message is on its way longer than this: what comes later than a grace period cannot be told from the new. */
const LONGEST_DELAY = 10 * MINUTE
const FAULTS = 0.03
const REPEATS = 0.15
/** How often something takes until much time passes; a message that comes twice mostly does. */
const SLOW = 0.15
const SLOW_AGAIN = 0.7
/** After so much time without a fault everything has come to rest. */
const REST = 40 * DAY
/** More than any history needs; an object that is never done would go on for ever. */
const MAX_STEPS = 20_000

/** How much time passes at once. */
const PASSES = [1, 11, 11, 61, 61, 3600, 12 * 3600, 25 * 3600].map((time) => time * SECOND)

const ACTS = [
  ['upload', 4],
  ['push', 5],
  ['put', 2],
  ['mount', 3],
  ['head', 1],
  ['delete-blob', 5],
  ['delete-manifest', 3],
  ['delete-tag', 1],
  ['pass', 4],
  ['wait', 4],
  ['kill', 3],
] as const

type Act = (typeof ACTS)[number][0]

/** One thing that is done, and the chance by which all that follows until the next is decided. */
export interface Command {
  readonly act: Act
  readonly seed: number
  readonly repository: RepositoryName
  readonly blob: SampleBlob
  readonly image: Image
  readonly tags: readonly Tag[]
  /** Where a mount takes from. */
  readonly from: RepositoryName
}

/** The commands of a seed. They are about few things, so that they meet. */
export function commandsOf(seed: number): readonly Command[] {
  const chance = new Chance(seed)
  const urn = ACTS.flatMap(([act, weight]) => Array<Act>(weight).fill(act))
  const repositories = [chance.of(REPOSITORIES), chance.of(REPOSITORIES)]
  const images = [chance.of(IMAGES), chance.of(IMAGES)]
  const named = images.flatMap((image) => [...image.blobs, ...image.images.flatMap(blobsOf)])
  const blobs = [chance.of(named), chance.of(named)]
  return Array.from({ length: 8 + chance.below(16) }, () => ({
    act: chance.of(urn),
    seed: chance.below(2 ** 31),
    repository: chance.of(repositories),
    blob: chance.of(blobs),
    image: chance.of(images),
    tags: chance.of([[], TAGS.slice(0, 1), TAGS]),
    from: chance.of(repositories),
  }))
}

function blobsOf({ blobs }: Image): readonly SampleBlob[] {
  return blobs
}

/** Whatever went wrong in a history; nothing if all is well. */
export async function play(commands: readonly Command[]): Promise<readonly string[]> {
  const history = new History()
  return history.play(commands)
}

/** The shortest part of a failing history that still fails, found by leaving out one command after the other. */
export async function shrink(commands: readonly Command[]): Promise<readonly Command[]> {
  let shortest = commands
  for (let index = shortest.length - 1; index >= 0; index--) {
    const shorter = shortest.filter((_, at) => at !== index)
    if ((await play(shorter)).length > 0) shortest = shorter
  }
  return shortest
}

class History {
  #chance = new Chance(0)
  #hasFaults = true
  readonly #facts = new Facts()
  readonly #registry = new Registry({ outlives: () => this.#chance.is(0.5) })
  readonly #client = new Client(this.#registry, this.#facts)
  readonly #log: string[] = []
  readonly #isSlow = new WeakMap<Happening, boolean>()
  #steps = 0
  #problems: readonly string[] = []

  async play(commands: readonly Command[]): Promise<readonly string[]> {
    return this.#registry.world.within(async () => {
      for (const command of commands) {
        this.#chance = new Chance(command.seed)
        if (!(await this.#do(command))) return this.#report()
      }
      await this.#rest()
      return this.#report()
    })
  }

  #report(): readonly string[] {
    return this.#problems.length === 0 ? [] : [...this.#problems, ...this.#log]
  }

  /** Begins an act, and lets some of what follows happen. False: something is wrong. */
  async #do(command: Command): Promise<boolean> {
    const { act } = command
    if (act === 'pass') await this.#pass()
    else if (act === 'kill') this.#kill()
    else if (act !== 'wait') this.#ask(act, command)
    const steps = this.#chance.of(act === 'wait' ? [5, 20, Infinity] : [0, 1, 2, 4, 8, Infinity])
    return this.#steer(steps)
  }

  #ask(act: Exclude<Act, 'pass' | 'kill' | 'wait'>, command: Command): void {
    const { repository, blob, image, tags, from } = command
    const [tag] = TAGS
    const client = this.#client
    const asks = {
      upload: () => client.upload(repository, blob),
      push: () => client.push(repository, image, tags),
      put: () => client.putManifest(repository, image, tags),
      mount: () => client.mount(repository, blob, from),
      head: () => client.head(repository, blob),
      'delete-blob': () => client.deleteBlob(repository, blob),
      'delete-manifest': () => client.deleteManifest(repository, image),
      'delete-tag': async () => tag && client.deleteTag(repository, tag),
    }
    const what = `${act} ${repository}, blob ${blob.name}, ${image.name}:${tags.join()}, from ${from}`
    this.#note(what)
    void asks[act]().then((outcome) => this.#note(`${what}: ${outcome}`))
  }

  async #pass(): Promise<void> {
    const { world } = this.#registry
    const time = this.#chance.of(PASSES)
    this.#note(`${time / SECOND} s pass`)
    if (time < LONGEST_DELAY) {
      await world.pass(world.now + time)
      return
    }
    const until = world.now + time
    await this.#steer(Infinity, true)
    // Sometimes time stops where an alarm is due, and others come while it rings.
    const next = world.next()
    if (next !== undefined && next < until && this.#chance.is(0.5)) await world.pass(next)
    else await this.#passQuietly(until)
  }

  /** Lets time pass, and whatever time brings happen when it does. */
  async #passQuietly(until: number): Promise<boolean> {
    const { world } = this.#registry
    for (;;) {
      const next = world.next()
      if (next === undefined || next > until) break
      await world.pass(next)
      if (!(await this.#steer(Infinity, true))) return false
    }
    await world.pass(until)
    return this.#steer(Infinity, true)
  }

  #kill(): void {
    const { world } = this.#registry
    const { living } = world
    if (living.length === 0) return
    const victims = this.#chance.is(0.3) ? living : [this.#chance.of(living)]
    for (const victim of victims) {
      this.#note(`${victim.slice(0, 24)} dies`)
      world.kill(victim)
    }
  }

  /** Lets so many things happen, in any order. */
  async #steer(steps: number, isFlush = false): Promise<boolean> {
    const { world } = this.#registry
    for (let step = 0; step < steps && this.#isWell(); step++) {
      const due = world.due()
      const pending = isFlush ? world.pending : world.pending.filter((each) => this.#isOnTime(each))
      const choices = pending.length + due.length
      if (choices === 0) break
      const choice = this.#chance.below(choices)
      const happening = pending[choice]
      if (happening === undefined) await this.#ring(due[choice - pending.length] ?? '')
      else await this.#happen(happening)
    }
    return this.#isWell()
  }

  async #ring(name: string): Promise<void> {
    this.#note(`alarm of ${name.slice(0, 24)}`)
    await this.#registry.world.ring(name)
  }

  async #happen(happening: Happening): Promise<void> {
    const { world } = this.#registry
    const { kind, label, mayRepeat } = happening
    if (kind === 'message' && mayRepeat && this.#hasFaults && this.#chance.is(REPEATS)) {
      world.repeat(happening)
    }
    const fate = this.#fate(kind)
    this.#note(`${kind}: ${label} (${fate})`)
    await world.happen(happening, fate)
  }

  /** Some of what is under way takes until much time passes, or chance ends it. */
  #isOnTime(happening: Happening): boolean {
    const isAgain =
      happening.kind === 'message' && happening.life === undefined && happening.mayRepeat
    const known = this.#isSlow.get(happening) ?? this.#chance.is(isAgain ? SLOW_AGAIN : SLOW)
    this.#isSlow.set(happening, known)
    if (known && this.#chance.is(0.01)) this.#isSlow.set(happening, false)
    return this.#isSlow.get(happening) !== true
  }

  #fate(kind: string): Fate {
    if (!this.#hasFaults || kind === 'answer' || !this.#chance.is(2 * FAULTS)) return 'done'
    return this.#chance.is(0.5) ? 'lost' : 'unanswered'
  }

  /** Nothing fails any more, and nobody comes: in the end only what is wanted is left. */
  async #rest(): Promise<void> {
    const { world } = this.#registry
    this.#note('rest')
    this.#hasFaults = false
    if (!(await this.#steer(Infinity, true)) || !(await this.#passQuietly(world.now + REST))) return
    this.#problems = leftOver(this.#registry)
  }

  #isWell(): boolean {
    const { world } = this.#registry
    if (++this.#steps > MAX_STEPS) this.#problems = ['it never comes to rest']
    if (!world.isTouched || this.#problems.length > 0) return this.#problems.length === 0
    world.isTouched = false
    this.#client.bury(unfinishedUploads(this.#registry))
    this.#problems = broken(this.#registry, this.#facts)
    return this.#problems.length === 0
  }

  #note(what: string): void {
    this.#log.push(what)
  }
}
