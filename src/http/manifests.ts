// end-3, end-7 and end-9: a manifest by tag or digest, its exact bytes and the headers that clients rely on, on
// their way out and in, and its deletion.

import { wayBack } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { MEDIA_TYPE } from '../oci/manifest.ts'
import { parseTag } from '../oci/reference.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { PushAnswer } from '../hosted/repository.ts'
import { registryErrorOf } from '../registry/failure.ts'
import type { Hosted, Repository } from '../registry/repository.ts'
import type { Visit } from './authenticate.ts'
import { targetOf } from './authorize.ts'
import { readBody } from './body.ts'
import { isNotModified, respond, warn } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/**
 * What a digest names never changes, but of a repository of our own it can be deleted, and then nobody may read
 * it; a tag is asked for again. Nothing may re-encode any of them.
 */
const IMMUTABLE = 'private, max-age=31536000, immutable, no-transform'
const REVALIDATE = 'private, no-cache, no-transform'
/** Missing digests that an answer names. */
const MAX_DETAILS = 100
/** The largest manifest that is taken (bytes); the spec asks for no less. */
const MAX_MANIFEST = 4 * 1024 * 1024
/** The most tags that one request may set besides its reference. */
const MAX_TAGS = 100

/** Answers GET and HEAD (distribution-spec v1.1.1, "Pulling manifests"). */
export async function getManifest(
  visit: Visit,
  repository: Repository,
  reference: Reference,
): Promise<Response> {
  const { exchange } = visit
  const answer = await repository.manifest(reference)
  if (!answer.ok) {
    exchange.outcome = 'miss'
    throw registryErrorOf(answer.failure, 'MANIFEST_UNKNOWN')
  }
  const { digest, mediaType, bytes, warning } = answer
  exchange.outcome = answer.outcome
  const etag = `"${digest}"`
  const isMirrored = repository.kind === 'mirrored'
  const isTag = reference.kind === 'tag'
  const headers: Record<string, string> = {
    [HEADER.dockerContentDigest]: digest,
    [HEADER.etag]: etag,
    [HEADER.cacheControl]: isTag || !isMirrored ? REVALIDATE : IMMUTABLE,
  }
  if (isTag && isMirrored) {
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
  noteRead(visit, answer, isChanged)
  return warning === undefined ? response : warn(response, warning)
}

/** Answers PUT (distribution-spec v1.1.1, "Pushing Manifests"; several tags as main has them, end-7b). */
export async function putManifest(
  { exchange, services, visitor }: Visit,
  { repository, address }: { readonly repository: Hosted; readonly address: Address },
  reference: Reference,
): Promise<Response> {
  const tags = parseTags(exchange.query.getAll('tag'))
  const bytes = await readManifest(exchange)
  exchange.bytes = bytes.byteLength
  const contentType = exchange.headers.get(HEADER.contentType)
  const answer = await repository.putManifest({
    bytes,
    contentType,
    reference,
    tags,
    mayMove: await visitor.may('push', targetOf(address, services.config)),
  })
  if (!answer.ok) throw refusalOf(answer)
  const { digest, subject } = answer
  const headers: Record<string, string> = {
    [HEADER.location]: wayBack(address, `/manifests/${digest}`, new URLSearchParams()),
    [HEADER.dockerContentDigest]: digest,
    [HEADER.contentLength]: '0',
  }
  if (subject !== undefined) headers[HEADER.ociSubject] = subject
  const response = respond(exchange, { status: 201, headers })
  for (const tag of tags) response.headers.append(HEADER.ociTag, tag)
  return response
}

/** Answers DELETE (end-9): of a tag, which leaves its manifest, or of a manifest with all its tags. */
export async function deleteManifest(
  exchange: Exchange,
  repository: Hosted,
  reference: Reference,
): Promise<Response> {
  const isDeleted =
    reference.kind === 'tag'
      ? await repository.deleteTag(reference.tag)
      : await repository.deleteManifest(reference.digest)
  if (!isDeleted) throw new RegistryError('MANIFEST_UNKNOWN')
  return respond(exchange, { status: 202, headers: { [HEADER.contentLength]: '0' } })
}

/** What a client has already, or only asks about, it does not pull; of an index it goes on to one of its images. */
function noteRead(
  { exchange, services }: Visit,
  { digest, mediaType }: { readonly digest: Digest; readonly mediaType: string },
  isSent: boolean,
): void {
  if (exchange.address === undefined) return
  const isIndex = mediaType === MEDIA_TYPE.OCI_INDEX || mediaType === MEDIA_TYPE.DOCKER_LIST
  const isPull = isSent && exchange.method === 'GET' && !isIndex
  services.reads.note(exchange.address, { digest, isPull })
}

/** Each tag once, as they were asked for. */
function parseTags(texts: readonly string[]): readonly Tag[] {
  if (texts.length > MAX_TAGS) {
    throw new RegistryError('UNSUPPORTED', {
      status: 414,
      message: `a request can set ${MAX_TAGS} tags at most`,
    })
  }
  const tags = texts.map((text) => {
    const tag = parseTag(text)
    if (tag !== undefined) return tag
    throw new RegistryError('MANIFEST_INVALID', {
      message: 'this is no tag',
      detail: { tag: text },
    })
  })
  return [...new Set(tags)]
}

async function readManifest(exchange: Exchange): Promise<Uint8Array> {
  const body = await readBody(exchange, MAX_MANIFEST)
  if (body.ok) return body.bytes
  if (body.reason === 'cut') {
    throw new RegistryError('MANIFEST_INVALID', {
      message: 'the body was cut',
      cause: body.cause,
    })
  }
  throw new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `a manifest can have ${MAX_MANIFEST} bytes at most`,
  })
}

function refusalOf(refusal: Extract<PushAnswer, { readonly ok: false }>): RegistryError {
  switch (refusal.reason) {
    case 'invalid':
      return new RegistryError('MANIFEST_INVALID', { message: refusal.why })
    case 'digest':
      return new RegistryError('DIGEST_INVALID')
    case 'missing':
      return new RegistryError('MANIFEST_BLOB_UNKNOWN', {
        // Clients read an error of a few KiB.
        details: refusal.digests.slice(0, MAX_DETAILS).map((digest) => ({ digest })),
      })
    default:
      return refusal satisfies never
  }
}
