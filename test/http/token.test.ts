// `/token`: what is asked for, by GET and by POST, and what is got.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { accounts, add, basic, claimsOf, granting, secretOf } from '../support/accounts.ts'
import type { TokenAnswer } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { stopClock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'

const SECRET_PATH = `t/${'a'.repeat(52)}`
const FORM = 'application/x-www-form-urlencoded'

let settings: Readonly<Record<string, unknown>>

beforeEach(async () => {
  const made = await accounts({
    ci: [granting('hosted/**', 'pull', 'push'), granting('private.test/**', 'pull')],
    owner: [granting('hosted/**', 'pull', 'push', 'delete', 'admin')],
    maker: [granting('hosted/**', 'read', 'create'), granting('one.test/**', 'read')],
  })
  settings = { HOSTED: OPEN.HOSTED, ...made }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function get(query: string, authorization?: string): Promise<Response> {
  const headers = authorization === undefined ? {} : { authorization }
  return isolate(settings).get(`/token${query}`, headers)
}

function post(fields: Readonly<Record<string, string>>, type = FORM): Promise<Response> {
  return isolate(settings).fetch('/token', {
    method: 'POST',
    headers: { 'content-type': type },
    body: new URLSearchParams(fields).toString(),
  })
}

const LOGIN = {
  grant_type: 'password',
  service: 'registry.test',
  client_id: 'a-client',
  username: 'ci',
  password: secretOf('ci'),
}

/** What the token is for: `name:actions`. */
async function accessOf(answer: Response): Promise<readonly string[]> {
  expect(answer.status).toBe(200)
  const { token }: TokenAnswer = await answer.json()
  const { access } = claimsOf(token)
  if (!Array.isArray(access)) throw new TypeError('no access')
  return access.map(
    ({ type, name, actions }) =>
      `${type === 'repository' ? '' : `${type}:`}${name}:${actions.join(',')}`,
  )
}

const scopes = (...each: readonly string[]) =>
  `?${new URLSearchParams(each.map((scope) => ['scope', scope])).toString()}`

describe('an answer', () => {
  it('has a token twice, how long it is good for, and is kept by nobody', async () => {
    stopClock()
    const answer = await get(scopes('repository:hosted/a:pull'), basic('ci'))
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const body: TokenAnswer = await answer.json()
    expect(body.token).toBe(body.access_token)
    expect(body.expires_in).toBe(300)
    expect(body.issued_at).toBe(new Date(Math.floor(Date.now() / 1000) * 1000).toISOString())
    expect(body.scope).toBe('repository:hosted/a:pull')
    expect(body).not.toHaveProperty('refresh_token')
    const { iss, jti, ver, access, ...claims } = claimsOf(body.token)
    const now = Math.floor(Date.now() / 1000)
    expect(claims).toEqual({
      sub: 'ci',
      aud: 'registry.test',
      iat: now,
      nbf: now,
      exp: now + 300,
    })
    expect([iss, jti, ver].every((each) => typeof each === 'string' && each !== '')).toBe(true)
    expect(access).toEqual([{ type: 'repository', name: 'hosted/a', actions: ['pull'] }])
  })

  it.each([
    { name: 'without credentials', headers: {} },
    { name: 'with neither name nor password', headers: { authorization: 'Basic Og==' } },
  ])('$name is a token for nobody', async ({ headers }) => {
    const answer = await isolate(settings).get('/token', headers)
    const body: TokenAnswer = await answer.json()
    expect(claimsOf(body.token)).toMatchObject({ sub: '', access: [] })
    expect(claimsOf(body.token)).not.toHaveProperty('ver')
  })
})

describe('one client', () => {
  it.each(['GET', 'POST'])('gets so many tokens by %s, then 429; others go on', async (method) => {
    const asked: string[] = []
    const limit = async ({ key }: { readonly key: string }) => {
      asked.push(key)
      return { success: asked.length <= 1 }
    }
    const worker = isolate({ ...settings, TOKEN_LIMIT: { limit } })
    const query = new URLSearchParams(LOGIN).toString()
    const init = method === 'GET' ? {} : { method, headers: { 'content-type': FORM }, body: query }
    expect((await worker.fetch('/token', init)).status).toBe(200)
    const answer = await worker.fetch('/token', init)
    expect(answer.headers.get('retry-after')).toBe('60')
    expect(await refusalOf(answer)).toBe('429 TOOMANYREQUESTS')
    expect(asked).toEqual(['local', 'local'])
  })

  it('gets tokens while the limit is away', async () => {
    const limit = () => Promise.reject(new Error('away'))
    const worker = isolate({ ...settings, TOKEN_LIMIT: { limit } })
    expect((await worker.get('/token')).status).toBe(200)
  })
})

describe('what is granted', () => {
  it.each([
    { name: 'nothing asked for', query: '', want: [] },
    { name: 'an empty scope', query: '?scope=', want: [] },
    {
      name: 'what is asked for',
      query: scopes('repository:hosted/a:pull'),
      want: ['hosted/a:pull'],
    },
    {
      name: 'no more than is allowed',
      query: scopes('repository:hosted/a:pull,push,delete'),
      want: ['hosted/a:pull,push'],
    },
    { name: 'nothing, where nothing is', query: scopes('repository:other.test/a:pull'), want: [] },
    { name: 'nothing of what is not allowed', query: scopes('repository:sparse/a:pull'), want: [] },
    {
      name: 'several, repeated',
      query: scopes('repository:hosted/a:pull', 'repository:hosted/b:push'),
      want: ['hosted/a:pull', 'hosted/b:push'],
    },
    {
      name: 'several, separated by spaces',
      query: scopes('repository:hosted/a:pull repository:hosted/b:push'),
      want: ['hosted/a:pull', 'hosted/b:push'],
    },
    {
      name: 'the union for a repository',
      query: scopes('repository:hosted/a:push', 'repository:hosted/a:delete,pull'),
      want: ['hosted/a:pull,push'],
    },
    {
      name: 'all that is allowed for *',
      query: scopes('repository:hosted/a:*'),
      want: ['hosted/a:pull,push'],
    },
    {
      name: 'and delete, where that is allowed',
      query: scopes('repository:hosted/a:*', 'repository:hosted/a:pull'),
      as: 'owner',
      want: ['hosted/a:pull,push,delete'],
    },
    {
      name: 'the weaker right, where the other is not there',
      query: scopes('repository:hosted/a:pull,push,delete'),
      as: 'maker',
      want: ['hosted/a:read,create'],
    },
    {
      name: 'but the right itself, where anybody has it',
      query: scopes('repository:one.test/a:pull'),
      as: 'maker',
      want: ['one.test/a:pull'],
    },
    {
      name: 'what is private, to whom it is granted',
      query: scopes('repository:private.test/a/b:pull,push'),
      want: ['private.test/a/b:pull'],
    },
    {
      name: 'no write to a mirror',
      query: scopes('repository:one.test/a/b:*'),
      want: ['one.test/a/b:pull'],
    },
    {
      name: 'nothing of what the configuration denies',
      query: scopes('repository:limited.test/open/secret:pull'),
      want: [],
    },
    {
      name: 'one name for four spellings',
      query: scopes(
        'repository:nginx:pull',
        'repository:library/nginx:pull',
        'repository:docker.io/nginx:pull',
        'repository:index.docker.io/library/nginx:pull',
      ),
      want: ['docker.io/library/nginx:pull'],
    },
    {
      name: 'a host with a port',
      query: scopes('repository:port.test:5000/a/b:pull'),
      want: ['port.test:5000/a/b:pull'],
    },
    {
      name: 'a name without its capability',
      query: scopes(`repository:${SECRET_PATH}/docker.io/library/nginx:pull`),
      want: ['docker.io/library/nginx:pull'],
    },
    {
      name: 'nothing for a capability in the middle of a name',
      query: scopes(`repository:docker.io/${SECRET_PATH}/nginx:pull`),
      want: [],
    },
    {
      name: 'the catalog, to whoever asks',
      query: scopes('registry:catalog:*'),
      want: ['registry:catalog:read'],
    },
    {
      name: 'a class, which says nothing',
      query: scopes('repository(plugin):hosted/a:pull'),
      want: ['hosted/a:pull'],
    },
    {
      name: 'nothing for what is no scope, and the rest',
      query: scopes(
        'x',
        'repository:',
        'foo:hosted/a:pull',
        'repository:hosted/a:fly',
        'repository:hosted/b:pull',
      ),
      want: ['hosted/b:pull'],
    },
    {
      name: 'nothing for names that are none',
      query: scopes(
        'repository:hosted/../a:pull',
        'repository:Hosted/a:pull',
        'repository:hosted/*:pull',
        'repository:hosted/%61:pull',
      ),
      want: [],
    },
  ])('$name', async ({ query, as = 'ci', want }) => {
    expect(await accessOf(await get(query, basic(as)))).toEqual(want)
    const { searchParams } = new URL(query, 'https://a.test/')
    const form = { ...LOGIN, username: as, password: secretOf(as) }
    const scope = searchParams.getAll('scope').join(' ')
    expect(await accessOf(await post({ ...form, scope }))).toEqual(want)
  })

  it('to nobody in particular is what anybody may', async () => {
    const asked = scopes(
      'repository:one.test/a:pull',
      'repository:private.test/a:pull',
      'repository:hosted/a:*',
    )
    expect(await accessOf(await get(asked))).toEqual(['one.test/a:pull'])
  })

  it('fits into a header, however much is asked for', async () => {
    const asked = Array.from(
      { length: 150 },
      (_, n) => `repository:hosted/${'a'.repeat(200)}${n}:*`,
    )
    const answer = await post({ ...LOGIN, scope: asked.join(' ') })
    const { token, scope }: TokenAnswer = await answer.json()
    expect(token.length).toBeLessThanOrEqual(8192)
    const granted = scope.split(' ')
    expect(granted.length).toBeGreaterThan(5)
    const read = await isolate(settings).get(`/v2/hosted/${'a'.repeat(200)}0/tags/list`, {
      authorization: `Bearer ${token}`,
    })
    expect(await refusalOf(read)).toBe('404 NAME_UNKNOWN')
  })
})

describe('who', () => {
  it.each([
    { name: 'a wrong secret', authorization: basic('ci', 'wrong') },
    { name: 'no secret', authorization: basic('ci', '') },
    { name: 'another’s secret', authorization: basic('ci', secretOf('owner')) },
    { name: 'an unknown name', authorization: basic('nobody', secretOf('ci')) },
    { name: 'no name', authorization: basic('', secretOf('ci')) },
    { name: 'another spelling of the name', authorization: basic('CI', secretOf('ci')) },
    { name: 'no colon', authorization: `Basic ${btoa('ci')}` },
    { name: 'no base64', authorization: 'Basic ***' },
    { name: 'a token', authorization: 'Bearer abc' },
    { name: 'another scheme', authorization: 'Negotiate abc' },
    { name: 'two of them', authorization: `${basic('ci')}, ${basic('ci')}` },
    {
      name: 'an ID token of nobody',
      authorization: basic('ci', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.x'),
    },
  ])('T058: $name: 401, the same for all', async ({ authorization }) => {
    const answer = await get(scopes('repository:hosted/a:pull'), authorization)
    const text = await answer.clone().text()
    expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
    expect(text).toBe('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
    expect(answer.headers.get('www-authenticate')).toBeNull()
  })

  it.each([
    { name: 'a capability', scope: `repository:${SECRET_PATH}/hosted/a:pull`, want: [] },
    {
      name: 'two of them',
      scope: `repository:${SECRET_PATH}/docker.io/a/b:pull,push repository:${SECRET_PATH}/x:*`,
      want: ['docker.io/a/b:pull', 'docker.io/library/x:pull'],
    },
    { name: 'a public name', scope: 'repository:one.test/a:pull', want: ['one.test/a:pull'] },
    {
      name: 'a public name, and one that is not',
      scope: 'repository:one.test/a:pull repository:hosted/a:pull',
      want: undefined,
    },
    {
      name: 'a capability, and a name without',
      scope: `repository:${SECRET_PATH}/hosted/a:pull repository:hosted/a:pull`,
      want: undefined,
    },
    { name: 'more than anybody may', scope: 'repository:one.test/a:*', want: undefined },
    { name: 'what is denied', scope: 'repository:limited.test/x:pull', want: undefined },
    { name: 'a name of nothing', scope: 'repository:evil.test/x:pull', want: undefined },
    { name: 'the catalog', scope: 'registry:catalog:*', want: undefined },
    { name: 'no scope', scope: '', want: undefined },
  ])('T041: foreign credentials, for $name: $want', async ({ scope, want }) => {
    const counted: string[] = []
    const limit = async ({ key }: { readonly key: string }) => ({ success: counted.push(key) > 0 })
    settings = { ...settings, LOGIN_LIMIT: { limit } }
    const form = { ...LOGIN, username: 'foreign', password: 'wrong', scope }
    const answers = [
      await get(`?${new URLSearchParams({ scope }).toString()}`, basic('foreign', 'wrong')),
      await post(form),
      await post({ ...form, grant_type: 'refresh_token', refresh_token: 'foreign' }),
    ]
    for (const answer of answers) {
      if (want !== undefined) expect(await accessOf(answer)).toEqual(want)
      else expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
    }
    expect(counted).toHaveLength(want === undefined ? 2 : 0)
    // Where a refresh token is wanted, it matters who wants it.
    expect((await post({ ...form, access_type: 'offline' })).status).toBe(401)
  })

  it.each(['basic', 'BASIC', 'Basic '])('%s: the scheme in any case', async (scheme) => {
    const authorization = basic('ci').replace('Basic', scheme)
    const body: TokenAnswer = await (await get('', authorization)).json()
    expect(claimsOf(body.token)['sub']).toBe('ci')
  })

  it('a capability is no password', async () => {
    const secret = await add('capability', 'nodes', granting('**', 'pull'))
    for (const name of ['nodes', 'ci', '']) {
      expect((await get('', basic(name, secret))).status).toBe(401)
    }
  })

  it('an account that was made here logs in', async () => {
    const secret = await add('account', 'made', granting('hosted/a', 'pull'))
    const asked = scopes('repository:hosted/a:*')
    expect(await accessOf(await get(asked, basic('made', secret)))).toEqual(['hosted/a:pull'])
  })

  it('gets no refresh token for a password, which it can show again', async () => {
    const byGet: TokenAnswer = await (await get('?offline_token=true', basic('ci'))).json()
    expect(byGet).not.toHaveProperty('refresh_token')
    const byPost: TokenAnswer = await (await post({ ...LOGIN, access_type: 'offline' })).json()
    expect(byPost).not.toHaveProperty('refresh_token')
  })
})

describe('what is wrong with a GET', () => {
  it.each([
    { query: '?offline_token=maybe', want: '400 BAD_TOKEN_OPTION' },
    { query: '?offline_token=2', want: '400 BAD_TOKEN_OPTION' },
    { query: '?service=other.test', want: '400 UNSUPPORTED_VALUE' },
    { query: '?service=registry.test:443', want: '400 UNSUPPORTED_VALUE' },
  ])('T054: $query: $want', async ({ query, want }) => {
    expect(await refusalOf(await get(query, basic('ci')))).toBe(want)
    expect(await refusalOf(await get(query))).toBe(want)
  })

  it.each([
    '',
    '?service=registry.test&account=ci&client_id=docker&offline_token=false',
    '?offline_token=T',
    '?service=',
  ])('nothing with %j', async (query) => {
    expect((await get(query, basic('ci'))).status).toBe(200)
  })
})

describe('what is wrong with a POST', () => {
  const without = (name: string) => ({ ...LOGIN, [name]: '' })
  const refresh = { ...LOGIN, grant_type: 'refresh_token', refresh_token: 'abc' }

  it.each([
    { name: 'no grant_type', form: without('grant_type'), want: '400 MISSING_REQUIRED_FIELD' },
    { name: 'no service', form: without('service'), want: '400 MISSING_REQUIRED_FIELD' },
    { name: 'no client_id', form: without('client_id'), want: '400 MISSING_REQUIRED_FIELD' },
    { name: 'no username', form: without('username'), want: '400 MISSING_REQUIRED_FIELD' },
    { name: 'no password', form: without('password'), want: '400 MISSING_REQUIRED_FIELD' },
    {
      name: 'no refresh_token',
      form: { ...refresh, refresh_token: '' },
      want: '400 MISSING_REQUIRED_FIELD',
    },
    {
      name: 'another grant_type',
      form: { ...LOGIN, grant_type: 'authorization_code' },
      want: '400 UNSUPPORTED_VALUE',
    },
    {
      name: 'another access_type',
      form: { ...LOGIN, access_type: 'always' },
      want: '400 UNSUPPORTED_VALUE',
    },
    {
      name: 'another service',
      form: { ...LOGIN, service: 'other.test' },
      want: '400 UNSUPPORTED_VALUE',
    },
    { name: 'a wrong password', form: { ...LOGIN, password: 'wrong' }, want: '401 UNAUTHORIZED' },
    { name: 'an unknown name', form: { ...LOGIN, username: 'nobody' }, want: '401 UNAUTHORIZED' },
    { name: 'a refresh token that is none', form: refresh, want: '401 UNAUTHORIZED' },
  ])('$name: $want', async ({ form, want }) => {
    expect(await refusalOf(await post(form))).toBe(want)
  })

  it('an access token is no refresh token', async () => {
    const { token }: TokenAnswer = await (await post(LOGIN)).json()
    expect(await refusalOf(await post({ ...refresh, refresh_token: token }))).toBe(
      '401 UNAUTHORIZED',
    )
  })

  it.each([
    { type: `${FORM}; charset=utf-8`, want: 200 },
    { type: 'Application/X-WWW-Form-URLencoded', want: 200 },
    { type: 'application/json', want: 400 },
    { type: `${FORM}x`, want: 400 },
    { type: '', want: 400 },
  ])('$type: $want', async ({ type, want }) => {
    expect((await post(LOGIN, type)).status).toBe(want)
  })

  it('nothing of it may be in the query', async () => {
    const query = new URLSearchParams(LOGIN)
    const answer = await isolate(settings).fetch(`/token?${query.toString()}`, {
      method: 'POST',
      headers: { 'content-type': FORM },
    })
    expect(await refusalOf(answer)).toBe('400 MISSING_REQUIRED_FIELD')
  })

  it.each([
    { size: 64 * 1024, want: 200 },
    { size: 64 * 1024 + 1, want: 413 },
  ])('T114: $size bytes: $want', async ({ size, want }) => {
    const plain = new URLSearchParams({ ...LOGIN, scope: '' }).toString()
    expect((await post({ ...LOGIN, scope: 'x'.repeat(size - plain.length) })).status).toBe(want)
  })
})

it.each(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s: 405', async (method) => {
  const answer = await isolate(settings).fetch('/token', { method })
  expect(answer.status).toBe(405)
  expect(answer.headers.get('allow')).toBe('GET, POST')
})

it('is in the log with who it was for, and without what it showed', async () => {
  const worker = isolate(settings)
  await worker.get('/token', { authorization: basic('ci') })
  await worker.get('/token', { authorization: basic('ci', 'canary-wrong') })
  expect(worker.lines('request')).toMatchObject([
    { endpoint: 'token', caller: 'ci', status: 200 },
    { endpoint: 'token', caller: undefined, status: 401 },
  ])
  expect(JSON.stringify(worker.lines())).not.toContain('canary')
})
