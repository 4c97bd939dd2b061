// Who claims the bytes of one hosted digest, and where they are. Bytes that nobody has claimed for a grace
// period are deleted here and nowhere else. Every step waits for its turn, so a claim that comes while bytes
// are being deleted finds them absent, and never half-way.

import type { RepositoryName } from '../oci/repository-name.ts'
import type { Log, Now } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedContentKey } from '../storage/keys.ts'
import { ClaimRecords } from './claim-records.ts'
import type { Claim, Content } from './claim-records.ts'

export type { Content } from './claim-records.ts'
import { Turns } from './turns.ts'

/** Bytes without a claim, and what is remembered of claims and bytes that have gone, stay so long (milliseconds). */
export const GRACE = 24 * 60 * 60 * 1000
/** What storage has refused is tried again after so long (milliseconds). */
const RETRY = 60_000
/** One step of storage has so long (milliseconds). */
const STORAGE_WITHIN = 10_000
/** An anonymous mount looks no further than this among the repositories that have a blob. */
const MAX_HOLDERS = 1000
const QUEUE = 'claims'

/** Where the bytes are; `ok: false`: those of this upload are gone, or will never be adopted. */
export type Adoption = { readonly ok: true; readonly content: Content } | { readonly ok: false }

/** What becomes of a claim. `late`: a higher counter of this repository is known, namely this one. */
export type ClaimAnswer =
  | { readonly ok: true; readonly content: Content }
  | { readonly ok: false; readonly reason: 'absent' }
  | { readonly ok: false; readonly reason: 'late'; readonly counter: number }

/** What becomes of a release. Not ok: a claim with this higher counter stands. */
export type ReleaseAnswer = { readonly ok: true } | { readonly ok: false; readonly counter: number }

/** `BlobClaims` of one digest, as a ledger sees it. */
export interface ClaimsStub {
  adopt(content: Content): Promise<Adoption>
  claim(repository: RepositoryName, counter: number): Promise<ClaimAnswer>
  release(repository: RepositoryName, counter: number): Promise<ReleaseAnswer>
}

/** What `Claims` is given. */
export interface ClaimsGiven {
  readonly storage: DurableObjectStorage
  readonly bucket: R2Bucket
  readonly now: Now
  readonly log: Log
}

/** State and decisions of a `BlobClaims`. */
export class Claims {
  readonly #given: ClaimsGiven
  readonly #records: ClaimRecords
  readonly #turns = new Turns()

  constructor(given: ClaimsGiven) {
    this.#given = given
    this.#records = new ClaimRecords(given.storage)
  }

  /**
   * Takes over the bytes of an upload whose digest has been verified. Of concurrent uploads one wins, and the
   * bytes of the others are deleted here. May be repeated.
   */
  async adopt(content: Content): Promise<Adoption> {
    return this.#inTurn(async () => {
      const { now, log } = this.#given
      const current = this.#records.current()
      const known = this.#records.state(content.id)
      if (known !== undefined) {
        const isLost = known !== 'disowned' && current !== undefined
        return isLost ? { ok: true, content: current } : { ok: false }
      }
      if (current !== undefined && (await this.#isStored(current))) {
        this.#records.lose(content, now())
        await this.#deleteLost()
        return { ok: true, content: current }
      }
      if (current !== undefined) log('hosted-content-lost', { id: current.id })
      this.#records.adopt(content, now())
      return { ok: true, content }
    })
  }

  /**
   * Whether the bytes of an upload were adopted, now or ever. Those that were not never will be: their session
   * may delete them.
   */
  async disown(id: string): Promise<'adopted' | 'disowned'> {
    return this.#inTurn(async () => {
      const known = this.#records.state(id)
      if (known === undefined) this.#records.disown(id, this.#given.now())
      return known === undefined || known === 'disowned' ? 'disowned' : 'adopted'
    })
  }

  /** Claims the bytes for a repository. Only a counter that is not lower than all before counts. */
  async claim(repository: RepositoryName, counter: number): Promise<ClaimAnswer> {
    return this.#inTurn(async () => {
      const known = this.#records.claim(repository)
      if (known !== undefined && isLate(counter, known)) {
        return { ok: false, reason: 'late', counter: known.counter }
      }
      const current = this.#records.current()
      const now = this.#given.now()
      if (current === undefined) {
        // Noted: this message may come again, when there are the bytes of another upload.
        this.#records.release(repository, counter, now)
        return { ok: false, reason: 'absent' }
      }
      this.#records.hold(repository, counter, now)
      return { ok: true, content: current }
    })
  }

  /** Gives up the claim of a repository, unless it has claimed again with a higher counter since. */
  async release(repository: RepositoryName, counter: number): Promise<ReleaseAnswer> {
    return this.#inTurn(async () => {
      const known = this.#records.claim(repository)
      if (known !== undefined && counter < known.counter) {
        return known.isHeld ? { ok: false, counter: known.counter } : { ok: true }
      }
      this.#records.release(repository, counter, this.#given.now())
      return { ok: true }
    })
  }

  /** Repositories that have the blob. */
  holders(): readonly RepositoryName[] {
    return this.#records.current() === undefined ? [] : this.#records.holders(MAX_HOLDERS)
  }

  /** Deletes bytes that nobody has claimed for the grace period, and what could not be deleted before. */
  async alarm(): Promise<void> {
    // Set first, so that a failure below is tried again.
    await this.#given.storage.setAlarm(this.#given.now() + RETRY)
    try {
      await this.#inTurn(async () => {
        const now = this.#given.now()
        // Recorded first: whatever happens then, these bytes are never handed out again.
        this.#records.collect(now - GRACE, now)
        await this.#finishCollection()
        await this.#deleteLost()
        this.#records.forget(now - GRACE)
      })
    } catch (error) {
      this.#given.log('claims-alarm-failed', { reason: String(error) })
    }
  }

  /** Runs `work` when nothing else runs, after a collection that was cut short has been finished. */
  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.#turns.take(QUEUE, async () => {
      const { storage, now } = this.#given
      // Before any row: an object that dies between a row and its alarm would never wake again.
      if ((await storage.getAlarm()) === null) await storage.setAlarm(now() + GRACE)
      await this.#finishCollection()
      const value = await work()
      await this.#rest()
      return value
    })
  }

  /** Sets the alarm for what comes next; an object of which nothing is left ends. */
  async #rest(): Promise<void> {
    const { storage, now } = this.#given
    if (this.#records.isEmpty) {
      await storage.deleteAlarm()
      await storage.deleteAll()
      this.#records.reset()
      return
    }
    const since = this.#records.waitingSince()
    const isPending = [...this.#records.contents('lost'), ...this.#records.contents('collected')]
    if (isPending.length > 0) await storage.setAlarm(now() + RETRY)
    else if (since !== undefined) await storage.setAlarm(Math.max(since + GRACE, now()))
    else await storage.deleteAlarm()
  }

  async #finishCollection(): Promise<void> {
    for (const id of this.#records.contents('collected')) {
      await this.#delete(id)
      this.#records.confirm(id, this.#given.now())
    }
  }

  async #deleteLost(): Promise<void> {
    for (const id of this.#records.contents('lost')) {
      try {
        await this.#delete(id)
        this.#records.confirm(id, this.#given.now())
      } catch (error) {
        // Nobody needs it gone at once: the alarm tries again.
        this.#given.log('hosted-content-delete-failed', { id, reason: String(error) })
      }
    }
  }

  async #delete(id: string): Promise<void> {
    const deleted = this.#given.bucket.delete(hostedContentKey(id))
    await inTime(deleted, STORAGE_WITHIN, 'storage does not delete')
  }

  async #isStored({ id, size }: Content): Promise<boolean> {
    const head = this.#given.bucket.head(hostedContentKey(id))
    return (await inTime(head, STORAGE_WITHIN, 'storage does not answer'))?.size === size
  }
}

/** A claim may be repeated while it is held; one that was given up must count on. */
function isLate(counter: number, known: Claim): boolean {
  return counter < known.counter || (counter === known.counter && !known.isHeld)
}
