// A layer of 1 GiB, by the two clients that push it most differently: docker in one stream without a length, regctl in
// chunks.

import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, mkdir, open, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ask } from './answers.ts'
import { expectEqual } from './client.ts'
import { HOSTED_TRIED, expectRedirected, retryStorage } from './deliveries.ts'
import { DockerDaemon } from './docker-daemon.ts'
import { digestOf } from './image.ts'
import { layoutFile, writeIndex } from './oci-layout.ts'
import type { Workspace } from './process.ts'
import { TAG } from './pusher.ts'
import { tagAndPush } from './pushers/docker.ts'
import { Regctl } from './pushers/regctl.ts'
import type { Registry } from './registry.ts'
import type { Suite } from './suite.ts'

const GIBIBYTE = 1024 * 1024 * 1024
const REGCTL_CHUNK = 32 * 1024 * 1024

/** The group of these rows. */
export const LARGE_GROUP = 'push 1 GiB'

/** Rows about a registry that everybody may push to. */
export async function largeRows(
  suite: Suite,
  workspace: Workspace,
  target: Registry,
): Promise<void> {
  if (!suite.includes(LARGE_GROUP)) return
  const archive = await makeArchive(workspace)
  await suite.row(LARGE_GROUP, 'regctl, in chunks of 32 MiB', () =>
    regctlRow(workspace, target, archive),
  )
  await suite.row(LARGE_GROUP, 'docker, in one stream without a length', () =>
    dockerRow(workspace, target, archive),
  )
}

/** How long the steps of a row took, for its report. */
class Laps {
  readonly #laps: string[] = []
  #start = performance.now()

  end(what: string): void {
    const now = performance.now()
    this.#laps.push(`${what} ${((now - this.#start) / 1000).toFixed(1)} s`)
    this.#start = now
  }

  toString(): string {
    return this.#laps.join(', ')
  }
}

/** A tar archive of one file of random bytes: a layer that no compression makes smaller. */
async function makeArchive(workspace: Workspace): Promise<string> {
  const folder = await workspace.folderOf('large')
  const file = await open(join(folder, 'random'), 'w')
  const piece = Buffer.alloc(16 * 1024 * 1024)
  for (let written = 0; written < GIBIBYTE; written += piece.length) {
    await file.write(randomFillSync(piece))
  }
  await file.close()
  const archive = join(folder, 'layer.tar')
  await workspace.run({ command: 'tar', args: ['-C', folder, '-cf', archive, 'random'] })
  await rm(join(folder, 'random'))
  return archive
}

async function regctlRow(workspace: Workspace, target: Registry, archive: string): Promise<string> {
  const laps = new Laps()
  const regctl = await Regctl.install(workspace)
  const layout = await workspace.folderOf('large-regctl')
  const layer = await writeLargeLayout(layout, archive)
  const repository = 'hosted/large/regctl'
  const reference = `${target.host}/${repository}:${TAG}`
  const options = { chunk: REGCTL_CHUNK }
  laps.end('prepared')
  await regctl.run(reference, ['image', 'copy', `ocidir://${layout}:${TAG}`, reference], options)
  laps.end('pushed')
  const back = await workspace.folderOf('large-regctl-back')
  await retryStorage(target, HOSTED_TRIED)
  const blobs = await expectRedirected(target, repository, () =>
    regctl.run(reference, ['image', 'copy', reference, `ocidir://${back}:${TAG}`], options),
  )
  expectEqual('digest of the layer', await digestOfFile(layoutFile(back, layer)), layer)
  laps.end('pulled back')
  await rm(layout, { recursive: true })
  await rm(back, { recursive: true })
  return `${laps.toString()}; ${blobs}`
}

async function dockerRow(workspace: Workspace, target: Registry, archive: string): Promise<string> {
  const laps = new Laps()
  const daemon = await DockerDaemon.start(workspace, 'dockerd-large')
  await daemon.docker('import', archive, 'large:here')
  const { id } = await daemon.inspect('large:here')
  const repository = 'hosted/large/docker'
  const reference = `${target.host}/${repository}:${TAG}`
  laps.end('prepared')
  const digest = await tagAndPush(daemon, 'large:here', reference)
  laps.end('pushed')
  const manifest = await ask(`${target.url}/v2/${repository}/manifests/${TAG}`)
  expectEqual('digest of the tag', manifest.headers.get('Docker-Content-Digest'), digest)
  const [layer] = JSON.parse(await manifest.text()).layers
  expectEqual('whether the layer has more than 1 GiB', layer.size > GIBIBYTE, true)
  await daemon.empty()
  await retryStorage(target, HOSTED_TRIED)
  const blobs = await expectRedirected(target, repository, () =>
    daemon.docker('pull', '--quiet', reference),
  )
  expectEqual('ID of the image', (await daemon.inspect(reference)).id, id)
  laps.end('pulled back')
  return `${laps.toString()}; ${blobs}`
}

/** A layout of one image whose only layer is the archive; returns the layer's digest. */
async function writeLargeLayout(layout: string, archive: string): Promise<string> {
  const types = 'application/vnd.oci.image'
  const layer = await digestOfFile(archive)
  const { size } = await stat(archive)
  await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true })
  await link(archive, layoutFile(layout, layer))
  const put = async (value: object): Promise<{ digest: string; size: number }> => {
    const bytes = Buffer.from(JSON.stringify(value))
    await writeFile(layoutFile(layout, digestOf(bytes)), bytes)
    return { digest: digestOf(bytes), size: bytes.length }
  }
  const config = await put({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer] },
  })
  const mediaType = `${types}.manifest.v1+json`
  const manifest = await put({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: `${types}.config.v1+json`, ...config },
    layers: [{ mediaType: `${types}.layer.v1.tar`, digest: layer, size }],
  })
  await writeIndex(layout, { mediaType, ...manifest, tag: TAG })
  return layer
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}
