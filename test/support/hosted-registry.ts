// A registry with hosted repositories, as a client pushes to it and reads from it: the requests of the
// distribution spec, each as short as a row needs it.

import { expect } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { isolate } from './isolate.ts'
import type { Isolate } from './isolate.ts'

/** The settings with which anybody may do anything: one pattern as it comes, one for sparse manifests. */
export const OPEN = {
  HOSTED: ['hosted/**', { pattern: 'sparse/**', sparse: true }],
  ANONYMOUS: [{ repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const CONFIG = 'application/vnd.oci.image.config.v1+json'
export const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** Bytes and their digest. */
export interface Content {
  readonly bytes: Uint8Array
  readonly digest: Digest
}

/** A descriptor as manifests hold it. */
export interface Named {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly [member: string]: unknown
}

/** What a request has beside its method and path. */
export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | ReadableStream<Uint8Array> | string
}

/** A registry, and what clients do with it. */
export interface HostedRegistry extends Isolate {
  readonly send: (method: string, path: string, sent?: Sent) => Promise<Response>
  /** A blob by one POST. */
  readonly pushBlob: (repository: string, blob: Content) => Promise<Named>
  /** A session; its `Location`. */
  readonly open: (repository: string) => Promise<string>
  /** A chunk: with its `Content-Range` if `first` is given, else as the next bytes of a stream. */
  readonly patch: (location: string, bytes: Uint8Array, first?: number) => Promise<Response>
  /** The end of a session, with the last bytes if there are any. */
  readonly close: (
    location: string,
    digest: string,
    last?: { readonly bytes: Uint8Array; readonly first?: number },
  ) => Promise<Response>
  readonly putManifest: (
    path: string,
    document: object | Uint8Array,
    mediaType?: string,
  ) => Promise<Response>
  /** A manifest whose config and layer have been pushed. */
  readonly pushImage: (
    repository: string,
    options?: { readonly seed?: number; readonly reference?: string } & Extras,
  ) => Promise<Content>
}

/** Members of a manifest that are not always there. */
export type Extras = Readonly<Partial<Record<'subject' | 'annotations' | 'artifactType', unknown>>>

/** Starts one. */
export function startHosted(settings: Readonly<Record<string, unknown>> = OPEN): HostedRegistry {
  const worker = isolate(settings)
  const send = (method: string, path: string, { headers = {}, body }: Sent = {}) =>
    worker.fetch(path, { method, headers, ...(body !== undefined && { body }) })
  const chunk = (bytes: Uint8Array, first: number | undefined): Sent => ({
    body: bytes,
    headers: {
      'Content-Type': 'application/octet-stream',
      'Content-Length': String(bytes.byteLength),
      ...(first !== undefined && { 'Content-Range': `${first}-${first + bytes.byteLength - 1}` }),
    },
  })
  const registry: HostedRegistry = {
    ...worker,
    send,
    pushBlob: async (repository, { bytes, digest }) => {
      const path = `/v2/${repository}/blobs/uploads/?digest=${encodeURIComponent(digest)}`
      expect((await send('POST', path, chunk(bytes, undefined))).status).toBe(201)
      return { mediaType: LAYER, digest, size: bytes.byteLength }
    },
    open: async (repository) => {
      const answer = await send('POST', `/v2/${repository}/blobs/uploads/`)
      expect(answer.status).toBe(202)
      return locationOf(answer)
    },
    patch: (location, bytes, first) => send('PATCH', location, chunk(bytes, first)),
    close: (location, digest, last) =>
      send('PUT', withDigest(location, digest), last && chunk(last.bytes, last.first)),
    putManifest: (path, document, mediaType = OCI_MANIFEST) =>
      send('PUT', path, {
        headers: { 'Content-Type': mediaType },
        body: document instanceof Uint8Array ? document : encode(document),
      }),
    pushImage: async (repository, { seed = 1, reference, ...extras } = {}) => {
      const config = await registry.pushBlob(repository, await contentOf(encode({ seed })))
      const layer = await registry.pushBlob(repository, await contentOf(sampleBytes(1000, seed)))
      const document = manifestOf({ ...config, mediaType: CONFIG }, [layer], extras)
      const image = await contentOf(encode(document))
      const path = `/v2/${repository}/manifests/${reference ?? image.digest}`
      expect((await registry.putManifest(path, image.bytes)).status).toBe(201)
      return image
    },
  }
  return registry
}

/** An image manifest. */
export function manifestOf(config: Named, layers: readonly Named[], extras: Extras = {}): object {
  return { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, ...extras }
}

/** An image index. */
export function indexOf(manifests: readonly Named[], extras: Extras = {}): object {
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...extras }
}

/** How a manifest is named by others. */
export function descriptorOf({ bytes, digest }: Content, mediaType = OCI_MANIFEST): Named {
  return { mediaType, digest, size: bytes.byteLength }
}

/** JSON as bytes. */
export function encode(document: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document))
}

/** Bytes with their digest. */
export async function contentOf(
  bytes: Uint8Array,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): Promise<Content> {
  return { bytes, digest: await digestOf(bytes, algorithm) }
}

/** Noise with its digest. */
export function noise(
  size: number,
  {
    seed = 1,
    algorithm,
  }: { readonly seed?: number; readonly algorithm?: 'sha256' | 'sha512' } = {},
): Promise<Content> {
  return contentOf(sampleBytes(size, seed), algorithm)
}

/** Where an answer leads, as a path with its query. */
export function locationOf(response: Response): string {
  const location = response.headers.get('location') ?? expect.fail('no Location')
  const { pathname, search } = new URL(location, 'https://registry.test')
  return pathname + search
}

/** A session's `Location` with the digest that ends it. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

/** Bytes that come without a `Content-Length`, as Docker sends a layer. */
export function streamOf(...pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece)
      controller.close()
    },
  })
}
