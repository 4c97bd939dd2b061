// Which repository a request means: every row is a spelling that a client, or an attacker, writes.

import { describe, expect, it } from 'vitest'

import type { Address, AddressTable, WrittenAddress } from '../../src/oci/address.ts'
import { resolveAddress, wayBack } from '../../src/oci/address.ts'
import { RegistryError } from '../../src/oci/error.ts'
import type { Pattern } from '../../src/oci/pattern.ts'
import { parsePattern } from '../../src/oci/pattern.ts'

const DOCKER_HUB = { host: 'docker.io', library: true }
const LOCAL = { host: 'localhost:5000', library: false }

const TABLE: AddressTable = {
  upstreams: new Map([
    ['docker.io', DOCKER_HUB],
    ['index.docker.io', DOCKER_HUB],
    ['registry-1.docker.io', DOCKER_HUB],
    ['ghcr.io', { host: 'ghcr.io', library: false }],
    ['quay.io', { host: 'quay.io', library: false }],
    ['localhost:5000', LOCAL],
    ['lab', { host: 'lab', library: false }],
  ]),
  defaultUpstream: 'docker.io',
  hosted: ['hosted/**', 'team.example/**', 'single'].map(requirePattern),
}

const WITHOUT_DEFAULT: AddressTable = { ...TABLE, defaultUpstream: undefined }

function requirePattern(text: string): Pattern {
  const pattern = parsePattern(text)
  if (pattern === undefined) {
    throw new Error(`no pattern: ${text}`)
  }
  return pattern
}

function resolve(written: Partial<WrittenAddress>, table = TABLE): Address {
  return resolveAddress({ name: 'nginx', base: undefined, ns: [], ...written }, table)
}

describe('without ns', () => {
  it.each([
    { name: 'the default upstream', written: 'library/nginx', want: 'docker.io/library/nginx' },
    {
      name: 'the default upstream adds library/',
      written: 'nginx',
      want: 'docker.io/library/nginx',
    },
    { name: 'three components of the default', written: 'a/b/c', want: 'docker.io/a/b/c' },
    { name: 'a prefix', written: 'ghcr.io/a/b', want: 'ghcr.io/a/b' },
    { name: 'a prefix and one component', written: 'ghcr.io/a', want: 'ghcr.io/a' },
    { name: 'docker.io', written: 'docker.io/nginx', want: 'docker.io/library/nginx' },
    { name: 'index.docker.io', written: 'index.docker.io/nginx', want: 'docker.io/library/nginx' },
    { name: 'registry-1.docker.io', written: 'registry-1.docker.io/a/b', want: 'docker.io/a/b' },
    { name: 'a prefix in odd case', written: 'Docker.IO/nginx', want: 'docker.io/library/nginx' },
    { name: 'a prefix with a port', written: 'localhost:5000/a', want: 'localhost:5000/a' },
    { name: 'an encoded port', written: 'localhost%3A5000/a', want: 'localhost:5000/a' },
    {
      name: 'an encoded port, lower case',
      written: 'localhost%3a5000/a',
      want: 'localhost:5000/a',
    },
    { name: 'a prefix without a dot', written: 'lab/a', want: 'lab/a' },
    { name: 'a prefix alone is a repository', written: 'lab', want: 'docker.io/library/lab' },
    { name: 'a host alone is a repository', written: 'ghcr.io', want: 'docker.io/library/ghcr.io' },
    {
      name: 'only the first prefix is one',
      written: 'ghcr.io/quay.io/a',
      want: 'ghcr.io/quay.io/a',
    },
    {
      name: 'T094: words of the API',
      written: 'blobs/uploads/tags',
      want: 'docker.io/blobs/uploads/tags',
    },
    { name: 'a first component with a hyphen', written: 'a-b/c', want: 'docker.io/a-b/c' },
  ])('$name', ({ written, want }) => {
    const address = resolve({ name: written })
    expect(address).toMatchObject({ kind: 'mirrored', path: `/v2/${written}`, ns: undefined })
    expect(address.canonical).toBe(want)
    expect(address.kind === 'mirrored' && `${address.host}/${address.repository}`).toBe(want)
  })

  it.each([
    { name: 'a hosted pattern', written: 'hosted/a/b' },
    { name: 'a hosted pattern of one component', written: 'single' },
    { name: 'a hosted pattern that looks like a host', written: 'team.example/a' },
  ])('$name', ({ written }) => {
    expect(resolve({ name: written })).toEqual({
      kind: 'hosted',
      repository: written,
      canonical: written,
      path: `/v2/${written}`,
      ns: undefined,
    })
  })

  it('T018: a prefix wins over a hosted pattern', () => {
    const table = { ...TABLE, hosted: [requirePattern('**')] }
    expect(resolve({ name: 'ghcr.io/a' }, table).canonical).toBe('ghcr.io/a')
    expect(resolve({ name: 'a/b' }, table).kind).toBe('hosted')
  })

  it('hosted repositories need no default upstream', () => {
    expect(resolve({ name: 'hosted/a' }, WITHOUT_DEFAULT).kind).toBe('hosted')
  })
})

describe('the host before /v2', () => {
  it.each([
    { base: 'docker.io', name: 'nginx', want: 'docker.io/library/nginx' },
    { base: 'index.docker.io', name: 'a/b', want: 'docker.io/a/b' },
    { base: 'Quay.IO', name: 'a/b', want: 'quay.io/a/b' },
    { base: 'localhost:5000', name: 'a', want: 'localhost:5000/a' },
    { base: 'ghcr.io', name: 'hosted/a', want: 'ghcr.io/hosted/a' },
    { base: 'ghcr.io', name: 'quay.io/a', want: 'ghcr.io/quay.io/a' },
  ])('/$base/v2/$name', ({ base, name, want }) => {
    expect(resolve({ base, name })).toMatchObject({ canonical: want, path: `/${base}/v2/${name}` })
  })
})

describe('with ns', () => {
  it.each([
    { name: 'decides', ns: ['ghcr.io'], written: 'a/b', want: 'ghcr.io/a/b' },
    {
      name: 'adds library/ on Docker Hub',
      ns: ['docker.io'],
      written: 'nginx',
      want: 'docker.io/library/nginx',
    },
    {
      name: 'as regclient sends it',
      ns: ['registry-1.docker.io'],
      written: 'a/b',
      want: 'docker.io/a/b',
    },
    { name: 'as Docker sends it', ns: ['index.docker.io'], written: 'a/b', want: 'docker.io/a/b' },
    { name: 'in odd case', ns: ['GHCR.io'], written: 'a/b', want: 'ghcr.io/a/b' },
    { name: 'with a port', ns: ['localhost:5000'], written: 'a', want: 'localhost:5000/a' },
    {
      name: 'wins over a hosted pattern',
      ns: ['ghcr.io'],
      written: 'hosted/a',
      want: 'ghcr.io/hosted/a',
    },
    { name: 'agrees with the prefix', ns: ['ghcr.io'], written: 'ghcr.io/a', want: 'ghcr.io/a' },
    {
      name: 'agrees with the prefix by another spelling',
      ns: ['docker.io'],
      written: 'registry-1.docker.io/nginx',
      want: 'docker.io/library/nginx',
    },
    {
      name: 'disagrees with the prefix',
      ns: ['quay.io'],
      written: 'ghcr.io/a',
      want: 'quay.io/ghcr.io/a',
    },
    {
      name: 'beside an unknown host',
      ns: ['quay.io'],
      written: 'evil.example/a',
      want: 'quay.io/evil.example/a',
    },
    { name: 'is the whole name as well', ns: ['lab'], written: 'lab', want: 'lab/lab' },
    {
      name: 'twice the same',
      ns: ['docker.io', 'index.docker.io'],
      written: 'a/b',
      want: 'docker.io/a/b',
    },
  ])('$name', ({ ns, written, want }) => {
    const address = resolve({ name: written, ns })
    expect(address).toMatchObject({ kind: 'mirrored', canonical: want, ns: ns[0] })
    expect(address.path).toBe(`/v2/${written}`)
  })

  it.each([
    { name: 'agrees with the base', base: 'ghcr.io', want: 'ghcr.io/a' },
    { name: 'disagrees with the base', base: 'quay.io', want: 'ghcr.io/quay.io/a' },
    { name: 'beside an unknown base', base: 'x', want: 'ghcr.io/x/a' },
  ])('$name', ({ base, want }) => {
    expect(resolve({ base, name: 'a', ns: ['ghcr.io'] })).toMatchObject({
      canonical: want,
      path: `/${base}/v2/a`,
    })
  })
})

describe('NAME_UNKNOWN', () => {
  it.each<{ name: string; written: Partial<WrittenAddress>; table?: AddressTable }>([
    { name: 'T038: an unknown ns', written: { ns: ['evil.example'] } },
    { name: 'T038: two ns', written: { ns: ['docker.io', 'evil.example'] } },
    { name: 'T038: two ns, the other way round', written: { ns: ['evil.example', 'docker.io'] } },
    { name: 'two ns, both known', written: { ns: ['docker.io', 'ghcr.io'] } },
    { name: 'an empty ns', written: { ns: [''] } },
    { name: 'an ns with a path', written: { ns: ['docker.io/x'] } },
    { name: 'an unknown ns beside a known prefix', written: { name: 'ghcr.io/a', ns: ['x.y'] } },
    { name: 'an unknown host', written: { name: 'evil.example/a' } },
    { name: 'an unknown host with a port', written: { name: 'evil:5000/a' } },
    { name: 'an unknown host with an encoded port', written: { name: 'evil%3A5000/a' } },
    { name: 'an unknown port of a known host', written: { name: 'localhost:5001/a' } },
    { name: 'localhost', written: { name: 'localhost/a' } },
    { name: 'a host that begins like a known one', written: { name: 'ghcr.io.evil.example/a' } },
    { name: 'a host that ends like a known one', written: { name: 'evilghcr.io/a' } },
    { name: 'an address', written: { name: '169.254.169.254/latest' } },
    { name: 'an unknown base', written: { base: 'evil.example' } },
    { name: 'an unknown base without a dot', written: { base: 'evil' } },
    { name: 'an unknown base before a hosted name', written: { base: 'x', name: 'hosted/a' } },
    { name: 'a base that is a hosted prefix', written: { base: 'hosted', name: 'a' } },
    { name: 'no default upstream', written: { name: 'nginx' }, table: WITHOUT_DEFAULT },
    {
      name: 'a default that is not in the table',
      written: {},
      table: { ...TABLE, defaultUpstream: 'x' },
    },
    { name: 'a key of Object.prototype', written: { ns: ['constructor'] } },
  ])('$name', ({ written, table }) => {
    expect(() => resolve(written, table)).toThrow(RegistryError)
    expect(() => resolve(written, table)).toThrow(
      expect.objectContaining({ code: 'NAME_UNKNOWN', status: 404 }),
    )
  })
})

describe('NAME_INVALID', () => {
  it.each<{ name: string; written: Partial<WrittenAddress> }>([
    { name: 'upper case', written: { name: 'Library/nginx' } },
    { name: 'upper case behind a prefix', written: { name: 'ghcr.io/A' } },
    { name: 'upper case with ns', written: { name: 'A', ns: ['ghcr.io'] } },
    { name: 'T090: an encoded slash', written: { name: 'library%2Fnginx' } },
    { name: 'T090: an encoded slash behind a prefix', written: { name: 'ghcr.io/a%2Fb' } },
    { name: 'T090: an encoded slash in the prefix', written: { name: 'ghcr.io%2Fa/b' } },
    { name: 'an encoded slash with ns', written: { name: 'a%2Fb', ns: ['ghcr.io'] } },
    { name: 'an encoded slash in the base', written: { base: 'ghcr.io%2Fa', name: 'b' } },
    { name: 'a colon encoded twice', written: { name: 'localhost%253A5000/a' } },
    { name: 'an encoded colon behind the prefix', written: { name: 'ghcr.io/a%3Ab' } },
    { name: 'an encoded colon in a name of one component', written: { name: 'a%3Ab' } },
    { name: 'NUL', written: { name: 'a%00' } },
    { name: 'a malformed escape', written: { name: 'a%' } },
    { name: 'malformed UTF-8', written: { name: 'a%ff/b' } },
    { name: 'an empty component', written: { name: 'a//b' } },
    { name: 'a leading slash', written: { name: '/a' } },
    { name: 'a trailing slash', written: { name: 'a/' } },
    { name: 'nothing behind a prefix but a slash', written: { name: 'ghcr.io/' } },
    { name: 'dots', written: { name: 'ghcr.io/../a' } },
    { name: 'an underscore in front', written: { name: '_catalog' } },
    { name: 'more than 255 characters', written: { name: `ghcr.io/${'a'.repeat(256)}` } },
    { name: 'more than 255 characters with library/', written: { name: 'a'.repeat(250) } },
    {
      name: 'a prefix with a port that ns disagrees with',
      written: { name: 'localhost:5000/a', ns: ['lab'] },
    },
    { name: 'T119: 100 kB', written: { name: `${'a-'.repeat(50_000)}/b` } },
    { name: 'T119: 100 kB of escapes', written: { name: '%3A'.repeat(33_000) } },
  ])('$name', ({ written }) => {
    const start = performance.now()
    expect(() => resolve(written)).toThrow(RegistryError)
    expect(() => resolve(written)).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID', status: 400 }),
    )
    expect(performance.now() - start).toBeLessThan(500)
  })
})

it('T092: a decoded spelling never means another repository than the raw one', () => {
  for (const name of ['ghcr.io/a', 'localhost:5000/a', 'a/b', 'hosted/a', 'evil.example/a']) {
    for (let index = 0; index < name.length; index++) {
      const escape = `%${name.charCodeAt(index).toString(16)}`
      const raw = name.slice(0, index) + escape + name.slice(index + 1)
      const resolved = attempt(raw)
      expect([attempt(name), 'NAME_INVALID', 'NAME_UNKNOWN']).toContain(resolved)
    }
  }
})

function attempt(name: string): string {
  try {
    return resolve({ name }).canonical
  } catch (error) {
    return error instanceof RegistryError ? error.code : 'crash'
  }
}

describe('wayBack', () => {
  const query = new URLSearchParams({ n: '2', last: 'b' })

  it.each<{
    name: string
    written: Partial<WrittenAddress>
    query?: URLSearchParams
    want: string
  }>([
    {
      name: 'keeps ns',
      written: { name: 'library/nginx', ns: ['docker.io'] },
      query,
      want: '/v2/library/nginx/tags/list?n=2&last=b&ns=docker.io',
    },
    {
      name: 'keeps the spelling of the prefix',
      written: { name: 'index.docker.io/nginx' },
      query,
      want: '/v2/index.docker.io/nginx/tags/list?n=2&last=b',
    },
    {
      name: 'keeps the host before /v2',
      written: { base: 'docker.io', name: 'nginx' },
      query,
      want: '/docker.io/v2/nginx/tags/list?n=2&last=b',
    },
    {
      name: 'has no question mark without a query',
      written: { name: 'hosted/a' },
      want: '/v2/hosted/a/tags/list',
    },
    {
      name: 'says ns once',
      written: { name: 'a/b', ns: ['ghcr.io', 'ghcr.io'] },
      query: new URLSearchParams('ns=ghcr.io&ns=ghcr.io&n=1'),
      want: '/v2/a/b/tags/list?n=1&ns=ghcr.io',
    },
    {
      name: 'encodes',
      written: { name: 'a/b', ns: ['localhost:5000'] },
      query: new URLSearchParams({ artifactType: 'a/b+json' }),
      want: '/v2/a/b/tags/list?artifactType=a%2Fb%2Bjson&ns=localhost%3A5000',
    },
  ])('$name', (row) => {
    const given = row.query ?? new URLSearchParams()
    const before = given.toString()
    expect(wayBack(resolve(row.written), '/tags/list', given)).toBe(row.want)
    expect(given.toString()).toBe(before)
  })

  it.each<Partial<WrittenAddress>>([
    { name: 'nginx' },
    { name: 'Docker.IO/nginx' },
    { name: 'localhost%3A5000/a' },
    { name: 'ghcr.io/a', ns: ['quay.io'] },
    { name: 'a', base: 'ghcr.io' },
    { name: 'hosted/a' },
  ])('leads back to the same repository: %o', (written) => {
    const address = resolve(written)
    const url = new URL(wayBack(address, '', new URLSearchParams()), 'https://mirror.example')
    const [, base, name] = /^(?:\/([^/]+))??\/v2\/(.*)$/.exec(url.pathname) ?? []
    const again = resolve({ name: name ?? '', base, ns: url.searchParams.getAll('ns') })
    expect(again.canonical).toBe(address.canonical)
  })
})
