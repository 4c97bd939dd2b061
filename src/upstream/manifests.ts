// Manifests as an upstream gives them: read whole, at most 4 MiB, hashed here, and refused when the
// document is not what its media type says.

import { algorithmOf, digestOf, parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import { ACCEPT_MANIFEST, inspectManifest } from '../oci/manifest.ts'
import type { ManifestInspection } from '../oci/manifest.ts'
import { formatReference } from '../oci/reference.ts'
import type { Reference } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { readWhole } from '../outbound.ts'
import type { Now } from '../seams.ts'
import { withAlternates } from './alternates.ts'
import type { UpstreamClient } from './client.ts'
import { UpstreamError, failureOf } from './error.ts'

/** distribution-spec v1.1.1, "Pushing Manifests": registries take at least 4 MiB, and clients read no more. */
export const MAX_MANIFEST = 4 * 1024 * 1024

/** A manifest whose digest has been checked. */
export interface Manifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/** A manifest fresh from an upstream, with what its document says. */
export interface FetchedManifest extends Manifest {
  readonly document: ManifestInspection & { readonly ok: true }
}

/** What to ask for, and when it must be here (milliseconds of the clock). */
export interface ManifestRequest {
  readonly repository: RepositoryName
  readonly reference: Reference
  readonly deadline: number
}

/**
 * The digest that a tag has upstream, by HEAD, which is free on Docker Hub; `undefined` when the upstream
 * does not tell by HEAD.
 * @throws {UpstreamError}
 */
export async function headManifest(
  client: UpstreamClient,
  request: ManifestRequest,
): Promise<Digest | undefined> {
  try {
    const response = await client.send({ ...about(request), method: 'HEAD', purpose: 'check' })
    return parseDigest(response.headers.get(HEADER.dockerContentDigest) ?? '')
  } catch (error) {
    // Some registries know no HEAD of a manifest (405): then GET has to tell.
    if (error instanceof UpstreamError && error.failure.kind === 'invalid') return undefined
    throw error
  }
}

/**
 * A manifest with its digest verified: against the reference if that is a digest, from whichever endpoint;
 * else against what the upstream claims, else simply computed.
 * @throws {UpstreamError | OutboundError}
 */
export async function fetchManifest(
  client: UpstreamClient,
  request: ManifestRequest,
  now: Now,
): Promise<FetchedManifest> {
  if (request.reference.kind === 'tag') return fetchFrom(client, request, now)
  return withAlternates(client, { deadline: request.deadline, now }, (endpoint, deadline) =>
    fetchFrom(endpoint, { ...request, deadline }, now),
  )
}

/**
 * What the first alternate that has the tag says of it, if any does: a guess until the upstream confirms it.
 */
export async function guessManifest(
  client: UpstreamClient,
  request: ManifestRequest,
  now: Now,
): Promise<FetchedManifest | undefined> {
  const { alternates } = client
  for (const [index, alternate] of alternates.entries()) {
    // One that hangs leaves the next its share of the time.
    const share = (request.deadline - now()) / (alternates.length - index)
    try {
      return await fetchFrom(alternate, { ...request, deadline: now() + share }, now)
    } catch (error) {
      // Whatever it is: the next one is asked, and nothing is concluded from it.
      failureOf(error)
    }
  }
  return undefined
}

async function fetchFrom(
  client: UpstreamClient,
  request: ManifestRequest,
  now: Now,
): Promise<FetchedManifest> {
  const response = await client.send({ ...about(request), method: 'GET', purpose: 'counted' })
  const bytes = await readWhole(response, MAX_MANIFEST, request.deadline - now())
  client.noteRead(bytes.byteLength)
  const digest = await verifiedDigest(request.reference, response, bytes)
  const document = inspectManifest(bytes, response.headers.get(HEADER.contentType))
  if (!document.ok)
    throw invalid(`${client.upstream.host} sent no valid manifest: ${document.reason}`)
  return { digest, mediaType: document.mediaType, bytes, document }
}

function about(request: ManifestRequest) {
  return {
    repository: request.repository,
    path: `manifests/${formatReference(request.reference)}`,
    headers: { [HEADER.accept]: ACCEPT_MANIFEST, [HEADER.acceptEncoding]: 'identity' },
    deadline: request.deadline,
  }
}

async function verifiedDigest(
  reference: Reference,
  response: Response,
  bytes: Uint8Array,
): Promise<Digest> {
  if (reference.kind === 'digest') {
    const computed = await digestOf(bytes, algorithmOf(reference.digest))
    if (computed === reference.digest) return computed
    throw invalid('the manifest does not have the digest that was asked for')
  }
  // A tag may have been pushed under sha512; the upstream's word is taken only where the bytes agree.
  const claimed = parseDigest(response.headers.get(HEADER.dockerContentDigest) ?? '')
  if (claimed !== undefined && (await digestOf(bytes, algorithmOf(claimed))) === claimed)
    return claimed
  return digestOf(bytes)
}

function invalid(reason: string): UpstreamError {
  return new UpstreamError({ kind: 'invalid', reason })
}
