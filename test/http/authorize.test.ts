// What may be pulled at all: `allow`, `deny`, `private` and `ANONYMOUS` on every endpoint, before anything
// is looked for, cached or not. What a rule forbids is forbidden to everybody; else a login may help.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { refusalOf } from '../support/answer.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

/** What a refusal must not reach. */
const UNTOUCHED = {
  HINTS: untouchable('HINTS'),
  BLOBS: untouchable('BLOBS'),
  MIRROR_LEDGER: untouchable('MIRROR_LEDGER'),
  BLOB_FILL: untouchable('BLOB_FILL'),
  UPSTREAM_GATE: untouchable('UPSTREAM_GATE'),
  HOSTED_LEDGER: untouchable('HOSTED_LEDGER'),
  UPLOAD_SESSION: untouchable('UPLOAD_SESSION'),
  BLOB_CLAIMS: untouchable('BLOB_CLAIMS'),
  AUTHORITY: untouchable('AUTHORITY'),
}

let upstream: SampleUpstream
let net: Network
let image: SampleManifest

beforeEach(async () => {
  upstream = startUpstream()
  const hub = startUpstream({ authentication: { realm: 'https://auth.docker.io/token' } })
  const hosts = ['one.test', 'limited.test', 'private.test', 'part.test']
  net = goOnline({
    ...Object.fromEntries(hosts.map((host) => [host, upstream])),
    'registry-1.docker.io': hub,
    'auth.docker.io': hub,
  })
  image = await sampleImage({ layers: [64] })
  await addSample(hub, 'library/nginx', image, 'v1')
  for (const name of ['a/b', 'open/x', 'open/secret', 'closed/x']) {
    await addSample(upstream, name, image, 'v1')
  }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function untouchable(name: string): unknown {
  return new Proxy(
    {},
    {
      get: () => {
        throw new Error(`${name} was used`)
      },
    },
  )
}

/** Every way to read something of a repository; `exists: false` asks for what the upstream has not. */
function requestsFor(stem: string, exists = true): { method: string; path: string }[] {
  const [blob] = image.blobs
  const digest = exists ? image.digest : `sha256:${'0'.repeat(64)}`
  const tag = exists ? 'v1' : 'none'
  return [
    { method: 'GET', path: `${stem}/manifests/${tag}` },
    { method: 'HEAD', path: `${stem}/manifests/${tag}` },
    { method: 'GET', path: `${stem}/manifests/${digest}` },
    { method: 'HEAD', path: `${stem}/manifests/${digest}` },
    { method: 'GET', path: `${stem}/blobs/${exists ? blob?.digest : digest}` },
    { method: 'HEAD', path: `${stem}/blobs/${exists ? blob?.digest : digest}` },
    { method: 'GET', path: `${stem}/tags/list` },
    { method: 'GET', path: `${stem}/referrers/${digest}` },
  ]
}

/** Status, code and headers of the refusals of all those requests. */
async function refusals(
  settings: Readonly<Record<string, unknown>>,
  requests: readonly { method: string; path: string }[],
): Promise<unknown[]> {
  const { fetch } = isolate({ ...UNTOUCHED, ...settings })
  const answers: unknown[] = []
  for (const { method, path } of requests) {
    const answer = await fetch(path, { method })
    const headers = [...answer.headers].filter(([name]) => name !== 'x-request-id')
    answers.push([answer.status, headers, await answer.text()])
  }
  return answers
}

interface Row {
  readonly name: string
  readonly stem: string
  /** The canonical name, where a login could help; a rule of the configuration stands for everybody. */
  readonly scope?: string
  readonly settings?: Readonly<Record<string, unknown>>
}

function only(host: string, entry: object): Readonly<Record<string, unknown>> {
  return { UPSTREAMS: { [host]: entry }, UPSTREAM_CREDENTIALS: '{}', DEFAULT_UPSTREAM: '' }
}

const DENIED: readonly Row[] = [
  { name: 'not in allow', stem: '/v2/limited.test/a/b' },
  { name: 'in allow and in deny', stem: '/v2/limited.test/open/secret' },
  { name: 'not in allow, path base', stem: '/limited.test/v2/a/b' },
  { name: 'private', stem: '/v2/private.test/a/b', scope: 'private.test/a/b' },
  {
    name: 'private by pattern',
    stem: '/part.test/v2/closed/x',
    scope: 'part.test/closed/x',
  },
  {
    name: 'denied by its short name at Docker Hub',
    stem: '/v2/nginx',
    settings: { UPSTREAMS: { 'docker.io': { deny: ['nginx'] } }, UPSTREAM_CREDENTIALS: '{}' },
  },
  {
    name: 'no anonymous pull at all',
    stem: '/v2/one.test/a/b',
    scope: 'one.test/a/b',
    settings: { ANONYMOUS: [] },
  },
  {
    name: 'a grant for another repository',
    stem: '/v2/one.test/a/b',
    scope: 'one.test/a/b',
    settings: { ANONYMOUS: [{ repositories: ['one.test/a/c'], actions: ['pull'] }] },
  },
  {
    name: 'a grant without the host',
    stem: '/v2/one.test/a/b',
    scope: 'one.test/a/b',
    settings: { ANONYMOUS: [{ repositories: ['a/b'], actions: ['pull'] }] },
  },
  {
    name: 'a grant that is not pull',
    stem: '/v2/one.test/a/b',
    scope: 'one.test/a/b',
    settings: { ANONYMOUS: [{ repositories: ['**'], actions: ['push'] }] },
  },
  {
    name: 'a grant does not undo deny',
    stem: '/v2/limited.test/open/secret',
    settings: { ANONYMOUS: [{ repositories: ['**'], actions: ['pull'] }] },
  },
]

describe('denied', () => {
  it.each(DENIED)(
    'T085, $name: refused everywhere, and nothing is touched',
    async ({ stem, scope, settings = {} }) => {
      const { fetch } = isolate({ ...UNTOUCHED, ...settings })
      const want = scope === undefined ? '403 DENIED' : '401 UNAUTHORIZED'
      for (const { method, path } of requestsFor(stem)) {
        const answer = await fetch(path, { method })
        expect(answer.headers.get('www-authenticate')).toBe(
          scope === undefined
            ? null
            : `Bearer realm="https://registry.test/token",service="registry.test",scope="repository:${scope}:pull"`,
        )
        if (method === 'GET') expect(await refusalOf(answer)).toBe(want)
        else expect([answer.status, answer.body]).toEqual([Number(want.slice(0, 3)), null])
      }
      expect(net.urls()).toEqual([])
    },
  )

  it.each(DENIED)('$name: what exists and what does not look the same', async (row) => {
    const { stem, settings = {} } = row
    const existing = await refusals(settings, requestsFor(stem))
    expect(await refusals(settings, requestsFor(stem, false))).toEqual(existing)
  })

  it.each([
    {
      name: 'now denied',
      entry: { private: false, url: 'https://one.test', deny: ['a/**'] },
      want: 403,
    },
    {
      name: 'no longer allowed',
      entry: { private: false, url: 'https://one.test', allow: ['c/**'] },
      want: 403,
    },
    { name: 'now private', entry: { private: true, url: 'https://one.test' }, want: 401 },
  ])('$name: what was cached before is not served', async ({ entry, want }) => {
    const before = isolate()
    for (const { method, path } of requestsFor('/v2/one.test/a/b')) {
      const answer = await before.fetch(path, { method })
      expect(answer.status).toBe(200)
      await answer.bytes()
    }
    await before.settle()
    net.forget()
    const after = isolate(only('one.test', entry))
    for (const { method, path } of requestsFor('/v2/one.test/a/b')) {
      expect((await after.fetch(path, { method })).status).toBe(want)
    }
    expect(net.urls()).toEqual([])
  })
})

describe('granted', () => {
  const grant = (repositories: string) => ({
    ANONYMOUS: [{ repositories: [repositories], actions: ['pull'] }],
  })

  it.each<Row>([
    { name: 'allow', stem: '/v2/limited.test/open/x' },
    { name: 'public part of a private upstream', stem: '/v2/part.test/a/b' },
    {
      name: 'private with a grant',
      stem: '/v2/private.test/a/b',
      settings: grant('private.test/a/b'),
    },
    {
      name: 'private with a grant by pattern',
      stem: '/v2/part.test/closed/x',
      settings: grant('part.test/**'),
    },
    { name: 'public with a grant', stem: '/v2/one.test/a/b', settings: grant('one.test/*/b') },
    {
      name: 'Docker Hub by its canonical name',
      stem: '/v2/nginx',
      settings: grant('docker.io/library/*'),
    },
  ])('$name: everything can be read', async ({ stem, settings = {} }) => {
    const { fetch, settle } = isolate(settings)
    for (const { method, path } of requestsFor(stem)) {
      const answer = await fetch(path, { method })
      expect([path, answer.status]).toEqual([path, 200])
      await answer.bytes()
    }
    await settle()
  })
})

describe('an Authorization that a client sends', () => {
  it.each(['Basic bWlycm9yOmNhbmFyeQ==', 'Bearer canary-token', 'Negotiate canary', ''])(
    'T041: %j decides nothing and goes nowhere',
    async (authorization) => {
      const { fetch, lines, settle } = isolate()
      for (const { method, path } of requestsFor('/v2/one.test/a/b')) {
        const headers = { authorization, cookie: 'session=canary', 'x-registry-auth': 'canary' }
        const answer = await fetch(path, { method, headers })
        expect(answer.status).toBe(200)
        await answer.bytes()
      }
      await settle()
      expect(net.count()).toBeGreaterThan(3)
      expect(JSON.stringify(net.requests)).not.toMatch(/canary|bWlycm9y|cookie|authorization/)
      expect(JSON.stringify(lines())).not.toMatch(/canary|bWlycm9y/)
      const denied = await fetch('/v2/private.test/a/b/manifests/v1', {
        headers: { authorization },
      })
      expect(await refusalOf(denied)).toBe('401 UNAUTHORIZED')
    },
  )
})
