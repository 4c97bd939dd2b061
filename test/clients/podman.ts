// podman with a mirror in registries.conf, whose location is the path prefix; it also runs what it pulled.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { locationOf, registriesBlock } from '../../src/http/pages/snippets.ts'
import { type Client, expectEqual } from './client.ts'
import { type Image, partsOf } from './image.ts'
import { PodmanStore } from './podman-store.ts'
import type { Workspace } from './process.ts'
import { type Endpoint, placeOf } from './registry.ts'

/** `podman pull <host>/<repository>:<tag>`. */
export function podman(
  workspace: Workspace,
  host: string,
  image: Image,
  flags: readonly string[] = [],
): Client {
  const reference = `${host}/${image.repository}:${image.tag}`
  const store = new PodmanStore(workspace, 'podman')
  const pull = async (registry: Endpoint): Promise<void> => {
    await store.empty()
    const registries = join(await store.folder(), 'registries.conf')
    await writeFile(registries, mirrorOf(host, registry))
    await store.podman(['pull', '--quiet', ...flags, reference], { registries })
    const found = await store.podman([
      'image',
      'inspect',
      '--format',
      '{{json .RepoDigests}}',
      reference,
    ])
    const expected = partsOf(image, 'platform').manifests.map(
      ({ digest }) => `${host}/${image.repository}@${digest}`,
    )
    expectEqual('RepoDigests', new Set(JSON.parse(found)).size, expected.length)
    for (const digest of expected) expectEqual(digest, found.includes(digest), true)
  }
  const run = (): Promise<string> => store.run(reference)
  return { name: `podman ${host}`, image, parts: 'platform', pull, run }
}

/** The location is the mirror too: nothing is ever asked of a host outside this machine. */
function mirrorOf(host: string, registry: Endpoint): string {
  const mirror = locationOf(placeOf(registry), host)
  const insecure = { isInsecure: true, isLocationInsecure: true }
  return registriesBlock({ prefix: host, location: mirror, mirror, ...insecure })
}
