// What is read of a hosted repository, and when; and what there is, for whoever looks at it.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Reads } from '../storage/reads.ts'
import type { DayPulls, HostedImage, HostedImages, Summary } from './inventory.ts'
import type { Records, Row } from './records.ts'

const DAY = 24 * 60 * 60 * 1000
/** Days that had pulls and are kept, and that a summary shows. */
const MAX_DAYS = 30
/** Images of a page, whatever is asked for. */
const MAX_IMAGES = 1000

/** A manifest with everything that it names, and that names in turn. */
const TREE = `WITH RECURSIVE tree (digest) AS (
  SELECT ?1 UNION SELECT children.digest FROM children JOIN tree ON children.manifest = tree.digest)`

/** Reads and writes the rows of reads. */
export class ReadRecords {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /** Notes reads of what is here; of what is not, nothing. */
  note({ at, pulls, digests }: Reads): void {
    const here = digests.filter((digest) => this.#isHere(digest))
    if (here.length === 0 && (pulls <= 0 || this.#isEmpty)) return
    this.#records.atomically(() => {
      for (const digest of here) {
        this.#records.write(
          `INSERT INTO reads (digest, at) VALUES (?1, ?2)
           ON CONFLICT (digest) DO UPDATE SET at = MAX(at, ?2)`,
          digest,
          at,
        )
      }
      if (pulls > 0) this.#count(Math.floor(at / DAY), pulls)
    })
  }

  /** Notes what an export knows of a day. */
  keepPulls({ day, pulls }: DayPulls): void {
    this.#records.write(
      `INSERT INTO pulls (day, pulls) VALUES (?1, ?2)
       ON CONFLICT (day) DO UPDATE SET pulls = MAX(pulls, ?2)`,
      day,
      pulls,
    )
  }

  /** The repository in one line; `undefined` while it has nothing. */
  summary(): Summary | undefined {
    if (this.#isEmpty) return undefined
    const { tags, manifests, bytes, first_seen, last_pull } = this.#sums()
    return {
      tags: Number(tags),
      manifests: Number(manifests),
      bytes: Number(bytes),
      firstSeen: Number(first_seen),
      lastPull: numberOf(last_pull),
      pulls: this.#pulls(),
    }
  }

  /** A page of images, in the order of their digests. */
  images(after: Digest | undefined, limit: number): HostedImages {
    const most = Math.min(limit, MAX_IMAGES)
    const rows = this.#records.rows(
      `SELECT digest, media_type, subject, pushed_at,
         (SELECT artifact_type FROM referrers
            WHERE referrers.subject = manifests.subject AND referrers.digest = manifests.digest) AS artifact_type
       FROM manifests
       WHERE digest > ? AND (EXISTS (SELECT 1 FROM tags WHERE tags.digest = manifests.digest)
         OR NOT EXISTS (SELECT 1 FROM children WHERE children.digest = manifests.digest))
       ORDER BY digest LIMIT ?`,
      after ?? '',
      most + 1,
    )
    const images = rows.slice(0, most).map((row) => this.#image(row))
    return { images, next: rows.length > most ? images.at(-1)?.digest : undefined }
  }

  /** Blobs alone have no time of their own, but those that no manifest names are kept for a day. */
  #sums(): Row {
    const [row = {}] = this.#records.rows(
      `SELECT (SELECT COUNT(*) FROM tags) AS tags,
         (SELECT COUNT(*) FROM manifests) AS manifests,
         (SELECT COALESCE(SUM(size), 0) FROM manifests) + (SELECT COALESCE(SUM(size), 0) FROM blobs) AS bytes,
         COALESCE(
           (SELECT MIN(pushed_at) FROM manifests), (SELECT MIN(kept_until) FROM blobs) - ?, 0) AS first_seen,
         (SELECT MAX(at) FROM reads JOIN manifests USING (digest)) AS last_pull`,
      DAY,
    )
    return row
  }

  #image(row: Row): HostedImage {
    // Only digests, tags and texts are written.
    const digest = row['digest'] as Digest
    const [sum] = this.#records.rows(
      `${TREE} SELECT SUM(COALESCE(manifests.size, blobs.size, 0)) AS size,
         MAX(CASE WHEN manifests.digest IS NULL THEN NULL ELSE reads.at END) AS read_at
       FROM tree LEFT JOIN manifests USING (digest) LEFT JOIN blobs USING (digest) LEFT JOIN reads USING (digest)`,
      digest,
    )
    const tags = this.#records.rows('SELECT tag FROM tags WHERE digest = ? ORDER BY tag', digest)
    return {
      digest,
      mediaType: row['media_type'] as string,
      artifactType: (row['artifact_type'] ?? undefined) as string | undefined,
      subject: (row['subject'] ?? undefined) as Digest | undefined,
      tags: tags.map((each) => each['tag'] as Tag),
      size: numberOf(sum?.['size']) ?? 0,
      pushedAt: numberOf(row['pushed_at']) ?? 0,
      lastRead: numberOf(sum?.['read_at']),
    }
  }

  #count(day: number, pulls: number): void {
    this.#records.write(
      `INSERT INTO pulls (day, pulls) VALUES (?1, ?2)
       ON CONFLICT (day) DO UPDATE SET pulls = pulls + ?2`,
      day,
      pulls,
    )
    this.#records.write(
      'DELETE FROM pulls WHERE day NOT IN (SELECT day FROM pulls ORDER BY day DESC LIMIT ?)',
      MAX_DAYS,
    )
  }

  #pulls(): readonly DayPulls[] {
    return this.#records
      .rows('SELECT day, pulls FROM pulls ORDER BY day DESC')
      .map((row) => ({ day: numberOf(row['day']) ?? 0, pulls: numberOf(row['pulls']) ?? 0 }))
  }

  #isHere(digest: Digest): boolean {
    const rows = this.#records.rows(
      `SELECT 1 FROM manifests WHERE digest = ?1
       UNION ALL SELECT 1 FROM blobs WHERE digest = ?1 AND content IS NOT NULL`,
      digest,
    )
    return rows.length > 0
  }

  get #isEmpty(): boolean {
    const rows = this.#records.rows(
      'SELECT 1 FROM manifests UNION ALL SELECT 1 FROM blobs WHERE content IS NOT NULL LIMIT 1',
    )
    return rows.length === 0
  }
}

function numberOf(value: SqlStorageValue | undefined): number | undefined {
  return value === undefined || value === null ? undefined : Number(value)
}
