// Pages of rows for an export, of a ledger that is larger than a page and changes between two of them; and what comes
// back through a restoration.

import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { Dump } from '../../src/hosted/dump.ts'
import type { DumpRow } from '../../src/hosted/inventory.ts'
import { ManifestRecords } from '../../src/hosted/manifest-records.ts'
import { Records } from '../../src/hosted/records.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/reference.ts'
import { hostedManifestKey } from '../../src/storage/keys.ts'
import { broken } from '../support/broken.ts'
import { SECOND } from '../support/clock.ts'
import { repository } from '../support/parsed.ts'
import { keepLedger, manifestPut, store } from '../support/hosted-objects.ts'
import type { KeptLedger, Uploaded } from '../support/hosted-objects.ts'

const EXPORT = 'an-export'

afterEach(() => reset())

/** Bytes that belong to the repository. */
async function held({ ledger }: KeptLedger): Promise<Uploaded> {
  const uploaded = await store()
  await env.BLOB_CLAIMS.getByName(uploaded.digest).adopt(uploaded.content)
  expect(await ledger.hold(uploaded.digest)).toMatchObject({ ok: true })
  return uploaded
}

/** An image of one blob. */
async function image(kept: KeptLedger, ...tags: readonly string[]): Promise<Digest> {
  const { digest } = await held(kept)
  const put = await manifestPut({ blobs: [digest] }, { tags: tags as readonly Tag[] })
  expect(await kept.ledger.putManifest(put)).toEqual({ ok: true })
  return put.digest
}

/** So many tags of one manifest, without the time that puts take. */
function tagMany({ storage }: KeptLedger, digest: Digest, count: number): void {
  for (let number = 0; number < count; number++) {
    const tag = `n${String(number).padStart(5, '0')}`
    storage.sql.exec('INSERT INTO tags (tag, digest, pushed_at) VALUES (?, ?, 0)', tag, digest)
  }
}

/** All pages; `between` is called before each but the first. */
async function dumpAll(
  { ledger }: KeptLedger,
  between: (page: number) => Promise<unknown> = async () => undefined,
): Promise<{ readonly rows: readonly DumpRow[]; readonly pages: number }> {
  const rows: DumpRow[] = []
  let after: string | undefined
  for (let pages = 0; ; pages++) {
    if (pages > 0) await between(pages)
    const page = ledger.dump(after)
    rows.push(...page.rows)
    if (page.next === undefined) return { rows, pages: pages + 1 }
    after = page.next
  }
}

const tagsOf = (rows: readonly DumpRow[]): ReadonlyMap<string, string> =>
  new Map(rows.flatMap((row) => (row.kind === 'tag' ? [[row.tag, row.digest]] : [])))
const manifestsOf = (rows: readonly DumpRow[]): ReadonlySet<string> =>
  new Set(rows.flatMap((row) => (row.kind === 'manifest' ? [row.digest] : [])))
const blobsOf = (rows: readonly DumpRow[]): ReadonlySet<string> =>
  new Set(rows.flatMap((row) => (row.kind === 'blob' ? [row.digest] : [])))

/** Everything that a tag leads to is there. */
function expectWhole(rows: readonly DumpRow[]): void {
  const manifests = manifestsOf(rows)
  const blobs = blobsOf(rows)
  for (const digest of tagsOf(rows).values()) expect(manifests).toContain(digest)
  for (const row of rows) {
    if (row.kind !== 'manifest') continue
    for (const child of row.children) expect(blobs.has(child) || manifests.has(child)).toBe(true)
  }
}

describe('a ledger of several pages', () => {
  it('is told whole, each row once', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept, 'v1')
      tagMany(kept, digest, 2500)
      kept.pass(SECOND)
      const { rows, pages } = await dumpAll(kept)
      expect(pages).toBe(3)
      expect(rows.filter(({ kind }) => kind === 'tag')).toHaveLength(2501)
      expect(rows.filter(({ kind }) => kind === 'manifest')).toHaveLength(1)
      expectWhole(rows)
    })
  })

  it('a tag that moves to an image that is new is told with all that is new', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept, 'zz-last', 'zz-stays')
      tagMany(kept, digest, 1500)
      let moved: Digest | undefined
      const { rows } = await dumpAll(kept, async (page) => {
        kept.pass(SECOND)
        if (page === 1) moved = await image(kept, 'zz-last')
      })
      expect(tagsOf(rows).get('zz-last')).toBe(moved)
      expect(tagsOf(rows).get('zz-stays')).toBe(digest)
      expectWhole(rows)
    })
  })

  it('an image that is new is told once a page, however many tags it has', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept)
      tagMany(kept, digest, 2500)
      const { rows } = await dumpAll(kept, async (page) => {
        kept.pass(SECOND)
        if (page === 1) kept.storage.sql.exec('UPDATE manifests SET pushed_at = pushed_at + 5000')
      })
      expect(rows.filter(({ kind }) => kind === 'manifest').length).toBeLessThanOrEqual(4)
    })
  })

  it('an index that is new brings its images, and an image its blobs', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept)
      tagMany(kept, digest, 1500)
      const { rows } = await dumpAll(kept, async (page) => {
        kept.pass(SECOND)
        if (page !== 1) return
        const child = await image(kept)
        const index = await manifestPut(
          { manifests: [child, digest] },
          { tags: ['zz-multi'] as readonly string[] as readonly Tag[] },
        )
        await kept.ledger.putManifest(index)
      })
      expect(manifestsOf(rows).size).toBe(3)
      expectWhole(rows)
    })
  })

  it('a tag that is removed meanwhile may be missing, and no other', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept, 'zz-gone', 'zz-stays')
      tagMany(kept, digest, 1500)
      const { rows } = await dumpAll(kept, async () => {
        kept.ledger.deleteTag('zz-gone' as Tag)
      })
      expect(tagsOf(rows).has('zz-gone')).toBe(false)
      expect(tagsOf(rows).size).toBe(1501)
    })
  })

  it('large descriptors end a page', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const subject = `sha256:${'1'.repeat(64)}` as Digest
      for (let number = 0; number < 3; number++) {
        const put = await manifestPut()
        const descriptor = {
          mediaType: put.mediaType,
          digest: put.digest,
          size: 1,
          annotations: { large: 'ü'.repeat(1_500_000) },
        }
        await kept.ledger.putManifest({ ...put, referrer: { subject, descriptor } })
      }
      const { rows, pages } = await dumpAll(kept)
      expect(pages).toBe(2)
      for (const row of rows) {
        if (row.kind !== 'manifest') continue
        expect(row.referrer?.descriptor.annotations?.['large']).toHaveLength(1_500_000)
      }
    })
  })
})

describe('what is on its way to be deleted', () => {
  it('is not exported: neither a blob that is dropped nor a manifest that was deleted', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const gone = await image(kept, 'v1')
      const stays = await image(kept, 'v2')
      const { digest } = await held(kept)
      await kept.ledger.deleteManifest(gone)
      await kept.ledger.deleteBlob(digest)
      const { rows } = await dumpAll(kept)
      expect([...manifestsOf(rows)]).toEqual([stays])
      expect(blobsOf(rows)).not.toContain(digest)
      // What it has counted is.
      expect(rows).toContainEqual({ kind: 'counter', digest, counter: 2 })
    })
  })
})

it('counters are told in a time that grows with them, and not with their square', async () => {
  await keepLedger('hosted/a', async (kept) => {
    await image(kept)
    const { sql } = kept.storage
    const series = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 30000)'
    const digest = `'sha256:' || printf('%064x', x)`
    sql.exec(`${series} INSERT INTO blobs SELECT ${digest}, 1, 'c', 1, NULL FROM n`)
    sql.exec(`${series} INSERT INTO counters SELECT ${digest}, 1 FROM n`)
    // Those that belong are told with their blobs; these are not.
    sql.exec(`DELETE FROM blobs WHERE digest < ?`, `sha256:${'0'.repeat(61)}100`)
    let read = 0
    const records = broken(new Records(kept.storage), {
      rows: (query: string, ...bindings: SqlStorageValue[]) => {
        const cursor = sql.exec(query, ...bindings)
        const found = cursor.toArray()
        read += cursor.rowsRead
        return found
      },
    })
    const dump = new Dump({ records, kept: new ManifestRecords(records), now: Date.now })
    const rows: DumpRow[] = []
    for (let next: string | undefined = ''; next !== undefined;) {
      const page = dump.page(next === '' ? undefined : next)
      rows.push(...page.rows)
      next = page.next
    }
    expect(rows.filter(({ kind }) => kind === 'counter')).toHaveLength(255)
    expect(read).toBeLessThan(200_000)
  })
}, 60_000)

describe('a restoration', () => {
  it('does not bring back what was deleted while it ran', async () => {
    let rows: readonly DumpRow[] = []
    let digest: Digest | undefined
    await keepLedger('hosted/a', async (kept) => {
      digest = await image(kept, 'v1')
      ;({ rows } = await dumpAll(kept))
      kept.storage.sql.exec('DELETE FROM manifests')
      kept.storage.sql.exec('DELETE FROM tags')
      kept.storage.sql.exec('DELETE FROM blobs')
      kept.storage.sql.exec('INSERT INTO deletions VALUES (?)', digest)
      expect(await kept.ledger.restore(rows, EXPORT)).toMatchObject({ ok: true })
      expect(kept.ledger.manifest({ kind: 'digest', digest })).toBeUndefined()
    })
  })

  /** A blob and a manifest that names it, stored, and the rows of an export that has both. */
  async function stored() {
    const { digest, content } = await store()
    const put = await manifestPut({ blobs: [digest] })
    await env.BLOBS.put(hostedManifestKey(repository('hosted/a'), put.digest), put.bytes)
    const blob: DumpRow = {
      kind: 'blob',
      digest,
      content: content.id,
      size: content.size,
      counter: 1,
    }
    const manifest: DumpRow = {
      kind: 'manifest',
      digest: put.digest,
      mediaType: put.mediaType,
      size: put.bytes.byteLength,
      pushedAt: 1,
      children: [digest],
      referrer: undefined,
    }
    return { digest, blob, manifest }
  }
  const DAY = 24 * 60 * 60 * SECOND

  it('that stops half-way loses nothing that it has brought, however long, and goes on', async () => {
    const { digest, blob, manifest } = await stored()
    const unnamed = await stored()
    await keepLedger('hosted/a', async (kept) => {
      await kept.ledger.restore([blob, unnamed.blob], EXPORT)
      for (let day = 0; day < 3; day++) {
        kept.pass(DAY + SECOND)
        await kept.ledger.alarm()
        // It does not wake all the time meanwhile.
        expect(await kept.alarmIn()).toBe(DAY)
      }
      expect(kept.rows('SELECT digest FROM releases')).toEqual([])
      const resumed = kept.restart()
      expect(await resumed.restore([manifest], EXPORT)).toEqual({ ok: true, missing: [] })
      await resumed.endRestore(EXPORT)
      await resumed.alarm()
      expect(resumed.blob(digest, false)).toBeDefined()
      expect(resumed.blob(unnamed.digest, false)).toBeDefined()
      // From now on, what no manifest names has a day.
      kept.pass(DAY + SECOND)
      await resumed.alarm()
      expect(resumed.blob(digest, false)).toBeDefined()
      expect(resumed.blob(unnamed.digest, false)).toBeUndefined()
    })
  })

  it('drops no claim that was begun when the object died, before its end', async () => {
    const { digest, blob } = await stored()
    await keepLedger('hosted/a', async (kept) => {
      await kept.ledger.restore([blob], EXPORT)
      kept.storage.sql.exec('UPDATE blobs SET content = NULL')
      const again = kept.restart()
      await again.alarm()
      expect(kept.rows('SELECT digest FROM releases')).toEqual([])
      expect(await again.restore([blob], EXPORT)).toEqual({ ok: true, missing: [] })
      expect(again.blob(digest, false)).toBeDefined()
    })
  })

  it('of another export leaves a repository alone that has rows of this one', async () => {
    const { digest, blob, manifest } = await stored()
    await keepLedger('hosted/a', async ({ ledger, rows }) => {
      await ledger.restore([blob], EXPORT)
      expect(await ledger.restore([manifest], 'another')).toEqual({ ok: false, reason: 'kept' })
      await ledger.endRestore('another')
      expect(rows('SELECT export FROM restoring')).toEqual([{ export: EXPORT }])
      expect(ledger.blob(digest, false)).toBeDefined()
    })
  })

  it('is over when a client pushes long after it was given up, and not when one does while it runs', async () => {
    const { digest, blob, manifest } = await stored()
    await keepLedger('hosted/a', async (kept) => {
      await kept.ledger.restore([blob], EXPORT)
      await image(kept, 'v1')
      expect(await kept.ledger.restore([blob], EXPORT)).toMatchObject({ ok: true })
      kept.pass(DAY)
      await image(kept, 'v2')
      expect(await kept.ledger.restore([manifest], EXPORT)).toEqual({ ok: false, reason: 'kept' })
      // What it has brought goes as anything does that nobody wants.
      kept.pass(DAY + SECOND)
      await kept.ledger.alarm()
      expect(kept.ledger.blob(digest, false)).toBeUndefined()
      expect(kept.rows('SELECT digest FROM blobs')).toHaveLength(2)
    })
  })

  it('marks a repository whose marker went before its first row', async () => {
    const put = await manifestPut()
    await env.BLOBS.put(hostedManifestKey(repository('hosted/a'), put.digest), put.bytes)
    const { manifest } = await stored()
    const row = { ...manifest, digest: put.digest, size: put.bytes.byteLength, children: [] }
    const markers = async () => (await env.BLOBS.list({ prefix: 'repositories/' })).objects.length
    let meanwhile = async (): Promise<void> => undefined
    const head = async (key: string) => {
      await meanwhile()
      return env.BLOBS.head(key)
    }
    await keepLedger(
      'hosted/a',
      async ({ ledger }) => {
        meanwhile = async () => {
          await ledger.alarm()
          expect(await markers()).toBe(0)
        }
        await ledger.restore([row], EXPORT)
        expect(await markers()).toBe(1)
      },
      { methods: { head } },
    )
  })

  it('leaves a repository whose claims were lost with them, before another is the only one', async () => {
    const { digest, content } = await store()
    const claims = () => env.BLOB_CLAIMS.getByName(digest)
    await claims().adopt(content)
    const row: DumpRow = {
      kind: 'blob',
      digest,
      content: content.id,
      size: content.size,
      counter: 1,
    }
    await keepLedger('hosted/a', async (kept) => {
      await kept.ledger.hold(digest)
      await runInDurableObject(claims(), (_, { storage }) => storage.deleteAll())
      await evictDurableObject(claims())
      expect(await claims().holders()).toEqual([])
      expect(await kept.ledger.restore([row], EXPORT)).toEqual({ ok: false, reason: 'kept' })
      await kept.ledger.reclaim([digest, `sha256:${'3'.repeat(64)}` as Digest])
      expect(await claims().holders()).toEqual(['hosted/a'])
      // Once more, with claims that know it; and where its bytes are gone too, it stays as it was.
      await kept.ledger.reclaim([digest])
      expect(await claims().holders()).toEqual(['hosted/a'])
      await runInDurableObject(claims(), (_, { storage }) => storage.deleteAll())
      await evictDurableObject(claims())
      await env.BLOBS.delete(`hosted/content/${content.id}`)
      await kept.ledger.reclaim([digest])
      expect(kept.ledger.blob(digest, false)).toEqual(content)
    })
  })

  it('counts on from the counters of the export', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const { digest, content } = await store()
      const row = { kind: 'blob', digest, content: content.id, size: content.size, counter: 41 }
      expect(await kept.ledger.restore([row as DumpRow], EXPORT)).toEqual({ ok: true, missing: [] })
      expect(kept.rows('SELECT counter FROM blobs')).toEqual([{ counter: 42 }])
      expect(await env.BLOB_CLAIMS.getByName(digest).holders()).toEqual(['hosted/a'])
    })
  })

  it('leaves no row and no marker where there is nothing to restore', async () => {
    await keepLedger('hosted/a', async (kept) => {
      await kept.ledger.restore([], EXPORT)
      await kept.ledger.endRestore(EXPORT)
      kept.pass(60 * SECOND)
      await kept.ledger.alarm()
      expect((await env.BLOBS.list({ prefix: 'repositories/' })).objects).toEqual([])
    })
  })

  it('ends: what comes later finds a repository with content of its own', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept, 'v1')
      const { rows } = await dumpAll(kept)
      expect(await kept.ledger.restore(rows, EXPORT)).toEqual({ ok: false, reason: 'kept' })
      expect(kept.ledger.manifest({ kind: 'digest', digest })).toBeDefined()
    })
  })
})

describe('what is read', () => {
  it('is summed up by day, the newest 30 first, and forgotten with what it was of', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const digest = await image(kept, 'v1')
      const other = `sha256:${'2'.repeat(64)}` as Digest
      const DAY = 24 * 60 * 60 * SECOND
      for (let day = 1; day <= 40; day++) {
        kept.ledger.reads.note({ at: day * DAY + 5, pulls: day, digests: [digest, other] })
      }
      kept.ledger.reads.note({ at: 3 * DAY, pulls: 0, digests: [digest] })
      const summary = kept.ledger.reads.summary()
      expect(summary).toMatchObject({ tags: 1, manifests: 1, lastPull: 40 * DAY + 5 })
      expect(summary?.pulls.map(({ day }) => day)).toEqual(
        Array.from({ length: 30 }, (_, index) => 40 - index),
      )
      expect(summary?.pulls[0]).toEqual({ day: 40, pulls: 40 })
      expect(kept.rows('SELECT digest FROM reads')).toEqual([{ digest }])
      expect(kept.ledger.reads.images(undefined, 10).images).toMatchObject([
        { digest, tags: ['v1'], lastRead: 40 * DAY + 5 },
      ])
      await kept.ledger.deleteManifest(digest)
      expect(kept.rows('SELECT digest FROM reads')).toEqual([])
    })
  })

  it('images come in pages, with the bytes of all that they are made of, each once', async () => {
    await keepLedger('hosted/a', async (kept) => {
      const shared = await held(kept)
      const own = await held(kept)
      const one = await manifestPut({ blobs: [shared.digest, own.digest] })
      const two = await manifestPut({ blobs: [shared.digest] })
      for (const put of [one, two]) await kept.ledger.putManifest(put)
      const index = await manifestPut({ manifests: [one.digest, two.digest] })
      await kept.ledger.putManifest({
        ...index,
        tags: ['v1'] as readonly string[] as readonly Tag[],
      })
      const all = one.bytes.length + two.bytes.length + index.bytes.length + 200
      const images = kept.ledger.reads.images(undefined, 10)
      // Its images are named by it, and have no tags.
      expect(images).toMatchObject({
        images: [{ digest: index.digest, size: all }],
        next: undefined,
      })
      expect(kept.ledger.reads.summary()).toMatchObject({ bytes: all, manifests: 3 })
      const alone = await manifestPut()
      await kept.ledger.putManifest(alone)
      const [first = '', second = ''] = [index.digest, alone.digest].toSorted()
      const page = kept.ledger.reads.images(undefined, 1)
      expect(page).toMatchObject({ images: [{ digest: first }], next: first })
      expect(kept.ledger.reads.images(page.next, 1)).toMatchObject({
        images: [{ digest: second }],
        next: undefined,
      })
    })
  })
})
