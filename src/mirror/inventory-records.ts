// The rows by which one mirrored repository is shown and thinned out: images, when they were read, how often they were
// pulled, and what is pinned.

import type { Digest } from '../oci/digest.ts'
import { formatReference } from '../oci/reference.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { dayOf } from '../storage/reads.ts'
import type { Reads } from '../storage/reads.ts'
import type {
  BlobReadPage,
  ImagePage,
  PullsOfDay,
  RepositorySummary,
  StoredBlob,
  StoredImage,
} from './inventory.ts'
import { nullableText, text } from './rows.ts'
import type { Row, Rows } from './rows.ts'

/** Days that had pulls, and are kept and shown. */
const MAX_DAYS = 30
/** Images and reads of a page, whatever is asked for. */
const MAX_IMAGES = 200
const MAX_READS = 10_000
/** A page ends with the image by which it names so many blobs and manifests: an answer of an object holds 32 MiB. */
const MAX_BLOBS = 50_000
/** Blobs that one image tells of; what further ones it has, it answers when it is asked (`named`). */
const MAX_BLOBS_OF_IMAGE = 20_000
/** Digests that one query is given. */
const MAX_BINDINGS = 1000
/** What an index says of content that runs nowhere, such as attestations. */
const NO_PLATFORM = 'unknown/unknown'

/** A manifest and all that are stored of those below it; `?1` is its digest. */
export const TREE = `WITH RECURSIVE tree (digest) AS (
  SELECT ?1 UNION SELECT children.digest
    FROM tree JOIN children ON children.manifest = tree.digest JOIN manifests ON manifests.digest = children.digest
)`

/** Reads and writes the rows. */
export class InventoryRecords {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  /** Notes what isolates have read. Of a repository without rows nothing is noted: anybody may have made up its name. */
  note({ at, pulls, digests }: Reads): void {
    if (this.#rows.isEmpty) return
    this.#rows.atomically(() => {
      for (const digest of digests) {
        this.#rows.write(
          `INSERT INTO reads (digest, at) VALUES (?1, ?2)
           ON CONFLICT (digest) DO UPDATE SET at = max(at, ?2)`,
          digest,
          at,
        )
      }
      if (pulls > 0) this.#count(pulls, at)
    })
  }

  /** A page of images. */
  images(after: Digest | undefined, limit: number): ImagePage {
    const most = Math.min(Math.max(limit, 1), MAX_IMAGES)
    const rows = this.#rows.read(
      `SELECT * FROM manifests WHERE digest > ? AND (
         EXISTS (SELECT 1 FROM tags WHERE tags.digest = manifests.digest)
         OR NOT EXISTS (SELECT 1 FROM children WHERE children.digest = manifests.digest)
       ) ORDER BY digest LIMIT ?`,
      after ?? '',
      most + 1,
    )
    const images: StoredImage[] = []
    let blobs = 0
    for (const row of rows.slice(0, most)) {
      if (blobs >= MAX_BLOBS) break
      const image = this.#image(row)
      blobs += image.blobs.length + image.manifests.length
      images.push(image)
    }
    const isEnd = images.length === rows.length
    return { images, next: isEnd ? undefined : images.at(-1)?.digest }
  }

  /** A page of what was read and is no manifest that is stored here. */
  blobReads(after: Digest | undefined, limit: number): BlobReadPage {
    const most = Math.min(Math.max(limit, 1), MAX_READS)
    const rows = this.#rows.read(
      `SELECT digest, at FROM reads WHERE digest > ?
         AND NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = reads.digest)
       ORDER BY digest LIMIT ?`,
      after ?? '',
      most + 1,
    )
    const items = rows
      .slice(0, most)
      .map((row) => ({ digest: digestOf(row), at: Number(row['at']) }))
    return { items, next: rows.length > most ? items.at(-1)?.digest : undefined }
  }

  /** The repository in one line. */
  summary(): RepositorySummary | undefined {
    const [row] = this.#rows.read(
      `SELECT (SELECT count(*) FROM tags) AS tags,
         (SELECT count(*) FROM manifests) AS manifests,
         (SELECT total(size) FROM manifests) AS manifest_bytes,
         (SELECT total(size) FROM (SELECT max(size) AS size FROM children WHERE kind = 'blob' GROUP BY digest)) AS blob_bytes,
         (SELECT min(first_seen) FROM manifests) AS first_seen,
         (SELECT max(last) FROM pulls) AS last_pull`,
    )
    const tags = Number(row?.['tags'] ?? 0)
    const manifests = Number(row?.['manifests'] ?? 0)
    if (row === undefined || tags + manifests === 0) return undefined
    return {
      tags,
      manifests,
      bytes: Number(row['manifest_bytes']) + Number(row['blob_bytes']),
      firstSeen: Number(row['first_seen'] ?? 0),
      lastPull: row['last_pull'] === null ? undefined : Number(row['last_pull']),
      pulls: this.#pulls(),
    }
  }

  /** Which of these some manifest names. */
  named(digests: readonly Digest[]): readonly Digest[] {
    const found: Digest[] = []
    for (let from = 0; from < digests.length; from += MAX_BINDINGS) {
      const rows = this.#rows.read(
        `SELECT value AS digest FROM json_each(?) AS given
         WHERE EXISTS (SELECT 1 FROM children WHERE children.digest = given.value)`,
        JSON.stringify(digests.slice(from, from + MAX_BINDINGS)),
      )
      found.push(...rows.map(digestOf))
    }
    return found
  }

  /** Whether nothing stands that anybody could miss. */
  get isIdle(): boolean {
    const rows = this.#rows.read(
      `SELECT 1 FROM manifests UNION ALL SELECT 1 FROM tags UNION ALL SELECT 1 FROM pins
       UNION ALL SELECT 1 FROM reads UNION ALL SELECT 1 FROM deletions LIMIT 1`,
    )
    return !this.#rows.isEmpty && rows.length === 0
  }

  /** Pins a reference. */
  pin(reference: Reference): void {
    const key = formatReference(reference)
    this.#rows.write('INSERT OR IGNORE INTO pins (reference) VALUES (?)', key)
  }

  /** A reference is not pinned any more. */
  unpin(reference: Reference): void {
    this.#rows.change('DELETE FROM pins WHERE reference = ?', formatReference(reference))
  }

  /** Manifests that an older release has stored, and whose bytes are still to be looked through. */
  unread(limit: number): readonly { readonly digest: Digest; readonly mediaType: string }[] {
    return this.#rows
      .read('SELECT digest, media_type FROM manifests WHERE size IS NULL LIMIT ?', limit)
      .map((row) => ({ digest: digestOf(row), mediaType: text(row['media_type']) }))
  }

  /** The bytes of a manifest are lost, so nobody will ever know what it named. */
  giveUp(digest: Digest): void {
    this.#rows.change('UPDATE manifests SET size = 0 WHERE digest = ? AND size IS NULL', digest)
  }

  /** Every manifest says now what it names: what an older release knew instead is not needed. */
  closeUnread(): void {
    this.#rows.change('DELETE FROM descriptors')
  }

  #image(row: Row): StoredImage {
    const digest = digestOf(row)
    const tags = this.#tags(digest)
    const manifests = this.#rows.read(
      `${TREE} SELECT manifests.digest, coalesce(manifests.size, 0) AS size, reads.at
       FROM tree JOIN manifests USING (digest) LEFT JOIN reads USING (digest)`,
      digest,
    )
    const { blobs, size } = this.#blobs(digest)
    const times = manifests.flatMap(({ at }) => (at === null ? [] : [Number(at)]))
    const firstSeen = Number(row['first_seen'])
    return {
      digest,
      mediaType: text(row['media_type']),
      artifactType: nullableText(row['artifact_type']) ?? undefined,
      // Only digests are written.
      subject: (nullableText(row['subject']) ?? undefined) as Digest | undefined,
      tags,
      platforms: this.#platforms(digest),
      size: sum(manifests.map((each) => Number(each['size']))) + size,
      firstSeen,
      lastRead: times.length === 0 ? firstSeen : Math.max(...times),
      isPinned: this.#isPinned(digest, tags),
      manifests: manifests.map(digestOf),
      blobs,
    }
  }

  #tags(digest: Digest): readonly Tag[] {
    const rows = this.#rows.read('SELECT tag FROM tags WHERE digest = ? ORDER BY tag', digest)
    // Only tags are written.
    return rows.map((row) => row['tag'] as Tag)
  }

  #platforms(digest: Digest): readonly string[] {
    const rows = this.#rows.read(
      'SELECT DISTINCT platform FROM children WHERE manifest = ? AND platform <> ? ORDER BY platform',
      digest,
      NO_PLATFORM,
    )
    return rows.map((row) => text(row['platform']))
  }

  /** Blobs of an image, up to a limit, and the size of all. */
  #blobs(digest: Digest): { readonly blobs: readonly StoredBlob[]; readonly size: number } {
    const rows = this.#rows.read(
      `${TREE} SELECT children.digest, max(children.size) AS size, total(max(children.size)) OVER () AS total
       FROM tree JOIN children ON children.manifest = tree.digest
       WHERE kind = 'blob' GROUP BY children.digest LIMIT ?2`,
      digest,
      MAX_BLOBS_OF_IMAGE,
    )
    const blobs = rows.map((row) => ({ digest: digestOf(row), size: Number(row['size']) }))
    return { blobs, size: Number(rows[0]?.['total'] ?? 0) }
  }

  #isPinned(digest: Digest, tags: readonly Tag[]): boolean {
    const rows = this.#rows.read(
      'SELECT 1 FROM pins WHERE reference IN (SELECT value FROM json_each(?)) LIMIT 1',
      JSON.stringify([digest, ...tags]),
    )
    return rows.length > 0
  }

  #pulls(): readonly PullsOfDay[] {
    return this.#rows
      .read('SELECT day, pulls FROM pulls WHERE pulls > 0 ORDER BY day')
      .map((row) => ({ day: Number(row['day']), pulls: Number(row['pulls']) }))
  }

  #count(pulls: number, at: number): void {
    this.#rows.write(
      `INSERT INTO pulls (day, pulls, last) VALUES (?1, ?2, ?3)
       ON CONFLICT (day) DO UPDATE SET pulls = pulls + ?2, last = max(last, ?3)`,
      dayOf(at),
      pulls,
      at,
    )
    this.#rows.change(
      'DELETE FROM pulls WHERE day NOT IN (SELECT day FROM pulls ORDER BY day DESC LIMIT ?)',
      MAX_DAYS,
    )
  }
}

/** Only digests are written. */
function digestOf(row: Row): Digest {
  return row['digest'] as Digest
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0)
}
