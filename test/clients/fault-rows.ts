// What clients get while an upstream is gone, limits, is silent or refuses our credential. Each fault has an
// upstream host of its own, so that no row sees what another has done to its budget.

import { join } from 'node:path'
import { ask, askInVain } from './answers.ts'
import { expectEqual } from './client.ts'
import { FaultProxy } from './fault-proxy.ts'
import { buildImage, type Image } from './image.ts'
import { pastTTL } from './pull-rows.ts'
import { pushImage } from './push.ts'
import { Registry } from './registry.ts'
import { skopeo } from './skopeo.ts'
import { BRIEF_TTL, type Stage } from './stage.ts'
import type { Suite } from './suite.ts'
import { LOGIN, TokenService } from './token-service.ts'
import { Upstream } from './upstream.ts'

const OUTAGE = [502, 503, 504]

/** The hosts of the faults. */
const HOSTS = {
  limited: 'limited.test',
  silent: 'silent.test',
  closed: 'closed.test',
  member: 'member.test',
} as const satisfies Record<string, string>

/**
 * All rows about faults. They start their own entrepot; the shared upstreams must be running. Returns the secrets
 * that were in play.
 */
export async function faultRows(suite: Suite, stage: Stage): Promise<readonly string[]> {
  if (!suite.includes('faults')) return []
  const { workspace, plain } = stage
  const tokens = await TokenService.start(workspace)
  const members = await Upstream.start(workspace, 'members', {
    storage: 'plain',
    token: tokens.settings,
  })
  const proxies = {
    limited: await FaultProxy.start(workspace, plain.url),
    silent: await FaultProxy.start(workspace, plain.url),
    closed: await FaultProxy.start(workspace, plain.url),
    member: await FaultProxy.start(workspace, members.url, tokens.challenge),
  }
  const tagTTL = `${BRIEF_TTL / 1000}s`
  const registry = await Registry.start(workspace, 'faulty', {
    UPSTREAMS: {
      [HOSTS.limited]: { url: proxies.limited.url, tagTTL },
      [HOSTS.silent]: { url: proxies.silent.url, tagTTL },
      [HOSTS.closed]: { url: proxies.closed.url, tagTTL },
      [HOSTS.member]: { url: proxies.member.url, tagTTL, private: false },
    },
    UPSTREAM_CREDENTIALS: { [HOSTS.member]: [LOGIN] },
    DEFAULT_UPSTREAM: '',
  })
  const play = { suite, stage, registry }
  await limitedRows(play, proxies.limited)
  await silentRows(play, proxies.silent)
  await closedRows(play, proxies.closed)
  await credentialRows(play, proxies.member, tokens)
  const basic = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64')
  return [...tokens.given, LOGIN.password, basic]
}

interface Play {
  readonly suite: Suite
  readonly stage: Stage
  readonly registry: Registry
}

async function limitedRows(play: Play, proxy: FaultProxy): Promise<void> {
  const { suite, registry } = play
  const known = await seed(play, 'fault/limited')
  const unknown = await seed(play, 'fault/limited-unseen')
  const client = skopeo(play.stage.workspace, HOSTS.limited, known)
  await suite.row('faults', 'upstream at 429: a cached image still pulls', async () => {
    await client.pull(registry)
    await pastTTL(Date.now())
    proxy.fault = 'limited'
    await client.pull(registry)
  })
  await suite.row('faults', 'upstream at 429: uncached answers 429 with Retry-After', async () => {
    const url = manifestOf(registry, HOSTS.limited, unknown)
    const { code, headers } = await askInVain(url, [429])
    expectEqual('code', code, 'TOOMANYREQUESTS')
    const seconds = Number(headers.get('Retry-After'))
    expectEqual('Retry-After is a number of seconds', seconds > 0 && seconds <= 120, true)
    return `Retry-After: ${seconds}`
  })
  await suite.row('faults', 'upstream at 429: nothing goes out inside a Retry-After', async () => {
    const before = proxy.requests.length
    await askInVain(manifestOf(registry, HOSTS.limited, unknown), [429])
    await client.pull(registry)
    expectEqual('upstream requests', proxy.requests.slice(before), [])
  })
}

async function silentRows(play: Play, proxy: FaultProxy): Promise<void> {
  const { suite, registry } = play
  const known = await seed(play, 'fault/silent')
  const client = skopeo(play.stage.workspace, HOSTS.silent, known)
  await suite.row('faults', 'silent upstream: a cached image still pulls', async () => {
    await client.pull(registry)
    await pastTTL(Date.now())
    proxy.fault = 'silent'
    await client.pull(registry)
  })
  await suite.row(
    'faults',
    'silent upstream: a name never seen is an outage, not 404',
    async () => {
      const { status, seconds } = await askInVain(
        `${registry.url}/v2/${HOSTS.silent}/never/seen/manifests/1.0`,
        OUTAGE,
      )
      return `${status} after ${seconds.toFixed(1)} s`
    },
  )
}

async function closedRows(play: Play, proxy: FaultProxy): Promise<void> {
  const { suite, registry } = play
  const known = await seed(play, 'fault/closed')
  const client = skopeo(play.stage.workspace, HOSTS.closed, known)
  await suite.row('faults', 'upstream at 401: a cached image still pulls', async () => {
    await client.pull(registry)
    await pastTTL(Date.now())
    proxy.fault = 'unauthorized'
    await client.pull(registry)
  })
  await suite.row('faults', 'upstream at 401: a name never seen is denied', async () => {
    const url = `${registry.url}/v2/${HOSTS.closed}/never/seen/manifests/1.0`
    expectEqual('code', (await askInVain(url, [403])).code, 'DENIED')
  })
}

async function credentialRows(play: Play, proxy: FaultProxy, tokens: TokenService): Promise<void> {
  const { suite, registry } = play
  const known = await seed(play, 'fault/member')
  const other = await seed(play, 'fault/member-other')
  const unseen = await seed(play, 'fault/member-unseen')
  const { workspace } = play.stage
  const client = skopeo(workspace, HOSTS.member, known)
  await suite.row('faults', 'a credential is used where one is configured', async () => {
    await client.pull(registry)
    expectEqual('token requests', tokens.requests, [
      { username: LOGIN.username, scopes: ['repository:fault/member:pull'], status: 200 },
    ])
  })
  await suite.row('faults', 'credential refused: a cached image still pulls', async () => {
    await pastTTL(Date.now())
    tokens.refuses = 'credential'
    proxy.fault = 'expired'
    await client.pull(registry)
  })
  await suite.row('faults', 'credential refused: an uncached image pulls anonymously', async () => {
    await skopeo(workspace, HOSTS.member, other).pull(registry)
  })
  await suite.row('faults', 'credential refused: it rests after that', async () => {
    const before = tokens.requests.length
    await askInVain(`${registry.url}/v2/${HOSTS.member}/never/seen/manifests/1.0`, [403, 404])
    const shown = tokens.requests.slice(before).filter(({ username }) => username !== undefined)
    expectEqual('token requests with the credential', shown, [])
  })
  await suite.row('faults', 'nobody gets tokens: a cached image still pulls', async () => {
    await pastTTL(Date.now())
    tokens.refuses = 'everybody'
    proxy.fault = 'unauthorized'
    await client.pull(registry)
  })
  await suite.row('faults', 'nobody gets tokens: uncached is denied or an outage', async () => {
    const url = manifestOf(registry, HOSTS.member, unseen)
    const { status, code } = await askInVain(url, [403, ...OUTAGE])
    return `${status} ${code}`
  })
}

/** Single requests while the shared upstreams are stopped; `known` was pulled through `brief`. */
export async function outageRows(
  suite: Suite,
  { brief, workspace }: Stage,
  { host, image }: { readonly host: string; readonly image: Image },
): Promise<void> {
  const base = `${brief.url}/v2/${host}/${image.repository}`
  await suite.row('outage', 'a stale tag carries Warning and Age', async () => {
    const response = await ask(`${base}/manifests/${image.tag}`, 'HEAD')
    expectEqual('status', response.status, 200)
    const warning = response.headers.get('Warning') ?? ''
    const age = response.headers.get('Age') ?? ''
    expectEqual(`Warning: ${warning}`, /^1[0-9]{2} |^299 /.test(warning), true)
    expectEqual(`Age: ${age}`, Number(age) >= BRIEF_TTL / 1000, true)
    return `Warning: ${warning}; Age: ${age}`
  })
  await suite.row('outage', 'a digest needs no upstream and carries no Warning', async () => {
    const response = await ask(`${base}/manifests/${image.top.digest}`)
    expectEqual('status', response.status, 200)
    expectEqual('Warning', response.headers.get('Warning'), null)
    await response.arrayBuffer()
  })
  for (const path of ['never/seen/manifests/1.0', `never/seen/blobs/${image.top.digest}`]) {
    await suite.row('outage', `${path.slice(0, 20)}…: an outage, not 404`, async () => {
      const answer = await askInVain(`${brief.url}/v2/${host}/${path}`, OUTAGE)
      return `${answer.status} ${answer.code} after ${answer.seconds.toFixed(1)} s`
    })
  }
  await suite.row('outage', 'skopeo says that a name never seen cannot be had', async () => {
    const folder = join(await workspace.folderOf('skopeo-never'), 'out')
    const source = `docker://${brief.host}/${host}/never/seen:1.0`
    const args = ['--insecure-policy', 'copy', '--src-tls-verify=false', source, `dir:${folder}`]
    const failure = await workspace.run({ command: 'skopeo', args }).then(
      () => undefined,
      (error: unknown) => String(error),
    )
    if (failure === undefined) throw new Error('skopeo copied a name that does not exist')
    expectEqual(`unknown manifest in ${failure}`, /manifest unknown|\b404\b/.test(failure), false)
  })
}

async function seed({ stage }: Play, repository: string): Promise<Image> {
  const image = buildImage(repository, { isIndex: false })
  await pushImage(stage.plain.url, image)
  return image
}

function manifestOf(registry: Registry, host: string, image: Image): string {
  return `${registry.url}/v2/${host}/${image.repository}/manifests/${image.tag}`
}
