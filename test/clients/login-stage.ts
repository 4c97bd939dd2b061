// What the rows about logins and capabilities play on: an entrepot that hosts and mirrors private repositories, whose
// answers are all recorded, and everything in it that nobody else may learn.

import { randomUUID } from 'node:crypto'
import type { GrantText } from '../../src/auth/account.ts'
import { Accounts, basicOf, configured, type Login, makeLogin } from './account.ts'
import { DOCKER_HUB } from './client.ts'
import { tryStorage } from './deliveries.ts'
import { AUDIENCE, IDIssuer } from './id-issuer.ts'
import type { Workspace } from './process.ts'
import { Recorder } from './recorder.ts'
import { Registry } from './registry.ts'
import { LOGIN as UPSTREAM_LOGIN, TokenService } from './token-service.ts'
import { Upstream } from './upstream.ts'

/** The host of an upstream that only a grant lets anybody read; Docker Hub is another here. */
export const PRIVATE_HOST = 'private.test'

/** The first components of what is hosted, and of what is on the private upstream. */
export const PRIVATE = 'hosted/private'
export const PUBLIC = 'hosted/public'
export const TEAM = 'team'

/** What a client with a login of its own may do. */
const PUSHER: readonly GrantText[] = [
  { repositories: [`${PRIVATE}/**`, `${PUBLIC}/**`], actions: ['pull', 'push', 'delete'] },
  { repositories: [`${PRIVATE_HOST}/**`], actions: ['pull'] },
]

/** The repository whose jobs may pull. */
export const JOB = 'org/app'

/** What pulls, and nothing else. */
export const READER: readonly GrantText[] = [{ repositories: [`${PRIVATE}/**`], actions: ['pull'] }]

/** The peers of these rows. */
export interface LoginStage {
  readonly workspace: Workspace
  readonly registry: Registry
  /** Stands before the registry; everybody is given its address. */
  readonly recorder: Recorder
  /** What the private upstream has is pushed here. */
  readonly plain: Upstream
  /** One account each, so that no client uses up what another may try. */
  readonly pushers: ReadonlyMap<string, Login>
  readonly reader: Login
  readonly administrator: Login
  readonly accounts: Accounts
  /** Whose ID tokens log in. */
  readonly issuer: IDIssuer
  /** A pull secret of another registry. */
  readonly foreign: Login
  /** Secrets that were tried and are none. */
  readonly wrong: Login[]
  /** Every ID token, and what has been shown to upstreams: a password, and every token. */
  readonly otherSecrets: () => readonly string[]
}

/** Starts everything, with an account for each of the names. */
export async function setLoginStage(
  workspace: Workspace,
  names: readonly string[],
): Promise<LoginStage> {
  const tokens = await TokenService.start(workspace)
  const plain = await Upstream.start(workspace, 'login-plain')
  const guarded = await Upstream.start(workspace, 'login-guarded', {
    storage: 'login-plain',
    token: tokens.settings,
  })
  const pushers = new Map<string, Login>()
  for (const name of names) {
    pushers.set(name, await makeLogin(workspace, `ci-${name.replaceAll(' ', '-')}`))
  }
  const issuer = await IDIssuer.start(workspace)
  const reader = await makeLogin(workspace, 'reader')
  const registry = await Registry.start(workspace, 'login', {
    UPSTREAMS: {
      [PRIVATE_HOST]: { url: guarded.url, private: true },
      [DOCKER_HUB]: { url: guarded.url, private: true },
    },
    UPSTREAM_CREDENTIALS: { [PRIVATE_HOST]: [UPSTREAM_LOGIN], [DOCKER_HUB]: [UPSTREAM_LOGIN] },
    DEFAULT_UPSTREAM: '',
    HOSTED: ['hosted/**'],
    ANONYMOUS: [{ repositories: [`${PUBLIC}/**`], actions: ['pull'] }],
    OIDC_ISSUERS: [
      { issuer: issuer.url, audience: AUDIENCE, claims: { repository: JOB }, grants: READER },
    ],
    ACCOUNTS: [
      ...(await Promise.all([...pushers.values()].map((login) => configured(login, PUSHER)))),
      await configured(reader, READER),
    ],
  })
  const recorder = await Recorder.start(workspace, registry.url)
  const [first] = pushers.values()
  await tryStorage(recorder, {
    upstream: plain.url,
    repository: `${TEAM}/tried`,
    name: `${PRIVATE_HOST}/${TEAM}/tried`,
    ...(first !== undefined && { authorization: basicOf(first) }),
  })
  const administrator = await registry.administrator()
  return {
    workspace,
    registry,
    recorder,
    plain,
    pushers,
    reader,
    issuer,
    administrator,
    accounts: new Accounts(workspace, recorder.url, administrator),
    foreign: await makeLogin(workspace, 'foreign', randomUUID()),
    wrong: [],
    otherSecrets: () => [
      ...issuer.given,
      UPSTREAM_LOGIN.password,
      basicOf({ name: UPSTREAM_LOGIN.username, secret: UPSTREAM_LOGIN.password }).slice(6),
      ...tokens.given,
    ],
  }
}
