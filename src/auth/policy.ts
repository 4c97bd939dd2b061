// Who may do what: grants over canonical repository names. The one place that decides; who asks is
// found out elsewhere.

import type { Pattern } from '../oci/pattern.ts'

/** What can be done to a repository, in the words of token scopes. */
export type RepositoryAction = 'pull' | 'push' | 'delete'

/** What a grant can be for; `admin` is to operate the registry itself. */
export type Action = RepositoryAction | 'admin'

/** Every action, for whoever parses one. */
export const ACTIONS: readonly Action[] = ['pull', 'push', 'delete', 'admin']

/** A right to some actions on every repository whose canonical name one of the patterns matches. */
export interface Grant {
  readonly repositories: readonly Pattern[]
  readonly actions: readonly Action[]
}

/** What a caller without an account may do; `public`: pull what is mirrored and not private. */
export type AnonymousGrants = 'public' | readonly Grant[]

/** Whether one of the grants covers the action on the repository. Without a grant nothing is allowed. */
export function mayDo(grants: readonly Grant[], action: Action, canonicalName: string): boolean {
  return grants.some(
    ({ repositories, actions }) =>
      actions.includes(action) && repositories.some((pattern) => pattern.matches(canonicalName)),
  )
}

/** A repository as far as the policy goes. */
export interface PolicyTarget {
  readonly kind: 'mirrored' | 'hosted'
  readonly canonical: string
  /** Whether an upstream's public does not see it either; of what is hosted, only grants say who may see it. */
  readonly isPrivate: boolean
}

/**
 * Whether a caller without an account may do something to a repository. Grants that the configuration
 * spells out hold for private repositories too: whoever writes them has named them. A mirror is
 * what its upstream has, so no grant lets anyone write to it.
 */
export function mayAnonymously(
  anonymous: AnonymousGrants,
  action: RepositoryAction,
  { kind, canonical, isPrivate }: PolicyTarget,
): boolean {
  if (kind === 'mirrored' && action !== 'pull') {
    return false
  }
  return anonymous === 'public'
    ? kind === 'mirrored' && !isPrivate
    : mayDo(anonymous, action, canonical)
}

/**
 * With one of these begins every name that a caller without an account may pull. Whoever looks for such
 * names in a long list can skip the rest.
 */
export function pullableBeginnings(anonymous: AnonymousGrants): readonly string[] {
  if (anonymous === 'public') {
    return ['']
  }
  return anonymous
    .filter(({ actions }) => actions.includes('pull'))
    .flatMap(({ repositories }) => repositories.map(({ text }) => text.replace(/\*.*$/, '')))
}

/** Whether a caller without an account may see how this registry stands: only where a grant says so. */
export function mayAdministrate(anonymous: AnonymousGrants): boolean {
  return anonymous !== 'public' && anonymous.some(({ actions }) => actions.includes('admin'))
}
