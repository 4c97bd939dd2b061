// The rows of a hosted repository as an export has them, a page at a time. Between two pages the repository may change:
// what stands all the while is in the export, and so is, with all that it names, whatever a tag is found to point at.
// What is on its way to be deleted is not exported: bytes that a lost ledger was about to delete are left alone.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Now } from '../seams.ts'
import type { DumpPage, DumpRow } from './inventory.ts'
import type { ManifestRecords } from './manifest-records.ts'
import type { Records, Row } from './records.ts'

/** In the order in which they are restored: nothing is visible before what it needs. */
const SECTIONS = ['blobs', 'manifests', 'tags', 'counters', 'reads', 'pulls'] as const
/** Rows of a page, and the JSON after which it ends (characters). */
const MAX_ROWS = 1000
const MAX_SIZE = 2 * 1024 * 1024

type Section = (typeof SECTIONS)[number]

/** Where the next page begins: after the row `key` of a section. `since`: when the first page began. */
interface Cursor {
  readonly section: Section
  readonly key: string
  readonly since: number
}

/** What a page looks for, and has told: manifests that were pushed since the dump began. */
interface News {
  readonly since: number
  readonly told: Set<string>
}

/** What a dump is given. */
export interface DumpGiven {
  readonly records: Records
  readonly kept: ManifestRecords
  readonly now: Now
}

/** Reads pages of rows. */
export class Dump {
  readonly #given: DumpGiven

  constructor(given: DumpGiven) {
    this.#given = given
  }

  /** The page after a cursor, or the first one. Each page is of one moment. */
  page(after: string | undefined): DumpPage {
    let { section, key, since } = parseCursor(after) ?? {
      section: SECTIONS[0],
      key: '',
      since: this.#given.now(),
    }
    // The first page is of one moment: nothing came after another section of it.
    const news: News = { since: after === undefined ? Infinity : since, told: new Set() }
    const rows: DumpRow[] = []
    let size = 0
    for (;;) {
      const row = this.#next(section, key)
      if (row === undefined) {
        const next = SECTIONS[SECTIONS.indexOf(section) + 1]
        if (next === undefined) return { rows, next: undefined }
        section = next
        key = ''
        continue
      }
      key = row.key
      for (const each of row.rows(news)) {
        rows.push(each)
        size += JSON.stringify(each).length
      }
      if (rows.length >= MAX_ROWS || size >= MAX_SIZE) {
        return { rows, next: `${since} ${section} ${key}` }
      }
    }
  }

  /** The row after `key`, by its own key, and what it becomes in an export. */
  #next(
    section: Section,
    key: string,
  ): { readonly key: string; readonly rows: (news: News) => readonly DumpRow[] } | undefined {
    const [row] = this.#given.records.rows(QUERIES[section], key)
    if (row === undefined) return undefined
    // A text, or a day.
    const at = `${row['key'] as string | number}`
    return { key: at, rows: (news) => this.#rowsOf(section, row, news) }
  }

  #rowsOf(section: Section, row: Row, news: News): readonly DumpRow[] {
    const digest = row['digest'] as Digest
    switch (section) {
      case 'blobs':
        return [blobOf(row)]
      case 'manifests':
        return this.#manifest(row, news.since)
      case 'tags': {
        const pushedAt = Number(row['pushed_at'])
        return [
          ...this.#newTree(digest, news),
          { kind: 'tag', tag: row['key'] as Tag, digest, pushedAt },
        ]
      }
      case 'counters':
        return [{ kind: 'counter', digest, counter: Number(row['counter']) }]
      case 'reads':
        return [{ kind: 'read', digest, at: Number(row['at']) }]
      case 'pulls':
        return [{ kind: 'pulls', day: Number(row['day']), pulls: Number(row['pulls']) }]
    }
  }

  /** A manifest; one that was pushed since the dump began brings the blobs that it may have brought along. */
  #manifest(row: Row, since: number): readonly DumpRow[] {
    const digest = row['digest'] as Digest
    const { records, kept } = this.#given
    const children = records
      .rows('SELECT digest FROM children WHERE manifest = ? ORDER BY digest', digest)
      .map((child) => child['digest'] as string)
    const subject = row['subject'] as Digest | null
    const descriptor = subject === null ? undefined : kept.descriptor(digest)
    const own: DumpRow = {
      kind: 'manifest',
      digest,
      mediaType: row['media_type'] as string,
      size: row['size'] === null ? undefined : Number(row['size']),
      pushedAt: Number(row['pushed_at']),
      children,
      referrer: subject === null || descriptor === undefined ? undefined : { subject, descriptor },
    }
    return own.pushedAt < since ? [own] : [...this.#blobs(children), own]
  }

  /** What a tag points at, as far as the section of manifests may have missed it. */
  #newTree(digest: Digest, { since, told }: News): readonly DumpRow[] {
    const found: DumpRow[] = []
    const seen = new Set<string>([digest])
    // The set grows while it is walked.
    for (const each of seen) {
      if (told.has(each)) continue
      told.add(each)
      const [row] = this.#given.records.rows('SELECT * FROM manifests WHERE digest = ?', each)
      if (row === undefined || Number(row['pushed_at']) < since) continue
      const rows = this.#manifest(row, since)
      found.unshift(...rows)
      for (const one of rows) {
        for (const child of one.kind === 'manifest' ? one.children : []) seen.add(child)
      }
    }
    return found
  }

  #blobs(digests: readonly string[]): readonly DumpRow[] {
    return digests.flatMap((digest) =>
      this.#given.records
        .rows(`SELECT * FROM blobs WHERE digest = ? AND content IS NOT NULL`, digest)
        .map(blobOf),
    )
  }
}

/** The first row of each section after a key. */
const QUERIES: Readonly<Record<Section, string>> = {
  blobs: `SELECT digest AS key, * FROM blobs WHERE digest > ? AND content IS NOT NULL ORDER BY digest LIMIT 1`,
  manifests: `SELECT digest AS key, * FROM manifests WHERE digest > ? ORDER BY digest LIMIT 1`,
  tags: `SELECT tag AS key, * FROM tags WHERE tag > ? ORDER BY tag LIMIT 1`,
  // That of a blob which belongs stands in its own row.
  counters: `SELECT digest AS key, * FROM counters WHERE digest > ?
    AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = counters.digest AND content IS NOT NULL) ORDER BY digest LIMIT 1`,
  reads: `SELECT digest AS key, * FROM reads WHERE digest > ? ORDER BY digest LIMIT 1`,
  pulls: `SELECT day AS key, * FROM pulls WHERE day > CAST(? AS INTEGER) ORDER BY day LIMIT 1`,
}

function blobOf(row: Row): DumpRow {
  return {
    kind: 'blob',
    // Only digests and ids are written.
    digest: row['digest'] as Digest,
    content: row['content'] as string,
    size: Number(row['size']),
    counter: Number(row['counter']),
  }
}

/** What `page` has given out; anything else is the beginning. */
function parseCursor(text: string | undefined): Cursor | undefined {
  const [since = '', named, ...key] = (text ?? '').split(' ')
  const section = SECTIONS.find((each) => each === named)
  return section && { section, key: key.join(' '), since: Number(since) }
}
