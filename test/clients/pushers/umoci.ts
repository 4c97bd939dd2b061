// umoci makes an image in a layout, skopeo carries it to the registry and back, and umoci unpacks what came back.

import { randomBytes, randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectEqual } from '../client.ts'
import { digestOf } from '../image.ts'
import { topOfLayout } from '../oci-layout.ts'
import type { Workspace } from '../process.ts'
import { type Pusher, TAG } from '../pusher.ts'
import { skopeoCopy, skopeoDelete } from './skopeo.ts'

const SIZE = 6 * 1024 * 1024

/** `umoci new`, `insert` and `config`, then `skopeo copy`. */
export async function umociPusher(workspace: Workspace): Promise<Pusher> {
  const folder = await workspace.folderOf('push-umoci')
  const layout = join(folder, 'layout')
  const file = join(folder, 'large')
  const bytes = randomBytes(SIZE)
  await writeFile(file, bytes)
  const umoci = async (...args: readonly string[]): Promise<void> => {
    await workspace.run({ command: 'umoci', args })
  }
  const image = `${layout}:${TAG}`
  await umoci('init', '--layout', layout)
  await umoci('new', '--image', image)
  await umoci('insert', '--image', image, file, '/large')
  await umoci('config', '--image', image, '--config.entrypoint', '/large')
  const push = async (reference: string): Promise<string> => {
    await skopeoCopy(workspace, `oci:${image}`, `docker://${reference}`)
    return topOfLayout(layout)
  }
  const pull = async (reference: string): Promise<void> => {
    const back = await workspace.folderOf(`umoci-back-${randomUUID()}`)
    await skopeoCopy(workspace, `docker://${reference}`, `oci:${join(back, 'layout')}:${TAG}`)
    await umoci('unpack', '--image', `${join(back, 'layout')}:${TAG}`, join(back, 'bundle'))
    const found = await readFile(join(back, 'bundle', 'rootfs', 'large'))
    expectEqual('digest of the file', digestOf(found), digestOf(bytes))
  }
  const remove = (reference: string): Promise<void> => skopeoDelete(workspace, reference)
  return { name: 'umoci', push, pull, remove }
}
