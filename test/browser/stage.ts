// The stage: upstreams with images, and a registry that has mirrored them for a month. Requests are real and so is what
// they leave behind; only the clock is ours while the past is made (`test/support/clocked-worker.ts`). What is looked at
// then is `entrepot serve`, on the state that the past has left.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { administratorFile, ADMINISTRATOR } from '../../cli/administrator.ts'
import { pull } from '../../cli/puller.ts'
import { serve, type Registry } from '../../cli/serve.ts'
import { listenUpstream, type UpstreamListener } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { waitUntil, type Workspace } from '../clients/process.ts'
import { addTo, buildImage, buildIndex, buildReferrer, CATALOG, type Built } from './catalog.ts'
import { chanceOf, pastTraffic } from './past.ts'

const CLOCKED = join(import.meta.dirname, '..', 'support', 'clocked-worker.ts')
const DAY = 86_400_000
const HOSTS = ['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io', 'mcr.microsoft.com']
/** What the company builds. */
const HOSTED = ['hosted/platform/api', 'hosted/platform/web', 'hosted/platform/worker']
/** An account that may push. */
const PUSHER = 'ci'

/** A name that would be harmful if a page did not escape it. */
export const HOSTILE = '"><script>alert(1)</script>'

/** A name and a secret. */
export interface Login {
  readonly username: string
  readonly password: string
}

/** What the tests look at. */
export interface Stage {
  readonly url: string
  /** May administrate and read. */
  readonly operator: Login
  readonly upstreams: ReadonlyMap<string, SampleUpstream>
  /** Asks the API. */
  readonly ask: (method: string, path: string, body?: object) => Promise<unknown>
}

/** Builds it. */
export async function buildStage(workspace: Workspace): Promise<Stage> {
  const persistTo = await workspace.folderOf('state')
  const upstreams = new Map<string, SampleUpstream>()
  const listeners: UpstreamListener[] = []
  for (const host of HOSTS) {
    const upstream = new SampleUpstream(
      host === 'docker.io'
        ? { authentication: { service: host, accounts: { company: 'a-password' } } }
        : {},
    )
    const listener = await listenUpstream(upstream.handle)
    workspace.onClose(() => listener.close())
    upstreams.set(host, upstream)
    listeners.push(listener)
  }
  const options = {
    host: '127.0.0.1',
    port: 0,
    persistTo,
    secrets: false,
    handlesSignals: true,
    vars: settingsOf(listeners),
  } as const
  await fillUpstreams(upstreams)
  const past = await serve({ ...options, main: CLOCKED })
  const password = (await readFile(administratorFile(persistTo), 'utf8')).trim()
  const administrator = { username: ADMINISTRATOR, password }
  const operator = await makePast(past, administrator, upstreams)
  await past.stop()
  const registry = await serve(options)
  workspace.onClose(registry.stop)
  const ask = (method: string, path: string, body?: object): Promise<unknown> =>
    askAPI(registry, administrator, { method, path, ...(body !== undefined && { body }) })
  return { url: registry.url.origin, operator, upstreams, ask }
}

function settingsOf(listeners: readonly UpstreamListener[]): Readonly<Record<string, string>> {
  const table = HOSTS.map((host, index) => [host, { url: listeners[index]?.url, private: false }])
  return {
    UPSTREAMS: JSON.stringify(Object.fromEntries(table)),
    UPSTREAM_CREDENTIALS: JSON.stringify({
      'docker.io': [{ username: 'company', password: 'a-password' }],
    }),
    HOSTED: JSON.stringify(['hosted/**']),
    STORAGE_TARGET: JSON.stringify('64MiB'),
  }
}

async function fillUpstreams(upstreams: ReadonlyMap<string, SampleUpstream>): Promise<void> {
  let seed = 0
  for (const { host, repository, tags, layers } of CATALOG) {
    const upstream = upstreams.get(host)
    if (upstream === undefined) throw new Error(`no upstream is called ${host}`)
    for (const tag of tags) {
      seed += 1
      await addTo(
        upstream,
        repository,
        await buildIndex(layers, seed, `https://github.com/${repository}`),
        tag,
      )
    }
  }
  upstreams.get('docker.io')?.setRateLimit({ limit: 200, remaining: 163, source: 'company' })
}

type Order = (method: string, path: string, body?: object) => Promise<unknown>

async function makePast(
  registry: Registry,
  administrator: Login,
  upstreams: ReadonlyMap<string, SampleUpstream>,
): Promise<Login> {
  const now = Date.now()
  const at = (daysAgo: number, hour: number): Promise<void> =>
    setClock(registry, Math.min(now, now - daysAgo * DAY - ((now % DAY) - hour * 3_600_000)))
  await send(registry, '/test/meter', { method: 'POST', body: JSON.stringify(pastTraffic(now)) })
  const order: Order = (method, path, body) =>
    askAPI(registry, administrator, { method, path, ...(body !== undefined && { body }) })
  await at(29, 9)
  const login = await makeAccounts(order, registry)
  const chance = chanceOf(11)
  const known = new Set<string>()
  for (let daysAgo = 29; daysAgo >= 0; daysAgo--) {
    await at(daysAgo, daysAgo === 0 ? 0 : 10)
    const isWeekend = [0, 6].includes(new Date(now - daysAgo * DAY).getUTCDay())
    for (const [index, image] of CATALOG.entries()) {
      // They come one after the other in the first week.
      if (daysAgo > 29 - index / 2) continue
      const pulls = Math.round(image.pulls * (isWeekend ? 0.2 : 1) * (0.5 + chance()))
      await pullTimes(registry, image, { times: pulls, known })
    }
    for (const name of HOSTED) {
      const pulls = Math.round(chance() * (isWeekend ? 1 : 9))
      for (let time = 0; time < pulls; time++) await pullManifests(registry, name, '2.4.0', login)
    }
    await makeJobs(order, daysAgo)
  }
  await setClock(registry, now)
  await order('PATCH', '/switches', { paused: ['mcr.microsoft.com'] })
  upstreams.get('quay.io')?.stop()
  await pull(registry.url, 'quay.io/prometheus/prometheus', 'v3.7.3')
  await order('POST', '/jobs', { kind: 'collect', dryRun: true })
  await untilOver(order)
  await order('POST', '/jobs', {
    kind: 'prefetch',
    images: ['mcr.microsoft.com/dotnet/runtime:10.0'],
  })
  return login
}

/** An operator who may read as well, and whoever pushes; what it has pushed. */
async function makeAccounts(order: Order, registry: Registry): Promise<Login> {
  const add = async (name: string, actions: readonly string[]): Promise<Login> => {
    const account = { name, kind: 'account', grants: [{ repositories: ['**'], actions }] }
    // The API says so.
    const { secret } = (await order('POST', '/accounts', account)) as { readonly secret: string }
    return { username: name, password: secret }
  }
  const operator = await add('operator', ['admin', 'pull'])
  await pushHosted(registry, await add(PUSHER, ['pull', 'push']))
  return operator
}

/** What somebody did on some of the days. */
async function makeJobs(order: Order, daysAgo: number): Promise<void> {
  const jobs: Readonly<Record<number, object>> = {
    9: {
      kind: 'prefetch',
      images: ['docker.io/library/postgres:18', 'ghcr.io/astral-sh/uv:0.9'],
      platforms: ['linux/arm64'],
    },
    5: {
      kind: 'import',
      images: [{ from: 'docker.io/library/alpine:3.22', to: 'hosted/base/alpine:3.22' }],
    },
    4: { kind: 'prefetch', images: ['registry.k8s.io/kube-proxy:v1.35.0'] },
    2: { kind: 'purge', target: 'docker.io/library/postgres:17.6' },
  }
  const job = jobs[daysAgo]
  if (job === undefined) return
  await order('POST', '/jobs', job)
  await untilOver(order)
}

async function untilOver(order: Order): Promise<void> {
  await waitUntil('the jobs have ended', async () => {
    const { jobs } = (await order('GET', '/jobs')) as {
      readonly jobs: readonly { readonly state: string }[]
    }
    return jobs.every(({ state }) => state !== 'running' && state !== 'waiting')
  })
}

/** The whole of each tag once, then its manifests: what a client asks for that has the layers. */
async function pullTimes(
  registry: Registry,
  { host, repository, tags }: (typeof CATALOG)[number],
  { times, known }: { readonly times: number; readonly known: Set<string> },
): Promise<void> {
  for (let time = 0; time < times; time++) {
    const tag = tags[time % tags.length] ?? 'latest'
    const name = `${host}/${repository}`
    if (known.has(`${name}:${tag}`)) await pullManifests(registry, name, tag)
    else await pull(registry.url, name, tag)
    known.add(`${name}:${tag}`)
  }
}

async function pullManifests(
  registry: Registry,
  name: string,
  tag: string,
  login?: Login,
): Promise<void> {
  const get = (reference: string): Promise<Response> =>
    send(registry, `/v2/${name}/manifests/${reference}`, {
      headers: {
        Accept: `${MEDIA_TYPE.OCI_INDEX}, ${MEDIA_TYPE.OCI_MANIFEST}`,
        ...(login !== undefined && { Authorization: basic(login) }),
      },
    })
  const { manifests } = (await (await get(tag)).json()) as {
    readonly manifests: readonly { readonly digest: string }[]
  }
  await (await get(manifests[0]?.digest ?? '')).arrayBuffer()
}

/** What the company has built itself, with what refers to it. */
async function pushHosted(registry: Registry, login: Login): Promise<void> {
  for (const [index, name] of HOSTED.entries()) {
    const source = `https://git.example/${name.slice('hosted/'.length)}`
    const built = await buildIndex([640 + index * 90, 210, 18], 900 + index, source)
    await push(registry, login, { name, built, reference: '2.4.0' })
    const signature = await buildReferrer(built, 'application/vnd.dev.sigstore.bundle.v0.3+json', {
      'org.opencontainers.image.created': '2026-11-02T09:14:00Z',
    })
    await push(registry, login, { name, built: signature, reference: signature.digest })
    const materials = await buildReferrer(built, 'application/spdx+json', {
      'org.example.tool': 'syft 1.37',
    })
    await push(registry, login, { name, built: materials, reference: materials.digest })
  }
  const hostile = await buildImage([2], {
    seed: 999,
    architecture: 'amd64',
    note: HOSTILE,
    source: 'javascript:alert(1)',
  })
  await push(registry, login, { name: 'hosted/zz/hostile', built: hostile, reference: 'v1' })
}

async function push(
  registry: Registry,
  login: Login,
  {
    name,
    built,
    reference,
  }: { readonly name: string; readonly built: Built; readonly reference: string },
): Promise<void> {
  const headers = { Authorization: basic(login) }
  for (const child of built.children)
    await push(registry, login, { name, built: child, reference: child.digest })
  for (const blob of built.blobs) {
    const started = await send(registry, `/v2/${name}/blobs/uploads/`, { method: 'POST', headers })
    const location = new URL(started.headers.get('Location') ?? '', registry.url)
    location.searchParams.set('digest', await digestOf(blob))
    await send(registry, location.href, { method: 'PUT', headers, body: new Uint8Array(blob) })
  }
  await send(registry, `/v2/${name}/manifests/${reference}`, {
    method: 'PUT',
    headers: { ...headers, 'Content-Type': built.mediaType },
    body: new Uint8Array(built.bytes),
  })
}

async function setClock(registry: Registry, at: number): Promise<void> {
  await send(registry, '/healthz', { headers: { 'X-Test-Clock': String(at) } })
}

async function askAPI(
  registry: Registry,
  login: Login,
  {
    method,
    path,
    body,
  }: { readonly method: string; readonly path: string; readonly body?: object },
): Promise<unknown> {
  const answer = await send(registry, `/_/api${path}`, {
    method,
    headers: { Authorization: basic(login), 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return answer.status === 204 ? undefined : answer.json()
}

async function send(registry: Registry, path: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(new URL(path, registry.url), init)
  if (answer.ok) return answer
  throw new Error(`${init.method} ${path}: ${answer.status} ${await answer.text()}`)
}

function basic({ username, password }: Login): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
