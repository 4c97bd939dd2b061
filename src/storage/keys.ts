// The layout of everything that is stored. Every key of R2 and KV is built here and nowhere else:
//
//   R2  mirror/<host>/blobs/<algorithm>/<hex>                        blob of a public repository, shared by the host's repositories
//       mirror/<host>/private/<repository>/blobs/<algorithm>/<hex>   blob of a private repository: the key is the membership
//       mirror/<host>/manifests/<repository>/<algorithm>/<hex>       exact bytes of a mirrored manifest
//       fills/<id>/<n>                                               segment n of a running fill
//       hosted/content/<id>                                          bytes of an upload, and later of the blob it became
//       hosted/manifests/<repository>/<algorithm>/<hex>              exact bytes of a hosted manifest
//       repositories/<kind>/<name>                                   empty marker: this repository has rows
//       exports/<id>/index.json                                          an export: what it has, written last; before, of one that is brought, incoming.json
//       exports/<id>/<n>.ndjson                                          part n of an export
//       jobs/<time>-<id>                                             listing of a job, the newest first; how it stood in its metadata
//   KV  tag/<host>/<repository>:<tag>                                where a tag pointed, with the manifest's bytes
//       manifest/<host>/<repository>@<digest>                        a manifest's bytes
//
// A repository name can be a prefix of another's key only up to a reserved component (`blobs`,
// `manifests`): the digest that ends each key has a fixed form, so no two names share a key.

import { algorithmOf, encodedOf, parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'

/** A key in R2: made here only. */
export type StorageKey = string & { readonly StorageKey: unique symbol }

/** A mirrored repository, as far as keys and objects need to know it. */
export interface MirroredName {
  readonly host: string
  readonly repository: RepositoryName
}

/** KV refuses longer keys (bytes). */
const MAX_HINT_KEY = 512

/** The blob of a mirrored repository; in a private one the repository is part of the key. */
export function mirroredBlobKey(
  name: MirroredName,
  isPrivate: boolean,
  digest: Digest,
): StorageKey {
  const space = isPrivate ? `private/${name.repository}/blobs` : 'blobs'
  return `mirror/${name.host}/${space}/${addressed(digest)}` as StorageKey
}

/** The bytes of a mirrored manifest. */
export function mirroredManifestKey(name: MirroredName, digest: Digest): StorageKey {
  return `mirror/${name.host}/manifests/${name.repository}/${addressed(digest)}` as StorageKey
}

/** What the keys of everything mirrored begin with. */
export const MIRROR_PREFIX = 'mirror/'

/** What the keys of everything mirrored of one host begin with. */
export function mirrorPrefix(host: string): string {
  return `${MIRROR_PREFIX}${host}/`
}

/** What the keys of a repository's manifests begin with, and those of the repositories below it. */
export function mirroredManifestPrefix(name: MirroredName): string {
  return `${mirrorPrefix(name.host)}manifests/${name.repository}/`
}

/** What the keys of a private repository's blobs begin with, and some of repositories below it. */
export function privateBlobPrefix(name: MirroredName): string {
  return `${mirrorPrefix(name.host)}private/${name.repository}/blobs/`
}

/** What a key below `mirror/` holds. */
export interface MirroredObject {
  readonly kind: 'blob' | 'manifest'
  readonly host: string
  /** Of a manifest or a private blob; the repositories of a host share its other blobs. */
  readonly repository: RepositoryName | undefined
  readonly digest: Digest
}

const MIRRORED =
  /^mirror\/([^/]+)\/(?:(blobs)|private\/(.+)\/blobs|manifests\/(.+))\/(sha256|sha512)\/([a-f0-9]+)$/

/** Reads a key below `mirror/`; `undefined`: it is none that is made here. */
export function parseMirroredKey(key: string): MirroredObject | undefined {
  const [, host, shared, member, manifests, algorithm, hex] = MIRRORED.exec(key) ?? []
  const digest = parseDigest(`${algorithm}:${hex}`)
  if (host === undefined || digest === undefined) return undefined
  const kind = manifests === undefined ? 'blob' : 'manifest'
  if (shared !== undefined) return { kind, host, repository: undefined, digest }
  const repository = parseRepositoryName(manifests ?? member ?? '')
  return repository === undefined ? undefined : { kind, host, repository, digest }
}

/** The name by which a mirrored repository is known, taken apart. */
export function parseCanonicalName(canonical: string): MirroredName | undefined {
  const slash = canonical.indexOf('/')
  const repository = parseRepositoryName(canonical.slice(slash + 1))
  if (slash <= 0 || repository === undefined) return undefined
  return { host: canonical.slice(0, slash), repository }
}

/** What the segments of all fills begin with. */
export const FILLS_PREFIX = 'fills/'

/** All segments of one fill. */
export function segmentPrefix(fill: string): string {
  return `${FILLS_PREFIX}${fill}/`
}

/** Segment `n`, counted from 0, of one fill. */
export function segmentKey(fill: string, n: number): StorageKey {
  return `${segmentPrefix(fill)}${n}` as StorageKey
}

/** The bytes of an upload, which stay where they are when it becomes a blob; `id` is the upload's own, never used again. */
export function hostedContentKey(id: string): StorageKey {
  return `hosted/content/${id}` as StorageKey
}

/** The bytes of a hosted manifest. */
export function hostedManifestKey(repository: RepositoryName, digest: Digest): StorageKey {
  return `hosted/manifests/${repository}/${addressed(digest)}` as StorageKey
}

/** Whether a repository is a cache or property. */
export type RepositoryKind = 'mirrored' | 'hosted'

/** What the markers of all repositories of one kind begin with. */
export function markerPrefix(kind: RepositoryKind): string {
  return `repositories/${kind}/`
}

/** The marker of a repository that has rows. */
export function markerKey(kind: RepositoryKind, canonical: string): StorageKey {
  return `${markerPrefix(kind)}${canonical}` as StorageKey
}

/** What the listings of all jobs begin with. */
export const JOBS_PREFIX = 'jobs/'

/** No job is made after this (milliseconds): keys count down from it, so that the newest comes first. */
const END_OF_TIME = 9_999_999_999_999

/** The listing of a job that was made at `createdAt` (milliseconds). */
export function jobKey(createdAt: number, id: string): StorageKey {
  return `${JOBS_PREFIX}${String(END_OF_TIME - createdAt).padStart(13, '0')}-${id}` as StorageKey
}

/** What the keys of all exports begin with. */
export const EXPORTS_PREFIX = 'exports/'

/** What the keys of one export begin with. */
export function exportPrefix(id: string): string {
  return `${EXPORTS_PREFIX}${id}/`
}

/** What an export has; without it there is no export. */
export function exportIndexKey(id: string): StorageKey {
  return `${exportPrefix(id)}index.json` as StorageKey
}

/** What an export will have that is being brought here, part by part. */
export function incomingIndexKey(id: string): StorageKey {
  return `${exportPrefix(id)}incoming.json` as StorageKey
}

/** Part `n`, counted from 0, of an export. */
export function exportPartKey(id: string, n: number): StorageKey {
  return `${exportPrefix(id)}${String(n).padStart(6, '0')}.ndjson` as StorageKey
}

/** The KV key of a mirrored tag. */
export function tagHintKey(name: MirroredName, tag: Tag): Promise<string> {
  return hintKey(`tag/${canonicalName(name)}:${tag}`)
}

/** The KV key of a mirrored manifest. */
export function manifestHintKey(name: MirroredName, digest: Digest): Promise<string> {
  return hintKey(`manifest/${canonicalName(name)}@${digest}`)
}

/** The name by which grants, scopes, logs and Durable Objects know a mirrored repository. */
export function canonicalName(name: MirroredName): string {
  return `${name.host}/${name.repository}`
}

function addressed(digest: Digest): string {
  return `${algorithmOf(digest)}/${encodedOf(digest)}`
}

/** Names, tags and digests are ASCII, so a key's length is its size in bytes. */
async function hintKey(key: string): Promise<string> {
  if (key.length <= MAX_HINT_KEY) return key
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key))
  const hex = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `hashed/${hex}`
}
