// The bytes of the bench: the same for the same seed on every machine, made while they are sent, so that a
// blob of 2 GiB needs no 2 GiB anywhere. Lean clients unpack nothing, so layers are bare noise.

import { createHash } from 'node:crypto'

import { sampleBytes } from '../cli/sample-layer.ts'
import { MEDIA_TYPE } from '../src/oci/manifest.ts'

/** Noise is repeated after so many bytes, with a stamp that makes each block another. */
const BLOCK = 1024 * 1024
const STAMP = 16
const NOISE = Buffer.from(sampleBytes(BLOCK).buffer)

/** Which bytes: another seed, another digest. */
export interface Blob {
  readonly seed: number
  readonly size: number
}

/** A blob whose digest is known. */
export interface AddressedBlob extends Blob {
  readonly digest: string
}

/** A manifest that names a config and layers. */
export interface Image {
  readonly manifest: string
  readonly digest: string
  readonly blobs: readonly AddressedBlob[]
}

/** The bytes from `first` up to (not with) `end`, in pieces of at most `piece` bytes. */
export function* bytesOf(
  { seed }: Blob,
  { first, end, piece }: { readonly first: number; readonly end: number; readonly piece: number },
): Generator<Buffer> {
  let at = first
  while (at < end) {
    const offset = at % BLOCK
    const length = Math.min(piece, end - at, BLOCK - offset)
    const bytes = NOISE.subarray(offset, offset + length)
    yield offset < STAMP ? stamped(bytes, { seed, block: (at - offset) / BLOCK, offset }) : bytes
    at += length
  }
}

/** Computes the digest of a blob, without ever holding more than a block of it. */
export function addressBlob(blob: Blob): AddressedBlob {
  const hash = createHash('sha256')
  for (const bytes of bytesOf(blob, { first: 0, end: blob.size, piece: BLOCK })) hash.update(bytes)
  return { ...blob, digest: `sha256:${hash.digest('hex')}` }
}

/** An image of these blobs; the first is its config. `mark` makes another manifest of the same blobs. */
export function imageOf(blobs: readonly AddressedBlob[], mark: string): Image {
  const [config, ...layers] = blobs.map(({ digest, size }, index) => ({
    mediaType: `application/vnd.oci.image.${index === 0 ? 'config.v1+json' : 'layer.v1.tar'}`,
    digest,
    size,
  }))
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.OCI_MANIFEST,
    config,
    layers,
    annotations: { mark },
  })
  return {
    manifest,
    digest: `sha256:${createHash('sha256').update(manifest).digest('hex')}`,
    blobs,
  }
}

function stamped(
  bytes: Buffer,
  at: { readonly seed: number; readonly block: number; readonly offset: number },
): Buffer {
  const stamp = Buffer.alloc(STAMP)
  stamp.writeDoubleLE(at.seed, 0)
  stamp.writeDoubleLE(at.block, 8)
  const copy = Buffer.from(bytes)
  stamp.copy(copy, 0, at.offset)
  return copy
}
