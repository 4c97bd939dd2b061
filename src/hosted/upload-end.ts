// How an upload session that did not become a blob ends: its own bytes are deleted, and then its rows. Bytes that
// were handed over are never its own again, unless it is told that they were not taken.

import { hostedContentKey } from '../storage/keys.ts'
import { abortMultipart } from './upload-content.ts'
import type { Holds } from './upload-hold.ts'
import type { Stage, UploadRecord, UploadRecords } from './upload-records.ts'
import type { UploadGiven, UploadLimits } from './upload.ts'

/** What the end of a session needs. */
export interface UploadEndGiven {
  readonly given: UploadGiven
  readonly limits: UploadLimits
  readonly records: UploadRecords
  readonly holds: Holds
  /** Called when nothing of the session is left. */
  readonly forgotten: () => void
}

/** Ends a session. */
export class UploadEnd {
  readonly #given: UploadEndGiven

  constructor(given: UploadEndGiven) {
    this.#given = given
  }

  /**
   * Gives a session up, whoever holds it. Recorded first, so that nobody joins it any more, and the alarm deletes
   * what cannot be deleted now.
   */
  async giveUp({ stage }: UploadRecord): Promise<void> {
    const { given, limits, records, holds } = this.#given
    records.enter(stage === 'verified' ? 'disowning' : 'over')
    holds.interrupt()
    await given.storage.setAlarm(given.now() + limits.retry)
    await this.resume()
  }

  /** Deletes what is left of a session that was given up. Never rejects. */
  async resume(): Promise<void> {
    const hold = await this.#given.holds.take()
    if (typeof hold === 'string') return
    await this.remove()
    hold.end()
  }

  /** The same, for whoever holds the session. Never rejects. */
  async remove(): Promise<void> {
    const { log, name } = this.#given.given
    try {
      await this.#remove()
    } catch (error) {
      log('upload-not-removed', { repository: name.repository, reason: String(error) })
    }
  }

  /** Leaves nothing of the session in its object, the alarm included; for bytes that it has not, or not any more. */
  async forget(): Promise<void> {
    const { given, records, forgotten } = this.#given
    await given.storage.deleteAll()
    records.reset()
    forgotten()
  }

  async #remove(): Promise<void> {
    const { given, records } = this.#given
    const session = records.session()
    if (session === undefined || !isGivenUp(session.stage)) return
    const { stage, digest, id } = session
    if (stage === 'disowning' && digest !== undefined) {
      if ((await given.disown(digest, id)) === 'adopted') return this.forget()
      records.enter('over')
    }
    await abortMultipart(given.bucket, session)
    // Before a digest was named there was no object.
    if (digest !== undefined) await given.bucket.delete(hostedContentKey(id))
    await this.forget()
  }
}

/** Whether a session at this stage only waits for its end. */
export function isGivenUp(stage: Stage): boolean {
  return stage === 'over' || stage === 'disowning'
}
