// Every route, the right that each of its methods needs, and that nothing else answers: the whole of it as one table,
// tried by every kind of caller. A route that is not in the table fails the test.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Action } from '../../src/auth/account.ts'
import { createApp } from '../../src/http/app.ts'
import type { Endpoint } from '../../src/oci/endpoint.ts'
import { accounts, add, authority, basic, bearer, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const ABSENT = `sha256:${'0'.repeat(64)}`
const SESSION = '00000000-0000-4000-8000-000000000000-00000000'
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'] as const

/**
 * What a method of a route needs. `nothing`: not even to be somebody; `token`: no credentials, or a right password;
 * `login`: to be somebody, if by a token for nobody. The rest are actions of grants, `administrator` one that a token
 * cannot be for.
 */
type Right =
  | 'nothing'
  | 'token'
  | 'login'
  | 'administrator'
  | Exclude<Action, 'admin' | 'pull' | 'push'>

interface Route {
  readonly path: string
  readonly kind: Endpoint['kind'] | 'other'
  readonly needs: Partial<Readonly<Record<(typeof METHODS)[number], Right>>>
  /** Whether it is a page: a browser is asked to log in, and shown nothing that a token says. */
  readonly isPage?: true
}

const ADMINISTRATED = { GET: 'administrator', HEAD: 'administrator' } as const
const FOR_ALL = { GET: 'nothing', HEAD: 'nothing' } as const
const READ = { GET: 'read', HEAD: 'read' } as const
const HOSTED = '/v2/hosted/app'
const MIRROR = '/v2/private.test/a/b'

const ROUTES: readonly Route[] = [
  { path: '/healthz', kind: 'other', needs: { GET: 'nothing', HEAD: 'nothing' } },
  { path: '/token', kind: 'other', needs: { GET: 'token', POST: 'token' } },
  {
    path: '/_/upstreams',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator' },
  },
  {
    path: '/_/api/accounts',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator', POST: 'administrator' },
  },
  { path: '/_/api/accounts/none', kind: 'other', needs: { DELETE: 'administrator' } },
  { path: '/_/api/accounts/none/rotate', kind: 'other', needs: { POST: 'administrator' } },
  {
    path: '/_/api/audit',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator' },
  },
  ...['upstreams', 'images', 'images/hosted/app', 'images/hosted/app:v1'].map((name): Route => ({
    path: `/_/api/${name}`,
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator' },
  })),
  {
    path: '/_/api/jobs',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator', POST: 'administrator' },
  },
  {
    path: '/_/api/jobs/none',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator', DELETE: 'administrator' },
  },
  {
    path: '/_/api/jobs/none/report',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator' },
  },
  {
    path: '/metrics',
    kind: 'other',
    needs: { GET: 'administrator', HEAD: 'administrator' },
  },
  {
    path: '/_/api/switches',
    kind: 'other',
    needs: {
      GET: 'administrator',
      HEAD: 'administrator',
      PUT: 'administrator',
      PATCH: 'administrator',
    },
  },
  { path: '/_/', kind: 'other', needs: ADMINISTRATED, isPage: true },
  { path: '/_/activity', kind: 'other', needs: ADMINISTRATED, isPage: true },
  { path: '/_/connect', kind: 'other', needs: FOR_ALL, isPage: true },
  { path: '/_/style.css', kind: 'other', needs: FOR_ALL, isPage: true },
  { path: '/_/icon.svg', kind: 'other', needs: FOR_ALL, isPage: true },
  { path: '/v2/', kind: 'base', needs: { GET: 'login', HEAD: 'login' } },
  { path: '/docker.io/v2/', kind: 'base', needs: { GET: 'login', HEAD: 'login' } },
  { path: '/v2/_catalog', kind: 'catalog', needs: { GET: 'login', HEAD: 'login' } },
  {
    path: `${HOSTED}/manifests/v1`,
    kind: 'manifest',
    needs: { ...READ, PUT: 'create', DELETE: 'delete' },
  },
  {
    path: `${HOSTED}/manifests/${ABSENT}`,
    kind: 'manifest',
    needs: { ...READ, PUT: 'create', DELETE: 'delete' },
  },
  { path: `${HOSTED}/blobs/${ABSENT}`, kind: 'blob', needs: { ...READ, DELETE: 'delete' } },
  { path: `${HOSTED}/blobs/uploads/`, kind: 'uploads', needs: { POST: 'create' } },
  {
    path: `${HOSTED}/blobs/uploads/${SESSION}`,
    kind: 'upload',
    needs: { GET: 'create', HEAD: 'create', PATCH: 'create', PUT: 'create', DELETE: 'create' },
  },
  { path: `${HOSTED}/tags/list`, kind: 'tags', needs: READ },
  { path: `${HOSTED}/referrers/${ABSENT}`, kind: 'referrers', needs: READ },
  { path: `${MIRROR}/manifests/v1`, kind: 'manifest', needs: READ },
  { path: '/private.test/v2/a/b/manifests/v1', kind: 'manifest', needs: READ },
  { path: '/v2/a/b/manifests/v1?ns=private.test', kind: 'manifest', needs: READ },
  { path: `${MIRROR}/manifests/${ABSENT}`, kind: 'manifest', needs: READ },
  { path: `${MIRROR}/blobs/${ABSENT}`, kind: 'blob', needs: READ },
  { path: `${MIRROR}/blobs/uploads/`, kind: 'uploads', needs: {} },
  { path: `${MIRROR}/blobs/uploads/${SESSION}`, kind: 'upload', needs: {} },
  { path: `${MIRROR}/tags/list`, kind: 'tags', needs: READ },
  { path: `${MIRROR}/referrers/${ABSENT}`, kind: 'referrers', needs: READ },
]

const SCOPES = ['repository:hosted/app:*', 'repository:private.test/a/b:*', 'registry:catalog:*']

interface Caller {
  readonly name: string
  readonly has: readonly Right[]
  readonly error?: 'insufficient_scope' | 'invalid_token'
  /** The `Authorization`. */
  readonly show: (worker: Isolate) => Promise<string | undefined>
}

/** A token of an account that has one right on everything. */
function tokenTo(action: Action, has: readonly Right[]): Caller {
  return {
    name: `a token to ${action}`,
    has: ['nothing', 'login', ...has],
    error: 'insufficient_scope',
    show: (worker) => bearer(worker, SCOPES, basic(action)),
  }
}

const SOMEBODY: readonly Right[] = ['nothing', 'token', 'login']

const CALLERS: readonly Caller[] = [
  { name: 'anonymous', has: ['nothing', 'token'], show: async () => undefined },
  {
    name: 'a token of nobody',
    has: ['nothing', 'login'],
    error: 'insufficient_scope',
    show: (worker) => bearer(worker, SCOPES),
  },
  tokenTo('read', ['read']),
  tokenTo('pull', ['read']),
  tokenTo('create', ['create']),
  tokenTo('push', ['create']),
  tokenTo('delete', ['delete']),
  tokenTo('admin', []),
  { name: 'an account without grants here', has: SOMEBODY, show: async () => basic('other') },
  {
    name: 'an account that may do everything to repositories',
    has: [...SOMEBODY, 'read', 'create', 'delete'],
    show: async () => basic('owner'),
  },
  {
    name: 'an administrator',
    has: [...SOMEBODY, 'administrator'],
    show: async () => basic('admin'),
  },
  { name: 'a revoked account', has: ['nothing'], show: async () => basic('made', made) },
  {
    name: 'a token of a revoked account',
    has: ['nothing'],
    error: 'invalid_token',
    show: async () => token,
  },
  {
    name: 'an expired token',
    has: ['nothing'],
    error: 'invalid_token',
    show: async () => expired,
  },
  {
    name: 'a foreign password',
    has: ['nothing'],
    show: async () => basic('foreign', 'pull-secret'),
  },
  {
    name: 'a foreign token',
    has: ['nothing'],
    error: 'invalid_token',
    show: async () => 'Bearer eyJhbGciOiJub25lIn0.e30.',
  },
]

let settings: Readonly<Record<string, unknown>>
let made: string
let token: string
let expired: string
let capability: string

beforeEach(async () => {
  goOnline({ 'private.test': startUpstream() })
  const actions = ['read', 'pull', 'create', 'push', 'delete', 'admin'] as const
  const configured = await accounts({
    ...Object.fromEntries(actions.map((action) => [action, [granting('**', action)]])),
    owner: [granting('**', 'pull', 'push', 'delete')],
    other: [granting('other/**', 'pull', 'push', 'delete')],
  })
  settings = { HOSTED: OPEN.HOSTED, LOGIN_LIMIT: undefined, ...configured }
  const clock = stopClock()
  made = await add('account', 'made', granting('**', 'pull', 'push', 'delete', 'admin'))
  capability = await add('capability', 'nodes', granting('**', 'pull'))
  const worker = isolate(settings)
  expired = await bearer(worker, SCOPES, basic('owner'))
  clock.advance(7 * MINUTE + SECOND)
  token = await bearer(worker, SCOPES, basic('made', made))
  await authority().revoke('made', 'a test')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** The answer in short: how it was refused, or that it was not. */
async function outcomeOf(answer: Response, method: string): Promise<string> {
  const { status } = answer
  const challenge = answer.headers.get('www-authenticate')
  const error = challenge === null ? '' : ` ${/error="(.*)"/.exec(challenge)?.[1] ?? 'challenge'}`
  if (![401, 403, 405, 429].includes(status)) return status < 500 ? 'passes' : String(status)
  if (method === 'HEAD') return `${status}${error}`
  return `${(await refusalOf(answer)).split(' ')[0]}${error}`
}

async function ask(worker: Isolate, method: string, path: string, authorization?: string) {
  const headers = authorization === undefined ? {} : { authorization }
  return worker.fetch(path, { method, headers })
}

function wanted(route: Route, method: (typeof METHODS)[number], caller: Caller): string {
  const need = route.needs[method]
  if (need === undefined) return '405'
  if (caller.has.includes(need)) return 'passes'
  if (need === 'token') return '401'
  if (route.isPage) return '401 challenge'
  // A login in vain and no login are asked for one; only a token has something wrong with it.
  return `401 ${caller.error ?? 'challenge'}`
}

describe('T060: whoever asks', () => {
  it.each(ROUTES)('for $path is let do what its rights are for', async (route) => {
    const worker = isolate(settings)
    const found: string[] = []
    const want: string[] = []
    for (const caller of CALLERS) {
      const authorization = await caller.show(worker)
      for (const method of METHODS) {
        const answer = await ask(worker, method, route.path, authorization)
        const outcome = await outcomeOf(answer, method)
        // A form that is empty is not looked at any further.
        const isForm = route.path === '/token' && method === 'POST'
        found.push(`${caller.name}: ${method} ${isForm ? 'passes' : outcome}`)
        want.push(`${caller.name}: ${method} ${isForm ? 'passes' : wanted(route, method, caller)}`)
      }
    }
    expect(found).toEqual(want)
  })

  it.each(ROUTES.filter(({ path }) => path.includes('/v2/')))(
    'by a capability for $path reads and does nothing else',
    async ({ path, kind, needs }) => {
      const worker = isolate(settings)
      const reads = kind === 'upload' ? [] : ['GET', 'HEAD'].filter((each) => each in needs)
      for (const method of METHODS) {
        const answer = await ask(worker, method, `/t/${capability}${path}`, basic('owner'))
        expect([method, await outcomeOf(answer, method)]).toEqual([
          method,
          reads.includes(method) ? 'passes' : '405',
        ])
      }
    },
  )
})

describe('T131: there is', () => {
  it('a row for every endpoint and every route that the app knows', () => {
    const kinds: Record<Endpoint['kind'], true> = {
      base: true,
      catalog: true,
      blob: true,
      manifest: true,
      uploads: true,
      upload: true,
      tags: true,
      referrers: true,
    }
    const tested = new Set(ROUTES.map(({ kind }) => kind))
    expect(Object.keys(kinds).filter((kind) => !tested.has(kind as Endpoint['kind']))).toEqual([])
    const { paths } = createApp(() => undefined)
    expect(paths.toSorted()).toEqual([
      '/_/*',
      '/_/api/*',
      '/_/api/switches',
      '/_/upstreams',
      '/healthz',
      '/metrics',
      '/token',
    ])
    for (const path of paths) {
      const stem = path.replace('*', '')
      expect(ROUTES.some((route) => route.path.startsWith(stem))).toBe(true)
    }
  })

  it.each([
    '/',
    '/index.html',
    '/robots.txt',
    '/admin',
    '/metrics/',
    '/debug/pprof',
    '/.well-known/openid-configuration',
    '/token/',
    '/v2/token',
    '/v1/',
    '/V2/',
    '/v2//',
    '//v2/',
    '/v3/hosted/app/tags/list',
    '/healthz/x',
    '/_/api',
    '/_/api/',
    '/_/api/keys',
    '/_/api/accounts/',
    '/_/api/accounts/a/b',
    '/_/upstreams/docker.io',
    '/v2/_oci/ext/discover',
    '/v2/hosted/app',
    '/v2/hosted/app/',
    '/v2/hosted/app/tags',
    '/v2/hosted/app/tags/list/x',
    '/v2/hosted/app/manifests',
    '/v2/hosted/app/_trust/tuf/root.json',
    '/t/',
    '/t/x/v2/',
    '/cdn-cgi/mf/explorer/api',
    '/?x=/v2/',
    '/#/v2/',
  ])('nothing at %s, for anybody', async (path) => {
    const worker = isolate(settings)
    for (const authorization of [undefined, basic('admin'), basic('owner')]) {
      for (const method of METHODS) {
        const answer = await ask(worker, method, path, authorization)
        if (method === 'HEAD') expect([method, answer.status]).toEqual([method, 404])
        else expect([method, await refusalOf(answer)]).toEqual([method, '404 NAME_UNKNOWN'])
      }
    }
  })
})

it.each([
  `${HOSTED}/tags/list?x=/v2/`,
  `${HOSTED}/tags/list?name=other/a`,
  `${HOSTED}/tags/list?ns=`,
  '/v2/hosted%2Fapp/tags/list',
  '/v2/hosted/%61pp/tags/list',
  '/v2/hosted//app/tags/list',
  '/v2/other/../hosted/app/tags/list',
  '/v2/hosted/app;x/tags/list',
])('T062: %s changes nothing for who may not', async (path) => {
  const worker = isolate(settings)
  for (const authorization of [
    undefined,
    basic('other'),
    await bearer(worker, [], basic('other')),
  ]) {
    const { status } = await ask(worker, 'GET', path, authorization)
    expect([path, [400, 401, 404].includes(status)]).toEqual([path, true])
  }
})
