// Docker's daemon builds an image of three layers, pushes it in streams without a length, and mounts by itself.

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Login } from '../account.ts'
import { expectEqual } from '../client.ts'
import { DockerDaemon } from '../docker-daemon.ts'
import { HERE } from '../image.ts'
import type { Workspace } from '../process.ts'
import { printingProgram } from '../program.ts'
import type { Pusher } from '../pusher.ts'

const LARGE = 6 * 1024 * 1024
const BUILT = 'built:here'

const DOCKERFILE = `FROM scratch
COPY hello /hello
COPY large /large
COPY Dockerfile /note
ENTRYPOINT ["/hello"]
`

/** `docker build`, `push` and `pull`; a second repository gets the image by `docker tag` and another push. */
export async function dockerPusher(workspace: Workspace): Promise<Pusher> {
  const line = `entrepot docker ${randomBytes(6).toString('hex')}`
  const folder = await workspace.folderOf('push-docker')
  await writeFile(join(folder, 'hello'), printingProgram(HERE, line), { mode: 0o755 })
  await writeFile(join(folder, 'large'), randomBytes(LARGE))
  await writeFile(join(folder, 'Dockerfile'), DOCKERFILE)
  const daemon = await DockerDaemon.start(workspace, 'dockerd-push')
  const archive = join(workspace.folder, 'built.tar')
  await daemon.docker('build', '--quiet', '--tag', BUILT, folder)
  await daemon.docker('save', '--output', archive, BUILT)
  const { id } = await daemon.inspect(BUILT)
  let last = BUILT
  const push = async (reference: string): Promise<string> => {
    await daemon.docker('load', '--quiet', '--input', archive)
    return tagAndPush(daemon, BUILT, reference)
  }
  const pull = async (reference: string): Promise<void> => {
    await daemon.empty()
    await daemon.docker('pull', '--quiet', reference)
    expectEqual('ID of the image', (await daemon.inspect(reference)).id, id)
    last = reference
  }
  const run = async (): Promise<void> => {
    expectEqual('its output', (await daemon.run(last)).trim(), line)
  }
  const copy = async (source: string, target: string): Promise<void> => {
    await tagAndPush(daemon, source, target)
  }
  const login = (host: string, as: Login): Promise<void> => daemon.login(host, as)
  const logout = async (host: string): Promise<void> => {
    await daemon.docker('logout', host)
  }
  return { name: 'docker', push, pull, run, copy, login, logout }
}

/** Pushes an image of the daemon under another name and returns the digest that the daemon notes for it. */
export async function tagAndPush(
  daemon: DockerDaemon,
  image: string,
  reference: string,
): Promise<string> {
  await daemon.docker('tag', image, reference)
  await daemon.docker('push', reference)
  const repository = reference.slice(0, reference.lastIndexOf(':'))
  const { repoDigests } = await daemon.inspect(reference)
  const found = repoDigests.find((one) => one.startsWith(`${repository}@`)) ?? ''
  return found.slice(repository.length + 1)
}
