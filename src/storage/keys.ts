// The layout of everything that is stored. Every key of R2 and KV is built here and nowhere else:
//
//   R2  mirror/<host>/blobs/<algorithm>/<hex>                        blob of a public repository, shared by the host's repositories
//       mirror/<host>/private/<repository>/blobs/<algorithm>/<hex>   blob of a private repository: the key is the membership
//       mirror/<host>/manifests/<repository>/<algorithm>/<hex>       exact bytes of a mirrored manifest
//       fills/<id>/<n>                                               segment n of a running fill
//       hosted/content/<id>                                          bytes of an upload, and later of the blob it became
//       hosted/manifests/<repository>/<algorithm>/<hex>              exact bytes of a hosted manifest
//       repositories/<kind>/<name>                                   empty marker: this repository has rows
//   KV  tag/<host>/<repository>:<tag>                                where a tag pointed, with the manifest's bytes
//       manifest/<host>/<repository>@<digest>                        a manifest's bytes
//
// A repository name can be a prefix of another's key only up to a reserved component (`blobs`,
// `manifests`): the digest that ends each key has a fixed form, so no two names share a key.

import { algorithmOf, encodedOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
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

/** All segments of one fill. */
export function segmentPrefix(fill: string): string {
  return `fills/${fill}/`
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
