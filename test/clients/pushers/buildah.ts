// buildah: builds an image step by step, commits it, and pushes it in layers that it compresses itself.

import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectEqual } from '../client.ts'
import { digestOf } from '../image.ts'
import type { Workspace } from '../process.ts'
import type { Pusher } from '../pusher.ts'

const SIZE = 6 * 1024 * 1024

/** `buildah from`, `copy`, `commit`, `push` and `pull`. */
export async function buildahPusher(workspace: Workspace): Promise<Pusher> {
  const folder = await workspace.folderOf('push-buildah')
  const file = join(folder, 'large')
  const bytes = randomBytes(SIZE)
  await writeFile(file, bytes)
  const store = join(folder, 'store')
  const buildah = async (...args: readonly string[]): Promise<string> => {
    const flags = [`--root=${store}`, `--runroot=${join(folder, 'run')}`, '--storage-driver=vfs']
    const env = { TMPDIR: folder, REGISTRY_AUTH_FILE: '', XDG_RUNTIME_DIR: folder }
    const { stdout } = await workspace.run({ command: 'buildah', args: [...flags, ...args], env })
    return stdout.trim()
  }
  const container = await buildah('from', 'scratch')
  await buildah('copy', container, file, '/large')
  await buildah('config', '--entrypoint', '["/large"]', container)
  const built = await buildah('commit', '--quiet', container)
  return {
    name: 'buildah',
    push: (reference) => pushWithDigest(buildah, folder, built, reference),
    pull: async (reference) => {
      await rm(store, { recursive: true })
      const pulled = await buildah('pull', '--quiet', '--tls-verify=false', reference)
      expectEqual('ID of the image', pulled, built)
      const mounted = await buildah('mount', await buildah('from', '--pull-never', pulled))
      expectEqual(
        'digest of the file',
        digestOf(await readFile(join(mounted, 'large'))),
        digestOf(bytes),
      )
    },
    copy: async (_, target) => {
      await buildah('push', '--quiet', '--tls-verify=false', built, `docker://${target}`)
    },
  }
}

/** Pushes with buildah's or podman's `push` and returns the digest that it notes. */
export async function pushWithDigest(
  run: (...args: readonly string[]) => Promise<string>,
  folder: string,
  image: string,
  reference: string,
): Promise<string> {
  const file = join(folder, 'digest')
  const flags = ['--quiet', '--tls-verify=false', `--digestfile=${file}`]
  await run('push', ...flags, image, `docker://${reference}`)
  return (await readFile(file, 'utf8')).trim()
}
