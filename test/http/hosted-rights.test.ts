// Who may do what to a hosted repository, and that nobody writes to a mirror: decided by grants alone, before
// anything is looked for, the same for what exists and for what does not.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import { refusalOf } from '../support/answer.ts'
import { HOUR, stopClock } from '../support/clock.ts'
import { noise, OCI_MANIFEST, OPEN, startHosted, withDigest } from '../support/hosted-registry.ts'
import type { Content } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

const ABSENT = `sha256:${'0'.repeat(64)}`
const NO_SESSION = '00000000-0000-4000-8000-000000000000-00000000'
const BINDINGS = [
  'BLOBS',
  'HINTS',
  'MIRROR_LEDGER',
  'BLOB_FILL',
  'UPSTREAM_GATE',
  'HOSTED_LEDGER',
  'UPLOAD_SESSION',
  'BLOB_CLAIMS',
  'AUTHORITY',
]
/** What a refusal must not reach. */
const UNTOUCHED = Object.fromEntries(
  BINDINGS.map((name) => [name, new Proxy({}, { get: () => expect.fail(`${name} was used`) })]),
)

let image: Content
let blob: Content
let location: string
let net: Network

beforeEach(async () => {
  net = goOnline({})
  image = await noise(50)
  blob = await noise(100, { seed: 7 })
  location = NO_SESSION
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Asked {
  readonly right: 'pull' | 'push' | 'delete'
  readonly method: string
  readonly path: string
  readonly body?: Uint8Array
}

/** Every request that a repository answers; `exists: false`: for what is not there. */
function requestsFor(name: string, exists = true): Asked[] {
  const stem = `/v2/${name}`
  const manifest = exists ? image.digest : ABSENT
  const digest = exists ? blob.digest : ABSENT
  const tag = exists ? 'v1' : 'none'
  const session = exists ? location.slice(location.lastIndexOf('/') + 1) : NO_SESSION
  const upload = `${stem}/blobs/uploads/${session}`
  return [
    ...['GET', 'HEAD'].flatMap((method): Asked[] => [
      { right: 'pull', method, path: `${stem}/manifests/${tag}` },
      { right: 'pull', method, path: `${stem}/manifests/${manifest}` },
      { right: 'pull', method, path: `${stem}/blobs/${digest}` },
      { right: 'pull', method, path: `${stem}/tags/list` },
      { right: 'pull', method, path: `${stem}/referrers/${manifest}` },
      { right: 'push', method, path: upload },
    ]),
    { right: 'push', method: 'POST', path: `${stem}/blobs/uploads/` },
    { right: 'push', method: 'POST', path: `${stem}/blobs/uploads/?mount=${digest}&from=hosted/b` },
    { right: 'push', method: 'POST', path: `${stem}/blobs/uploads/?mount=${digest}` },
    {
      right: 'push',
      method: 'POST',
      path: `${stem}/blobs/uploads/?digest=${digest}`,
      body: blob.bytes,
    },
    { right: 'push', method: 'PATCH', path: upload, body: new Uint8Array() },
    { right: 'push', method: 'PUT', path: `${upload}?digest=${digest}` },
    { right: 'push', method: 'PUT', path: `${stem}/manifests/${tag}`, body: image.bytes },
    {
      right: 'push',
      method: 'PUT',
      path: `${stem}/manifests/${manifest}?tag=a`,
      body: image.bytes,
    },
    { right: 'push', method: 'DELETE', path: `${stem}/blobs/uploads/${NO_SESSION}` },
    { right: 'delete', method: 'DELETE', path: `${stem}/manifests/${tag}` },
    { right: 'delete', method: 'DELETE', path: `${stem}/manifests/${manifest}` },
    { right: 'delete', method: 'DELETE', path: `${stem}/blobs/${digest}` },
  ]
}

function ask(worker: ReturnType<typeof isolate>, { method, path, body }: Asked) {
  const headers = body === image.bytes ? { 'content-type': OCI_MANIFEST } : {}
  return worker.fetch(path, { method, headers, ...(body !== undefined && { body }) })
}

function granting(repositories: string, ...actions: string[]) {
  return { ...OPEN, ANONYMOUS: [{ repositories: [repositories], actions }] }
}

const RIGHTS = ['pull', 'push', 'delete'] as const

/** Makes all of what the requests ask for. */
async function push(): Promise<void> {
  const registry = startHosted()
  image = await registry.pushImage('hosted/app', { reference: 'v1' })
  await registry.pushBlob('hosted/app', blob)
  location = await registry.open('hosted/app')
  await registry.patch(location, blob.bytes)
}

describe('a hosted repository', () => {
  beforeEach(push)

  it.each([
    { name: 'no grant at all', settings: { HOSTED: OPEN.HOSTED }, want: [] },
    { name: 'an empty list of grants', settings: { ...OPEN, ANONYMOUS: [] }, want: [] },
    { name: 'a grant for another', settings: granting('hosted/ap', ...RIGHTS), want: [] },
    { name: 'a grant below it', settings: granting('hosted/app/**', ...RIGHTS), want: [] },
    {
      name: 'a grant on a mirror of its name',
      settings: granting('*/hosted/app', ...RIGHTS),
      want: [],
    },
    { name: 'a grant of admin', settings: granting('**', 'admin'), want: [] },
    { name: 'pull', settings: granting('hosted/app', 'pull'), want: ['pull'] },
    { name: 'push, which is not delete', settings: granting('hosted/*', 'push'), want: ['push'] },
    { name: 'delete', settings: granting('**', 'delete'), want: ['delete'] },
    { name: 'everything', settings: granting('hosted/app', ...RIGHTS), want: RIGHTS },
  ])('with $name lets anyone $want, and denies the rest', async ({ settings, want }) => {
    const rights: readonly string[] = want
    for (const request of requestsFor('hosted/app')) {
      const isGranted = rights.includes(request.right)
      const worker = isolate(isGranted ? settings : { ...settings, ...UNTOUCHED })
      const answer = await ask(worker, request)
      const { status } = answer
      if (isGranted) expect([request, status]).not.toEqual([request, 401])
      else if (request.method === 'HEAD') expect([request, status]).toEqual([request, 401])
      else expect([request, await refusalOf(answer)]).toEqual([request, '401 UNAUTHORIZED'])
    }
    expect(net.urls()).toEqual([])
  })

  it.each(RIGHTS)(
    'denies %s of what exists and of what does not in the same words',
    async (right) => {
      const settings = granting('hosted/app', ...RIGHTS.filter((each) => each !== right))
      const answers = await Promise.all(
        [requestsFor('hosted/app'), requestsFor('hosted/app', false)].map(async (requests) => {
          const denied = requests.filter((request) => request.right === right)
          return Promise.all(
            denied.map(async (request) => {
              const answer = await ask(isolate({ ...settings, ...UNTOUCHED }), request)
              const headers = [...answer.headers].filter(([name]) => name !== 'x-request-id')
              return [request.method, answer.status, headers, await answer.text()]
            }),
          )
        }),
      )
      expect(answers[0]).toEqual(answers[1])
      expect(answers[0]?.length).toBeGreaterThan(2)
    },
  )

  it('T100: no other repository reaches its upload session', async () => {
    const { send } = startHosted()
    const session = location.slice(location.lastIndexOf('/') + 1)
    for (const other of ['hosted/other', 'hosted/app/x', 'sparse/app']) {
      const path = `/v2/${other}/blobs/uploads/${session}`
      const end = `${path}?digest=${blob.digest}`
      expect((await send('GET', path)).status).toBe(404)
      expect(await refusalOf(await send('PATCH', path, { body: 'x' }))).toBe(
        '404 BLOB_UPLOAD_UNKNOWN',
      )
      expect(await refusalOf(await send('PUT', end))).toBe('404 BLOB_UPLOAD_UNKNOWN')
      expect(await refusalOf(await send('DELETE', path))).toBe('404 BLOB_UPLOAD_UNKNOWN')
    }
    expect((await send('GET', location)).headers.get('range')).toBe('0-99')
    expect((await send('PUT', withDigest(location, blob.digest))).status).toBe(201)
  })

  it('reads nothing that was pushed to another: T090', async () => {
    const { send } = startHosted()
    expect((await send('GET', `/v2/hosted/app/blobs/${blob.digest}`)).status).toBe(200)
    for (const path of [
      `/v2/hosted/ap/blobs/${blob.digest}`,
      `/v2/hosted/app/x/blobs/${blob.digest}`,
      `/v2/hosted/apq/blobs/${blob.digest}`,
    ]) {
      expect(await refusalOf(await send('GET', path))).toBe('404 BLOB_UNKNOWN')
    }
    expect(await refusalOf(await send('GET', `/v2/hosted/ap/manifests/${image.digest}`))).toBe(
      '404 MANIFEST_UNKNOWN',
    )
  })

  it('a spelling that is another name is no way around: T092', async () => {
    const settings = { ...granting('hosted/open', ...RIGHTS), ...UNTOUCHED }
    for (const path of [
      '/v2/hosted/open/../app/manifests/v1',
      '/v2/hosted%2Fapp/manifests/v1',
      '/v2/hosted/%61pp/manifests/v1',
      '/v2/hosted/open%2F..%2Fapp/manifests/v1',
      '/v2/hosted//app/manifests/v1',
      '/v2/Hosted/app/manifests/v1',
      '/v2/hosted/app/manifests/v1?name=hosted/open',
      '/hosted/v2/app/manifests/v1',
    ]) {
      const { status } = await isolate(settings).get(path)
      expect([path, status >= 400 && status < 500]).toEqual([path, true])
    }
  })
})

describe('a method that a hosted repository does not know', () => {
  it.each([
    { method: 'POST', path: '/manifests/v1', allow: 'GET, HEAD, PUT, DELETE' },
    { method: 'PATCH', path: '/manifests/v1', allow: 'GET, HEAD, PUT, DELETE' },
    { method: 'PUT', path: `/blobs/${ABSENT}`, allow: 'GET, HEAD, DELETE' },
    { method: 'POST', path: `/blobs/${ABSENT}`, allow: 'GET, HEAD, DELETE' },
    { method: 'GET', path: '/blobs/uploads/', allow: 'POST' },
    { method: 'PUT', path: '/blobs/uploads/', allow: 'POST' },
    { method: 'DELETE', path: '/blobs/uploads', allow: 'POST' },
    {
      method: 'POST',
      path: `/blobs/uploads/${NO_SESSION}`,
      allow: 'GET, HEAD, PATCH, PUT, DELETE',
    },
    { method: 'POST', path: '/tags/list', allow: 'GET, HEAD' },
    { method: 'DELETE', path: '/tags/list', allow: 'GET, HEAD' },
    { method: 'DELETE', path: `/referrers/${ABSENT}`, allow: 'GET, HEAD' },
    { method: 'OPTIONS', path: '/manifests/v1', allow: 'GET, HEAD, PUT, DELETE' },
  ])('T060: $method $path: 405, Allow: $allow', async ({ method, path, allow }) => {
    const worker = isolate({ ...OPEN, ...UNTOUCHED })
    const answer = await worker.fetch(`/v2/hosted/app${path}`, { method })
    expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
    expect(answer.headers.get('allow')).toBe(allow)
  })
})

describe('a mirror', () => {
  const EVERYTHING = {
    ...OPEN,
    ANONYMOUS: [{ repositories: ['**'], actions: ['pull', 'push', 'delete', 'admin'] }],
  }
  const names = [
    { stem: 'one.test/a/b', query: '' },
    { stem: 'a/b', query: 'ns=one.test' },
    { stem: 'hosted/app', query: 'ns=one.test' },
    { stem: 'nginx', query: '' },
    { stem: 'docker.io/hosted/app', query: '' },
    { stem: 'private.test/a/b', query: '' },
    { stem: 'limited.test/open/secret', query: '' },
  ]

  it.each(names)(
    'T017, T132: nobody writes to $stem ($query), whatever the grants',
    async ({ stem, query }) => {
      for (const { right, method, path, body } of requestsFor(stem)) {
        if (right === 'pull') continue
        const separator = path.includes('?') ? '&' : '?'
        const worker = isolate({ ...EVERYTHING, ...UNTOUCHED })
        const answer = await worker.fetch(`${path}${query && separator + query}`, {
          method,
          ...(body !== undefined && { body }),
        })
        expect([method, path, answer.status]).toEqual([method, path, 405])
        const isUpload = path.includes('/uploads/')
        expect(answer.headers.get('allow')).toBe(isUpload ? '' : 'GET, HEAD')
      }
      expect(net.urls()).toEqual([])
      const { objects } = await env.BLOBS.list({ prefix: 'mirror/' })
      expect(objects).toEqual([])
    },
  )

  it('T018: what is pushed never shows in a mirror, nor what is mirrored in a hosted name', async () => {
    await push()
    const clock = stopClock()
    const upstream = startUpstream()
    goOnline({ 'one.test': upstream })
    const theirs = await sampleImage({ layers: [64] })
    await addSample(upstream, 'hosted/app', theirs, 'v1')
    const { send } = startHosted()
    for (const path of ['/v2/one.test/hosted/app', '/one.test/v2/hosted/app']) {
      const answer = await send('GET', `${path}/manifests/v1`)
      expect(answer.headers.get('docker-content-digest')).toBe(theirs.digest)
      expect(await refusalOf(await send('GET', `${path}/manifests/${image.digest}`))).toBe(
        '404 MANIFEST_UNKNOWN',
      )
      expect(await refusalOf(await send('GET', `${path}/blobs/${blob.digest}`))).toBe(
        '404 BLOB_UNKNOWN',
      )
    }
    const ours = await send('GET', '/v2/hosted/app/manifests/v1')
    expect(ours.headers.get('docker-content-digest')).toBe(image.digest)
    for (const absent of [
      'manifests/v2',
      `manifests/${theirs.digest}`,
      `blobs/${theirs.blobs[0]?.digest}`,
    ]) {
      expect((await send('GET', `/v2/hosted/app/${absent}`)).status).toBe(404)
    }
    // Deleted here, it does not come from there either, now or later.
    expect((await send('DELETE', '/v2/hosted/app/manifests/v1')).status).toBe(202)
    clock.advance(48 * HOUR)
    expect(await refusalOf(await send('GET', '/v2/hosted/app/manifests/v1'))).toBe(
      '404 MANIFEST_UNKNOWN',
    )
    const still = await send('GET', '/v2/one.test/hosted/app/manifests/v1')
    expect(still.headers.get('docker-content-digest')).toBe(theirs.digest)
  })
})
