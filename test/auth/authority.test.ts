// One issuer and one key however many ask at once, keys that outlive their tokens and no longer, and accounts
// whose secrets are told once.

import { beforeEach, describe, expect, it, vi } from 'vitest'

import type { GrantText } from '../../src/auth/account.ts'
import { hashSecret, isSecret, isSecretForm } from '../../src/auth/account.ts'
import type { AuditPage, AuthorityStorage } from '../../src/auth/authority.ts'
import { Authority } from '../../src/auth/authority.ts'
import { NO_SWITCHES } from '../../src/auth/switches.ts'
import { signAccess, signRefresh, verifyAccess, verifyRefresh } from '../../src/auth/token.ts'

const SECOND = 1000
const HOUR = 60 * 60 * SECOND
const DAY = 24 * HOUR
const GRANTS: readonly GrantText[] = [{ repositories: ['hosted/**'], actions: ['pull', 'push'] }]

/** Storage as an object has it: copies of values, in the order of their keys. */
class MapStorage implements AuthorityStorage {
  readonly values = new Map<string, unknown>()

  get(key: string): unknown {
    return structuredClone(this.values.get(key))
  }

  put(key: string, value: unknown): void {
    this.values.set(key, structuredClone(value))
  }

  delete(key: string): void {
    this.values.delete(key)
  }

  list(prefix: string): Iterable<[string, unknown]> {
    const keys = [...this.values.keys()].filter((key) => key.startsWith(prefix)).toSorted()
    return keys.map((key) => [key, this.get(key)])
  }
}

let storage: MapStorage
let now: number
let logged: string[]

/** The object; a second one is the first after an eviction. */
function authority(): Authority {
  return new Authority({
    storage,
    now: () => now,
    log: (event, fields) => void logged.push(JSON.stringify({ event, ...fields })),
  })
}

async function secretOf(
  made: Promise<{ ok: true; secret: string } | { ok: false }>,
): Promise<string> {
  const answer = await made
  return answer.ok ? answer.secret : expect.fail('no secret')
}

beforeEach(() => {
  storage = new MapStorage()
  now = Date.UTC(2026, 0, 1)
  logged = []
})

describe('059: a fresh deployment', () => {
  it('makes an issuer and a key, and nobody else', async () => {
    const { issuer, key, keys, accounts } = await authority().snapshot()
    expect(issuer).toMatch(/^[0-9a-f-]{36}$/)
    expect(keys).toEqual([
      { kid: key.kid, publicJWK: expect.not.objectContaining({ d: expect.anything() }) },
    ])
    expect(accounts).toEqual([])
  })

  it('has nothing in common with another', async () => {
    const first = await authority().snapshot()
    storage = new MapStorage()
    const second = await authority().snapshot()
    expect(second.issuer).not.toBe(first.issuer)
    expect(second.key.kid).not.toBe(first.key.kid)
  })

  it('makes them once, however many ask at once, and keeps them', async () => {
    const asked = authority()
    const snapshots = await Promise.all(Array.from({ length: 20 }, () => asked.snapshot()))
    expect(new Set(snapshots.map(({ issuer }) => issuer)).size).toBe(1)
    expect(new Set(snapshots.map(({ key }) => key.kid)).size).toBe(1)
    expect(await authority().snapshot()).toEqual(snapshots[0])
    expect(asked.audit()).toHaveLength(1)
  })

  it('makes the key when it is asked again, if that failed', async ({ onTestFinished }) => {
    const broken = vi.spyOn(crypto.subtle, 'generateKey').mockRejectedValue(new Error('no entropy'))
    onTestFinished(() => broken.mockRestore())
    const asked = authority()
    await expect(asked.snapshot()).rejects.toThrow('no entropy')
    expect(storage.values.size).toBe(0)
    broken.mockRestore()
    expect((await asked.snapshot()).keys).toHaveLength(1)
  })
})

describe('keys', () => {
  const kids = async (): Promise<readonly string[]> =>
    (await authority().snapshot()).keys.map(({ kid }) => kid)

  it('sign for thirty days', async () => {
    const { key: first } = await authority().snapshot()
    now += 30 * DAY
    expect((await authority().snapshot()).key).toEqual(first)
    now += 1
    const { key: second } = await authority().snapshot()
    expect(second.kid).not.toBe(first.kid)
    expect(await kids()).toEqual([second.kid, first.kid])
  })

  it('are replaced once, however many ask at once', async () => {
    await authority().snapshot()
    now += 31 * DAY
    const asked = authority()
    const snapshots = await Promise.all(Array.from({ length: 20 }, () => asked.snapshot()))
    expect(new Set(snapshots.map(({ key }) => key.kid)).size).toBe(1)
    expect(snapshots[0]?.keys).toHaveLength(2)
  })

  it('lose their private half when they sign no more', async () => {
    const { key } = await authority().snapshot()
    const { d = expect.fail('no private key') } = key.privateJWK
    const stored = (): string => JSON.stringify([...storage.values])
    expect(stored()).toContain(d)
    await authority().rotateKey()
    expect(stored()).not.toContain(d)
  })

  it('verify until the last token that a stale snapshot signed has ended, and then no more', async () => {
    const before = await authority().snapshot()
    await authority().rotateKey()
    const rotated = now
    // The last moment at which somebody may still use the old snapshot.
    const signed = rotated + 60 * SECOND
    const by = { key: before.key, issuer: before.issuer, audience: 'a.test', now: signed }
    const { token } = await signAccess({ subject: 'ci', version: '1', access: [] }, by)
    const refresh = await signRefresh({ subject: 'x', grants: GRANTS, entry: 'y' }, by)
    const against = async (): Promise<readonly boolean[]> => {
      const { keys, issuer } = await authority().snapshot()
      const verifier = { keys, issuer, audience: 'a.test', now }
      return [
        (await verifyAccess(token, verifier)).ok,
        (await verifyRefresh(refresh.token, verifier)).ok,
      ]
    }
    now = signed + 299 * SECOND
    expect(await against()).toEqual([true, true])
    now = signed + 6 * HOUR + 59 * SECOND
    expect(await against()).toEqual([false, true])
    now = signed + 6 * HOUR + 60 * SECOND + 1
    expect(await against()).toEqual([false, false])
    expect((await authority().snapshot()).keys).toHaveLength(1)
    expect(storage.get('retired-keys')).toEqual([])
  })

  it('can be replaced several times within six hours', async () => {
    const { key: first } = await authority().snapshot()
    const asked = authority()
    await Promise.all([asked.rotateKey(), asked.rotateKey()])
    const all = await kids()
    expect(all).toHaveLength(3)
    expect(new Set(all).size).toBe(3)
    expect(all.at(-1)).toBe(first.kid)
  })

  it('keep the issuer', async () => {
    const { issuer } = await authority().snapshot()
    await authority().rotateKey()
    expect((await authority().snapshot()).issuer).toBe(issuer)
  })
})

describe('accounts', () => {
  const ADD = { name: 'ci', kind: 'account', grants: GRANTS } as const

  it('tell their secret once and keep its hash', async () => {
    const secret = await secretOf(authority().add(ADD, 'root'))
    expect(isSecretForm(secret)).toBe(true)
    const { accounts } = await authority().snapshot()
    expect(accounts).toEqual([
      {
        ...ADD,
        secretHash: await hashSecret(secret),
        version: expect.stringMatching(/./),
        createdAt: now,
      },
    ])
    expect(JSON.stringify([...storage.values])).not.toContain(secret)
    expect(logged.join()).not.toContain(secret)
    expect(logged.join()).not.toContain(accounts[0]?.secretHash)
  })

  it('are listed in order, without their hashes', async () => {
    for (const name of ['b', 'a', 'c']) await authority().add({ ...ADD, name }, 'root')
    const list = authority().list()
    expect(list.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
    expect(list.every((account) => !('secretHash' in account))).toBe(true)
    expect(list[0]).toEqual({ ...ADD, name: 'a', version: expect.any(String), createdAt: now })
  })

  it('are one for each name, also when two are made at once', async () => {
    const asked = authority()
    const made = await Promise.all([asked.add(ADD, 'x'), asked.add({ ...ADD, grants: [] }, 'y')])
    expect(made.filter(({ ok }) => ok)).toHaveLength(1)
    expect(made).toContainEqual({ ok: false, reason: 'exists' })
    expect(await asked.add({ ...ADD, kind: 'capability', grants: [] }, 'x')).toEqual({
      ok: false,
      reason: 'exists',
    })
    expect(asked.list()).toHaveLength(1)
  })

  it.each([
    { name: 'a name that is none', changes: { name: 'A' } },
    { name: 'an empty name', changes: { name: '' } },
    { name: 'a name with a path', changes: { name: '../audit:0' } },
    {
      name: 'a pattern that is none',
      changes: { grants: [{ ...GRANTS[0], repositories: ['A'] }] },
    },
    { name: 'an unknown action', changes: { grants: [{ ...GRANTS[0], actions: ['own'] }] } },
    { name: 'a capability that pushes', changes: { kind: 'capability' } },
  ])('are refused with $name', async ({ changes }) => {
    const add = { ...ADD, ...changes } as Parameters<Authority['add']>[0]
    expect(await authority().add(add, 'root')).toEqual({ ok: false, reason: 'invalid' })
    expect(storage.values.size).toBe(0)
  })

  it('066: are gone when they are revoked', async () => {
    await authority().add(ADD, 'root')
    expect(authority().revoke('ci', 'root')).toBe(true)
    expect((await authority().snapshot()).accounts).toEqual([])
    expect(authority().revoke('ci', 'root')).toBe(false)
    expect(await authority().rotate('ci', 'root')).toEqual({ ok: false })
  })

  it('064: have another version when their name is given again', async () => {
    await authority().add(ADD, 'root')
    const before = authority().list()[0]?.version
    authority().revoke('ci', 'root')
    await authority().add(ADD, 'root')
    expect(authority().list()[0]?.version).not.toBe(before)
  })

  it('066: have another secret and version when they are rotated, and nothing else', async () => {
    const old = await secretOf(authority().add(ADD, 'root'))
    const [before] = (await authority().snapshot()).accounts
    now += HOUR
    const secret = await secretOf(authority().rotate('ci', 'root'))
    const [after] = (await authority().snapshot()).accounts
    expect(await isSecret(old, after?.secretHash ?? '')).toBe(false)
    expect(await isSecret(secret, after?.secretHash ?? '')).toBe(true)
    expect(after?.version).not.toBe(before?.version)
    expect({ ...after, secretHash: 0, version: 0 }).toEqual({
      ...before,
      secretHash: 0,
      version: 0,
    })
  })

  it('are not brought back by a rotation that was under way when they were revoked', async () => {
    await authority().add(ADD, 'root')
    const asked = authority()
    const rotated = asked.rotate('ci', 'root')
    expect(asked.revoke('ci', 'root')).toBe(true)
    expect(await rotated).toEqual({ ok: false })
    expect(asked.list()).toEqual([])
  })
})

describe('audit', () => {
  it('says who did what to whom and when, the newest first', async () => {
    await authority().snapshot()
    now += SECOND
    await authority().add({ name: 'ci', kind: 'account', grants: [] }, 'root')
    now += SECOND
    await authority().rotate('ci', 'ci')
    now += SECOND
    authority().revoke('ci', 'root')
    authority().revoke('nobody', 'root')
    const { key } = await authority().snapshot()
    expect(authority().audit()).toEqual([
      { at: now, by: 'root', what: 'revoke', name: 'ci' },
      { at: now - SECOND, by: 'ci', what: 'rotate', name: 'ci' },
      { at: now - 2 * SECOND, by: 'root', what: 'add', name: 'ci' },
      { at: now - 3 * SECOND, by: '', what: 'rotate-key', name: key.kid },
    ])
    expect(logged).toHaveLength(4)
    expect(logged[1]).toBe('{"event":"authority-changed","by":"root","what":"add","name":"ci"}')
  })

  it('keeps the newest thousand', async () => {
    await authority().add({ name: 'ci', kind: 'account', grants: [] }, 'root')
    storage.put('next-audit', 12_345)
    for (let index = 0; index < 501; index++) {
      storage.put('account:b', { name: 'b' })
      storage.put('account:c', { name: 'c' })
      authority().revoke('b', String(index))
      authority().revoke('c', String(index))
    }
    const kept = [...storage.values.keys()].filter((key) => /^audit:0*1[23]\d{3}$/.test(key))
    expect(kept).toHaveLength(1000)
    expect(authority().audit()[0]).toMatchObject({ name: 'c', by: '500' })
  })

  it('is given a page at a time, also while it grows', () => {
    const namesOf = (page: AuditPage): readonly string[] => page.entries.map(({ name }) => name)
    for (const name of ['a', 'b', 'c', 'd', 'e']) authority().note('purge', name, 'root')
    const first = authority().auditPage(undefined, 2)
    expect(namesOf(first)).toEqual(['e', 'd'])
    authority().note('purge', 'f', 'root')
    const second = authority().auditPage(first.next, 2)
    expect(namesOf(second)).toEqual(['c', 'b'])
    expect(authority().auditPage(second.next, 2)).toEqual({
      entries: [{ at: now, by: 'root', what: 'purge', name: 'a' }],
      next: undefined,
    })
    expect(authority().auditPage(undefined, 6).next).toBeUndefined()
    expect(authority().auditPage(0, 6)).toEqual({ entries: [], next: undefined })
  })
})

describe('switches', () => {
  it('are off at first, and part of the snapshot', async () => {
    expect((await authority().snapshot()).switches).toEqual(NO_SWITCHES)
    expect(storage.values.has('switches')).toBe(false)
    const after = authority().setSwitches({ noFills: true, paused: ['a.test'] }, 'root')
    expect(after).toEqual({ ...NO_SWITCHES, noFills: true, paused: ['a.test'] })
    expect((await authority().snapshot()).switches).toEqual(after)
  })

  it('that are not named stay, and each that was turned is in the audit', () => {
    authority().setSwitches({ readOnly: true }, 'root')
    authority().setSwitches({ readOnly: true, paused: ['a.test'] }, 'owner')
    expect(authority().setSwitches({ readOnly: false }, 'root')).toEqual({
      ...NO_SWITCHES,
      paused: ['a.test'],
    })
    expect(authority().audit()).toEqual([
      { at: now, by: 'root', what: 'switch-off', name: 'readOnly' },
      { at: now, by: 'owner', what: 'pause', name: 'a.test' },
      { at: now, by: 'root', what: 'switch-on', name: 'readOnly' },
    ])
  })

  it('that another version knew nothing of are off', async () => {
    storage.put('switches', { readOnly: true })
    expect((await authority().snapshot()).switches).toEqual({ ...NO_SWITCHES, readOnly: true })
  })
})

describe('what an export has', () => {
  const image = 'docker.io/library/nginx:1.29'

  it('is accounts with hashes, pins and switches, and no key', async () => {
    const kept = authority()
    await secretOf(kept.add({ name: 'ci', kind: 'account', grants: GRANTS }, 'root'))
    kept.pin({ image, platforms: undefined }, 'root')
    const { accounts, key } = await kept.snapshot()
    expect(kept.dump()).toEqual({ accounts, pins: kept.pins(), switches: undefined })
    kept.setSwitches({ readOnly: true }, 'root')
    expect(kept.dump().switches).toEqual({ ...NO_SWITCHES, readOnly: true })
    expect(JSON.stringify(kept.dump())).not.toContain(key.privateJWK['d'])
  })

  it('comes back where nothing stands in its place, with the same secrets, once', async () => {
    const before = authority()
    const secret = await secretOf(
      before.add({ name: 'ci', kind: 'account', grants: GRANTS }, 'root'),
    )
    await secretOf(before.add({ name: 'old', kind: 'account', grants: GRANTS }, 'root'))
    before.pin({ image, platforms: undefined }, 'root')
    before.setSwitches({ noFills: true }, 'root')
    const dump = structuredClone(before.dump())
    storage = new MapStorage()
    const after = authority()
    await secretOf(after.add({ name: 'old', kind: 'account', grants: [] }, 'root'))
    const taken = (name: string) => ({
      subject: `account ${name}`,
      why: 'there is one of that name',
    })
    expect(after.restore(dump, 'root')).toEqual({
      accounts: ['ci'],
      kept: [taken('old')],
      failed: [],
      pins: 1,
      switches: true,
    })
    const { accounts, switches } = await after.snapshot()
    expect(accounts.map(({ name, grants }) => ({ name, grants }))).toEqual([
      { name: 'ci', grants: GRANTS },
      { name: 'old', grants: [] },
    ])
    expect(await isSecret(secret, accounts[0]?.secretHash ?? '')).toBe(true)
    expect(switches.noFills).toBe(true)
    expect(after.audit()).toContainEqual(
      expect.objectContaining({ what: 'add', name: 'ci', by: 'root' }),
    )
    expect(after.audit()).toContainEqual(
      expect.objectContaining({ what: 'switch-on', name: 'noFills', by: 'root' }),
    )
    expect(after.restore(dump, 'root')).toEqual({
      accounts: [],
      kept: [taken('ci'), taken('old')],
      failed: [],
      pins: 0,
      switches: false,
    })
  })

  it('does not turn what somebody has switched since', () => {
    const kept = authority()
    kept.setSwitches({ readOnly: true }, 'root')
    kept.restore({ accounts: [], pins: [], switches: { ...NO_SWITCHES, noFills: true } }, '')
    expect(kept.dump().switches).toEqual({ ...NO_SWITCHES, readOnly: true })
  })

  it.each([
    { name: 'a name that is none', changed: { name: 'No Name' } },
    { name: 'no name', changed: { name: 7 } },
    { name: 'another kind', changed: { kind: 'administrator' } },
    { name: 'no hash', changed: { secretHash: 'secret' } },
    { name: 'a hash that is no text', changed: { secretHash: 7 } },
    { name: 'no grants', changed: { grants: undefined } },
    {
      name: 'grants that are none',
      changed: { grants: [{ repositories: ['**'], actions: ['all'] }] },
    },
    {
      name: 'a capability that may push',
      changed: { kind: 'capability', grants: [{ repositories: ['**'], actions: ['push'] }] },
    },
    { name: 'no version', changed: { version: '' } },
    { name: 'a time that no date has', changed: { createdAt: 8.64e15 + 1 } },
    { name: 'a time that is a text', changed: { createdAt: '2026-01-01' } },
    { name: 'no time', changed: { createdAt: Number.NaN } },
  ])('an account with $name is left out, and the next comes back', ({ changed }) => {
    const good = {
      name: 'next',
      kind: 'account',
      secretHash: 'a'.repeat(64),
      grants: GRANTS,
      version: 'x',
      createdAt: 1,
    } as const
    const bad = { ...good, name: 'ci', ...changed } as never
    const after = authority()
    const { accounts, failed } = after.restore(
      { accounts: [bad, { ...good, extra: 1 } as never], pins: [], switches: undefined },
      'root',
    )
    expect(accounts).toEqual(['next'])
    expect(failed).toMatchObject([{ subject: expect.stringMatching(/^account /) }])
    expect(after.dump().accounts).toEqual([good])
  })

  it('a text that a terminal obeys is not repeated as it is', () => {
    const bad = { name: '\u001b[2J' } as never
    const { failed } = authority().restore({ accounts: [bad], pins: [], switches: undefined }, '')
    expect(failed).toEqual([{ subject: 'account "\\u001b[2J"', why: 'this is no name' }])
  })
})

describe('an account that was revoked since', () => {
  const given = { name: 'ci', kind: 'account', grants: GRANTS } as const
  const since = [{ subject: 'account ci', why: 'revoked since' }]

  it('does not come back, neither with its last secret nor with one of before', async () => {
    const kept = authority()
    await secretOf(kept.add(given, 'root'))
    const first = kept.dump()
    await secretOf(kept.rotate('ci', 'root'))
    const second = kept.dump()
    kept.revoke('ci', 'root')
    for (const dump of [first, second]) {
      expect(authority().restore(dump, 'root')).toMatchObject({ accounts: [], kept: since })
    }
    expect(kept.dump().accounts).toEqual([])
  })

  it('is forgotten when an administrator makes one of the name, and revoked again it is not', async () => {
    const kept = authority()
    await secretOf(kept.add(given, 'root'))
    const dump = kept.dump()
    kept.revoke('ci', 'root')
    await secretOf(kept.add(given, 'root'))
    expect([...storage.values.keys()].filter((key) => key.startsWith('revoked:'))).toEqual([])
    kept.revoke('ci', 'root')
    expect(kept.restore(dump, 'root')).toMatchObject({ accounts: [], kept: since })
  })

  it('is remembered for 400 days', async () => {
    const kept = authority()
    await secretOf(kept.add(given, 'root'))
    await secretOf(kept.add({ ...given, name: 'other' }, 'root'))
    await secretOf(kept.add({ ...given, name: 'third' }, 'root'))
    const dump = kept.dump()
    kept.revoke('ci', 'root')
    now += 400 * DAY
    kept.revoke('other', 'root')
    expect(kept.restore(dump, 'root')).toMatchObject({ accounts: [], kept: { length: 3 } })
    now += 1
    kept.revoke('third', 'root')
    expect(kept.restore(dump, 'root').accounts).toEqual(['ci'])
  })

  it('of too many, the one that was revoked first is forgotten', async () => {
    const kept = authority()
    await secretOf(kept.add(given, 'root'))
    const dump = kept.dump()
    kept.revoke('ci', 'root')
    now += 1
    for (let index = 0; index < 9999; index += 1) storage.put(`revoked:n${index}`, now)
    expect(kept.restore(dump, 'root').kept).toEqual(since)
    await secretOf(kept.add({ ...given, name: 'last' }, 'root'))
    kept.revoke('last', 'root')
    expect(storage.values.has('revoked:last')).toBe(true)
    expect([...storage.list('revoked:')]).toHaveLength(10_000)
    expect(kept.restore(dump, 'root').accounts).toEqual(['ci'])
  })
})
