// The table of pushes: every client pushes to a hosted repository, pulls back into an empty store, brings its image to
// a second repository by mounting, and deletes it.

import { ask } from './answers.ts'
import { expectEqual } from './client.ts'
import { expectRedirected } from './deliveries.ts'
import type { Workspace } from './process.ts'
import { type Place, type Pusher, TAG } from './pusher.ts'
import { buildahPusher } from './pushers/buildah.ts'
import { containerd2Pusher, containerdPusher } from './pushers/containerd.ts'
import { cranePusher } from './pushers/crane.ts'
import { dockerPusher } from './pushers/docker.ts'
import { helmPusher } from './pushers/helm.ts'
import { orasPusher } from './pushers/oras.ts'
import { podmanPusher } from './pushers/podman.ts'
import { regctlPusher } from './pushers/regctl.ts'
import { skopeoPusher } from './pushers/skopeo.ts'
import { umociPusher } from './pushers/umoci.ts'
import { type RecordedRequest, Recorder } from './recorder.ts'
import type { Registry } from './registry.ts'
import { readStoredImage, statusOf } from './stored-image.ts'
import type { Suite } from './suite.ts'

/** Every client by its name, made ready only if its rows are asked for. */
const PUSHERS = {
  skopeo: skopeoPusher,
  umoci: umociPusher,
  docker: dockerPusher,
  podman: podmanPusher,
  buildah: buildahPusher,
  containerd: containerdPusher,
  'containerd 2': containerd2Pusher,
  crane: cranePusher,
  regctl: regctlPusher,
  oras: orasPusher,
  helm: helmPusher,
} as const satisfies Record<string, (workspace: Workspace) => Promise<Pusher>>

const NAMES = Object.keys(PUSHERS) as (keyof typeof PUSHERS)[]

/** The clients of the push rows, each made ready when it is asked for first. */
export class Pushers {
  readonly #workspace: Workspace
  readonly #ready = new Map<string, Promise<Pusher>>()

  constructor(workspace: Workspace) {
    this.#workspace = workspace
  }

  get(name: keyof typeof PUSHERS): Promise<Pusher> {
    const ready = this.#ready.get(name) ?? PUSHERS[name](this.#workspace)
    this.#ready.set(name, ready)
    return ready
  }
}

/** Whether any row of this table is asked for. */
export function asksForPushes(suite: Suite): boolean {
  return NAMES.some((name) => suite.includes(groupOf(name)))
}

/** All rows of all clients that are asked for. */
export async function pushRows(
  suite: Suite,
  workspace: Workspace,
  { target, pushers }: { readonly target: Registry; readonly pushers: Pushers },
): Promise<void> {
  const recorder = await Recorder.start(workspace, target.url)
  for (const name of NAMES) {
    if (!suite.includes(groupOf(name))) continue
    const pusher = await pushers.get(name)
    await directRows(suite, target, pusher)
    await closerRows(suite, recorder, pusher)
    await deleteRows(suite, recorder, pusher)
  }
}

function groupOf(name: string): string {
  return `push ${name}`
}

/** Nothing stands between client and registry. */
async function directRows(suite: Suite, target: Registry, pusher: Pusher): Promise<void> {
  const group = groupOf(pusher.name)
  const { repository, reference } = placeOf(target, pusher.name, 'direct')
  await suite.row(group, 'push', async () => {
    const pushed = await pusher.push(reference)
    const { digest, parts, bytes } = await readStoredImage(target.url, repository, TAG)
    expectEqual('digest of the tag', digest, pushed)
    return `${parts} manifests and blobs, ${megabytes(bytes)}`
  })
  await suite.row(group, 'pull back', () =>
    expectRedirected(target, repository, () => pusher.pull(reference)),
  )
  const { run } = pusher
  if (run !== undefined) await suite.row(group, 'a container runs from what was pulled', run)
}

/** Through the recorder. */
async function closerRows(suite: Suite, recorder: Recorder, pusher: Pusher): Promise<void> {
  const group = groupOf(pusher.name)
  const { copy, more = [] } = pusher
  if (copy !== undefined) {
    await suite.row(group, 'a second repository gets the layers by mounting', async () => {
      const source = recordedPlace(recorder, pusher.name, 'source')
      const second = recordedPlace(recorder, pusher.name, 'second')
      const digest = await pusher.push(source.reference)
      await copy(source.reference, second.reference)
      const stored = await readStoredImage(recorder.url, second.repository, TAG)
      expectEqual('digest of the tag', stored.digest, digest)
      return expectMounted(second.requests(), stored.layers)
    })
  }
  for (const [index, { name, action }] of more.entries()) {
    await suite.row(group, name, () =>
      action(recordedPlace(recorder, pusher.name, `more-${index}`)),
    )
  }
}

/** What is deleted is gone for the client that deleted it, and nothing else is. */
async function deleteRows(suite: Suite, recorder: Recorder, pusher: Pusher): Promise<void> {
  const { copy, remove } = pusher
  const name = remove === undefined ? 'deleted by request: gone' : 'delete: gone'
  await suite.row(groupOf(pusher.name), `${name}, and what else was pushed is not`, async () => {
    const doomed = recordedPlace(recorder, pusher.name, copy === undefined ? 'direct' : 'source')
    if (remove !== undefined) await remove(doomed.reference)
    else await deleteManifest(recorder.url, doomed.repository)
    const status = await statusOf(`${recorder.url}/v2/${doomed.repository}/manifests/${TAG}`)
    expectEqual('status of the tag', status, 404)
    await expectNotFound(pusher.pull(doomed.reference))
    if (copy === undefined) return
    for (const role of ['second', 'direct']) {
      const { repository, reference } = recordedPlace(recorder, pusher.name, role)
      await readStoredImage(recorder.url, repository, TAG)
      await pusher.pull(reference)
    }
  })
}

function placeOf(
  target: Pick<Registry, 'host'>,
  name: string,
  role: string,
): { repository: string; reference: string } {
  const repository = `hosted/${name.toLowerCase().replaceAll(' ', '-')}/${role}`
  return { repository, reference: `${target.host}/${repository}:${TAG}` }
}

function recordedPlace(recorder: Recorder, name: string, role: string): Place {
  const { repository, reference } = placeOf(recorder, name, role)
  const requests = (): readonly RecordedRequest[] => recorder.ofBlobs(repository)
  return { target: recorder, repository, reference, requests }
}

/** Every layer by a POST that answers 201, and no layer's bytes sent. */
export function expectMounted(
  requests: readonly RecordedRequest[],
  layers: readonly string[],
): string {
  const mounted = requests
    .filter(({ method, status }) => method === 'POST' && status === 201)
    .map(({ query }) => query.get('mount'))
  const missing = layers.filter((layer) => !mounted.includes(layer))
  expectEqual('layers that were not mounted', missing, [])
  const uploaded = requests.map(({ query }) => query.get('digest') ?? '')
  const sent = layers.filter((layer) => uploaded.includes(layer))
  expectEqual('layers that were uploaded', sent, [])
  const bytes = requests.reduce((sum, { sentBytes }) => sum + sentBytes, 0)
  return `${mounted.length} mounted, ${bytes} B sent`
}

/** By digest, as an operator does. */
async function deleteManifest(url: string, repository: string): Promise<void> {
  const { digest } = await readStoredImage(url, repository, TAG)
  const response = await ask(`${url}/v2/${repository}/manifests/${digest}`, 'DELETE')
  expectEqual(`status of the DELETE: ${await response.text()}`, response.status, 202)
}

async function expectNotFound(pull: Promise<void>): Promise<void> {
  const failure = await pull.then(
    () => undefined,
    (error: unknown) => String(error),
  )
  if (failure === undefined) throw new Error('what was deleted was pulled')
  expectEqual(`"not found" in ${failure}`, /not found|unknown|\b404\b/i.test(failure), true)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`
}
