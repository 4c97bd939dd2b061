// What a manifest says of itself, read from its exact bytes. It decides whether bytes are a
// manifest at all and of which media type; bytes are never rewritten, and whether the content they
// name exists is the caller's question.

import type { Annotations, Descriptor } from './descriptor.ts'
import { isAnnotations, parseDescriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { parseDigest } from './digest.ts'
import { parseJSONObject } from './json-object.ts'

/** A manifest or index, or why the bytes are refused. */
export type ManifestInspection =
  | {
      readonly ok: true
      readonly mediaType: string
      readonly subject: Digest | undefined
      /**
       * As the referrers API lists it: of an image manifest without one, its config's media type.
       */
      readonly artifactType: string | undefined
      readonly annotations: Annotations | undefined
      /** Config, layers, manifests, blobs and subject, as far as they are descriptors. */
      readonly descriptors: readonly Descriptor[]
      /** What it is made of, as far as they are descriptors; its subject is not part of it. */
      readonly contents: ManifestContents
      /**
       * The first member that should be a descriptor, or a list of them, and is not, e.g. `layers[3]`. A mirror
       * passes on what its upstream has; what is pushed here is refused for it.
       */
      readonly malformed: string | undefined
    }
  | { readonly ok: false; readonly reason: string }

/** The descriptors of a manifest, by what they name: config, layers and blobs, or manifests. */
export interface ManifestContents {
  readonly blobs: readonly Descriptor[]
  readonly manifests: readonly Descriptor[]
}

/** The media types of manifests; others pass as well. */
export const MEDIA_TYPE = {
  OCI_INDEX: 'application/vnd.oci.image.index.v1+json',
  OCI_MANIFEST: 'application/vnd.oci.image.manifest.v1+json',
  /** Of the 1.1 release candidates; some registries still have it. */
  OCI_ARTIFACT: 'application/vnd.oci.artifact.manifest.v1+json',
  DOCKER_LIST: 'application/vnd.docker.distribution.manifest.list.v2+json',
  DOCKER_MANIFEST: 'application/vnd.docker.distribution.manifest.v2+json',
  DOCKER_SCHEMA1: 'application/vnd.docker.distribution.manifest.v1+json',
  DOCKER_SCHEMA1_SIGNED: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/**
 * The `Accept` of every manifest request to an upstream, whatever the client accepts: what is
 * cached must not depend on who asked first. Schema 1 is missing, lest a registry convert to it.
 */
export const ACCEPT_MANIFEST: string = [
  MEDIA_TYPE.OCI_INDEX,
  MEDIA_TYPE.OCI_MANIFEST,
  MEDIA_TYPE.DOCKER_LIST,
  MEDIA_TYPE.DOCKER_MANIFEST,
  MEDIA_TYPE.OCI_ARTIFACT,
  '*/*',
].join(', ')

/** Content types that say nothing of a manifest; file servers and some registries send them. */
const GENERIC: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'text/plain',
])

const SCHEMA1: ReadonlySet<string> = new Set([
  MEDIA_TYPE.DOCKER_SCHEMA1,
  MEDIA_TYPE.DOCKER_SCHEMA1_SIGNED,
])

/* RFC 6838 §4.2: restricted-name "/" restricted-name, of 1 to 127 characters each; lower case */
const MEDIA_TYPE_NAME = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/

type Members = Readonly<Record<string, unknown>>

/**
 * Inspects the bytes of a manifest that came as `contentType`. Two readers must never take the same
 * bytes for different manifests (CVE-2021-41190, image-spec v1.0.2): so the content type must agree
 * with the document's `mediaType`, no document is both manifest and index, and no top-level key
 * stands twice.
 */
export function inspectManifest(bytes: Uint8Array, contentType: string | null): ManifestInspection {
  const document = parseJSONObject(bytes)
  if (document === undefined) {
    return refuse('not a JSON object')
  }
  const { members, repeatedKey } = document
  if (repeatedKey !== undefined) {
    return refuse('a top-level key stands twice')
  }
  const version = members['schemaVersion']
  if (version !== undefined && version !== 2) {
    return refuse('schemaVersion is not 2')
  }
  if (
    'manifests' in members &&
    ('layers' in members || 'config' in members || 'blobs' in members)
  ) {
    return refuse('both a manifest and an index')
  }
  const mediaType = resolveMediaType(members, contentType)
  return mediaType.ok ? describe(members, mediaType.value) : mediaType
}

function refuse(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason }
}

function describe(members: Members, mediaType: string): ManifestInspection {
  const config = parseDescriptor(members['config'])
  const subject = parseDescriptor(members['subject'])
  const [layers, manifests, blobs] = [
    parseDescriptors(members['layers']),
    parseDescriptors(members['manifests']),
    parseDescriptors(members['blobs']),
  ]
  const annotations = members['annotations']
  return {
    ok: true,
    mediaType,
    subject: subject && parseDigest(subject.digest),
    artifactType: artifactTypeOf(members, mediaType, config),
    annotations: isAnnotations(annotations) ? annotations : undefined,
    descriptors: known([config, ...layers, ...manifests, ...blobs, subject]),
    contents: { blobs: known([config, ...layers, ...blobs]), manifests: known(manifests) },
    malformed: findMalformed(members),
  }
}

function parseDescriptors(list: unknown): readonly (Descriptor | undefined)[] {
  return Array.isArray(list) ? list.map(parseDescriptor) : []
}

function known(candidates: readonly (Descriptor | undefined)[]): readonly Descriptor[] {
  return candidates.filter((descriptor) => descriptor !== undefined)
}

/** Go writes an absent member as null, so null is absent. */
function findMalformed(members: Members): string | undefined {
  for (const name of ['config', 'subject']) {
    const value = members[name] ?? undefined
    if (value !== undefined && parseDescriptor(value) === undefined) {
      return name
    }
  }
  for (const name of ['layers', 'manifests', 'blobs']) {
    const list = members[name] ?? []
    if (!Array.isArray(list)) {
      return name
    }
    const index = list.findIndex((entry) => parseDescriptor(entry) === undefined)
    if (index >= 0) {
      return `${name}[${index}]`
    }
  }
  return undefined
}

/** distribution-spec v1.1.1, "Listing Referrers": an index without `artifactType` has none. */
function artifactTypeOf(
  members: Members,
  mediaType: string,
  config: Descriptor | undefined,
): string | undefined {
  const artifactType = members['artifactType']
  if (typeof artifactType === 'string' && artifactType !== '') {
    return artifactType
  }
  const isImage = mediaType === MEDIA_TYPE.OCI_MANIFEST || mediaType === MEDIA_TYPE.DOCKER_MANIFEST
  return isImage ? config?.mediaType : undefined
}

type MediaTypeResolution =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly reason: string }

function resolveMediaType(members: Members, contentType: string | null): MediaTypeResolution {
  const sent = essenceOf(contentType ?? '')
  const stated = members['mediaType'] ?? ''
  if (typeof stated !== 'string') {
    return refuse('mediaType is not a string')
  }
  const own = stated.toLowerCase()
  if (!GENERIC.has(sent) && own !== '' && own !== sent) {
    return refuse('mediaType differs from Content-Type')
  }
  const value = GENERIC.has(sent) ? own || typeOfShape(members) : sent
  return value === undefined || !isManifestType(value)
    ? refuse('not a media type of a manifest')
    : { ok: true, value }
}

function essenceOf(contentType: string): string {
  const semicolon = contentType.indexOf(';')
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
}

function typeOfShape(members: Members): string | undefined {
  if (Array.isArray(members['manifests'])) {
    return MEDIA_TYPE.OCI_INDEX
  }
  return parseDescriptor(members['config']) === undefined ? undefined : MEDIA_TYPE.OCI_MANIFEST
}

/**
 * Tells a manifest type from an error page's; the value goes into a header, so its characters are
 * checked too.
 */
function isManifestType(type: string): boolean {
  const isPlausible = type.includes('json') || type.includes('vnd.')
  return isPlausible && !SCHEMA1.has(type) && MEDIA_TYPE_NAME.test(type)
}
