// Builds images as bytes: layers, configs, manifests, indexes, artifacts. Every image is unique (random bytes
// in one layer), so that no row can profit from what another has pulled.

import { createHash, randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { type Architecture, printingProgram } from './program.ts'

/** Bytes under their digest: a blob or a manifest. */
export interface Content {
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** One platform's image: a manifest and what it names. */
export interface PlatformImage {
  readonly architecture: Architecture
  readonly manifest: Content
  readonly blobs: readonly Content[]
}

/** What is pushed under one tag, and what its program prints. */
export interface Image {
  readonly repository: string
  readonly tag: string
  readonly line: string
  /** What the tag resolves to: the index, or the only manifest. */
  readonly top: Content
  readonly platforms: readonly PlatformImage[]
}

/** The media types of an image: the OCI's or Docker's schema 2. */
export type Format = 'oci' | 'docker'

const TYPES = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const satisfies Record<Format, Record<string, string>>

/** The architecture of this machine, whose image a client picks from an index. */
export const HERE: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'

/** Larger than the 4 MiB up to which a fill needs no segments. */
const LARGE = 6 * 1024 * 1024

/** An index of an amd64 and an arm64 image, or (`isIndex: false`) this machine's image alone. */
export function buildImage(
  repository: string,
  { format = 'oci', isIndex = true }: { format?: Format; isIndex?: boolean } = {},
): Image {
  const line = `entrepot ${repository} ${randomBytes(6).toString('hex')}`
  const architectures: readonly Architecture[] = isIndex ? ['amd64', 'arm64'] : [HERE]
  const platforms = architectures.map((architecture) => buildPlatform(architecture, line, format))
  const [only] = platforms
  if (only === undefined) throw new Error('an image has a platform')
  const top = isIndex
    ? document(TYPES[format].index, {
        manifests: platforms.map(({ architecture, manifest }) => ({
          ...descriptorOf(manifest),
          platform: { architecture, os: 'linux' },
        })),
      })
    : only.manifest
  return { repository, tag: '1.0', line, top, platforms }
}

/** Manifests and blobs, each once, as a client pulls them: one platform's or all. */
export function partsOf(
  image: Image,
  which: 'platform' | 'all',
): { manifests: readonly Content[]; blobs: readonly Content[] } {
  const platforms = image.platforms.filter(
    ({ architecture }) => which === 'all' || architecture === HERE,
  )
  return {
    manifests: unique([image.top, ...platforms.map(({ manifest }) => manifest)]),
    blobs: unique(platforms.flatMap(({ blobs }) => blobs)),
  }
}

/** An artifact that points at a subject, and the index that the referrers tag of the subject holds. */
export function buildArtifact(subject: Content): {
  readonly manifest: Content
  readonly blobs: readonly Content[]
  readonly referrers: Content
} {
  const empty = content('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
  const note = content('text/plain', Buffer.from('a note on the subject\n'))
  const artifactType = 'application/vnd.example.note'
  const manifest = document(TYPES.oci.manifest, {
    artifactType,
    config: descriptorOf(empty),
    layers: [descriptorOf(note)],
    subject: descriptorOf(subject),
  })
  const referrers = document(TYPES.oci.index, {
    manifests: [{ ...descriptorOf(manifest), artifactType }],
  })
  return { manifest, blobs: [empty, note], referrers }
}

/** Bytes with the digest that belongs to them. */
export function content(mediaType: string, bytes: Uint8Array<ArrayBuffer>): Content {
  return { mediaType, bytes, digest: digestOf(bytes) }
}

/** The sha256 digest of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function buildPlatform(architecture: Architecture, line: string, format: Format): PlatformImage {
  const types = TYPES[format]
  const files: readonly [string, Uint8Array, number][] = [
    ['hello', printingProgram(architecture, line), 0o755],
    ['large', randomBytes(LARGE), 0o644],
    ['note', Buffer.from(`${line}\n`), 0o644],
  ]
  const archives = files.map(([name, bytes, mode]) => tar(name, bytes, mode))
  const layers = archives.map((archive) => content(types.layer, gzipSync(archive, { level: 1 })))
  const config = content(
    types.config,
    json({
      architecture,
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      config: { Entrypoint: ['/hello'], Env: ['PATH=/'] },
      rootfs: { type: 'layers', diff_ids: archives.map(digestOf) },
      history: files.map(([name]) => ({ created_by: `add ${name}` })),
    }),
  )
  const manifest = document(types.manifest, {
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  })
  return { architecture, manifest, blobs: [config, ...layers] }
}

function descriptorOf({ mediaType, digest, bytes }: Content): object {
  return { mediaType, digest, size: bytes.length }
}

function document(mediaType: string, fields: object): Content {
  return content(mediaType, json({ schemaVersion: 2, mediaType, ...fields }))
}

/** Indented, so that a mirror that serialises anew is found out by the digest. */
function json(value: object): Buffer<ArrayBuffer> {
  return Buffer.from(JSON.stringify(value, null, 3))
}

function unique(contents: readonly Content[]): readonly Content[] {
  return [...new Map(contents.map((one) => [one.digest, one])).values()]
}

/** A POSIX ustar archive of one file. */
function tar(name: string, bytes: Uint8Array, mode: number): Buffer<ArrayBuffer> {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        0', 148)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512)
  return Buffer.concat([header, bytes, padding, Buffer.alloc(1024)])
}
