// After everything else: no secret that has been configured, made, given or tried is in a log line, in an answer that
// is not for giving it, in a token, or in anything that the registry has stored.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { basicOf, type Login } from './account.ts'
import {
  expectNone,
  filesWith,
  findInAnswers,
  findInLines,
  formsOf,
  PRESIGNED,
  readToken,
  redirectsOf,
  signaturesOf,
  tokensOf,
} from './canary.ts'
import { expectEqual } from './client.ts'
import { buildImage } from './image.ts'
import { type LoginStage, PRIVATE, PRIVATE_HOST, TEAM } from './login-stage.ts'
import { pushImage } from './push.ts'
import { readSigningKey } from './signing-key.ts'
import type { Suite } from './suite.ts'

/** What is mirrored here. */
const NAME = `${TEAM}/canary`
const TAG = '1.0'

/** All of them; the stage is over then. */
export async function canaryRows(suite: Suite, group: string, stage: LoginStage): Promise<void> {
  const { workspace, registry, recorder, accounts } = stage
  await suite.row(group, 'requests that put secrets where they do not belong', () =>
    misplaceSecrets(stage),
  )
  const logins = [
    ...stage.pushers.values(),
    ...accounts.made,
    ...stage.wrong,
    stage.reader,
    stage.administrator,
    stage.foreign,
  ]
  const forms = logins.map(formsOf)
  const tokens = tokensOf(recorder.requests)
  const secrets = [...forms.flatMap(({ plain }) => plain), ...tokens, ...stage.otherSecrets()]
  const { privateJWK } = await readSigningKey(workspace, registry)
  // What the object that keeps accounts and keys has itself, and nothing else may have.
  const kept = [...forms.map(({ hashed }) => hashed), String(privateJWK.d)]
  await suite.row(group, 'no secret in an answer that is not for giving it', async () => {
    const { requests } = recorder
    expectNone('answers with a secret', findInAnswers(requests, [...secrets, ...kept]))
    return `${requests.length} answers, ${secrets.length} secrets`
  })
  await suite.row(
    group,
    'no presigned URL in an answer that is no redirect, or may be kept',
    async () => {
      const { requests } = recorder
      const redirects = redirectsOf(requests)
      const others = requests.filter((each) => !redirects.includes(each))
      expectNone('answers with one', findInAnswers(others, [PRESIGNED]))
      const lasting = redirects.filter(
        ({ headers }) => !/no-store/.test(headers) || !/no-referrer/.test(headers),
      )
      expectNone(
        'redirects that may be kept',
        lasting.map(({ path }) => path),
      )
      expectEqual('whether anybody was redirected', redirects.length > 0, true)
      return `${redirects.length} redirects`
    },
  )
  const signatures = signaturesOf(recorder.requests)
  await suite.row(group, 'no secret in a token', async () => {
    const plain = forms.flatMap((form) => form.plain)
    expectNone('tokens with a secret', findInLines(tokens.map(readToken), [...plain, ...kept]))
    return `${tokens.length} tokens`
  })
  await suite.row(group, 'no secret in a line of the log', async () => {
    const lines = workspace.linesOf('entrepot-login')
    expectNone(
      'lines with a secret',
      findInLines(lines, [...secrets, ...kept, ...signatures, PRESIGNED]),
    )
    return `${lines.length} lines`
  })
  await suite.row(group, 'no secret in anything that is stored', async () => {
    await registry.stop()
    const { folder } = registry
    const all = [...secrets, ...signatures, PRESIGNED]
    expectNone('files with a secret', await filesWith(workspace, folder, all))
    for (const kind of ['r2', 'kv', 'cache']) {
      expectNone(`${kind} with a hash or key`, await filesWith(workspace, join(folder, kind), kept))
    }
    // That this looks where what was stored is.
    const manifests = await filesWith(workspace, join(folder, 'r2'), ['schemaVersion'])
    expectEqual('whether a manifest is found in R2', manifests.length > 0, true)
    const objects = await filesWith(workspace, join(folder, 'do'), kept)
    expectEqual('whether a hash is found in an object', objects.length > 0, true)
  })
}

/** Whatever a client, a proxy or a person may get wrong; how it is answered is shown elsewhere. */
async function misplaceSecrets(stage: LoginStage): Promise<string> {
  const { recorder, accounts, administrator, plain } = stage
  await pushImage(plain.url, { ...buildImage(NAME), tag: TAG })
  const grants = [
    { repositories: [`${PRIVATE}/**`, `${PRIVATE_HOST}/**`], actions: ['pull'] },
  ] as const
  const capability = await accounts.add('capability', `canary-${randomUUID()}`, grants)
  const account = await accounts.add('account', `canary-${randomUUID()}`, grants)
  const statuses: number[] = []
  for (const each of misplaced(recorder.host, { capability, account, administrator })) {
    const { path, ...init } = each
    const response = await fetch(`${recorder.url}${path}`, { redirect: 'manual', ...init })
    await response.arrayBuffer()
    statuses.push(response.status)
  }
  expectEqual(
    'answers that are the fault of the registry',
    statuses.filter((each) => each >= 500),
    [],
  )
  return `${statuses.length} answers: ${[...new Set(statuses)].toSorted((a, b) => a - b).join(', ')}`
}

interface Sent extends RequestInit {
  readonly path: string
}

function misplaced(
  host: string,
  by: { readonly capability: Login; readonly account: Login; readonly administrator: Login },
): readonly Sent[] {
  const { capability, account, administrator } = by
  const paths = pathsWith(capability.secret)
  const service = `service=${host}`
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const json = { 'Content-Type': 'application/json' }
  const repository = `/v2/${PRIVATE}/crane`
  return [
    ...paths.map((path) => ({ path })),
    ...paths.map((path) => ({ path, headers: { Authorization: basicOf(account) } })),
    ...paths.map((path) => ({ path, method: 'POST', body: account.secret })),
    ...paths.map((path) => ({
      path,
      method: 'DELETE',
      headers: { Referer: `http://${host}${path}` },
    })),
    ...[
      account.secret,
      basicOf(account),
      `Bearer ${account.secret}`,
      `Digest ${account.secret}`,
    ].map((Authorization) => ({ path: `${repository}/tags/list`, headers: { Authorization } })),
    {
      path: `/token?${service}&account=${account.secret}&scope=repository:t/${capability.secret}/${PRIVATE}/a:pull`,
    },
    { path: `/token?${service}&offline_token=${account.secret}` },
    { path: `/token?service=${account.secret}` },
    {
      path: '/token',
      method: 'POST',
      headers: form,
      body: `grant_type=password&${service}&client_id=${capability.secret}&username=${account.name}&password=${account.secret}&access_type=offline&scope=repository:t/${capability.secret}/${PRIVATE_HOST}/${NAME}:pull`,
    },
    {
      path: '/token',
      method: 'POST',
      headers: form,
      body: `grant_type=refresh_token&${service}&client_id=a&refresh_token=${account.secret}`,
    },
    {
      path: '/_/api/accounts',
      method: 'POST',
      headers: { ...json, Authorization: basicOf(administrator) },
      body: JSON.stringify({ name: 'a', kind: account.secret, grants: [] }),
    },
    {
      path: '/_/api/accounts',
      method: 'POST',
      headers: { ...json, Authorization: basicOf(account) },
      body: `{"${account.secret}":`,
    },
    { path: '/_/api/accounts', headers: { Authorization: basicOf(administrator) } },
    { path: '/_/api/audit', headers: { Authorization: basicOf(administrator) } },
    { path: '/_/upstreams', headers: { Authorization: basicOf(administrator) } },
    { path: '/healthz', headers: { Authorization: basicOf(account) } },
  ]
}

/** Paths that hold a capability, also such as are none. */
function pathsWith(secret: string): readonly string[] {
  const encoded = `%${secret.charCodeAt(0).toString(16)}${secret.slice(1)}`
  const name = `${PRIVATE_HOST}/${NAME}`
  return [
    `/t/${secret}`,
    `/t/${secret}/`,
    `/t/${secret}/v2/`,
    `/t/${secret}/v2/_catalog?n=1`,
    `/t/${secret}/v2/${PRIVATE}/crane/tags/list?n=1`,
    `/t/${secret}/v2/${name}/tags/list?n=1`,
    `/t/${secret}/v2/${NAME}/manifests/${TAG}?ns=${PRIVATE_HOST}`,
    `/t/${secret}/v2/${NAME}/manifests/missing?ns=${PRIVATE_HOST}`,
    `/t/${secret}/v2/${name}/blobs/sha256:${'0'.repeat(64)}`,
    `/t/${secret}/v2/unknown.test/a/manifests/1`,
    `/t/${secret}/unknown.test/v2/a/manifests/1`,
    `/t/${secret}/${PRIVATE_HOST}/v2/${NAME}/referrers/sha256:${'0'.repeat(64)}`,
    `/v2/t/${secret}/${name}/manifests/${TAG}`,
    `/v2/t/${secret}/NOT-A-NAME/manifests/${TAG}`,
    `/t/${secret}/v2/t/${secret}/${name}/manifests/${TAG}`,
    `/v2/${PRIVATE_HOST}/t/${secret}/${NAME}/manifests/${TAG}`,
    `/v2/${TEAM}/t/${secret}/manifests/${TAG}?ns=${PRIVATE_HOST}`,
    `/v2/${name}/manifests/${TAG}?ns=${secret}`,
    `/v2/${name}/manifests/${TAG}?capability=${secret}`,
    `/t/${encoded}/v2/${name}/manifests/${TAG}`,
    `/v2/t/${encoded}/${name}/manifests/${TAG}`,
    `/t/${secret}/token?service=a`,
    `/t/${secret}/healthz`,
    `/t/${secret}/_/upstreams`,
    `/t/${secret}/_/api/accounts`,
  ]
}
