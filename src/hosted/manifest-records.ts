// The manifests of one hosted repository: their media types, what they name, the tags that point at them and
// the subjects they refer to; and manifests whose bytes are to be deleted.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Tag } from '../oci/reference.ts'
import { MAX_REFERRERS_PAGE } from '../oci/referrers.ts'
import type { ReferrersPage } from '../oci/referrers.ts'
import type { Records, Row } from './records.ts'

/** A row holds at most 2 MB (bytes). */
const PIECE = 1_500_000

/** A manifest to keep, and everything that the rows say of it. */
export interface KeptManifest {
  readonly digest: Digest
  readonly mediaType: string
  /** Every digest that it names, its subject excepted. */
  readonly children: readonly string[]
  readonly tags: readonly Tag[]
  /** How the referrers of its subject list it. */
  readonly referrer: Referrer | undefined
}

/** A manifest as a referrer of its subject. */
export interface Referrer {
  readonly subject: Digest
  readonly descriptor: Descriptor
}

/** One page of a list, and the `last` of the next. */
export interface Taken<Item> {
  readonly items: readonly Item[]
  readonly next: string | undefined
}

/** Reads and writes the rows of manifests. */
export class ManifestRecords {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  /** Whether no manifest stands. Tags point at manifests, so then there are none either. */
  get isEmpty(): boolean {
    return this.#records.rows('SELECT 1 FROM manifests LIMIT 1').length === 0
  }

  /** The media type of a manifest. */
  mediaType(digest: string): string | undefined {
    const row = this.#records.rows('SELECT media_type FROM manifests WHERE digest = ?', digest)[0]
    return row && (row['media_type'] as string)
  }

  /** The digest that a tag points at. */
  tag(tag: Tag): Digest | undefined {
    const row = this.#records.rows('SELECT digest FROM tags WHERE tag = ?', tag)[0]
    return row && digestOf(row)
  }

  /** The tags that point at a manifest. */
  tagsOf(digest: Digest): readonly Tag[] {
    const rows = this.#records.rows('SELECT tag FROM tags WHERE digest = ?', digest)
    // Only tags are written.
    return rows.map((row) => row['tag'] as Tag)
  }

  /** The tags by which a manifest or a blob can be reached: its own, and those of what names it, however far above. */
  tagsAbove(digest: Digest): readonly Tag[] {
    const seen = new Set<Digest>([digest])
    // The set grows while it is walked.
    for (const each of seen) {
      const rows = this.#records.rows('SELECT manifest FROM children WHERE digest = ?', each)
      for (const row of rows) seen.add(row['manifest'] as Digest)
    }
    return [...seen].flatMap((each) => this.tagsOf(each))
  }

  /** Writes everything that is known of a manifest, and that its bytes, so many, stay. */
  put(
    manifest: KeptManifest,
    { now, size }: { readonly now: number; readonly size: number | undefined },
  ): void {
    const { digest, mediaType, children, tags, referrer } = manifest
    this.#records.write(
      `INSERT INTO manifests (digest, media_type, subject, pushed_at, size) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (digest) DO UPDATE SET media_type = ?2, pushed_at = ?4, size = ?5`,
      digest,
      mediaType,
      referrer?.subject ?? null,
      now,
      size ?? null,
    )
    this.#records.write('DELETE FROM deletions WHERE digest = ?', digest)
    for (const child of children) {
      this.#records.write(
        'INSERT OR IGNORE INTO children (manifest, digest) VALUES (?, ?)',
        digest,
        child,
      )
    }
    for (const tag of tags) this.putTag(tag, digest, now)
    if (referrer !== undefined) this.#putReferrer(digest, referrer)
  }

  /** Removes a manifest with its tags, and plans to delete its bytes. The digests that it named. */
  delete(digest: Digest): readonly string[] {
    const children = this.#records
      .rows('SELECT digest FROM children WHERE manifest = ?', digest)
      .map((row) => row['digest'] as string)
    const [row] = this.#records.rows('SELECT subject FROM manifests WHERE digest = ?', digest)
    const subject = row?.['subject'] ?? null
    this.#records.write('DELETE FROM referrers WHERE subject = ? AND digest = ?', subject, digest)
    this.#records.write('DELETE FROM descriptors WHERE digest = ?', digest)
    this.#records.write('DELETE FROM children WHERE manifest = ?', digest)
    this.#records.write('DELETE FROM tags WHERE digest = ?', digest)
    this.#records.write('DELETE FROM manifests WHERE digest = ?', digest)
    this.#records.write('DELETE FROM reads WHERE digest = ?', digest)
    this.planDeletion(digest)
    return children
  }

  /** Lets a tag point at a manifest. */
  putTag(tag: Tag, digest: Digest, now: number): void {
    this.#records.write(
      `INSERT INTO tags (tag, digest, pushed_at) VALUES (?1, ?2, ?3)
       ON CONFLICT (tag) DO UPDATE SET digest = ?2, pushed_at = ?3`,
      tag,
      digest,
      now,
    )
  }

  /** How the referrers of its subject list a manifest; `undefined`: it refers to none. */
  descriptor(digest: Digest): Descriptor | undefined {
    const json = this.#descriptor(digest)
    // Only descriptors are written.
    return json.byteLength === 0
      ? undefined
      : (JSON.parse(new TextDecoder().decode(json)) as Descriptor)
  }

  /** Removes a tag. False: there was none. */
  deleteTag(tag: Tag): boolean {
    if (this.tag(tag) === undefined) return false
    this.#records.write('DELETE FROM tags WHERE tag = ?', tag)
    return true
  }

  /** One page of tags in ASCII order; `n` is what is asked for at most. Reads n + 1 rows. */
  tags({ last }: Page, n: number): Taken<Tag> {
    const rows = this.#records.rows(
      'SELECT tag FROM tags WHERE tag > ? ORDER BY tag LIMIT ?',
      last ?? '',
      n + 1,
    )
    // Only tags are written.
    const tags = rows.map((row) => row['tag'] as Tag)
    const items = tags.slice(0, n)
    return { items, next: tags.length > n ? items.at(-1) : undefined }
  }

  /** One page of the manifests that refer to a subject, in the order of their digests. */
  referrers(subject: Digest, { artifactTypes, last }: ReferrersPage): Taken<Descriptor> {
    // A `+` may have come unencoded, which form decoding reads as a space.
    const types = JSON.stringify(artifactTypes.map((type) => type.replaceAll(' ', '+')))
    const items: Descriptor[] = []
    let size = 0
    let from = last ?? ''
    for (;;) {
      const row = this.#records.rows(
        `SELECT digest FROM referrers WHERE subject = ?1 AND digest > ?2
           AND (?3 = '[]' OR artifact_type IN (SELECT value FROM json_each(?3)))
         ORDER BY digest LIMIT 1`,
        subject,
        from,
        types,
      )[0]
      if (row === undefined) return { items, next: undefined }
      const json = this.#descriptor(digestOf(row))
      size += json.byteLength
      if (size > MAX_REFERRERS_PAGE && items.length > 0) return { items, next: from }
      // Only descriptors are written.
      items.push(JSON.parse(new TextDecoder().decode(json)) as Descriptor)
      from = digestOf(row)
    }
  }

  /** The bytes of this manifest are to be deleted unless a row says that it stands. */
  planDeletion(digest: Digest): void {
    this.#records.write('INSERT OR IGNORE INTO deletions (digest) VALUES (?)', digest)
  }

  /** Whether the bytes of this manifest are still to be deleted. */
  isDeletionPlanned(digest: Digest): boolean {
    return this.#records.rows('SELECT 1 FROM deletions WHERE digest = ?', digest).length > 0
  }

  /** The bytes of this manifest are deleted, or stay. */
  closeDeletion(digest: Digest): void {
    this.#records.write('DELETE FROM deletions WHERE digest = ?', digest)
  }

  /** Manifests whose bytes are to be deleted, at most `limit`, in the order of their digests from after this one on. */
  deletions(limit: number, after = ''): readonly Digest[] {
    return this.#records
      .rows('SELECT digest FROM deletions WHERE digest > ? ORDER BY digest LIMIT ?', after, limit)
      .map(digestOf)
  }

  #putReferrer(digest: Digest, { subject, descriptor }: Referrer): void {
    this.#records.write(
      'INSERT OR REPLACE INTO referrers (subject, digest, artifact_type) VALUES (?, ?, ?)',
      subject,
      digest,
      descriptor.artifactType ?? null,
    )
    this.#records.write('DELETE FROM descriptors WHERE digest = ?', digest)
    // As bytes: a text that is cut within a character loses it.
    const json = new TextEncoder().encode(JSON.stringify(descriptor))
    for (let piece = 0; piece * PIECE < json.byteLength; piece++) {
      this.#records.write(
        'INSERT INTO descriptors (digest, piece, json) VALUES (?, ?, ?)',
        digest,
        piece,
        json.slice(piece * PIECE, (piece + 1) * PIECE).buffer,
      )
    }
  }

  #descriptor(digest: Digest): Uint8Array {
    const pieces = this.#records
      .rows('SELECT json FROM descriptors WHERE digest = ? ORDER BY piece', digest)
      // Only bytes are written.
      .map((row) => new Uint8Array(row['json'] as ArrayBuffer))
    const json = new Uint8Array(pieces.reduce((size, piece) => size + piece.byteLength, 0))
    let at = 0
    for (const piece of pieces) {
      json.set(piece, at)
      at += piece.byteLength
    }
    return json
  }
}

/** Only digests are written. */
function digestOf(row: Row): Digest {
  return row['digest'] as Digest
}
