// What a mirrored repository holds, in the words of those who show it, thin it out and purge it.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { LedgerAnswer } from './ledger.ts'

/** A root: a stored manifest that has a tag, or that no stored manifest names. */
export interface StoredImage {
  readonly digest: Digest
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly subject: Digest | undefined
  readonly tags: readonly Tag[]
  /** `linux/arm/v7` and the like, from an index; none where that is not known. */
  readonly platforms: readonly string[]
  /** Of its manifests and of all blobs that they name, each once (bytes), whether the blobs are stored or not. */
  readonly size: number
  /** Milliseconds. */
  readonly firstSeen: number
  /** When the newest read of one of its manifests was (milliseconds); when it was first seen, if there was none. */
  readonly lastRead: number
  readonly isPinned: boolean
  /** Itself and what is stored of the manifests below it. */
  readonly manifests: readonly Digest[]
  readonly blobs: readonly StoredBlob[]
}

/** A blob as manifests name it. */
export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
}

/** Images in the order of their digests; `next` is the `after` of the next page. A page may be short of its limit. */
export interface ImagePage {
  readonly images: readonly StoredImage[]
  readonly next: Digest | undefined
}

/** When something was last read through this repository (milliseconds). */
export interface BlobRead {
  readonly digest: Digest
  readonly at: number
}

/** Reads in the order of digests; `next` is the `after` of the next page. */
export interface BlobReadPage {
  readonly items: readonly BlobRead[]
  readonly next: Digest | undefined
}

/** How often manifests were pulled on one day, counted from the epoch. */
export interface PullsOfDay {
  readonly day: number
  readonly pulls: number
}

/** A repository in one line. */
export interface RepositorySummary {
  readonly tags: number
  readonly manifests: number
  /** Of its manifests and of all blobs that they name, each once. */
  readonly bytes: number
  /** Milliseconds. */
  readonly firstSeen: number
  readonly lastPull: number | undefined
  /** The newest 30 days that had any, the oldest first. */
  readonly pulls: readonly PullsOfDay[]
}

/** What is to be forgotten. */
export interface ForgetOrder {
  /** These tags, and what only they hold. */
  readonly tags: readonly Tag[]
  /** These manifests, with all their tags, and what only they hold. */
  readonly digests: readonly Digest[]
  /** Nothing that was read, or first seen, at this time (milliseconds) or later, and nothing that is pinned. */
  readonly unlessReadSince?: number | undefined
}

/** What was forgotten, and the blobs of it that no manifest here names any more. */
export interface Forgotten {
  readonly forgotten: readonly Digest[]
  readonly blobs: readonly Digest[]
  /** Whether every hint and all bytes are deleted. What is not is made up for by the next call that forgets. */
  readonly isDone: boolean
}

/** The same of a step of forgetting a whole repository; until it is done, it is to be called again. */
export type ForgottenAll = Forgotten

/** What the upstream says of a tag when it is asked, without bytes, and what the tag pointed at before. */
export interface Refreshed {
  readonly before: Digest | undefined
  readonly answer: LedgerAnswer
}
