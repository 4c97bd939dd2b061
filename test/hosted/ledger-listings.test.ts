// Lists of a repository: pages of tags, which read no more rows than they show, and pages of referrers, whose
// descriptors can be larger than a row may be.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { ManifestPut, RepositoryLedger } from '../../src/hosted/ledger.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { MAX_REFERRERS_PAGE } from '../../src/oci/referrers.ts'
import { MiB } from '../support/blob.ts'
import { keepLedger, manifestPut, store } from '../support/hosted-objects.ts'
import { tag } from '../support/parsed.ts'

afterEach(() => reset())

const NAME = 'hosted/foo'
const EVERY = { artifactTypes: [], last: undefined }

/** Rows that SQLite reads from now on. */
function countRows(storage: DurableObjectStorage): () => number {
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = []
  const { sql } = storage
  const exec = sql.exec.bind(sql)
  Object.defineProperty(storage, 'sql', {
    value: {
      exec: (query: string, ...bindings: unknown[]) => {
        const cursor = exec(query, ...bindings)
        cursors.push(cursor)
        return cursor
      },
    },
    configurable: true,
  })
  return () => cursors.splice(0).reduce((rows, { rowsRead }) => rows + rowsRead, 0)
}

describe('100 000 tags', () => {
  it('a page reads one row more than it shows, wherever it begins', async () => {
    const put = await manifestPut({}, { tags: [tag('t-000000')] })
    await keepLedger(NAME, async ({ ledger }) => void (await ledger.putManifest(put)))
    await runInDurableObject(env.HOSTED_LEDGER.getByName(NAME), (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 99999)
         INSERT INTO tags SELECT printf('t-%06d', n), ?, 0 FROM count`,
        put.digest,
      )
    })
    await keepLedger(NAME, async ({ storage, restart }) => {
      const rows = countRows(storage)
      const ledger = restart()
      // The first question finds out whether there is a schema.
      ledger.tags({ n: 1, last: undefined })
      rows()
      for (const n of [1, 2, 100, 9_999, undefined, 1_000_000]) {
        for (const last of [undefined, 't-000500', 't-099998', 'u']) {
          const page = ledger.tags({ n, last })
          const items = page.ok ? page.items : expect.fail('no page')
          const most = Math.min(n ?? 10_000, 10_000)
          expect(items.length).toBeLessThanOrEqual(most)
          // An empty page looks whether the repository has anything else.
          expect(rows()).toBeLessThanOrEqual(Math.max(most + 1, 3))
          expect(items).toEqual(items.toSorted())
        }
      }
    })
  })
})

describe('tags', () => {
  const TAGS = [
    'A',
    'B.1',
    'Z',
    '_a',
    'a',
    'a-b',
    'a.b',
    'a_b',
    'aa',
    'b',
    'v1',
    'v1.0',
    'v10',
    'v2',
  ]

  it.each(TAGS.map((_, index) => index + 1))('in pages of %i are each listed once', async (n) => {
    await keepLedger(NAME, async ({ ledger }) => {
      await ledger.putManifest(await manifestPut({}, { tags: TAGS.toReversed().map(tag) }))
      const listed: string[] = []
      let last: string | undefined
      do {
        const page = ledger.tags({ n, last })
        if (!page.ok) expect.fail('no page')
        listed.push(...page.items)
        last = page.next
      } while (last !== undefined)
      // ASCII: capitals first, then `_`.
      expect(listed).toEqual(TAGS)
    })
  })

  it('are none in a page of none, and none in a repository that has only blobs', async () => {
    const blob = await store()
    await env.BLOB_CLAIMS.getByName(blob.digest).adopt(blob.content)
    await keepLedger(NAME, async ({ ledger }) => {
      const nothing = { ok: true, items: [], next: undefined }
      await ledger.hold(blob.digest)
      expect(ledger.tags({ n: undefined, last: undefined })).toEqual(nothing)
      await ledger.putManifest(await manifestPut({}, { tags: TAGS.map(tag) }))
      expect(ledger.tags({ n: 0, last: undefined })).toEqual(nothing)
    })
  })
})

/** A manifest that refers to another; `text` makes its descriptor large. */
async function referrer(subject: Digest, type?: string, text = ''): Promise<ManifestPut> {
  const put = await manifestPut()
  const { digest, mediaType } = put
  const descriptor = {
    mediaType,
    digest,
    size: 1,
    ...(type !== undefined && { artifactType: type }),
    annotations: { text },
  }
  return { ...put, referrer: { subject, descriptor } }
}

/** All pages of referrers. */
function pagesOf(ledger: RepositoryLedger, subject: Digest): readonly (readonly string[])[] {
  const pages: string[][] = []
  let last: string | undefined
  do {
    const page = ledger.referrers(subject, { ...EVERY, last })
    pages.push(page.items.map(({ digest }) => digest))
    last = page.next
  } while (last !== undefined)
  return pages
}

describe('referrers', () => {
  it('come in pages that clients can read, each once, however large their descriptors are', async () => {
    const { digest: subject } = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => {
      const sizes = [4 * MiB - 1000, 2 * MiB, 100, MiB, 3 * MiB, 100, 100]
      const puts: ManifestPut[] = []
      for (const size of sizes) puts.push(await referrer(subject, undefined, 'x'.repeat(size)))
      for (const put of puts) expect(await ledger.putManifest(put)).toEqual({ ok: true })
      const pages = pagesOf(ledger, subject)
      expect(pages.flat()).toEqual(puts.map(({ digest }) => digest).toSorted())
      const sizeOf = new Map(puts.map(({ digest }, index) => [String(digest), sizes[index] ?? 0]))
      const large = pages.filter((page) => page.length > 1)
      for (const page of large) {
        const size = page.reduce((sum, digest) => sum + (sizeOf.get(digest) ?? 0), 0)
        expect(size).toBeLessThanOrEqual(MAX_REFERRERS_PAGE)
      }
    })
  })

  it('keep every character of a descriptor, wherever it is cut into rows', async () => {
    const { digest: subject } = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => {
      for (const shift of [0, 1, 2, 3]) {
        const text = 'x'.repeat(shift) + '😀é'.repeat(400_000)
        const put = await referrer(subject, undefined, text)
        await ledger.putManifest(put)
        const listed = pageWith(ledger, subject, put.digest)
        expect(listed?.annotations?.['text'] === text).toBe(true)
        await ledger.deleteManifest(put.digest)
      }
    })
  })

  it('are filtered by any of several types, also where a plus came as a space', async () => {
    const { digest: subject } = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => {
      const puts = []
      for (const type of ['a/b+json', 'a/c', 'a/d', undefined]) {
        puts.push(await referrer(subject, type))
      }
      for (const put of puts) await ledger.putManifest(put)
      const types = (...artifactTypes: string[]) =>
        ledger
          .referrers(subject, { artifactTypes, last: undefined })
          .items.map(({ artifactType }) => artifactType)
          .toSorted((a = '', b = '') => (a < b ? -1 : 1))
      expect(types('a/b json', 'a/c')).toEqual(['a/b+json', 'a/c'])
      expect(types('a/b+json')).toEqual(['a/b+json'])
      expect(types('a')).toEqual([])
      expect(types()).toHaveLength(4)
    })
  })

  it('stand whether their subject is there, deleted, or there again', async () => {
    const subject = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => {
      const put = await referrer(subject.digest)
      await ledger.putManifest(put)
      const listed = () => pagesOf(ledger, subject.digest).flat()
      expect(listed()).toEqual([put.digest])
      await ledger.putManifest(subject)
      await ledger.deleteManifest(subject.digest)
      expect(listed()).toEqual([put.digest])
      await ledger.putManifest(subject)
      expect(listed()).toEqual([put.digest])
      await ledger.deleteManifest(put.digest)
      expect(listed()).toEqual([])
      await ledger.putManifest(put)
      expect(listed()).toEqual([put.digest])
    })
  })

  it('are all listed, once, when twenty are put at once and twice', async () => {
    const { digest: subject } = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => {
      const puts = await Promise.all(Array.from({ length: 20 }, () => referrer(subject)))
      await Promise.all([...puts, ...puts].map((put) => ledger.putManifest(put)))
      expect(pagesOf(ledger, subject)).toEqual([puts.map(({ digest }) => digest).toSorted()])
    })
  })

  it('are none of a subject that nothing refers to', async () => {
    const { digest } = await manifestPut()
    await keepLedger(NAME, async ({ ledger, traces }) => {
      expect(ledger.referrers(digest, EVERY)).toEqual({ items: [], next: undefined })
      expect(await traces()).toEqual([])
    })
  })
})

function pageWith(ledger: RepositoryLedger, subject: Digest, digest: Digest) {
  return ledger.referrers(subject, EVERY).items.find((each) => each.digest === digest)
}
