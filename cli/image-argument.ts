// Images and platforms as people write them on a command line. Only the form is looked at here: which registries and
// repositories there are is known to the registry that is asked.

import { parseImageName } from '../src/oci/image-name.ts'
import { formatReference } from '../src/oci/reference.ts'
import type { Reference } from '../src/oci/reference.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import { ArgumentError } from './failure.ts'

/** An image, taken apart: `name[:tag][@digest]`, whose name is canonical, e.g. `docker.io/library/nginx`. */
export interface ImageArgument {
  /** With the host of its registry, which may have a port. */
  readonly name: string
  /** Undefined where none stands there: the repository is meant. */
  readonly reference: Reference | undefined
}

const EXAMPLE = 'docker.io/library/nginx:1.29'
const PLATFORM = /^[A-Za-z0-9_.+-]{1,64}(?:\/[A-Za-z0-9_.+-]{1,64}){1,2}$/

/**
 * Parses an image, or a repository where no tag and no digest stand there.
 * @throws {ArgumentError}
 */
export function parseImageArgument(what: string, text: string): ImageArgument {
  const image = parseImageName(text)
  // Of a host with a port the grammar of names knows nothing.
  const name = image?.name.replace(/^([^/:]+):\d{1,5}\//, '$1/') ?? ''
  if (image !== undefined && parseRepositoryName(name) !== undefined) return image
  throw new ArgumentError(
    `${what}: expected an image by its whole name, e.g. ${EXAMPLE}, found ${JSON.stringify(text)}`,
  )
}

/** The same image, as an order names it: by its digest where it has one. */
export function formatImageArgument({ name, reference }: ImageArgument): string {
  if (reference === undefined) return name
  return `${name}${reference.kind === 'digest' ? '@' : ':'}${formatReference(reference)}`
}

/**
 * An image that a tag or a digest names.
 * @throws {ArgumentError}
 */
export function requireImage(what: string, text: string): string {
  const image = parseImageArgument(what, text)
  if (image.reference !== undefined) return formatImageArgument(image)
  throw new ArgumentError(
    `${what}: expected an image with a tag or a digest, e.g. ${EXAMPLE}, found ${JSON.stringify(text)}`,
  )
}

/**
 * The values of `--platforms`, each a list with commas.
 * @throws {ArgumentError}
 */
export function parsePlatforms(values: readonly string[]): readonly string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((platform) => {
      if (PLATFORM.test(platform)) return platform
      throw new ArgumentError(
        `--platforms: expected e.g. linux/amd64,linux/arm/v7, found ${JSON.stringify(platform)}`,
      )
    })
}
