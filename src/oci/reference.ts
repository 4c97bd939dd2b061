// What may stand after `/manifests/`: a tag or a digest, told apart once and for good.

import type { Digest } from './digest.ts'
import { parseDigest } from './digest.ts'

declare const brand: unique symbol

/** A valid tag. `sha256-<hex>` (a referrers tag, a signature) is a tag, never a digest. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** A tag or a digest. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

/* distribution-spec v1.1.1, "Pulling manifests": tag ::= [a-zA-Z0-9_] 0*127[a-zA-Z0-9._-] */
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Parses a tag, whose case counts. */
export function parseTag(text: string): Tag | undefined {
  return isTag(text) ? text : undefined
}

function isTag(text: string): text is Tag {
  return TAG.test(text)
}

/**
 * Parses a reference. A tag has no colon and every digest has one, so nothing can be read both
 * ways.
 */
export function parseReference(text: string): Reference | undefined {
  if (text.includes(':')) {
    const digest = parseDigest(text)
    return digest === undefined ? undefined : { kind: 'digest', digest }
  }
  const tag = parseTag(text)
  return tag === undefined ? undefined : { kind: 'tag', tag }
}

/** The reference as it stands in a path. */
export function formatReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}
