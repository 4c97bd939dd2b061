// CI without a stored secret: an ID token is the password of a login, which gets a refresh token, which gets access tokens
// for what the issuer's claims are granted.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createPair, writeToken } from '../auth/jwt.ts'
import type { Pair } from '../auth/jwt.ts'
import { basic, claimsOf, granting } from '../support/accounts.ts'
import type { TokenAnswer } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { HOUR, MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { goOnline } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const ISSUER = 'https://issuer.test'
const SUBJECT = 'repo:acme/app:ref:refs/heads/main'
const SCOPE = 'repository:hosted/app:pull,push,delete'
const SETTINGS = {
  HOSTED: OPEN.HOSTED,
  OIDC_ISSUERS: [
    {
      issuer: ISSUER,
      audience: 'registry.test',
      claims: { repository: 'acme/*' },
      grants: [granting('hosted/app', 'pull', 'push')],
    },
  ],
}

let clock: Clock
let pair: Pair
let isDown: boolean

beforeEach(async () => {
  clock = stopClock()
  pair = await createPair('ES256', 'one')
  isDown = false
  goOnline({
    'issuer.test': async (url: string) => {
      if (isDown) throw new TypeError('away')
      const jwk = { ...pair.publicJWK, kid: pair.kid, use: 'sig', alg: 'ES256' }
      return Response.json(
        url.endsWith('/openid-configuration')
          ? { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` }
          : { keys: [jwk] },
      )
    },
  })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function idToken(claims: object = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const all = {
    iss: ISSUER,
    sub: SUBJECT,
    aud: 'registry.test',
    iat: now,
    nbf: now,
    exp: now + 300,
    jti: 'x',
    repository: 'acme/app',
    ...claims,
  }
  return writeToken({ alg: 'ES256', typ: 'JWT', kid: pair.kid }, all, pair.privateKey)
}

function post(worker: Isolate, fields: Readonly<Record<string, string>>): Promise<Response> {
  const form = { service: 'registry.test', client_id: 'docker', scope: SCOPE, ...fields }
  return worker.fetch('/token', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  })
}

const refresh = (worker: Isolate, token: string) =>
  post(worker, { grant_type: 'refresh_token', refresh_token: token })

/** As `docker login` does it, with whatever name. */
async function logIn(worker: Isolate): Promise<string> {
  const answer = await worker.get('/token?service=registry.test&offline_token=true&account=ci', {
    authorization: basic('ci', await idToken()),
  })
  expect(answer.status).toBe(200)
  const { refresh_token: token }: TokenAnswer = await answer.json()
  return token ?? expect.fail('no refresh token')
}

describe('a login', () => {
  it('gets a refresh token, and by it a token within the grants, as long as six hours', async () => {
    const worker = isolate(SETTINGS)
    const token = await logIn(worker)
    for (const wait of [0, 3 * HOUR, 3 * HOUR - MINUTE]) {
      clock.advance(wait)
      const answer = await refresh(worker, token)
      expect(answer.status).toBe(200)
      const body: TokenAnswer = await answer.json()
      expect(body).toMatchObject({
        scope: 'repository:hosted/app:pull,push',
        refresh_token: token,
        expires_in: 300,
      })
      const { sub, ver, access } = claimsOf(body.access_token)
      expect([sub, ver]).toEqual([`${ISSUER}#${SUBJECT}`, undefined])
      expect(access).toEqual([
        { type: 'repository', name: 'hosted/app', actions: ['pull', 'push'] },
      ])
      const headers = { authorization: `Bearer ${body.access_token}` }
      const push = await worker.fetch('/v2/hosted/app/blobs/uploads/', { method: 'POST', headers })
      expect(push.status).toBe(202)
      const other = await worker.get('/v2/hosted/other/tags/list', headers)
      expect(await refusalOf(other)).toBe('401 UNAUTHORIZED')
    }
    clock.advance(2 * MINUTE + SECOND)
    expect(await refusalOf(await refresh(worker, token))).toBe('401 UNAUTHORIZED')
  })

  it('by POST gets one too, if it wants one', async () => {
    const worker = isolate(SETTINGS)
    const form = { grant_type: 'password', username: 'x', password: await idToken() }
    const online: TokenAnswer = await (await post(worker, form)).json()
    expect(online).not.toHaveProperty('refresh_token')
    const offline = await post(worker, { ...form, access_type: 'offline' })
    const body: TokenAnswer = await offline.json()
    expect((await refresh(worker, body.refresh_token ?? '')).status).toBe(200)
  })

  it('may also be a password of a request', async () => {
    const worker = isolate(SETTINGS)
    const headers = { authorization: basic('x', await idToken()) }
    expect((await worker.get('/v2/', headers)).status).toBe(200)
    const answer = await worker.get('/v2/hosted/app/tags/list', headers)
    expect(await refusalOf(answer)).toBe('404 NAME_UNKNOWN')
    expect(worker.lines('request').at(-1)).toMatchObject({ caller: `${ISSUER}#${SUBJECT}` })
  })

  it.each([
    { name: 'other claims', claims: { repository: 'evil/app' } },
    { name: 'another audience', claims: { aud: 'other.test' } },
    { name: 'another issuer', claims: { iss: 'https://evil.test' } },
    { name: 'an end that has passed', claims: { exp: 1 } },
  ])('with $name is none', async ({ claims }) => {
    const headers = { authorization: basic('x', await idToken(claims)) }
    expect(await refusalOf(await isolate(SETTINGS).get('/token', headers))).toBe('401 UNAUTHORIZED')
  })

  it('while the issuer is away is an outage, and no failed login', async () => {
    isDown = true
    const limit = () => expect.fail('a failed login was counted')
    const worker = isolate({ ...SETTINGS, LOGIN_LIMIT: { limit } })
    const headers = { authorization: basic('x', await idToken()) }
    const answer = await worker.get('/token', headers)
    expect(answer.headers.get('retry-after')).toBe('10')
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })
})

describe('a refresh token', () => {
  it('opens nothing by itself', async () => {
    const worker = isolate(SETTINGS)
    const authorization = `Bearer ${await logIn(worker)}`
    const answer = await worker.get('/v2/', { authorization })
    expect(answer.headers.get('www-authenticate')).toContain('invalid_token')
    expect(answer.status).toBe(401)
  })

  it.each([
    { name: 'its issuer is trusted no more', change: { OIDC_ISSUERS: undefined } },
    { name: 'it is another service', change: { PUBLIC_URL: 'https://other.test' } },
  ])('is none, once $name', async ({ change }) => {
    const token = await logIn(isolate(SETTINGS))
    const worker = isolate({ ...SETTINGS, ...change })
    const { host } = new URL(change.PUBLIC_URL ?? 'https://registry.test')
    const answer = await post(worker, {
      service: host,
      grant_type: 'refresh_token',
      refresh_token: token,
    })
    expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
  })

  it('and an ID token are in no line of the log', async () => {
    const worker = isolate(SETTINGS)
    const token = await logIn(worker)
    await refresh(worker, token)
    const text = JSON.stringify(worker.lines())
    expect(text).not.toContain(token.slice(-40))
    expect(text).not.toMatch(/eyJ/)
  })
})
