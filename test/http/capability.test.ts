// The secret in a path: it reads what its grants name, by three forms, beside whatever a client sends; it is asked for
// no login, and nothing that leaves the Worker repeats it.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { add, authority, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken } from '../support/operations.ts'

const SETTINGS = { HOSTED: OPEN.HOSTED, ANONYMOUS: [] }

let upstream: SampleUpstream
let net: Network
let clock: Clock
let image: SampleManifest
let secret: string

beforeEach(async () => {
  clock = stopClock()
  upstream = startUpstream()
  const hub = startUpstream({ authentication: { realm: 'https://auth.docker.io/token' } })
  net = goOnline({
    'private.test': upstream,
    'one.test': upstream,
    'registry-1.docker.io': hub,
    'auth.docker.io': hub,
  })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
  await addSample(upstream, 'a/b', image, 'v2')
  await addSample(hub, 'library/nginx', image, 'v1')
  secret = await add(
    'capability',
    'nodes',
    granting('private.test/**', 'pull'),
    granting('docker.io/**', 'pull'),
    granting('hosted/app', 'read'),
  )
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** The forms in which clients write a path of an upstream. */
function formsOf(host: string, rest: string): readonly string[] {
  return [
    `/t/${secret}/v2/${host}/${rest}`,
    `/t/${secret}/v2/${rest}?ns=${host}`,
    `/t/${secret}/${host}/v2/${rest}`,
    `/v2/t/${secret}/${host}/${rest}`,
  ]
}

/** All that an answer shows. */
async function shownBy(answer: Response): Promise<string> {
  return JSON.stringify([[...answer.headers], await answer.text()])
}

describe('what is granted', () => {
  it('is read by every form, and only pulled from the upstream once', async () => {
    const worker = isolate(SETTINGS)
    const rests = [
      'a/b/manifests/v1',
      `a/b/manifests/${image.digest}`,
      `a/b/blobs/${image.blobs[0]?.digest}`,
      'a/b/tags/list',
      `a/b/referrers/${image.digest}`,
    ]
    for (const rest of rests) {
      for (const path of formsOf('private.test', rest)) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await worker.fetch(path, { method })
          expect([method, path, answer.status]).toEqual([method, path, 200])
          expect(await shownBy(answer)).not.toContain(secret)
        }
      }
    }
    await worker.settle()
    expect(JSON.stringify([worker.lines(), net.requests])).not.toContain(secret)
    expect(worker.lines('request')[0]).toMatchObject({
      caller: 'nodes',
      repository: 'private.test/a/b',
    })
  })

  it('is Docker Hub’s, too, for a classic Docker that names no host', async () => {
    const worker = isolate(SETTINGS)
    for (const path of [
      `/t/${secret}/v2/library/nginx/manifests/v1`,
      `/t/${secret}/v2/nginx/manifests/v1`,
      `/v2/t/${secret}/docker.io/nginx/manifests/v1`,
    ]) {
      expect((await worker.get(path)).status).toBe(200)
    }
  })

  it('is what is hosted, and what anybody may read', async () => {
    const { digest } = await startHosted().pushImage('hosted/app', { reference: 'v1' })
    const worker = isolate(SETTINGS)
    const answer = await worker.get(`/t/${secret}/v2/hosted/app/manifests/v1`)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    const open = isolate({ HOSTED: OPEN.HOSTED })
    expect((await open.get(`/t/${secret}/v2/one.test/a/b/manifests/v1`)).status).toBe(200)
  })

  it.each([
    'Basic Zm9yZWlnbjpwdWxsLXNlY3JldA==',
    'Bearer foreign',
    'Negotiate x',
    basic('nodes', 'wrong'),
  ])('T041: beside %s, which nobody looks at', async (authorization) => {
    const limit = () => Promise.reject(new Error('a failed login was counted'))
    const worker = isolate({ ...SETTINGS, LOGIN_LIMIT: { limit } })
    for (const path of [...formsOf('private.test', 'a/b/manifests/v1'), `/t/${secret}/v2/`]) {
      expect((await worker.get(path, { authorization })).status).toBe(200)
    }
    expect(JSON.stringify(worker.lines())).not.toMatch(/limit-away|Zm9y/)
  })
})

describe('the base', () => {
  it.each(['/v2/', '/v2', '/private.test/v2/', '/docker.io/v2'])('…%s: 200', async (path) => {
    const answer = await isolate(SETTINGS).get(`/t/${secret}${path}`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('www-authenticate')).toBeNull()
  })

  it('of an upstream that is none: 404', async () => {
    const answer = await isolate(SETTINGS).get(`/t/${secret}/evil.test/v2/`)
    expect(await refusalOf(answer)).toBe('404 NAME_UNKNOWN')
  })
})

describe('never 401', () => {
  const UNKNOWN = '404 NAME_UNKNOWN'

  it.each([
    { name: 'a mirror beyond its grants', rest: '/v2/ghcr.io/a/b/manifests/v1', want: UNKNOWN },
    { name: 'what is hosted beyond them', rest: '/v2/hosted/other/tags/list', want: UNKNOWN },
    { name: 'what a rule denies', rest: '/v2/limited.test/a/tags/list', want: '403 DENIED' },
    { name: 'a host that is none', rest: '/v2/evil.test/a/b/tags/list', want: UNKNOWN },
    { name: 'no endpoint', rest: '/v2/x', want: UNKNOWN },
    { name: 'not even v2', rest: '/', want: UNKNOWN },
    { name: 'health', rest: '/healthz', want: UNKNOWN },
    { name: 'administration', rest: '/_/upstreams', want: UNKNOWN },
    { name: 'tokens', rest: '/token', want: UNKNOWN },
    { name: 'a second secret', rest: `/t/${'b'.repeat(52)}/v2/`, want: UNKNOWN },
  ])('$name: $want', async ({ rest, want }) => {
    const answer = await isolate(SETTINGS).get(`/t/${secret}${rest}`, { authorization: 'Bearer x' })
    expect(answer.headers.get('www-authenticate')).toBeNull()
    expect(await shownBy(answer.clone())).not.toContain(secret)
    expect(await refusalOf(answer)).toBe(want)
  })

  it.each([
    { method: 'PUT', rest: 'hosted/app/manifests/v1' },
    { method: 'DELETE', rest: 'hosted/app/manifests/v1' },
    { method: 'DELETE', rest: `hosted/app/blobs/sha256:${'0'.repeat(64)}` },
    { method: 'POST', rest: 'hosted/app/blobs/uploads/' },
    { method: 'GET', rest: 'hosted/app/blobs/uploads/x' },
    { method: 'PATCH', rest: 'hosted/app/blobs/uploads/x' },
    { method: 'PUT', rest: 'private.test/a/b/manifests/v1' },
    { method: 'POST', rest: '_catalog' },
    { method: 'POST', rest: '' },
  ])('a write is 405, whatever anybody may: $method $rest', async ({ method, rest }) => {
    for (const path of [`/t/${secret}/v2/${rest}`, `/v2/t/${secret}/${rest}`]) {
      const answer = await isolate(OPEN).fetch(path, { method, headers: { authorization: 'x' } })
      expect(answer.headers.has('location')).toBe(false)
      expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
    }
  })
})

describe('a secret that is none', () => {
  const paths = (each: string) => [
    `/t/${each}/v2/`,
    `/t/${each}/v2/hosted/app/manifests/v1`,
    `/t/${each}/private.test/v2/a/b/tags/list`,
    `/v2/t/${each}/private.test/a/b/blobs/x`,
    `/t/${each}/v2/_catalog`,
    `/t/${each}/x`,
  ]

  it('is 404, also for what anybody may, and reaches no upstream', async () => {
    const worker = isolate(OPEN)
    for (const each of ['a'.repeat(52), '1'.repeat(52)]) {
      for (const path of paths(each)) {
        for (const method of ['GET', 'POST']) {
          const answer = await worker.fetch(path, { method })
          const text = await shownBy(answer.clone())
          expect(text).not.toContain(each)
          expect([path, await refusalOf(answer)]).toEqual([path, '404 NAME_UNKNOWN'])
        }
      }
      expect(JSON.stringify(worker.lines())).not.toContain(each)
    }
    expect(net.urls()).toEqual([])
  })

  it('is the one of an account', async () => {
    const other = await add('account', 'ci', granting('**', 'pull'))
    expect((await isolate(SETTINGS).get(`/t/${other}/v2/`)).status).toBe(404)
  })

  it.each([
    { name: 'revoked', change: () => authority().revoke('nodes', 'a test') },
    { name: 'rotated', change: () => authority().rotate('nodes', 'a test') },
  ])('T066: is one that was $name, a minute later', async ({ change }) => {
    const worker = isolate(SETTINGS)
    expect((await worker.get(`/t/${secret}/v2/`)).status).toBe(200)
    await change()
    clock.advance(MINUTE + SECOND)
    for (const path of paths(secret)) {
      expect(await refusalOf(await worker.get(path))).toBe('404 NAME_UNKNOWN')
    }
  })

  it('is not known while accounts are away, which is an outage', async () => {
    const worker = isolate({ ...OPEN, AUTHORITY: broken('objects') })
    expect(await refusalOf(await worker.get(`/t/${secret}/v2/`))).toBe('503 UNKNOWN')
  })

  it('at the wrong place of a path goes nowhere', async () => {
    const worker = isolate({ ANONYMOUS: [granting('**', 'pull')] })
    for (const path of [
      `/v2/docker.io/t/${secret}/library/nginx/manifests/v1`,
      `/docker.io/v2/t/${secret}/library/nginx/manifests/v1`,
      `/t/${secret}/v2/one.test/t/${secret}/a/manifests/v1`,
    ]) {
      const answer = await worker.get(path)
      expect(await shownBy(answer.clone())).not.toContain(secret)
      expect(await refusalOf(answer)).toBe('404 NAME_UNKNOWN')
    }
    expect(net.urls()).toEqual([])
    expect(JSON.stringify(worker.lines())).not.toContain(secret)
  })
})

describe('Link', () => {
  it.each([
    { name: 'tags', path: 'a/b/tags/list?n=1', want: '<?n=1&last=v1>; rel="next"' },
    {
      name: 'tags by ns',
      path: 'a/b/tags/list?n=1&ns=private.test',
      want: '<?n=1&last=v1&ns=private.test>; rel="next"',
    },
  ])('$name: a query alone, by which a client goes on', async ({ path, want }) => {
    const base = path.includes('ns=') ? `/t/${secret}/v2/` : `/t/${secret}/private.test/v2/`
    const worker = isolate(SETTINGS)
    const first = await worker.get(base + path)
    expect(first.headers.get('link')).toBe(want)
    const target = want.slice(1, want.indexOf('>'))
    const next = new URL(target, `https://registry.test${base}${path}`)
    const second = await worker.get(next.pathname + next.search)
    expect(await second.json()).toMatchObject({ tags: ['v2'] })
  })

  it('the catalog, of what it may read', async () => {
    const worker = isolate(SETTINGS)
    await (await worker.get(`/t/${secret}/v2/private.test/a/b/manifests/v1`)).text()
    await (await worker.get(`/t/${secret}/v2/nginx/manifests/v1`)).text()
    await startHosted().pushImage('hosted/app')
    await startHosted().pushImage('hosted/other')
    await worker.settle()
    const first = await worker.get(`/t/${secret}/v2/_catalog?n=1`)
    expect(first.headers.get('link')).toBe('<?n=1&last=docker.io%2Flibrary%2Fnginx>; rel="next"')
    const all = await worker.get(`/v2/t/${secret}/_catalog`)
    expect(await all.json()).toEqual({
      repositories: ['docker.io/library/nginx', 'hosted/app', 'private.test/a/b'],
    })
  })
})

it('is in no store and no token', async () => {
  const worker = isolate(SETTINGS)
  for (const path of formsOf('private.test', 'a/b/manifests/v1')) {
    await (await worker.get(path)).text()
  }
  const scope = `repository:t/${secret}/private.test/a/b:pull`
  const answer = await worker.get(`/token?scope=${scope}`)
  const { token }: { token: string } = await answer.json()
  expect(atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'))).not.toContain(
    secret,
  )
  await worker.settle()
  const { objects } = await env.BLOBS.list()
  const { keys } = await env.HINTS.list()
  expect(objects.length + keys.length).toBeGreaterThan(1)
  expect(JSON.stringify([objects, keys])).not.toContain(secret)
})
