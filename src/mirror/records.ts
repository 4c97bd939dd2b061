// The rows of one mirrored repository, in the SQLite of its `MirrorLedger`. The schema is made before the
// first row and not earlier: reading an empty object leaves no trace of a name that somebody guessed.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { FetchedManifest } from '../upstream/manifests.ts'
import type { TagClocks } from './freshness.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS tags (
    tag TEXT PRIMARY KEY, digest TEXT NOT NULL, verified_at INTEGER NOT NULL, tried_at INTEGER NOT NULL,
    is_guess INTEGER NOT NULL DEFAULT 0, failure TEXT, hinted_digest TEXT, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS manifests (
    digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS descriptors (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS referrers (
    subject TEXT NOT NULL, digest TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (subject, digest)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS accesses (day INTEGER PRIMARY KEY, isolates INTEGER NOT NULL);
`

/** A hostile manifest of 4 MiB names tens of thousands; a real one a few dozen. */
const MAX_DESCRIPTORS = 512

/**
 * A tag as it was last seen. `failure` is the reason of the last failed check (JSON of an `UpstreamFailure`).
 * A guess is what an alternate said while the upstream could not be asked; its `verifiedAt` is when it was made.
 */
export interface TagRecord extends TagClocks {
  readonly digest: Digest
  readonly isGuess: boolean
  readonly failure: string | null
  readonly hintedDigest: string | null
  readonly hintedAt: number
}

/** Days since the epoch: the unit in which accesses are counted. */
export function dayOf(now: number): number {
  return Math.floor(now / (24 * 60 * 60 * 1000))
}

/** Reads and writes the rows. */
export class Records {
  readonly #sql: SqlStorage
  #isReady: boolean | undefined

  constructor(sql: SqlStorage) {
    this.#sql = sql
  }

  /** Whether this repository has ever had a row. */
  get isEmpty(): boolean {
    this.#isReady ??=
      this.#sql.exec(`SELECT name FROM sqlite_master WHERE name = 'tags'`).toArray().length > 0
    return !this.#isReady
  }

  /** A tag's row. */
  tag(tag: Tag): TagRecord | undefined {
    const row = this.#rows('SELECT * FROM tags WHERE tag = ?', tag)[0]
    if (row === undefined) return undefined
    return {
      // Only verified digests are written.
      digest: text(row['digest']) as Digest,
      verifiedAt: Number(row['verified_at']),
      triedAt: Number(row['tried_at']),
      isGuess: Number(row['is_guess']) === 1,
      failure: nullableText(row['failure']),
      hintedDigest: nullableText(row['hinted_digest']),
      hintedAt: Number(row['hinted_at']),
    }
  }

  /** All tags that are known here, in ASCII order. */
  tags(): string[] {
    return this.#rows('SELECT tag FROM tags ORDER BY tag').map((row) => text(row['tag']))
  }

  /** The upstream has confirmed that `tag` points at `digest`. */
  verifyTag(tag: Tag, digest: Digest, now: number): void {
    this.#write(
      `INSERT INTO tags (tag, digest, verified_at, tried_at) VALUES (?1, ?2, ?3, ?3)
       ON CONFLICT (tag) DO UPDATE SET digest = ?2, verified_at = ?3, tried_at = ?3, is_guess = 0, failure = NULL`,
      tag,
      digest,
      now,
    )
  }

  /** While the upstream failed so, an alternate said that `tag` points at `digest`. */
  guessTag(tag: Tag, digest: Digest, at: { readonly now: number; readonly failure: string }): void {
    this.#write(
      `INSERT INTO tags (tag, digest, verified_at, tried_at, is_guess, failure) VALUES (?1, ?2, ?3, ?3, 1, ?4)
       ON CONFLICT (tag) DO UPDATE
       SET digest = ?2, verified_at = ?3, tried_at = ?3, is_guess = 1, failure = ?4`,
      tag,
      digest,
      at.now,
      at.failure,
    )
  }

  /** A check of `tag` has failed. */
  tryTag(tag: Tag, failure: string, now: number): void {
    this.#write('UPDATE tags SET tried_at = ?, failure = ? WHERE tag = ?', now, failure, tag)
  }

  /** The upstream no longer has `tag`. */
  deleteTag(tag: Tag): void {
    if (!this.isEmpty) this.#write('DELETE FROM tags WHERE tag = ?', tag)
  }

  /** KV has been given the tag's digest. */
  hintTag(tag: Tag, digest: Digest, now: number): void {
    this.#write('UPDATE tags SET hinted_digest = ?, hinted_at = ? WHERE tag = ?', digest, now, tag)
  }

  /** The media type of a stored manifest, and when KV was given it. */
  manifest(digest: Digest): { readonly mediaType: string; readonly hintedAt: number } | undefined {
    const row = this.#rows('SELECT * FROM manifests WHERE digest = ?', digest)[0]
    if (row === undefined) return undefined
    return { mediaType: text(row['media_type']), hintedAt: Number(row['hinted_at']) }
  }

  /** A manifest's bytes have been stored; its descriptors tell the sizes of blobs, and whose referrer it is. */
  putManifest(manifest: FetchedManifest): void {
    const { digest, mediaType, document } = manifest
    this.#write(
      `INSERT INTO manifests (digest, media_type) VALUES (?1, ?2)
       ON CONFLICT (digest) DO UPDATE SET media_type = ?2`,
      digest,
      mediaType,
    )
    for (const descriptor of document.descriptors.slice(0, MAX_DESCRIPTORS)) {
      this.#write(
        'INSERT OR REPLACE INTO descriptors VALUES (?, ?)',
        descriptor.digest,
        descriptor.size,
      )
    }
    if (document.subject === undefined) return
    const descriptor = JSON.stringify(referrerOf(manifest))
    this.#write(
      'INSERT OR REPLACE INTO referrers VALUES (?, ?, ?)',
      document.subject,
      digest,
      descriptor,
    )
  }

  /** KV has been given the manifest. */
  hintManifest(digest: Digest, now: number): void {
    this.#write('UPDATE manifests SET hinted_at = ? WHERE digest = ?', now, digest)
  }

  /** The size that some manifest states for a blob. */
  size(digest: Digest): number | undefined {
    const row = this.#rows('SELECT size FROM descriptors WHERE digest = ?', digest)[0]
    return row === undefined ? undefined : Number(row['size'])
  }

  /** The known manifests whose subject is `digest`. */
  referrers(digest: Digest): Descriptor[] {
    const rows = this.#rows('SELECT descriptor FROM referrers WHERE subject = ?', digest)
    return rows.map((row) => JSON.parse(text(row['descriptor'])) as Descriptor)
  }

  /** One more isolate has served this repository on that day. */
  touch(day: number): void {
    if (this.isEmpty) return
    this.#write(
      `INSERT INTO accesses VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET isolates = isolates + 1`,
      day,
    )
  }

  #rows(query: string, ...bindings: (string | number)[]): Record<string, SqlStorageValue>[] {
    return this.isEmpty ? [] : this.#sql.exec(query, ...bindings).toArray()
  }

  #write(query: string, ...bindings: (string | number)[]): void {
    if (this.isEmpty) this.#sql.exec(SCHEMA)
    this.#isReady = true
    this.#sql.exec(query, ...bindings)
  }
}

/** distribution-spec v1.1.1, "Listing Referrers": what a referrer's descriptor carries. */
function referrerOf({ digest, mediaType, bytes, document }: FetchedManifest): Descriptor {
  const { artifactType, annotations } = document
  return {
    mediaType,
    digest,
    size: bytes.byteLength,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
  }
}

/** A column that is declared TEXT NOT NULL. */
function text(value: SqlStorageValue | undefined): string {
  return typeof value === 'string' ? value : ''
}

function nullableText(value: SqlStorageValue | undefined): string | null {
  return typeof value === 'string' ? value : null
}
