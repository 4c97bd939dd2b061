// The bytes of an upload session: whole parts in R2, and the tail below a part in rows and in memory. What is
// not committed is nowhere but in memory, and given up with it.

import { algorithmOf, digestBytes } from '../oci/digest.ts'
import type { Algorithm, Digest } from '../oci/digest.ts'
import type { Now } from '../seams.ts'
import { hostedContentKey } from '../storage/keys.ts'
import type { SpareBuffers } from './spare-buffers.ts'
import { UploadHashes, digestOfBody } from './upload-hashes.ts'
import type { Hold } from './upload-hold.ts'
import { rewriteFrom } from './upload-records.ts'
import type { UploadRecord, UploadRecords } from './upload-records.ts'
import type { UploadLimits } from './upload.ts'

/** A buffer grows from here to the size of a part: most uploads are small (bytes). */
const FIRST_BUFFER = 64 * 1024
/** What stays in memory between two bodies: small chunks would be read again and again (bytes). */
const MAX_KEPT = 1024 * 1024
const NOTHING = new Uint8Array()

/** What the bytes are stored with. */
export interface UploadContentGiven {
  readonly bucket: R2Bucket
  readonly records: UploadRecords
  readonly now: Now
  readonly limits: UploadLimits
  readonly spareBuffers: SpareBuffers
}

interface Part {
  readonly number: number
  readonly bytes: Uint8Array
  /** Where it starts, counted from the start of the upload. */
  readonly start: number
}

/** Takes the bytes of one session, and turns them into one object. Whoever calls it holds the session. */
export class UploadContent {
  readonly #given: UploadContentGiven
  readonly #id: string
  readonly #partSize: number
  readonly #hashes = new UploadHashes()
  #isLoaded = false
  /** What comes after the parts, of which `#filled` bytes count. */
  #buffer: Uint8Array = NOTHING
  #filled = 0
  /** Where the buffer starts, counted from the start of the upload, and how many parts come before. */
  #start = 0
  #count = 0
  /** The buffer of the part before, to be filled again. */
  #spare: Uint8Array = NOTHING
  /** The part that is under way. At most one is. */
  #storing: Promise<void> = Promise.resolve()

  constructor(given: UploadContentGiven, { id, partSize }: UploadRecord) {
    this.#given = given
    this.#id = id
    this.#partSize = partSize
  }

  /** How many bytes there are, committed or not. */
  get received(): number {
    return this.#start + this.#filled
  }

  /** Reads the tail from its rows, if memory does not have it. To be called before everything else. */
  load(): void {
    if (this.#isLoaded) return
    const { records } = this.#given
    const rows = records.tailRows()
    const size = rows.reduce((sum, row) => sum + row.size, 0)
    this.#start = this.#session().offset - size
    this.#count = records.countParts()
    this.#filled = 0
    this.#reserve(size)
    records.readTail((bytes, start) => this.#buffer.set(bytes, start - this.#start))
    this.#filled = size
    this.#isLoaded = true
  }

  /** Takes bytes; resolves when there is room again. @throws when a part could not be stored. */
  async write(chunk: Uint8Array, hold: Hold): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      const piece = rest.subarray(0, this.#partSize - this.#filled)
      this.#reserve(this.#filled + piece.byteLength)
      this.#buffer.set(piece, this.#filled)
      this.#filled += piece.byteLength
      rest = rest.subarray(piece.byteLength)
      if (this.#filled === this.#partSize) await this.#cut(hold)
    }
  }

  /** Waits for the part that is under way. @throws when it could not be stored. */
  async settle(): Promise<void> {
    await this.#storing
  }

  /** Commits the tail and, with a digest, that the session is closed. Nothing may be under way. */
  commit(digest?: Digest): void {
    const { records, now, limits } = this.#given
    const { rowSize } = limits
    const sizes = { offset: this.#session().offset, received: this.received, rowSize }
    const from = rewriteFrom(records.tailRows(), sizes)
    const rows: Uint8Array[] = []
    for (let start = from; start < this.received; start += rowSize) {
      const end = Math.min(start + rowSize, this.received)
      rows.push(this.#buffer.subarray(start - this.#start, end - this.#start))
    }
    records.commitTail({ from, rows, digest, now: now() })
    this.#release()
    // The rows have it: what is large need not wait in memory for a client that may never come back.
    if (digest === undefined && this.#filled > MAX_KEPT) this.#drop()
  }

  /** Gives up what is not committed. Resolves when nothing is under way any more. Never rejects. */
  async rollback(): Promise<void> {
    await this.#storing.catch(() => undefined)
    this.#storing = Promise.resolve()
    this.#drop()
    this.#filled = 0
    this.#release()
  }

  /** The digest of everything; undefined when only the stored object can tell. Nothing may be taken after it. */
  digest(algorithm: Algorithm): Promise<Digest | undefined> {
    this.load()
    return this.#hashes.digest(algorithm, this.#tail(), this.#start)
  }

  /**
   * Turns parts and tail into one object in R2, which verifies the digest as well where it can. May be repeated.
   * @throws {Interrupted} when the session is taken over.
   */
  async store(digest: Digest, hold: Hold): Promise<void> {
    this.load()
    const { bucket, records } = this.#given
    if (this.#count === 0) {
      const checksum = { [algorithmOf(digest)]: digestBytes(digest) }
      await bucket.put(hostedContentKey(this.#id), this.#tail(), checksum)
      hold.check()
      // A part that failed can have left it.
      await abortMultipart(bucket, this.#session())
      return
    }
    if (this.#filled > 0) await this.#storeTail(hold)
    const multipart = await this.#multipart()
    hold.check()
    try {
      await multipart.complete(records.parts())
    } catch (error) {
      // Refused, too, if it was completed before, and nobody lived to write it down.
      const object = await bucket.head(hostedContentKey(this.#id))
      if (object?.size !== this.#session().offset) throw error
    }
  }

  /** The digest of the object in R2, read once. @throws when it cannot be read, or when `signal` is aborted. */
  async digestStored(algorithm: Algorithm, signal: AbortSignal): Promise<Digest> {
    const object = await this.#given.bucket.get(hostedContentKey(this.#id))
    if (object === null) throw new Error('the bytes of the upload are not in storage')
    return digestOfBody(object.body, algorithm, signal)
  }

  /**
   * Starts to store the buffer as a part, once the part before is stored. Without a second buffer nothing more is
   * taken until it is.
   */
  async #cut(hold: Hold): Promise<void> {
    const { spareBuffers, now } = this.#given
    await this.#storing
    hold.check()
    this.#count += 1
    const part = { number: this.#count, bytes: this.#buffer, start: this.#start }
    this.#storing = this.#storePart(part, hold)
    // A failure is reported by the next cut or by `settle`.
    this.#storing.catch(() => undefined)
    this.#start += this.#filled
    this.#buffer = this.#spare
    this.#spare = NOTHING
    this.#filled = 0
    if (spareBuffers.take(this, now())) return
    this.#buffer = NOTHING
    await this.#storing
    this.#buffer = this.#spare
    this.#spare = NOTHING
  }

  async #storePart(part: Part, hold: Hold): Promise<void> {
    await this.#upload(part, hold)
    await this.#hashes.update(part.bytes, part.start)
    this.#spare = part.bytes
  }

  /** The last part, when the digest was taken already or cannot be taken here. */
  async #storeTail(hold: Hold): Promise<void> {
    await this.#upload({ number: this.#count + 1, bytes: this.#tail(), start: this.#start }, hold)
    this.#count += 1
    this.#start += this.#filled
    this.#buffer = NOTHING
    this.#filled = 0
  }

  async #upload({ number, bytes, start }: Part, hold: Hold): Promise<void> {
    const { records, now } = this.#given
    const multipart = await this.#multipart()
    hold.check()
    const part = await multipart.uploadPart(number, bytes)
    hold.check()
    records.addPart(part, start + bytes.byteLength, now())
  }

  async #multipart(): Promise<R2MultipartUpload> {
    const { bucket, records } = this.#given
    const key = hostedContentKey(this.#id)
    const known = this.#session().multipart
    if (known !== undefined) return bucket.resumeMultipartUpload(key, known)
    const begun = await bucket.createMultipartUpload(key)
    // Whoever holds the session by now: without its id it could not be ended.
    records.beginMultipart(begun.uploadId)
    return begun
  }

  /** Keeps nothing: what is committed is read again when it is needed. */
  #drop(): void {
    this.#isLoaded = false
    this.#buffer = NOTHING
  }

  /** Keeps one buffer at most. */
  #release(): void {
    this.#spare = NOTHING
    this.#given.spareBuffers.give(this)
  }

  #tail(): Uint8Array {
    return this.#buffer.subarray(0, this.#filled)
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.byteLength) return
    // Whoever has sent a whole part has more.
    const least = this.#count > 0 ? this.#partSize : FIRST_BUFFER
    const grown = Math.max(least, size, 2 * this.#buffer.byteLength)
    const buffer = new Uint8Array(Math.min(grown, this.#partSize))
    buffer.set(this.#tail())
    this.#buffer = buffer
  }

  #session(): UploadRecord {
    const session = this.#given.records.session()
    if (session === undefined) throw new Error('the upload session has ended')
    return session
  }
}

/** Ends the session's multipart upload, if there is one that has not ended. */
export async function abortMultipart(bucket: R2Bucket, session: UploadRecord): Promise<void> {
  const { id, multipart } = session
  if (multipart === undefined) return
  try {
    await bucket.resumeMultipartUpload(hostedContentKey(id), multipart).abort()
  } catch (error) {
    if (!NO_SUCH_UPLOAD.test(String(error))) throw error
  }
}

/** R2 says by this number only that an upload was completed or aborted before, or has expired. */
const NO_SUCH_UPLOAD = /\(10024\)/
