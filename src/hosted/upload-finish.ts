// What happens to an upload after a digest was named: its bytes are verified and stored, handed over, and made
// the repository's. Each step is written down before the next, so that it can be continued anywhere.

import { algorithmOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { UploadContent } from './upload-content.ts'
import type { UploadEnd } from './upload-end.ts'
import { Interrupted } from './upload-hold.ts'
import type { Hold } from './upload-hold.ts'
import type { UploadRecord, UploadRecords } from './upload-records.ts'
import { UNKNOWN } from './upload.ts'
import type { CloseAnswer, UploadGiven, UploadLimits } from './upload.ts'

/** What a finish works on. */
export interface UploadFinishGiven {
  readonly given: UploadGiven
  readonly records: UploadRecords
  readonly limits: UploadLimits
  readonly contentOf: (session: UploadRecord) => UploadContent
  readonly end: UploadEnd
}

/** A session that a digest was named for. */
type NamedRecord = UploadRecord & { readonly digest: Digest }

/** Takes a closing session to its end. Whoever calls it holds the session. */
export class UploadFinish {
  readonly #given: UploadFinishGiven

  constructor(given: UploadFinishGiven) {
    this.#given = given
  }

  /**
   * Does all that is left to do. May be repeated after a failure.
   * @throws when storage or another object fails; the stage stays as it is.
   */
  async run(hold: Hold): Promise<CloseAnswer> {
    try {
      const session = this.#session()
      if (session?.stage === 'closing' && !(await this.#verify(session, hold))) {
        return { ok: false, reason: 'digest' }
      }
      return await this.#handOver(hold)
    } catch (error) {
      if (error instanceof Interrupted) return UNKNOWN
      throw error
    }
  }

  /**
   * Verifies the bytes and stores them as one object: in this order if memory has the hash, so that nothing is
   * stored of what is wrong.
   */
  async #verify(session: NamedRecord, hold: Hold): Promise<boolean> {
    const { records, given, contentOf } = this.#given
    const content = contentOf(session)
    const { digest } = session
    let isRight = session.isRight
    if (!isRight && !session.isStored) {
      const actual = await content.digest(algorithmOf(digest))
      hold.check()
      if (actual !== undefined && actual !== digest) return this.#refuse()
      isRight = actual !== undefined
      // The hash is spent. Without a part it could be taken again.
      if (isRight && session.multipart !== undefined) records.confirm()
    }
    if (!session.isStored) {
      await content.store(digest, hold)
      hold.check()
      if (!isRight) records.markStored()
    }
    if (!isRight) {
      const actual = await content.digestStored(algorithmOf(digest), hold.signal)
      hold.check()
      if (actual !== digest) return this.#refuse()
    }
    records.enter('verified', given.now())
    return true
  }

  async #refuse(): Promise<boolean> {
    this.#given.records.enter('over')
    await this.#given.end.remove()
    return false
  }

  async #handOver(hold: Hold): Promise<CloseAnswer> {
    const { given, records, limits, end } = this.#given
    const session = this.#session()
    if (session === undefined) return UNKNOWN
    const { stage, digest, id, offset: size } = session
    if (stage === 'done') return { ok: true, size }
    if (stage !== 'verified') return UNKNOWN
    const adoption = await given.adopt(digest, { id, size })
    hold.check()
    const isHeld = adoption.ok && (await given.hold(digest)).ok
    hold.check()
    if (!isHeld) {
      // Whatever became of the bytes, they are not the session's any more.
      await end.forget()
      return UNKNOWN
    }
    records.finish(given.now())
    await given.storage.setAlarm(given.now() + limits.kept)
    return { ok: true, size }
  }

  #session(): NamedRecord | undefined {
    const session = this.#given.records.session()
    if (session?.digest === undefined) return undefined
    return { ...session, digest: session.digest }
  }
}
