// What an import remembers from step to step: repositories to be walked, images to be copied, what of the image under
// way is still to be done, and uploads that are open.

import type { Digest } from '../oci/digest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { SCHEMA } from './import-schema.ts'

/** A repository to be walked: where it goes, and the last tag that is known. */
export interface WalkedRepository {
  readonly source: RepositoryName
  readonly target: RepositoryName
  readonly last: string | undefined
}

/** A blob that a registry has sent, and where it went. */
export interface SentBlob {
  readonly host: string
  /** The repository there that has it. */
  readonly source: RepositoryName
  readonly digest: Digest
  readonly target: RepositoryName
}

/** An image to be copied. */
export interface ImportImage {
  readonly number: number
  /** Who is asked for it. */
  readonly host: string
  readonly source: RepositoryName
  readonly reference: Reference
  readonly target: RepositoryName
  /** `undefined`: its digest only. */
  readonly tag: Tag | undefined
  /** What the reference meant when it was first asked for. */
  readonly digest: Digest | undefined
  /** Bytes that were fetched and stored, and manifests that were put, for it. */
  readonly bytes: number
  readonly puts: number
  /** How often it failed since something of it was last done. */
  readonly tries: number
}

/** How an image ended. */
export type ImportOutcome = 'copied' | 'present' | 'failed'

/** A manifest of the image under way: `copy` it with all that it is made of, then `search` what refers to it. */
export interface PendingManifest {
  readonly digest: Digest
  /** How many references lead from the image to it. */
  readonly depth: number
  /** Whether no other manifest here names it. */
  readonly isRoot: boolean
}

/** What has come of an import so far. */
export interface ImportCounts {
  readonly total: number
  /** Images that have ended, well or not. */
  readonly ended: number
  readonly copied: number
  readonly present: number
  readonly failed: number
  readonly bytes: number
}

type Row = Readonly<Record<string, SqlStorageValue>>

/** Reads and writes the rows. What is read was written here, so its types are what they were. */
export class ImportRecords {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(SCHEMA)
  }

  /** Adds a repository. False: another one goes to the same place. */
  addRepository(source: RepositoryName, target: RepositoryName): boolean {
    this.#sql.exec(
      'INSERT OR IGNORE INTO import_repositories (source, target) VALUES (?, ?)',
      source,
      target,
    )
    return this.#rows('SELECT 1 FROM import_repositories WHERE source = ?', source).length > 0
  }

  /** The next repository whose tags are not all known. */
  unlisted(): WalkedRepository | undefined {
    const row = this.#rows(
      'SELECT * FROM import_repositories WHERE is_listed = 0 ORDER BY source LIMIT 1',
    )[0]
    if (row === undefined) return undefined
    return {
      source: row['source'] as RepositoryName,
      target: row['target'] as RepositoryName,
      last: (row['last'] as string | null) ?? undefined,
    }
  }

  /** Notes how far the tags of a repository are known; `undefined`: all are. */
  listed(source: RepositoryName, last: string | undefined): void {
    this.#sql.exec(
      'UPDATE import_repositories SET last = ?, is_listed = ? WHERE source = ?',
      last ?? null,
      last === undefined ? 1 : 0,
      source,
    )
  }

  /**
   * Notes the names of a page of a catalog; whether it brings one that no page before it had. A page that is asked for
   * again, because a step died, is the same page.
   */
  addNames(names: readonly string[], page: number): boolean {
    for (const name of names) {
      this.#sql.exec('INSERT OR IGNORE INTO import_names VALUES (?, ?)', name, page)
    }
    return names.some(
      (name) =>
        this.#rows('SELECT 1 FROM import_names WHERE name = ? AND page = ?', name, page).length > 0,
    )
  }

  /** How many repositories are known. */
  countRepositories(): number {
    return Number(this.#rows('SELECT COUNT(*) AS n FROM import_repositories')[0]?.['n'] ?? 0)
  }

  /** Adds an image, unless it is there. False: it is. */
  addImage(image: Pick<ImportImage, 'host' | 'source' | 'reference' | 'target' | 'tag'>): boolean {
    const { host, source, reference, target, tag } = image
    const added = this.#rows(
      `INSERT OR IGNORE INTO import_images (host, source, reference, target, tag)
         VALUES (?, ?, ?, ?, ?) RETURNING 1`,
      host,
      source,
      formatReference(reference),
      target,
      tag ?? '',
    )
    return added.length > 0
  }

  /** The next images that are not finished, without those of hosts that are left alone at this time. */
  unfinished(now: number, limit: number): readonly ImportImage[] {
    return this.#rows(
      `SELECT * FROM import_images WHERE outcome IS NULL
         AND host NOT IN (SELECT host FROM import_holds WHERE until > ?) ORDER BY number LIMIT ?`,
      now,
      limit,
    ).flatMap(imageOf)
  }

  /** An image as it is noted now. */
  image(number: number): ImportImage | undefined {
    return this.#rows('SELECT * FROM import_images WHERE number = ?', number).flatMap(imageOf)[0]
  }

  /** Notes what the reference of an image means. */
  resolved(number: number, digest: Digest): void {
    this.#sql.exec('UPDATE import_images SET digest = ? WHERE number = ?', digest, number)
    this.addManifest(number, { digest, depth: 0, isRoot: true }, 'copy')
  }

  /** Notes that something of an image was done. */
  done(number: number, { bytes, puts }: { readonly bytes: number; readonly puts: number }): void {
    this.#sql.exec(
      'UPDATE import_images SET bytes = bytes + ?, puts = puts + ?, tries = 0 WHERE number = ?',
      bytes,
      puts,
      number,
    )
  }

  /** Notes that an image could not go on; how often that was. */
  tried(number: number): number {
    this.#sql.exec('UPDATE import_images SET tries = tries + 1 WHERE number = ?', number)
    return this.image(number)?.tries ?? 0
  }

  /** Ends an image. */
  finish(number: number, outcome: ImportOutcome): void {
    this.#sql.exec('UPDATE import_images SET outcome = ? WHERE number = ?', outcome, number)
    this.#sql.exec('DELETE FROM import_manifests WHERE image = ?', number)
    this.#sql.exec('DELETE FROM import_tags WHERE image = ?', number)
  }

  /** Notes something that failed beside images: a repository, or what refers to an image. False: it is noted. */
  addFault(subject: string): boolean {
    const isKnown = this.#rows('SELECT 1 FROM import_faults WHERE subject = ?', subject).length > 0
    if (!isKnown) this.#sql.exec('INSERT INTO import_faults VALUES (?)', subject)
    return !isKnown
  }

  /** What has come of all of them, and of what else there was. */
  counts(): ImportCounts {
    const row = this.#rows(
      `SELECT COUNT(*) AS total, COUNT(outcome) AS ended, COALESCE(SUM(outcome = 'copied'), 0) AS copied,
         COALESCE(SUM(outcome = 'present'), 0) AS present,
         COALESCE(SUM(outcome = 'failed'), 0) + (SELECT COUNT(*) FROM import_faults) AS failed,
         COALESCE(SUM(bytes), 0) AS bytes FROM import_images`,
    )[0]
    const count = (name: string): number => Number(row?.[name] ?? 0)
    return {
      total: count('total'),
      ended: count('ended'),
      copied: count('copied'),
      present: count('present'),
      failed: count('failed'),
      bytes: count('bytes'),
    }
  }

  /** Adds a manifest to an image, unless it is there. False: it is. */
  addManifest(image: number, manifest: PendingManifest, stage: 'copy' | 'search'): boolean {
    const { digest, depth, isRoot } = manifest
    const added = this.#rows(
      'INSERT OR IGNORE INTO import_manifests VALUES (?, ?, ?, ?, ?) RETURNING 1',
      image,
      digest,
      depth,
      isRoot ? 1 : 0,
      stage,
    )
    return added.length > 0
  }

  /** The depth at which a manifest of an image was copied with all that it is made of; `undefined`: it was not. */
  copiedAt(image: number, digest: Digest): number | undefined {
    const row = this.#rows(
      `SELECT depth FROM import_manifests
         WHERE image = ? AND digest = ? AND stage IN ('search', 'done')`,
      image,
      digest,
    )[0]
    return row && Number(row['depth'])
  }

  /** The next manifests of an image at a stage. */
  manifests(image: number, stage: 'copy' | 'search', limit: number): readonly PendingManifest[] {
    return this.#rows(
      'SELECT * FROM import_manifests WHERE image = ? AND stage = ? ORDER BY rowid LIMIT ?',
      image,
      stage,
      limit,
    ).map((row) => ({
      digest: row['digest'] as Digest,
      depth: Number(row['depth']),
      isRoot: row['is_root'] === 1,
    }))
  }

  /** Takes a manifest to its next stage. */
  enter(image: number, digest: Digest, stage: 'search' | 'done' | 'failed'): void {
    this.#sql.exec(
      'UPDATE import_manifests SET stage = ? WHERE image = ? AND digest = ?',
      stage,
      image,
      digest,
    )
  }

  /** How many manifests refer to an image, directly or not, and were copied or there. */
  countReferrers(image: number): number {
    const row = this.#rows(
      `SELECT COUNT(*) AS n FROM import_manifests
         WHERE image = ? AND is_root = 1 AND depth > 0 AND stage <> 'failed'`,
      image,
    )[0]
    return Number(row?.['n'] ?? 0)
  }

  /** How many manifests an image has, with all that refers to it. */
  countManifests(image: number): number {
    const row = this.#rows('SELECT COUNT(*) AS n FROM import_manifests WHERE image = ?', image)[0]
    return Number(row?.['n'] ?? 0)
  }

  /** Notes a tag that refers to an image by its digest. */
  addTag(image: number, tag: Tag, digest: Digest): void {
    this.#sql.exec('INSERT OR IGNORE INTO import_tags VALUES (?, ?, ?)', image, tag, digest)
  }

  /** Tags that are to be set besides that of an image, of manifests that were copied. */
  tags(image: number): readonly { readonly tag: Tag; readonly digest: Digest }[] {
    return this.#rows(
      `SELECT tag, digest FROM import_tags WHERE image = ?1 AND digest NOT IN (
         SELECT digest FROM import_manifests WHERE image = ?1 AND stage = 'failed')`,
      image,
    ).map((row) => ({ tag: row['tag'] as Tag, digest: row['digest'] as Digest }))
  }

  /** The open upload of a blob. */
  session(target: RepositoryName, digest: Digest): string | undefined {
    const rows = this.#rows(
      'SELECT session FROM import_uploads WHERE target = ? AND digest = ?',
      target,
      digest,
    )
    return rows[0]?.['session'] as string | undefined
  }

  /** Notes the upload of a blob; `undefined`: there is none any more. */
  setSession(target: RepositoryName, digest: Digest, session: string | undefined): void {
    this.#sql.exec('DELETE FROM import_uploads WHERE target = ? AND digest = ?', target, digest)
    if (session === undefined) return
    this.#sql.exec('INSERT INTO import_uploads VALUES (?, ?, ?)', target, digest, session)
  }

  /** Notes that a repository of a registry has a blob, and to which repository here it went. */
  sent({ host, digest, source, target }: SentBlob): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO import_blobs VALUES (?, ?, ?, ?)',
      host,
      digest,
      source,
      target,
    )
  }

  /** A blob that a registry has sent; from this repository of it, if that one has. */
  sentBlob(host: string, digest: Digest, source: RepositoryName): SentBlob | undefined {
    const row = this.#rows(
      `SELECT source, target FROM import_blobs WHERE host = ? AND digest = ?
         ORDER BY source <> ? LIMIT 1`,
      host,
      digest,
      source,
    )[0]
    if (row === undefined) return undefined
    return {
      host,
      digest,
      source: row['source'] as RepositoryName,
      target: row['target'] as RepositoryName,
    }
  }

  /** Every upload that may be open. */
  sessions(): readonly {
    readonly target: RepositoryName
    readonly digest: Digest
    readonly session: string
  }[] {
    return this.#rows('SELECT * FROM import_uploads').map((row) => ({
      target: row['target'] as RepositoryName,
      digest: row['digest'] as Digest,
      session: row['session'] as string,
    }))
  }

  /** Leaves a host alone until a time (milliseconds). */
  hold(host: string, until: number, why: string): void {
    this.#sql.exec('INSERT OR REPLACE INTO import_holds VALUES (?, ?, ?)', host, until, why)
  }

  /** The first of the hosts that are left alone to be asked again. */
  firstHold(now: number): { readonly until: number; readonly why: string } | undefined {
    const row = this.#rows(
      'SELECT until, why FROM import_holds WHERE until > ? ORDER BY until LIMIT 1',
      now,
    )[0]
    return row && { until: Number(row['until']), why: row['why'] as string }
  }

  #rows(query: string, ...values: readonly SqlStorageValue[]): readonly Row[] {
    return this.#sql.exec(query, ...values).toArray()
  }
}

function imageOf(row: Row): readonly ImportImage[] {
  const reference = parseReference(row['reference'] as string)
  if (reference === undefined) return []
  return [
    {
      number: Number(row['number']),
      host: row['host'] as string,
      source: row['source'] as RepositoryName,
      reference,
      target: row['target'] as RepositoryName,
      tag: row['tag'] === '' ? undefined : (row['tag'] as Tag),
      digest: (row['digest'] as Digest | null) ?? undefined,
      bytes: Number(row['bytes']),
      puts: Number(row['puts']),
      tries: Number(row['tries']),
    },
  ]
}
