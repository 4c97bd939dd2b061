// Markers of the repositories that have rows somewhere. Durable Objects cannot be listed; this can.

import { compareASCII } from '../oci/page.ts'
import { markerKey, markerPrefix } from './keys.ts'
import type { RepositoryKind } from './keys.ts'

/** R2 lists no more at once. */
const MAX_LIST = 1000
/** No canonical name is longer: a host, and 255 characters (distribution-spec v1.1.1, "Pulling manifests"). */
const MAX_NAME = 600

/** A repository that has rows. */
export interface Marker {
  readonly kind: RepositoryKind
  readonly canonical: string
}

/** Markers in the order of their names; `isEnd`: none follows. */
export interface MarkerPage {
  readonly markers: readonly Marker[]
  readonly isEnd: boolean
}

/** Keeps one empty object per repository. */
export class RepositoryMarkers {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  /** Written before a repository's first row, so that no row exists that the list does not show. */
  async mark(kind: RepositoryKind, canonical: string): Promise<void> {
    await this.#bucket.put(markerKey(kind, canonical), new Uint8Array())
  }

  /** Written off after its last row. */
  async unmark(kind: RepositoryKind, canonical: string): Promise<void> {
    await this.#bucket.delete(markerKey(kind, canonical))
  }

  /** The first `limit` repositories of these kinds after a name, which need not be one, in ASCII order. */
  async list(
    kinds: readonly RepositoryKind[],
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<MarkerPage> {
    const pages = await Promise.all(kinds.map((kind) => this.#listKind(kind, after, limit)))
    const all = pages
      .flatMap(({ markers }) => markers)
      .toSorted((a, b) => compareASCII(a.canonical, b.canonical))
    const markers = all.slice(0, limit)
    return { markers, isEnd: markers.length === all.length && pages.every(({ isEnd }) => isEnd) }
  }

  async #listKind(
    kind: RepositoryKind,
    after: string | undefined,
    limit: number,
  ): Promise<MarkerPage> {
    const prefix = markerPrefix(kind)
    const markers: Marker[] = []
    let from: R2ListOptions = { startAfter: prefix + boundOf(after ?? '') }
    for (;;) {
      const most = Math.min(limit - markers.length, MAX_LIST)
      const list = await this.#bucket.list({ prefix, limit: most, ...from })
      markers.push(
        ...list.objects.map(({ key }) => ({ kind, canonical: key.slice(prefix.length) })),
      )
      // R2 may give fewer than it was asked for, and none at all, although more follow: only it knows.
      if (!list.truncated) return { markers, isEnd: true }
      if (markers.length >= limit) return { markers, isEnd: false }
      from = { cursor: list.cursor }
    }
  }
}

/**
 * The same bound in the characters and the length of names, since R2 takes no other: what is greater than every
 * character of a name becomes `~`, and what is less ends the text.
 */
function boundOf(after: string): string {
  const index = after.search(/[^!-~]/)
  if (index < 0) return after.slice(0, MAX_NAME)
  return (after.slice(0, index) + (after.charCodeAt(index) > 0x7e ? '~' : '')).slice(0, MAX_NAME)
}
