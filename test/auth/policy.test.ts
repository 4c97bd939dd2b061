// Grants decide, and nothing is allowed without one.

import { describe, expect, it } from 'vitest'

import type { Grant } from '../../src/auth/policy.ts'
import {
  mayAdministrate,
  mayAnonymously,
  mayDo,
  pullableBeginnings,
} from '../../src/auth/policy.ts'
import { parsePattern } from '../../src/oci/pattern.ts'

const grant = (patterns: readonly string[], ...actions: Grant['actions']): Grant => ({
  repositories: patterns.map((text) => parsePattern(text) ?? expect.fail(text)),
  actions,
})

describe('mayDo', () => {
  const grants = [
    grant(['docker.io/library/*', 'hosted/**'], 'pull'),
    grant(['hosted/team/**'], 'pull', 'push'),
  ]

  it.each([
    { action: 'pull', name: 'docker.io/library/nginx', want: true },
    { action: 'pull', name: 'hosted/a/b', want: true },
    { action: 'push', name: 'hosted/team/app', want: true },
    { action: 'push', name: 'hosted/a/b', want: false },
    { action: 'delete', name: 'hosted/team/app', want: false },
    { action: 'pull', name: 'docker.io/acme/nginx', want: false },
    { action: 'pull', name: 'ghcr.io/library/nginx', want: false },
    { action: 'pull', name: 'hosted', want: false },
  ] as const)('$action on $name: $want', ({ action, name, want }) => {
    expect(mayDo(grants, action, name)).toBe(want)
  })

  it('allows nothing without a grant', () => {
    expect(mayDo([], 'pull', 'docker.io/library/nginx')).toBe(false)
  })

  it('does not combine the repositories of one grant with the actions of another', () => {
    const split = [grant(['a/**'], 'pull'), grant(['b/**'], 'push')]
    expect(mayDo(split, 'push', 'a/x')).toBe(false)
  })
})

describe('mayAnonymously', () => {
  const mirror = { kind: 'mirrored', canonical: 'ghcr.io/acme/app' } as const
  const PUBLIC = { ...mirror, isPrivate: false }
  const PRIVATE = { ...mirror, isPrivate: true }
  const HOSTED = { kind: 'hosted', canonical: 'hosted/app', isPrivate: false } as const
  const everything = [grant(['**'], 'pull', 'push', 'delete', 'admin')]

  it.each([
    { name: 'the default opens what is public', anonymous: 'public', target: PUBLIC, want: 'pull' },
    { name: 'and nothing private', anonymous: 'public', target: PRIVATE, want: '' },
    { name: 'and nothing hosted', anonymous: 'public', target: HOSTED, want: '' },
    { name: 'no grants open nothing', anonymous: [], target: PUBLIC, want: '' },
    { name: 'nor what is hosted', anonymous: [], target: HOSTED, want: '' },
    {
      name: 'a grant opens what it names, private too',
      anonymous: [grant(['ghcr.io/acme/*'], 'pull')],
      target: PRIVATE,
      want: 'pull',
    },
    {
      name: 'a grant opens nothing else',
      anonymous: [grant(['ghcr.io/other/*', 'hosted/other'], 'pull', 'push')],
      target: HOSTED,
      want: '',
    },
    {
      name: 'the right to push is none to pull or delete',
      anonymous: [grant(['**'], 'push')],
      target: HOSTED,
      want: 'push',
    },
    {
      name: 'the right to delete is none to push',
      anonymous: [grant(['hosted/*'], 'delete')],
      target: HOSTED,
      want: 'delete',
    },
    {
      name: 'all rights on what is hosted',
      anonymous: everything,
      target: HOSTED,
      want: 'pull push delete',
    },
    {
      name: 'T017: a mirror is never written to',
      anonymous: everything,
      target: PUBLIC,
      want: 'pull',
    },
    { name: 'T017: nor a private one', anonymous: everything, target: PRIVATE, want: 'pull' },
  ] as const)('$name', ({ anonymous, target, want }) => {
    const actions = (['pull', 'push', 'delete'] as const).filter((action) =>
      mayAnonymously(anonymous, action, target),
    )
    expect(actions.join(' ')).toBe(want)
  })
})

describe('pullableBeginnings', () => {
  it.each([
    { name: 'by default: any', anonymous: 'public', want: [''] },
    { name: 'without a grant: none', anonymous: [], want: [] },
    { name: 'of rights other than pull: none', anonymous: [grant(['a/**'], 'push')], want: [] },
    {
      name: 'what stands before the first wildcard',
      anonymous: [grant(['a/b', 'a/*/c'], 'pull'), grant(['b/x*y*', '**/d'], 'push', 'pull')],
      want: ['a/b', 'a/', 'b/x', ''],
    },
  ] as const)('$name', ({ anonymous, want }) => {
    expect(pullableBeginnings(anonymous)).toEqual(want)
  })
})

describe('mayAdministrate', () => {
  it.each([
    { name: 'by default: no', anonymous: 'public', want: false },
    { name: 'without a grant: no', anonymous: [], want: false },
    {
      name: 'who may do everything to all repositories: no',
      anonymous: [grant(['**'], 'pull', 'push', 'delete')],
      want: false,
    },
    {
      name: 'whom one grant names so: yes',
      anonymous: [grant(['**'], 'pull'), grant(['a'], 'admin')],
      want: true,
    },
  ] as const)('$name', ({ anonymous, want }) => {
    expect(mayAdministrate(anonymous)).toBe(want)
  })
})
