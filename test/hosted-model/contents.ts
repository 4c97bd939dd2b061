// What the model pushes: three blobs, and manifests that name them. Hashes are taken at once, since a step of
// the model ends when nothing waits any more.

import { createHash } from 'node:crypto'
import type { ManifestPut } from '../../src/hosted/ledger.ts'
import { FREE } from '../../src/hosted/tag-rules.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { formatDigest } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/reference.ts'

/** A blob. */
export interface SampleBlob {
  readonly name: string
  readonly bytes: Uint8Array
  readonly digest: Digest
}

/** A manifest, without the tags of one push. */
export interface Image extends Omit<ManifestPut, 'tags'> {
  readonly name: string
  readonly blobs: readonly SampleBlob[]
  readonly images: readonly Image[]
}

/** The hash of bytes. */
export function hashOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(bytes).digest())
}

/** The digest of bytes. */
export function digestNow(bytes: Uint8Array): Digest {
  return formatDigest('sha256', hashOf(bytes).buffer as ArrayBuffer)
}

const MEDIA_TYPE = 'application/vnd.oci.image.manifest.v1+json'

function blob(name: string): SampleBlob {
  const bytes = new TextEncoder().encode(`the bytes of ${name}`)
  return { name, bytes, digest: digestNow(bytes) }
}

function image(
  name: string,
  { blobs = [], images = [] }: { blobs?: readonly SampleBlob[]; images?: readonly Image[] },
): Image {
  const bytes = new TextEncoder().encode(
    JSON.stringify({ name, names: [...blobs, ...images].map(({ digest }) => digest) }),
  )
  const needs = {
    blobs: blobs.map(({ digest }) => digest),
    manifests: images.map(({ digest }) => digest),
  }
  const children = [...needs.blobs, ...needs.manifests]
  const digest = digestNow(bytes)
  const mediaType = MEDIA_TYPE
  return {
    name,
    blobs,
    images,
    bytes,
    digest,
    mediaType,
    needs,
    children,
    referrer: undefined,
    tagRules: FREE,
  }
}

const [A, B, C] = ['A', 'B', 'C'].map(blob) as [SampleBlob, SampleBlob, SampleBlob]
const FIRST = image('first', { blobs: [A, B] })
const SECOND = image('second', { blobs: [B, C] })
const INDEX = image('index', { images: [FIRST] })

/** The blobs. */
export const BLOBS: readonly SampleBlob[] = [A, B, C]
/** The manifests. */
export const IMAGES: readonly Image[] = [FIRST, SECOND, INDEX]
/** The tags that they get. */
export const TAGS = ['latest', 'v1'] as readonly string[] as readonly Tag[]

/** Makes `crypto.DigestStream` of workerd from what Node has. */
export class DigestStream extends WritableStream<Uint8Array> {
  readonly digest: Promise<ArrayBuffer>

  constructor(algorithm: string) {
    const hash = createHash(algorithm.replace('-', '').toLowerCase())
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>()
    super({
      write: (bytes) => void hash.update(bytes),
      close: () => resolve(new Uint8Array(hash.digest()).buffer),
      abort: (reason) => reject(reason),
    })
    this.digest = promise
  }
}
