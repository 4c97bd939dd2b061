// What there is to see of one repository and of each of its manifests: what the ledger knows, and what the bytes say
// that are in storage. What was pushed or mirrored is anybody's, so nothing of it is believed to be of a sane size.

import { Excerpt } from '../oci/excerpt.ts'
import { algorithmOf, digestOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { inspectManifest } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Log } from '../seams.ts'
import type { BlobStore } from '../storage/blobs.ts'
import { inTime } from '../storage/in-time.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { ManifestStore, StoredManifest } from '../storage/manifests.ts'
import { ImageContent, listedPlatforms } from './image-content.ts'
import { describeSummary } from './image-list.ts'
import { readReferrers } from './image-referrers.ts'
import type { ImageSource, SourceImage } from './image-source.ts'
import type { ImageLine, ManifestPage, RepositoryLine, RepositoryPage } from './image.ts'
import { inParallel } from './in-parallel.ts'

/** Images of one page. */
const PAGE = 50
/** Questions to storage at the same time. */
const WIDTH = 8
/** The longest manifest that is read for a line of a list (bytes). */
const MAX_LISTED = 256 * 1024
/** The ledger, or one step of storage, has so long (milliseconds). */
const WITHIN = 10_000

/** What only the ledger knows of a manifest. */
type Listed = Pick<ManifestPage, 'tags' | 'isPinned' | 'firstSeen' | 'lastRead'>

const UNLISTED: Listed = { tags: [], isPinned: false, firstSeen: undefined, lastRead: undefined }

/** What reading needs. */
export interface ImageReaderGiven {
  readonly source: ImageSource
  readonly manifests: Pick<ManifestStore, 'get'>
  readonly blobs: Pick<BlobStore, 'get' | 'head'>
  readonly log: Log
}

/** Reads one repository. Every method throws while the ledger is away. */
export class ImageReader {
  readonly #given: ImageReaderGiven
  readonly #source: ImageSource

  constructor(given: ImageReaderGiven) {
    this.#given = given
    this.#source = given.source
  }

  /** Its figures; `undefined`: nothing is here. */
  async line(): Promise<RepositoryLine | undefined> {
    const summary = await asked(this.#source.summary())
    return summary && describeSummary(this.#source, summary)
  }

  /** Its figures and its images after a digest; `undefined`: nothing is here. */
  async page(after: Digest | undefined): Promise<RepositoryPage | undefined> {
    const [line, taken] = await Promise.all([this.line(), asked(this.#source.images(after, PAGE))])
    if (line === undefined) return undefined
    const images = await inParallel(taken.images, WIDTH, (image) => this.#describe(image))
    return { ...line, images, next: taken.next }
  }

  /** One manifest; `undefined`: its bytes are not here. @throws also while storage is away. */
  async manifest(reference: Reference): Promise<ManifestPage | undefined> {
    const digest = await asked(this.#source.resolve(reference))
    const stored = digest && (await this.#bytes(digest))
    return digest && stored && this.#manifest(digest, stored)
  }

  async #manifest(digest: Digest, stored: StoredManifest): Promise<ManifestPage> {
    const { bytes, mediaType } = stored
    const read = (of: Digest) => this.#quietly(of, this.#bytes(of))
    const content = new ImageContent(bytes, {
      manifest: (of, most) => this.#quietly(of, this.#upTo(of, most)),
      hasManifest: (of) => this.#quietly(of, this.#hasManifest(of)),
      hasBlob: (of) => this.#quietly(of, this.#hasBlob(of)),
      blob: (of, most) => this.#quietly(of, this.#blob(of, most)),
    })
    const [image, platforms, layers, config, referrers] = await Promise.all([
      this.#image(digest),
      content.platforms(),
      content.layers(),
      content.config(),
      readReferrers(digest, {
        known: asked(this.#source.referrers(digest)),
        resolve: (tag) => asked(this.#source.resolve({ kind: 'tag', tag })),
        manifest: read,
      }),
    ])
    const excerpt = new Excerpt()
    const { tags, isPinned, firstSeen, lastRead } = image
    return {
      name: this.#source.canonical,
      kind: this.#source.kind,
      digest,
      mediaType,
      ...describeManifest(stored, excerpt),
      tags,
      size: content.knownSize,
      isPinned,
      firstSeen,
      lastRead,
      platforms,
      config: config.config,
      layers,
      history: config.history,
      referrers: referrers.items,
      isCut: [excerpt, content, config, referrers].some(({ isCut }) => isCut),
    }
  }

  async #describe(image: SourceImage): Promise<ImageLine> {
    const { digest, mediaType, artifactType, tags, size, subject } = image
    const { firstSeen, lastRead, isPinned } = image
    const platforms = image.platforms ?? (await this.#platforms(digest))
    // Ledgers say more than is shown: everything that an image is made of.
    const line = { digest, mediaType, artifactType, tags, platforms, size, subject }
    return { ...line, firstSeen, lastRead, isPinned }
  }

  async #platforms(digest: Digest): Promise<readonly string[]> {
    const stored = await this.#quietly(digest, this.#upTo(digest, MAX_LISTED))
    return typeof stored === 'object' ? listedPlatforms(stored) : []
  }

  /** As the ledger lists it; what another manifest names, and no tag, it does not. */
  async #image(digest: Digest): Promise<Listed> {
    // After everything that is less.
    const { images } = await asked(this.#source.images(digest.slice(0, -1), 1))
    return images.find((image) => image.digest === digest) ?? UNLISTED
  }

  #bytes(digest: Digest): Promise<StoredManifest | undefined> {
    return asked(this.#given.manifests.get(this.#source.manifestKey(digest), digest))
  }

  /** A manifest, unless it is longer than that. What was damaged in storage is none. */
  async #upTo(digest: Digest, most: number): Promise<Uint8Array | 'absent' | 'too-long'> {
    const bytes = await this.#read(this.#source.manifestKey(digest), most)
    if (typeof bytes !== 'object') return bytes
    return (await digestOf(bytes, algorithmOf(digest))) === digest ? bytes : 'absent'
  }

  async #hasManifest(digest: Digest): Promise<boolean> {
    return (await asked(this.#given.blobs.head(this.#source.manifestKey(digest)))) !== undefined
  }

  async #hasBlob(digest: Digest): Promise<boolean> {
    const key = await asked(this.#source.blobKey(digest))
    return key !== undefined && (await asked(this.#given.blobs.head(key))) !== undefined
  }

  /** A blob, unless it is longer than that. */
  async #blob(digest: Digest, most: number): Promise<Uint8Array | undefined> {
    const key = await asked(this.#source.blobKey(digest))
    const bytes = key && (await this.#read(key, most))
    return typeof bytes === 'object' ? bytes : undefined
  }

  async #read(key: StorageKey, most: number): Promise<Uint8Array | 'absent' | 'too-long'> {
    const stored = await asked(this.#given.blobs.get(key))
    if (stored === undefined || 'unsatisfiable' in stored) return 'absent'
    if (stored.size <= most) return asked(new Response(stored.body).bytes())
    await stored.body.cancel()
    return 'too-long'
  }

  /** What does not come is not known; the rest is shown all the same. */
  async #quietly<Value>(digest: Digest, work: Promise<Value>): Promise<Value | undefined> {
    try {
      return await work
    } catch (error) {
      const repository = this.#source.canonical
      this.#given.log('image-unreadable', { repository, digest, reason: String(error) })
      return undefined
    }
  }
}

/** What is stored was inspected when it came; a later version may read it otherwise. */
function describeManifest(
  { bytes, mediaType }: StoredManifest,
  excerpt: Excerpt,
): Pick<ManifestPage, 'artifactType' | 'subject' | 'annotations'> {
  const inspection = inspectManifest(bytes, mediaType)
  if (!inspection.ok) return { artifactType: undefined, subject: undefined, annotations: {} }
  const { artifactType, subject, annotations } = inspection
  return {
    artifactType: excerpt.text(artifactType),
    subject,
    annotations: excerpt.map(annotations),
  }
}

function asked<Value>(work: Promise<Value>): Promise<Value> {
  return inTime(work, WITHIN, 'storage or the ledger does not answer')
}
