// What is known here of the manifests that say something of another one: those that name it as their subject, and
// those that cosign has tagged with its digest.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { Excerpt } from '../oci/excerpt.ts'
import { inspectManifest } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import { cosignTags, isSignature } from '../oci/signature.ts'
import type { StoredManifest } from '../storage/manifests.ts'
import type { ReferrerLine } from './image.ts'

/** How referrers are come by. */
export interface ReferrerSource {
  readonly known: Promise<readonly Descriptor[]>
  readonly resolve: (tag: Tag) => Promise<Digest | undefined>
  readonly manifest: (digest: Digest) => Promise<StoredManifest | undefined>
}

/** Those that cosign has tagged, and some of the others; `isCut`: there are more. */
export async function readReferrers(
  digest: Digest,
  source: ReferrerSource,
): Promise<{ readonly items: readonly ReferrerLine[]; readonly isCut: boolean }> {
  const excerpt = new Excerpt()
  const [known, tagged] = await Promise.all([
    source.known,
    Promise.all(cosignTags(digest).map((tag) => readTagged(tag, source, excerpt))),
  ])
  const others = excerpt.some(known).map((descriptor) => lineOf(descriptor, undefined, excerpt))
  const items = [...tagged.filter((line) => line !== undefined), ...others]
  return { items, isCut: excerpt.isCut }
}

async function readTagged(
  tag: Tag,
  { resolve, manifest }: ReferrerSource,
  excerpt: Excerpt,
): Promise<ReferrerLine | undefined> {
  const digest = await resolve(tag)
  const stored = digest && (await manifest(digest))
  if (digest === undefined || stored === undefined) return undefined
  const { bytes, mediaType } = stored
  const inspection = inspectManifest(bytes, mediaType)
  const artifactType = inspection.ok ? inspection.artifactType : undefined
  const annotations = inspection.ok ? inspection.annotations : undefined
  const descriptor: Descriptor = {
    mediaType,
    digest,
    size: bytes.byteLength,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
  }
  return lineOf(descriptor, tag, excerpt)
}

function lineOf(
  { digest, mediaType, artifactType, size, annotations }: Descriptor,
  tag: Tag | undefined,
  excerpt: Excerpt,
): ReferrerLine {
  return {
    digest: excerpt.short(digest),
    mediaType: excerpt.short(mediaType),
    artifactType: excerpt.text(artifactType),
    size,
    annotations: excerpt.map(annotations),
    isSignature: isSignature({ artifactType, annotations, tag }),
    tag,
  }
}
