// Paths: which of them are endpoints, and what they name.

import { describe, expect, it } from 'vitest'

import type { Endpoint } from '../../src/oci/endpoint.ts'
import { allowedMethods, parseEndpoint } from '../../src/oci/endpoint.ts'
import { RegistryError } from '../../src/oci/error.ts'

const HEX = '0123456789abcdef'.repeat(4)
const DIGEST = `sha256:${HEX}`
const ENCODED_DIGEST = `sha256%3A${HEX}`
const SESSION = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'

/** What a path means, in short: `kind name last`. */
function summary(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'base':
    case 'catalog':
      return endpoint.kind
    case 'blob':
    case 'referrers':
      return `${endpoint.kind} ${endpoint.name} ${endpoint.digest}`
    case 'manifest': {
      const { kind } = endpoint.reference
      const text =
        endpoint.reference.kind === 'tag' ? endpoint.reference.tag : endpoint.reference.digest
      return `manifest ${endpoint.name} ${kind} ${text}`
    }
    case 'upload':
      return `upload ${endpoint.name} ${endpoint.session}`
    case 'uploads':
    case 'tags':
      return `${endpoint.kind} ${endpoint.name}`
    default:
      return endpoint satisfies never
  }
}

describe('the shapes', () => {
  it.each([
    { name: 'end-1', path: '/v2/', want: 'base' },
    { name: 'end-1 without its slash', path: '/v2', want: 'base' },
    { name: 'the catalog', path: '/v2/_catalog', want: 'catalog' },
    { name: 'end-2', path: `/v2/a/b/blobs/${DIGEST}`, want: `blob a/b ${DIGEST}` },
    { name: 'end-3 by tag', path: '/v2/a/b/manifests/v1', want: 'manifest a/b tag v1' },
    {
      name: 'end-3 by digest',
      path: `/v2/a/manifests/${DIGEST}`,
      want: `manifest a digest ${DIGEST}`,
    },
    { name: 'end-4a', path: '/v2/a/b/blobs/uploads/', want: 'uploads a/b' },
    { name: 'end-4a without its slash', path: '/v2/a/b/blobs/uploads', want: 'uploads a/b' },
    { name: 'end-5', path: `/v2/a/blobs/uploads/${SESSION}`, want: `upload a ${SESSION}` },
    { name: 'end-8', path: '/v2/a/b/c/tags/list', want: 'tags a/b/c' },
    { name: 'end-12', path: `/v2/a/referrers/${DIGEST}`, want: `referrers a ${DIGEST}` },
  ])('$name', ({ path, want }) => {
    const written = parseEndpoint(path)
    expect(written && summary(written.endpoint)).toBe(want)
    expect(written?.base).toBeUndefined()
  })
})

describe('T094: names with words of the API are read from the right', () => {
  it.each([
    {
      path: '/v2/manifests/manifests/manifests/latest',
      want: 'manifest manifests/manifests tag latest',
    },
    { path: '/v2/a/tags/list/tags/list', want: 'tags a/tags/list' },
    { path: '/v2/tags/tags/list', want: 'tags tags' },
    { path: '/v2/tags/list/manifests/list', want: 'manifest tags/list tag list' },
    { path: '/v2/a/manifests/tags/list', want: 'tags a/manifests' },
    { path: '/v2/a/blobs/uploads/manifests/v1', want: 'manifest a/blobs/uploads tag v1' },
    { path: '/v2/a/manifests/blobs/uploads/', want: 'uploads a/manifests' },
    { path: '/v2/blobs/uploads/blobs/uploads/', want: 'uploads blobs/uploads' },
    { path: '/v2/blobs/uploads/blobs/uploads/x', want: 'upload blobs/uploads x' },
    { path: '/v2/a/blobs/uploads/list', want: 'upload a list' },
    { path: `/v2/blobs/blobs/${DIGEST}`, want: `blob blobs ${DIGEST}` },
    { path: `/v2/uploads/blobs/${DIGEST}`, want: `blob uploads ${DIGEST}` },
    { path: `/v2/a/referrers/b/referrers/${DIGEST}`, want: `referrers a/referrers/b ${DIGEST}` },
    { path: '/v2/_catalog/tags/list', want: 'tags _catalog' },
    { path: '/v2/v2/tags/list', want: 'tags v2' },
    { path: '/v2/a/v2/b/tags/list', want: 'tags a/v2/b' },
    { path: '/v2/v2/v2/tags/list', want: 'tags v2/v2' },
  ])('$path', ({ path, want }) => {
    const written = parseEndpoint(path)
    expect(written && summary(written.endpoint)).toBe(want)
  })
})

describe('the host before /v2', () => {
  it.each([
    { path: '/docker.io/v2/library/x/tags/list', base: 'docker.io', want: 'tags library/x' },
    { path: '/docker.io/v2/', base: 'docker.io', want: 'base' },
    { path: '/docker.io/v2', base: 'docker.io', want: 'base' },
    { path: '/docker.io/v2/_catalog', base: 'docker.io', want: 'catalog' },
    { path: '/localhost:5000/v2/a/manifests/b', base: 'localhost:5000', want: 'manifest a tag b' },
    {
      path: '/localhost%3A5000/v2/a/manifests/b',
      base: 'localhost:5000',
      want: 'manifest a tag b',
    },
    {
      path: '/localhost%3a5000/v2/a/manifests/b',
      base: 'localhost:5000',
      want: 'manifest a tag b',
    },
    { path: '/a%2Fb/v2/c/tags/list', base: 'a%2Fb', want: 'tags c' },
    { path: '/Docker.IO/v2/a/tags/list', base: 'Docker.IO', want: 'tags a' },
  ])('$path', ({ path, base, want }) => {
    const written = parseEndpoint(path)
    expect(written?.base).toBe(base)
    expect(written && summary(written.endpoint)).toBe(want)
  })
})

describe('the last segment is decoded once', () => {
  it.each([
    { path: `/v2/a/blobs/${ENCODED_DIGEST}`, want: `blob a ${DIGEST}` },
    { path: `/v2/a/blobs/sha256%3a${HEX}`, want: `blob a ${DIGEST}` },
    { path: `/v2/a/manifests/${ENCODED_DIGEST}`, want: `manifest a digest ${DIGEST}` },
    { path: `/v2/a/referrers/${ENCODED_DIGEST}`, want: `referrers a ${DIGEST}` },
    { path: '/v2/a/manifests/%6Catest', want: 'manifest a tag latest' },
    { path: '/v2/a/blobs/uploads/a%20b', want: 'upload a a b' },
    { path: '/v2/a/blobs/uploads/%zz', want: 'upload a %zz' },
    { path: '/v2/a%2Fb/manifests/latest', want: 'manifest a%2Fb tag latest' },
    { path: '/v2/a%00/tags/list', want: 'tags a%00' },
    { path: '/v2/a%/tags/list', want: 'tags a%' },
    { path: '/v2//a//tags/list', want: 'tags /a/' },
  ])('$path', ({ path, want }) => {
    const written = parseEndpoint(path)
    expect(written && summary(written.endpoint)).toBe(want)
  })
})

describe('other paths are none of ours', () => {
  it.each([
    '/',
    '',
    '/v1/',
    '/v2x',
    '/v20/a/tags/list',
    '/V2/a/tags/list',
    '//v2/',
    '//v2//',
    '/v2//',
    '/v2/a',
    '/v2/a/',
    '/v2/_catalog/',
    '/v2/tags/list',
    '/v2//tags/list',
    '/v2/manifests/latest',
    `/v2/blobs/${DIGEST}`,
    `/v2//blobs/${DIGEST}`,
    '/v2/blobs/uploads/',
    '/v2/blobs/uploads',
    '/v2//blobs/uploads/',
    '/v2/uploads/x',
    '/v2/a/uploads/x',
    '/v2/ablobs/uploads/x',
    '/v2/a/tags',
    '/v2/a/tags/',
    '/v2/a/tags/list/',
    '/v2/a/tags/other',
    '/v2/a/tags%2Flist',
    '/v2/a/manifests/',
    '/v2/a/manifests/latest/',
    '/v2/a/manifests/b/c',
    '/v2/a/blobs/',
    `/v2/a/blobs/${DIGEST}/`,
    `/v2/a/blobs/uploads/${SESSION}/`,
    '/v2/a/referrers/',
    '/v2/a/unknown/b',
    '/v2/_oci/ext/discover',
    '/docker.io/v2x/a/tags/list',
    '/docker.io/a/v2/b/tags/list',
    '/healthz',
  ])('%s', (path) => {
    expect(parseEndpoint(path)).toBeUndefined()
  })
})

describe('a last segment that cannot exist', () => {
  it.each([
    {
      name: 'T015: upper-case hex',
      path: `/v2/a/blobs/sha256:${HEX.toUpperCase()}`,
      want: 'DIGEST_INVALID',
    },
    {
      name: 'T015: 63 digits',
      path: `/v2/a/manifests/sha256:${HEX.slice(1)}`,
      want: 'DIGEST_INVALID',
    },
    { name: 'T015: 65 digits', path: `/v2/a/manifests/sha256:${HEX}0`, want: 'DIGEST_INVALID' },
    { name: 'T015: a tag as a blob', path: `/v2/a/blobs/sha256-${HEX}`, want: 'DIGEST_INVALID' },
    { name: 'T016: an unknown algorithm', path: `/v2/a/blobs/md5:${HEX}`, want: 'DIGEST_INVALID' },
    { name: 'T091: a path', path: '/v2/a/blobs/sha256:..%2f..%2fx', want: 'DIGEST_INVALID' },
    { name: 'T091: a newline', path: `/v2/a/blobs/${DIGEST}%0A`, want: 'DIGEST_INVALID' },
    { name: 'a malformed escape', path: '/v2/a/blobs/sha256:%', want: 'DIGEST_INVALID' },
    { name: 'malformed UTF-8', path: '/v2/a/blobs/sha256:%ff', want: 'DIGEST_INVALID' },
    { name: 'double encoding', path: `/v2/a/blobs/sha256%253A${HEX}`, want: 'DIGEST_INVALID' },
    { name: 'of referrers', path: '/v2/a/referrers/latest', want: 'DIGEST_INVALID' },
    {
      name: 'of the suite',
      path: '/v2/a/manifests/sha256:baddigeststring',
      want: 'DIGEST_INVALID',
    },
    {
      name: 'a space in a digest',
      path: '/v2/a/manifests/sha256:totally%20wrong',
      want: 'DIGEST_INVALID',
    },
    {
      name: 'a tag of the suite',
      path: '/v2/a/manifests/.INVALID_MANIFEST_NAME',
      want: 'MANIFEST_UNKNOWN',
    },
    {
      name: 'a tag of 129 characters',
      path: `/v2/a/manifests/${'a'.repeat(129)}`,
      want: 'MANIFEST_UNKNOWN',
    },
    { name: 'NUL in a tag', path: '/v2/a/manifests/%00', want: 'MANIFEST_UNKNOWN' },
    { name: 'an encoded slash in a tag', path: '/v2/a/manifests/b%2Fc', want: 'MANIFEST_UNKNOWN' },
    { name: 'encoded dots', path: '/v2/a/manifests/%2e%2e', want: 'MANIFEST_UNKNOWN' },
    { name: 'a malformed escape in a tag', path: '/v2/a/manifests/%zz', want: 'MANIFEST_UNKNOWN' },
    { name: 'a tag encoded twice', path: '/v2/a/manifests/%256Catest', want: 'MANIFEST_UNKNOWN' },
  ])('$name: $want', ({ path, want }) => {
    expect(() => parseEndpoint(path)).toThrow(RegistryError)
    expect(() => parseEndpoint(path)).toThrow(expect.objectContaining({ code: want }))
  })
})

describe('T119: is quick on', () => {
  it.each([
    { name: 'slashes', path: `/v2/${'/'.repeat(100_000)}` },
    { name: 'components', path: `/v2/${'a/'.repeat(50_000)}` },
    { name: 'markers', path: `/v2/${'blobs/uploads/'.repeat(10_000)}x/y` },
    { name: 'escapes before /v2', path: `/${'%3A'.repeat(30_000)}/v2/${'%3'.repeat(30_000)}/x/y` },
    { name: 'no /v2 at all', path: `/${'v2'.repeat(50_000)}` },
  ])('$name', ({ path }) => {
    const start = performance.now()
    expect(parseEndpoint(path)).toBeUndefined()
    expect(performance.now() - start).toBeLessThan(500)
  })
})

describe('a PUT of a reference that cannot exist', () => {
  it.each([
    { name: 'of the suite', last: 'sha256:baddigeststring', want: 'DIGEST_INVALID' },
    { name: 'T015: upper-case hex', last: `sha256:${HEX.toUpperCase()}`, want: 'DIGEST_INVALID' },
    { name: 'T016: an unknown algorithm', last: `md5:${HEX}`, want: 'DIGEST_INVALID' },
    { name: 'an illegal tag', last: '.INVALID_MANIFEST_NAME', want: 'MANIFEST_INVALID' },
    { name: 'T093: a tag of 129 characters', last: 'a'.repeat(129), want: 'MANIFEST_INVALID' },
    { name: 'T098: a line break in a tag', last: 'a%0D%0Ab', want: 'MANIFEST_INVALID' },
    { name: 'T090: an encoded slash', last: '..%2F..', want: 'MANIFEST_INVALID' },
  ])('$name is 400 $want', ({ last, want }) => {
    expect(() => parseEndpoint(`/v2/a/manifests/${last}`, 'PUT')).toThrow(
      expect.objectContaining({ code: want, status: 400 }),
    )
  })
})

describe('allowedMethods', () => {
  const read = 'GET HEAD'

  it.each<{ kind: Endpoint['kind']; mirrored: string; hosted: string }>([
    { kind: 'base', mirrored: read, hosted: read },
    { kind: 'catalog', mirrored: read, hosted: read },
    { kind: 'blob', mirrored: read, hosted: 'GET HEAD DELETE' },
    { kind: 'manifest', mirrored: read, hosted: 'GET HEAD PUT DELETE' },
    { kind: 'tags', mirrored: read, hosted: read },
    { kind: 'referrers', mirrored: read, hosted: read },
    { kind: 'uploads', mirrored: '', hosted: 'POST' },
    { kind: 'upload', mirrored: '', hosted: 'GET HEAD PATCH PUT DELETE' },
  ])('of $kind', ({ kind, mirrored, hosted }) => {
    expect(allowedMethods(kind).join(' ')).toBe(mirrored)
    expect(allowedMethods(kind, 'mirrored').join(' ')).toBe(mirrored)
    expect(allowedMethods(kind, 'hosted').join(' ')).toBe(hosted)
  })
})
