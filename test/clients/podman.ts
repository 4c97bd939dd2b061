// podman with a mirror in registries.conf, whose location is the path prefix; it also runs what it pulled.

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, expectEqual } from './client.ts'
import { type Image, partsOf } from './image.ts'
import type { Workspace } from './process.ts'
import type { Registry } from './registry.ts'

/**
 * What a container may have in a sandbox: no network, and limits that can be set without CAP_SYS_RESOURCE.
 * runc, because Debian's crun refuses machines with cgroup v1 and v2 side by side.
 */
const CONTAINER_FLAGS = [
  '--rm',
  '--pull=never',
  '--network=none',
  '--cgroups=no-conmon',
  '--ulimit=nofile=1024:1024',
  '--ulimit=nproc=1024:1024',
]

/** `podman pull <host>/<repository>:<tag>`. */
export function podman(workspace: Workspace, host: string, image: Image): Client {
  const reference = `${host}/${image.repository}:${image.tag}`
  const podmanOf = async (args: readonly string[], registries = ''): Promise<string> => {
    const folder = await workspace.folderOf('podman')
    const flags = [
      `--root=${join(folder, 'root')}`,
      `--runroot=${join(folder, 'run')}`,
      `--tmpdir=${join(folder, 'tmp')}`,
      '--storage-driver=vfs',
      '--runtime=runc',
      '--cgroup-manager=cgroupfs',
      '--events-backend=none',
    ]
    const env = {
      CONTAINERS_REGISTRIES_CONF: registries,
      XDG_RUNTIME_DIR: folder,
      REGISTRY_AUTH_FILE: '',
      TMPDIR: folder,
    }
    const output = await workspace.run({ command: 'podman', args: [...flags, ...args], env })
    return output.stdout
  }
  const pull = async (registry: Registry): Promise<void> => {
    await rm(await workspace.folderOf('podman'), { recursive: true })
    const folder = await workspace.folderOf('podman')
    const registries = join(folder, 'registries.conf')
    await writeFile(registries, mirrorOf(host, registry))
    await podmanOf(['pull', '--quiet', reference], registries)
    const found = await podmanOf([
      'image',
      'inspect',
      '--format',
      '{{json .RepoDigests}}',
      reference,
    ])
    const expected = partsOf(image, 'platform').manifests.map(
      ({ digest }) => `${host}/${image.repository}@${digest}`,
    )
    expectEqual('RepoDigests', new Set(JSON.parse(found)).size, expected.length)
    for (const digest of expected) expectEqual(digest, found.includes(digest), true)
  }
  const run = (): Promise<string> => podmanOf(['run', ...CONTAINER_FLAGS, reference])
  return { name: `podman ${host}`, image, parts: 'platform', pull, run }
}

function mirrorOf(host: string, registry: Registry): string {
  return `[[registry]]
prefix = "${host}"
location = "${host}"
  [[registry.mirror]]
  location = "${registry.host}/${host}"
  insecure = true
`
}
