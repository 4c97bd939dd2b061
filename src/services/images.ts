// Composition of what there is to see of images. Nothing here ever asks an upstream.

import type { Config } from '../config.ts'
import type { LedgerStub as HostedStub } from '../hosted/repository.ts'
import type { LedgerStub as MirrorStub } from '../mirror/repository.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { listImages } from '../registry/image-list.ts'
import { ImageReader } from '../registry/image-reader.ts'
import type { ImageSource } from '../registry/image-source.ts'
import type {
  ImageQuery,
  ManifestPage,
  RepositoryLine,
  RepositoryList,
  RepositoryPage,
} from '../registry/image.ts'
import type { Seams } from '../seams.ts'
import { BlobStore } from '../storage/blobs.ts'
import {
  hostedContentKey,
  hostedManifestKey,
  mirroredBlobKey,
  mirroredManifestKey,
} from '../storage/keys.ts'
import type { MirroredName, RepositoryKind } from '../storage/keys.ts'
import { ManifestStore } from '../storage/manifests.ts'
import { RepositoryMarkers } from '../storage/repositories.ts'

/** What showing images needs. */
export interface ImageServicesGiven {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
}

/** Shows images. */
export class ImageServices {
  readonly #given: ImageServicesGiven

  constructor(given: ImageServicesGiven) {
    this.#given = given
  }

  /** Repositories in the order of their names. @throws while storage is away. */
  async list(query: ImageQuery): Promise<RepositoryList> {
    const { env, seams } = this.#given
    return listImages(
      {
        markers: new RepositoryMarkers(env.BLOBS),
        sourceOf: (kind, canonical) => this.#sourceOf(kind, canonical),
        log: seams.log,
      },
      query,
    )
  }

  /** One line of that list; `undefined`: nothing is here. @throws while its ledger is away. */
  async line(kind: RepositoryKind, canonical: string): Promise<RepositoryLine | undefined> {
    return this.#reader(kind, canonical)?.line()
  }

  /** One repository and its images after a digest; `undefined`: nothing is here. @throws while its ledger is away. */
  async repository(
    kind: RepositoryKind,
    canonical: string,
    after?: Digest,
  ): Promise<RepositoryPage | undefined> {
    return this.#reader(kind, canonical)?.page(after)
  }

  /** One manifest; `undefined`: it is not here. @throws while its ledger or storage is away. */
  async manifest(
    kind: RepositoryKind,
    canonical: string,
    reference: Reference,
  ): Promise<ManifestPage | undefined> {
    return this.#reader(kind, canonical)?.manifest(reference)
  }

  #reader(kind: RepositoryKind, canonical: string): ImageReader | undefined {
    const { env, seams } = this.#given
    const source = this.#sourceOf(kind, canonical)
    if (source === undefined) return undefined
    return new ImageReader({
      source,
      manifests: new ManifestStore(env.BLOBS),
      blobs: new BlobStore(env.BLOBS),
      log: seams.log,
    })
  }

  /** `undefined`: the name is none, or of an upstream that is not configured, whose ledgers cannot be opened. */
  #sourceOf(kind: RepositoryKind, canonical: string): ImageSource | undefined {
    if (kind === 'hosted') {
      const repository = parseRepositoryName(canonical)
      return repository && this.#hosted(repository)
    }
    const slash = canonical.indexOf('/')
    const host = canonical.slice(0, slash)
    const repository = parseRepositoryName(canonical.slice(slash + 1))
    if (slash < 0 || repository === undefined) return undefined
    return this.#mirrored({ host, repository })
  }

  #hosted(name: RepositoryName): ImageSource {
    const stub = this.#given.env.HOSTED_LEDGER.getByName(name)
    const ledger: Pick<HostedStub, 'referrers'> = {
      referrers: (digest, page) => stub.referrers(name, digest, page),
    }
    return {
      kind: 'hosted',
      canonical: name,
      summary: () => stub.summary(name),
      images: async (after, limit) => {
        const { images, next } = await stub.images(name, startOf(after), limit)
        const all = images.map(({ pushedAt, ...image }) => {
          // Property is not evicted, so there is nothing to pin.
          return { ...image, platforms: undefined, firstSeen: pushedAt, isPinned: false }
        })
        return { images: all, next }
      },
      resolve: async (reference) => (await stub.manifest(name, reference))?.digest,
      referrers: async (digest) => {
        const all = { artifactTypes: [], last: undefined }
        return (await ledger.referrers(digest, all)).items
      },
      manifestKey: (digest) => hostedManifestKey(name, digest),
      blobKey: async (digest) => {
        const content = await stub.blob(name, digest, false)
        return content && hostedContentKey(content.id)
      },
    }
  }

  #mirrored(name: MirroredName): ImageSource | undefined {
    const { env, config } = this.#given
    const upstream = config.upstreams.get(name.host)
    if (upstream === undefined) return undefined
    const canonical = `${name.host}/${name.repository}`
    const stub = env.MIRROR_LEDGER.getByName(canonical)
    const ledger: Pick<MirrorStub, 'knownReferrers'> = stub
    return {
      kind: 'mirrored',
      canonical,
      summary: () => stub.summary(name),
      images: (after, limit) => stub.images(name, startOf(after), limit),
      resolve: async (reference) =>
        reference.kind === 'digest'
          ? reference.digest
          : (await stub.keptTag(name, reference.tag))?.digest,
      referrers: async (digest) => {
        // As while nobody may be asked: what is known stands in.
        const known = await ledger.knownReferrers(name, digest, true)
        return known?.ok === true ? known.items : []
      },
      manifestKey: (digest) => mirroredManifestKey(name, digest),
      blobKey: async (digest) => mirroredBlobKey(name, upstream.isPrivate(name.repository), digest),
    }
  }
}

/** To a ledger it is a place among digests, which need not be one. */
function startOf(after: string | undefined): Digest | undefined {
  return after as Digest | undefined
}
