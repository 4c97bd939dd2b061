// What a collection knows: every mirrored object, every image and what belongs to it, in tables of its job's object.
// Decides what goes next. How far the run has come stands in the same tables and is written in the same moment as what
// it is about, so a run goes on where it was, whenever its object died.

import type { StoredImage } from '../mirror/inventory.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { mirroredBlobKey, mirroredManifestKey, parseMirroredKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { CollectRun } from './collect-run.ts'

/**
 * Reads are told again after an hour, and a pull takes its time: what was read so much later than the manifests of its
 * image belongs to the same pull (milliseconds).
 */
export const SAME_PULL = 2 * 60 * 60 * 1000

/** `rank`: 0 what nobody can pull any more, else 1; it goes before the time. `state`: 0, doomed (1) or kept for good (2). */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS collect_run (number INTEGER PRIMARY KEY, value TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS collect_objects (
    key TEXT PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL, is_blob INTEGER NOT NULL, size INTEGER NOT NULL,
    rank INTEGER NOT NULL, last INTEGER NOT NULL, holders INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    is_loose INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS collect_loose ON collect_objects (rank, last) WHERE holders = 0 AND state = 0;
  CREATE INDEX IF NOT EXISTS collect_doomed ON collect_objects (host) WHERE state = 1;
  CREATE TABLE IF NOT EXISTS collect_images (
    number INTEGER PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, tags TEXT NOT NULL,
    rank INTEGER NOT NULL, last INTEGER NOT NULL, is_going INTEGER NOT NULL DEFAULT 0
  );
  CREATE INDEX IF NOT EXISTS collect_idle ON collect_images (rank, last);
  CREATE TABLE IF NOT EXISTS collect_members (
    image INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (image, key)
  ) WITHOUT ROWID;
`
type Row = Readonly<Record<string, SqlStorageValue>>

const TABLES = ['collect_run', 'collect_objects', 'collect_images', 'collect_members']

/** An object as R2 lists it. */
export interface ListedObject {
  readonly key: string
  readonly size: number
  /** Milliseconds. */
  readonly uploaded: number
}

/** An image that is next, or on its way out. */
export interface IdleImage {
  readonly kind: 'image'
  readonly number: number
  readonly name: MirroredName
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly last: number
  /** Whether its ledger was asked to forget it before this object died. */
  readonly isGoing: boolean
}

/** An object of no image. */
export interface LooseObject {
  readonly kind: 'object'
  readonly key: string
  readonly size: number
}

/** An object that goes unless somebody needs it. */
export interface DoomedObject {
  readonly key: string
  readonly size: number
  /** Whether it belongs to no image that went with it. */
  readonly isLoose: boolean
}

/** Objects, and how large they are together. */
export interface Amount {
  readonly objects: number
  readonly bytes: number
}

/** Reads and writes the tables of one run. */
export class CollectBook {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(SCHEMA)
  }

  /** How far the run is; `undefined`: it has not begun. */
  run(): CollectRun | undefined {
    const [row] = this.#sql.exec('SELECT value FROM collect_run').toArray()
    // Only runs are written, as JSON.
    return row === undefined ? undefined : (JSON.parse(textOf(row, 'value')) as CollectRun)
  }

  /** Notes how far it is. Nothing may be awaited between this and what it says of other tables. */
  note(run: CollectRun): void {
    this.#sql.exec('INSERT OR REPLACE INTO collect_run VALUES (1, ?)', JSON.stringify(run))
  }

  /** Adds an object. One that has a key of no known form is nobody's to remove. */
  addObject({ key, size, uploaded }: ListedObject, rank: number): void {
    const parsed = parseMirroredKey(key)
    if (parsed === undefined) return
    const { host, repository = '', kind } = parsed
    this.#sql.exec(
      `INSERT OR IGNORE INTO collect_objects (key, host, repository, is_blob, size, rank, last)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      key,
      host,
      repository,
      kind === 'blob' ? 1 : 0,
      size,
      rank,
      uploaded,
    )
  }

  /** Adds an image, and to everything that belongs to it one that holds it. One that is pinned holds for good. */
  addImage(
    name: MirroredName,
    image: StoredImage,
    terms: { readonly rank: number; readonly isPrivate: boolean | undefined },
  ): void {
    const { digest, tags, lastRead, isPinned, manifests, blobs } = image
    const { rank } = terms
    const row = isPinned
      ? undefined
      : this.#sql
          .exec(
            `INSERT INTO collect_images (host, repository, digest, tags, rank, last) VALUES (?, ?, ?, ?, ?, ?)
             RETURNING number`,
            name.host,
            name.repository,
            digest,
            JSON.stringify(tags),
            rank,
            lastRead,
          )
          .one()
    for (const manifest of manifests) {
      const key = mirroredManifestKey(name, manifest)
      // Whose bytes are lost is forgotten like any other.
      this.addObject({ key, size: 0, uploaded: 0 }, rank)
      this.#hold(row?.['number'], key)
    }
    for (const blob of blobs) {
      for (const key of blobKeys(name, terms.isPrivate, blob.digest)) {
        this.#hold(row?.['number'], key)
      }
    }
  }

  /** Notes when a blob was read. */
  addRead(key: string, at: number): void {
    this.#sql.exec('UPDATE collect_objects SET last = ? WHERE key = ? AND last < ?', at, key, at)
  }

  /** What goes next: what nobody can pull any more, then what was not read for longest; never what was since `mark`. */
  next(mark: number): IdleImage | LooseObject | undefined {
    const [image] = this.#sql
      .exec('SELECT * FROM collect_images WHERE last < ? ORDER BY rank, last, number LIMIT 1', mark)
      .toArray()
    const [loose] = this.#sql
      .exec(
        `SELECT key, size, rank, last FROM collect_objects INDEXED BY collect_loose
         WHERE holders = 0 AND state = 0 AND last < ? ORDER BY rank, last LIMIT 1`,
        mark,
      )
      .toArray()
    if (image !== undefined && (loose === undefined || !isBefore(loose, image))) {
      return readImage(image)
    }
    return loose && { kind: 'object', key: textOf(loose, 'key'), size: Number(loose['size']) }
  }

  /** Notes that the ledger of an image is about to be asked to forget it. */
  start({ number }: IdleImage): void {
    this.#sql.exec('UPDATE collect_images SET is_going = 1 WHERE number = ?', number)
  }

  /** Its manifests that no other image holds; where its own is none of them, it is part of another image. */
  ownManifests({ number }: IdleImage): readonly Digest[] {
    const rows = this.#sql.exec(
      `SELECT key FROM collect_members JOIN collect_objects USING (key)
       WHERE image = ? AND is_blob = 0 AND holders = 1`,
      number,
    )
    return Array.from(rows, (row) => parseMirroredKey(textOf(row, 'key'))?.digest).filter(
      (digest) => digest !== undefined,
    )
  }

  /** An image was read meanwhile: it stays, and whatever belongs to it. */
  keep({ number }: IdleImage): void {
    this.#sql.exec('DELETE FROM collect_images WHERE number = ?', number)
  }

  /**
   * An image is gone. Manifests that its ledger has forgotten are gone with it, bytes and all; what no other image holds
   * is doomed with it, unless it was read later than the image. What that is in bytes.
   */
  drop(
    image: IdleImage,
    forgotten: readonly Digest[],
    mark: number,
  ): { readonly gone: Amount; readonly doomed: Amount } {
    const { number, name, last } = image
    this.#sql.exec(
      'UPDATE collect_objects SET holders = holders - 1 WHERE key IN (SELECT key FROM collect_members WHERE image = ?)',
      number,
    )
    const gone = forgotten.map((digest) => this.#remove(mirroredManifestKey(name, digest)))
    // Any other manifest of it was read meanwhile, or is somebody else's.
    this.#sql.exec(
      `UPDATE collect_objects SET state = 2 WHERE is_blob = 0 AND holders = 0 AND state = 0
       AND key IN (SELECT key FROM collect_members WHERE image = ?)`,
      number,
    )
    const doomed = this.#sql.exec(
      `UPDATE collect_objects SET state = 1 WHERE is_blob = 1 AND holders = 0 AND state = 0 AND last <= ? AND last < ?
       AND key IN (SELECT key FROM collect_members WHERE image = ?) RETURNING size`,
      last + SAME_PULL,
      mark,
      number,
    )
    const sizes = Array.from(doomed, (row) => Number(row['size']))
    this.#sql.exec('DELETE FROM collect_members WHERE image = ?', number)
    this.#sql.exec('DELETE FROM collect_images WHERE number = ?', number)
    return {
      gone: { objects: gone.length, bytes: sum(gone) },
      doomed: { objects: sizes.length, bytes: sum(sizes) },
    }
  }

  /** Dooms an object of no image. */
  doom({ key }: LooseObject): void {
    this.#sql.exec('UPDATE collect_objects SET state = 1, is_loose = 1 WHERE key = ?', key)
  }

  /** What is doomed in all. */
  doomed(): Amount {
    const row = this.#sql
      .exec('SELECT COUNT(*) AS objects, SUM(size) AS bytes FROM collect_objects WHERE state = 1')
      .one()
    return { objects: Number(row['objects']), bytes: Number(row['bytes'] ?? 0) }
  }

  /** Hosts of which blobs are doomed. */
  doomedHosts(): readonly string[] {
    const rows = this.#sql.exec(
      'SELECT DISTINCT host FROM collect_objects WHERE state = 1 AND is_blob = 1',
    )
    return Array.from(rows, (row) => textOf(row, 'host'))
  }

  /** Doomed blobs that a repository may need, by digest. */
  doomedOf(
    { host, repository }: MirroredName,
    isPrivate: boolean | undefined,
  ): ReadonlyMap<Digest, readonly string[]> {
    const spaces = isPrivate === undefined ? ['', repository] : [isPrivate ? repository : '']
    const found = new Map<Digest, string[]>()
    for (const space of spaces) {
      const rows = this.#sql.exec(
        `SELECT key FROM collect_objects INDEXED BY collect_doomed
         WHERE state = 1 AND is_blob = 1 AND host = ? AND repository = ?`,
        host,
        space,
      )
      for (const row of rows) {
        const key = textOf(row, 'key')
        const digest = parseMirroredKey(key)?.digest
        if (digest !== undefined) found.set(digest, [...(found.get(digest) ?? []), key])
      }
    }
    return found
  }

  /** Somebody needs an object after all: it stays. */
  spare(key: string): void {
    this.#sql.exec('UPDATE collect_objects SET state = 2 WHERE key = ?', key)
  }

  /** Nobody knows what a repository needs: whatever it may have stays, with all that its host shares. */
  spareAll({ host, repository }: MirroredName, isPrivate: boolean | undefined): void {
    this.#sql.exec('DELETE FROM collect_images WHERE host = ? AND repository = ?', host, repository)
    for (const space of isPrivate === true ? [repository] : [repository, '']) {
      this.#sql.exec(
        'UPDATE collect_objects SET state = 2 WHERE host = ? AND repository = ?',
        host,
        space,
      )
    }
  }

  /** Some of what is doomed. */
  someDoomed(limit: number): readonly DoomedObject[] {
    const rows = this.#sql.exec(
      'SELECT * FROM collect_objects INDEXED BY collect_doomed WHERE state = 1 LIMIT ?',
      limit,
    )
    return Array.from(rows, (row) => ({
      key: textOf(row, 'key'),
      size: Number(row['size']),
      isLoose: Number(row['is_loose']) === 1,
    }))
  }

  /** An object is gone. */
  remove(key: string): void {
    this.#remove(key)
  }

  /** Leaves no table behind but the one that says how it ended. */
  close(): void {
    for (const table of TABLES.slice(1)) this.#sql.exec(`DROP TABLE IF EXISTS ${table}`)
  }

  #hold(image: SqlStorageValue | undefined, key: string): void {
    const known = this.#sql.exec('SELECT 1 FROM collect_objects WHERE key = ?', key).toArray()
    if (known.length === 0) return
    if (image !== undefined) {
      const added = this.#sql
        .exec('INSERT OR IGNORE INTO collect_members VALUES (?, ?) RETURNING key', image, key)
        .toArray()
      if (added.length === 0) return
    }
    this.#sql.exec('UPDATE collect_objects SET holders = holders + 1 WHERE key = ?', key)
  }

  #remove(key: string): number {
    const [row] = this.#sql
      .exec('DELETE FROM collect_objects WHERE key = ? RETURNING size', key)
      .toArray()
    return Number(row?.['size'] ?? 0)
  }
}

/** Where a blob of a repository may lie. */
export function blobKeys(
  name: MirroredName,
  isPrivate: boolean | undefined,
  digest: Digest,
): readonly string[] {
  const spaces = isPrivate === undefined ? [false, true] : [isPrivate]
  return spaces.map((space) => mirroredBlobKey(name, space, digest))
}

function isBefore(a: Row, b: Row): boolean {
  const ranks = Number(a['rank']) - Number(b['rank'])
  return ranks < 0 || (ranks === 0 && Number(a['last']) < Number(b['last']))
}

/** Only names, digests and tags that were parsed are written. */
function readImage(row: Row): IdleImage {
  const name = { host: textOf(row, 'host'), repository: textOf(row, 'repository') } as MirroredName
  return {
    kind: 'image',
    number: Number(row['number']),
    name,
    digest: textOf(row, 'digest') as Digest,
    tags: JSON.parse(textOf(row, 'tags')) as Tag[],
    last: Number(row['last']),
    isGoing: Number(row['is_going']) === 1,
  }
}

/** A column that is declared TEXT NOT NULL. */
function textOf(row: Row, column: string): string {
  const value = row[column]
  return typeof value === 'string' ? value : ''
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0)
}
