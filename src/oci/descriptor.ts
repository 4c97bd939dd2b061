// Descriptors: how a manifest names content. Read leniently, since a manifest may name what this
// registry cannot serve; no length or count in one is ever a reason to allocate.

import { parseDigest } from './digest.ts'
import { isJSONObject } from './json-object.ts'

/** String to string, any key (image-spec v1.1.1, "Annotations"). */
export type Annotations = Readonly<Record<string, string>>

/** A descriptor; `digest` may be of an algorithm that is no Digest here. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Annotations
  readonly [more: string]: unknown
}

/*
 * image-spec v1.1.1, "Digests":
 *   algorithm ::= component *( [+._-] component )        component ::= 1*[a-z0-9]
 *   encoded   ::= 1*[a-zA-Z0-9=_-]
 */
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

/** `.tar`, `.tar+gzip` and so on follow. */
const NON_DISTRIBUTABLE = [
  'application/vnd.oci.image.layer.nondistributable.',
  'application/vnd.docker.image.rootfs.foreign.',
] as const

/**
 * Parses a descriptor. Unknown algorithms pass if they fit the grammar (image-spec v1.1.1,
 * "Digests"), unknown members are kept, and an optional member of the wrong type is left out.
 */
export function parseDescriptor(value: unknown): Descriptor | undefined {
  if (!isJSONObject(value)) {
    return undefined
  }
  const { mediaType, digest, size, artifactType, annotations, ...more } = value
  if (typeof mediaType !== 'string' || !isAnyDigest(digest) || !isSize(size)) {
    return undefined
  }
  return {
    ...more,
    mediaType,
    digest,
    size,
    ...(typeof artifactType === 'string' && { artifactType }),
    ...(isAnnotations(annotations) && { annotations }),
  }
}

/**
 * Whether content of this media type may be missing where a manifest names it: a layer that must not be
 * distributed is never pushed (image-spec v1.1.1, "Non-Distributable Layers"; Docker's foreign layers).
 */
export function isNonDistributable(mediaType: string): boolean {
  const type = mediaType.toLowerCase()
  return NON_DISTRIBUTABLE.some((prefix) => type.startsWith(prefix))
}

/** Whether a value is a valid annotations map. */
export function isAnnotations(value: unknown): value is Annotations {
  return isJSONObject(value) && Object.values(value).every((text) => typeof text === 'string')
}

function isAnyDigest(value: unknown): value is string {
  if (typeof value !== 'string') {
    return false
  }
  const isRegistered = value.startsWith('sha256:') || value.startsWith('sha512:')
  return isRegistered ? parseDigest(value) !== undefined : ANY_DIGEST.test(value)
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
