// What a hosted repository has, for whoever looks at it, counts it or keeps a copy of what its ledger knows.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'

/** How often the repository was pulled on a day, counted from the epoch. */
export interface DayPulls {
  readonly day: number
  readonly pulls: number
}

/** A repository in one line. Times are milliseconds. */
export interface Summary {
  readonly tags: number
  readonly manifests: number
  /** Of all manifests whose size is known and all blobs, each once. */
  readonly bytes: number
  /** The oldest push of what there is. */
  readonly firstSeen: number
  /** When one of its manifests was last read. */
  readonly lastPull: number | undefined
  /** The newest 30 days that had any, the newest first. */
  readonly pulls: readonly DayPulls[]
}

/** A manifest that has a tag, or that no other names. Times are milliseconds. */
export interface HostedImage {
  readonly digest: Digest
  readonly mediaType: string
  /** As the referrers of its subject list it. */
  readonly artifactType: string | undefined
  readonly subject: Digest | undefined
  readonly tags: readonly Tag[]
  /** Of the manifests and blobs that it is made of, each once. */
  readonly size: number
  readonly pushedAt: number
  /** When one of the manifests that it is made of was last read. */
  readonly lastRead: number | undefined
}

/** Images in the order of their digests; `next`: after which one the next page begins. */
export interface HostedImages {
  readonly images: readonly HostedImage[]
  readonly next: Digest | undefined
}

/** A row of an export: what a ledger knows and R2 does not. */
export type DumpRow =
  | {
      readonly kind: 'blob'
      readonly digest: Digest
      /** The id of its bytes, and how many they are. */
      readonly content: string
      readonly size: number
      readonly counter: number
    }
  | {
      readonly kind: 'manifest'
      readonly digest: Digest
      readonly mediaType: string
      /** Bytes; `undefined`: nobody has noted it. */
      readonly size: number | undefined
      readonly pushedAt: number
      readonly children: readonly string[]
      /** How the referrers of its subject list it. */
      readonly referrer: { readonly subject: Digest; readonly descriptor: Descriptor } | undefined
    }
  | {
      readonly kind: 'tag'
      readonly tag: Tag
      readonly digest: Digest
      readonly pushedAt: number
    }
  /** The highest counter of a digest that the repository has ever claimed. */
  | { readonly kind: 'counter'; readonly digest: Digest; readonly counter: number }
  | { readonly kind: 'read'; readonly digest: Digest; readonly at: number }
  | ({ readonly kind: 'pulls' } & DayPulls)

/** Rows; `next`: the cursor of those that follow. */
export interface DumpPage {
  readonly rows: readonly DumpRow[]
  readonly next: string | undefined
}

/** What an export names and R2, or `BlobClaims`, does not have: it is not restored. */
export interface MissingContent {
  readonly kind: 'blob' | 'manifest' | 'tag'
  readonly name: string
  readonly digest: Digest
}

/** What has become of rows that are to be restored. `kept`: the repository has rows of its own, which stand. */
export type RestoreAnswer =
  | { readonly ok: false; readonly reason: 'kept' }
  | { readonly ok: true; readonly missing: readonly MissingContent[] }
