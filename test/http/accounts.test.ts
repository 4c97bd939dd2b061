// `/_/api/…`: what an administrator can do to accounts, who is none, what is refused and why, and that a
// secret shows itself once and nowhere else.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Account, GrantText } from '../../src/auth/account.ts'
import { accounts, add, authority, basic, bearer, granting, secretOf } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { stopClock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const ACCOUNTS = '/_/api/accounts'
const AUDIT = '/_/api/audit'
const SECRET = /^[a-z2-7]{52}$/
const CI = { name: 'ci', kind: 'account', grants: [granting('hosted/**', 'pull', 'push')] } as const
const EDGE = { name: 'edge', kind: 'capability', grants: [granting('**', 'pull')] } as const
const TAGS = '/v2/hosted/app/tags/list'

let settings: Readonly<Record<string, unknown>>
let registry: Isolate

beforeEach(async () => {
  stopClock()
  const made = await accounts({
    root: [granting('**', 'admin')],
    writer: [granting('**', 'pull', 'read', 'push', 'create', 'delete')],
  })
  settings = { HOSTED: OPEN.HOSTED, ANONYMOUS: [], ...made }
  registry = isolate(settings)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** A request of the administrator, or of somebody else. */
function ask(
  method: string,
  path: string,
  {
    body,
    authorization = basic('root'),
    type = 'application/json',
  }: { readonly body?: unknown; readonly authorization?: string; readonly type?: string } = {},
): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return registry.fetch(path, {
    method,
    headers: {
      ...(authorization !== '' && { authorization }),
      ...(text !== undefined && { 'content-type': type }),
    },
    ...(text !== undefined && { body: text }),
  })
}

/** The members of an answer, which nobody may keep. */
async function membersOf(response: Response, status = 200): Promise<Record<string, unknown>> {
  expect(response.status).toBe(status)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  return response.json()
}

async function make(body: object): Promise<string> {
  const { secret } = await membersOf(await ask('POST', ACCOUNTS, { body }), 201)
  expect(secret).toMatch(SECRET)
  return String(secret)
}

async function statusWith(name: string, secret: string): Promise<number> {
  return (await registry.get(TAGS, { authorization: basic(name, secret) })).status
}

describe('an administrator', () => {
  it('makes an account that can log in from then on', async () => {
    const answer = await membersOf(await ask('POST', ACCOUNTS, { body: CI }), 201)
    const { secret, ...others } = answer
    expect(others).toEqual(CI)
    expect(await statusWith('ci', String(secret))).toBe(404)
    expect(await statusWith('ci', 'another')).toBe(401)
  })

  it('makes a capability, which is a path', async () => {
    const secret = await make(EDGE)
    expect((await registry.get(`/t/${secret}/v2/`)).status).toBe(200)
    expect(await statusWith('edge', secret)).toBe(401)
  })

  it('makes an account where no kind is said', async () => {
    const { name, grants } = CI
    const answer = await ask('POST', ACCOUNTS, { body: { name, grants } })
    expect(await membersOf(answer, 201)).toMatchObject({ kind: 'account' })
  })

  it('lists all accounts and what they may, with those of the configuration', async () => {
    await make(CI)
    await make(EDGE)
    const { accounts: listed } = await membersOf(await ask('GET', ACCOUNTS))
    const createdAt = new Date(Date.now()).toISOString()
    expect(listed).toEqual([
      expect.objectContaining({ name: 'root', kind: 'account', configured: true }),
      expect.objectContaining({ name: 'writer', kind: 'account', configured: true }),
      { ...CI, configured: false, createdAt },
      { ...EDGE, configured: false, createdAt },
    ])
  })

  it('rotates a secret, which ends the old one at once', async () => {
    const old = await make(CI)
    expect(await statusWith('ci', old)).toBe(404)
    const answer = await membersOf(await ask('POST', `${ACCOUNTS}/ci/rotate`))
    const { secret, ...others } = answer
    expect(others).toEqual({ name: 'ci', kind: 'account' })
    expect(await statusWith('ci', String(secret))).toBe(404)
    expect(await statusWith('ci', old)).toBe(401)
  })

  it('revokes an account, which ends its secret at once', async () => {
    const secret = await make(CI)
    expect(await statusWith('ci', secret)).toBe(404)
    const answer = await ask('DELETE', `${ACCOUNTS}/ci`)
    expect([answer.status, await answer.text()]).toEqual([204, ''])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(await statusWith('ci', secret)).toBe(401)
  })

  it('sees who has changed what, the newest first', async () => {
    const owner = await make({ ...CI, name: 'owner', grants: [granting('**', 'admin')] })
    const authorization = basic('owner', owner)
    await ask('POST', ACCOUNTS, { body: CI, authorization })
    await ask('POST', `${ACCOUNTS}/ci/rotate`, { authorization })
    await ask('DELETE', `${ACCOUNTS}/owner`)
    const { audit } = await membersOf(await ask('GET', AUDIT))
    const at = new Date(Date.now()).toISOString()
    const entries = (audit as Readonly<Record<string, string>>[]).filter(
      ({ what }) => what !== 'rotate-key',
    )
    expect(entries).toEqual([
      { at, by: 'root', what: 'revoke', name: 'owner' },
      { at, by: 'owner', what: 'rotate', name: 'ci' },
      { at, by: 'owner', what: 'add', name: 'ci' },
      { at, by: 'root', what: 'add', name: 'owner' },
    ])
  })

  it('is told that accounts cannot be reached', async () => {
    registry = isolate({ ...settings, AUTHORITY: broken('objects') })
    const answer = await ask('GET', ACCOUNTS)
    expect(answer.headers.get('retry-after')).toBe('10')
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })

  it('sees no secret again, and neither does anybody who reads the log', async () => {
    const made = [await make(CI), await make(EDGE)]
    const { secret } = await membersOf(await ask('POST', `${ACCOUNTS}/ci/rotate`))
    await statusWith('ci', String(secret))
    const shown = await Promise.all(
      [ACCOUNTS, AUDIT].map(async (path) => (await ask('GET', path)).text()),
    )
    await ask('POST', ACCOUNTS, { body: CI })
    await ask('DELETE', `${ACCOUNTS}/ci`)
    const told = [...shown, ...registry.lines().map((line) => JSON.stringify(line))].join('\n')
    expect(told).toContain('"caller":"root"')
    for (const each of [...made, String(secret), secretOf('root')]) {
      expect(told).not.toContain(each)
      expect(told).not.toContain(btoa(each).slice(0, 40))
    }
    for (const { secretHash } of (await authority().snapshot()).accounts) {
      expect(told).not.toContain(secretHash)
    }
  })
})

const CALLS = [
  { method: 'GET', path: ACCOUNTS },
  { method: 'HEAD', path: ACCOUNTS },
  { method: 'POST', path: ACCOUNTS, body: CI },
  { method: 'DELETE', path: `${ACCOUNTS}/victim` },
  { method: 'DELETE', path: `${ACCOUNTS}/nobody` },
  { method: 'POST', path: `${ACCOUNTS}/victim/rotate` },
  { method: 'GET', path: AUDIT },
] as const

describe.each(CALLS)('$method $path', ({ method, path, ...sent }) => {
  it.each([
    { name: 'nobody', authorization: () => '' },
    { name: 'an account without admin', authorization: () => basic('writer') },
    { name: 'a wrong secret', authorization: () => basic('root', 'wrong') },
    { name: 'an unknown account', authorization: () => basic('toor') },
    {
      name: 'a token of the administrator',
      authorization: () => bearer(registry, ['registry:catalog:*'], basic('root')),
    },
    {
      name: 'the secret of a capability as a password',
      authorization: async () =>
        basic('path', await add('capability', 'path', granting('**', 'pull'))),
    },
  ])('is for no $name', async ({ authorization }) => {
    const victim = await add('account', 'victim', granting('hosted/**', 'pull'))
    const before = await authority().audit()
    const answer = await ask(method, path, { ...sent, authorization: await authorization() })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="[^"]+",service="[^"]+"/)
    expect(await statusWith('victim', victim)).toBe(404)
    const others = (await authority().audit()).filter(({ what, name }) => {
      return what !== 'rotate-key' && name !== 'path'
    })
    expect(others).toEqual(before.filter(({ what }) => what !== 'rotate-key'))
  })

  it('is for nobody where ANONYMOUS grants admin: a change must have a name', async () => {
    registry = isolate({ ...settings, ANONYMOUS: [granting('**', 'admin')] })
    expect((await ask(method, path, { ...sent, authorization: '' })).status).toBe(401)
    expect((await ask(method, path, { ...sent, authorization: basic('writer') })).status).toBe(401)
  })

  it('is not below a capability', async () => {
    const secret = await add('capability', 'path', granting('**', 'pull'))
    for (const prefix of [`/t/${secret}`, `/v2/t/${secret}`]) {
      expect((await ask(method, prefix + path, sent)).status).toBe(404)
    }
  })
})

describe('the audit', () => {
  async function page(query: string): Promise<Record<string, unknown>> {
    return membersOf(await ask('GET', `${AUDIT}${query}`))
  }

  it('is shown a page at a time', async () => {
    for (const title of ['a', 'b', 'c']) await authority().note('purge', title, 'root')
    const { audit: all } = await page('')
    expect(all).toHaveLength(3)
    const first = await page('?n=2')
    expect(first['next']).toMatch(/^\d+$/)
    const second = await page(`?n=2&last=${String(first['next'])}`)
    expect(second).toEqual({
      audit: [{ at: expect.any(String), by: 'root', what: 'purge', name: 'a' }],
    })
    expect([first['audit'], second['audit']].flat()).toEqual(all)
    expect(await page('?n=0')).toEqual({ audit: [] })
    expect(await page('?n=99999')).toEqual({ audit: all })
  })

  it.each(['?n=x', '?last=x', '?last=-1', `?last=${'9'.repeat(16)}`])(
    'is refused for %s',
    async (query) => {
      expect(await refusalOf(await ask('GET', `${AUDIT}${query}`))).toMatch(/^400 UNSUPPORTED/)
    },
  )
})

const { name, kind, grants } = CI
const BAD: readonly {
  readonly what: string
  readonly body: unknown
  readonly type?: string
  readonly want: string
  readonly field: string
}[] = [
  { what: 'no JSON', body: '{', want: '400 UNSUPPORTED_VALUE', field: '' },
  { what: 'a list', body: [CI], want: '400 UNSUPPORTED_VALUE', field: '' },
  {
    what: 'a key twice',
    body: `{"name":"a","name":"b","grants":${JSON.stringify(grants)}}`,
    want: '400 UNSUPPORTED_VALUE',
    field: '',
  },
  {
    what: 'an unknown key',
    body: { ...CI, secret: 'x' },
    want: '400 UNSUPPORTED_VALUE',
    field: '',
  },
  {
    what: 'the type that a form can have',
    body: CI,
    type: 'text/plain',
    want: '400 UNSUPPORTED_VALUE',
    field: 'Content-Type',
  },
  { what: 'no name', body: { kind, grants }, want: '400 MISSING_REQUIRED_FIELD', field: 'name' },
  {
    what: 'a name in upper case',
    body: { ...CI, name: 'CI' },
    want: '400 UNSUPPORTED_VALUE',
    field: 'name',
  },
  {
    what: 'a name with a colon',
    body: { ...CI, name: 'a:b' },
    want: '400 UNSUPPORTED_VALUE',
    field: 'name',
  },
  {
    what: 'a name of 65 characters',
    body: { ...CI, name: 'a'.repeat(65) },
    want: '400 UNSUPPORTED_VALUE',
    field: 'name',
  },
  {
    what: 'a number as name',
    body: { ...CI, name: 1 },
    want: '400 UNSUPPORTED_VALUE',
    field: 'name',
  },
  {
    what: 'an unknown kind',
    body: { ...CI, kind: 'robot' },
    want: '400 UNSUPPORTED_VALUE',
    field: 'kind',
  },
  { what: 'no grants', body: { name, kind }, want: '400 MISSING_REQUIRED_FIELD', field: 'grants' },
  {
    what: 'empty grants',
    body: { ...CI, grants: [] },
    want: '400 UNSUPPORTED_VALUE',
    field: 'grants',
  },
  {
    what: 'a grant without actions',
    body: { ...CI, grants: [...grants, { repositories: ['a'], actions: [] }] },
    want: '400 UNSUPPORTED_VALUE',
    field: 'grants[1]',
  },
  {
    what: 'an unknown action',
    body: { ...CI, grants: [{ repositories: ['a'], actions: ['write'] }] },
    want: '400 UNSUPPORTED_VALUE',
    field: 'grants[0]',
  },
  {
    what: 'a pattern that is none',
    body: { ...CI, grants: [{ repositories: ['A b'], actions: ['pull'] }] },
    want: '400 UNSUPPORTED_VALUE',
    field: 'grants[0]',
  },
  {
    what: 'a capability that could push',
    body: { ...EDGE, grants: [granting('hosted/**', 'pull', 'push')] },
    want: '400 UNSUPPORTED_VALUE',
    field: 'grants',
  },
  { what: 'a name that is taken', body: EDGE, want: '400 UNSUPPORTED_VALUE', field: 'name' },
  {
    what: 'a name of the configuration',
    body: { ...CI, name: 'writer' },
    want: '400 UNSUPPORTED_VALUE',
    field: 'name',
  },
]

/** What an error says is wrong. */
async function fieldOf(response: Response): Promise<unknown> {
  const { errors }: { errors: { detail?: { field?: unknown }; message: string }[] } = JSON.parse(
    await response.text(),
  )
  return errors[0]?.detail?.field
}

describe('what is no account', () => {
  it.each(BAD)('is refused with what is wrong: $what', async ({ body, type, want, field }) => {
    await make(EDGE)
    const before = await authority().list()
    const answer = await ask('POST', ACCOUNTS, { body, ...(type !== undefined && { type }) })
    expect(await fieldOf(answer.clone())).toBe(field)
    expect(await refusalOf(answer)).toBe(want)
    expect(await authority().list()).toEqual(before)
  })

  it('is not read beyond 64 KiB', async () => {
    const long: GrantText = granting('a'.repeat(70_000), 'pull')
    const answer = await ask('POST', ACCOUNTS, { body: { ...CI, grants: [long] } })
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
  })

  it('can be as large as that', async () => {
    const many = Array.from({ length: 400 }, (_, index) =>
      granting(`${'a'.repeat(90)}/${index}`, 'pull'),
    )
    const body: Pick<Account, 'name' | 'grants'> = { name: 'many', grants: many }
    expect(JSON.stringify(body).length).toBeGreaterThan(50_000)
    await make(body)
  })

  it.each([
    { method: 'DELETE', path: `${ACCOUNTS}/nobody` },
    { method: 'POST', path: `${ACCOUNTS}/nobody/rotate` },
    { method: 'DELETE', path: `${ACCOUNTS}/writer`, want: '400 UNSUPPORTED_VALUE' },
    { method: 'POST', path: `${ACCOUNTS}/writer/rotate`, want: '400 UNSUPPORTED_VALUE' },
  ])('cannot be changed: $method $path', async ({ method, path, want = '404 NAME_UNKNOWN' }) => {
    expect(await refusalOf(await ask(method, path))).toBe(want)
  })
})

describe('the API', () => {
  it.each([
    { method: 'PUT', path: ACCOUNTS, allow: 'GET, HEAD, POST' },
    { method: 'OPTIONS', path: ACCOUNTS, allow: 'GET, HEAD, POST' },
    { method: 'GET', path: `${ACCOUNTS}/ci`, allow: 'DELETE' },
    { method: 'GET', path: `${ACCOUNTS}/ci/rotate`, allow: 'POST' },
    { method: 'POST', path: AUDIT, allow: 'GET, HEAD' },
  ])('does not know $method $path', async ({ method, path, allow }) => {
    const answer = await ask(method, path)
    expect(answer.headers.get('allow')).toBe(allow)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
  })

  it.each([
    '/_/api',
    '/_/api/',
    `${ACCOUNTS}/`,
    `${ACCOUNTS}/ci/`,
    `${ACCOUNTS}//rotate`,
    `${ACCOUNTS}/c%69`,
    '/_/%61pi/accounts',
    '/_/api/x',
    '/v2/_/api/accounts',
  ])('is not at %s', async (path) => {
    await make(CI)
    for (const method of ['GET', 'DELETE']) {
      const answer = await ask(method, path)
      expect(answer.status).toBe(404)
    }
    expect(await authority().list()).toHaveLength(1)
  })

  it('sets no cookie', async () => {
    expect((await ask('GET', ACCOUNTS)).headers.get('set-cookie')).toBeNull()
  })
})
