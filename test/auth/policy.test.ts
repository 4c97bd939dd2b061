// Grants decide, and nothing is allowed without one.

import { describe, expect, it } from 'vitest'

import type { Action, Grant } from '../../src/auth/account.ts'
import { ACTIONS } from '../../src/auth/account.ts'
import type { Caller } from '../../src/auth/caller.ts'
import {
  REGISTRY,
  may,
  mayReadBelow,
  mayReadHosted,
  readableBeginnings,
} from '../../src/auth/policy.ts'
import type { AnonymousGrants, Target } from '../../src/auth/policy.ts'
import type { Access } from '../../src/auth/token.ts'
import { parsePattern } from '../../src/oci/pattern.ts'

const grant = (patterns: readonly string[], ...actions: Grant['actions']): Grant => ({
  repositories: patterns.map((text) => parsePattern(text) ?? expect.fail(text)),
  actions,
})
const EVERYTHING = grant(['**'], ...ACTIONS)

const ANYBODY: Caller = { kind: 'anonymous' }
const account = (...grants: readonly Grant[]): Caller => ({ kind: 'account', name: 'ci', grants })
const capability = (...grants: readonly Grant[]): Caller => ({
  kind: 'capability',
  name: 'nodes',
  grants,
})
const token = (...access: readonly Access[]): Caller => ({ kind: 'token', name: 'ci', access })
const access = (name: string, ...actions: readonly string[]): Access => ({
  type: 'repository',
  name,
  actions,
})

const mirror = { kind: 'mirrored', canonical: 'ghcr.io/acme/app' } as const
const PUBLIC = { ...mirror, isPrivate: false }
const PRIVATE = { ...mirror, isPrivate: true }
const HOSTED = { kind: 'hosted', canonical: 'hosted/app', isPrivate: false } as const

interface Row {
  readonly name: string
  readonly caller?: Caller
  readonly anonymous?: AnonymousGrants
  readonly target: Target
  readonly want: string
}

function rights({ caller = ANYBODY, anonymous = [], target }: Row): string {
  return ACTIONS.filter((action) => may(caller, action, target, anonymous)).join(' ')
}

describe('anybody', () => {
  it.each<Row>([
    {
      name: 'the default opens what is public',
      anonymous: 'public',
      target: PUBLIC,
      want: 'pull read',
    },
    { name: 'and nothing private', anonymous: 'public', target: PRIVATE, want: '' },
    { name: 'and nothing hosted', anonymous: 'public', target: HOSTED, want: '' },
    { name: 'and not the registry', anonymous: 'public', target: REGISTRY, want: '' },
    { name: 'no grants open nothing', target: PUBLIC, want: '' },
    { name: 'nor what is hosted', target: HOSTED, want: '' },
    {
      name: 'a grant opens what it names, private too',
      anonymous: [grant(['ghcr.io/acme/*'], 'pull')],
      target: PRIVATE,
      want: 'pull read',
    },
    {
      name: 'a grant opens nothing else',
      anonymous: [grant(['ghcr.io/other/*', 'hosted/other'], 'pull', 'push')],
      target: HOSTED,
      want: '',
    },
    {
      name: 'all rights on what is hosted',
      anonymous: [EVERYTHING],
      target: HOSTED,
      want: 'pull read push create delete',
    },
    {
      name: 'T017: a mirror is never written to',
      anonymous: [EVERYTHING],
      target: PUBLIC,
      want: 'pull read',
    },
    {
      name: 'T017: nor a private one',
      anonymous: [EVERYTHING],
      target: PRIVATE,
      want: 'pull read',
    },
    { name: 'one grant of admin', anonymous: [EVERYTHING], target: REGISTRY, want: 'admin' },
    {
      name: 'rights on every repository are none on the registry',
      anonymous: [grant(['**'], 'pull', 'push', 'delete')],
      target: REGISTRY,
      want: '',
    },
  ])('$name: $want', (row) => {
    expect(rights(row)).toBe(row.want)
  })
})

describe('a right', () => {
  it.each<{ readonly of: Action; readonly want: string }>([
    { of: 'pull', want: 'pull read' },
    { of: 'read', want: 'read' },
    { of: 'push', want: 'push create' },
    { of: 'create', want: 'create' },
    { of: 'delete', want: 'delete' },
    { of: 'admin', want: '' },
  ])('T083: of $of is one to $want, by account and by token', ({ of, want }) => {
    const row = { name: '', target: HOSTED, want }
    expect(rights({ ...row, caller: account(grant(['hosted/app'], of)) })).toBe(want)
    expect(rights({ ...row, caller: token(access('hosted/app', of)) })).toBe(want)
  })

  it('does not combine the repositories of one grant with the actions of another', () => {
    const caller = account(grant(['hosted/app'], 'pull'), grant(['hosted/b'], 'push'))
    expect(rights({ name: '', caller, target: HOSTED, want: '' })).toBe('pull read')
  })
})

describe('T063: a token', () => {
  it.each([
    'hosted/app/x',
    'hosted/ap',
    'hosted/apps',
    'hosted',
    'hosted/App',
    'hosted/*',
    '**',
    'docker.io/hosted/app',
    '',
  ])('for %j is none for hosted/app', (name) => {
    expect(may(token(access(name, ...ACTIONS)), 'read', HOSTED, [])).toBe(false)
  })

  it.each<Row & { readonly caller: Caller }>([
    {
      name: 'with *, which nobody signs',
      caller: token(access('hosted/app', '*')),
      target: HOSTED,
      want: '',
    },
    {
      name: 'for the registry of that name',
      caller: token({ type: 'registry', name: 'hosted/app', actions: ['pull'] }),
      target: HOSTED,
      want: '',
    },
    {
      name: 'for everything administrates nothing',
      caller: token(access('**', ...ACTIONS), {
        type: 'registry',
        name: 'catalog',
        actions: ['*'],
      }),
      target: REGISTRY,
      want: '',
    },
    {
      name: 'writes to no mirror',
      caller: token(access('ghcr.io/acme/app', ...ACTIONS)),
      target: PRIVATE,
      want: 'pull read',
    },
  ])('$name: $want', (row) => {
    expect(rights(row)).toBe(row.want)
  })
})

describe('whoever it is', () => {
  const anonymous = [grant(['hosted/*'], 'read')]

  it.each<Row & { readonly caller: Caller }>([
    {
      name: 'an account also has what anybody has',
      caller: account(grant(['hosted/app'], 'push')),
      target: HOSTED,
      want: 'read push create',
    },
    {
      name: 'a token too',
      caller: token(access('hosted/app', 'delete')),
      target: HOSTED,
      want: 'read delete',
    },
    { name: 'and a capability', caller: capability(), target: HOSTED, want: 'read' },
  ])('$name: $want', (row) => {
    expect(rights({ ...row, anonymous })).toBe(row.want)
  })

  it('T082: a name gives nothing', () => {
    for (const name of ['admin', 'administrator', 'robot$admin', 'root', '']) {
      const caller: Caller = { kind: 'account', name, grants: [] }
      expect(rights({ name, caller, target: HOSTED, want: '' })).toBe('')
      expect(may(caller, 'admin', REGISTRY, [])).toBe(false)
    }
  })
})

it.each([HOSTED, PUBLIC, PRIVATE])(
  'a capability reads and does nothing else: $canonical',
  (target) => {
    const row = { name: '', target, want: '', caller: capability(EVERYTHING) }
    expect(rights(row)).toBe('pull read')
    expect(rights({ ...row, anonymous: [EVERYTHING] })).toBe('pull read')
    expect(may(row.caller, 'admin', REGISTRY, [EVERYTHING])).toBe(false)
  },
)

describe('readableBeginnings', () => {
  it.each<{
    readonly name: string
    readonly caller?: Caller
    readonly anonymous?: AnonymousGrants
    readonly want: readonly string[]
  }>([
    { name: 'by default: any', anonymous: 'public', want: [''] },
    { name: 'without a grant: none', want: [] },
    { name: 'of rights other than to read: none', anonymous: [grant(['a/**'], 'push')], want: [] },
    {
      name: 'what stands before the first wildcard',
      anonymous: [grant(['a/b', 'a/*/c'], 'pull'), grant(['b/x*y*', '**/d'], 'push', 'read')],
      want: ['a/b', 'a/', 'b/x', ''],
    },
    {
      name: 'of an account, those of anybody too',
      caller: account(grant(['c/**'], 'pull')),
      anonymous: [grant(['a/**'], 'pull')],
      want: ['a/', 'c/'],
    },
    {
      name: 'of a token, the names that it holds',
      caller: token(access('a/b', 'pull'), access('a/c', 'push'), access('a/d', 'read')),
      want: ['a/b', 'a/d'],
    },
  ])('$name', ({ caller = ANYBODY, anonymous = [], want }) => {
    expect(readableBeginnings(caller, anonymous)).toEqual(want)
  })
})

it('readableBeginnings of what is hosted are those of grants, whatever the default opens', () => {
  expect(readableBeginnings(ANYBODY, 'public', 'hosted')).toEqual([])
  expect(readableBeginnings(ANYBODY, 'public', 'mirrored')).toEqual([''])
  const ci = account(grant(['hosted/team/**'], 'read'))
  expect(readableBeginnings(ci, 'public', 'hosted')).toEqual(['hosted/team/'])
  expect(readableBeginnings(ci, [], 'mirrored')).toEqual(['hosted/team/'])
})

describe('mayReadBelow', () => {
  it.each<{
    readonly name: string
    readonly caller?: Caller
    readonly anonymous?: AnonymousGrants
    readonly isPrivate?: boolean
    readonly want: boolean
  }>([
    { name: 'by default what is public', anonymous: 'public', isPrivate: false, want: true },
    { name: 'by default nothing private', anonymous: 'public', want: false },
    { name: 'nothing without a grant', isPrivate: false, want: false },
    { name: 'by the host', caller: account(grant(['ghcr.io/acme/**'], 'read')), want: true },
    { name: 'by everything', caller: account(grant(['**'], 'pull')), want: true },
    { name: 'by any host', caller: account(grant(['**/app'], 'pull')), want: true },
    { name: 'by a part of the host', caller: account(grant(['*.io/**'], 'pull')), want: true },
    { name: 'not by another part', caller: account(grant(['gh*.com/**'], 'pull')), want: false },
    { name: 'not by what only begins so', caller: account(grant(['gh/**'], 'pull')), want: false },
    { name: 'not by one component', caller: account(grant(['ghcr.io', '*'], 'pull')), want: false },
    { name: 'not to push', caller: account(grant(['**'], 'push', 'admin')), want: false },
    { name: 'by a grant of anybody', anonymous: [grant(['ghcr.io/**'], 'pull')], want: true },
    { name: 'by a token', caller: token(access('ghcr.io/a', 'pull')), want: true },
    { name: 'not by a token for others', caller: token(access('ghcr.iox/a', 'pull')), want: false },
  ])('$name', ({ caller = ANYBODY, anonymous = [], isPrivate = true, want }) => {
    expect(mayReadBelow(caller, { host: 'ghcr.io', isPrivate }, anonymous)).toBe(want)
  })
})

it('what is hosted is not looked through for those who have no grant', () => {
  expect(mayReadHosted(ANYBODY, 'public')).toBe(false)
  expect(mayReadHosted(ANYBODY, [])).toBe(true)
  expect(mayReadHosted(account(), 'public')).toBe(true)
})
