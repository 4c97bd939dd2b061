// end-3: a manifest by tag or digest, its exact bytes and the headers that clients rely on.

import { HEADER } from '../oci/header.ts'
import type { Reference } from '../oci/reference.ts'
import type { MirroredRepository } from '../mirror/repository.ts'
import { registryErrorOf } from '../registry/failure.ts'
import { isNotModified, respond, warn } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** What a digest names never changes; a tag is asked for again. Nothing may re-encode either. */
const IMMUTABLE = 'private, max-age=31536000, immutable, no-transform'
const REVALIDATE = 'no-cache, no-transform'

/** Answers GET and HEAD (distribution-spec v1.1.1, "Pulling manifests"). */
export async function getManifest(
  exchange: Exchange,
  repository: MirroredRepository,
  reference: Reference,
): Promise<Response> {
  const answer = await repository.manifest(reference)
  if (!answer.ok) {
    exchange.outcome = 'miss'
    throw registryErrorOf(answer.failure, 'MANIFEST_UNKNOWN')
  }
  const { digest, mediaType, bytes, warning } = answer
  exchange.outcome = answer.outcome
  const etag = `"${digest}"`
  const isTag = reference.kind === 'tag'
  const headers: Record<string, string> = {
    [HEADER.dockerContentDigest]: digest,
    [HEADER.etag]: etag,
    [HEADER.cacheControl]: isTag ? REVALIDATE : IMMUTABLE,
  }
  if (isTag) {
    const age = Math.floor((exchange.now() - answer.verifiedAt) / 1000)
    headers[HEADER.age] = String(Math.max(0, age))
  }
  const isChanged = !isNotModified(exchange, etag)
  if (isChanged) {
    headers[HEADER.contentType] = mediaType
    headers[HEADER.contentLength] = String(bytes?.byteLength ?? 0)
  }
  const answered = isChanged ? { status: 200, headers, body: bytes } : { status: 304, headers }
  const response = respond(exchange, answered)
  return warning === undefined ? response : warn(response, warning)
}
