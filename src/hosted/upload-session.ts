// One upload from POST to PUT: who may write to it next, when it ends, and what of it is left when its object
// is evicted, fails or is abandoned. Its bytes are upload-content.ts's, its end is upload-finish.ts's.

import type { Digest } from '../oci/digest.ts'
import { drain } from '../storage/drain.ts'
import { UploadBody } from './upload-body.ts'
import type { BodyEnd } from './upload-body.ts'
import { UploadContent } from './upload-content.ts'
import { UploadEnd, isGivenUp } from './upload-end.ts'
import { UploadFinish } from './upload-finish.ts'
import { Holds, Interrupted, isWithin } from './upload-hold.ts'
import type { Hold } from './upload-hold.ts'
import { UploadRecords } from './upload-records.ts'
import type { UploadRecord } from './upload-records.ts'
import { UNKNOWN, UPLOAD_LIMITS, refusalOf, widthOf } from './upload.ts'
import type {
  AppendAnswer,
  Chunk,
  CloseAnswer,
  StatusAnswer,
  UploadGiven,
  UploadLimits,
  UploadRefusal,
} from './upload.ts'

export type { AppendAnswer, Chunk, CloseAnswer, StatusAnswer } from './upload.ts'
export type { UploadGiven, UploadLimits, UploadName, UploadRefusal } from './upload.ts'

/** When a client asks again for the result of a close (seconds). */
const RETRY_AFTER = 10
const LATER: UploadRefusal = { ok: false, reason: 'later', retryAfter: RETRY_AFTER }

/** State and decisions of an `UploadSession`. */
export class Upload {
  readonly #given: UploadGiven
  readonly #limits: UploadLimits
  readonly #records: UploadRecords
  readonly #end: UploadEnd
  readonly #finish: UploadFinish
  readonly #holds = new Holds()
  #content: UploadContent | undefined
  #finishing: Promise<CloseAnswer> | undefined

  constructor(given: UploadGiven, limits: UploadLimits = UPLOAD_LIMITS) {
    this.#given = given
    this.#limits = limits
    this.#records = new UploadRecords(given.storage)
    this.#end = new UploadEnd({
      given,
      limits,
      records: this.#records,
      holds: this.#holds,
      forgotten: () => (this.#content = undefined),
    })
    this.#finish = new UploadFinish({
      given,
      records: this.#records,
      limits,
      end: this.#end,
      contentOf: (session) => this.#contentOf(session),
    })
  }

  /** Begins the session. */
  async open(): Promise<void> {
    const { name, storage, now } = this.#given
    if (this.#records.session() !== undefined) return
    // First: an object that dies between a row and its alarm would never wake again.
    await storage.setAlarm(now() + this.#limits.idle)
    this.#records.open(name, {
      id: crypto.randomUUID(),
      partSize: this.#limits.partSize,
      now: now(),
    })
  }

  /** Adds the bytes of a body. A session that is being closed takes none. */
  append(chunk: Chunk, body: ReadableStream<Uint8Array> | null): Promise<AppendAnswer> {
    return this.#receive(chunk, body, undefined)
  }

  /**
   * Adds the bytes of a body, if there is one, and makes all of them the blob of a digest. Whoever repeats it
   * with the same digest gets the same answer, and his body is not taken.
   */
  async close(
    closing: Chunk & { readonly digest: Digest },
    body: ReadableStream<Uint8Array> | null,
  ): Promise<CloseAnswer> {
    const { digest, ...chunk } = closing
    if (this.#records.session()?.stage === 'open') {
      const received = await this.#receive(chunk, body, digest)
      if (!received.ok) return received
    } else {
      await drain(body)
    }
    const session = this.#session()
    if (session === undefined) return UNKNOWN
    if (session.digest !== digest) return { ok: false, reason: 'digest' }
    if (session.stage === 'done') return { ok: true, size: session.offset }
    return this.#inTime(this.#finishOnce())
  }

  /** How many bytes are committed, also while more are on their way. */
  async status(): Promise<StatusAnswer> {
    const session = this.#session()
    if (session === undefined || session.stage === 'done') return UNKNOWN
    return { ok: true, offset: session.offset }
  }

  /** Ends the session and deletes its bytes, unless they are a blob by then. False: there is none to end. */
  async cancel(): Promise<boolean> {
    const session = this.#session()
    if (session === undefined || session.stage === 'done') return false
    const ending = this.#end.giveUp(session)
    this.#given.defer(ending.catch(() => undefined))
    // Recorded by now: whatever stands still, the session is over.
    await isWithin(ending, this.#limits.patience)
    return true
  }

  /** Ends a session that nobody uses, and continues what was cut short. Never throws. */
  async alarm(): Promise<void> {
    const { storage, now, log } = this.#given
    const session = this.#records.session()
    if (session === undefined) return
    const due = this.#dueOf(session)
    try {
      // Set first, so that a failure below is tried again.
      await storage.setAlarm(due > now() ? due : now() + this.#limits.retry)
      if (due <= now()) await this.#continue(session)
    } catch (error) {
      log('upload-alarm-failed', { ...this.#name(), reason: String(error) })
    }
  }

  /** When the alarm has something to do. */
  #dueOf({ stage, activeAt }: UploadRecord): number {
    const { idle, kept } = this.#limits
    if (stage === 'open') return activeAt + idle
    return stage === 'done' ? activeAt + kept : 0
  }

  async #continue(session: UploadRecord): Promise<void> {
    switch (session.stage) {
      case 'open':
        await this.#end.giveUp(session)
        return
      case 'closing':
      case 'verified':
        await this.#continueClose()
        return
      case 'done':
        await this.#end.forget()
        return
      case 'disowning':
      case 'over':
        await this.#end.resume()
    }
  }

  async #continueClose(): Promise<void> {
    try {
      await this.#finishOnce()
    } catch (error) {
      const session = this.#session()
      const { now } = this.#given
      if (session === undefined || now() < session.activeAt + this.#limits.idle) throw error
      await this.#end.giveUp(session)
    }
  }

  /** The session, as long as it is not given up. */
  #session(): UploadRecord | undefined {
    const session = this.#records.session()
    return session === undefined || isGivenUp(session.stage) ? undefined : session
  }

  async #receive(
    chunk: Chunk,
    body: ReadableStream<Uint8Array> | null,
    digest: Digest | undefined,
  ): Promise<AppendAnswer> {
    const refusal = this.#refusalOf(chunk, chunk.range === undefined && this.#holds.isHeld)
    if (refusal !== undefined) {
      await drain(body)
      return refusal
    }
    const hold = await this.#holds.take(this.#limits.patience)
    const late = this.#lateRefusalOf(chunk, hold)
    const session = this.#records.session()
    if (typeof hold === 'string' || late !== undefined || session === undefined) {
      if (typeof hold !== 'string') hold.end()
      await drain(body)
      return late ?? UNKNOWN
    }
    // A client that leaves does not end what it has begun.
    this.#given.defer(hold.ended)
    const content = this.#contentOf(session)
    const reader = new UploadBody(body, hold)
    try {
      content.load()
      const end = await this.#pour({ reader, content, hold, width: widthOf(chunk) })
      return await this.#commit({ end, content, hold, digest })
    } catch (error) {
      await content.rollback()
      if (error instanceof Interrupted) return this.#superseded()
      throw error
    } finally {
      hold.end()
      // The session is free meanwhile.
      await reader.drain()
    }
  }

  /** Why a chunk is not taken now. */
  #refusalOf(chunk: Chunk, isHeldByAnother: boolean): UploadRefusal | undefined {
    const session = this.#session()
    if (session === undefined || session.stage === 'done') return UNKNOWN
    const { stage, offset, partSize } = session
    if (stage !== 'open' || isHeldByAnother) return { ok: false, reason: 'out-of-order', offset }
    return refusalOf(chunk, { offset, limit: partSize * this.#limits.maxParts })
  }

  /** The same, asked again when the session could be taken: whoever held it before may have changed everything. */
  #lateRefusalOf(chunk: Chunk, hold: Hold | 'superseded' | 'late'): UploadRefusal | undefined {
    if (hold === 'late') return LATER
    return hold === 'superseded' ? this.#superseded() : this.#refusalOf(chunk, false)
  }

  /** The answer to a request whose session somebody else has taken over, or ended. */
  #superseded(): UploadRefusal {
    const session = this.#session()
    if (session === undefined) return UNKNOWN
    return { ok: false, reason: 'out-of-order', offset: session.offset }
  }

  /** Reads a body into the content, no further than it may go. */
  async #pour(pouring: {
    readonly reader: UploadBody
    readonly content: UploadContent
    readonly hold: Hold
    readonly width: number | undefined
  }): Promise<BodyEnd | 'length' | 'too-large'> {
    const { reader, content, hold, width } = pouring
    const limit = this.#limit()
    let left = width ?? Infinity
    for (;;) {
      const chunk = await reader.next()
      if (chunk === 'cut') return 'cut'
      if (chunk === 'end') return width === undefined || left === 0 ? 'end' : 'length'
      left -= chunk.byteLength
      if (left < 0) return 'length'
      if (content.received + chunk.byteLength > limit) return 'too-large'
      await content.write(chunk, hold)
    }
  }

  /** Commits what a body has brought, unless it was not what it claimed to be. */
  async #commit(committing: {
    readonly end: BodyEnd | 'length' | 'too-large'
    readonly content: UploadContent
    readonly hold: Hold
    readonly digest: Digest | undefined
  }): Promise<AppendAnswer> {
    const { end, content, hold, digest } = committing
    await content.settle()
    hold.check()
    if (end === 'end') {
      content.commit(digest)
      if (digest !== undefined) await this.#wakeSoon()
      return { ok: true, offset: content.received }
    }
    if (end === 'cut') content.commit()
    else await content.rollback()
    const offset = this.#records.session()?.offset ?? 0
    if (end === 'too-large') return { ok: false, reason: end, limit: this.#limit() }
    return { ok: false, reason: end, offset }
  }

  /** Finishes the session; there is one finish at a time, which everybody joins. */
  #finishOnce(): Promise<CloseAnswer> {
    this.#finishing ??= this.#finishHeld().finally(() => {
      this.#finishing = undefined
    })
    return this.#finishing
  }

  async #finishHeld(): Promise<CloseAnswer> {
    const hold = await this.#holds.take()
    if (typeof hold === 'string') return UNKNOWN
    try {
      const answer = await this.#finish.run(hold)
      // What has become a blob needs no memory here any more.
      if (answer.ok) this.#content = undefined
      return answer
    } catch (error) {
      this.#given.log('upload-not-finished', { ...this.#name(), reason: String(error) })
      throw error
    } finally {
      hold.end()
    }
  }

  /** The result of a finish if it comes in time; if not, it goes on. */
  async #inTime(finish: Promise<CloseAnswer>): Promise<CloseAnswer> {
    this.#given.defer(finish.catch(() => undefined))
    return (await isWithin(finish, this.#limits.patience)) ? finish : LATER
  }

  async #wakeSoon(): Promise<void> {
    const { storage, now } = this.#given
    await storage.setAlarm(now() + this.#limits.retry)
  }

  #contentOf(session: UploadRecord): UploadContent {
    this.#content ??= new UploadContent(
      { ...this.#given, records: this.#records, limits: this.#limits },
      session,
    )
    return this.#content
  }

  #limit(): number {
    return (this.#records.session()?.partSize ?? 0) * this.#limits.maxParts
  }

  #name(): { readonly repository: string } {
    return { repository: this.#given.name.repository }
  }
}
