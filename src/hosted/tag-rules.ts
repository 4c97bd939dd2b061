// Which tags stay as they are: those that the configuration calls immutable, and for a caller who may only
// create, all that exist.

import { parseTagPattern } from '../oci/pattern.ts'
import type { Tag } from '../oci/reference.ts'

/** What a caller may do to tags that exist. */
export interface TagRules {
  /** Whether this caller may let a tag point at another manifest. */
  readonly mayMove: boolean
  /** Patterns of tags that nobody moves or removes. */
  readonly immutable: readonly string[]
}

/** The rules of a repository that has none, for whoever may push. */
export const FREE: TagRules = { mayMove: true, immutable: [] }

/** Whether nobody may move or remove the tag. */
export function isImmutable(tag: Tag, { immutable }: TagRules): boolean {
  return immutable.some((text) => parseTagPattern(text)?.matches(tag) ?? false)
}

/** Whether the caller may not let this tag, which points elsewhere, point at another manifest. */
export function isFixed(tag: Tag, rules: TagRules): boolean {
  return !rules.mayMove || isImmutable(tag, rules)
}
