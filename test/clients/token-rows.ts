// Credentials that have been good, in a registry that goes on running: expired tokens, tokens of accounts that were
// changed or taken back, and too many wrong secrets.

import { signAccess } from '../../src/auth/token.ts'
import { basicOf, type Login, makeLogin } from './account.ts'
import { expectEqual } from './client.ts'
import { type LoginStage, PRIVATE, READER } from './login-stage.ts'
import { readSigningKey } from './signing-key.ts'
import type { Suite } from './suite.ts'

/** Failed logins that a client has in a minute. */
const ATTEMPTS = 10
const MINUTE = 60_000
/** Of a repository that has nothing: who may read it is told so. */
const REPOSITORY = `${PRIVATE}/nothing`

/** All of them. */
export async function tokenRows(suite: Suite, group: string, stage: LoginStage): Promise<void> {
  const { accounts, reader, workspace } = stage
  await suite.row(group, 'an expired token asks for another, one of the same key does not', () =>
    expiredRow(stage),
  )
  await suite.row(
    group,
    'a token of before ends when its account is rotated, and revoked',
    async () => {
      const first = await accounts.add('account', 'changed', READER)
      const before = await tokenFor(stage, first)
      expectEqual('status with a token', await statusOf(stage, `Bearer ${before}`), 404)
      const second = await accounts.rotate('changed')
      await expectInvalid(stage, before)
      const after = await tokenFor(stage, second)
      expectEqual('status with a new token', await statusOf(stage, `Bearer ${after}`), 404)
      await accounts.revoke('changed')
      await expectInvalid(stage, after)
    },
  )
  await suite.row(group, 'ten wrong secrets, then 429; the right one passes', async () => {
    const wrong = await makeLogin(workspace, reader.name)
    stage.wrong.push(wrong)
    const statuses: number[] = []
    for (let attempt = 0; attempt <= ATTEMPTS; attempt += 1) {
      statuses.push((await askForToken(stage, wrong)).status)
    }
    expectEqual('statuses', statuses, [...Array.from({ length: ATTEMPTS }, () => 401), 429])
    const limited = await askForToken(stage, wrong)
    const seconds = Number(limited.headers.get('Retry-After'))
    expectEqual('Retry-After is a number of seconds', seconds > 0 && seconds <= 60, true)
    expectEqual('status of the right one', (await askForToken(stage, reader)).status, 200)
    return `Retry-After: ${seconds}`
  })
}

/** Signed like any other, with the key from the registry's own state. */
async function expiredRow(stage: LoginStage): Promise<void> {
  const given = await tokenFor(stage, stage.reader)
  const { sub, ver, iss, aud, access } = JSON.parse(
    Buffer.from(given.split('.')[1] ?? '', 'base64url').toString(),
  )
  const key = await readSigningKey(stage.workspace, stage.registry)
  const sign = async (now: number): Promise<string> => {
    const by = { key, issuer: iss, audience: aud, now }
    return (await signAccess({ subject: sub, version: ver, access }, by)).token
  }
  const fresh = await sign(Date.now())
  expectEqual('status with a fresh token', await statusOf(stage, `Bearer ${fresh}`), 404)
  await expectInvalid(stage, await sign(Date.now() - 7 * MINUTE))
}

async function expectInvalid(stage: LoginStage, token: string): Promise<void> {
  const response = await ask(stage, `Bearer ${token}`)
  expectEqual('status with a token that has ended', response.status, 401)
  const challenge = response.headers.get('WWW-Authenticate') ?? ''
  expectEqual(`error in ${challenge}`, challenge.includes('error="invalid_token"'), true)
}

async function statusOf(stage: LoginStage, authorization: string): Promise<number> {
  return (await ask(stage, authorization)).status
}

async function ask({ recorder }: LoginStage, authorization: string): Promise<Response> {
  const url = `${recorder.url}/v2/${REPOSITORY}/manifests/1`
  const response = await fetch(url, { headers: { Authorization: authorization } })
  await response.arrayBuffer()
  return response
}

async function tokenFor(stage: LoginStage, login: Login): Promise<string> {
  const response = await askForToken(stage, login)
  return String(JSON.parse(await response.text()).token)
}

function askForToken({ recorder }: LoginStage, login: Login): Promise<Response> {
  const query = new URLSearchParams({
    service: recorder.host,
    scope: `repository:${REPOSITORY}:pull`,
  })
  return fetch(`${recorder.url}/token?${String(query)}`, {
    headers: { Authorization: basicOf(login) },
  })
}
