// Manifest bytes in R2, by key. The digest is checked on the way in and again on the way out: what was
// damaged in storage is treated as absent.

import { algorithmOf, digestBytes, digestOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { StorageKey } from './keys.ts'

/** A manifest's exact bytes, and the type they were served with. */
export interface StoredManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

/** Reads and writes the exact bytes of manifests. */
export class ManifestStore {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  /** The manifest if it is there and its bytes hash to `digest`. One R2 operation. */
  async get(key: StorageKey, digest: Digest): Promise<StoredManifest | undefined> {
    const object = await this.#bucket.get(key)
    const mediaType = object?.httpMetadata?.contentType
    if (object === null || mediaType === undefined) return undefined
    const bytes = await object.bytes()
    return (await digestOf(bytes, algorithmOf(digest))) === digest
      ? { bytes, mediaType }
      : undefined
  }

  /** Stores the bytes; R2 refuses them if they do not hash to `digest`. */
  async put(key: StorageKey, digest: Digest, manifest: StoredManifest): Promise<void> {
    await this.#bucket.put(key, manifest.bytes, {
      [algorithmOf(digest)]: digestBytes(digest),
      httpMetadata: { contentType: manifest.mediaType },
    })
  }

  /** Deletes up to 1000 manifests. One R2 operation. */
  async delete(keys: readonly StorageKey[]): Promise<void> {
    await this.#bucket.delete([...keys])
  }
}
