// What an image that is no index is for: its configuration says so.

import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { MAX_CONFIG, isImageConfig, parseImageConfig } from '../oci/image-config.ts'
import { concatenate } from '../outbound.ts'
import type { Hosted } from '../registry/repository.ts'
import { lacking } from './import-failure.ts'
import { matches } from './import-platforms.ts'
import type { ImportSource } from './import-source.ts'

/** Where a configuration may be, and for what its image must be. */
export interface ConfigGiven {
  readonly source: ImportSource
  readonly target: Hosted
  readonly platforms: readonly string[]
}

/**
 * Checks that an image is for each of the platforms. What is no image is for none, and is not asked.
 * @throws {ItemFailure}
 */
export async function checkPlatform(
  [config]: readonly Descriptor[],
  { source, target, platforms }: ConfigGiven,
): Promise<void> {
  const digest = config && parseDigest(config.digest)
  if (config === undefined || digest === undefined) return
  if (!isImageConfig(config.mediaType) || config.size > MAX_CONFIG) return
  const bytes = (await readHeld(target, digest)) ?? (await readSource(source, digest))
  const platform = parseImageConfig(bytes)?.config.platform
  const missing = platforms.find((wanted) => platform === undefined || !matches(wanted, platform))
  if (missing !== undefined) throw lacking(missing, platform === undefined ? [] : [platform])
}

async function readHeld(target: Hosted, digest: Digest): Promise<Uint8Array | undefined> {
  const held = await target.blobs.get(digest, { wants: 'bytes', range: undefined })
  if (!held.ok || held.body === undefined) return undefined
  return new Uint8Array(await new Response(held.body).arrayBuffer())
}

async function readSource(source: ImportSource, digest: Digest): Promise<Uint8Array> {
  const blob = await source.blob(digest, 0)
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for (let chunk = await blob.read(); chunk !== undefined; chunk = await blob.read()) {
      chunks.push(chunk)
      size += chunk.byteLength
      // More than its manifest says: it will be refused for that.
      if (size > MAX_CONFIG) break
    }
    return concatenate(chunks, size)
  } finally {
    await blob.cancel()
  }
}
