// Secrets, names and grants: what is made, what is taken for one, and that a wrong one is no use.

import { describe, expect, it, vi } from 'vitest'

import type { Account, GrantText } from '../../src/auth/account.ts'
import {
  ACTIONS,
  authenticate,
  createSecret,
  findCapability,
  hashSecret,
  isSecret,
  isSecretForm,
  isSecretHash,
  mayHold,
  parseAccountName,
  parseGrantText,
  parseGrants,
} from '../../src/auth/account.ts'

const SECRET = 'abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst'

describe('createSecret', () => {
  it('makes what is taken for one, each time another', () => {
    const secrets = Array.from({ length: 200 }, createSecret)
    expect(secrets.filter((secret) => !isSecretForm(secret))).toEqual([])
    expect(new Set(secrets).size).toBe(200)
  })

  it('uses all 256 bits: every position takes every value that it can', () => {
    const secrets = Array.from({ length: 2000 }, createSecret)
    const seen = Array.from(
      { length: 52 },
      (_, index) => new Set(secrets.map((each) => each[index])),
    )
    // The last character holds the one bit that fifty-one times five leave.
    expect(seen.map(({ size }) => size)).toEqual([...Array.from({ length: 51 }, () => 32), 2])
  })
})

describe('isSecretForm', () => {
  it.each([
    { name: 'a secret', text: SECRET, want: true },
    { name: 'one less', text: SECRET.slice(1), want: false },
    { name: 'one more', text: `${SECRET}a`, want: false },
    { name: 'upper case', text: SECRET.toUpperCase(), want: false },
    { name: 'a digit that the alphabet lacks', text: SECRET.replace('2', '1'), want: false },
    { name: 'with a newline', text: `${SECRET}\n`, want: false },
    { name: 'nothing', text: '', want: false },
  ])('$name: $want', ({ text, want }) => {
    expect(isSecretForm(text)).toBe(want)
  })
})

describe('isSecret', () => {
  it('058: holds for the secret alone', async () => {
    const hash = await hashSecret(SECRET)
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
    expect(isSecretHash(hash)).toBe(true)
    expect(await isSecret(SECRET, hash)).toBe(true)
  })

  it.each([
    { name: 'equal length', secret: `b${SECRET.slice(1)}` },
    { name: 'equal length, the last character', secret: `${SECRET.slice(0, -1)}q` },
    { name: 'a prefix', secret: SECRET.slice(0, -1) },
    { name: 'longer', secret: `${SECRET}a` },
    { name: 'empty', secret: '' },
    { name: 'non-ASCII', secret: 'ä'.repeat(52) },
    { name: 'a lone surrogate', secret: '\ud800' },
    { name: 'with NUL', secret: `${SECRET}\0` },
    { name: 'upper case', secret: SECRET.toUpperCase() },
    { name: 'a megabyte', secret: 'a'.repeat(1 << 20) },
  ])('058: refuses another: $name', async ({ secret }) => {
    expect(await isSecret(secret, await hashSecret(SECRET))).toBe(false)
  })

  it('058: is no use with the hash itself', async () => {
    const hash = await hashSecret(SECRET)
    expect(await isSecret(hash, hash)).toBe(false)
  })

  it.each(['', '0', 'not a hash', 'g'.repeat(64)])(
    '058: refuses everything by what is no hash: %j',
    async (hash) => {
      expect(await isSecret(SECRET, hash)).toBe(false)
    },
  )

  it('refuses a hash that goes on after the right one, and one that ends before', async () => {
    const hash = await hashSecret(SECRET)
    expect(await isSecret(SECRET, `${hash}0`)).toBe(false)
    expect(await isSecret(SECRET, hash.slice(0, -1))).toBe(false)
  })

  it('refuses the empty secret also where its hash was configured', async () => {
    expect(await isSecret('', await hashSecret(''))).toBe(false)
  })
})

describe('isSecretHash', () => {
  it.each(['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), 'g'.repeat(64)])(
    'refuses %j',
    (text) => {
      expect(isSecretHash(text)).toBe(false)
    },
  )
})

describe('parseAccountName', () => {
  it.each(['ci', 'a', '0', 'team-a.ci_1', 'scanner-x', 'v0', 'a'.repeat(64)])(
    'takes %j',
    (name) => {
      expect(parseAccountName(name)).toBe(name)
    },
  )

  it.each([
    '',
    'a'.repeat(65),
    'A',
    '-a',
    'a-',
    'a--b',
    'a..b',
    'a b',
    'a:b',
    'a/b',
    '../a',
    'robot$a',
    'a\n',
    'a\0',
    'ä',
  ])('refuses %j', (name) => {
    expect(parseAccountName(name)).toBeUndefined()
  })
})

describe('parseGrantText', () => {
  const GRANT: GrantText = { repositories: ['hosted/**'], actions: ['pull', 'push'] }

  it.each(ACTIONS)('knows %s', (action) => {
    expect(parseGrantText({ repositories: ['a'], actions: [action] })).toBeDefined()
  })

  it('takes a grant', () => {
    expect(parseGrantText(GRANT)).toEqual(GRANT)
  })

  it.each([
    { name: 'nothing', value: undefined },
    { name: 'null', value: null },
    { name: 'a list', value: [GRANT] },
    { name: 'no repositories', value: { actions: ['pull'] } },
    { name: 'an empty list of them', value: { ...GRANT, repositories: [] } },
    { name: 'text for a list', value: { ...GRANT, repositories: '**' } },
    { name: 'no pattern', value: { ...GRANT, repositories: ['hosted/**', 'A B'] } },
    { name: 'a number', value: { ...GRANT, repositories: [1] } },
    { name: 'no actions', value: { ...GRANT, actions: [] } },
    { name: 'an unknown action', value: { ...GRANT, actions: ['pull', 'own'] } },
    { name: 'the wildcard of scopes', value: { ...GRANT, actions: ['*'] } },
    { name: 'a key that means nothing', value: { ...GRANT, deny: ['a'] } },
  ])('refuses $name', ({ value }) => {
    expect(parseGrantText(value)).toBeUndefined()
  })
})

describe('parseGrants', () => {
  it('parses patterns, and lets what is none match nothing', () => {
    const [grant] = parseGrants([{ repositories: ['a/*', 'NOT ONE'], actions: ['pull'] }])
    expect(grant?.actions).toEqual(['pull'])
    expect(grant?.repositories.map(({ text }) => text)).toEqual(['a/*'])
    expect(grant?.repositories.some(({ matches }) => matches('a/b'))).toBe(true)
  })
})

describe('mayHold', () => {
  const grant = (...actions: GrantText['actions']): readonly GrantText[] => [
    { repositories: ['**'], actions },
  ]

  it.each([
    { kind: 'account', grants: grant('admin', 'push', 'delete'), want: true },
    { kind: 'account', grants: [], want: true },
    { kind: 'account', grants: [{ repositories: [], actions: ['pull'] }], want: false },
    { kind: 'capability', grants: grant('pull'), want: true },
    { kind: 'capability', grants: grant('read', 'pull'), want: true },
    { kind: 'capability', grants: grant('pull', 'push'), want: false },
    { kind: 'capability', grants: grant('create'), want: false },
    { kind: 'capability', grants: [...grant('pull'), ...grant('admin')], want: false },
  ] as const)('$kind with $grants: $want', ({ kind, grants, want }) => {
    expect(mayHold(kind, grants)).toBe(want)
  })
})

describe('who comes with a secret', () => {
  const CAPABILITY = 'zyxwvutsrqponmlkjihgfedcba765432zyxwvutsrqponmlkjihg'
  const account = async (
    name: string,
    kind: Account['kind'],
    secret: string,
  ): Promise<Account> => ({
    name,
    kind,
    secretHash: await hashSecret(secret),
    grants: [],
    version: '1',
    createdAt: 0,
  })
  const accounts = async (): Promise<readonly Account[]> => [
    await account('other', 'account', CAPABILITY.replace('z', 'a')),
    await account('ci', 'account', SECRET),
    await account('cluster', 'capability', CAPABILITY),
  ]

  it.each([
    { name: 'name and secret', user: 'ci', secret: SECRET, want: 'ci' },
    { name: '058: an unknown name', user: 'nobody', secret: SECRET, want: undefined },
    { name: '058: an unknown name without a secret', user: 'nobody', secret: '', want: undefined },
    { name: 'the secret of another', user: 'other', secret: SECRET, want: undefined },
    { name: 'no name', user: '', secret: SECRET, want: undefined },
    { name: 'a name in upper case', user: 'CI', secret: SECRET, want: undefined },
    { name: 'a name of every object', user: 'constructor', secret: SECRET, want: undefined },
    { name: 'a capability', user: 'cluster', secret: CAPABILITY, want: undefined },
  ])('logs in by $name: $want', async ({ user, secret, want }) => {
    const found = await authenticate(await accounts(), user, secret)
    expect(found?.name).toBe(want)
  })

  it.each([
    { name: 'its secret', secret: CAPABILITY, want: 'cluster' },
    { name: 'the secret of an account', secret: SECRET, want: undefined },
    { name: 'an unknown secret', secret: 'a'.repeat(52), want: undefined },
    { name: 'nothing', secret: '', want: undefined },
    { name: 'what is no secret', secret: 'docker.io', want: undefined },
  ])('finds a capability by $name: $want', async ({ secret, want }) => {
    const found = await findCapability(await accounts(), secret)
    expect(found?.name).toBe(want)
  })

  it('finds no capability by nothing, also where somebody has configured its hash', async () => {
    expect(await findCapability([await account('open', 'capability', '')], '')).toBeUndefined()
  })

  it('058: hashes once, whether or not there is such a name', async ({ onTestFinished }) => {
    const known = await accounts()
    const digest = vi.spyOn(crypto.subtle, 'digest')
    onTestFinished(() => digest.mockRestore())
    await authenticate(known, 'ci', 'wrong')
    expect(digest).toHaveBeenCalledTimes(1)
    await authenticate(known, 'nobody', 'wrong')
    expect(digest).toHaveBeenCalledTimes(2)
  })
})
