// The Docker daemon of Debian with `registry-mirrors`: it knows the root form only, for Docker Hub only.

import { daemonFile, daemonMirror } from '../../src/http/pages/snippets.ts'
import { type Client, DOCKER_HUB, expectEqual } from './client.ts'
import { DockerDaemon } from './docker-daemon.ts'
import type { Image } from './image.ts'
import type { Workspace } from './process.ts'
import { type Endpoint, placeOf } from './registry.ts'

/** `docker pull <name>:<tag>`, where the name of Docker Hub's own images is written without `library/`. */
export function docker(workspace: Workspace, image: Image): Client {
  const daemons = new Map<string, DockerDaemon>()
  const shortName = image.repository.replace(/^library\//, '')
  const reference = `${shortName}:${image.tag}`
  let last: DockerDaemon | undefined
  const pull = async (registry: Endpoint): Promise<void> => {
    const daemon = daemons.get(registry.name) ?? (await startWithMirror(workspace, registry))
    daemons.set(registry.name, daemon)
    last = daemon
    await daemon.empty()
    await daemon.docker('pull', '--quiet', reference)
    const { repoDigests } = await daemon.inspect(reference)
    expectEqual('RepoDigests', repoDigests, [`${shortName}@${image.top.digest}`])
  }
  const run = async (): Promise<string> => {
    if (last === undefined) throw new Error('nothing was pulled')
    return last.run(reference)
  }
  return { name: `dockerd ${DOCKER_HUB} registry-mirrors`, image, parts: 'platform', pull, run }
}

function startWithMirror(workspace: Workspace, registry: Endpoint): Promise<DockerDaemon> {
  const configuration = daemonFile(daemonMirror(placeOf(registry)), registry.host)
  return DockerDaemon.start(workspace, `dockerd-${registry.name}`, { configuration })
}
