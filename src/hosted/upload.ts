// What an upload session is asked and what it answers, what it works with, and which chunks it takes.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { UploadRange } from '../oci/upload-range.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { SpareBuffers } from './spare-buffers.ts'

/** The name of a session; `session` is what its URL says. */
export interface UploadName {
  readonly repository: RepositoryName
  readonly session: string
}

/** What a request says of its body: `Content-Range` and `Content-Length`. */
export interface Chunk {
  readonly range: UploadRange | undefined
  readonly length: number | undefined
}

/**
 * Why a session does not do what it is asked. `offset` is how many bytes it has: it survives everything but
 * `unknown` and `digest`.
 *
 * - `out-of-order`: the chunk does not start there, or another request holds the session.
 * - `length`: body, `Content-Range` and `Content-Length` disagree.
 * - `digest`: the bytes have another digest, and the session is over; or it was closed with another digest.
 * - `too-large`: more than `limit` bytes.
 * - `later`: the session is still being closed, or storage stands still; whoever asks again after so many seconds
 *   gets the result.
 * - `cut`: the body broke off; what has arrived is kept.
 */
export type UploadRefusal =
  | { readonly ok: false; readonly reason: 'unknown' }
  | { readonly ok: false; readonly reason: 'out-of-order'; readonly offset: number }
  | { readonly ok: false; readonly reason: 'length'; readonly offset: number }
  | { readonly ok: false; readonly reason: 'digest' }
  | { readonly ok: false; readonly reason: 'too-large'; readonly limit: number }
  | { readonly ok: false; readonly reason: 'later'; readonly retryAfter: number }
  | { readonly ok: false; readonly reason: 'cut'; readonly offset: number }

/** How many bytes the session has now. */
export type AppendAnswer = { readonly ok: true; readonly offset: number } | UploadRefusal

/** How large the blob is that the upload has become. */
export type CloseAnswer = { readonly ok: true; readonly size: number } | UploadRefusal

/** How many bytes the session has. */
export type StatusAnswer = { readonly ok: true; readonly offset: number } | UploadRefusal

/** Bytes of an upload, as they are handed over to whoever keeps the blobs of a digest. */
export interface UploadedContent {
  readonly id: string
  readonly size: number
}

/** What an upload session is given. */
export interface UploadGiven {
  readonly name: UploadName
  readonly storage: DurableObjectStorage
  readonly bucket: R2Bucket
  readonly spareBuffers: SpareBuffers
  /** Hands the verified bytes over; `ok: false`: they are gone. May be repeated. */
  readonly adopt: (
    digest: Digest,
    content: UploadedContent,
  ) => Promise<{ readonly ok: true; readonly content: UploadedContent } | { readonly ok: false }>
  /** Takes bytes back that were, or may have been, handed over; `adopted`: they are the session's no more. */
  readonly disown: (digest: Digest, id: string) => Promise<'adopted' | 'disowned'>
  /** Makes the blob the repository's. */
  readonly hold: (
    digest: Digest,
  ) => Promise<
    { readonly ok: true; readonly size: number } | { readonly ok: false; readonly reason: 'absent' }
  >
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** Sizes in bytes, durations in milliseconds; a test lowers them. */
export interface UploadLimits {
  /** R2 takes parts of 5 MiB and more, all but the last equal, so many of them. */
  readonly partSize: number
  readonly maxParts: number
  /** SQLite takes rows of up to 2 MB. */
  readonly rowSize: number
  /** Whoever waits for a digest, or for a request before, is answered after so long; clients give up after 30 s. */
  readonly patience: number
  /** A session that has got no byte for so long ends. */
  readonly idle: number
  /** A closed session answers a repeated close for so long. */
  readonly kept: number
  /** What could not be done is tried again after so long. */
  readonly retry: number
}

/** The limits of the registry. */
export const UPLOAD_LIMITS: UploadLimits = {
  partSize: 8 * 1024 ** 2,
  maxParts: 10_000,
  rowSize: 1024 ** 2,
  patience: 20_000,
  idle: 24 * 60 * 60 * 1000,
  kept: 60 * 60 * 1000,
  retry: 60_000,
}

/** The answer of a session that there is not, or no more. */
export const UNKNOWN: UploadRefusal = { ok: false, reason: 'unknown' }

/** How long the body is that a chunk announces; undefined when it does not say. */
export function widthOf({ range, length }: Chunk): number | undefined {
  return range === undefined ? length : range.last - range.first + 1
}

/** Why a session of `offset` bytes cannot take a chunk, as far as its headers tell. */
export function refusalOf(
  chunk: Chunk,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): UploadRefusal | undefined {
  const { range, length } = chunk
  if (range !== undefined && (range.first !== offset || range.last < range.first)) {
    return { ok: false, reason: 'out-of-order', offset }
  }
  const width = widthOf(chunk)
  if (length !== undefined && length !== width) return { ok: false, reason: 'length', offset }
  if (offset + (width ?? 0) > limit) return { ok: false, reason: 'too-large', limit }
  return undefined
}
