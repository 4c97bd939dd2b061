// skopeo: an index of two platforms from a layout, copied to the registry and back as it is.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Login } from '../account.ts'
import { buildImage } from '../image.ts'
import { expectLayout, writeLayout } from '../oci-layout.ts'
import type { Workspace } from '../process.ts'
import { type Pusher, TAG } from '../pusher.ts'

/** `skopeo copy` to `docker://` and back, and `skopeo delete`. */
export async function skopeoPusher(workspace: Workspace): Promise<Pusher> {
  const image = { ...buildImage('skopeo'), tag: TAG }
  const folder = await workspace.folderOf('push-skopeo')
  await writeLayout(folder, image)
  const push = async (reference: string): Promise<string> => {
    await skopeoCopy(workspace, `oci:${folder}:${TAG}`, `docker://${reference}`)
    return image.top.digest
  }
  const pull = async (reference: string): Promise<void> => {
    const back = await workspace.folderOf(`skopeo-back-${randomUUID()}`)
    await skopeoCopy(workspace, `docker://${reference}`, `oci:${back}:${TAG}`)
    await expectLayout(back, image)
  }
  const remove = (reference: string): Promise<void> => skopeoDelete(workspace, reference)
  const copy = (source: string, target: string): Promise<void> =>
    skopeoCopy(workspace, `docker://${source}`, `docker://${target}`)
  const login = async (host: string, { name, file }: Login): Promise<void> => {
    const flags = ['--tls-verify=false', '--username', name, '--password-stdin']
    await run(workspace, ['login', ...flags, host], file)
  }
  const logout = (host: string): Promise<void> => run(workspace, ['logout', host])
  return { name: 'skopeo', push, pull, copy, remove, login, logout }
}

/** Copies an image with all of its platforms. */
export async function skopeoCopy(
  workspace: Workspace,
  source: string,
  target: string,
): Promise<void> {
  const flags = ['--quiet', '--multi-arch=all', '--src-tls-verify=false', '--dest-tls-verify=false']
  await run(workspace, ['copy', ...flags, source, target])
}

/** Deletes the manifest that a tag names. */
export async function skopeoDelete(workspace: Workspace, reference: string): Promise<void> {
  await run(workspace, ['delete', '--tls-verify=false', `docker://${reference}`])
}

/** With logins of the run's own. */
async function run(workspace: Workspace, args: readonly string[], stdin?: string): Promise<void> {
  const env = { REGISTRY_AUTH_FILE: join(workspace.folder, 'skopeo-auth.json') }
  const command = { command: 'skopeo', args: ['--insecure-policy', ...args], env }
  await workspace.run({ ...command, ...(stdin !== undefined && { stdin }) })
}
