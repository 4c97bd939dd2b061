// The blobs of a hosted repository as a request sees them: the ledger says whether one belongs and where its
// bytes are, R2 has the bytes.

import type { Digest } from '../oci/digest.ts'
import { resolveRange } from '../oci/range.ts'
import type { ByteRange, ResolvedRange } from '../oci/range.ts'
import type { Log, Now } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedContentKey } from '../storage/keys.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { LocatedBlob } from '../storage/located-blob.ts'
import type { Memory } from '../storage/memory.ts'
import type { Content } from './claim-records.ts'
import { answered, asked, available } from './unavailable.ts'

/** A client waits for headers: storage has so long (milliseconds). */
const WITHIN = 10_000
/** What the ledger names is where it was: R2 is asked about it anew after so long (milliseconds). */
const SEEN_FOR = 60 * 60 * 1000

/** What is asked for: bytes, all or some, or only the size, or the place where the bytes are stored. */
export type BlobQuestion =
  | { readonly wants: 'size' }
  | { readonly wants: 'bytes' | 'place'; readonly range: ByteRange | undefined }

/** A blob, or the part of it that was asked for. */
export interface ServedBlob {
  readonly ok: true
  /** Bytes of the whole blob. */
  readonly size: number
  /** The part that `body` holds; `undefined`: all of it. */
  readonly range: ResolvedRange | undefined
  /** Absent where only the size was asked for. */
  readonly body: ReadableStream<Uint8Array> | undefined
  /** Where all of it is stored, where that was asked for; then there is no body. */
  readonly place: LocatedBlob | undefined
  readonly outcome: 'hit'
}

/** What becomes of a question for a blob. */
export type BlobAnswer =
  | ServedBlob
  | { readonly ok: false; readonly unsatisfiable: number }
  | { readonly ok: false; readonly failure: { readonly kind: 'not-found' } }

/** What reading blobs needs. */
export interface HostedBlobsGiven {
  readonly blobs: BlobStore
  /** The ledger's word on a blob; one that is `wanted` is kept for those who push. */
  readonly locate: (digest: Digest, isWanted: boolean) => Promise<Content | undefined>
  readonly relocate: (digest: Digest) => Promise<Content | undefined>
  /** The content that this isolate has seen in R2. */
  readonly seen: Memory<true>
  readonly now: Now
  readonly log: Log
}

const NOT_FOUND = { ok: false, failure: { kind: 'not-found' } } as const

/** Reads the blobs of one repository. */
export class HostedBlobs {
  readonly #given: HostedBlobsGiven

  constructor(given: HostedBlobsGiven) {
    this.#given = given
  }

  /**
   * One call of the ledger and one R2 operation. Whoever asks for the size alone is about to push, or to pull.
   * @throws {RegistryError} UNKNOWN (503) while the ledger or R2 is away.
   */
  async get(digest: Digest, question: BlobQuestion): Promise<BlobAnswer> {
    return available(this.#get(digest, question))
  }

  async #get(digest: Digest, question: BlobQuestion): Promise<BlobAnswer> {
    const { locate, relocate, log } = this.#given
    const content = await asked(() => locate(digest, question.wants === 'size'))
    if (content === undefined) return NOT_FOUND
    const answer = await this.#read(content, question)
    if (answer !== undefined) return answer
    this.#given.seen.delete(content.id)
    // Another upload of the same bytes may have taken the place of those that were lost.
    const other = await answered(relocate(digest))
    const found = other && other.id !== content.id && (await this.#read(other, question))
    if (found) return found
    log('hosted-content-missing', { digest, id: content.id })
    return NOT_FOUND
  }

  async #read(content: Content, question: BlobQuestion): Promise<BlobAnswer | undefined> {
    const { blobs } = this.#given
    const key = hostedContentKey(content.id)
    if (question.wants === 'size') {
      const size = await inTime(blobs.head(key), WITHIN, 'storage does not answer')
      return size === undefined ? undefined : served(size, { range: undefined, body: undefined })
    }
    if (question.wants === 'place') return this.#place(key, content, question.range)
    const blob = await inTime(blobs.get(key, question.range), WITHIN, 'storage does not answer')
    if (blob === undefined) return undefined
    if ('unsatisfiable' in blob) return { ok: false, unsatisfiable: blob.unsatisfiable }
    const { offset, length, size, body } = blob
    return served(size, { range: question.range && { offset, length }, body })
  }

  /** Content is never written again and never without the ledger's knowledge deleted, so it is looked for once. */
  async #place(
    key: StorageKey,
    { id, size }: Content,
    range: ByteRange | undefined,
  ): Promise<BlobAnswer | undefined> {
    const { blobs, seen, now } = this.#given
    if (seen.get(id, now()) === undefined) {
      const place = await inTime(blobs.locate(key), WITHIN, 'storage does not answer')
      if (place === undefined) return undefined
      seen.put(id, true, { size: 1, until: now() + SEEN_FOR })
    }
    if (range !== undefined && resolveRange(range, size) === 'unsatisfiable') {
      return { ok: false, unsatisfiable: size }
    }
    return { ...served(size, { range: undefined, body: undefined }), place: { key, size } }
  }
}

function served(size: number, part: Pick<ServedBlob, 'range' | 'body'>): ServedBlob {
  return { ok: true, size, ...part, place: undefined, outcome: 'hit' }
}
