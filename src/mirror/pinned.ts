// What is pinned of one repository, as its ledger has it: tags are checked before anybody finds them old, and what one
// has moved to is fetched. The ledger may lose this at any time; whoever keeps pins tells it again.

import { formatReference } from '../oci/reference.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { Log, Now } from '../seams.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { UpstreamFailure } from '../upstream/error.ts'
import type { Refreshed } from './inventory.ts'

/** The share of its TTL after which a pinned tag is checked. */
const AHEAD = 0.8
/** No tag is checked more often, and what could not be done is tried again after so long (milliseconds) … */
const PAUSE = 60_000
/** … after twice that the next time, and so on up to this. */
const MAX_PAUSE = 60 * 60 * 1000
/** Checks of one alarm end by then (milliseconds). */
const STEP = 60_000
/** What these say of one tag, they say of no other. */
const OF_TAG: readonly UpstreamFailure['kind'][] = ['not-found', 'invalid']

const PINNED = 'pinned'

/** What is pinned: a tag or a digest, for some platforms or for all. */
export interface PinnedReference {
  readonly reference: Reference
  readonly platforms: readonly string[] | undefined
}

interface Followed extends PinnedReference {
  /** Milliseconds. */
  readonly dueAt: number
  /** Checks that have failed one after the other. */
  readonly failures: number
  /** Whether whoever pinned it has had it fetched. */
  readonly isOrdered: boolean
  /** What the tag was last seen to point at, and what of that was fetched; `undefined`: nothing yet. */
  readonly seen: Digest | undefined
  readonly fetched: Digest | undefined
}

/** How a pin stands after an alarm; `isOfAll`: what has failed would fail for any other tag too. */
interface Attended {
  readonly after: Followed
  readonly isOfAll: boolean
}

interface Pinned {
  /** The alarm has no other way to know it. */
  readonly name: MirroredName
  readonly followed: readonly Followed[]
}

/** The part of an object's storage that is used here. */
export interface PinnedStorage extends Pick<DurableObjectStorage, 'setAlarm' | 'deleteAlarm'> {
  readonly kv: {
    get(key: string): unknown
    put(key: string, value: unknown): void
    delete(key: string): unknown
  }
}

/** The ledger of the repository, as far as pins go. */
export interface PinnedLedger {
  pin(reference: Reference, isPinned: boolean): Promise<void>
  refresh(tag: Tag): Promise<Refreshed>
}

/** What following pins needs. */
export interface PinnedGiven {
  readonly storage: PinnedStorage
  readonly ledger: (name: MirroredName) => PinnedLedger
  /** The TTL of a tag (milliseconds); `undefined`: its upstream is not configured any more. */
  readonly ttl: (name: MirroredName, tag: Tag) => number | undefined
  /** What the upstream may be asked for. Never rejects. */
  readonly contact: (host: string) => Promise<'all' | 'unknown' | 'none'>
  /** Has an image fetched; false while that has been ordered and is not done. */
  readonly order: (name: MirroredName, what: PinnedReference) => Promise<boolean>
  readonly now: Now
  readonly log: Log
}

/** Follows the pins of one repository. */
export class PinnedReferences {
  readonly #given: PinnedGiven

  constructor(given: PinnedGiven) {
    this.#given = given
  }

  /** Pins these; what was pinned before stays as it is. `isOrdered`: their caller has had them fetched. */
  async follow(
    name: MirroredName,
    pins: readonly PinnedReference[],
    isOrdered: boolean,
  ): Promise<void> {
    const ledger = this.#given.ledger(name)
    for (const { reference } of pins) await ledger.pin(reference, true)
    const followed = this.#read()?.followed ?? []
    const isKnown = (pin: PinnedReference): boolean =>
      followed.some((each) => isSame(each, pin) && hasSamePlatforms(each, pin))
    const added = pins.filter((pin) => !isKnown(pin))
    const kept = followed.filter((each) => !added.some((pin) => isSame(each, pin)))
    const begun = added.map((pin) => this.#begun(name, pin, isOrdered))
    // Set anew in any case: an alarm, too, may be lost.
    await this.#keep({ name, followed: [...kept, ...begun] })
  }

  /** Pins it no more. */
  async unfollow(name: MirroredName, reference: Reference): Promise<void> {
    await this.#given.ledger(name).pin(reference, false)
    const pinned = this.#read()
    if (pinned === undefined) return
    const followed = pinned.followed.filter((each) => !isSame(each, { reference }))
    await this.#keep({ name, followed })
  }

  /** Checks the tags whose time it is. */
  async alarm(): Promise<void> {
    const { now } = this.#given
    const end = now() + STEP
    const pinned = this.#read()
    if (pinned === undefined) return this.#given.storage.deleteAlarm()
    for (const each of pinned.followed) {
      if (each.dueAt > now() || now() >= end) continue
      const { after, isOfAll } = await this.#attend(pinned.name, each)
      this.#put(after)
      if (!isOfAll) continue
      this.#putOff(after.dueAt)
      break
    }
    const left = this.#read()
    if (left === undefined) return this.#given.storage.deleteAlarm()
    await this.#setAlarm(left)
  }

  async #attend(name: MirroredName, each: Followed): Promise<Attended> {
    const { now, contact, log } = this.#given
    const soon = now() + PAUSE
    try {
      // What was seen before is ordered first: of that, the upstream is not asked again.
      if (each.seen !== each.fetched) {
        return await this.#order(name, each)
      }
      if ((await contact(name.host)) !== 'all') {
        return { after: { ...each, dueAt: soon }, isOfAll: true }
      }
      return await this.#check(name, each)
    } catch (error) {
      log('pin-not-followed', { repository: canonicalName(name), reason: String(error) })
      return { after: this.#failed(each, 0), isOfAll: false }
    }
  }

  async #check(name: MirroredName, each: Followed): Promise<Attended> {
    const dueAt = this.#nextCheck(name, each)
    if (each.reference.kind !== 'tag' || dueAt === Infinity) {
      return { after: { ...each, dueAt }, isOfAll: false }
    }
    const { before, answer } = await this.#given.ledger(name).refresh(each.reference.tag)
    if (!answer.ok) return this.#refused(each, answer.failure)
    // What has failed is not told with what is served all the same.
    if (answer.outcome === 'stale') return { after: this.#failed(each, 0), isOfAll: true }
    const { digest } = answer
    // What was ordered with the pin has found the same.
    const isFirst = each.isOrdered && each.seen === undefined && before === digest
    const isHere = isFirst || (before !== undefined && digest === each.fetched)
    const seen = { ...each, failures: 0, dueAt: this.#nextCheck(name, each), seen: digest }
    if (isHere) return { after: { ...seen, fetched: digest }, isOfAll: false }
    return this.#order(name, { ...seen, fetched: undefined })
  }

  /** Has what a tag points at fetched; while an order for it is not done, it is tried again soon. */
  async #order(name: MirroredName, each: Followed): Promise<Attended> {
    const { order, now, log } = this.#given
    try {
      if (await order(name, each)) {
        const dueAt = this.#nextCheck(name, each)
        return { after: { ...each, dueAt, fetched: each.seen }, isOfAll: false }
      }
    } catch (error) {
      log('pin-not-fetched', { repository: canonicalName(name), reason: String(error) })
    }
    return { after: { ...each, dueAt: now() + PAUSE }, isOfAll: false }
  }

  #refused(each: Followed, failure: UpstreamFailure): Attended {
    const retryAfter = failure.kind === 'rate-limited' ? failure.retryAfter * 1000 : 0
    return { after: this.#failed(each, retryAfter), isOfAll: !OF_TAG.includes(failure.kind) }
  }

  #failed(each: Followed, retryAfter: number): Followed {
    const failures = each.failures + 1
    const pause = Math.min(MAX_PAUSE, PAUSE * 2 ** Math.min(failures - 1, 10))
    return { ...each, failures, dueAt: this.#given.now() + Math.max(pause, retryAfter) }
  }

  #begun(
    name: MirroredName,
    { reference, platforms }: PinnedReference,
    isOrdered: boolean,
  ): Followed {
    const seen = reference.kind === 'digest' ? reference.digest : undefined
    const fetched = isOrdered ? seen : undefined
    const dueAt = isOrdered ? this.#nextCheck(name, { reference }) : this.#given.now() + PAUSE
    return { reference, platforms, dueAt, failures: 0, isOrdered, seen, fetched }
  }

  /** What has a digest never changes, and what is not configured any more cannot be asked for. */
  #nextCheck(name: MirroredName, { reference }: Pick<PinnedReference, 'reference'>): number {
    const ttl = reference.kind === 'tag' ? this.#given.ttl(name, reference.tag) : undefined
    return ttl === undefined ? Infinity : this.#given.now() + Math.max(PAUSE, AHEAD * ttl)
  }

  /** Notes how a pin stands, unless it was removed meanwhile. */
  #put(after: Followed): void {
    const pinned = this.#read()
    if (pinned === undefined) return
    const followed = pinned.followed.map((each) =>
      isSame(each, after) && hasSamePlatforms(each, after) ? after : each,
    )
    this.#given.storage.kv.put(PINNED, { ...pinned, followed } satisfies Pinned)
  }

  #putOff(until: number): void {
    const pinned = this.#read()
    if (pinned === undefined) return
    const followed = pinned.followed.map((each) => ({
      ...each,
      dueAt: Math.max(each.dueAt, until),
    }))
    this.#given.storage.kv.put(PINNED, { ...pinned, followed } satisfies Pinned)
  }

  async #keep(pinned: Pinned): Promise<void> {
    const { storage } = this.#given
    if (pinned.followed.length === 0) {
      storage.kv.delete(PINNED)
      return storage.deleteAlarm()
    }
    storage.kv.put(PINNED, pinned)
    await this.#setAlarm(pinned)
  }

  async #setAlarm({ followed }: Pinned): Promise<void> {
    const { storage } = this.#given
    const next = Math.min(...followed.map(({ dueAt }) => dueAt))
    await (next === Infinity ? storage.deleteAlarm() : storage.setAlarm(next))
  }

  #read(): Pinned | undefined {
    return this.#given.storage.kv.get(PINNED) as Pinned | undefined
  }
}

function isSame(
  one: Pick<PinnedReference, 'reference'>,
  other: Pick<PinnedReference, 'reference'>,
): boolean {
  return formatReference(one.reference) === formatReference(other.reference)
}

function hasSamePlatforms(one: PinnedReference, other: PinnedReference): boolean {
  const textOf = ({ platforms }: PinnedReference) => platforms?.toSorted().join(' ')
  return textOf(one) === textOf(other)
}
