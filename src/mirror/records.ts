// The rows by which one mirrored repository is served: its tags, its manifests and what they name.

import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { Tag } from '../oci/reference.ts'
import type { FetchedManifest } from '../upstream/manifests.ts'
import type { TagClocks } from './freshness.ts'
import { nullableText, text } from './rows.ts'
import type { Rows } from './rows.ts'

/** A hostile manifest of 4 MiB names tens of thousands; a real one a few dozen, or some hundreds. */
const MAX_CHILDREN = 4096

/** Media types of layers and configs; any other in an index is taken for that of a manifest. */
const BLOB_TYPE =
  /^application\/vnd\.(?:oci\.image\.(?:layer\.|config[.+])|oci\.empty\.|docker\.image\.rootfs\.|docker\.container\.image\.|buildkit\.cacheconfig\.)|\.layer\.|[.+](?:tar|gzip|zstd)$|^application\/octet-stream$/

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

/** What a manifest says that is not needed to serve it. */
interface Child {
  readonly digest: Digest
  readonly size: number
  readonly kind: 'manifest' | 'blob'
  readonly platform: string | undefined
}

/** Reads and writes the rows. */
export class Records {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  /** Whether this repository has no rows, and never had any since it was last forgotten. */
  get isEmpty(): boolean {
    return this.#rows.isEmpty
  }

  /** A tag's row. */
  tag(tag: Tag): TagRecord | undefined {
    const row = this.#rows.read('SELECT * FROM tags WHERE tag = ?', tag)[0]
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
    return this.#rows.read('SELECT tag FROM tags ORDER BY tag').map((row) => text(row['tag']))
  }

  /** The upstream has confirmed that `tag` points at `digest`. */
  verifyTag(tag: Tag, digest: Digest, now: number): void {
    this.#rows.write(
      `INSERT INTO tags (tag, digest, verified_at, tried_at) VALUES (?1, ?2, ?3, ?3)
       ON CONFLICT (tag) DO UPDATE SET digest = ?2, verified_at = ?3, tried_at = ?3, is_guess = 0, failure = NULL`,
      tag,
      digest,
      now,
    )
  }

  /** While the upstream failed so, an alternate said that `tag` points at `digest`. */
  guessTag(tag: Tag, digest: Digest, at: { readonly now: number; readonly failure: string }): void {
    this.#rows.write(
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
    this.#rows.change('UPDATE tags SET tried_at = ?, failure = ? WHERE tag = ?', now, failure, tag)
  }

  /** The upstream no longer has `tag`. */
  deleteTag(tag: Tag): void {
    this.#rows.change('DELETE FROM tags WHERE tag = ?', tag)
  }

  /** KV has been given the tag's digest. */
  hintTag(tag: Tag, digest: Digest, now: number): void {
    this.#rows.change(
      'UPDATE tags SET hinted_digest = ?, hinted_at = ? WHERE tag = ?',
      digest,
      now,
      tag,
    )
  }

  /** The media type of a stored manifest, and when KV was given it. */
  manifest(digest: Digest): { readonly mediaType: string; readonly hintedAt: number } | undefined {
    const row = this.#rows.read('SELECT * FROM manifests WHERE digest = ?', digest)[0]
    if (row === undefined) return undefined
    return { mediaType: text(row['media_type']), hintedAt: Number(row['hinted_at']) }
  }

  /** A manifest's bytes have been stored; what it says of itself and of what it names is kept for those who ask. */
  putManifest(manifest: FetchedManifest, now: number): void {
    const { digest, mediaType } = manifest
    this.#rows.atomically(() => {
      this.#rows.write(
        `INSERT INTO manifests (digest, media_type, first_seen) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET media_type = ?2`,
        digest,
        mediaType,
        now,
      )
      this.#rows.change('DELETE FROM deletions WHERE reference = ?', digest)
      this.#describe(manifest)
    })
  }

  /** What was stored by an older release says the same of itself, if it still is stored. */
  describe(manifest: FetchedManifest): void {
    if (this.manifest(manifest.digest) === undefined) return
    this.#rows.atomically(() => this.#describe(manifest))
  }

  /** KV has been given the manifest. */
  hintManifest(digest: Digest, now: number): void {
    this.#rows.change('UPDATE manifests SET hinted_at = ? WHERE digest = ?', now, digest)
  }

  /** The size that some manifest states for a blob. */
  size(digest: Digest): number | undefined {
    const row = this.#rows.read(
      `SELECT size FROM children WHERE digest = ?1
       UNION ALL SELECT size FROM descriptors WHERE digest = ?1 LIMIT 1`,
      digest,
    )[0]
    return row === undefined ? undefined : Number(row['size'])
  }

  /** The known manifests whose subject is `digest`. */
  referrers(digest: Digest): Descriptor[] {
    const rows = this.#rows.read('SELECT descriptor FROM referrers WHERE subject = ?', digest)
    return rows.map((row) => JSON.parse(text(row['descriptor'])) as Descriptor)
  }

  #describe(manifest: FetchedManifest): void {
    const { digest, bytes, document } = manifest
    const { artifactType, subject } = document
    this.#rows.change(
      'UPDATE manifests SET size = ?, artifact_type = ?, subject = ? WHERE digest = ?',
      bytes.byteLength,
      artifactType ?? null,
      subject ?? null,
      digest,
    )
    this.#rows.change('DELETE FROM children WHERE manifest = ?', digest)
    for (const child of childrenOf(manifest)) {
      this.#rows.write(
        `INSERT OR IGNORE INTO children (manifest, digest, size, kind, platform) VALUES (?, ?, ?, ?, ?)`,
        digest,
        child.digest,
        child.size,
        child.kind,
        child.platform ?? null,
      )
    }
    if (subject === undefined) return
    this.#rows.write(
      'INSERT OR REPLACE INTO referrers (subject, digest, descriptor) VALUES (?, ?, ?)',
      subject,
      digest,
      JSON.stringify(referrerOf(manifest)),
    )
  }
}

/** What a manifest is made of, as far as it could be stored here. */
function childrenOf({ document }: FetchedManifest): readonly Child[] {
  const { manifests, blobs } = document.contents
  return [
    ...manifests.map((each) => childOf(each, isBlobType(each.mediaType) ? 'blob' : 'manifest')),
    ...blobs.map((each) => childOf(each, 'blob')),
  ]
    .filter((child) => child !== undefined)
    .slice(0, MAX_CHILDREN)
}

function childOf(descriptor: Descriptor, kind: Child['kind']): Child | undefined {
  const digest = parseDigest(descriptor.digest)
  if (digest === undefined) return undefined
  const { size } = descriptor
  return { digest, size, kind, platform: formatPlatform(descriptor['platform']) }
}

/** Build caches list layers and a config where an index lists manifests (BuildKit, `type=registry`). */
function isBlobType(mediaType: string): boolean {
  return BLOB_TYPE.test(mediaType.toLowerCase())
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
