// What the read-only form of the conformance suite is given to read: images, indexes, artifacts and blobs,
// pushed to an upstream beforehand.

import { createHash, randomBytes } from 'node:crypto'
import { buildArtifact, buildImage, type Content, content, digestOf } from '../clients/image.ts'
import { pushBlob, pushImage, pushManifest } from '../clients/push.ts'
import type { Settings } from './suite.ts'

/** What an upstream cannot store limits what it can be seeded with. */
export interface Storable {
  readonly sha512: boolean
  /** Whether it answers `/referrers/`; else it is given the referrers tag. */
  readonly referrers: boolean
}

/** What was pushed: for the suite, and for the one thing that it cannot check. */
export interface Seeded {
  readonly settings: Settings
  /** Manifests by every reference under which they can be asked for. */
  readonly manifests: ReadonlyMap<string, Content>
}

/** Seeds a repository and says what the suite is to read from it. */
export async function seed(
  upstream: string,
  repository: string,
  storable: Storable,
): Promise<Seeded> {
  const oci = buildImage(repository)
  const docker = { ...buildImage(repository, { format: 'docker' }), tag: 'docker' }
  const single = { ...buildImage(repository, { isIndex: false }), tag: 'single' }
  const images = [oci, docker, single]
  for (const image of images) await pushImage(upstream, image)
  const artifact = buildArtifact(oci.top)
  for (const blob of artifact.blobs) await pushBlob(upstream, repository, blob)
  const pushTo = (reference: string, manifest: Content): Promise<void> =>
    pushManifest(upstream, `${repository}/manifests/${reference}`, manifest)
  await pushTo(artifact.manifest.digest, artifact.manifest)
  const nested = nest(oci.top)
  await pushTo('nested', nested)
  if (!storable.referrers) await pushTo(oci.top.digest.replace(':', '-'), artifact.referrers)
  const extra = [content('application/octet-stream', new Uint8Array())]
  if (storable.sha512) extra.push(sha512(randomBytes(1000)))
  for (const blob of extra) await pushBlob(upstream, repository, blob)
  const platforms = images.flatMap((image) => image.platforms)
  const tagged = [...images.map(({ tag, top }) => [tag, top] as const), ['nested', nested] as const]
  const manifests = [
    ...tagged.map(([, manifest]) => manifest),
    ...platforms.map(({ manifest }) => manifest),
    artifact.manifest,
  ]
  const blobs = [...platforms.flatMap((platform) => platform.blobs), ...artifact.blobs, ...extra]
  return {
    settings: {
      OCI_RO_DATA_TAGS: tagged.map(([tag]) => tag).join(' '),
      OCI_RO_DATA_MANIFESTS: digestsOf(manifests),
      OCI_RO_DATA_BLOBS: digestsOf(blobs),
      OCI_RO_DATA_REFERRERS: digestsOf([oci.top, single.top]),
    },
    manifests: new Map([
      ...tagged,
      ...manifests.map((manifest) => [manifest.digest, manifest] as const),
    ]),
  }
}

/**
 * Which manifests are answered with another digest header, media type or body than was pushed. In its read-only form
 * the suite knows no manifest's bytes, and then fails every registry that it asks for the header: it looks for it in
 * an answer that it has not kept (`ManifestGetExists`, `ManifestHeadExists`).
 */
export async function misreadManifests(
  repositoryURL: string,
  manifests: Seeded['manifests'],
): Promise<readonly string[]> {
  const misread: string[] = []
  for (const [reference, manifest] of manifests) {
    for (const method of ['HEAD', 'GET']) {
      const response = await fetch(`${repositoryURL}/manifests/${reference}`, { method })
      const body = new Uint8Array(await response.arrayBuffer())
      const found = {
        digest: response.headers.get('Docker-Content-Digest'),
        mediaType: response.headers.get('Content-Type'),
        length: response.headers.get('Content-Length'),
        bytes: method === 'HEAD' || digestOf(body) === manifest.digest,
      }
      const { digest, mediaType, bytes } = manifest
      const expected = { digest, mediaType, length: String(bytes.length), bytes: true }
      if (JSON.stringify(found) !== JSON.stringify(expected)) {
        misread.push(`${method} ${reference}: ${response.status} ${JSON.stringify(found)}`)
      }
    }
  }
  return misread
}

function nest(index: Content): Content {
  const descriptor = { mediaType: index.mediaType, digest: index.digest, size: index.bytes.length }
  const document = { schemaVersion: 2, mediaType: index.mediaType, manifests: [descriptor] }
  return content(index.mediaType, Buffer.from(JSON.stringify(document)))
}

function sha512(bytes: Buffer<ArrayBuffer>): Content {
  const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`
  return { mediaType: 'application/octet-stream', bytes, digest }
}

function digestsOf(contents: readonly Content[]): string {
  return [...new Set(contents.map(({ digest }) => digest))].join(' ')
}
