// regctl, the one client that pushes in chunks: an index of two platforms from a layout, single blobs, tags.

import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectEqual } from '../client.ts'
import { buildImage, digestOf, type Image } from '../image.ts'
import { expectLayout, writeLayout } from '../oci-layout.ts'
import { installGoProgram } from '../go-program.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Place, type Pusher, TAG } from '../pusher.ts'
import { readStoredImage, statusOf } from '../stored-image.ts'

const CHUNK = 1024 * 1024
/** Of more than one chunk whatever smallest size the registry asks for. */
const BLOB = 20 * CHUNK + 1

/** regctl with settings of its own: http, and every blob larger than a chunk in chunks. */
export class Regctl {
  readonly #workspace: Workspace
  readonly #command: string
  readonly #configFile: string

  private constructor(workspace: Workspace, command: string, configFile: string) {
    this.#workspace = workspace
    this.#command = command
    this.#configFile = configFile
  }

  static async install(workspace: Workspace): Promise<Regctl> {
    const command = await installGoProgram(workspace, GO_PROGRAMS.regctl)
    const folder = await workspace.folderOf('regctl')
    return new Regctl(workspace, command, join(folder, `${randomUUID()}.json`))
  }

  /** Runs it against the registry that the reference names, pushing in chunks of that size. */
  async run(
    reference: string,
    args: readonly string[],
    { chunk = CHUNK, stdin }: { chunk?: number; stdin?: string } = {},
  ): Promise<string> {
    const [host = ''] = reference.split('/')
    const settings = { tls: 'disabled', hostname: host, blobMax: chunk, blobChunk: chunk }
    const { hosts } = await this.#config()
    // What a login has put there stays.
    const all = { hosts: { ...hosts, [host]: { ...hosts[host], ...settings } } }
    await writeFile(this.#configFile, JSON.stringify(all))
    const env = { REGCTL_CONFIG: this.#configFile, DOCKER_CONFIG: this.#workspace.folder }
    const command = { command: this.#command, args, env, ...(stdin !== undefined && { stdin }) }
    const { stdout } = await this.#workspace.run(command, 300_000)
    return stdout.trim()
  }

  async #config(): Promise<{ readonly hosts: Readonly<Record<string, object>> }> {
    if (!existsSync(this.#configFile)) return { hosts: {} }
    return JSON.parse(await readFile(this.#configFile, 'utf8'))
  }
}

/** `regctl image copy` from a layout and back, and `regctl manifest delete`. */
export async function regctlPusher(workspace: Workspace): Promise<Pusher> {
  const regctl = await Regctl.install(workspace)
  const image: Image = { ...buildImage('regctl'), tag: TAG }
  const folder = await workspace.folderOf('push-regctl')
  await writeLayout(folder, image)
  const push = async (reference: string): Promise<string> => {
    await regctl.run(reference, ['image', 'copy', `ocidir://${folder}:${TAG}`, reference])
    return regctl.run(reference, ['manifest', 'head', reference])
  }
  const pull = async (reference: string): Promise<void> => {
    const back = await workspace.folderOf(`regctl-back-${randomUUID()}`)
    await regctl.run(reference, ['image', 'copy', reference, `ocidir://${back}:${TAG}`])
    await expectLayout(back, image)
  }
  return {
    name: 'regctl',
    push,
    pull,
    copy: async (source, target) => {
      await regctl.run(source, ['image', 'copy', source, target])
    },
    remove: async (reference) => {
      await regctl.run(reference, ['manifest', 'delete', '--force-tag-dereference', reference])
    },
    login: async (host, { name, file }) => {
      const args = ['registry', 'login', '--user', name, '--pass-stdin', host]
      await regctl.run(host, args, { stdin: file })
    },
    logout: async (host) => {
      await regctl.run(host, ['registry', 'logout', host])
    },
    more: [
      {
        name: 'blob put, in chunks, and blob delete',
        action: (place) => blobRow(regctl, workspace, place),
      },
      {
        name: 'a mount that names no source sends no bytes',
        action: (place) => anonymousMountRow(push, place),
      },
      { name: 'tag delete leaves the other tag', action: (place) => tagRow(regctl, push, place) },
    ],
  }
}

async function blobRow(regctl: Regctl, workspace: Workspace, place: Place): Promise<string> {
  const { target, repository, requests } = place
  const name = `${target.host}/${repository}`
  const bytes = randomBytes(BLOB)
  const digest = digestOf(bytes)
  const file = join(await workspace.folderOf('regctl'), 'blob')
  await writeFile(file, bytes)
  await regctl.run(name, ['blob', 'put', '--digest', digest, name], { stdin: file })
  const patches = requests().filter(({ method }) => method === 'PATCH')
  const ranges = patches.map(({ contentRange }) => contentRange)
  expectEqual(
    'several chunks, each with its range',
    patches.length > 1 && !ranges.includes(undefined),
    true,
  )
  await regctl.run(name, ['blob', 'delete', name, digest])
  expectEqual('status', await statusOf(`${target.url}/v2/${repository}/blobs/${digest}`), 404)
  return `${patches.length} chunks, the first ${ranges[0]}`
}

/** Everything but the manifests is there already, under a repository that regctl does not name. */
async function anonymousMountRow(push: Pusher['push'], place: Place): Promise<string> {
  const { target, repository, reference, requests } = place
  await push(`${target.host}/${repository}/earlier:${TAG}`)
  await push(reference)
  await readStoredImage(target.url, repository, TAG)
  const asked = requests().filter(({ query }) => query.has('mount') && !query.has('from'))
  const bytes = requests().reduce((sum, { sentBytes }) => sum + sentBytes, 0)
  expectEqual('bytes sent', bytes, 0)
  expectEqual('answers', [...new Set(asked.map(({ status }) => status))], [201])
  return `${asked.length} mounted`
}

async function tagRow(regctl: Regctl, push: Pusher['push'], place: Place): Promise<void> {
  const { target, repository, reference } = place
  const name = `${target.host}/${repository}`
  const digest = await push(reference)
  await push(`${name}:other`)
  await regctl.run(name, ['tag', 'delete', reference])
  expectEqual('tags', await regctl.run(name, ['tag', 'ls', name]), 'other')
  expectEqual('digest', await regctl.run(name, ['manifest', 'head', `${name}:other`]), digest)
}
