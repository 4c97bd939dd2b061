// Two accounts that share a registry: what one has, the other neither gets nor learns of, by password or by token. And
// what it costs to be let read only, push only new tags, or fetch only so much.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { accounts, add, basic, bearer, granting } from '../support/accounts.ts'
import { nextOf, refusalOf } from '../support/answer.ts'
import {
  CONFIG,
  LAYER,
  OCI_MANIFEST,
  OPEN,
  encode,
  locationOf,
  manifestOf,
  noise,
  startHosted,
  withDigest,
} from '../support/hosted-registry.ts'
import type { Content } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken as away } from '../support/operations.ts'

const ABSENT = `sha256:${'0'.repeat(64)}`
const ALL = ['pull', 'push', 'delete'] as const

let upstream: SampleUpstream
let net: Network
let mirrored: SampleManifest
let image: Content
let blob: Content
let settings: Readonly<Record<string, unknown>>

beforeEach(async () => {
  upstream = startUpstream()
  net = goOnline({ 'private.test': upstream, 'one.test': upstream })
  mirrored = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', mirrored, 'v1')
  blob = await noise(100, { seed: 7 })
  const registry = startHosted()
  image = await registry.pushImage('hosted/a', { reference: 'v1' })
  await registry.pushBlob('hosted/a', blob)
  const made = await accounts({
    a: [granting('hosted/a', ...ALL), granting('private.test/**', 'pull')],
    b: [granting('hosted/b', ...ALL)],
    both: [granting('hosted/*', ...ALL)],
  })
  settings = { HOSTED: OPEN.HOSTED, ...made }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Both ways in which an account shows who it is; the token is for all that it may. */
const WAYS = [
  { way: 'by password', show: async (_: Isolate, name: string) => basic(name) },
  {
    way: 'by token',
    show: (worker: Isolate, name: string) =>
      bearer(
        worker,
        ['hosted/a', 'hosted/b', 'private.test/a/b', 'one.test/a/b'].map(
          (each) => `repository:${each}:*`,
        ),
        basic(name),
      ),
  },
]

/** A client that is one account. */
async function client(name: string, show: (typeof WAYS)[number]['show'], more: object = {}) {
  const worker = isolate({ ...settings, ...more })
  const authorization = await show(worker, name)
  return {
    ...worker,
    send: (method: string, path: string, body?: Uint8Array, type?: string) =>
      worker.fetch(path, {
        method,
        headers: { authorization, ...(type !== undefined && { 'content-type': type }) },
        ...(body !== undefined && { body }),
      }),
  }
}

describe('a token for less than its account may', () => {
  it.each([
    { name: 'by name', query: '&from=hosted/a' },
    { name: 'by nobody’s name', query: '' },
  ])('mounts, $name, once it is for the source too, and is told so', async ({ query }) => {
    const worker = isolate(settings)
    const target = 'repository:hosted/b:pull,push'
    const path = `/v2/hosted/b/blobs/uploads/?mount=${blob.digest}${query}`
    const mount = async (...scopes: readonly string[]) =>
      worker.fetch(path, {
        method: 'POST',
        headers: { authorization: await bearer(worker, scopes, basic('both')) },
      })
    const refused = await mount(target)
    expect(await refusalOf(refused)).toBe('401 UNAUTHORIZED')
    const challenge = refused.headers.get('www-authenticate')
    const source = 'repository:hosted/a:pull'
    expect(challenge).toContain(`scope="${target} ${source}",error="insufficient_scope"`)
    expect((await mount(target, source)).status).toBe(201)
  })
})

describe.each(WAYS)('another account, $way', ({ show }) => {
  it('T070: gets no blob by its digest, and none by asking twice', async () => {
    const { send } = await client('b', show)
    for (const method of ['HEAD', 'GET', 'HEAD', 'GET']) {
      expect((await send(method, `/v2/hosted/b/blobs/${blob.digest}`)).status).toBe(404)
    }
    expect((await send('GET', `/v2/hosted/b/manifests/${image.digest}`)).status).toBe(404)
  })

  it.each([
    { name: 'by name', query: '&from=hosted/a' },
    { name: 'by nobody’s name', query: '' },
    { name: 'from itself', query: '&from=hosted/b' },
    { name: 'from where nothing is', query: '&from=hosted/c' },
    { name: 'from a mirror', query: '&from=private.test/a/b' },
  ])('T071: mounts nothing $name: 202, as for what does not exist', async ({ query }) => {
    const { send } = await client('b', show)
    const told: unknown[] = []
    for (const digest of [blob.digest, ABSENT]) {
      const answer = await send('POST', `/v2/hosted/b/blobs/uploads/?mount=${digest}${query}`)
      told.push([answer.status, [...answer.headers.keys()], await answer.text()])
    }
    expect(told[0]).toMatchObject([202, {}, ''])
    expect(told[0]).toEqual(told[1])
    expect((await send('HEAD', `/v2/hosted/b/blobs/${blob.digest}`)).status).toBe(404)
  })

  it('T065: mounts what it may read', async () => {
    const { send } = await client('both', show)
    const path = `/v2/hosted/b/blobs/uploads/?mount=${blob.digest}&from=hosted/a`
    expect((await send('POST', path)).status).toBe(201)
  })

  it('T072: pushes no manifest that names it', async () => {
    const { send } = await client('b', show)
    const named = (mediaType: string) => ({ mediaType, digest: blob.digest, size: 100 })
    const document = encode(manifestOf(named(CONFIG), [named(LAYER)]))
    const answer = await send('PUT', '/v2/hosted/b/manifests/v1', document, OCI_MANIFEST)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('MANIFEST_BLOB_UNKNOWN')
    // Having the bytes is another matter.
    const upload = `/v2/hosted/b/blobs/uploads/?digest=${blob.digest}`
    expect((await send('POST', upload, blob.bytes)).status).toBe(201)
    expect((await send('PUT', '/v2/hosted/b/manifests/v1', document, OCI_MANIFEST)).status).toBe(
      201,
    )
  })

  it('T074: reads nothing private that was pulled for the first', async () => {
    const first = await client('a', show)
    const rests = [
      'manifests/v1',
      `manifests/${mirrored.digest}`,
      `blobs/${mirrored.blobs[0]?.digest}`,
      'tags/list',
      `referrers/${mirrored.digest}`,
    ]
    for (const rest of rests) {
      const answer = await first.send('GET', `/v2/private.test/a/b/${rest}`)
      expect([rest, answer.status]).toEqual([rest, 200])
      expect(answer.headers.get('cache-control') ?? 'private').toMatch(/private|no-cache|no-store/)
      await answer.bytes()
    }
    await first.settle()
    net.forget()
    const second = await client('b', show)
    for (const rest of rests) {
      for (const path of [
        `/v2/private.test/a/b/${rest}`,
        `/private.test/v2/a/b/${rest}`,
        `/v2/a/b/${rest}?ns=private.test`,
        `/v2/PRIVATE.TEST/a/b/${rest}`,
      ]) {
        expect([path, (await second.send('GET', path)).status]).toEqual([path, 401])
      }
    }
    expect(net.urls()).toEqual([])
    // Nor by the same digests under a name that is open to it.
    const other = `/v2/one.test/x/y/manifests/${mirrored.digest}`
    expect((await second.send('GET', other)).status).toBe(404)
  })

  it('T077: is told the same of what exists and of what does not', async () => {
    const { send } = await client('b', show)
    const told = async (name: string, tag: string, digest: string) => {
      const answers: unknown[] = []
      for (const [method, rest] of [
        ['GET', `manifests/${tag}`],
        ['HEAD', `manifests/${tag}`],
        ['GET', `manifests/${digest}`],
        ['GET', `blobs/${digest}`],
        ['HEAD', `blobs/${digest}`],
        ['GET', 'tags/list'],
        ['GET', `referrers/${digest}`],
        ['DELETE', `manifests/${tag}`],
        ['PUT', `manifests/${tag}`],
        ['POST', 'blobs/uploads/'],
      ] as const) {
        const answer = await send(method, `/v2/${name}/${rest}`)
        const headers = [...answer.headers].filter(([each]) => each !== 'x-request-id')
        const text = JSON.stringify([answer.status, headers, await answer.text()])
        answers.push(text.replaceAll(name, '<name>'))
      }
      return answers
    }
    const existing = await told('hosted/a', 'v1', image.digest)
    expect(existing[0]).toContain('401')
    expect(await told('hosted/a', 'none', ABSENT)).toEqual(existing)
    expect(await told('hosted/c', 'none', ABSENT)).toEqual(existing)
  })

  it('T100: reaches no upload, by no name; whoever may push there does', async () => {
    const first = await client('a', show)
    const location = locationOf(await first.send('POST', '/v2/hosted/a/blobs/uploads/'))
    const second = await client('b', show)
    const elsewhere = location.replace('hosted/a', 'hosted/b')
    for (const method of ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE']) {
      const body = method === 'PATCH' ? blob.bytes : undefined
      expect((await second.send(method, location, body)).status).toBe(401)
      const path = withDigest(elsewhere, blob.digest)
      expect((await second.send(method, path, body)).status).toBe(404)
    }
    const third = await client('both', show)
    expect((await third.send('PATCH', location, blob.bytes)).status).toBe(202)
    const end = withDigest(location, blob.digest)
    expect((await first.send('PUT', end)).status).toBe(201)
  })

  it('T078: sees none of it in the catalog, whatever the page', async () => {
    await startHosted().pushImage('hosted/b')
    await startHosted().pushImage('hosted/c')
    const names = async (name: string) => {
      const worker = isolate(settings)
      const scopes = ['registry:catalog:*']
      const isToken = (await show(worker, name)).startsWith('Bearer')
      const authorization = isToken ? await bearer(worker, scopes, basic(name)) : basic(name)
      const listed: string[] = []
      let next: string | undefined = '/v2/_catalog?n=1'
      while (next !== undefined && listed.length < 9) {
        const answer: Response = await worker.get(next, { authorization })
        expect(answer.status).toBe(200)
        listed.push(...(await answer.json<{ repositories: string[] }>()).repositories)
        next = nextOf(answer)
      }
      return listed
    }
    expect(await names('a')).toEqual(['hosted/a'])
    expect(await names('b')).toEqual(['hosted/b'])
    expect(await names('both')).toEqual(['hosted/a', 'hosted/b', 'hosted/c'])
  })
})

it('the catalog asks whoever could log in to do so, and shows nobody what anybody may', async () => {
  const worker = isolate(settings)
  await (await worker.get('/v2/one.test/a/b/manifests/v1')).text()
  await worker.settle()
  const asked = await worker.get('/v2/_catalog')
  expect(asked.headers.get('www-authenticate')).toBe(
    'Bearer realm="https://registry.test/token",service="registry.test",scope="registry:catalog:*"',
  )
  const authorization = await bearer(worker, ['registry:catalog:*'])
  const answer = await worker.get('/v2/_catalog', { authorization })
  expect(await answer.json()).toEqual({ repositories: ['one.test/a/b'] })
})

describe('a challenge', () => {
  const challenge = async (method: string, path: string) =>
    (await isolate(settings).fetch(path, { method })).headers.get('www-authenticate')
  const scoped = (scope: string) =>
    `Bearer realm="https://registry.test/token",service="registry.test",scope="${scope}"`

  it.each([
    { method: 'GET', path: '/v2/hosted/a/tags/list', scope: 'repository:hosted/a:pull' },
    {
      method: 'HEAD',
      path: '/v2/a/b/manifests/v1?ns=private.test',
      scope: 'repository:private.test/a/b:pull',
    },
    {
      method: 'POST',
      path: '/v2/hosted/a/blobs/uploads/',
      scope: 'repository:hosted/a:pull,push',
    },
    { method: 'PUT', path: '/v2/hosted/a/manifests/v1', scope: 'repository:hosted/a:pull,push' },
    {
      method: 'GET',
      path: '/v2/hosted/a/blobs/uploads/x',
      scope: 'repository:hosted/a:pull,push',
    },
    {
      method: 'DELETE',
      path: '/v2/hosted/a/blobs/uploads/x',
      scope: 'repository:hosted/a:pull,push',
    },
    { method: 'DELETE', path: '/v2/hosted/a/manifests/v1', scope: 'repository:hosted/a:delete' },
    {
      method: 'POST',
      path: `/v2/hosted/a/blobs/uploads/?mount=${ABSENT}&from=hosted/b`,
      scope: 'repository:hosted/a:pull,push repository:hosted/b:pull',
    },
    {
      method: 'POST',
      path: `/v2/hosted/a/blobs/uploads/?mount=${ABSENT}&from=hosted/a`,
      scope: 'repository:hosted/a:pull,push',
    },
    {
      method: 'POST',
      path: `/v2/hosted/a/blobs/uploads/?mount=${ABSENT}&from=%22,error=%22x`,
      scope: 'repository:hosted/a:pull,push',
    },
  ])('for $method $path asks for $scope, which is enough', async ({ method, path, scope }) => {
    expect(await challenge(method, path)).toBe(scoped(scope))
    const worker = isolate(settings)
    const authorization = await bearer(
      worker,
      [scope],
      basic(path.includes('private') ? 'a' : 'both'),
    )
    const { status } = await worker.fetch(path, { method, headers: { authorization } })
    expect([401, 403].includes(status)).toBe(false)
  })

  it('has a body that says what is missing', async () => {
    const answer = await isolate(settings).get('/v2/hosted/a/tags/list')
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
    expect(await answer.json()).toEqual({
      errors: [
        {
          code: 'UNAUTHORIZED',
          message: 'authentication required',
          detail: [{ Type: 'repository', Class: '', Name: 'hosted/a', Action: 'pull' }],
        },
      ],
    })
  })
})

describe('who may only create', () => {
  it.each(WAYS)('T080, $way: pushes new tags and moves none', async ({ show }) => {
    const made = await accounts({ maker: [granting('hosted/a', 'pull', 'create')] })
    const { send } = await client('maker', show, made)
    const { digest } = image
    const bytes = await (await send('GET', `/v2/hosted/a/manifests/${digest}`)).bytes()
    const other = encode(annotated(bytes))
    const put = (tag: string, body: Uint8Array) =>
      send('PUT', `/v2/hosted/a/manifests/${tag}`, body, OCI_MANIFEST)
    expect((await put('v2', other)).status).toBe(201)
    expect((await put('v1', bytes)).status).toBe(201)
    expect(await refusalOf(await put('v1', other))).toBe('403 DENIED')
    expect(await refusalOf(await put('v3?tag=v1', other))).toBe('403 DENIED')
    expect((await send('GET', '/v2/hosted/a/manifests/v3')).status).toBe(404)
    const still = await send('HEAD', '/v2/hosted/a/manifests/v1')
    expect(still.headers.get('docker-content-digest')).toBe(digest)
    expect((await send('DELETE', '/v2/hosted/a/manifests/v2')).status).toBe(401)
  })

  /** Another manifest of the same content. */
  function annotated(bytes: Uint8Array): object {
    return { ...JSON.parse(new TextDecoder().decode(bytes)), annotations: { a: 'b' } }
  }
})

describe('who may read and not pull', () => {
  const PATH = '/v2/one.test/a/b/manifests/v1'
  const readers = { ANONYMOUS: [granting('one.test/**', 'read')] }
  const pulling = async () => ({
    ...readers,
    ...(await accounts({ ci: [granting('one.test/**', 'pull')], reader: [] })),
  })

  it.each([
    { name: 'nobody, where nobody could log in', more: async () => readers, want: '404' },
    { name: 'nobody, where somebody could', more: pulling, want: '401' },
    { name: 'a foreign password', more: pulling, show: async () => basic('x', 'y'), want: '401' },
    {
      name: 'an account that may not either',
      more: pulling,
      show: async () => basic('reader'),
      want: '404',
    },
    {
      name: 'its token',
      more: pulling,
      show: (worker: Isolate) => bearer(worker, ['repository:one.test/a/b:pull'], basic('reader')),
      want: '404',
    },
    {
      name: 'a token for something else',
      more: pulling,
      show: (worker: Isolate) => bearer(worker, ['repository:one.test/c:pull'], basic('ci')),
      want: '401',
    },
    { name: 'an account that may', more: pulling, show: async () => basic('ci'), want: '200' },
    {
      name: 'its token',
      more: pulling,
      show: (worker: Isolate) => bearer(worker, ['repository:one.test/a/b:pull'], basic('ci')),
      want: '200',
    },
  ])('$name: $want for what is not there, 200 for what is', async ({ more, show, want }) => {
    const worker = isolate({ HOSTED: [], ...(await more()) })
    const authorization = await show?.(worker)
    const headers = authorization === undefined ? {} : { authorization }
    const cold = await worker.get(PATH, headers)
    expect(String(cold.status)).toBe(want)
    await cold.text()
    if (want !== '200') expect(net.urls()).toEqual([])
    if (want === '401') expect(cold.headers.get('www-authenticate')).toContain('one.test/a/b:pull')
    await (await isolate().get(PATH)).text()
    expect((await worker.get(PATH, headers)).status).toBe(200)
    await worker.settle()
  })

  it.each([
    { name: 'accounts are away', more: { AUTHORITY: away('objects') }, want: '503 UNKNOWN' },
    {
      name: 'there have been too many wrong passwords',
      more: { LOGIN_LIMIT: { limit: async () => ({ success: false }) } },
      want: '429 TOOMANYREQUESTS',
    },
  ])('is told so, where $name: $want', async ({ more, want }) => {
    const worker = isolate({ ...readers, ...more })
    const headers = { authorization: basic('x', 'y') }
    for (const path of [PATH, '/v2/one.test/a/b/tags/list', `/v2/one.test/a/b/blobs/${ABSENT}`]) {
      expect(await refusalOf(await worker.get(path, headers))).toBe(want)
    }
    expect(net.urls()).toEqual([])
  })

  it('a capability is not asked to log in', async () => {
    const secret = await add('capability', 'nodes', granting('one.test/**', 'read'))
    const worker = isolate(await pulling())
    expect((await worker.get(`/t/${secret}${PATH}`)).status).toBe(404)
    await (await isolate().get(PATH)).text()
    expect((await worker.get(`/t/${secret}${PATH}`)).status).toBe(200)
  })
})

it('T046: a client has so much fetched, and then what is there', async () => {
  const keys: string[] = []
  const limit = async ({ key }: { readonly key: string }) => ({ success: keys.push(key) <= 2 })
  const worker = isolate({ FILL_LIMIT: { limit } })
  const stem = '/v2/one.test/a/b'
  const paths = [`${stem}/manifests/v1`, `${stem}/blobs/${mirrored.blobs[0]?.digest}`]
  for (const path of paths) {
    const answer = await worker.get(path)
    expect(answer.status).toBe(200)
    await answer.bytes()
  }
  await worker.settle()
  expect(keys).toEqual(['local', 'local'])
  net.forget()
  for (const path of ['tags/list', 'manifests/none', `referrers/${ABSENT}`, `blobs/${ABSENT}`]) {
    const answer = await worker.get(`${stem}/${path}`)
    expect(answer.headers.get('retry-after')).toBe('60')
    expect([path, await refusalOf(answer)]).toEqual([path, '429 TOOMANYREQUESTS'])
  }
  expect(net.urls()).toEqual([])
  expect(keys).toHaveLength(6)
  for (const path of paths) expect((await worker.get(path)).status).toBe(200)
  expect(keys).toHaveLength(6)
})
