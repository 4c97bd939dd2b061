// Blobs of an import on their way into hosted repositories: taken over from another repository to which the same
// registry has sent them, if the source has them too, else streamed from the source into an upload that goes on from step to step. Their digest is verified there.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { UploadStub } from '../hosted/repository.ts'
import type { CloseAnswer } from '../hosted/upload.ts'
import type { Hosted } from '../registry/repository.ts'
import type { Now } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { ItemFailure, Lanes } from './import-pace.ts'
import type { Pace } from './import-pace.ts'
import type { ImportRecords } from './import-records.ts'
import { SourceError } from './import-source.ts'
import type { ImportSource, SourceBlob } from './import-source.ts'

/** Blobs that are under way at once. */
const WIDTH = 4
/** A source that knows no ranges sends a blob from its beginning each time, and gets so long more (milliseconds). */
const WHOLE = 8 * 60_000
/** What an upload may take after the last byte has come, or should have (milliseconds). */
const CLOSE_WITHIN = 60_000
/** An upload that cannot be closed yet is asked again after so long (milliseconds) … */
const ASK_AGAIN = 2000
/** … and so often. */
const MAX_ASKED = 20

/** A blob to be copied. */
export interface BlobOrder {
  readonly source: ImportSource
  /** Whom the source asks, and for which of its repositories. */
  readonly host: string
  readonly from: RepositoryName
  readonly target: RepositoryName
  readonly digest: Digest
  /** As its manifest says (bytes). */
  readonly size: number
  /** Called when some of it has come, and it stopped before its end. */
  readonly advanced: () => void
}

/** What copying blobs needs, for one step. */
export interface BlobsGiven {
  readonly hosted: (repository: RepositoryName) => Hosted
  readonly records: ImportRecords
  readonly pace: Pace
  readonly now: Now
}

/** A blob that is under way. */
interface Flight {
  readonly target: RepositoryName
  readonly work: Promise<number>
}

/** Copies blobs. */
export class BlobCopier {
  readonly #given: BlobsGiven
  readonly #lanes = new Lanes(WIDTH)
  /** By digest: what goes to another repository can be taken over there, once it has come. */
  readonly #flights = new Map<Digest, Flight>()

  constructor(given: BlobsGiven) {
    this.#given = given
  }

  /**
   * Makes a blob belong to its repository; returns how many bytes were fetched for it. Two that want the same one
   * wait for the same copy, and its bytes count once.
   */
  async copy(blob: BlobOrder): Promise<number> {
    const { digest, target } = blob
    for (let other = this.#flights.get(digest); other; other = this.#flights.get(digest)) {
      if (other.target === target) {
        await other.work
        return 0
      }
      await other.work.catch(() => undefined)
    }
    const copied = this.#lanes.run(() => this.#copy(blob))
    const work = copied.finally(() => this.#flights.delete(digest))
    this.#flights.set(digest, { target, work })
    return work
  }

  async #copy(blob: BlobOrder): Promise<number> {
    const { hosted, pace, records } = this.#given
    const { host, target, digest } = blob
    await pace.check()
    const repository = hosted(target)
    const held = await repository.blobs.get(digest, { wants: 'size' })
    if (held.ok) return 0
    await pace.spend()
    const sent = { host, digest, source: blob.from, target }
    if (await this.#takeOver(blob)) {
      records.sent(sent)
      return 0
    }
    try {
      await this.#upload(blob)
      records.sent(sent)
      return blob.size
    } catch (error) {
      if (error instanceof ItemFailure) await this.#abandon(blob)
      throw error
    }
  }

  /**
   * Takes a blob over from another repository here, if this very registry has sent it there. A manifest that names a
   * blob gives no right to it, so a source that has not sent it itself is asked whether it has it.
   */
  async #takeOver({ source, host, from, target, digest }: BlobOrder): Promise<boolean> {
    const { hosted, records } = this.#given
    const other = records.sentBlob(host, digest, from)
    if (other === undefined) return false
    if (other.source !== from) await (await source.blob(digest, 0)).cancel()
    return hosted(target).mount(digest, [other.target])
  }

  /** Takes the upload of a blob to its end, from wherever it is. */
  async #upload(blob: BlobOrder): Promise<void> {
    const { records, pace } = this.#given
    const { target, digest, size } = blob
    for (let asked = 0; asked < MAX_ASKED; asked += 1) {
      await pace.check()
      const { upload, offset } = await this.#open(blob)
      const answer =
        offset < size
          ? await this.#pour(blob, upload, offset)
          : await upload.close({ digest, range: undefined, length: 0 }, null)
      if (answer.ok) {
        records.setSession(target, digest, undefined)
        return
      }
      const why = refusalOf(answer.reason)
      if (why !== undefined) throw new ItemFailure(`${digest}: ${why}`)
      // Its end was not seen, or it has ended: the next look finds out.
      if (answer.reason === 'unknown') records.setSession(target, digest, undefined)
      else await new Promise<void>((resolve) => setTimeout(resolve, ASK_AGAIN))
    }
    throw new Error('an upload does not come to its end')
  }

  /** The upload of a blob, and how many bytes it has. */
  async #open(blob: BlobOrder): Promise<{ readonly upload: UploadStub; readonly offset: number }> {
    const { hosted, records } = this.#given
    const { target, digest } = blob
    const repository = hosted(target)
    const known = records.session(target, digest)
    if (known !== undefined) {
      const upload = repository.upload(known)
      const status = await upload.status()
      if (status.ok) return { upload, offset: status.offset }
    }
    const session = crypto.randomUUID()
    // Noted first: one that nobody knows of could not be ended.
    records.setSession(target, digest, session)
    const upload = repository.upload(session)
    await upload.open()
    return { upload, offset: 0 }
  }

  /** Streams the rest of a blob into its upload; what has arrived is kept when it stops in the middle. */
  async #pour(blob: BlobOrder, upload: UploadStub, offset: number): Promise<CloseAnswer> {
    const { digest, size, source } = blob
    const { pace, now } = this.#given
    const from = await source.blob(digest, offset)
    if (from.size !== undefined && from.size !== size) {
      await from.cancel()
      throw new ItemFailure(`${digest} has ${from.size} bytes, and ${size} in its manifest`)
    }
    const until = pace.until + (from.skip > 0 ? WHOLE : 0)
    const { readable, writable } = new IdentityTransformStream()
    const writer = writable.getWriter()
    writer.closed.catch(() => undefined)
    const pumping = this.#pump(from, writer, { left: size - offset, until })
    const range = { first: offset, last: size - 1 }
    try {
      const closing = upload.close({ digest, range, length: undefined }, readable)
      const within = until - now() + CLOSE_WITHIN
      const answer = await inTime(closing, within, 'an upload does not answer')
      if (answer.ok || answer.reason !== 'cut') return answer
      if (answer.offset > offset) blob.advanced()
    } finally {
      // Nobody takes more of it, whatever the answer was.
      await writer.abort().catch(() => undefined)
      await from.cancel()
    }
    const stopped = await pumping
    if (stopped !== undefined) throw stopped
    throw new Error('an upload was cut short')
  }

  /** Moves the bytes; resolves to what stopped it, if anything did. Never rejects. */
  async #pump(
    from: SourceBlob,
    writer: WritableStreamDefaultWriter<Uint8Array>,
    given: { readonly left: number; readonly until: number },
  ): Promise<Error | undefined> {
    let { left } = given
    let { skip } = from
    try {
      while (left > 0) {
        this.#given.pace.checkTime(given.until)
        const chunk = await from.read()
        if (chunk === undefined) throw endedEarly()
        const wanted = chunk.subarray(Math.min(skip, chunk.byteLength)).subarray(0, left)
        skip -= Math.min(skip, chunk.byteLength)
        left -= wanted.byteLength
        if (wanted.byteLength > 0) await writer.write(wanted)
      }
      await writer.close()
      return undefined
    } catch (error) {
      await writer.abort(error).catch(() => undefined)
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** Ends the upload of a blob that can never be copied. */
  async #abandon({ target, digest }: BlobOrder): Promise<void> {
    const { hosted, records } = this.#given
    const session = records.session(target, digest)
    if (session === undefined) return
    await hosted(target).upload(session).cancel()
    records.setSession(target, digest, undefined)
  }
}

/** Why an upload never becomes the blob; `undefined`: it may yet. */
function refusalOf(
  reason: Extract<CloseAnswer, { readonly ok: false }>['reason'],
): string | undefined {
  if (reason === 'digest') return 'the source sent other bytes'
  if (reason === 'length') return 'the source sent another number of bytes'
  return reason === 'too-large' ? 'too large' : undefined
}

function endedEarly(): SourceError {
  const reason = 'the blob ended too early'
  return new SourceError({ kind: 'unavailable', isTimeout: false, reason })
}
