// What the sample upstream holds, in memory: repositories with their blobs, manifests and tags. It
// keeps whatever it is given; whether that is allowed was decided before.

import { type Digest, digestOf } from '../src/oci/digest.ts'
import { inspectManifest, MEDIA_TYPE } from '../src/oci/manifest.ts'
import type { Descriptor } from '../src/oci/descriptor.ts'
import { compareASCII } from '../src/oci/page.ts'

/** A manifest as it was pushed. */
export interface StoredManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

/** One repository. */
export interface StoredRepository {
  readonly blobs: Map<string, Uint8Array>
  readonly manifests: Map<string, StoredManifest>
  readonly tags: Map<string, string>
}

/** Where a manifest goes, and what it is said to be. */
export interface ManifestOptions {
  readonly tag?: string
  /** The document's own, or the OCI image manifest, when absent. */
  readonly mediaType?: string
  /** Kept under this digest, true or not; that of the bytes when absent. */
  readonly digest?: Digest
}

/** All repositories, by name. */
export class UpstreamContent {
  readonly #repositories = new Map<string, StoredRepository>()

  /** The repositories that anything was ever put into. */
  names(): readonly string[] {
    return [...this.#repositories.keys()]
  }

  /** The repository, if anything was ever put into it. */
  find(name: string): StoredRepository | undefined {
    return this.#repositories.get(name)
  }

  /** The repository, made when it does not exist. */
  open(name: string): StoredRepository {
    const found = this.#repositories.get(name)
    if (found !== undefined) {
      return found
    }
    const repository = { blobs: new Map(), manifests: new Map(), tags: new Map() }
    this.#repositories.set(name, repository)
    return repository
  }

  /** Forgets the repository with all that is in it. */
  delete(name: string): void {
    this.#repositories.delete(name)
  }

  /** The blob, from whatever repository has it. */
  findBlob(digest: string): Uint8Array | undefined {
    for (const { blobs } of this.#repositories.values()) {
      const bytes = blobs.get(digest)
      if (bytes !== undefined) {
        return bytes
      }
    }
    return undefined
  }

  /** Keeps a blob, under its sha256 where no digest is given. */
  async addBlob(name: string, bytes: Uint8Array, digest?: Digest): Promise<Digest> {
    const address = digest ?? (await digestOf(bytes))
    this.open(name).blobs.set(address, bytes)
    return address
  }

  /** Keeps a manifest, also one that is none. */
  async addManifest(name: string, bytes: Uint8Array, options: ManifestOptions): Promise<Digest> {
    const digest = options.digest ?? (await digestOf(bytes))
    const repository = this.open(name)
    const mediaType = options.mediaType ?? mediaTypeOf(bytes)
    repository.manifests.set(digest, { bytes, mediaType })
    if (options.tag !== undefined) {
      repository.tags.set(options.tag, digest)
    }
    return digest
  }

  /** Removes a manifest and every tag that points at it; false when there is none. */
  deleteManifest(name: string, digest: string): boolean {
    const repository = this.find(name)
    if (repository === undefined) {
      return false
    }
    for (const [tag, target] of repository.tags) {
      if (target === digest) {
        repository.tags.delete(tag)
      }
    }
    return repository.manifests.delete(digest)
  }

  /** The descriptors of the manifests whose subject is the digest, in the order of their digests. */
  listReferrers(name: string, subject: string): Descriptor[] {
    const referrers: Descriptor[] = []
    for (const [digest, manifest] of this.find(name)?.manifests ?? []) {
      const referrer = describeReferrer(digest, manifest, subject)
      if (referrer !== undefined) {
        referrers.push(referrer)
      }
    }
    return referrers.toSorted((a, b) => compareASCII(a.digest, b.digest))
  }
}

function mediaTypeOf(bytes: Uint8Array): string {
  const inspection = inspectManifest(bytes, null)
  return inspection.ok ? inspection.mediaType : MEDIA_TYPE.OCI_MANIFEST
}

function describeReferrer(
  digest: string,
  { bytes, mediaType }: StoredManifest,
  subject: string,
): Descriptor | undefined {
  const inspection = inspectManifest(bytes, mediaType)
  if (!inspection.ok || inspection.subject !== subject) {
    return undefined
  }
  const { artifactType, annotations } = inspection
  return {
    mediaType: inspection.mediaType,
    digest,
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}
