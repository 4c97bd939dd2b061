// Who may do what: grants over canonical repository names. The one place that decides; who asks is
// found out elsewhere.

import type { Pattern } from '../oci/pattern.ts'

/** What can be done to a repository, in the words of token scopes; `admin` is to operate the registry itself. */
export type Action = 'pull' | 'push' | 'delete' | 'admin'

/** Every action, for whoever parses one. */
export const ACTIONS: readonly Action[] = ['pull', 'push', 'delete', 'admin']

/** A right to some actions on every repository whose canonical name one of the patterns matches. */
export interface Grant {
  readonly repositories: readonly Pattern[]
  readonly actions: readonly Action[]
}

/** What a caller without an account may do; `public`: pull what is not private. */
export type AnonymousGrants = 'public' | readonly Grant[]

/** Whether one of the grants covers the action on the repository. Without a grant nothing is allowed. */
export function mayDo(grants: readonly Grant[], action: Action, canonicalName: string): boolean {
  return grants.some(
    ({ repositories, actions }) =>
      actions.includes(action) && repositories.some((pattern) => pattern.matches(canonicalName)),
  )
}

/**
 * Whether a caller without an account may pull. Grants that the configuration spells out hold for
 * private repositories too: whoever writes them has named them.
 */
export function mayPullAnonymously(
  anonymous: AnonymousGrants,
  canonicalName: string,
  isPrivate: boolean,
): boolean {
  return anonymous === 'public' ? !isPrivate : mayDo(anonymous, 'pull', canonicalName)
}

/** Whether a caller without an account may see how this registry stands: only where a grant says so. */
export function mayAdministrate(anonymous: AnonymousGrants): boolean {
  return anonymous !== 'public' && anonymous.some(({ actions }) => actions.includes('admin'))
}
