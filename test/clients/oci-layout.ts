// Images as OCI image layouts: the folder form in which programs without a daemon take and give images.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectBytes, expectEqual } from './client.ts'
import { type Image, partsOf } from './image.ts'
import type { Workspace } from './process.ts'

/** Writes the image, whose tag names its top in the layout. */
export async function writeLayout(folder: string, image: Image): Promise<void> {
  const { manifests, blobs } = partsOf(image, 'all')
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  for (const { digest, bytes } of [...manifests, ...blobs]) {
    await writeFile(layoutFile(folder, digest), bytes)
  }
  const { mediaType, digest, bytes } = image.top
  await writeIndex(folder, { mediaType, digest, size: bytes.length, tag: image.tag })
}

/** Writes a tar archive of such a layout and returns where it is. */
export async function archiveImage(
  workspace: Workspace,
  name: string,
  image: Image,
): Promise<string> {
  const folder = await workspace.folderOf(name)
  await writeLayout(folder, image)
  const archive = `${folder}.tar`
  await workspace.run({ command: 'tar', args: ['-C', folder, '-cf', archive, '.'] })
  return archive
}

/** Writes what makes a folder of blobs a layout: its version, and the one entry of its index. */
export async function writeIndex(
  folder: string,
  top: {
    readonly mediaType: string
    readonly digest: string
    readonly size: number
    readonly tag: string
  },
): Promise<void> {
  const { tag, ...descriptor } = top
  const annotations = { 'org.opencontainers.image.ref.name': tag }
  const index = { schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

/** Fails unless the layout holds all of the image, byte for byte, and its index names the image's top. */
export async function expectLayout(folder: string, image: Image): Promise<void> {
  expectEqual('top of the layout', await topOfLayout(folder), image.top.digest)
  const { manifests, blobs } = partsOf(image, 'all')
  for (const part of [...manifests, ...blobs]) {
    expectBytes(part, await readFile(layoutFile(folder, part.digest)))
  }
}

/** The digest that the layout's index names first. */
export async function topOfLayout(folder: string): Promise<string> {
  const index = await readFile(join(folder, 'index.json'), 'utf8')
  return String(JSON.parse(index).manifests[0].digest)
}

/** Where a layout keeps a digest. */
export function layoutFile(folder: string, digest: string): string {
  return join(folder, 'blobs', ...digest.split(':'))
}
