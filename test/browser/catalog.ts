// What the upstreams of the browser tests have, and how much of it is pulled: images as a company might use them, with
// layers that are small and everything said of them that images say of themselves.

import { sampleLayer } from '../../cli/sample-layer.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'

const KIBIBYTE = 1024

/** An image of an upstream. */
export interface CatalogImage {
  readonly host: string
  readonly repository: string
  readonly tags: readonly string[]
  /** Of its layers (KiB). */
  readonly layers: readonly number[]
  /** On a day of work. */
  readonly pulls: number
}

/** All of them, in no order. */
export const CATALOG: readonly CatalogImage[] = [
  image('docker.io/library/alpine', ['3.22', 'latest'], [340], 19),
  image('docker.io/library/nginx', ['1.29', '1.29-alpine'], [820, 410, 2], 11),
  image('docker.io/library/node', ['24-slim', '22-slim'], [760, 1400, 30], 16),
  image('docker.io/library/postgres', ['18', '17.6'], [900, 640, 120, 8], 4),
  image('docker.io/library/python', ['3.14-slim'], [740, 980, 16], 12),
  image('docker.io/library/redis', ['8.2-alpine'], [350, 260], 5),
  image('docker.io/grafana/grafana', ['12.3.0'], [330, 1800, 90], 2),
  image('ghcr.io/fluxcd/source-controller', ['v1.7.3'], [310, 880], 3),
  image('ghcr.io/astral-sh/uv', ['0.9'], [680], 7),
  image('quay.io/prometheus/prometheus', ['v3.7.3'], [420, 1300], 2),
  image('quay.io/argoproj/argocd', ['v3.2.0'], [800, 1700, 210], 1),
  image('registry.k8s.io/pause', ['3.10.1'], [180], 8),
  image('registry.k8s.io/coredns/coredns', ['v1.13.1'], [240, 700], 3),
]

/** A manifest with everything that it names, to be put somewhere. */
export interface Built {
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly digest: string
  readonly blobs: readonly Uint8Array[]
  readonly children: readonly Built[]
}

/** An image of one platform, with a history. */
export async function buildImage(
  layers: readonly number[],
  {
    seed,
    architecture,
    source,
    note,
  }: {
    readonly seed: number
    readonly architecture: string
    readonly source: string
    readonly note?: string
  },
): Promise<Built> {
  const blobs = layers.map((size, index) => sampleLayer(size * KIBIBYTE, seed * 100 + index))
  const created = new Date(Date.now() - (10 + (seed % 60)) * 86_400_000).toISOString()
  const steps = [
    'ADD rootfs.tar.zst / # buildkit',
    'COPY /out /app # buildkit',
    'COPY ca-certificates.crt /etc/ssl/ # buildkit',
    'RUN adduser -D app # buildkit',
  ]
  const config = encode({
    os: 'linux',
    architecture,
    created,
    config: {
      User: 'app',
      WorkingDir: '/app',
      Entrypoint: ['/app/entrypoint', '--listen', ':8080'],
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', 'TZ=UTC'],
      ExposedPorts: { '8080/tcp': {} },
      Labels: {
        'org.opencontainers.image.source': source,
        'org.opencontainers.image.licenses': 'Apache-2.0',
        ...(note !== undefined && { 'org.example.note': note }),
      },
    },
    history: [
      ...blobs.map((_, index) => ({ created, created_by: steps[index % steps.length] })),
      {
        created,
        created_by: 'ENTRYPOINT ["/app/entrypoint" "--listen" ":8080"]',
        empty_layer: true,
      },
    ],
    rootfs: { type: 'layers', diff_ids: await Promise.all(blobs.map((blob) => digestOf(blob))) },
  })
  return build(
    {
      mediaType: MEDIA_TYPE.OCI_MANIFEST,
      config: await descriptorOf(config, 'application/vnd.oci.image.config.v1+json'),
      layers: await Promise.all(
        blobs.map((blob) => descriptorOf(blob, 'application/vnd.oci.image.layer.v1.tar')),
      ),
      annotations: { 'org.opencontainers.image.source': source },
    },
    [config, ...blobs],
  )
}

/** The same for two platforms. */
export async function buildIndex(
  layers: readonly number[],
  seed: number,
  source: string,
): Promise<Built> {
  const platforms = ['amd64', 'arm64']
  const children = await Promise.all(
    platforms.map((architecture, index) =>
      buildImage(layers, { seed: seed * 2 + index, architecture, source }),
    ),
  )
  const manifests = children.map((child, index) => ({
    mediaType: child.mediaType,
    digest: child.digest,
    size: child.bytes.length,
    platform: { os: 'linux', architecture: platforms[index] },
  }))
  return { ...(await build({ mediaType: MEDIA_TYPE.OCI_INDEX, manifests }, [])), children }
}

/** Something that refers to a manifest: a signature, a list of materials. */
export async function buildReferrer(
  subject: Built,
  artifactType: string,
  annotations: Readonly<Record<string, string>>,
): Promise<Built> {
  const empty = encode({})
  const bytes = encode({ artifactType, of: subject.digest })
  return build(
    {
      mediaType: MEDIA_TYPE.OCI_MANIFEST,
      artifactType,
      config: await descriptorOf(empty, 'application/vnd.oci.empty.v1+json'),
      layers: [await descriptorOf(bytes, artifactType)],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
      annotations,
    },
    [empty, bytes],
  )
}

/** Puts an image into an upstream. */
export async function addTo(
  upstream: SampleUpstream,
  repository: string,
  built: Built,
  tag?: string,
): Promise<void> {
  for (const child of built.children) await addTo(upstream, repository, child)
  for (const blob of built.blobs) await upstream.addBlob(repository, blob)
  await upstream.addManifest(repository, built.bytes, {
    mediaType: built.mediaType,
    ...(tag !== undefined && { tag }),
  })
}

async function build(
  fields: { readonly mediaType: string; readonly [field: string]: unknown },
  blobs: readonly Uint8Array[],
): Promise<Built> {
  const bytes = encode({ schemaVersion: 2, ...fields })
  return { bytes, mediaType: fields.mediaType, digest: await digestOf(bytes), blobs, children: [] }
}

async function descriptorOf(bytes: Uint8Array, mediaType: string): Promise<object> {
  return { mediaType, digest: await digestOf(bytes), size: bytes.length }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function image(
  name: string,
  tags: readonly string[],
  layers: readonly number[],
  pulls: number,
): CatalogImage {
  const [host = '', ...repository] = name.split('/')
  return { host, repository: repository.join('/'), tags, layers, pulls }
}
