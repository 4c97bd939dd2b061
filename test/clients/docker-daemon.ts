// Docker's daemon of Debian, as it runs in a sandbox: no bridge, no iptables, and whole copies for layers.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Login } from './account.ts'
import type { Command, Output, Workspace } from './process.ts'

/** What the daemon knows of an image. */
export interface DockerImage {
  /** The digest of its config. */
  readonly id: string
  /** Its manifest, by every repository that it was pulled from or pushed to. */
  readonly repoDigests: readonly string[]
}

/** For a layer of 1 GiB on a busy machine. */
const MINUTES = 300_000

/** A daemon of this run, with an empty store of its own. */
export class DockerDaemon {
  readonly #workspace: Workspace
  readonly #folder: string

  private constructor(workspace: Workspace, folder: string) {
    this.#workspace = workspace
    this.#folder = folder
  }

  static async start(
    workspace: Workspace,
    name: string,
    {
      flags = [],
      configuration = '{}',
    }: { flags?: readonly string[]; configuration?: string } = {},
  ): Promise<DockerDaemon> {
    const folder = await workspace.folderOf(name)
    const daemon = new DockerDaemon(workspace, folder)
    await writeFile(join(folder, 'daemon.json'), configuration)
    const args = [
      `--config-file=${join(folder, 'daemon.json')}`,
      `--pidfile=${join(folder, 'pid')}`,
      `--data-root=${join(folder, 'data')}`,
      `--exec-root=${join(folder, 'exec')}`,
      `--host=${daemon.#socket}`,
      '--storage-driver=vfs',
      '--iptables=false',
      '--ip-forward=false',
      '--ip-masq=false',
      '--bridge=none',
      ...flags,
    ]
    await workspace.startUntil(name, { command: 'dockerd', args }, () => daemon.#answers())
    return daemon
  }

  docker(...args: readonly string[]): Promise<Output> {
    return this.#workspace.run(this.#command(args), MINUTES)
  }

  async login(host: string, { name, file }: Login): Promise<void> {
    const command = this.#command(['login', '--username', name, '--password-stdin', host])
    await this.#workspace.run({ ...command, stdin: file })
  }

  /** Removes all images. */
  async empty(): Promise<void> {
    const { stdout } = await this.docker('images', '--quiet', '--no-trunc')
    const images = new Set(stdout.split('\n').filter((line) => line !== ''))
    if (images.size > 0) await this.docker('rmi', '--force', ...images)
  }

  /** What `docker inspect` says of an image. */
  async inspect(reference: string): Promise<DockerImage> {
    const { stdout } = await this.docker('inspect', '--format', '{{json .}}', reference)
    const { Id, RepoDigests } = JSON.parse(stdout)
    return { id: Id, repoDigests: RepoDigests }
  }

  /** Runs a container with what a sandbox allows and returns what it printed. */
  async run(reference: string): Promise<string> {
    const flags = ['--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024']
    const { stdout } = await this.docker('run', ...flags, reference)
    return stdout
  }

  #command(args: readonly string[]): Command {
    return {
      command: 'docker',
      args: ['--host', this.#socket, ...args],
      env: { DOCKER_CONFIG: this.#folder, DOCKER_CONTENT_TRUST: '0', DOCKER_BUILDKIT: '0' },
    }
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
