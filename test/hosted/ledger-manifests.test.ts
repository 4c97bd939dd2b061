// Manifests of a repository: what must be there before one is kept, how long what it names is kept, and that
// its bytes stand exactly as long as its row, whoever dies in between (design §3).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { ManifestPut, RepositoryLedger } from '../../src/hosted/ledger.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { hostedManifestKey } from '../../src/storage/keys.ts'
import { silence, storageIsAway } from '../support/broken.ts'
import { DAY, MINUTE, SECOND } from '../support/clock.ts'
import { everyChance, keepLedger, keys, manifestPut, store } from '../support/hosted-objects.ts'
import type { Uploaded } from '../support/hosted-objects.ts'
import { repository, tag } from '../support/parsed.ts'

afterEach(async () => {
  vi.useRealTimers()
  await reset()
})

const NAME = 'hosted/foo'
const FOO = repository(NAME)
const LATEST = tag('latest')

const keyOf = ({ digest }: ManifestPut) => hostedManifestKey(FOO, digest)
const manifests = () => keys('hosted/manifests/')
const byDigest = (digest: Digest) => ({ kind: 'digest', digest }) as const

/** A blob that belongs to the repository. */
async function push(ledger: RepositoryLedger): Promise<Uploaded> {
  const blob = await store()
  await env.BLOB_CLAIMS.getByName(blob.digest).adopt(blob.content)
  await ledger.hold(blob.digest)
  return blob
}

/** An R2 method that does what it should when it is told to. */
function held(method: 'put' | 'delete') {
  const [asked, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const replaced = async (...args: never[]) => {
    const isManifest = String(args[0]).startsWith('hosted/manifests/')
    if (isManifest) asked.resolve()
    if (isManifest) await released
    const result: unknown = await Reflect.apply(env.BLOBS[method], env.BLOBS, args)
    if (isManifest) done.resolve()
    return result
  }
  const methods = { [method]: replaced }
  return { methods, asked: asked.promise, release, done: done.promise }
}

describe('what a manifest needs', () => {
  it('is named if it is missing: blobs, and manifests', async () => {
    const [absent, child] = await Promise.all([store(), manifestPut()])
    await keepLedger(NAME, async ({ ledger }) => {
      const blob = await push(ledger)
      const put = await manifestPut({
        blobs: [blob.digest, absent.digest],
        manifests: [child.digest],
      })
      expect(await ledger.putManifest(put)).toEqual({
        ok: false,
        missing: [absent.digest, child.digest],
      })
      expect(await manifests()).toEqual([])
    })
  })

  it('may be a manifest or a blob where an index names it, but no manifest where a blob is meant', async () => {
    await keepLedger(NAME, async ({ ledger }) => {
      const [blob, child] = [await push(ledger), await manifestPut()]
      expect(await ledger.putManifest(child)).toEqual({ ok: true })
      const index = await manifestPut({ manifests: [blob.digest, child.digest] })
      expect(await ledger.putManifest(index)).toEqual({ ok: true })
      const image = await manifestPut({ blobs: [child.digest] })
      expect((await ledger.putManifest(image)).ok).toBe(false)
    })
  })

  it('may be missing in a sparse repository, and what may not be distributed anywhere', async () => {
    const foreign = await store()
    await keepLedger(NAME, async ({ ledger, pass }) => {
      const put = await manifestPut({}, { children: [foreign.digest] })
      expect(await ledger.putManifest(put)).toEqual({ ok: true })
      // Named all the same: once it is there it stays.
      await env.BLOB_CLAIMS.getByName(foreign.digest).adopt(foreign.content)
      await ledger.hold(foreign.digest)
      pass(9 * DAY)
      await ledger.alarm()
      expect(ledger.blob(foreign.digest, false)).toEqual(foreign.content)
    })
  })

  it('is looked for once more when the bytes are written: what was deleted meanwhile is missing', async () => {
    const { methods, asked, release } = held('put')
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        const blob = await push(ledger)
        const put = await manifestPut({ blobs: [blob.digest] }, { tags: [LATEST] })
        const answer = ledger.putManifest(put)
        await asked
        await ledger.deleteBlob(blob.digest)
        release()
        expect(await answer).toEqual({ ok: false, missing: [blob.digest] })
        expect(ledger.manifest({ kind: 'tag', tag: LATEST })).toBeUndefined()
        await settle()
        await ledger.alarm()
        expect(await manifests()).toEqual([])
      },
      { methods },
    )
  })

  it('is not dropped while the bytes are written, though its time has come', async () => {
    const { methods, asked, release } = held('put')
    await keepLedger(
      NAME,
      async ({ ledger, pass }) => {
        const blob = await push(ledger)
        pass(DAY)
        const answer = ledger.putManifest(await manifestPut({ blobs: [blob.digest] }))
        await asked
        const alarm = ledger.alarm()
        release()
        await alarm
        expect(await answer).toEqual({ ok: true })
      },
      { methods },
    )
  })
})

describe('what a manifest names', () => {
  it('stays as long as the last manifest that names it, and a day longer', async () => {
    await keepLedger(NAME, async ({ ledger, pass, alarmIn }) => {
      const blob = await push(ledger)
      const [one, other] = [
        await manifestPut({ blobs: [blob.digest] }),
        await manifestPut({ blobs: [blob.digest] }),
      ]
      await ledger.putManifest(one)
      await ledger.putManifest(other)
      const isThereAfter = async (time: number) => {
        pass(time)
        await ledger.alarm()
        return ledger.blob(blob.digest, false) !== undefined
      }
      expect(await isThereAfter(9 * DAY)).toBe(true)
      expect(await alarmIn()).toBeUndefined()
      await ledger.deleteManifest(one.digest)
      expect(await isThereAfter(9 * DAY)).toBe(true)
      await ledger.deleteManifest(other.digest)
      expect(await isThereAfter(DAY - SECOND)).toBe(true)
      expect(await isThereAfter(SECOND)).toBe(false)
    })
  })
})

describe('the bytes of a manifest', () => {
  it('are deleted after its row, and tags go with it', async () => {
    await keepLedger(NAME, async ({ ledger, settle }) => {
      const put = await manifestPut({}, { tags: [LATEST, tag('v1')] })
      await ledger.putManifest(put)
      expect(await manifests()).toEqual([keyOf(put)])
      expect(await ledger.deleteManifest(put.digest)).toBe(true)
      expect(ledger.manifest(byDigest(put.digest))).toBeUndefined()
      expect(ledger.manifest({ kind: 'tag', tag: LATEST })).toBeUndefined()
      expect(await ledger.deleteManifest(put.digest)).toBe(false)
      await settle()
      expect(await manifests()).toEqual([])
    })
  })

  it('are deleted by the alarm of an object that dies before it does', async () => {
    const put = await manifestPut()
    await keepLedger(
      NAME,
      async ({ ledger, alarmIn }) => {
        await ledger.putManifest(put)
        await ledger.deleteManifest(put.digest)
        expect(await alarmIn()).toBe(MINUTE)
      },
      { methods: { delete: storageIsAway } },
    )
    expect(await manifests()).toEqual([keyOf(put)])
    await keepLedger(NAME, async ({ ledger, alarmIn }) => {
      await ledger.alarm()
      expect(await manifests()).toEqual([])
      expect(await alarmIn()).toBeUndefined()
    })
  })

  it('are deleted by the alarm of an object that dies before the row stands, and a retry completes', async () => {
    const put = await manifestPut()
    const asked = Promise.withResolvers<void>()
    const dies = async (...args: Parameters<R2Bucket['put']>) => {
      const object = await env.BLOBS.put(...args)
      if (!args[0].startsWith('hosted/manifests/')) return object
      asked.resolve()
      return silence()
    }
    await keepLedger(
      NAME,
      async ({ ledger }) => {
        ledger.putManifest(put).catch(() => undefined)
        await asked.promise
      },
      { methods: { put: dies } },
    )
    await keepLedger(NAME, async ({ ledger }) => {
      expect(ledger.manifest(byDigest(put.digest))).toBeUndefined()
      await ledger.alarm()
      expect(await manifests()).toEqual([])
      expect(await ledger.putManifest(put)).toEqual({ ok: true })
      await ledger.alarm()
      expect(await manifests()).toEqual([keyOf(put)])
    })
  })

  it('stay if it is put again before they are deleted', async () => {
    const { methods, asked, release } = held('delete')
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        const put = await manifestPut()
        await ledger.putManifest(put)
        await ledger.deleteManifest(put.digest)
        await asked
        // The deletion is on its way to storage: the put waits for it.
        const again = ledger.putManifest(put)
        release()
        expect(await again).toEqual({ ok: true })
        await settle()
        await ledger.alarm()
        expect(ledger.manifest(byDigest(put.digest))?.mediaType).toBe(put.mediaType)
        expect(await manifests()).toEqual([keyOf(put)])
      },
      { methods },
    )
  })

  it('stay if it is put again while it is deleted', async () => {
    const { methods, asked, release } = held('put')
    const put = await manifestPut()
    await keepLedger(NAME, async ({ ledger }) => void (await ledger.putManifest(put)))
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        const again = ledger.putManifest(put)
        await asked
        expect(await ledger.deleteManifest(put.digest)).toBe(true)
        const alarm = ledger.alarm()
        release()
        expect(await again).toEqual({ ok: true })
        await alarm
        await settle()
        expect(await manifests()).toEqual([keyOf(put)])
      },
      { methods },
    )
  })

  it('do not outlive a put that was given up because storage was late', async () => {
    const { methods, asked, release, done } = held('put')
    await keepLedger(
      NAME,
      async ({ ledger }) => {
        const put = await manifestPut({}, { tags: [LATEST] })
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
        const answer = ledger.putManifest(put)
        answer.catch(() => undefined)
        await asked
        await vi.advanceTimersByTimeAsync(10 * SECOND)
        vi.useRealTimers()
        await expect(answer).rejects.toThrow('does not take')
        const alarm = ledger.alarm()
        await everyChance()
        release()
        await done
        await alarm
        expect(await manifests()).toEqual([])
        // Nor does it come to stand behind the back of whoever was told that it failed.
        expect(ledger.manifest({ kind: 'tag', tag: LATEST })).toBeUndefined()
      },
      { methods },
    )
  })

  it('are not touched by a sibling of which its repository is the beginning', async () => {
    const put = await manifestPut()
    for (const name of ['foo', 'foo-bar', 'foo/bar']) {
      await keepLedger(name, async ({ ledger }) => void (await ledger.putManifest(put)))
    }
    await keepLedger('foo', async ({ ledger }) => void (await ledger.deleteManifest(put.digest)))
    const left = ['foo-bar', 'foo/bar'].map((name) =>
      hostedManifestKey(repository(name), put.digest),
    )
    expect(await manifests()).toEqual(left)
  })
})

describe('a tag', () => {
  it('points at what was put last, and nowhere when that is deleted', async () => {
    await keepLedger(NAME, async ({ ledger }) => {
      const [one, other] = [
        await manifestPut({}, { tags: [LATEST] }),
        await manifestPut({}, { tags: [LATEST] }),
      ]
      for (const put of [one, other, one]) await ledger.putManifest(put)
      const latest = () => ledger.manifest({ kind: 'tag', tag: LATEST })?.digest
      expect(latest()).toBe(one.digest)
      await ledger.deleteManifest(other.digest)
      expect(latest()).toBe(one.digest)
      await ledger.deleteManifest(one.digest)
      expect(latest()).toBeUndefined()
    })
  })

  it('can be deleted alone, once', async () => {
    await keepLedger(NAME, async ({ ledger }) => {
      const put = await manifestPut({}, { tags: [LATEST] })
      await ledger.putManifest(put)
      expect([ledger.deleteTag(LATEST), ledger.deleteTag(LATEST)]).toEqual([true, false])
      expect(ledger.manifest(byDigest(put.digest))).toBeDefined()
    })
  })

  it('points at one of those that twenty pushers put at once', async () => {
    await keepLedger(NAME, async ({ ledger }) => {
      const puts = await Promise.all(
        Array.from({ length: 20 }, () => manifestPut({}, { tags: [LATEST] })),
      )
      const answers = await Promise.all(puts.map((put) => ledger.putManifest(put)))
      expect(answers.every(({ ok }) => ok)).toBe(true)
      const latest = ledger.manifest({ kind: 'tag', tag: LATEST })?.digest
      expect(puts.map(({ digest }) => digest)).toContain(latest)
      expect(await manifests()).toHaveLength(20)
    })
  })
})
