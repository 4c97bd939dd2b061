// crane: an index of two platforms from a layout, and the commands that look at a registry.

import { randomUUID } from 'node:crypto'
import { expectEqual } from '../client.ts'
import { buildImage, type Image } from '../image.ts'
import { expectLayout, writeLayout } from '../oci-layout.ts'
import { installGoProgram } from '../go-program.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Place, type Pusher, TAG } from '../pusher.ts'

type Crane = (...args: readonly string[]) => Promise<readonly string[]>

/** `crane push`, `pull`, `copy` and `delete`. */
export async function cranePusher(workspace: Workspace): Promise<Pusher> {
  const command = await installGoProgram(workspace, GO_PROGRAMS.crane)
  const home = await workspace.folderOf('crane')
  const crane: Crane = async (...args) => {
    const { stdout } = await workspace.run({ command, args, env: { DOCKER_CONFIG: home } })
    return stdout.trim().split('\n')
  }
  const image: Image = { ...buildImage('crane'), tag: TAG }
  const folder = await workspace.folderOf('push-crane')
  await writeLayout(folder, image)
  return {
    name: 'crane',
    push: async (reference) => {
      await crane('push', folder, reference)
      const [digest = ''] = await crane('digest', reference)
      return digest
    },
    pull: async (reference) => {
      const back = await workspace.folderOf(`crane-back-${randomUUID()}`)
      await crane('pull', '--format=oci', reference, back)
      await expectLayout(back, image)
    },
    copy: async (source, target) => {
      await crane('copy', source, target)
    },
    remove: async (reference) => {
      await crane('delete', reference)
    },
    login: async (host, { name, file }) => {
      const args = ['auth', 'login', host, '--username', name, '--password-stdin']
      await workspace.run({ command, args, env: { DOCKER_CONFIG: home }, stdin: file })
    },
    logout: async (host) => {
      await crane('auth', 'logout', host)
    },
    more: [
      { name: 'tag and ls', action: (place) => tagAndList(crane, folder, place) },
      {
        name: 'delete of one tag leaves the other',
        action: (place) => deleteOne(crane, folder, place),
      },
      {
        name: 'delete of the digest takes every tag',
        action: (place) => deleteAll(crane, folder, place),
      },
      { name: 'catalog', action: (place) => listCatalog(crane, folder, place) },
    ],
  }
}

async function tagAndList(crane: Crane, folder: string, place: Place): Promise<void> {
  await crane('push', folder, place.reference)
  for (const tag of ['b', 'a', 'B']) await crane('tag', place.reference, tag)
  const tags = await crane('ls', nameOf(place))
  expectEqual('tags', tags, [TAG, 'B', 'a', 'b'])
}

async function deleteOne(crane: Crane, folder: string, place: Place): Promise<void> {
  await crane('push', folder, place.reference)
  const digest = await crane('digest', place.reference)
  await crane('tag', place.reference, 'other')
  await crane('delete', place.reference)
  expectEqual('tags', await crane('ls', nameOf(place)), ['other'])
  expectEqual('digest', await crane('digest', `${nameOf(place)}:other`), digest)
}

async function deleteAll(crane: Crane, folder: string, place: Place): Promise<void> {
  await crane('push', folder, place.reference)
  const [digest = ''] = await crane('digest', place.reference)
  await crane('tag', place.reference, 'other')
  await crane('push', folder, `${nameOf(place)}/kept:${TAG}`)
  await crane('delete', `${nameOf(place)}@${digest}`)
  for (const tag of [TAG, 'other', `@${digest}`]) {
    const reference = tag.startsWith('@') ? `${nameOf(place)}${tag}` : `${nameOf(place)}:${tag}`
    const isThere = await crane('manifest', reference).then(
      () => true,
      () => false,
    )
    expectEqual(`whether ${reference} is there`, isThere, false)
  }
  await crane('validate', `--remote=${nameOf(place)}/kept:${TAG}`)
}

async function listCatalog(crane: Crane, folder: string, place: Place): Promise<string> {
  await crane('push', folder, place.reference)
  const repositories = await crane('catalog', place.target.host)
  expectEqual('its own repository', repositories.includes(place.repository), true)
  expectEqual('order', repositories, repositories.toSorted())
  return `${repositories.length} repositories`
}

function nameOf({ target, repository }: Place): string {
  return `${target.host}/${repository}`
}
