// The referrers of a manifest as documents: the fallback tag, the index that lists them, and its
// filter. Where the list comes from is for others to know.

import type { Descriptor } from './descriptor.ts'
import { parseDescriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { algorithmOf, encodedOf } from './digest.ts'
import { parseJSONObject } from './json-object.ts'
import { MEDIA_TYPE } from './manifest.ts'
import { compareASCII } from './page.ts'

/** distribution-spec v1.1.1, "Referrers Tag Schema": the encoded part is cut to 64 characters. */
const MAX_ENCODED_LENGTH = 64

/** Clients read an index of at most 4 MiB, so a page of referrers stays well below (bytes). */
export const MAX_REFERRERS_PAGE = 3 * 1024 * 1024

/** The page of referrers that a request asks for: of which types (all where none is named), after which digest. */
export interface ReferrersPage {
  readonly artifactTypes: readonly string[]
  readonly last: string | undefined
}

/**
 * The tag under which clients keep the referrers of a manifest where a registry has no referrers
 * API (distribution-spec v1.1.1, "Referrers Tag Schema"). A Digest has no character that is illegal
 * in a tag, and no algorithm longer than the schema's 32 characters.
 */
export function referrersTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${encodedOf(digest).slice(0, MAX_ENCODED_LENGTH)}`
}

/**
 * The answer of the referrers API: an image index, also when empty (distribution-spec v1.1.1,
 * "Listing Referrers").
 */
export function formatReferrers(descriptors: readonly Descriptor[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.OCI_INDEX,
    manifests: descriptors,
  })
}

/**
 * Parses an image index of referrers, from the API or the fallback tag; entries that are no
 * descriptors are left out.
 */
export function parseReferrers(bytes: Uint8Array): readonly Descriptor[] | undefined {
  const members = parseJSONObject(bytes)?.members ?? {}
  const mediaType = members['mediaType'] ?? MEDIA_TYPE.OCI_INDEX
  // Go writes an empty list that was never made as null.
  const manifests = members['manifests'] === null ? [] : members['manifests']
  if (mediaType !== MEDIA_TYPE.OCI_INDEX || !Array.isArray(manifests)) {
    return undefined
  }
  return manifests.map(parseDescriptor).filter((descriptor) => descriptor !== undefined)
}

/**
 * Keeps the descriptors of any of the artifact types; all of them if none is named. A `+` of a type
 * may have come unencoded, which form decoding reads as a space; no media type has a space of its
 * own.
 */
export function filterReferrers(
  descriptors: readonly Descriptor[],
  artifactTypes: readonly string[],
): Descriptor[] {
  const wanted = new Set(artifactTypes.map((type) => type.replaceAll(' ', '+')))
  return descriptors.filter(({ artifactType }) => {
    return wanted.size === 0 || (artifactType !== undefined && wanted.has(artifactType))
  })
}

/**
 * The referrers after the digest `last` that fit into one page, and the `last` of the next page. They go in the
 * order of their digests, so that `last` says where to go on even when it is not in the list any more.
 */
export function takeReferrers(
  descriptors: readonly Descriptor[],
  { artifactTypes, last }: ReferrersPage,
): { readonly items: readonly Descriptor[]; readonly next: string | undefined } {
  const sorted = filterReferrers(descriptors, artifactTypes)
    .filter(({ digest }) => last === undefined || compareASCII(digest, last) > 0)
    .toSorted((a, b) => compareASCII(a.digest, b.digest))
  const encoder = new TextEncoder()
  let size = 0
  let end = 0
  for (const descriptor of sorted) {
    size += encoder.encode(JSON.stringify(descriptor)).byteLength
    if (size > MAX_REFERRERS_PAGE && end > 0) {
      break
    }
    end += 1
  }
  const items = sorted.slice(0, end)
  return { items, next: end < sorted.length ? items.at(-1)?.digest : undefined }
}
