// Grants decide, and nothing is allowed without one.

import { describe, expect, it } from 'vitest'

import type { Grant } from '../../src/auth/policy.ts'
import { mayAdministrate, mayDo, mayPullAnonymously } from '../../src/auth/policy.ts'
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

describe('mayPullAnonymously', () => {
  it.each([
    { name: 'the default opens what is public', anonymous: 'public', isPrivate: false, want: true },
    { name: 'and nothing private', anonymous: 'public', isPrivate: true, want: false },
    { name: 'no grants open nothing', anonymous: [], isPrivate: false, want: false },
    {
      name: 'a grant opens what it names, private too',
      anonymous: [grant(['ghcr.io/acme/*'], 'pull')],
      isPrivate: true,
      want: true,
    },
    {
      name: 'a grant opens nothing else',
      anonymous: [grant(['ghcr.io/other/*'], 'pull')],
      isPrivate: false,
      want: false,
    },
    {
      name: 'the right to push is none to pull',
      anonymous: [grant(['**'], 'push')],
      isPrivate: false,
      want: false,
    },
  ] as const)('$name', ({ anonymous, isPrivate, want }) => {
    expect(mayPullAnonymously(anonymous, 'ghcr.io/acme/app', isPrivate)).toBe(want)
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
