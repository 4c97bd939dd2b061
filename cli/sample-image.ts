// Images to fill a sample upstream with: the same bytes for the same wish, on every run and machine.
// Layers are real tar archives, so that real clients unpack them.

import { type Algorithm, type Digest, digestOf } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest.ts'
import type { Descriptor } from '../src/oci/descriptor.ts'
import { sampleLayer } from './sample-layer.ts'
import type { SampleUpstream } from './upstream.ts'

/** A blob with the descriptor by which a manifest names it. */
export interface SampleBlob {
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly descriptor: Descriptor
}

/** What an image is for; `architecture` in Go's words. */
export interface SamplePlatform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** A manifest or index with all that belongs to it. */
export interface SampleManifest extends SampleBlob {
  readonly mediaType: string
  /** Config and layers; none of an index. */
  readonly blobs: readonly SampleBlob[]
  /** The manifests of an index. */
  readonly children: readonly SampleManifest[]
  readonly platform: SamplePlatform | undefined
}

/** What all samples have in common. */
export interface SampleOptions {
  readonly format?: 'oci' | 'docker'
  readonly algorithm?: Algorithm
  readonly annotations?: Readonly<Record<string, string>>
  readonly subject?: Descriptor
  readonly artifactType?: string
}

/** The wish for an image. */
export interface SampleImageOptions extends SampleOptions {
  /** Sizes in bytes, exact. */
  readonly layers?: readonly number[]
  /** Another seed, other bytes. */
  readonly seed?: number
  readonly platform?: SamplePlatform
}

const TYPES = {
  oci: {
    manifest: MEDIA_TYPE.OCI_MANIFEST,
    index: MEDIA_TYPE.OCI_INDEX,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar',
  },
  docker: {
    manifest: MEDIA_TYPE.DOCKER_MANIFEST,
    index: MEDIA_TYPE.DOCKER_LIST,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar',
  },
} as const

const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'

/** Makes an image: a config and a layer for each size. */
export async function sampleImage(options: SampleImageOptions = {}): Promise<SampleManifest> {
  const { format = 'oci', algorithm = 'sha256', layers: sizes = [2048], seed = 1 } = options
  const { platform = { os: 'linux', architecture: 'amd64' } } = options
  const types = TYPES[format]
  const layers: SampleBlob[] = []
  const diffIDs: Digest[] = []
  for (const [index, size] of sizes.entries()) {
    const bytes = sampleLayer(size, seed * 1000 + index)
    layers.push(await describe(bytes, types.layer, algorithm))
    diffIDs.push(await digestOf(bytes))
  }
  const config = await describe(
    encode({ ...platform, config: {}, rootfs: { type: 'layers', diff_ids: diffIDs } }),
    types.config,
    algorithm,
  )
  return await makeManifest(types.manifest, options, { config, layers, platform })
}

/** Makes an artifact: one blob of the type, usually with a subject. */
export async function sampleArtifact(
  options: SampleOptions & { readonly bytes?: Uint8Array } = {},
): Promise<SampleManifest> {
  const { algorithm = 'sha256', artifactType = 'application/vnd.sample.artifact' } = options
  const config = await describe(encode({}), EMPTY_TYPE, algorithm)
  const bytes = options.bytes ?? encode({ artifact: artifactType })
  const layers = [await describe(bytes, artifactType, algorithm)]
  return await makeManifest(
    MEDIA_TYPE.OCI_MANIFEST,
    { ...options, artifactType },
    { config, layers },
  )
}

/** Makes an index of manifests or of indexes. */
export async function sampleIndex(
  children: readonly SampleManifest[],
  options: SampleOptions = {},
): Promise<SampleManifest> {
  const { format = 'oci', algorithm = 'sha256' } = options
  const mediaType = TYPES[format].index
  const manifests = children.map(({ descriptor, platform }) =>
    platform === undefined ? descriptor : { ...descriptor, platform },
  )
  const bytes = encode({ schemaVersion: 2, mediaType, manifests, ...commonFields(options) })
  const described = await describe(bytes, mediaType, algorithm)
  return { ...described, mediaType, blobs: [], children, platform: undefined }
}

/** Puts a sample into a repository, children first, and tags it. */
export async function addSample(
  upstream: Pick<SampleUpstream, 'addBlob' | 'addManifest'>,
  repository: string,
  sample: SampleManifest,
  tag?: string,
): Promise<Digest> {
  for (const child of sample.children) {
    await addSample(upstream, repository, child)
  }
  for (const blob of sample.blobs) {
    await upstream.addBlob(repository, blob.bytes, blob.digest)
  }
  const { bytes, mediaType, digest } = sample
  const options = { mediaType, digest, ...(tag === undefined ? {} : { tag }) }
  return await upstream.addManifest(repository, bytes, options)
}

interface ImageParts {
  readonly config: SampleBlob
  readonly layers: readonly SampleBlob[]
  readonly platform?: SamplePlatform
}

async function makeManifest(
  mediaType: string,
  options: SampleOptions,
  { config, layers, platform }: ImageParts,
): Promise<SampleManifest> {
  const bytes = encode({
    schemaVersion: 2,
    mediaType,
    config: config.descriptor,
    layers: layers.map((layer) => layer.descriptor),
    ...commonFields(options),
  })
  const described = await describe(bytes, mediaType, options.algorithm ?? 'sha256')
  return { ...described, mediaType, blobs: [config, ...layers], children: [], platform }
}

function commonFields({ artifactType, subject, annotations }: SampleOptions): object {
  return { artifactType, subject, annotations }
}

async function describe(
  bytes: Uint8Array,
  mediaType: string,
  algorithm: Algorithm,
): Promise<SampleBlob> {
  const digest = await digestOf(bytes, algorithm)
  return { bytes, digest, descriptor: { mediaType, digest, size: bytes.length } }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
