// What clients have been promised. Nothing here knows how the registry works: who was told that something is
// there finds it until somebody deletes it, and who was told that it is deleted does not find it.

/** What a client does to one thing. */
export type Deed = 'write' | 'touch' | 'delete'

let clock = 0

/** A deed that is under way. */
export interface Doing {
  readonly deed: Deed
  readonly since: number
}

/** One blob, manifest or tag of one repository. */
export class Fact {
  /** Until when it must be there (milliseconds); for ever only by what names it. */
  until = -Infinity
  /** Whether it must not be there. */
  isGone = false
  /** What it must be, e.g. what a tag must point at; undefined: whatever. */
  value: string | undefined
  /** Since when whatever it names must be there, at the earliest. */
  putSince = 0
  /** Whether its row was there when that was last looked at. */
  hasStood = false
  #writing = 0
  #deleting = 0
  #lastWrite = 0
  #lastDelete = 0

  /** Whether it may be missing in spite of something that has named it since then. */
  mayLack(since: number): boolean {
    return this.#deleting > 0 || this.#lastDelete > since
  }

  get isWriting(): boolean {
    return this.#writing > 0
  }

  begin(deed: Deed): Doing {
    clock += 1
    if (deed === 'write') {
      this.#writing += 1
      this.#lastWrite = clock
      this.isGone = false
      this.value = undefined
    }
    if (deed === 'delete') {
      this.#deleting += 1
      this.#lastDelete = clock
      this.until = -Infinity
      this.value = undefined
    }
    return { deed, since: clock }
  }

  /** `until` and `value`: what is promised if nothing came in between. */
  end({ deed, since }: Doing, isDone: boolean, until = -Infinity, value?: string): void {
    clock += 1
    if (deed === 'delete') {
      this.#deleting -= 1
      this.#lastDelete = clock
      this.isGone = isDone && this.#writing === 0 && this.#lastWrite < since
      return
    }
    const isPromised = isDone && this.#deleting === 0 && this.#lastDelete < since
    if (isPromised) this.until = Math.max(this.until, until)
    if (deed === 'touch') return
    this.#writing -= 1
    const isLast = this.#writing === 0 && this.#lastWrite === since
    if (isPromised && isLast) this.value = value
    this.#lastWrite = clock
  }
}

/** Facts by name. */
export class Facts {
  readonly #facts = new Map<string, Fact>()

  of(...names: readonly string[]): Fact {
    const name = names.join(' ')
    const fact = this.#facts.get(name) ?? new Fact()
    this.#facts.set(name, fact)
    return fact
  }

  get all(): ReadonlyMap<string, Fact> {
    return this.#facts
  }
}
