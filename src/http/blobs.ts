// end-2 and end-10: a blob, whole or one range of it, and its deletion.

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { formatContentRange, parseRange, unsatisfiedRange } from '../oci/range.ts'
import type { ByteRange } from '../oci/range.ts'
import type { ServedBlob } from '../mirror/blobs.ts'
import { registryErrorOf } from '../registry/failure.ts'
import type { Hosted, Repository } from '../registry/repository.ts'
import { isNotModified, respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** What a digest names never changes, but of a repository of our own it can be deleted, and then nobody may read it. */
const CACHE_CONTROL = {
  mirrored: 'private, max-age=31536000, immutable, no-transform',
  hosted: 'private, no-cache, no-transform',
} as const

/** Answers GET and HEAD (distribution-spec v1.1.1, "Pulling blobs"; ranges by RFC 9110 §14). */
export async function getBlob(
  exchange: Exchange,
  repository: Repository,
  digest: Digest,
): Promise<Response> {
  const etag = `"${digest}"`
  const isHead = exchange.method === 'HEAD'
  const range = isHead ? undefined : requestedRange(exchange, etag)
  const isWhole = isHead || range === 'unsatisfiable' || isNotModified(exchange, etag)
  const answer = await repository.blobs.get(
    digest,
    isWhole ? { wants: 'size' } : { wants: 'bytes', range },
  )
  if (!answer.ok && 'unsatisfiable' in answer) throw unsatisfied(answer.unsatisfiable)
  if (!answer.ok) {
    exchange.outcome = 'miss'
    throw registryErrorOf(answer.failure, 'BLOB_UNKNOWN')
  }
  exchange.outcome = answer.outcome
  if (range === 'unsatisfiable') throw unsatisfied(answer.size)
  return render(exchange, answer, { digest, etag, cacheControl: CACHE_CONTROL[repository.kind] })
}

/** Answers DELETE (end-10). */
export async function deleteBlob(
  exchange: Exchange,
  repository: Hosted,
  digest: Digest,
): Promise<Response> {
  const isDeleted = await repository.deleteBlob(digest)
  if (!isDeleted) throw new RegistryError('BLOB_UNKNOWN')
  return respond(exchange, { status: 202, headers: { [HEADER.contentLength]: '0' } })
}

function render(
  exchange: Exchange,
  answer: ServedBlob,
  entity: { readonly digest: Digest; readonly etag: string; readonly cacheControl: string },
): Response {
  const headers: Record<string, string> = {
    [HEADER.dockerContentDigest]: entity.digest,
    [HEADER.etag]: entity.etag,
    [HEADER.cacheControl]: entity.cacheControl,
    [HEADER.acceptRanges]: 'bytes',
  }
  if (isNotModified(exchange, entity.etag)) return respond(exchange, { status: 304, headers })
  headers[HEADER.contentType] = 'application/octet-stream'
  const { body, size, range } = answer
  if (range === undefined || size === undefined) {
    if (size !== undefined) headers[HEADER.contentLength] = String(size)
    return respond(exchange, { status: 200, headers, body })
  }
  headers[HEADER.contentRange] = formatContentRange(range.offset, range.length, size)
  headers[HEADER.contentLength] = String(range.length)
  return respond(exchange, { status: 206, headers, body })
}

/** A range counts only while the entity is the one that `If-Range` names (RFC 9110 §13.1.5). */
function requestedRange(exchange: Exchange, etag: string): ByteRange | 'unsatisfiable' | undefined {
  const ifRange = exchange.headers.get(HEADER.ifRange)
  if (ifRange !== null && ifRange.trim() !== etag) return undefined
  return parseRange(exchange.headers.get(HEADER.range))
}

function unsatisfied(size: number | undefined): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 416,
    message: 'the range is not within the blob',
    headers: size === undefined ? {} : { [HEADER.contentRange]: unsatisfiedRange(size) },
  })
}
