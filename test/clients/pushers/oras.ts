// oras: an artifact of one file, and artifacts that refer to it.

import { randomBytes, randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectEqual } from '../client.ts'
import { digestOf } from '../image.ts'
import { installGoProgram } from '../go-program.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Place, type Pusher, TAG } from '../pusher.ts'
import { statusOf } from '../stored-image.ts'

const SIZE = 6 * 1024 * 1024
const ARTIFACT_TYPE = 'application/vnd.example.data'
const NOTE_TYPE = 'application/vnd.example.note'

type Oras = (...args: readonly string[]) => Promise<string>

/** `oras push`, `pull`, `cp` and `manifest delete`. */
export async function orasPusher(workspace: Workspace): Promise<Pusher> {
  const command = await installGoProgram(workspace, GO_PROGRAMS.oras)
  const folder = await workspace.folderOf('oras')
  const bytes = randomBytes(SIZE)
  await writeFile(join(folder, 'data'), bytes)
  await writeFile(join(folder, 'note'), `a note ${randomUUID()}\n`)
  const env = { DOCKER_CONFIG: folder, HOME: folder }
  const oras: Oras = async (...args) => {
    const { stdout } = await workspace.run({ command, args, env, cwd: folder })
    return stdout.trim()
  }
  const push = async (reference: string): Promise<string> => {
    const flags = ['--plain-http', '--format=json', `--artifact-type=${ARTIFACT_TYPE}`]
    return JSON.parse(await oras('push', ...flags, reference, 'data:application/octet-stream'))
      .digest
  }
  return {
    name: 'oras',
    push,
    pull: async (reference) => {
      const back = await workspace.folderOf(`oras-back-${randomUUID()}`)
      await oras('pull', '--plain-http', `--output=${back}`, reference)
      const found = await readFile(join(back, 'data'))
      expectEqual('digest of the file', digestOf(found), digestOf(bytes))
    },
    copy: async (source, target) => {
      await oras('cp', '--from-plain-http', '--to-plain-http', source, target)
    },
    remove: async (reference) => {
      await oras('manifest', 'delete', '--plain-http', '--force', reference)
    },
    login: async (host, { name, file }) => {
      const args = ['login', '--plain-http', '--username', name, '--password-stdin', host]
      await workspace.run({ command, args, env, cwd: folder, stdin: file })
    },
    logout: async (host) => {
      await oras('logout', host)
    },
    more: [
      {
        name: 'attach, discover, delete of a referrer',
        action: (place) => attach(oras, push, place),
      },
      { name: 'blob push, fetch and delete', action: (place) => blobCommands(oras, bytes, place) },
    ],
  }
}

async function attach(oras: Oras, push: Pusher['push'], place: Place): Promise<void> {
  const { target, repository, reference } = place
  const name = `${target.host}/${repository}`
  const subject = await push(reference)
  const attachAs = async (type: string): Promise<string> => {
    const flags = ['--plain-http', '--format=json', `--artifact-type=${type}`]
    return JSON.parse(await oras('attach', ...flags, reference, 'note:text/plain')).digest
  }
  const discover = async (...flags: readonly string[]): Promise<readonly string[]> => {
    const found = await oras('discover', '--plain-http', '--format=json', ...flags, reference)
    const { manifests } = JSON.parse(found) as { manifests: readonly { digest: string }[] }
    return manifests.map(({ digest }) => digest).toSorted()
  }
  const note = await attachAs(NOTE_TYPE)
  const other = await attachAs('application/vnd.example.other')
  expectEqual('referrers', await discover(), [note, other].toSorted())
  expectEqual('referrers of one type', await discover(`--artifact-type=${NOTE_TYPE}`), [note])
  await oras('manifest', 'delete', '--plain-http', '--force', `${name}@${note}`)
  expectEqual('referrers after the delete', await discover(), [other])
  expectEqual('the subject', await oras('resolve', '--plain-http', reference), subject)
  // The referrers tag, which a client keeps where a registry has no referrers of its own.
  expectEqual('tags', await oras('repo', 'tags', '--plain-http', name), TAG)
}

async function blobCommands(oras: Oras, bytes: Uint8Array, place: Place): Promise<void> {
  const { target, repository } = place
  const name = `${target.host}/${repository}`
  const digest = digestOf(bytes)
  await oras('blob', 'push', '--plain-http', '--no-tty', name, 'data')
  await oras('blob', 'fetch', '--plain-http', '--no-tty', '--output=fetched', `${name}@${digest}`)
  await oras('blob', 'delete', '--plain-http', '--force', `${name}@${digest}`)
  expectEqual('status', await statusOf(`${target.url}/v2/${repository}/blobs/${digest}`), 404)
}
