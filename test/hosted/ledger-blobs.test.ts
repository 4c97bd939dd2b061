// Which blobs belong to a repository, and when: claimed before they belong, released after they have left,
// whatever is lost, late or cut short in between (design §3).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { ClaimsStub } from '../../src/hosted/claims.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { silence } from '../support/broken.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../support/clock.ts'
import { isStored, keepLedger, manifestPut, store } from '../support/hosted-objects.ts'
import type { Uploaded } from '../support/hosted-objects.ts'
import { repository } from '../support/parsed.ts'

afterEach(() => reset())

const NAME = 'hosted/foo'
const FOO = repository(NAME)
const BAR = repository('hosted/bar')

const claims = (digest: Digest) => env.BLOB_CLAIMS.getByName(digest)
const holders = async ({ digest }: Uploaded) => claims(digest).holders()

/** Bytes that have been uploaded, and belong nowhere yet. */
async function adopted(): Promise<Uploaded> {
  const uploaded = await store()
  await claims(uploaded.digest).adopt(uploaded.content)
  return uploaded
}

/** Claims of which some methods are replaced. */
function stubs(methods: (real: ClaimsStub) => Partial<ClaimsStub>) {
  return (digest: Digest): ClaimsStub => {
    const real: ClaimsStub = {
      adopt: (content) => claims(digest).adopt(content),
      claim: (name, counter) => claims(digest).claim(name, counter),
      release: (name, counter) => claims(digest).release(name, counter),
    }
    return { ...real, ...methods(real) }
  }
}

/** Claims that count what arrives. */
function counting() {
  const messages: string[] = []
  const claimsOf = stubs((real) => ({
    claim: (name, counter) => {
      messages.push(`claim ${counter}`)
      return real.claim(name, counter)
    },
    release: (name, counter) => {
      messages.push(`release ${counter}`)
      return real.release(name, counter)
    },
  }))
  return { messages, claimsOf }
}

const away = async (): Promise<never> => {
  throw new Error('the object is away')
}

describe('hold', () => {
  it('makes a blob belong that is claimed by then', async () => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger }) => {
      expect(ledger.blob(blob.digest, false)).toBeUndefined()
      expect(await ledger.hold(blob.digest)).toEqual({ ok: true, size: blob.content.size })
      expect(ledger.blob(blob.digest, false)).toEqual(blob.content)
      expect(await holders(blob)).toEqual([FOO])
    })
  })

  it('says absent of what nobody has uploaded, and keeps no row of it', async () => {
    const blob = await store()
    await keepLedger(NAME, async ({ ledger, rows }) => {
      expect(await ledger.hold(blob.digest)).toEqual({ ok: false, reason: 'absent' })
      expect(rows('SELECT * FROM blobs')).toEqual([])
      expect(rows('SELECT * FROM releases')).toEqual([])
      await claims(blob.digest).adopt(blob.content)
      expect((await ledger.hold(blob.digest)).ok).toBe(true)
    })
  })

  it('claims once for twenty at once, and not at all once the blob belongs', async () => {
    const blob = await adopted()
    const { messages, claimsOf } = counting()
    await keepLedger(
      NAME,
      async ({ ledger }) => {
        const held = await Promise.all(Array.from({ length: 20 }, () => ledger.hold(blob.digest)))
        expect(held.every(({ ok }) => ok)).toBe(true)
        await ledger.hold(blob.digest)
        expect(messages).toEqual(['claim 1'])
      },
      { claimsOf },
    )
  })

  it('is not undone by an alarm while it runs', async () => {
    const blob = await adopted()
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const claimsOf = stubs((real) => ({
      claim: async (name, counter) => {
        asked.resolve()
        await released
        return real.claim(name, counter)
      },
    }))
    await keepLedger(
      NAME,
      async ({ ledger, rows, alarmIn }) => {
        const holding = ledger.hold(blob.digest)
        await asked.promise
        await ledger.alarm()
        expect(await alarmIn()).toBe(MINUTE)
        expect(ledger.blob(blob.digest, false)).toBeUndefined()
        release()
        expect((await holding).ok).toBe(true)
        expect(rows('SELECT * FROM releases')).toEqual([])
      },
      { claimsOf },
    )
  })

  it.each([
    { name: 'before the claim arrives', arrives: false },
    { name: 'after the claim, before its answer', arrives: true },
  ])('is settled by the alarm of an object that dies $name', async ({ arrives }) => {
    const blob = await adopted()
    const asked = Promise.withResolvers<void>()
    const claimsOf = stubs((real) => ({
      claim: async (name, counter) => {
        if (arrives) await real.claim(name, counter)
        asked.resolve()
        return silence()
      },
    }))
    await keepLedger(
      NAME,
      async ({ ledger, alarmIn }) => {
        ledger.hold(blob.digest).catch(() => undefined)
        await asked.promise
        expect(await alarmIn()).toBe(MINUTE)
      },
      { claimsOf },
    )
    await keepLedger(NAME, async ({ ledger, rows }) => {
      expect(ledger.blob(blob.digest, true)).toBeUndefined()
      await ledger.alarm()
      expect(await holders(blob)).toEqual([])
      expect(rows('SELECT * FROM blobs')).toEqual([])
      // What was on its way is late by now, and a retry completes.
      expect((await claims(blob.digest).claim(FOO, 1)).ok).toBe(false)
      expect((await ledger.hold(blob.digest)).ok).toBe(true)
      expect(await holders(blob)).toEqual([FOO])
    })
  })

  it('counts on where its claims know more than it does: it was restored', async () => {
    const blob = await adopted()
    await claims(blob.digest).claim(FOO, 41)
    const { messages, claimsOf } = counting()
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        expect((await ledger.hold(blob.digest)).ok).toBe(true)
        expect(await ledger.deleteBlob(blob.digest)).toBe(true)
        await settle()
        expect(messages).toEqual(['claim 1', 'claim 42', 'release 43'])
        expect(await holders(blob)).toEqual([])
      },
      { claimsOf },
    )
  })

  it('releases with a counter that counts, where its claims know more than it does', async () => {
    const blob = await adopted()
    const { messages, claimsOf } = counting()
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        await ledger.hold(blob.digest)
        // What the restored ledger does not know of.
        await claims(blob.digest).claim(FOO, 41)
        expect(await ledger.deleteBlob(blob.digest)).toBe(true)
        await settle()
        await ledger.alarm()
        expect(messages).toEqual(['claim 1', 'release 2', 'release 42'])
        expect(await holders(blob)).toEqual([])
      },
      { claimsOf },
    )
  })
})

describe('delete', () => {
  it('takes effect at once, and releases the claim afterwards', async () => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger, settle }) => {
      await ledger.hold(blob.digest)
      expect(await ledger.deleteBlob(blob.digest)).toBe(true)
      expect(ledger.blob(blob.digest, true)).toBeUndefined()
      expect(await ledger.deleteBlob(blob.digest)).toBe(false)
      await settle()
      expect(await holders(blob)).toEqual([])
      // The bytes are others' as long as somebody may still claim them.
      expect(await isStored(blob.content)).toBe(true)
    })
  })

  it('is repeated by the alarm until it is acknowledged', async () => {
    const blob = await adopted()
    const state = { isAway: true }
    const claimsOf = stubs((real) => ({
      release: (name, counter) => (state.isAway ? away() : real.release(name, counter)),
    }))
    await keepLedger(
      NAME,
      async ({ ledger, settle, alarmIn, restart, rows }) => {
        await ledger.hold(blob.digest)
        await ledger.deleteBlob(blob.digest)
        await settle()
        await ledger.alarm()
        expect(await alarmIn()).toBe(MINUTE)
        expect(await holders(blob)).toEqual([FOO])
        state.isAway = false
        await restart().alarm()
        expect(await holders(blob)).toEqual([])
        expect(rows('SELECT * FROM releases')).toEqual([])
        expect(await alarmIn()).toBeUndefined()
      },
      { claimsOf },
    )
  })

  it.each([
    { name: 'acknowledged', isAnswered: true },
    { name: 'effective, though its answer was lost', isAnswered: false },
  ])('is overtaken by a new push: its release, $name, comes once more', async ({ isAnswered }) => {
    const blob = await adopted()
    const claimsOf = stubs((real) => ({
      release: async (name, counter) => {
        const answer = await real.release(name, counter)
        if (!isAnswered) await away()
        return answer
      },
    }))
    await keepLedger(
      NAME,
      async ({ ledger, settle, rows }) => {
        await ledger.hold(blob.digest)
        await ledger.deleteBlob(blob.digest)
        await settle()
        expect((await ledger.hold(blob.digest)).ok).toBe(true)
        // Nothing is left to be told, and what is on its way counts no more.
        expect(rows('SELECT * FROM releases')).toEqual([])
        await claims(blob.digest).release(FOO, 2)
        await ledger.alarm()
        expect(await holders(blob)).toEqual([FOO])
        expect(ledger.blob(blob.digest, false)).toEqual(blob.content)
      },
      { claimsOf },
    )
  })

  it('keeps counting: a counter outlives its blob', async () => {
    const blob = await adopted()
    const { messages, claimsOf } = counting()
    await keepLedger(
      NAME,
      async ({ ledger, restart, settle }) => {
        for (const each of [ledger, restart()]) {
          await each.hold(blob.digest)
          await each.deleteBlob(blob.digest)
          await settle()
          await each.alarm()
        }
        expect(messages).toEqual(['claim 1', 'release 2', 'claim 3', 'release 4'])
      },
      { claimsOf },
    )
  })

  it('in one repository touches none of which it is the beginning', async () => {
    const blob = await adopted()
    const names = ['foo', 'foo-bar', 'foo/bar']
    for (const name of names) {
      await keepLedger(name, async ({ ledger }) => void (await ledger.hold(blob.digest)))
    }
    await keepLedger('foo', async ({ ledger }) => void (await ledger.deleteBlob(blob.digest)))
    expect(await holders(blob)).toEqual(['foo-bar', 'foo/bar'])
    await keepLedger('foo-bar', async ({ ledger }) => {
      expect(ledger.blob(blob.digest, false)).toEqual(blob.content)
    })
  })

  it('of what is not there, and questions, leave no trace', async () => {
    const { digest } = await store()
    await keepLedger(NAME, async ({ ledger, traces }) => {
      expect(await ledger.deleteBlob(digest)).toBe(false)
      expect(await ledger.deleteManifest(digest)).toBe(false)
      expect(ledger.blob(digest, true)).toBeUndefined()
      expect(await ledger.relocate(digest)).toBeUndefined()
      expect(ledger.tags({ n: 1, last: undefined })).toEqual({ ok: false })
      const put = await manifestPut({ blobs: [digest] })
      expect(await ledger.putManifest(put)).toEqual({ ok: false, missing: [digest] })
      expect(await traces()).toEqual([])
    })
  })
})

describe('a blob that no manifest names', () => {
  const TOUCHES = {
    HEAD: (ledger, { digest }) => ledger.blob(digest, true),
    'an upload or mount': (ledger, { digest }) => ledger.hold(digest),
    'a manifest PUT that lacks another blob': async (ledger, { digest }) => {
      const missing = await store()
      const put = await manifestPut({ blobs: [digest, missing.digest] })
      expect((await ledger.putManifest(put)).ok).toBe(false)
    },
  } satisfies Readonly<
    Record<
      string,
      (ledger: Parameters<Parameters<typeof keepLedger>[1]>[0]['ledger'], blob: Uploaded) => unknown
    >
  >

  it.each(Object.entries(TOUCHES))('is kept for a day after %s', async (_, touch) => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger, pass }) => {
      await ledger.hold(blob.digest)
      pass(DAY - SECOND)
      await touch(ledger, blob)
      pass(DAY - SECOND)
      await ledger.alarm()
      expect(ledger.blob(blob.digest, false)).toEqual(blob.content)
      pass(SECOND)
      await ledger.alarm()
      expect(ledger.blob(blob.digest, false)).toBeUndefined()
      expect(await holders(blob)).toEqual([])
    })
  })

  it('is not kept by those who read it', async () => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger, pass }) => {
      await ledger.hold(blob.digest)
      pass(DAY)
      expect(ledger.blob(blob.digest, false)).toEqual(blob.content)
      await ledger.alarm()
      expect(ledger.blob(blob.digest, false)).toBeUndefined()
    })
  })

  it('is waited for by the alarm', async () => {
    const blob = await adopted()
    await keepLedger(NAME, async ({ ledger, alarmIn, pass }) => {
      await ledger.hold(blob.digest)
      await ledger.alarm()
      expect(await alarmIn()).toBe(DAY)
      pass(HOUR)
      ledger.blob(blob.digest, true)
      pass(DAY - HOUR)
      await ledger.alarm()
      expect(await alarmIn()).toBe(HOUR)
    })
  })
})

describe('relocate', () => {
  it('finds the bytes that have taken the place of those that storage lost', async () => {
    const blob = await adopted()
    const again = await store(blob.bytes)
    await keepLedger(NAME, async ({ ledger }) => {
      await ledger.hold(blob.digest)
      await env.BLOBS.delete(hostedContentKey(blob.content.id))
      await claims(blob.digest).adopt(again.content)
      // Two readers at once find them both.
      const found = await Promise.all([ledger.relocate(blob.digest), ledger.relocate(blob.digest)])
      expect(found).toEqual([again.content, again.content])
      expect(ledger.blob(blob.digest, false)).toEqual(again.content)
      expect(await holders(blob)).toEqual([FOO])
    })
  })

  it('does not bring back what is deleted meanwhile', async () => {
    const blob = await adopted()
    const state: { meanwhile?: () => Promise<unknown> } = {}
    const claimsOf = stubs((real) => ({
      claim: async (name, counter) => {
        const answer = await real.claim(name, counter)
        await state.meanwhile?.()
        return answer
      },
    }))
    await keepLedger(
      NAME,
      async ({ ledger, settle }) => {
        await ledger.hold(blob.digest)
        state.meanwhile = () => ledger.deleteBlob(blob.digest)
        expect(await ledger.relocate(blob.digest)).toBeUndefined()
        await settle()
        expect(ledger.blob(blob.digest, false)).toBeUndefined()
        expect(await holders(blob)).toEqual([])
      },
      { claimsOf },
    )
  })
})

describe('a mount', () => {
  it('keeps the bytes when the source deletes them at once', async () => {
    const blob = await adopted()
    await keepLedger('hosted/bar', async ({ ledger }) => {
      await ledger.hold(blob.digest)
      await ledger.deleteBlob(blob.digest)
    })
    await keepLedger(NAME, async ({ ledger }) => {
      expect((await ledger.hold(blob.digest)).ok).toBe(true)
    })
    expect(await holders(blob)).toEqual([FOO])
    expect(await holders(blob)).not.toContain(BAR)
  })
})
