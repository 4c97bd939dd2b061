// skopeo, which has no mirrors of its own here: the upstream's host stands in the image's name.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { imageName } from '../../src/http/pages/snippets.ts'
import { type Client, expectBytes } from './client.ts'
import { type Image, partsOf } from './image.ts'
import type { Workspace } from './process.ts'
import { type Endpoint, placeOf } from './registry.ts'

const NOBODY = '--src-no-creds'

interface Options {
  readonly parts?: 'platform' | 'all'
  /** The flag that says who it is. */
  readonly credentials?: string
}

/** `skopeo copy docker://<registry>/<host>/<repository>:<tag> dir:…`. */
export function skopeo(
  workspace: Workspace,
  host: string,
  image: Image,
  { parts = 'platform', credentials = NOBODY }: Options = {},
): Client {
  const name = `skopeo ${host} ${parts === 'all' ? '--multi-arch all' : ''}`.trim()
  const pull = async (registry: Endpoint): Promise<void> => {
    const folder = await workspace.folderOf(`skopeo-${image.repository}-${randomUUID()}`)
    const source = imageName(placeOf(registry), `${host}/${image.repository}`, image.tag)
    await copyTo(workspace, source, folder, { parts, credentials })
    await compare(image, parts, folder)
  }
  return { name, image, parts, pull }
}

/** Copies one manifest, named by its digest, and its blobs. */
export async function copyByDigest(
  workspace: Workspace,
  source: string,
  image: Image,
): Promise<void> {
  const folder = await workspace.folderOf(`skopeo-${image.repository}-${randomUUID()}`)
  await copyTo(workspace, `${source}/${image.repository}@${image.top.digest}`, folder, {})
  await compare(image, 'platform', folder)
}

async function copyTo(
  workspace: Workspace,
  source: string,
  folder: string,
  { parts = 'platform', credentials = NOBODY }: Options,
): Promise<void> {
  const flags = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', credentials]
  if (parts === 'all') flags.push('--multi-arch', 'all')
  await workspace.run({
    command: 'skopeo',
    args: [...flags, `docker://${source}`, `dir:${folder}`],
  })
}

async function compare(image: Image, parts: 'platform' | 'all', folder: string): Promise<void> {
  const { manifests, blobs } = partsOf(image, parts)
  // Of an index, `dir:` keeps all, or the one manifest that was chosen.
  const [top, ...others] = parts === 'all' ? manifests : manifests.slice(-1)
  if (top === undefined) throw new Error('an image has a manifest')
  expectBytes(top, await readFile(join(folder, 'manifest.json')))
  for (const manifest of others) {
    expectBytes(manifest, await readFile(join(folder, `${hexOf(manifest.digest)}.manifest.json`)))
  }
  for (const blob of blobs) expectBytes(blob, await readFile(join(folder, hexOf(blob.digest))))
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1)
}
