// The ledger of a mirrored repository as jobs see it that remove what is mirrored. Nothing here asks an upstream.

import type {
  BlobReadPage,
  ForgetOrder,
  Forgotten,
  ForgottenAll,
  ImagePage,
} from '../mirror/inventory.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { MirroredName } from '../storage/keys.ts'

/** Images of one answer, each of which names all its blobs. */
export const IMAGES_AT_ONCE = 50
/** Reads of one answer, and digests of one question. */
export const DIGESTS_AT_ONCE = 1000

/** As far as removing goes. */
export interface MirroredLedger {
  images(after: Digest | undefined, limit: number): Promise<ImagePage>
  blobReads(after: Digest | undefined, limit: number): Promise<BlobReadPage>
  forget(order: ForgetOrder): Promise<Forgotten>
  forgetAll(): Promise<ForgottenAll>
  named(digests: readonly Digest[]): Promise<readonly Digest[]>
  pin(reference: Reference, isPinned: boolean): Promise<void>
}

/** Finds the ledger of a repository. */
export type LedgerOf = (name: MirroredName) => MirroredLedger

/** Whether the blobs of a repository are its own; `undefined`: its host is not configured, so they may be either. */
export type IsPrivate = (name: MirroredName) => boolean | undefined
