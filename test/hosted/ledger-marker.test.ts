// The marker that shows a repository in the catalog: there before the first row, until after the last (design
// §5).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { markerKey } from '../../src/storage/keys.ts'
import { silence, storageIsAway } from '../support/broken.ts'
import { MINUTE, SECOND } from '../support/clock.ts'
import { everyChance, keepLedger, keys, manifestPut, store } from '../support/hosted-objects.ts'
import type { KeptLedger, Uploaded } from '../support/hosted-objects.ts'

afterEach(async () => {
  vi.useRealTimers()
  await reset()
})

const NAME = 'hosted/foo'
const MARKER = markerKey('hosted', NAME)

const markers = () => keys('repositories/')

async function adopted(): Promise<Uploaded> {
  const uploaded = await store()
  await env.BLOB_CLAIMS.getByName(uploaded.digest).adopt(uploaded.content)
  return uploaded
}

/** Rows of everything that shows. */
function countRows({ rows }: Pick<KeptLedger, 'rows'>): number {
  return ['blobs', 'manifests', 'tags', 'deletions']
    .map((table) => rows(`SELECT count(*) AS n FROM ${table}`)[0]?.['n'])
    .reduce<number>((sum, n) => sum + Number(n), 0)
}

/** R2 in which writing or removing a marker is told, and waits until it is let go. */
function held(method: 'put' | 'delete') {
  const [asked, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const replaced = async (...args: never[]) => {
    const isMarker = String(args[0]) === MARKER
    if (isMarker) asked.resolve()
    if (isMarker) await released
    const result: unknown = await Reflect.apply(env.BLOBS[method], env.BLOBS, args)
    if (isMarker) done.resolve()
    return result
  }
  const methods = { [method]: replaced }
  return { methods, asked: asked.promise, release, done: done.promise }
}

describe('the marker', () => {
  it.each(['blob', 'manifest'])('stands before the first row: of a %s', async (kind) => {
    const blob = await adopted()
    const put = await manifestPut()
    const { methods, asked, release } = held('put')
    await keepLedger(
      NAME,
      async ({ ledger, rows }) => {
        const first = kind === 'blob' ? ledger.hold(blob.digest) : ledger.putManifest(put)
        await asked
        expect(countRows({ rows })).toBe(0)
        release()
        expect((await first).ok).toBe(true)
        expect(await markers()).toEqual([MARKER])
      },
      { methods },
    )
  })

  it.each(['blob', 'manifest'])('refused by storage, leaves nothing: of a %s', async (kind) => {
    const blob = await adopted()
    const put = await manifestPut()
    await keepLedger(
      NAME,
      async ({ ledger, rows, alarmIn }) => {
        const first = kind === 'blob' ? ledger.hold(blob.digest) : ledger.putManifest(put)
        await expect(first).rejects.toThrow('10001')
        expect(countRows({ rows })).toBe(0)
        expect(await alarmIn()).toBe(MINUTE)
        await ledger.alarm()
        expect(await alarmIn()).toBeUndefined()
      },
      { methods: { put: storageIsAway } },
    )
    expect(await keys('hosted/manifests/')).toEqual([])
  })

  it('goes after the last row, and after the last bytes', async () => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger, settle }) => {
      await ledger.hold(blob.digest)
      const put = await manifestPut({ blobs: [blob.digest] })
      await ledger.putManifest(put)
      await ledger.deleteManifest(put.digest)
      await settle()
      await ledger.alarm()
      expect(await markers()).toEqual([MARKER])
      await ledger.deleteBlob(blob.digest)
      await settle()
      await ledger.alarm()
      expect(await markers()).toEqual([])
    })
  })

  it('stays while bytes of a manifest cannot be deleted', async () => {
    const put = await manifestPut()
    const remove = async (key: string) => (key === MARKER ? env.BLOBS.delete(key) : storageIsAway())
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        await ledger.putManifest(put)
        await ledger.deleteManifest(put.digest)
        await settle()
        await ledger.alarm()
        expect(await markers()).toEqual([MARKER])
      },
      { methods: { delete: remove } },
    )
    await keepLedger(NAME, async ({ ledger }) => {
      await ledger.alarm()
      expect(await keys('')).toEqual([])
    })
  })

  it('is written anew by whoever comes while it is removed', async () => {
    const { methods, asked, release } = held('delete')
    const blob = await adopted()
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        await ledger.hold(blob.digest)
        await ledger.deleteBlob(blob.digest)
        await settle()
        const alarm = ledger.alarm()
        await asked
        const again = ledger.hold(blob.digest)
        release()
        expect((await again).ok).toBe(true)
        await alarm
        expect(await markers()).toEqual([MARKER])
      },
      { methods },
    )
  })

  it('is not removed from under whoever comes before', async () => {
    const { methods, asked, release } = held('put')
    const blob = await adopted()
    await keepLedger(
      NAME,
      async ({ ledger }) => {
        const first = ledger.hold(blob.digest)
        await asked
        const alarm = ledger.alarm()
        release()
        expect((await first).ok).toBe(true)
        await alarm
        expect(await markers()).toEqual([MARKER])
      },
      { methods },
    )
  })

  it('that was late does not stay behind', async () => {
    const { methods, asked, release, done } = held('put')
    const blob = await adopted()
    await keepLedger(
      NAME,
      async ({ ledger, alarmIn }) => {
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
        const first = ledger.hold(blob.digest)
        first.catch(() => undefined)
        await asked
        await vi.advanceTimersByTimeAsync(10 * SECOND)
        vi.useRealTimers()
        await expect(first).rejects.toThrow('does not take the marker')
        const alarm = ledger.alarm()
        await everyChance()
        release()
        await done
        await alarm
        expect(await markers()).toEqual([])
        expect(await alarmIn()).toBeUndefined()
      },
      { methods },
    )
  })

  it.each([
    { name: 'after it was written, before a row', method: 'put' },
    { name: 'while it is removed, before it is gone', method: 'delete' },
  ])('is removed by the alarm of an object that dies $name', async ({ method }) => {
    const blob = await adopted()
    const asked = Promise.withResolvers<void>()
    const dies = async (...args: never[]) => {
      if (String(args[0]) !== MARKER)
        return Reflect.apply(env.BLOBS[method as 'put'], env.BLOBS, args)
      if (method === 'put') await env.BLOBS.put(MARKER, '')
      asked.resolve()
      return silence()
    }
    if (method === 'delete') {
      await keepLedger(NAME, async ({ ledger }) => {
        await ledger.hold(blob.digest)
        await ledger.deleteBlob(blob.digest)
      })
    }
    await keepLedger(
      NAME,
      async ({ ledger }) => {
        const work = method === 'put' ? ledger.hold(blob.digest) : ledger.alarm()
        work.catch(() => undefined)
        await asked.promise
      },
      { methods: { [method]: dies } },
    )
    expect(await markers()).toEqual([MARKER])
    await keepLedger(NAME, async ({ ledger, alarmIn }) => {
      await ledger.alarm()
      expect(await markers()).toEqual([])
      expect(await alarmIn()).toBeUndefined()
      await ledger.hold(blob.digest)
      expect(await markers()).toEqual([MARKER])
    })
  })

  it('of a repository that is the beginning of others goes alone', async () => {
    const blob = await adopted()
    for (const name of ['foo', 'foo-bar', 'foo/bar']) {
      await keepLedger(name, async ({ ledger }) => void (await ledger.hold(blob.digest)))
    }
    await keepLedger('foo', async ({ ledger, settle }) => {
      await ledger.deleteBlob(blob.digest)
      await settle()
      await ledger.alarm()
    })
    expect(await markers()).toEqual(['repositories/hosted/foo-bar', 'repositories/hosted/foo/bar'])
  })
})
