// The blobs of one hosted repository: which belong to it, where their bytes are, how long one that no
// manifest names is kept, and what `BlobClaims` has yet to be told.

import type { Digest } from '../oci/digest.ts'
import type { Content } from './claim-records.ts'
import type { Records, Row } from './records.ts'

/** A claim that is to be released, under this counter. */
export interface Release {
  readonly digest: Digest
  readonly counter: number
}

/** Blobs that one transaction drops. */
const MAX_DROPS = 1000

/** Reads and writes the rows of blobs. A blob without content is being claimed: it does not belong yet. */
export class BlobRecords {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /** Whether no blob belongs or is being claimed. */
  get isEmpty(): boolean {
    return this.#records.rows('SELECT 1 FROM blobs LIMIT 1').length === 0
  }

  /** The bytes of a blob that belongs to the repository. */
  held(digest: string): Content | undefined {
    const row = this.#records.rows(
      'SELECT content, size FROM blobs WHERE digest = ? AND content IS NOT NULL',
      digest,
    )[0]
    return row && { id: row['content'] as string, size: Number(row['size']) }
  }

  /** Blobs that are being claimed, or were when the object died. */
  claiming(): readonly Digest[] {
    return this.#records.rows('SELECT digest FROM blobs WHERE content IS NULL').map(digestOf)
  }

  /** Whether a blob is being claimed, or was when the object died. */
  get isClaiming(): boolean {
    return this.claiming().length > 0
  }

  /** Drops what a crash left half claimed, other than what is being claimed, and what was kept long enough. */
  dropUnwanted(now: number, claimed: Pick<ReadonlySet<Digest>, 'has'>): void {
    for (const digest of this.claiming()) if (!claimed.has(digest)) this.drop(digest)
    for (const digest of this.due(now, MAX_DROPS)) this.drop(digest)
  }

  /** Begins to claim; the counter of the claim. */
  begin(digest: Digest): number {
    return this.#records.atomically(() => {
      const counter = this.#count(digest)
      this.#records.write(
        `INSERT INTO blobs (digest, counter) VALUES (?1, ?2)
         ON CONFLICT (digest) DO UPDATE SET counter = ?2`,
        digest,
        counter,
      )
      return counter
    })
  }

  /** Claims a blob that belongs once more, under another counter. */
  recount(digest: Digest): number {
    return this.#records.atomically(() => {
      const counter = this.#count(digest)
      this.#records.write('UPDATE blobs SET counter = ? WHERE digest = ?', counter, digest)
      return counter
    })
  }

  /** The claim with this counter is acknowledged: the blob belongs. False: it was dropped meanwhile. */
  keep(claim: Release, content: Content, keptUntil: number): boolean {
    return this.#records.atomically(() => {
      const { digest, counter } = claim
      if (this.#counterOf(digest) !== counter) return false
      this.#records.write(
        'UPDATE blobs SET content = ?, size = ?, kept_until = ? WHERE digest = ?',
        content.id,
        content.size,
        this.#isNamed(digest) ? null : keptUntil,
        digest,
      )
      this.#records.write('DELETE FROM releases WHERE digest = ?', digest)
      return true
    })
  }

  /** The claim with this counter was refused: the row goes, unless it has been claimed again. */
  abandon({ digest, counter }: Release): void {
    this.#records.write('DELETE FROM blobs WHERE digest = ? AND counter = ?', digest, counter)
  }

  /** Counts on from this counter, which `BlobClaims` knows already. */
  raise({ digest, counter }: Release): void {
    this.#records.write(
      `INSERT INTO counters (digest, counter) VALUES (?1, ?2)
       ON CONFLICT (digest) DO UPDATE SET counter = MAX(counter, ?2)`,
      digest,
      counter,
    )
  }

  /** The blob does not belong any more, and its claim is to be released. False: it was not there. */
  drop(digest: Digest): boolean {
    return this.#records.atomically(() => {
      if (this.#counterOf(digest) === undefined) return false
      this.#records.write('DELETE FROM blobs WHERE digest = ?', digest)
      this.#records.write('DELETE FROM reads WHERE digest = ?', digest)
      this.#records.write(
        `INSERT INTO releases (digest, counter) VALUES (?1, ?2)
         ON CONFLICT (digest) DO UPDATE SET counter = ?2`,
        digest,
        this.#count(digest),
      )
      return true
    })
  }

  /** Somebody wants the blob: one that no manifest names is kept until then (milliseconds). */
  touch(digest: string, until: number): void {
    this.#records.write(
      'UPDATE blobs SET kept_until = ? WHERE digest = ? AND kept_until IS NOT NULL',
      until,
      digest,
    )
  }

  /** A manifest names the blob from now on. */
  name(digest: string): void {
    this.#records.write('UPDATE blobs SET kept_until = NULL WHERE digest = ?', digest)
  }

  /** A manifest that named the blob has gone: unless another names it, it is kept until then (milliseconds). */
  unname(digest: string, until: number): void {
    if (this.#isNamed(digest)) return
    this.#records.write('UPDATE blobs SET kept_until = ? WHERE digest = ?', until, digest)
  }

  /** Blobs that are kept no longer than `now`, at most `limit`. */
  due(now: number, limit: number): readonly Digest[] {
    const rows = this.#records.rows(
      'SELECT digest FROM blobs WHERE kept_until <= ? AND content IS NOT NULL ORDER BY kept_until LIMIT ?',
      now,
      limit,
    )
    return rows.map(digestOf)
  }

  /** When the next blob is due (milliseconds). */
  nextDue(): number | undefined {
    const row = this.#records.rows(
      'SELECT MIN(kept_until) AS due FROM blobs WHERE kept_until IS NOT NULL',
    )[0]
    const due = row?.['due'] ?? null
    return due === null ? undefined : Number(due)
  }

  /** Claims to be released, at most `limit`, in the order of their digests from after this one on. */
  releases(limit: number, after = ''): readonly Release[] {
    return this.#records
      .rows(
        'SELECT digest, counter FROM releases WHERE digest > ? ORDER BY digest LIMIT ?',
        after,
        limit,
      )
      .map((row) => ({ digest: digestOf(row), counter: Number(row['counter']) }))
  }

  /** A release was acknowledged; a later one stays. */
  acknowledge({ digest, counter }: Release): void {
    this.#records.write('DELETE FROM releases WHERE digest = ? AND counter = ?', digest, counter)
  }

  /** Whether this is the latest claim of a blob that belongs, or is being claimed. */
  isClaimedAs({ digest, counter }: Release): boolean {
    return this.#counterOf(digest) === counter
  }

  /** Whether a blob neither belongs nor is being claimed. */
  isGone(digest: Digest): boolean {
    return this.#counterOf(digest) === undefined
  }

  /** A release came too late for a claim with this counter: the next one counts on from there. */
  releaseAfter(release: Release, counter: number): void {
    this.#records.atomically(() => {
      this.raise({ digest: release.digest, counter })
      this.#records.write(
        'UPDATE releases SET counter = ? WHERE digest = ?',
        this.#count(release.digest),
        release.digest,
      )
    })
  }

  #counterOf(digest: Digest): number | undefined {
    const row = this.#records.rows('SELECT counter FROM blobs WHERE digest = ?', digest)[0]
    return row && Number(row['counter'])
  }

  #count(digest: Digest): number {
    const row = this.#records.rows('SELECT counter FROM counters WHERE digest = ?', digest)[0]
    const counter = Number(row?.['counter'] ?? 0) + 1
    this.raise({ digest, counter })
    return counter
  }

  #isNamed(digest: string): boolean {
    const rows = this.#records.rows('SELECT 1 FROM children WHERE digest = ? LIMIT 1', digest)
    return rows.length > 0
  }
}

/** Only digests are written. */
function digestOf(row: Row): Digest {
  return row['digest'] as Digest
}
