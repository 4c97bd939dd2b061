// Which referrers are signatures, and the tags by which cosign lets a manifest refer to another one where a registry
// has no referrers.

import type { Annotations } from './descriptor.ts'
import type { Digest } from './digest.ts'
import type { Tag } from './reference.ts'
import { parseTag } from './reference.ts'
import { referrersTag } from './referrers.ts'

/** What cosign appends to `sha256-<hex>`: a signature, attestations, a bill of materials. */
const COSIGN_SUFFIXES = ['.sig', '.att', '.sbom'] as const
const SIGNATURE_SUFFIX = '.sig'

/** Of cosign 2 and of notation, each with what it was called before. */
const SIGNATURE_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.dev.cosign.simplesigning.v1+json',
  'application/vnd.cncf.notary.signature',
  'application/vnd.cncf.notary.v2.signature',
])

/** What cosign 3 writes for everything that it signs; the predicate says what that is. */
const BUNDLE = 'application/vnd.dev.sigstore.bundle'
const PREDICATE = 'dev.sigstore.bundle.predicateType'
const SIGNATURE_PREDICATE = 'https://sigstore.dev/cosign/sign/'

/** The tags under which cosign keeps what refers to a manifest. */
export function cosignTags(digest: Digest): readonly Tag[] {
  return COSIGN_SUFFIXES.map((suffix) => parseTag(referrersTag(digest) + suffix)).filter(
    (tag) => tag !== undefined,
  )
}

/** Whether a referrer is a signature, by its type, or by the tag that makes it one. */
export function isSignature(referrer: {
  readonly artifactType?: string | undefined
  readonly annotations?: Annotations | undefined
  readonly tag?: Tag | undefined
}): boolean {
  const { artifactType = '', annotations = {}, tag } = referrer
  if (tag?.endsWith(SIGNATURE_SUFFIX) === true) return true
  if (!artifactType.startsWith(BUNDLE)) return SIGNATURE_TYPES.has(artifactType)
  return annotations[PREDICATE]?.startsWith(SIGNATURE_PREDICATE) ?? true
}
