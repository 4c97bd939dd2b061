// The secret of a path is taken off it before anything else sees the path, and stays nowhere in it.

import { describe, expect, it } from 'vitest'

import { nameWithoutCapability, splitCapability } from '../../src/oci/capability.ts'

const SECRET = 'abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst'
const OTHER = SECRET.toUpperCase().toLowerCase().replace('abc', 'zzz')

describe('splitCapability', () => {
  it.each([
    { path: `/t/${SECRET}/v2/`, want: '/v2/' },
    { path: `/t/${SECRET}/v2`, want: '/v2' },
    { path: `/t/${SECRET}/v2/library/nginx/tags/list`, want: '/v2/library/nginx/tags/list' },
    { path: `/t/${SECRET}/ghcr.io/v2/a/b/tags/list`, want: '/ghcr.io/v2/a/b/tags/list' },
    { path: `/t/${SECRET}/port.test%3A5000/v2/`, want: '/port.test%3A5000/v2/' },
    { path: `/v2/t/${SECRET}/ghcr.io/a/b/tags/list`, want: '/v2/ghcr.io/a/b/tags/list' },
    { path: `/v2/t/${SECRET}/hosted/a/tags/list`, want: '/v2/hosted/a/tags/list' },
    { path: `/v2/t/${SECRET}/`, want: '/v2/' },
    { path: `/v2/t/${SECRET}/_catalog`, want: '/v2/_catalog' },
    { path: `/t/${SECRET}`, want: '' },
    { path: `/t/${SECRET}/`, want: '/' },
    { path: `/t/${SECRET}/token`, want: '/token' },
    // Nothing that is left of these may be looked at.
    { path: `/t/${SECRET}/v2/t/${OTHER}/a/b/tags/list`, want: '' },
    { path: `/t/${SECRET}/t/${OTHER}/v2/`, want: '' },
    { path: `/v2/t/${SECRET}/t/${OTHER}/a/tags/list`, want: '' },
    { path: `/t/${SECRET}/v2/docker.io/t/${OTHER}/a/tags/list`, want: '' },
  ])('$path: $want', ({ path, want }) => {
    expect(splitCapability(path)).toEqual({ path: want, secret: SECRET })
  })

  it.each([
    '/v2/',
    '/v2/library/nginx/tags/list',
    '/v2/t/a/tags/list',
    `/v2/t/${SECRET.slice(1)}/a/tags/list`,
    `/v2/t/${SECRET}a/a/tags/list`,
    `/T/${SECRET}/v2/`,
    `/t/${SECRET.toUpperCase()}/v2/`,
    `/v2/a/tags/${SECRET}`,
    '/',
    '',
  ])('%s: none', (path) => {
    expect(splitCapability(path)).toEqual({ path, secret: undefined })
  })

  it.each([
    `/v2/docker.io/t/${SECRET}/a/tags/list`,
    `/docker.io/v2/t/${SECRET}/a/tags/list`,
    `/x/t/${SECRET}/v2/`,
    `/v2/a/t/${SECRET}`,
    `/v2//t/${SECRET}/a/tags/list`,
    `/v2/t//${SECRET}/a/tags/list`,
    `/v2/t%2F${SECRET}%2fa/tags/list`,
    `/v2/%74/${SECRET}/a/tags/list`,
    `/v2/a%2Ft%2F${SECRET}`,
  ])('%s: at the wrong place, so nothing', (path) => {
    expect(splitCapability(path)).toEqual({ path: '', secret: undefined })
  })
})

describe('nameWithoutCapability', () => {
  it.each([
    { name: `t/${SECRET}/docker.io/library/nginx`, want: 'docker.io/library/nginx' },
    { name: 'docker.io/library/nginx', want: 'docker.io/library/nginx' },
    { name: 't/a', want: 't/a' },
    { name: `docker.io/t/${SECRET}/a`, want: undefined },
    { name: `t/${SECRET}/t/${OTHER}/a`, want: undefined },
  ])('$name: $want', ({ name, want }) => {
    expect(nameWithoutCapability(name)).toBe(want)
  })
})
