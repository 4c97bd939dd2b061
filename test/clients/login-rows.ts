// The table of logins: every client with a wrong secret, with its own account, without one, with one that only pulls,
// and with one whose secret is changed and taken back while the registry runs.

import { basicOf, type Login, makeLogin } from './account.ts'
import { expectRedirected } from './deliveries.ts'
import { JOB, PRIVATE, PRIVATE_HOST, PUBLIC, READER, TEAM } from './login-stage.ts'
import type { LoginStage } from './login-stage.ts'
import { type Pusher, TAG } from './pusher.ts'
import { expectMounted } from './push-rows.ts'
import { refusalOf } from './refusal.ts'
import type { Suite } from './suite.ts'

/** A client that can log in, in its rows. */
interface Case {
  readonly stage: LoginStage
  readonly pusher: Pusher
  readonly own: Login
  readonly login: (as: Login) => Promise<void>
  readonly logout: () => Promise<void>
  /** Names of this client's own repositories, at the registry. */
  readonly privately: string
  readonly publicly: string
  readonly mirrored: string
}

/** All rows of one client. */
export async function loginRows(
  suite: Suite,
  stage: LoginStage,
  group: string,
  pusher: Pusher,
): Promise<void> {
  const one = caseOf(stage, pusher)
  await suite.row(group, 'a wrong secret is refused', () => wrongRow(one))
  await suite.row(group, 'logs in, pushes, and pulls what is private, hosted and mirrored', () =>
    ownRow(one),
  )
  await suite.row(group, 'is redirected, by both names of this machine, and its login is not', () =>
    redirectedRow(one),
  )
  if (pusher.copy !== undefined) {
    await suite.row(group, 'mounts the layers into another private repository', () => mountRow(one))
  }
  await suite.row(group, 'without a login: what is public, and nothing else', () => nobodyRow(one))
  await suite.row(group, 'an account that only pulls', () => readerRow(one))
  await suite.row(group, 'the ID token of a job logs in', () => jobRow(one))
  await suite.row(group, 'a rotated and a revoked secret end', () => endRow(one))
}

function caseOf(stage: LoginStage, pusher: Pusher): Case {
  const { host } = stage.recorder
  const own = stage.pushers.get(pusher.name)
  const { login, logout } = pusher
  if (own === undefined || login === undefined || logout === undefined) {
    throw new Error(`${pusher.name} cannot log in`)
  }
  const name = pusher.name.replaceAll(' ', '-')
  return {
    stage,
    pusher,
    own,
    login: (as) => login(host, as),
    logout: () => logout(host),
    privately: `${host}/${PRIVATE}/${name}:${TAG}`,
    publicly: `${host}/${PUBLIC}/${name}:${TAG}`,
    mirrored: `${host}/${PRIVATE_HOST}/${TEAM}/${name}:${TAG}`,
  }
}

async function wrongRow({ stage, pusher, own, login, privately }: Case): Promise<string> {
  const wrong = await makeLogin(stage.workspace, own.name)
  stage.wrong.push(wrong)
  // Some look at it at once, some when they need it.
  return refusalOf(
    'a wrong secret',
    login(wrong).then(() => pusher.push(privately)),
  )
}

async function ownRow(one: Case): Promise<void> {
  const { stage, pusher, own, login, logout, privately, publicly, mirrored } = one
  await logout().catch(() => undefined) // where a refused login has left nothing
  await pusher.push(mirrored.replace(`${stage.recorder.host}/${PRIVATE_HOST}`, stage.plain.host))
  await login(own)
  await pusher.push(publicly)
  await pusher.push(privately)
  await pusher.pull(mirrored)
  await pusher.pull(privately)
}

/** Storage refuses whoever brings a login beside the signature, and clients know no third name of this machine. */
async function redirectedRow(one: Case): Promise<string> {
  const { stage, pusher, own, privately, mirrored } = one
  const { registry, recorder } = stage
  const { host } = recorder
  const other = host.replace('127.0.0.1', 'localhost')
  const pull = async (reference: string): Promise<string> => {
    const repository = reference.slice(reference.indexOf('/') + 1, -(TAG.length + 1))
    return expectRedirected(registry, repository, () => pusher.pull(reference))
  }
  const found: string[] = []
  await pusher.login?.(other, own)
  for (const reference of [mirrored, privately]) {
    found.push(await pull(reference.replace(host, other)))
  }
  await pusher.logout?.(other)
  // Some have one login only; the next row goes on with this one.
  await one.login(own)
  for (const reference of [mirrored, privately]) found.push(await pull(reference))
  return found.join('; ')
}

async function mountRow({ stage, pusher, own, privately }: Case): Promise<string> {
  const { recorder } = stage
  const second = privately.replace(/\/([^/]+)$/, '/second/$1')
  await pusher.copy?.(privately, second)
  const repository = second.slice(recorder.host.length + 1, -(TAG.length + 1))
  const layers = await layersOf(stage, repository, own)
  // What was asked before a token was there does not count.
  const answered = recorder.ofBlobs(repository).filter(({ status }) => status !== 401)
  return expectMounted(answered, layers)
}

/** The layers of all platforms, as the registry has them. */
async function layersOf(
  { recorder }: LoginStage,
  repository: string,
  login: Login,
): Promise<readonly string[]> {
  const read = async (reference: string): Promise<readonly string[]> => {
    const url = `${recorder.url}/v2/${repository}/manifests/${reference}`
    const response = await fetch(url, { headers: { Accept: '*/*', Authorization: basicOf(login) } })
    const { layers = [], manifests = [] } = JSON.parse(await response.text())
    const named = (list: readonly { digest: string }[]): readonly string[] =>
      list.map(({ digest }) => digest)
    const children = await Promise.all(named(manifests).map(read))
    return [...named(layers), ...children.flat()]
  }
  return read(TAG)
}

async function nobodyRow({ pusher, logout, ...names }: Case): Promise<string> {
  await logout()
  await pusher.pull(names.publicly)
  await refusalOf('a pull of what is private', pusher.pull(names.privately))
  await refusalOf('a pull of what is on a private upstream', pusher.pull(names.mirrored))
  return refusalOf('a push', pusher.push(elsewhere(names.publicly)))
}

async function readerRow({ stage, pusher, login, ...names }: Case): Promise<string> {
  await login(stage.reader)
  await pusher.pull(names.privately)
  await refusalOf('a pull without a grant', pusher.pull(names.mirrored))
  return refusalOf('a push', pusher.push(elsewhere(names.privately)))
}

/** A repository that has nothing: who finds everything there already has nothing to push, and may do that. */
function elsewhere(reference: string): string {
  return reference.replace(/\/([^/]+)$/, '/refused/$1')
}

async function jobRow({ stage, pusher, login, privately }: Case): Promise<string> {
  const { workspace, issuer, recorder } = stage
  const before = recorder.requests.length
  const job = (repository: string): Promise<Login> =>
    makeLogin(workspace, 'job', issuer.sign(repository))
  await login(await job(JOB))
  await pusher.pull(privately)
  const answers = recorder.requests.slice(before).filter(({ path }) => path === '/token')
  const refresh = answers.filter(({ body }) => 'refresh_token' in JSON.parse(body()))
  const other = await job('org/other')
  const said = await refusalOf(
    'a job of another repository',
    login(other).then(() => pusher.pull(privately)),
  )
  return `${refresh.length} refresh tokens, ${said}`
}

async function endRow({ stage, pusher, own, login, logout, privately }: Case): Promise<string> {
  const { accounts } = stage
  const name = `guest-${own.name}`
  await login(await accounts.add('account', name, READER))
  await pusher.pull(privately)
  const rotated = await accounts.rotate(name)
  await refusalOf('a pull with the secret of before', pusher.pull(privately))
  await login(rotated)
  await pusher.pull(privately)
  await accounts.revoke(name)
  const said = await refusalOf('a pull with a revoked secret', pusher.pull(privately))
  await logout()
  return said
}
