// Everything that is pulled through a mirror: every client by itself, listings, several clients at once, faults, and
// what was logged of it all.

import type { HostsForm } from '../../src/http/pages/snippets.ts'
import { ask } from './answers.ts'
import { type Client, DOCKER_HUB, expectEqual, OTHER_HOST } from './client.ts'
import { Containerd, containerd } from './containerd.ts'
import { retryStorage } from './deliveries.ts'
import { docker } from './docker.ts'
import { faultRows, outageRows } from './fault-rows.ts'
import { buildArtifact, buildImage, type Format, type Image } from './image.ts'
import { newerDocker } from './newer-docker.ts'
import { podman } from './podman.ts'
import type { Workspace } from './process.ts'
import { type Case, pullRows, restartRows, stoppedRows } from './pull-rows.ts'
import { pushBlob, pushImage, pushManifest } from './push.ts'
import { copyByDigest, skopeo } from './skopeo.ts'
import { setStage, type Stage, TOKEN_HOST, TRIED_NAME } from './stage.ts'
import type { Suite } from './suite.ts'

/** All of it, with upstreams and entrepots of its own. */
export async function mirrorRows(suite: Suite, workspace: Workspace): Promise<void> {
  const stage = await setStage(workspace)
  const all = await cases(stage)
  const pulledAt = new Map<string, number>()
  for (const one of all) {
    for (const [name, time] of await pullRows(suite, stage, one)) pulledAt.set(name, time)
  }
  await listingRows(suite, stage)
  await otherRows(suite, stage)
  const secrets = await faultRows(suite, stage)
  await stage.plain.stop()
  await stage.guarded.stop()
  for (const { client } of all) await stoppedRows(suite, stage, client, pulledAt)
  const [known] = all
  if (known !== undefined) {
    await outageRows(suite, stage, { host: DOCKER_HUB, image: known.client.image })
  }
  await stage.steady.stop()
  await stage.steady.restart()
  await retryStorage(stage.steady, TRIED_NAME)
  for (const { client } of all) await restartRows(suite, stage, client)
  await logRows(suite, workspace, [...secrets, ...stage.tokens.given])
}

/** Every client with an image of its own, pushed. */
async function cases(stage: Stage): Promise<readonly Case[]> {
  const { workspace, plain, guarded } = stage
  const seeded = async (
    repository: string,
    options: { format?: Format; isIndex?: boolean } = {},
  ): Promise<Image> => {
    const image = buildImage(repository, options)
    await pushImage(plain.url, image)
    return image
  }
  const daemon = await Containerd.start(workspace)
  const inContainerd = async (host: string, form: HostsForm): Promise<Client> =>
    containerd(workspace, daemon, {
      host,
      form,
      image: await seeded(`containerd/${form.replace(' ', '-')}`),
    })
  const open = [
    skopeo(workspace, DOCKER_HUB, await seeded('library/skopeo', { isIndex: false })),
    skopeo(workspace, OTHER_HOST, await seeded('skopeo/index'), { parts: 'all' }),
    podman(workspace, DOCKER_HUB, await seeded('library/podman')),
    docker(workspace, await seeded('library/dockerd', { format: 'docker' })),
    newerDocker(await seeded('library/newer-dockerd', { format: 'docker' })),
    await inContainerd(OTHER_HOST, 'ns'),
    await inContainerd(OTHER_HOST, 'prefix'),
    await inContainerd(DOCKER_HUB, 'path base'),
  ]
  const guardedImage = await seeded('team/guarded', { isIndex: false })
  return [
    ...open.map((client) => ({ client, upstream: plain, coldTokens: 0 })),
    {
      client: skopeo(workspace, TOKEN_HOST, guardedImage),
      upstream: guarded,
      coldTokens: 1,
    },
  ]
}

async function listingRows(suite: Suite, { workspace, plain, steady }: Stage): Promise<void> {
  const image = buildImage('team/listed', { isIndex: false })
  const artifact = buildArtifact(image.top)
  await pushImage(plain.url, image)
  for (const blob of artifact.blobs) await pushBlob(plain.url, image.repository, blob)
  const manifests = `${image.repository}/manifests`
  await pushManifest(plain.url, `${manifests}/${artifact.manifest.digest}`, artifact.manifest)
  const referrersTag = image.top.digest.replace(':', '-')
  await pushManifest(plain.url, `${manifests}/${referrersTag}`, artifact.referrers)
  const name = `${steady.host}/${OTHER_HOST}/${image.repository}`
  await suite.row('listings', 'skopeo list-tags', async () => {
    const args = ['list-tags', '--tls-verify=false', `docker://${name}`]
    const { stdout } = await workspace.run({ command: 'skopeo', args })
    // docker-registry lists them in no order.
    expectEqual('tags', JSON.parse(stdout).Tags.toSorted(), [image.tag, referrersTag])
  })
  await suite.row('listings', 'referrers, of an upstream that knows only the tag', async () => {
    const response = await ask(`http://${name.replace('/', '/v2/')}/referrers/${image.top.digest}`)
    const body = await response.text()
    expectEqual(`status of ${body}`, response.status, 200)
    expectEqual('digests', body.match(/sha256:[0-9a-f]{64}/g), [artifact.manifest.digest])
  })
}

/** What one skopeo cannot show: a digest without a tag, several clients at once, and what was logged of it all. */
async function otherRows(suite: Suite, { workspace, plain, steady }: Stage): Promise<void> {
  const named = buildImage('other/digest', { isIndex: false })
  await pushImage(plain.url, named)
  await suite.row('others', 'a digest that nobody resolved a tag to', async () => {
    const copy = (): Promise<void> => copyByDigest(workspace, `${steady.host}/${OTHER_HOST}`, named)
    const cold = await plain.count(named.repository, copy)
    expectEqual('cold', cold, { manifestGETs: 1, manifestHEADs: 0, blobGETs: 4, other: 0 })
    const warm = await plain.count(named.repository, copy)
    expectEqual('warm', warm, { manifestGETs: 0, manifestHEADs: 0, blobGETs: 0, other: 0 })
  })
  const wanted = buildImage('other/crowd')
  await pushImage(plain.url, wanted)
  await suite.row('others', 'six clients at once cost the upstream what one costs', async () => {
    const client = skopeo(workspace, OTHER_HOST, wanted, { parts: 'all' })
    const counts = await plain.count(wanted.repository, () =>
      Promise.all(Array.from({ length: 6 }, () => client.pull(steady))),
    )
    expectEqual('counts', counts, { manifestGETs: 3, manifestHEADs: 0, blobGETs: 7, other: 0 })
  })
}

async function logRows(
  suite: Suite,
  workspace: Workspace,
  secrets: readonly string[],
): Promise<void> {
  await suite.row(
    'logs',
    'one JSON line per request, and no token, credential or presigned URL in any',
    async () => {
      const lines = workspace.linesOf('entrepot-')
      for (const secret of [...secrets, 'X-Amz-']) {
        const found = lines.find((line) => line.includes(secret))
        if (found !== undefined) throw new Error(`a secret is in the log: ${found}`)
      }
      const requests = lines.filter(
        (line) => line.startsWith('{') && 'endpoint' in JSON.parse(line),
      )
      expectEqual('at least one request', requests.length > 0, true)
      return `${requests.length} requests, ${secrets.length} secrets`
    },
  )
}
