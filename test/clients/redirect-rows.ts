// Redirects to storage as clients live through them: downloads that are cut and go on, downloads in parts, who is not
// redirected, storage that fails, and what is never written down.

import { randomUUID } from 'node:crypto'
import { basicOf } from './account.ts'
import { expectNone, filesWith, findInLines } from './canary.ts'
import { type Client, DOCKER_HUB, expectEqual, OTHER_HOST } from './client.ts'
import { Containerd, containerd, type Release } from './containerd.ts'
import { expectRedirected, expectStreamed, tryStorage } from './deliveries.ts'
import { docker } from './docker.ts'
import { Gateway } from './gateway.ts'
import { installGoProgram } from './go-program.ts'
import { buildImage, HERE, type Image } from './image.ts'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'
import { GO_PROGRAMS } from './programs.ts'
import { pushImage } from './push.ts'
import { type Endpoint, Registry, type Vars } from './registry.ts'
import { skopeo } from './skopeo.ts'
import type { Suite } from './suite.ts'
import { Upstream } from './upstream.ts'

/** The group of these rows. */
export const REDIRECT_GROUP = 'redirect'

/** Of the layers in parts: each is larger. */
const PART = 1024 * 1024

/** What the rows play on. */
interface Play {
  readonly suite: Suite
  readonly workspace: Workspace
  readonly plain: Upstream
  readonly vars: Vars
}

/** All of them, with an upstream and entrepots of their own. */
export async function redirectRows(suite: Suite, workspace: Workspace): Promise<void> {
  if (!suite.includes(REDIRECT_GROUP)) return
  const plain = await Upstream.start(workspace, 'redirect-plain')
  const vars = {
    UPSTREAMS: { [DOCKER_HUB]: { url: plain.url }, [OTHER_HOST]: { url: plain.url } },
    DEFAULT_UPSTREAM: DOCKER_HUB,
  }
  const play = { suite, workspace, plain, vars }
  const registry = await startTried(play, 'redirect', vars)
  const old = await Containerd.start(workspace, { ...DEBIAN, name: 'containerd-redirect' })
  const release = await secondSeries(workspace)
  const both = [old, await Containerd.start(workspace, release)] as const
  await cutRows(play, registry, both)
  await partRow(play, registry, release)
  await ruleRows(play, old)
  await storageRows(play)
}

/** An entrepot whose storage has been tried. */
async function startTried(play: Play, name: string, vars: Vars): Promise<Registry> {
  const registry = await Registry.start(play.workspace, name, vars)
  const repository = 'team/tried'
  const upstream = play.plain.url
  await tryStorage(registry, { upstream, repository, name: `${OTHER_HOST}/${repository}` })
  return registry
}

const DEBIAN = { containerd: 'containerd', ctr: 'ctr' } as const

async function secondSeries(workspace: Workspace): Promise<Release> {
  return {
    name: 'containerd-2-redirect',
    containerd: await installGoProgram(workspace, GO_PROGRAMS.containerd),
    ctr: await installGoProgram(workspace, GO_PROGRAMS.ctr),
    configuration: transferBy(''),
  }
}

/** It unpacks what it pulls by itself, and has to be told how. */
function transferBy(settings: string): string {
  const plugin = 'plugins."io.containerd.transfer.v1.local"'
  return `[${plugin}]
${settings}
  [[${plugin}.unpack_config]]
    platform = "linux/${HERE}"
    snapshotter = "native"
`
}

async function seeded({ plain }: Play, repository: string): Promise<Image> {
  const image = buildImage(repository, { isIndex: false })
  await pushImage(plain.url, image)
  return image
}

/**
 * Storage's answer ends in the middle: the client asks the registry for the rest, and is sent there once more. Debian's
 * podman and skopeo give up instead, whoever has cut them off; newer ones do not.
 */
async function cutRows(
  play: Play,
  registry: Registry,
  [old, second]: readonly [Containerd, Containerd],
): Promise<void> {
  const { suite, workspace } = play
  const gateway = await Gateway.start(workspace, 'cut', registry.url)
  const inContainerd = (daemon: Containerd, image: Image): Client =>
    containerd(workspace, daemon, { host: OTHER_HOST, form: 'ns', image })
  const clients: Readonly<Record<string, Client>> = {
    containerd: inContainerd(old, await seeded(play, 'cut/containerd')),
    'containerd 2': inContainerd(second, await seeded(play, 'cut/containerd-2')),
    dockerd: docker(workspace, await seeded(play, 'library/cut')),
  }
  for (const [name, client] of Object.entries(clients)) {
    await suite.row(REDIRECT_GROUP, `${name}: a download that is cut goes on`, async () => {
      await client.pull(gateway)
      const before = gateway.reads.length
      gateway.cutOne()
      const counts = await expectRedirected(registry, client.image.repository, () =>
        client.pull(gateway),
      )
      const reads = gateway.reads.slice(before)
      const cut = reads.find(({ wasCut }) => wasCut)
      const rest = reads.filter(({ path, wasCut }) => path === cut?.path && !wasCut)
      const ranges = rest.map(({ range }) => range ?? 'no range')
      expectEqual(
        `the rest, by ${ranges.join(', ')}`,
        rest.map(({ status }) => status),
        [206],
      )
      return `${ranges.join(', ')}; ${counts}`
    })
  }
}

/** containerd 2 can read one layer by several requests at once. */
async function partRow(play: Play, registry: Registry, release: Release): Promise<void> {
  const { suite, workspace } = play
  const gateway = await Gateway.start(workspace, 'parts', registry.url)
  const image = await seeded(play, 'parts/containerd-2')
  await suite.row(REDIRECT_GROUP, 'containerd 2: a layer in parts, several at once', async () => {
    const daemon = await Containerd.start(workspace, {
      ...release,
      name: 'containerd-parts',
      configuration: transferBy(`  max_concurrent_downloads = 4
  concurrent_layer_fetch_buffer = ${PART}`),
    })
    const client = containerd(workspace, daemon, { host: OTHER_HOST, form: 'ns', image })
    await client.pull(registry)
    const counts = await expectRedirected(registry, image.repository, () => client.pull(gateway))
    const parts = gateway.reads.filter(({ range, status }) => range !== undefined && status === 206)
    const beginnings = new Set(parts.map(({ path, range }) => `${path} ${range}`))
    expectEqual(`${beginnings.size} parts of a layer of 6 MiB`, beginnings.size >= 6, true)
    return `${beginnings.size} parts; ${counts}`
  })
}

/** `REDIRECT`, for those who can reach one host only. */
async function ruleRows(play: Play, daemon: Containerd): Promise<void> {
  const { suite, workspace, vars } = play
  const image = await seeded(play, 'rules/image')
  const { repository } = image
  const bySkopeo = skopeo(workspace, OTHER_HOST, image)
  const byContainerd = containerd(workspace, daemon, { host: OTHER_HOST, form: 'ns', image })
  await suite.row(REDIRECT_GROUP, 'REDIRECT "never": nobody is redirected', async () => {
    const never = await Registry.start(workspace, 'redirect-never', { ...vars, REDIRECT: 'never' })
    await bySkopeo.pull(never)
    await expectStreamed(never, repository, () => byContainerd.pull(never))
    const counts = await expectStreamed(never, repository, () => bySkopeo.pull(never))
    await never.stop()
    return counts
  })
  const chosen = await startTried(play, 'redirect-rules', {
    ...vars,
    REDIRECT: [
      { userAgent: 'skopeo/*', redirect: 'never' },
      { host: 'localhost', redirect: 'never' },
    ],
  })
  await suite.row(
    REDIRECT_GROUP,
    'a rule for skopeo: it is not redirected, containerd is',
    async () => {
      await bySkopeo.pull(chosen)
      const streamed = await expectStreamed(chosen, repository, () => bySkopeo.pull(chosen))
      const others = await expectRedirected(chosen, repository, () => byContainerd.pull(chosen))
      return `skopeo, ${streamed}; containerd, ${others}`
    },
  )
  await suite.row(REDIRECT_GROUP, 'a rule for a host: who asks for it is not redirected', () =>
    expectStreamed(chosen, repository, () => byContainerd.pull(byOtherName(chosen))),
  )
}

/** The same registry, as `localhost`. */
function byOtherName({ name, host, url }: Endpoint): Endpoint {
  const rename = (text: string): string => text.replace('127.0.0.1', 'localhost')
  return { name, host: rename(host), url: rename(url) }
}

/** Storage of somebody else's, which refuses everybody at first, and keys that are known here. */
async function storageRows(play: Play): Promise<void> {
  const { suite, workspace, vars } = play
  const keys = { name: randomUUID(), secret: randomUUID() }
  let isGood = false
  const storage = await serve(workspace, (_, response) => {
    response.writeHead(isGood ? 206 : 403)
    response.end('a')
  })
  const registry = await Registry.start(workspace, 'redirect-storage', {
    ...vars,
    S3_ENDPOINT: storage.url,
    S3_ACCESS_KEY_ID: keys.name,
    S3_SECRET_ACCESS_KEY: keys.secret,
  })
  const image = await seeded(play, 'storage/image')
  const client = skopeo(workspace, OTHER_HOST, image)
  await suite.row(REDIRECT_GROUP, 'storage refuses: blobs are streamed', async () => {
    await client.pull(registry)
    const counts = await expectStreamed(registry, image.repository, () => client.pull(registry))
    const said = registry.lines.filter((line) => line.includes('"redirect-failed"'))
    expectEqual('lines that say so', said.length, 1)
    return `${counts}; ${said[0]}`
  })
  await suite.row(
    REDIRECT_GROUP,
    'no key and no signature in a log line or in what is stored',
    async () => {
      isGood = true
      await registry.stop()
      await registry.restart()
      const [blob] = image.platforms.flatMap(({ blobs }) => blobs)
      const url = `${registry.url}/v2/${OTHER_HOST}/${image.repository}/blobs/${blob?.digest}`
      const response = await fetch(url, {
        redirect: 'manual',
        headers: { Authorization: basicOf(keys) },
      })
      const location = new URL(response.headers.get('Location') ?? 'http://none')
      const signature = location.searchParams.get('X-Amz-Signature') ?? ''
      expectEqual('digits of a signature', signature.length, 64)
      await registry.stop()
      const needles = [keys.name, keys.secret, signature, 'X-Amz-', 'x-amz-']
      const { lines, folder } = registry
      expectNone('lines with one of them', findInLines(lines, needles))
      expectNone('files with one of them', await filesWith(workspace, folder, needles))
      return `${lines.length} lines`
    },
  )
}
