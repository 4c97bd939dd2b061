// Where what is shown of one repository comes from, mirrored or hosted in the same words: its ledger, and the places
// of its bytes. Every method rejects while the ledger is away.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { RepositoryKind, StorageKey } from '../storage/keys.ts'
import type { ImageLine } from './image.ts'

/** A repository in figures. Times are milliseconds. */
export interface SourceSummary {
  readonly tags: number
  readonly manifests: number
  readonly bytes: number
  readonly firstSeen: number
  readonly lastPull: number | undefined
  /** Days since the epoch. */
  readonly pulls: readonly { readonly day: number; readonly pulls: number }[]
}

/** An image; platforms that the ledger does not know are in its bytes. */
export interface SourceImage extends Omit<ImageLine, 'platforms'> {
  readonly platforms: readonly string[] | undefined
}

/** One repository. */
export interface ImageSource {
  readonly kind: RepositoryKind
  readonly canonical: string
  /** `undefined`: nothing is here. */
  readonly summary: () => Promise<SourceSummary | undefined>
  /** Images in the order of their digests, after a text. */
  readonly images: (
    after: string | undefined,
    limit: number,
  ) => Promise<{ readonly images: readonly SourceImage[]; readonly next: Digest | undefined }>
  /** What a reference means here; of a digest, bytes may still be missing. */
  readonly resolve: (reference: Reference) => Promise<Digest | undefined>
  /** The referrers that are known here. */
  readonly referrers: (digest: Digest) => Promise<readonly Descriptor[]>
  readonly manifestKey: (digest: Digest) => StorageKey
  /** Where the bytes of a blob are to be; `undefined`: the repository has no such blob. */
  readonly blobKey: (digest: Digest) => Promise<StorageKey | undefined>
}
