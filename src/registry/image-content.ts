// What one manifest is made of, and how much of it is here: the platforms of an index, the layers and the
// configuration of an image.

import { parseDescriptor } from '../oci/descriptor.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { Excerpt } from '../oci/excerpt.ts'
import { MAX_CONFIG, isImageConfig, parseImageConfig } from '../oci/image-config.ts'
import type { ImageConfig, ParsedImageConfig } from '../oci/image-config.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { LayerLine, PlatformLine } from './image.ts'
import { inParallel } from './in-parallel.ts'

/** Entries of an index and layers that are shown, and those that are looked for. */
const MAX_PLATFORMS = 500
const MAX_READ = 100
const MAX_LAYERS = 1000
const MAX_LOOKED_FOR = 200
/** Questions to storage at the same time, and manifests that are read at the same time. */
const WIDTH = 8
const READ_WIDTH = 3
/** The longest manifest of an index whose parts are counted, and how much of them is read for one page (bytes). */
const MAX_CHILD = 256 * 1024
const MAX_CHILDREN = 8 * 1024 * 1024

/** What buildkit says of an entry that describes how another one was built. */
const REFERENCE_TYPE = 'vnd.docker.reference.type'
const ATTESTATION = 'attestation-manifest'
const TITLE = 'org.opencontainers.image.title'

/** How content is come by. `undefined`: that could not be found out. Never rejects. */
export interface ContentStore {
  /** A manifest; `too-long`: it is here, and longer than `most`. */
  readonly manifest: (
    digest: Digest,
    most: number,
  ) => Promise<Uint8Array | 'absent' | 'too-long' | undefined>
  readonly hasManifest: (digest: Digest) => Promise<boolean | undefined>
  readonly hasBlob: (digest: Digest) => Promise<boolean | undefined>
  /** A blob, if it is here and not longer. */
  readonly blob: (digest: Digest, most: number) => Promise<Uint8Array | undefined>
}

/** A configuration, where there is one, and its history. */
export interface ShownConfig extends Omit<ParsedImageConfig, 'config'> {
  readonly config: ImageConfig | undefined
}

const NO_CONFIG: ShownConfig = { config: undefined, history: [], isCut: false }

/** The descriptors of a manifest that are any. */
interface Parts {
  readonly config: Descriptor | undefined
  readonly layers: readonly Descriptor[]
  readonly manifests: readonly Descriptor[]
}

/** One manifest. */
export class ImageContent {
  readonly #store: ContentStore
  readonly #parts: Parts
  readonly #excerpt = new Excerpt()
  /** Sizes of everything that it is known to be made of. */
  readonly #sizes: Map<string, number>
  readonly #own: number
  /** What may still be read of the manifests of an index (bytes). */
  #left = MAX_CHILDREN
  /** Whether something was too long to be counted. */
  #isPartial = false

  constructor(bytes: Uint8Array, store: ContentStore) {
    this.#store = store
    this.#parts = partsOf(bytes)
    this.#own = bytes.byteLength
    const { config, layers, manifests } = this.#parts
    const named = config === undefined ? layers : [config, ...layers]
    this.#sizes = sizesOf([...named, ...manifests])
  }

  /** Whether there is more than what was shown of it. */
  get isCut(): boolean {
    return this.#excerpt.isCut || this.#isPartial
  }

  /** Bytes of it and of everything that it names, each once; of an index what is here, once that was looked for. */
  get knownSize(): number {
    return sum(this.#sizes.values(), this.#own)
  }

  /** The entries of an index. */
  async platforms(): Promise<readonly PlatformLine[]> {
    const entries = this.#excerpt.some(this.#parts.manifests, MAX_PLATFORMS)
    const numbered = entries.map((entry, index) => ({ entry, isRead: index < MAX_READ }))
    return inParallel(numbered, READ_WIDTH, ({ entry, isRead }) => this.#platform(entry, isRead))
  }

  /** The layers of an image, or the blobs of something else. */
  async layers(): Promise<readonly LayerLine[]> {
    const layers = this.#excerpt.some(this.#parts.layers, MAX_LAYERS)
    const numbered = layers.map((layer, index) => ({ layer, isRead: index < MAX_LOOKED_FOR }))
    return inParallel(numbered, WIDTH, async ({ layer, isRead }) => ({
      digest: this.#excerpt.short(layer.digest),
      mediaType: this.#excerpt.short(layer.mediaType),
      size: layer.size,
      isHere: isRead ? await this.#isHere(layer) : undefined,
      title: this.#excerpt.text(layer.annotations?.[TITLE]),
    }))
  }

  /** The configuration of an image, if it is here and one that can be read. */
  async config(): Promise<ShownConfig> {
    const { config } = this.#parts
    if (config === undefined || !isImageConfig(config.mediaType)) return NO_CONFIG
    const digest = parseDigest(config.digest)
    const bytes = digest && (await this.#store.blob(digest, MAX_CONFIG))
    return (bytes && parseImageConfig(bytes)) ?? NO_CONFIG
  }

  async #platform(entry: Descriptor, isRead: boolean): Promise<PlatformLine> {
    const stored = isRead ? await this.#stored(entry) : undefined
    const isHere = stored === undefined ? undefined : stored !== 'absent'
    return {
      platform: formatPlatform(entry['platform']),
      digest: this.#excerpt.short(entry.digest),
      mediaType: this.#excerpt.short(entry.mediaType),
      size: typeof stored === 'object' ? this.#count(entry, stored) : undefined,
      isHere,
      isAttestation: entry.annotations?.[REFERENCE_TYPE] === ATTESTATION,
    }
  }

  /** What has a digest of an algorithm that is none here cannot be here. */
  async #stored(entry: Descriptor): ReturnType<ContentStore['manifest']> {
    const digest = parseDigest(entry.digest)
    if (digest === undefined) return 'absent'
    const stored = await this.#read(digest, entry.size)
    if (stored === 'too-long') this.#isPartial = true
    return stored
  }

  /** What an index says of a size need not be so: it spares a look, and is no bound. */
  async #read(digest: Digest, size: number): ReturnType<ContentStore['manifest']> {
    const most = Math.min(MAX_CHILD, this.#left)
    if (size > most) {
      const isHere = await this.#store.hasManifest(digest)
      if (isHere === undefined) return undefined
      return isHere ? 'too-long' : 'absent'
    }
    // Those that are read at the same time share what is left.
    this.#left -= most
    const stored = await this.#store.manifest(digest, most)
    this.#left += most - (typeof stored === 'object' ? stored.byteLength : 0)
    return stored
  }

  /** Counts what an entry names, too; the size of the entry with it. */
  #count(entry: Descriptor, bytes: Uint8Array): number {
    const { config, layers } = partsOf(bytes)
    if (layers.length > MAX_LAYERS) this.#isPartial = true
    const counted = layers.slice(0, MAX_LAYERS)
    const sizes = sizesOf(config === undefined ? counted : [config, ...counted])
    for (const [digest, size] of sizes) this.#sizes.set(digest, size)
    return sum(sizes.values(), entry.size)
  }

  async #isHere(layer: Descriptor): Promise<boolean | undefined> {
    const digest = parseDigest(layer.digest)
    return digest === undefined ? false : this.#store.hasBlob(digest)
  }
}

/** The platforms that an index names, each once; none of what is no index. */
export function listedPlatforms(bytes: Uint8Array): readonly string[] {
  const { manifests } = partsOf(bytes)
  const names = manifests
    .filter(({ annotations }) => annotations?.[REFERENCE_TYPE] !== ATTESTATION)
    .slice(0, MAX_PLATFORMS)
    .map((entry) => formatPlatform(entry['platform']))
  return [...new Set(names.filter((name) => name !== undefined))]
}

function partsOf(bytes: Uint8Array): Parts {
  const members = parseJSONObject(bytes)?.members ?? {}
  return {
    config: parseDescriptor(members['config']),
    layers: [...descriptorsOf(members['layers']), ...descriptorsOf(members['blobs'])],
    manifests: descriptorsOf(members['manifests']),
  }
}

function descriptorsOf(list: unknown): readonly Descriptor[] {
  const all = Array.isArray(list) ? list.map(parseDescriptor) : []
  return all.filter((descriptor) => descriptor !== undefined)
}

/** Each once. */
function sizesOf(descriptors: readonly Descriptor[]): Map<string, number> {
  return new Map(descriptors.map(({ digest, size }) => [digest, size]))
}

function sum(sizes: Iterable<number>, first: number): number {
  let total = first
  for (const size of sizes) total += size
  return total
}
