// Reads what a registry has stored under a reference, without any client: every manifest and every blob that it
// names, each compared with its digest and size.

import { createHash } from 'node:crypto'
import { expectEqual } from './client.ts'
import { digestOf } from './image.ts'

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

/** What was found. */
export interface StoredImage {
  readonly digest: string
  readonly layers: readonly string[]
  /** Number of manifests and blobs. */
  readonly parts: number
  readonly bytes: number
}

interface Descriptor {
  readonly digest: string
  readonly size: number
}

interface Manifest {
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
  readonly manifests?: readonly Descriptor[]
}

/** Reads all of `<url>/v2/<repository>/manifests/<reference>`. */
export async function readStoredImage(
  url: string,
  repository: string,
  reference: string,
): Promise<StoredImage> {
  const base = `${url}/v2/${repository}`
  const response = await get(`${base}/manifests/${reference}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const digest = digestOf(bytes)
  expectEqual('Docker-Content-Digest', response.headers.get('Docker-Content-Digest'), digest)
  const manifest = JSON.parse(Buffer.from(bytes).toString()) as Manifest
  const { config, layers = [], manifests = [] } = manifest
  const blobs = [...(config === undefined ? [] : [config]), ...layers]
  for (const blob of blobs) await expectBlob(`${base}/blobs/${blob.digest}`, blob)
  const children = await Promise.all(
    manifests.map((child) => readStoredImage(url, repository, child.digest)),
  )
  for (const [index, child] of children.entries()) {
    expectEqual('digest of a child', child.digest, manifests[index]?.digest)
  }
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)
  return {
    digest,
    layers: [...layers.map((layer) => layer.digest), ...children.flatMap((child) => child.layers)],
    parts: 1 + blobs.length + sum(children.map((child) => child.parts)),
    bytes: bytes.length + sum([...blobs.map(({ size }) => size), ...children.map((c) => c.bytes)]),
  }
}

/** The status that a reference or a digest is answered with. */
export async function statusOf(url: string): Promise<number> {
  const response = await fetch(url, { method: 'HEAD', headers: { Accept: ACCEPT } })
  return response.status
}

async function expectBlob(url: string, blob: Descriptor): Promise<void> {
  const response = await get(url)
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of response.body ?? []) {
    hash.update(chunk)
    size += chunk.length
  }
  expectEqual(`digest of ${url}`, `sha256:${hash.digest('hex')}`, blob.digest)
  expectEqual(`size of ${url}`, size, blob.size)
}

async function get(url: string): Promise<Response> {
  const response = await fetch(url, { headers: { Accept: ACCEPT } })
  if (response.status !== 200)
    throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return response
}
