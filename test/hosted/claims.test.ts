// Who claims the bytes of a digest: which of several uploads becomes the blob, and which messages count of
// those that come late, twice or in another order (design §3, "Claim before belonging, release after leaving").

import { evictDurableObject, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { Claims } from '../../src/hosted/claims.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { storageIsAway } from '../support/broken.ts'
import { DAY, HOUR, MINUTE } from '../support/clock.ts'
import { isStored, keepClaims, keys, store } from '../support/hosted-objects.ts'
import { repository } from '../support/parsed.ts'

afterEach(() => reset())

const FOO = repository('hosted/foo')
const BAR = repository('hosted/bar')

describe('adopt', () => {
  it('makes the bytes of an upload those that are claimed', async () => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims }) => {
      expect(await claims.adopt(content)).toEqual({ ok: true, content })
      expect(await claims.claim(FOO, 1)).toEqual({ ok: true, content })
    })
  })

  it('takes one of twenty uploads at once, and every one of their repositories claims it', async () => {
    const uploads = await Promise.all(Array.from({ length: 20 }, () => store(new Uint8Array(9))))
    const [{ digest } = expect.fail()] = uploads
    const names = uploads.map((_, index) => repository(`hosted/r${index}`))
    const stub = env.BLOB_CLAIMS.getByName(digest)
    const answers = await Promise.all(
      uploads.map(async ({ content }, index) => {
        const adoption = await stub.adopt(content)
        const claim = await stub.claim(names[index] ?? FOO, 1)
        return [adoption, claim]
      }),
    )
    const stored = await keys('hosted/content/')
    expect(stored).toHaveLength(1)
    const ids = answers.flat().map((answer) => (answer.ok ? answer.content.id : 'none'))
    expect(new Set(ids.map((id) => `hosted/content/${id}`))).toEqual(new Set(stored))
    expect(await stub.holders()).toEqual(names.toSorted())
  })

  it.each([
    { name: 'the bytes won', before: async () => undefined, isOk: true },
    {
      name: 'the bytes won and are claimed',
      before: async (claims: Claims) => void (await claims.claim(FOO, 1)),
      isOk: true,
    },
    {
      name: 'the bytes were collected',
      before: collect,
      isOk: false,
    },
    {
      name: 'the bytes were collected and others are there',
      before: async (claims: Claims, pass: (time: number) => void) => {
        await collect(claims, pass)
        const other = await store()
        await claims.adopt(other.content)
      },
      isOk: true,
    },
  ])('says the same when it comes twice and $name', async ({ before, isOk }) => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims, pass }) => {
      await claims.adopt(content)
      await before(claims, pass)
      expect((await claims.adopt(content)).ok).toBe(isOk)
      // What is gone is never claimed.
      const claim = await claims.claim(BAR, 1)
      expect(claim.ok).toBe(isOk)
      if (claim.ok) expect(await isStored(claim.content)).toBe(true)
    })
  })

  it('deletes the bytes of the loser, and tells it where the others are, also twice', async () => {
    const { digest, content } = await store()
    const loser = await store()
    await keepClaims(digest, async ({ claims }) => {
      await claims.adopt(content)
      expect(await claims.adopt(loser.content)).toEqual({ ok: true, content })
      expect(await claims.adopt(loser.content)).toEqual({ ok: true, content })
      expect([await isStored(content), await isStored(loser.content)]).toEqual([true, false])
    })
  })

  it('leaves what storage does not delete to the alarm', async () => {
    const { digest, content } = await store()
    const loser = await store()
    let isAway = true
    const remove = async (key: string) => (isAway ? storageIsAway() : env.BLOBS.delete(key))
    await keepClaims(
      digest,
      async ({ claims, alarmIn, restart }) => {
        await claims.adopt(content)
        expect(await claims.adopt(loser.content)).toEqual({ ok: true, content })
        expect(await alarmIn()).toBe(MINUTE)
        isAway = false
        await restart().alarm()
        expect([await isStored(content), await isStored(loser.content)]).toEqual([true, false])
      },
      { delete: remove },
    )
  })

  it('heals: bytes that storage has lost are replaced, and whoever claims them keeps his claim', async () => {
    const { digest, content } = await store()
    const again = await store()
    await keepClaims(digest, async ({ claims, pass, events }) => {
      await claims.adopt(content)
      await claims.claim(FOO, 1)
      await env.BLOBS.delete(hostedContentKey(content.id))
      expect(await claims.adopt(again.content)).toEqual({ ok: true, content: again.content })
      expect(events).toEqual(['hosted-content-lost'])
      expect(claims.holders()).toEqual([FOO])
      pass(3 * DAY)
      await claims.alarm()
      expect(await isStored(again.content)).toBe(true)
      expect(await claims.claim(FOO, 2)).toEqual({ ok: true, content: again.content })
    })
  })

  it('heals once: of two uploads at once that find the bytes lost, one is kept and the other deleted', async () => {
    const { digest, content } = await store()
    const again = [await store(), await store()]
    await keepClaims(digest, async ({ claims }) => {
      await claims.adopt(content)
      await env.BLOBS.delete(hostedContentKey(content.id))
      await Promise.all(again.map((each) => claims.adopt(each.content)))
      const claim = await claims.claim(FOO, 1)
      const kept = claim.ok ? [`hosted/content/${claim.content.id}`] : []
      expect(await keys('hosted/content/')).toEqual(kept)
    })
  })

  it('takes nothing while storage does not say whether the bytes that it has are there', async () => {
    const { digest, content } = await store()
    const other = await store()
    await keepClaims(
      digest,
      async ({ claims }) => {
        await claims.adopt(content)
        await expect(claims.adopt(other.content)).rejects.toThrow('10001')
        expect(await claims.claim(FOO, 1)).toEqual({ ok: true, content })
        expect(await isStored(other.content)).toBe(true)
      },
      { head: storageIsAway },
    )
  })
})

describe('disown', () => {
  it.each([
    { name: 'never adopted', steps: ['disown'], says: ['disowned'] },
    { name: 'asked twice', steps: ['disown', 'disown'], says: ['disowned', 'disowned'] },
    { name: 'adopted before', steps: ['adopt', 'disown'], says: ['true', 'adopted'] },
    { name: 'adopted too late', steps: ['disown', 'adopt'], says: ['disowned', 'false'] },
    {
      name: 'lost against other bytes',
      steps: ['other', 'adopt', 'disown'],
      says: ['true', 'true', 'adopted'],
    },
    {
      name: 'adopted too late, while there are other bytes',
      steps: ['other', 'disown', 'adopt'],
      says: ['true', 'disowned', 'false'],
    },
    {
      name: 'collected',
      steps: ['adopt', 'collect', 'disown'],
      says: ['true', 'undefined', 'adopted'],
    },
  ])('$name', async ({ steps, says }) => {
    const { digest, content } = await store()
    const other = await store()
    await keepClaims(digest, async ({ claims, pass }) => {
      const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
        adopt: async () => (await claims.adopt(content)).ok,
        other: async () => (await claims.adopt(other.content)).ok,
        disown: () => claims.disown(content.id),
        collect: () => collect(claims, pass),
      }
      const said: string[] = []
      for (const step of steps) said.push(String(await deeds[step]?.()))
      expect(said).toEqual(says)
    })
  })

  it.each(['adopt', 'disown'])('is decided by whoever comes first: %s', async (first) => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims }) => {
      const ask = [() => claims.adopt(content), () => claims.disown(content.id)]
      const asked = first === 'adopt' ? ask : ask.toReversed()
      await Promise.all(asked.map((each) => each()))
      const isAdopted = (await claims.disown(content.id)) === 'adopted'
      expect(isAdopted).toBe(first === 'adopt')
      expect((await claims.claim(FOO, 1)).ok).toBe(isAdopted)
    })
  })
})

describe('claim and release', () => {
  it.each([
    { name: 'in order', messages: ['claim 1', 'release 2'], isHeld: false },
    { name: 'again', messages: ['claim 1', 'release 2', 'claim 3'], isHeld: true },
    { name: 'a claim that comes twice', messages: ['claim 1', 'claim 1'], isHeld: true },
    { name: 'a claim that comes late', messages: ['release 2', 'claim 1'], isHeld: false },
    {
      name: 'a claim, once more late',
      messages: ['claim 1', 'release 2', 'claim 1'],
      isHeld: false,
    },
    { name: 'a release that comes late', messages: ['claim 3', 'release 2'], isHeld: true },
    {
      name: 'a release, once more late',
      messages: ['claim 1', 'release 2', 'claim 3', 'release 2'],
      isHeld: true,
    },
    {
      name: 'a release that comes twice',
      messages: ['claim 1', 'release 2', 'release 2'],
      isHeld: false,
    },
    { name: 'a claim overtaken by another', messages: ['claim 2', 'claim 1'], isHeld: true },
  ])('the highest counter decides: $name', async ({ messages, isHeld }) => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims, restart }) => {
      await claims.adopt(content)
      // Somebody else's counters are his own.
      await claims.claim(BAR, 7)
      for (const message of messages) {
        const [deed, counter] = message.split(' ')
        // Each by an object that knows what is stored, and nothing else.
        const asked = restart()
        await (deed === 'claim'
          ? asked.claim(FOO, Number(counter))
          : asked.release(FOO, Number(counter)))
      }
      expect(claims.holders()).toEqual(isHeld ? [BAR, FOO] : [BAR])
    })
  })

  it('tells a claim that is late which counter is known', async () => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims }) => {
      await claims.adopt(content)
      await claims.claim(FOO, 5)
      expect(await claims.claim(FOO, 3)).toEqual({ ok: false, reason: 'late', counter: 5 })
      await claims.release(FOO, 6)
      expect(await claims.claim(FOO, 6)).toEqual({ ok: false, reason: 'late', counter: 6 })
    })
  })

  it('does not take up a claim that was told absent when it comes once more after an upload', async () => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims }) => {
      expect(await claims.claim(FOO, 2)).toEqual({ ok: false, reason: 'absent' })
      await claims.adopt(content)
      for (const counter of [1, 2]) expect((await claims.claim(FOO, counter)).ok).toBe(false)
      expect(claims.holders()).toEqual([])
      expect((await claims.claim(FOO, 3)).ok).toBe(true)
    })
  })

  it('keeps repositories apart of which one is the beginning of the other', async () => {
    const { digest, content } = await store()
    const names = ['foo', 'foo-bar', 'foo/bar'].map(repository)
    await keepClaims(digest, async ({ claims }) => {
      await claims.adopt(content)
      for (const name of names) await claims.claim(name, 1)
      await claims.release(repository('foo'), 2)
      expect(claims.holders()).toEqual(['foo-bar', 'foo/bar'])
    })
  })
})

describe('a real object that is evicted between any two steps', () => {
  it('knows what was adopted, claimed, released and disowned', async () => {
    const { digest, content } = await store()
    const other = await store()
    const stub = env.BLOB_CLAIMS.getByName(digest)
    const evict = () => evictDurableObject(stub)
    expect(await stub.disown(other.content.id)).toBe('disowned')
    await evict()
    expect((await stub.adopt(other.content)).ok).toBe(false)
    await evict()
    expect((await stub.adopt(content)).ok).toBe(true)
    await evict()
    expect((await stub.claim(FOO, 1)).ok).toBe(true)
    await evict()
    expect(await stub.holders()).toEqual([FOO])
    await stub.release(FOO, 2)
    await evict()
    expect((await stub.claim(FOO, 1)).ok).toBe(false)
    expect((await stub.claim(FOO, 3)).ok).toBe(true)
  })
})

/** Nobody claims the bytes for so long that they are collected. */
async function collect(claims: Claims, pass: (milliseconds: number) => void): Promise<void> {
  pass(DAY + HOUR)
  await claims.alarm()
}
