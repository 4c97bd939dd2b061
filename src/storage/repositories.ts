// Markers of the repositories that have rows somewhere. Durable Objects cannot be listed; this can.

import { markerKey } from './keys.ts'

/** Keeps one empty object per repository. */
export class RepositoryMarkers {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  /** Written before a repository's first row, so that no row exists that the list does not show. */
  async mark(kind: 'mirrored' | 'hosted', canonical: string): Promise<void> {
    await this.#bucket.put(markerKey(kind, canonical), new Uint8Array())
  }
}
