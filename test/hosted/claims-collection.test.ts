// How bytes that nobody claims are deleted: when, by whom, and what happens to whoever comes meanwhile (design
// §3, "garbage collection is event-driven").

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { Claims } from '../../src/hosted/claims.ts'
import type { KeptClaims, Uploaded } from '../support/hosted-objects.ts'
import { storageIsAway } from '../support/broken.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../support/clock.ts'
import { isStored, keepClaims, store } from '../support/hosted-objects.ts'
import { repository } from '../support/parsed.ts'

afterEach(() => reset())

const FOO = repository('hosted/foo')
const BAR = repository('hosted/bar')

interface Row {
  readonly name: string
  /** What happens after the bytes were adopted. */
  readonly happens: (kept: KeptClaims) => Promise<unknown>
  readonly isStored: boolean
}

const GRACE: readonly Row[] = [
  { name: 'nobody has claimed them for a day', happens: after(DAY), isStored: false },
  { name: 'nobody has claimed them for less', happens: after(DAY - SECOND), isStored: true },
  {
    name: 'somebody claims them',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 1)
      await after(9 * DAY)(kept)
    },
    isStored: true,
  },
  {
    name: 'one of two has released them',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 1)
      await kept.claims.claim(BAR, 1)
      await kept.claims.release(FOO, 2)
      await after(9 * DAY)(kept)
    },
    isStored: true,
  },
  {
    name: 'the last claim was released less than a day ago',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 1)
      kept.pass(5 * DAY)
      await kept.claims.release(FOO, 2)
      await after(DAY - SECOND)(kept)
    },
    isStored: true,
  },
  {
    name: 'the last claim was released a day ago',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 1)
      await kept.claims.release(FOO, 2)
      await after(DAY)(kept)
    },
    isStored: false,
  },
  {
    name: 'a release that counts no more comes in between',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 3)
      await kept.claims.release(FOO, 2)
      await after(9 * DAY)(kept)
    },
    isStored: true,
  },
  {
    name: 'they were released twice, the second time just now',
    happens: async (kept) => {
      await kept.claims.claim(FOO, 1)
      await kept.claims.release(FOO, 2)
      kept.pass(DAY - SECOND)
      await kept.claims.release(FOO, 2)
      await after(SECOND)(kept)
    },
    isStored: false,
  },
  {
    name: 'another upload has lost against them since: its client claims them now',
    happens: async (kept) => {
      kept.pass(DAY - SECOND)
      await kept.claims.adopt((await store()).content)
      await after(DAY - SECOND)(kept)
    },
    isStored: true,
  },
  {
    name: 'they are claimed after the day, but before the alarm',
    happens: async (kept) => {
      kept.pass(DAY + HOUR)
      await kept.claims.claim(FOO, 1)
      await after(9 * DAY)(kept)
    },
    isStored: true,
  },
]

describe('the grace period', () => {
  it.each(GRACE)('$name', async ({ happens, isStored: isKept }) => {
    const { digest, content } = await store()
    await keepClaims(digest, async (kept) => {
      await kept.claims.adopt(content)
      await happens(kept)
      expect(await isStored(content)).toBe(isKept)
      expect((await kept.claims.claim(FOO, 9)).ok).toBe(isKept)
    })
  })

  it('is waited for by an alarm, which goes when somebody claims the bytes', async () => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims, alarmIn, pass }) => {
      await claims.adopt(content)
      expect(await alarmIn()).toBe(DAY)
      await claims.claim(FOO, 1)
      expect(await alarmIn()).toBeUndefined()
      pass(HOUR)
      await claims.release(FOO, 2)
      expect(await alarmIn()).toBe(DAY)
    })
  })

  it('ends with an object of which nothing is left', async () => {
    const { digest, content } = await store()
    await keepClaims(digest, async ({ claims, pass, traces }) => {
      await claims.adopt(content)
      await claims.adopt((await store()).content)
      await claims.disown('another')
      await claims.claim(FOO, 1)
      await claims.release(FOO, 2)
      pass(DAY)
      await claims.alarm()
      // What was decided is remembered as long as a message can be on its way.
      expect(await traces()).toContain('alarm')
      expect((await claims.adopt(content)).ok).toBe(false)
      pass(DAY)
      await claims.alarm()
      expect(await traces()).toEqual([])
      // And it can begin anew.
      const { content: next } = await store()
      expect(await claims.adopt(next)).toEqual({ ok: true, content: next })
    })
  })

  it('leaves no trace of questions about bytes that never were there', async () => {
    const { digest } = await store()
    await keepClaims(digest, async ({ claims, traces, pass }) => {
      expect(claims.holders()).toEqual([])
      await claims.alarm()
      expect(await traces()).toEqual([])
      await claims.claim(FOO, 1)
      pass(DAY)
      await claims.alarm()
      expect(await traces()).toEqual([])
    })
  })
})

/** Claims whose bytes are being deleted: storage has been asked, and answers when `release` is called. */
async function collecting(
  { digest, content }: Uploaded,
  use: (kept: KeptClaims & { readonly release: () => void }) => Promise<void>,
): Promise<void> {
  const asked = Promise.withResolvers<void>()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const remove = async (key: string) => {
    asked.resolve()
    await released
    await env.BLOBS.delete(key)
  }
  await keepClaims(
    digest,
    async (kept) => {
      await kept.claims.adopt(content)
      kept.pass(DAY)
      const alarm = kept.claims.alarm()
      await asked.promise
      await use({ ...kept, release })
      await alarm
    },
    { delete: remove },
  )
}

describe('whoever comes while bytes are being deleted', () => {
  it('waits, and finds them absent, if he claims', async () => {
    const uploaded = await store()
    await collecting(uploaded, async ({ claims, release }) => {
      const order: string[] = []
      const claim = claims.claim(FOO, 1).finally(() => order.push('claimed'))
      // The queue has had every chance to let it through.
      await env.BLOBS.head('nothing')
      order.push('released')
      release()
      expect(await claim).toEqual({ ok: false, reason: 'absent' })
      expect(order).toEqual(['released', 'claimed'])
      expect(await isStored(uploaded.content)).toBe(false)
    })
  })

  it('waits, and brings bytes that stay, if he uploads', async () => {
    const other = await store()
    await collecting(await store(), async ({ claims, release }) => {
      const adoption = claims.adopt(other.content)
      const claim = claims.claim(FOO, 1)
      release()
      expect(await adoption).toEqual({ ok: true, content: other.content })
      expect(await claim).toEqual({ ok: true, content: other.content })
      expect(await isStored(other.content)).toBe(true)
    })
  })

  it('finds them absent, too, if the object has died over it', async () => {
    const uploaded = await store()
    await collecting(uploaded, async ({ restart, release }) => {
      const claim = restart().claim(FOO, 1)
      release()
      expect(await claim).toEqual({ ok: false, reason: 'absent' })
      expect(await isStored(uploaded.content)).toBe(false)
    })
  })
})

describe('storage that does not delete', () => {
  it('leaves bytes that are handed out to nobody, until it does', async () => {
    const { digest, content } = await store()
    let isAway = true
    const remove = async (key: string) => (isAway ? storageIsAway() : env.BLOBS.delete(key))
    await keepClaims(
      digest,
      async ({ claims, pass, alarmIn, events }) => {
        await claims.adopt(content)
        pass(DAY)
        await claims.alarm()
        expect(events).toEqual(['claims-alarm-failed'])
        expect(await alarmIn()).toBe(MINUTE)
        await expect(claims.claim(FOO, 1)).rejects.toThrow('10001')
        expect(await alarmIn()).toBe(MINUTE)
        isAway = false
        await claims.alarm()
        expect(await isStored(content)).toBe(false)
        expect(await claims.claim(FOO, 1)).toEqual({ ok: false, reason: 'absent' })
      },
      { delete: remove },
    )
  })
})

function after(time: number) {
  return async ({ claims, pass }: { claims: Claims; pass: (time: number) => void }) => {
    pass(time)
    await claims.alarm()
  }
}
