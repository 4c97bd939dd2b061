// Who may do what: grants over canonical repository names. The one place that decides; who asks is
// found out elsewhere.

import type { Action, Grant } from './account.ts'
import { parsePattern } from '../oci/pattern.ts'
import type { Caller } from './caller.ts'
import type { Access } from './token.ts'

/** What a caller without an account may do; `public`: pull what is mirrored and not private. */
export type AnonymousGrants = 'public' | readonly Grant[]

/** What can be done to a repository. */
export type RepositoryAction = Exclude<Action, 'admin'>

/** A repository as far as the policy goes. */
export interface PolicyTarget {
  readonly kind: 'mirrored' | 'hosted'
  readonly canonical: string
  /** Whether an upstream's public does not see it either; of what is hosted, only grants say who may see it. */
  readonly isPrivate: boolean
}

/** The registry itself, which administrators operate. */
export const REGISTRY = { kind: 'registry' } as const

/** What an action is done to. */
export type Target = PolicyTarget | typeof REGISTRY

/**
 * The rights that cover an action: who may cause a pull-through may read what is there, and who may move
 * tags may make them. Nothing else implies anything.
 */
const COVERED_BY: Readonly<Record<Action, readonly Action[]>> = {
  pull: ['pull'],
  read: ['read', 'pull'],
  push: ['push'],
  create: ['create', 'push'],
  delete: ['delete'],
  admin: ['admin'],
}

const READING: readonly Action[] = ['pull', 'read']

/**
 * Whether a caller may do something to a repository, or administrate the registry. Whoever it is, it may also
 * do what anybody may; only what comes by a capability reads and does nothing else. Grants hold for private
 * repositories too: whoever wrote them has named them. A mirror is what its upstream has, so no grant lets
 * anyone write to it.
 */
export function may(
  caller: Caller,
  action: Action,
  target: Target,
  anonymous: AnonymousGrants,
): boolean {
  const isRead = READING.includes(action)
  if (caller.kind === 'capability' && !isRead) return false
  if (target.kind === 'registry') {
    return action === 'admin' && grantsOf(caller, anonymous).some((each) => names(each, 'admin'))
  }
  if (action === 'admin' || (target.kind === 'mirrored' && !isRead)) return false
  return mayAnonymously(anonymous, action, target) || mayItself(caller, action, target.canonical)
}

/**
 * With one of these begins every name that a caller may read, of one kind or of both. Whoever looks for such names
 * in a long list can skip the rest.
 */
export function readableBeginnings(
  caller: Caller,
  anonymous: AnonymousGrants,
  kind?: PolicyTarget['kind'],
): readonly string[] {
  if (anonymous === 'public' && kind !== 'hosted') return ['']
  const patterns = grantsOf(caller, anonymous)
    .filter((grant) => names(grant, 'read'))
    .flatMap(({ repositories }) => repositories.map(({ text }) => text.replace(/\*.*$/, '')))
  const access = accessOf(caller).filter((each) => names(each, 'read'))
  return [...patterns, ...access.map(({ name }) => name)]
}

/** Whether a caller could read anything that is hosted, which by default only grants allow. */
export function mayReadHosted(caller: Caller, anonymous: AnonymousGrants): boolean {
  return anonymous !== 'public' || caller.kind !== 'anonymous'
}

/** Whether there could be anything below a host that a caller may read; `isPrivate`: the public sees nothing there. */
export function mayReadBelow(
  caller: Caller,
  { host, isPrivate }: { readonly host: string; readonly isPrivate: boolean },
  anonymous: AnonymousGrants,
): boolean {
  if (anonymous === 'public' && !isPrivate) return true
  const isGranted = grantsOf(caller, anonymous)
    .filter((grant) => names(grant, 'read'))
    .some(({ repositories }) => repositories.some(({ text }) => reachesBelow(text, host)))
  return (
    isGranted ||
    accessOf(caller).some((each) => names(each, 'read') && each.name.startsWith(`${host}/`))
  )
}

function reachesBelow(pattern: string, host: string): boolean {
  const [first = '', ...rest] = pattern.split('/')
  if (first === '**') return true
  return rest.length > 0 && parsePattern(first)?.matches(host) === true
}

function mayAnonymously(
  anonymous: AnonymousGrants,
  action: RepositoryAction,
  { kind, canonical, isPrivate }: PolicyTarget,
): boolean {
  return anonymous === 'public'
    ? kind === 'mirrored' && !isPrivate && READING.includes(action)
    : covers(anonymous, action, canonical)
}

function mayItself(caller: Caller, action: RepositoryAction, canonical: string): boolean {
  if (caller.kind === 'anonymous') return false
  if (caller.kind !== 'token') return covers(caller.grants, action, canonical)
  // A token holds names, not patterns: what it does not spell out it does not give.
  return caller.access.some(
    (each) => each.type === 'repository' && each.name === canonical && names(each, action),
  )
}

/** Whether one of the grants covers the action on the repository. Without a grant nothing is allowed. */
function covers(grants: readonly Grant[], action: RepositoryAction, canonical: string): boolean {
  return grants.some(
    (grant) =>
      names(grant, action) && grant.repositories.some((pattern) => pattern.matches(canonical)),
  )
}

/** Whether the actions that are listed cover this one. */
function names(listed: { readonly actions: readonly string[] }, action: Action): boolean {
  return COVERED_BY[action].some((each) => listed.actions.includes(each))
}

/** All grants that count for a caller; a token has none, only what it spells out. */
function grantsOf(caller: Caller, anonymous: AnonymousGrants): readonly Grant[] {
  const own = caller.kind === 'account' || caller.kind === 'capability' ? caller.grants : []
  return anonymous === 'public' ? own : [...anonymous, ...own]
}

function accessOf(caller: Caller): readonly Access[] {
  return caller.kind === 'token' ? caller.access : []
}
