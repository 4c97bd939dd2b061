// Which manifests of an index an import takes when it is for some platforms: those for one of them, and the
// attestations that buildx makes of them. The index itself is copied as it is.

import type { Descriptor } from '../oci/descriptor.ts'
import { isJSONObject } from '../oci/json-object.ts'
import { MEDIA_TYPE } from '../oci/manifest.ts'
import { formatPlatform } from '../oci/platform.ts'

/* os/arch[/variant] */
const PLATFORM = /^[a-z0-9_.]{1,32}\/[a-z0-9_.]{1,32}(?:\/[a-z0-9_.]{1,32})?$/
/** By this annotation a manifest of an index says of which other one it is an attestation (docs.docker.com, buildx). */
const ATTESTED = 'vnd.docker.reference.digest'
const INDEX_TYPES: readonly string[] = [MEDIA_TYPE.OCI_INDEX, MEDIA_TYPE.DOCKER_LIST]

/** What is taken of an index, or the platforms that it has where one of those that are wanted is missing. */
export type Choice =
  | {
      readonly ok: true
      readonly taken: readonly Descriptor[]
      readonly left: readonly Descriptor[]
    }
  | { readonly ok: false; readonly missing: string; readonly has: readonly string[] }

/** Whether a text is a platform. */
export function isPlatform(text: string): boolean {
  return PLATFORM.test(text)
}

/** Chooses among the manifests of an index. An index in an index says of no platform of its own, and is taken. */
export function choosePlatforms(
  manifests: readonly Descriptor[],
  platforms: readonly string[],
): Choice {
  const described = manifests.map((descriptor) => ({
    descriptor,
    platform: platformOf(descriptor),
  }))
  const has = described.flatMap(({ platform }) => (platform === undefined ? [] : [platform]))
  const missing = platforms.find((wanted) => !has.some((platform) => matches(wanted, platform)))
  if (missing !== undefined) return { ok: false, missing, has: [...new Set(has)] }
  const chosen = described.filter(({ descriptor: { mediaType }, platform }) =>
    platform === undefined
      ? INDEX_TYPES.includes(mediaType)
      : platforms.some((wanted) => matches(wanted, platform)),
  )
  const digests = new Set(chosen.map(({ descriptor }) => descriptor.digest))
  const isTaken = ({ digest, annotations }: Descriptor): boolean =>
    digests.has(digest) || digests.has(annotations?.[ATTESTED] ?? '')
  return {
    ok: true,
    taken: manifests.filter(isTaken),
    left: manifests.filter((descriptor) => !isTaken(descriptor)),
  }
}

/** Whether an image of this platform is for the one that is wanted; without a variant every one is. */
export function matches(wanted: string, platform: string): boolean {
  const [os, architecture, variant] = wanted.split('/')
  const [hasOS, hasArchitecture, hasVariant] = platform.split('/')
  if (os !== hasOS || architecture !== hasArchitecture) return false
  return variant === undefined || variant === (hasVariant ?? defaultVariant(architecture))
}

/** What an image without a variant is for (containerd, "platforms"). */
function defaultVariant(architecture: string | undefined): string | undefined {
  if (architecture === 'arm64') return 'v8'
  return architecture === 'arm' ? 'v7' : undefined
}

/** An attestation has the platform `unknown/unknown`, so that no client takes it for an image. */
function platformOf({ platform, annotations }: Descriptor): string | undefined {
  if (annotations?.[ATTESTED] !== undefined) return undefined
  return isJSONObject(platform) ? formatPlatform(platform) : undefined
}
