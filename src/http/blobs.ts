// end-2 and end-10: a blob, whole or one range of it, and its deletion.

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { formatContentRange, parseRange, resolveRange, unsatisfiedRange } from '../oci/range.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobAnswer, ServedBlob } from '../mirror/blobs.ts'
import { registryErrorOf } from '../registry/failure.ts'
import type { Hosted, Repository } from '../registry/repository.ts'
import type { Visit } from './authenticate.ts'
import { redirectEndpoint } from './delivery.ts'
import { isNotModified, respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** What a digest names never changes, but of a repository of our own it can be deleted, and then nobody may read it. */
const CACHE_CONTROL = {
  mirrored: 'private, max-age=31536000, immutable, no-transform',
  hosted: 'private, no-cache, no-transform',
} as const

/**
 * Answers GET and HEAD (distribution-spec v1.1.1, "Pulling blobs"; ranges by RFC 9110 §14). Where a client can read a
 * stored blob for itself, it is told where.
 */
export async function getBlob(
  visit: Visit,
  repository: Repository,
  digest: Digest,
): Promise<Response> {
  const response = await deliver(visit, repository, digest)
  const { address } = visit.exchange
  if (address !== undefined) visit.services.reads.note(address, { digest, isPull: false })
  return response
}

async function deliver(visit: Visit, repository: Repository, digest: Digest): Promise<Response> {
  const { exchange, services } = visit
  const etag = `"${digest}"`
  const entity = { digest, etag, cacheControl: CACHE_CONTROL[repository.kind] }
  const isHead = exchange.method === 'HEAD'
  const range = isHead ? undefined : requestedRange(exchange, etag)
  if (isHead || range === 'unsatisfiable' || isNotModified(exchange, etag)) {
    const blob = served(exchange, await repository.blobs.get(digest, { wants: 'size' }))
    if (range === 'unsatisfiable') throw unsatisfied(blob.size)
    return render(exchange, blob, entity)
  }
  const get = async (wants: 'bytes' | 'place'): Promise<ServedBlob> =>
    served(exchange, await repository.blobs.get(digest, { wants, range }))
  const endpoint = await endpointFor(visit)
  if (endpoint === undefined) return render(exchange, await get('bytes'), entity)
  const blob = await get('place')
  if (blob.place === undefined) return render(exchange, blob, entity)
  const url = await services.redirect(blob.place, endpoint)
  if (url !== undefined) {
    exchange.redirected = lengthOf(range, blob.place.size)
    return redirectTo(exchange, url, digest)
  }
  return render(exchange, await get('bytes'), entity)
}

/** Where this client may read a blob for itself; what is switched off is asked only where it would be sent there. */
async function endpointFor({ exchange, services }: Visit): Promise<URL | undefined> {
  if (!services.mayRedirect()) return undefined
  const endpoint = redirectEndpoint(exchange, services.config)
  if (endpoint === undefined || (await services.access.switches()).noRedirect) return undefined
  return endpoint
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

/** The blob of an answer, whose outcome is noted. @throws {RegistryError} where there is none. */
function served(exchange: Exchange, answer: BlobAnswer): ServedBlob {
  if (answer.ok) {
    exchange.outcome = answer.outcome
    return answer
  }
  if ('unsatisfiable' in answer) throw unsatisfied(answer.unsatisfiable)
  exchange.outcome = 'miss'
  throw registryErrorOf(answer.failure, 'BLOB_UNKNOWN')
}

/** The URL is as good as the bytes for as long as it lives, so nobody keeps it and nobody is told where it was found. */
function redirectTo(exchange: Exchange, url: string, digest: Digest): Response {
  const headers = {
    [HEADER.location]: url,
    [HEADER.cacheControl]: 'no-store',
    [HEADER.referrerPolicy]: 'no-referrer',
    [HEADER.dockerContentDigest]: digest,
    [HEADER.contentLength]: '0',
  }
  return respond(exchange, { status: 307, headers })
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

/** How much of a blob the client will read there. */
function lengthOf(range: ByteRange | undefined, size: number): number {
  const resolved = range === undefined ? 'unsatisfiable' : resolveRange(range, size)
  return resolved === 'unsatisfiable' ? size : resolved.length
}

function unsatisfied(size: number | undefined): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 416,
    message: 'the range is not within the blob',
    headers: size === undefined ? {} : { [HEADER.contentRange]: unsatisfiedRange(size) },
  })
}
