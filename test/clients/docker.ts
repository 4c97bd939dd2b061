// The Docker daemon of Debian with `registry-mirrors`: it knows the root form only, for Docker Hub only.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, DOCKER_HUB, expectEqual } from './client.ts'
import type { Image } from './image.ts'
import type { Output, Workspace } from './process.ts'
import type { Registry } from './registry.ts'

/** A daemon of this run with one registry as mirror. */
class Daemon {
  readonly #workspace: Workspace
  readonly #folder: string

  private constructor(workspace: Workspace, folder: string) {
    this.#workspace = workspace
    this.#folder = folder
  }

  static async start(workspace: Workspace, registry: Registry): Promise<Daemon> {
    const name = `dockerd-${registry.name}`
    const folder = await workspace.folderOf(name)
    const daemon = new Daemon(workspace, folder)
    await writeFile(join(folder, 'daemon.json'), '{}')
    const args = [
      `--config-file=${join(folder, 'daemon.json')}`,
      `--pidfile=${join(folder, 'pid')}`,
      `--data-root=${join(folder, 'data')}`,
      `--exec-root=${join(folder, 'exec')}`,
      `--host=${daemon.#socket}`,
      `--registry-mirror=${registry.url}`,
      `--insecure-registry=${registry.host}`,
      '--storage-driver=vfs',
      '--iptables=false',
      '--ip-forward=false',
      '--ip-masq=false',
      '--bridge=none',
    ]
    await workspace.startUntil(name, { command: 'dockerd', args }, () => daemon.#answers())
    return daemon
  }

  docker(...args: readonly string[]): Promise<Output> {
    return this.#workspace.run({
      command: 'docker',
      args: ['--host', this.#socket, ...args],
      env: { DOCKER_CONFIG: this.#folder, DOCKER_CONTENT_TRUST: '0' },
    })
  }

  get #socket(): string {
    return `unix://${join(this.#folder, 'socket')}`
  }

  async #answers(): Promise<boolean> {
    try {
      await this.docker('version')
      return true
    } catch {
      return false // not listening yet
    }
  }
}

/** `docker pull <name>:<tag>`, where the name of Docker Hub's own images is written without `library/`. */
export function docker(workspace: Workspace, image: Image): Client {
  const daemons = new Map<string, Daemon>()
  const shortName = image.repository.replace(/^library\//, '')
  const reference = `${shortName}:${image.tag}`
  let last: Daemon | undefined
  const pull = async (registry: Registry): Promise<void> => {
    const daemon = daemons.get(registry.name) ?? (await Daemon.start(workspace, registry))
    daemons.set(registry.name, daemon)
    last = daemon
    const { stdout: earlier } = await daemon.docker('images', '--quiet')
    if (earlier !== '') await daemon.docker('rmi', '--force', ...earlier.trim().split('\n'))
    await daemon.docker('pull', '--quiet', reference)
    const { stdout } = await daemon.docker(
      'inspect',
      '--format',
      '{{json .RepoDigests}}',
      reference,
    )
    expectEqual('RepoDigests', JSON.parse(stdout), [`${shortName}@${image.top.digest}`])
  }
  const run = async (): Promise<string> => {
    if (last === undefined) throw new Error('nothing was pulled')
    const flags = ['--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024']
    const { stdout } = await last.docker('run', ...flags, reference)
    return stdout
  }
  return { name: `dockerd ${DOCKER_HUB} registry-mirrors`, image, parts: 'platform', pull, run }
}
