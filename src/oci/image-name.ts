// An image as people write it: a repository, and which of its manifests.

import type { Reference } from './reference.ts'
import { parseReference, parseTag } from './reference.ts'

/** A name, which is not resolved yet, and a reference; without one the whole repository is meant. */
export interface ImageName {
  readonly name: string
  readonly reference: Reference | undefined
}

/**
 * Parses `name`, `name:tag`, `name@digest` or `name:tag@digest`, of which the digest counts. The colon of a port has a
 * slash behind it. `undefined`: what should be a reference is none.
 */
export function parseImageName(text: string): ImageName | undefined {
  const at = text.indexOf('@')
  const tagged = at < 0 ? text : text.slice(0, at)
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1)
  const name = colon < 0 ? tagged : tagged.slice(0, colon)
  const tag = colon < 0 ? undefined : parseTag(tagged.slice(colon + 1))
  if (name === '' || (colon >= 0 && tag === undefined)) return undefined
  if (at < 0) return { name, reference: tag && { kind: 'tag', tag } }
  const reference = parseReference(text.slice(at + 1))
  return reference?.kind === 'digest' ? { name, reference } : undefined
}
