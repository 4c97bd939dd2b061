// containerd with `hosts.toml`: the upstream's host in `ns` alone, or in the mirror's path as well.

import { spawnSync } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type HostsForm, hostsFile, hostsURL } from '../../src/http/pages/snippets.ts'
import { type Client, expectBytes, expectEqual, pulledParts } from './client.ts'
import type { Image } from './image.ts'
import type { Output, Workspace } from './process.ts'
import { type Endpoint, placeOf } from './registry.ts'

/** The executables of one release. */
export interface Release {
  /** Of the process and its folder; short, because of the socket's path. */
  readonly name: string
  readonly containerd: string
  readonly ctr: string
  /** More of its configuration. */
  readonly configuration?: string
}

const DEBIAN: Release = { name: 'containerd', containerd: 'containerd', ctr: 'ctr' }

/** One containerd of this run, used by all the rows about it. */
export class Containerd {
  readonly #workspace: Workspace
  readonly #folder: string
  readonly #ctr: string

  private constructor(workspace: Workspace, folder: string, ctr: string) {
    this.#workspace = workspace
    this.#folder = folder
    this.#ctr = ctr
  }

  static async start(workspace: Workspace, release = DEBIAN): Promise<Containerd> {
    const folder = await workspace.folderOf(release.name)
    const daemon = new Containerd(workspace, folder, release.ctr)
    const configFile = join(folder, 'config.toml')
    await writeFile(configFile, `${configurationOf(folder)}\n${release.configuration ?? ''}`)
    const args = ['--config', configFile]
    await workspace.startUntil(release.name, { command: release.containerd, args }, () =>
      daemon.#answers(),
    )
    return daemon
  }

  ctr(...args: readonly string[]): Promise<Output> {
    const address = join(this.#folder, 'socket')
    return this.#workspace.run({ command: this.#ctr, args: ['--address', address, ...args] })
  }

  /** The bytes of a blob or manifest in its content store. */
  content(digest: string): Uint8Array {
    const address = join(this.#folder, 'socket')
    const read = spawnSync(this.#ctr, ['--address', address, 'content', 'get', digest], {
      maxBuffer: 64 * 1024 * 1024,
    })
    if (read.status !== 0) throw new Error(`ctr content get ${digest}: ${read.stderr.toString()}`)
    return read.stdout
  }

  /** Removes all images and, with them, all content. */
  async empty(): Promise<void> {
    const { stdout: images } = await this.ctr('images', 'list', '--quiet')
    for (const reference of images.split('\n').filter((line) => line !== '')) {
      await this.ctr('images', 'remove', '--sync', reference)
    }
    const { stdout: content } = await this.ctr('content', 'list', '--quiet')
    expectEqual('content before a pull', content.trim(), '')
  }

  async #answers(): Promise<boolean> {
    try {
      await this.ctr('version')
      return true
    } catch {
      return false // not listening yet
    }
  }
}

/** `ctr images pull --hosts-dir … <host>/<repository>:<tag>`. */
export function containerd(
  workspace: Workspace,
  daemon: Containerd,
  target: {
    readonly host: string
    readonly image: Image
    readonly form: HostsForm
    /** An `Authorization` that it shows to the mirror. */
    readonly authorization?: string
  },
): Client {
  const { host, image, form, authorization } = target
  const reference = `${host}/${image.repository}:${image.tag}`
  const client = { name: `containerd ${host} ${form}`, image, parts: 'platform' as const }
  const pull = async (registry: Endpoint): Promise<void> => {
    await daemon.empty()
    const folder = await workspace.folderOf('hosts')
    await rm(folder, { recursive: true })
    const file = join(await workspace.folderOf(join('hosts', host)), 'hosts.toml')
    await writeFile(file, hostsOf(host, registry, { form, authorization }))
    const flags = ['--hosts-dir', folder, '--snapshotter', 'native']
    await daemon.ctr('images', 'pull', ...flags, reference)
    for (const part of pulledParts(client)) expectBytes(part, daemon.content(part.digest))
  }
  const run = async (): Promise<string> => {
    const flags = ['--rm', '--snapshotter', 'native']
    const { stdout } = await daemon.ctr('run', ...flags, reference, `run-${Date.now()}`)
    return stdout
  }
  return { ...client, pull, run }
}

/** `server` is the mirror too: nothing is ever asked of a host outside this machine. */
function hostsOf(
  host: string,
  registry: Endpoint,
  { form, authorization }: { form: HostsForm; authorization: string | undefined },
): string {
  const url = hostsURL(placeOf(registry), form, host)
  return hostsFile({ server: url, url, form, authorization })
}

function configurationOf(folder: string): string {
  return `version = 2
root = "${join(folder, 'root')}"
state = "${join(folder, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "${join(folder, 'socket')}"
`
}
