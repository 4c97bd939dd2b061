// containerd, of Debian and of the second series: an index of two platforms, from an archive, pushed in whole blobs.

import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { basicOf } from '../account.ts'
import { expectBytes } from '../client.ts'
import { Containerd } from '../containerd.ts'
import { installGoProgram } from '../go-program.ts'
import { buildImage, partsOf } from '../image.ts'
import { archiveImage } from '../oci-layout.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Pusher, TAG } from '../pusher.ts'

/** Debian's. */
export async function containerdPusher(workspace: Workspace): Promise<Pusher> {
  const release = { name: 'containerd-push', containerd: 'containerd', ctr: 'ctr' }
  const daemon = await Containerd.start(workspace, release)
  return pusherOf(workspace, 'containerd', daemon, withUser())
}

/** The newer one, whose `ctr` has the daemon itself push and pull. */
export async function containerd2Pusher(workspace: Workspace): Promise<Pusher> {
  const release = {
    name: 'containerd-2',
    containerd: await installGoProgram(workspace, GO_PROGRAMS.containerd),
    ctr: await installGoProgram(workspace, GO_PROGRAMS.ctr),
  }
  const daemon = await Containerd.start(workspace, release)
  return pusherOf(workspace, 'containerd 2', daemon, withHeader(workspace))
}

/** `ctr images import`, `push` and `pull`; it mounts what it has pulled from another repository. */
async function pusherOf(
  workspace: Workspace,
  name: string,
  daemon: Containerd,
  { access, login, logout }: Identity,
): Promise<Pusher> {
  const image = { ...buildImage(name.replace(' ', '-')), tag: TAG }
  const { manifests, blobs } = partsOf(image, 'all')
  const archive = await archiveImage(workspace, `push-${name}`, image)
  const push = async (reference: string): Promise<string> => {
    await daemon.empty()
    const base = reference.slice(0, reference.lastIndexOf(':'))
    const flags = ['--all-platforms', '--no-unpack', '--base-name', base]
    await daemon.ctr('images', 'import', ...flags, archive)
    await daemon.ctr('images', 'push', ...access(), reference)
    return image.top.digest
  }
  const pull = async (reference: string): Promise<void> => {
    await daemon.empty()
    const flags = [...access(), '--all-platforms', '--snapshotter', 'native']
    await daemon.ctr('images', 'pull', ...flags, reference)
    for (const part of [...manifests, ...blobs]) expectBytes(part, daemon.content(part.digest))
  }
  const copy = async (source: string, target: string): Promise<void> => {
    await pull(source)
    await daemon.ctr('images', 'tag', source, target)
    await daemon.ctr('images', 'push', ...access(), target)
  }
  return { name, push, pull, copy, login, logout }
}

/** What stands for a login, where there is none. */
interface Identity {
  /** The flags by which `ctr` reaches a registry. */
  readonly access: () => readonly string[]
  readonly login: NonNullable<Pusher['login']>
  readonly logout: NonNullable<Pusher['logout']>
}

/** `--user`: containerd gets tokens with it. */
function withUser(): Identity {
  let user: readonly string[] = []
  return {
    access: () => ['--plain-http', ...user],
    login: async (_, { name, secret }) => {
      user = ['--user', `${name}:${secret}`]
    },
    logout: async () => {
      user = []
    },
  }
}

/** A header in `hosts.toml`, which goes with every request; before the first login there is no such file. */
function withHeader(workspace: Workspace): Identity {
  const folder = join(workspace.folder, 'login-hosts')
  const write = async (host: string, header: string): Promise<void> => {
    const file = join(await workspace.folderOf(join('login-hosts', host)), 'hosts.toml')
    await writeFile(
      file,
      `[host."http://${host}"]\n  capabilities = ["pull", "resolve", "push"]\n${header}`,
    )
  }
  return {
    access: () => (existsSync(folder) ? ['--hosts-dir', folder] : ['--plain-http']),
    login: (host, login) =>
      write(host, `  [host."http://${host}".header]\n    authorization = "${basicOf(login)}"\n`),
    logout: (host) => write(host, ''),
  }
}
