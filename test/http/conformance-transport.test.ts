// What the distribution spec says of every endpoint of a hosted repository: its name, errors and their codes, methods,
// HEAD, and parameters that nobody knows.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { warn } from '../../src/http/exchange.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import { OPEN, noise, startHosted, withDigest } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'

const ABSENT = `sha256:${'0'.repeat(64)}`
const SESSION = crypto.randomUUID()

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(async () => {
  await reset()
})

describe('a repository name', () => {
  it.each([
    'hosted/blobs/uploads',
    'hosted/manifests/tags/list/referrers',
    'hosted/a.b/c_d/e__f/g---h',
    `hosted/${'a'.repeat(248)}`,
  ])('%s is pushed to, listed and pulled from', async (name) => {
    const image = await registry.pushImage(name, { reference: 'list' })
    const pulled = await registry.get(`/v2/${name}/manifests/list`)
    expectBytes(await bytesOf(pulled), image.bytes)
    const tags = await registry.get(`/v2/${name}/tags/list`)
    expect(await tags.json()).toEqual({ name, tags: ['list'] })
    expect((await registry.get(`/v2/${name}/referrers/${image.digest}`)).status).toBe(200)
  })

  it.each(['hosted/A', 'hosted/a..b', 'hosted/a___b', 'hosted/-a', 'hosted/a%2Fb'])(
    '%s is none: 400',
    async (name) => {
      for (const [method, path] of [
        ['POST', 'blobs/uploads/'],
        ['PUT', 'manifests/v1'],
        ['GET', 'manifests/v1'],
        ['GET', `blobs/${ABSENT}`],
        ['GET', 'tags/list'],
        ['DELETE', 'manifests/v1'],
      ] as const) {
        const answer = await registry.send(method, `/v2/${name}/${path}`)
        expect(await refusalOf(answer)).toBe('400 NAME_INVALID')
      }
    },
  )
})

/** Requests that are refused, one for each code that a hosted repository answers with. */
const REFUSED = [
  { method: 'GET', path: `blobs/${ABSENT}`, want: '404 BLOB_UNKNOWN' },
  { method: 'DELETE', path: `blobs/${ABSENT}`, want: '404 BLOB_UNKNOWN' },
  { method: 'GET', path: `blobs/uploads/${SESSION}`, want: '404 BLOB_UPLOAD_UNKNOWN' },
  { method: 'PATCH', path: `blobs/uploads/${SESSION}`, want: '404 BLOB_UPLOAD_UNKNOWN' },
  {
    method: 'PUT',
    path: `blobs/uploads/${SESSION}?digest=${ABSENT}`,
    want: '404 BLOB_UPLOAD_UNKNOWN',
  },
  { method: 'DELETE', path: `blobs/uploads/${SESSION}`, want: '404 BLOB_UPLOAD_UNKNOWN' },
  { method: 'POST', path: 'blobs/uploads/?digest=sha256:1', want: '400 DIGEST_INVALID' },
  { method: 'GET', path: 'manifests/absent', want: '404 MANIFEST_UNKNOWN' },
  { method: 'PUT', path: 'manifests/v1', want: '400 MANIFEST_INVALID' },
  { method: 'PUT', path: `manifests/${ABSENT}`, want: '400 DIGEST_INVALID' },
  { method: 'GET', path: 'tags/list?n=x', want: '400 UNSUPPORTED' },
  { method: 'GET', path: 'referrers/sha256:1', want: '400 DIGEST_INVALID' },
] as const

describe('what is refused', () => {
  beforeEach(async () => {
    await registry.pushImage('hosted/a')
  })

  it.each(REFUSED)('$method $path is $want, as registry JSON', async ({ method, path, want }) => {
    const answer = await registry.send(method, `/v2/hosted/a/${path}`)
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
    expect(await refusalOf(answer)).toBe(want)
  })

  it.each(REFUSED.filter(({ method }) => method === 'GET'))(
    'HEAD $path has the same status and no body',
    async ({ path, want }) => {
      const answer = await registry.head(`/v2/hosted/a/${path}`)
      expect([String(answer.status), answer.body]).toEqual([want.slice(0, 3), null])
    },
  )
})

describe('methods that an endpoint lacks', () => {
  it.each([
    { method: 'POST', path: 'manifests/v1', allow: 'GET, HEAD, PUT, DELETE' },
    { method: 'PUT', path: `blobs/${ABSENT}`, allow: 'GET, HEAD, DELETE' },
    { method: 'GET', path: 'blobs/uploads/', allow: 'POST' },
    { method: 'POST', path: `blobs/uploads/${SESSION}`, allow: 'GET, HEAD, PATCH, PUT, DELETE' },
    { method: 'DELETE', path: 'tags/list', allow: 'GET, HEAD' },
    { method: 'PUT', path: `referrers/${ABSENT}`, allow: 'GET, HEAD' },
  ])('$method $path: 405, with those that it has', async ({ method, path, allow }) => {
    const answer = await registry.send(method, `/v2/hosted/a/${path}`)
    expect(answer.headers.get('allow')).toBe(allow)
    expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
  })
})

describe('an upload without the right to push', () => {
  it.each([
    { name: 'nobody has a right', anonymous: undefined },
    { name: 'everybody may pull', anonymous: [{ repositories: ['**'], actions: ['pull'] }] },
    {
      name: 'everybody may push elsewhere',
      anonymous: [{ repositories: ['hosted/b'], actions: ['push'] }],
    },
  ])('is denied before anything is looked at: $name', async ({ anonymous }) => {
    const { HOSTED } = OPEN
    registry = startHosted({ HOSTED, ...(anonymous !== undefined && { ANONYMOUS: anonymous }) })
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['POST', withDigest('blobs/uploads/', ABSENT)],
      ['PATCH', `blobs/uploads/${SESSION}`],
      ['GET', `blobs/uploads/${SESSION}`],
      ['PUT', 'manifests/v1'],
      ['DELETE', 'manifests/v1'],
      ['DELETE', `blobs/${ABSENT}`],
    ] as const) {
      const answer = await registry.send(method, `/v2/hosted/a/${path}`)
      expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
    }
  })
})

it('parameters that nobody knows are ignored', async () => {
  const blob = await noise(10)
  const extra = 'canary=1&account=x'
  const answer = await registry.send(
    'POST',
    `/v2/hosted/a/blobs/uploads/?${extra}&digest=${blob.digest}`,
    {
      body: blob.bytes,
    },
  )
  expect(answer.status).toBe(201)
  expect((await registry.get(`/v2/hosted/a/blobs/${blob.digest}?${extra}`)).status).toBe(200)
  await registry.pushImage('hosted/a', { reference: `v1?${extra}` })
  expect((await registry.get(`/v2/hosted/a/manifests/v1?${extra}`)).status).toBe(200)
  expect((await registry.get(`/v2/hosted/a/tags/list?${extra}`)).status).toBe(200)
})

it('warnings have the form that clients read, and less than 4096 bytes', () => {
  const answer = warn(new Response(), `"${'ä\n'.repeat(5000)}`)
  const [stale, said] = (answer.headers.get('warning') ?? '').split(', ')
  expect(stale).toBe('110 - "Response is Stale"')
  expect(said).toMatch(/^299 - "[\x20-\x7e]*"$/)
  expect(answer.headers.get('warning')?.length).toBeLessThan(4096)
})

it('extensions that are not offered are 404', async () => {
  for (const path of ['/v2/_oci/ext/discover', '/v2/hosted/a/_oci/ext/discover']) {
    expect(await refusalOf(await registry.get(path))).toBe('404 NAME_UNKNOWN')
  }
})
