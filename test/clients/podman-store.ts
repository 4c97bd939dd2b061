// podman with a store of its own, which holds nothing at first and is thrown away with the run.

import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workspace } from './process.ts'

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

/** Where one row's podman keeps what it pulls. */
export class PodmanStore {
  readonly #workspace: Workspace
  readonly #name: string

  constructor(workspace: Workspace, name: string) {
    this.#workspace = workspace
    this.#name = name
  }

  /** Runs a command; `registries` is a `registries.conf`. */
  async podman(
    args: readonly string[],
    { registries = '', stdin }: { registries?: string; stdin?: string } = {},
  ): Promise<string> {
    const folder = await this.folder()
    // Outside of what `empty` throws away.
    const logins = `${folder}-auth.json`
    if (!existsSync(logins)) await writeFile(logins, '{}')
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
      REGISTRY_AUTH_FILE: logins,
      TMPDIR: folder,
    }
    const command = { command: 'podman', args: [...flags, ...args], env }
    const output = await this.#workspace.run({ ...command, ...(stdin !== undefined && { stdin }) })
    return output.stdout.trim()
  }

  /** Runs a container of an image that is there and returns what it printed. */
  run(reference: string): Promise<string> {
    return this.podman(['run', ...CONTAINER_FLAGS, reference])
  }

  /** Throws everything away. */
  async empty(): Promise<void> {
    await rm(await this.folder(), { recursive: true })
  }

  folder(): Promise<string> {
    return this.#workspace.folderOf(this.#name)
  }
}
