// A blob and the place where it was seen: what a presigned URL can be made of, unlike a digest that somebody names.

import type { StorageKey } from './keys.ts'

/** A blob that was seen where it is stored. */
export interface LocatedBlob {
  readonly key: StorageKey
  /** Bytes. */
  readonly size: number
}
