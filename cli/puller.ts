// Pulls an image as a container runtime does: index, one platform's manifest, config and layers, three
// blobs at a time, with every digest checked.

import { algorithmOf, digestOf, parseDigest } from '../src/oci/digest.ts'
import type { Digest } from '../src/oci/digest.ts'
import { HEADER } from '../src/oci/header.ts'
import { ACCEPT_MANIFEST, inspectManifest } from '../src/oci/manifest.ts'

/** Runtimes fetch so many blobs at once. */
const PARALLEL = 3

/** What a pull moved, and how the registry said it came by it (`Cache-Status` of every answer). */
export interface Pulled {
  readonly bytes: number
  readonly milliseconds: number
  readonly cacheStatuses: readonly string[]
}

/**
 * Pulls `repository:tag` from `registry`.
 * @throws when an answer is not 200 or a digest does not hold.
 */
export async function pull(
  registry: URL,
  repository: string,
  tag: string,
  signal?: AbortSignal,
): Promise<Pulled> {
  const startedAt = performance.now()
  const puller = new Puller(new URL(`/v2/${repository}/`, registry), signal)
  await puller.manifest(tag)
  return {
    bytes: puller.bytes,
    milliseconds: performance.now() - startedAt,
    cacheStatuses: puller.cacheStatuses,
  }
}

class Puller {
  readonly cacheStatuses: string[] = []
  readonly #base: URL
  readonly #signal: AbortSignal | undefined
  bytes = 0

  constructor(base: URL, signal: AbortSignal | undefined) {
    this.#base = base
    this.#signal = signal
  }

  async manifest(reference: string): Promise<void> {
    const response = await this.#get(`manifests/${reference}`)
    const bytes = await this.#verified(response, reference)
    const manifest = inspectManifest(bytes, response.headers.get(HEADER.contentType))
    if (!manifest.ok) throw new Error(`${reference} is no manifest: ${manifest.reason}`)
    const isIndex = manifest.mediaType.includes('index') || manifest.mediaType.includes('list')
    const [first] = manifest.descriptors
    if (isIndex && first !== undefined) return this.manifest(first.digest)
    const queue = [...manifest.descriptors]
    await Promise.all(Array.from({ length: PARALLEL }, () => this.#blobs(queue)))
  }

  async #blobs(queue: { readonly digest: string }[]): Promise<void> {
    for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
      await this.#verified(await this.#get(`blobs/${blob.digest}`), blob.digest)
    }
  }

  async #get(path: string): Promise<Response> {
    const response = await fetch(new URL(path, this.#base), {
      headers: { [HEADER.accept]: ACCEPT_MANIFEST },
      ...(this.#signal !== undefined && { signal: this.#signal }),
    })
    this.cacheStatuses.push(response.headers.get(HEADER.cacheStatus) ?? '')
    if (response.status === 200) return response
    throw new Error(`${path} was answered ${response.status}: ${await response.text()}`)
  }

  async #verified(response: Response, reference: string): Promise<Uint8Array> {
    const bytes = new Uint8Array(await response.arrayBuffer())
    this.bytes += bytes.byteLength
    const digest: Digest | undefined =
      parseDigest(reference) ?? parseDigest(response.headers.get(HEADER.dockerContentDigest) ?? '')
    if (digest === undefined || (await digestOf(bytes, algorithmOf(digest))) !== digest) {
      throw new Error(`${reference} does not have its digest`)
    }
    return bytes
  }
}
