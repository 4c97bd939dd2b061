// What a configuration means, and the message that each wrong one stops with.

import { describe, expect, it } from 'vitest'

import type { Config } from '../src/config.ts'
import { ConfigError, immutableTags, isSparse, parseConfig, settingsOf } from '../src/config.ts'
import type { RepositoryName } from '../src/oci/repository-name.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import type { Tag } from '../src/oci/reference.ts'
import { parseTag } from '../src/oci/reference.ts'
import type { Upstream } from '../src/upstream/upstream.ts'

const MINUTE = 60_000
const repository = (text: string): RepositoryName => parseRepositoryName(text) ?? expect.fail(text)
const tag = (text: string): Tag => parseTag(text) ?? expect.fail(text)

function upstreamOf(config: Config, host: string): Upstream {
  return config.upstreams.get(host) ?? expect.fail(`no upstream ${host}`)
}

/** The one upstream of a table with one entry. */
function only(host: string, settings: object, rest: object = {}): Upstream {
  const [upstream] = parseConfig({ UPSTREAMS: { [host]: settings }, ...rest }).upstreams.values()
  return upstream ?? expect.fail('no upstream')
}

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return expect.fail('accepted')
}

const GRANTS = [{ repositories: ['hosted/**'], actions: ['pull', 'push'] }]
const ACCOUNT = { name: 'ci', secretHash: '0123456789abcdef'.repeat(4), grants: GRANTS }
const ISSUER = {
  issuer: 'github',
  audience: 'https://registry.test',
  claims: { repository: 'acme/*', ref: ['refs/heads/main', 'refs/tags/*'] },
  grants: GRANTS,
}

describe('who may do what', () => {
  it('holds accounts, whose version changes with their secret, and issuers by name or address', () => {
    const read = (ACCOUNTS: object) => parseConfig({ ACCOUNTS: JSON.stringify(ACCOUNTS) }).accounts
    const [account] = read([ACCOUNT])
    expect(account).toMatchObject({ name: 'ci', kind: 'account', grants: GRANTS })
    const [rotated] = read([{ ...ACCOUNT, secretHash: 'f'.repeat(64) }])
    expect(rotated?.version).not.toBe(account?.version)
    const { issuers, publicURL } = parseConfig({
      OIDC_ISSUERS: [ISSUER, { ...ISSUER, issuer: 'https://issuer.test' }],
      PUBLIC_URL: 'https://registry.test',
    })
    expect(issuers.map(({ issuer }) => issuer)).toEqual([
      'https://token.actions.githubusercontent.com',
      'https://issuer.test',
    ])
    expect(issuers[0]).toMatchObject({ audience: ISSUER.audience, claims: ISSUER.claims })
    expect(publicURL?.origin).toBe('https://registry.test')
  })

  it('calls tags immutable by the patterns of every entry that matches', () => {
    const config = parseConfig({
      HOSTED: [
        'hosted/**',
        { pattern: 'hosted/a', immutable: ['v*'] },
        { pattern: '**', immutable: ['x'] },
      ],
    })
    expect(immutableTags(config, repository('hosted/a'))).toEqual(['v*', 'x'])
    expect(immutableTags(config, repository('hosted/b'))).toEqual(['x'])
  })
})

const CREDENTIALS = { 'ghcr.io': [{ username: 'anna', password: 'hunter2-secret' }] }

describe('the table of upstreams', () => {
  it('takes a well-known registry from its profile', () => {
    expect(only('docker.io', {})).toMatchObject({
      host: 'docker.io',
      url: 'https://registry-1.docker.io',
      realms: ['https://registry-1.docker.io', 'https://auth.docker.io'],
      authentication: { realm: 'https://auth.docker.io/token', service: 'registry.docker.io' },
      isLocal: false,
      maxStale: 7 * 24 * 60 * MINUTE,
      credentials: [],
    })
  })

  it('puts the host into the profile of a family', () => {
    expect(only('europe-docker.pkg.dev', {})).toMatchObject({
      url: 'https://europe-docker.pkg.dev',
      authentication: {
        realm: 'https://europe-docker.pkg.dev/v2/token',
        service: 'europe-docker.pkg.dev',
      },
    })
  })

  it.each([
    { host: 'docker.io', want: 'repository:library/nginx:pull' },
    { host: 'public.ecr.aws', want: 'aws' },
  ])('asks $host for the scope $want', ({ host, want }) => {
    expect(only(host, {}).scope(repository('library/nginx'))).toBe(want)
  })

  it.each(['docker.io', 'Docker.IO', 'index.docker.io', 'registry-1.docker.io'])(
    'knows Docker Hub by the key %s',
    (key) => {
      const { upstreams, table } = parseConfig({ UPSTREAMS: { [key]: {} } })
      expect([...upstreams.keys()]).toEqual(['docker.io'])
      const hub = { host: 'docker.io', library: true }
      expect(table.upstreams.get('docker.io')).toEqual(hub)
      expect(table.upstreams.get('index.docker.io')).toEqual(hub)
      expect(table.upstreams.get('registry-1.docker.io')).toEqual(hub)
      expect(table.defaultUpstream).toBe('docker.io')
    },
  )

  it('accepts JSON text, as --var gives it', () => {
    const { upstreams } = parseConfig({
      UPSTREAMS: '{"docker.io":{"url":"http://127.0.0.1:5001","tagTTL":"1m"}}',
      DEFAULT_UPSTREAM: '"docker.io"',
    })
    expect(upstreams.get('docker.io')).toMatchObject({
      url: 'http://127.0.0.1:5001',
      isLocal: true,
    })
  })

  it('is empty when nothing is configured', () => {
    const { upstreams, table, anonymous, warnings } = parseConfig({})
    expect([upstreams.size, table.upstreams.size, table.hosted.length]).toEqual([0, 0, 0])
    expect([table.defaultUpstream, anonymous, warnings]).toEqual([undefined, 'public', []])
  })

  it.each([
    {
      name: 'a local url keeps the names of the profile and asks how to authenticate',
      host: 'docker.io',
      settings: { url: 'http://127.0.0.1:5001/' },
      want: {
        host: 'docker.io',
        url: 'http://127.0.0.1:5001',
        realms: ['http://127.0.0.1:5001'],
        authentication: 'ask',
        isLocal: true,
      },
    },
    {
      name: 'a relay under another host does not inherit the realms of the profile',
      host: 'docker.io',
      settings: { url: 'https://relay.example.com/hub/', private: false },
      want: {
        url: 'https://relay.example.com/hub',
        realms: ['https://relay.example.com'],
        authentication: 'ask',
      },
    },
    {
      name: 'the url of the profile, spelled out, keeps its realms and its token service',
      host: 'docker.io',
      settings: { url: 'https://registry-1.docker.io' },
      want: {
        realms: ['https://registry-1.docker.io', 'https://auth.docker.io'],
        authentication: { realm: 'https://auth.docker.io/token', service: 'registry.docker.io' },
      },
    },
    {
      name: 'a registry without a profile is its own url',
      host: 'registry.example.com:5000',
      settings: { private: true },
      want: {
        host: 'registry.example.com:5000',
        url: 'https://registry.example.com:5000',
        realms: ['https://registry.example.com:5000'],
        authentication: 'ask',
        isLocal: false,
      },
    },
    {
      name: 'a token service on another host is named by realms',
      host: 'registry.example.com',
      settings: { private: true, realms: ['https://auth.example.com/'] },
      want: { realms: ['https://registry.example.com', 'https://auth.example.com'] },
    },
    {
      name: 'a local upstream has a name and a url',
      host: 'local',
      settings: { url: 'http://[::1]:5000' },
      want: { host: 'local', url: 'http://[::1]:5000', isLocal: true },
    },
    {
      name: 'a host on this machine needs no url',
      host: 'localhost:5000',
      settings: {},
      want: { url: 'https://localhost:5000', isLocal: true },
    },
    {
      name: 'maxStale is a duration',
      host: 'quay.io',
      settings: { maxStale: '12h' },
      want: { maxStale: 12 * 60 * MINUTE },
    },
  ])('$name', ({ host, settings, want }) => {
    expect(only(host, settings)).toMatchObject(want)
  })
})

describe('tagTTL', () => {
  const rules = {
    'library/*:latest': '30s',
    'library/*:*-rc*': 0,
    'nginx:1.*': '7d',
    'acme/**': 90,
  }

  it.each([
    { ttl: undefined, name: 'library/nginx', tag: 'latest', want: 5 * MINUTE },
    { ttl: '2h', name: 'library/nginx', tag: 'latest', want: 120 * MINUTE },
    { ttl: 45, name: 'library/nginx', tag: 'latest', want: 45_000 },
    { ttl: '0s', name: 'library/nginx', tag: 'latest', want: 0 },
    { ttl: rules, name: 'library/nginx', tag: 'latest', want: 30_000 },
    { ttl: rules, name: 'library/nginx', tag: '2-rc1', want: 0 },
    { ttl: rules, name: 'library/nginx', tag: '1.27', want: 7 * 24 * 60 * MINUTE },
    { ttl: rules, name: 'library/redis', tag: '1.27', want: 5 * MINUTE },
    { ttl: rules, name: 'acme/team/app', tag: 'x', want: 90_000 },
    { ttl: rules, name: 'other/app', tag: 'latest', want: 5 * MINUTE },
  ])('$ttl says $want for $name:$tag', (row) => {
    const upstream = only('docker.io', row.ttl === undefined ? {} : { tagTTL: row.ttl })
    expect(upstream.tagTTL(repository(row.name), tag(row.tag))).toBe(row.want)
  })
})

describe('allow and deny', () => {
  it.each([
    { settings: {}, name: 'acme/app', want: true },
    { settings: { allow: ['acme/**'] }, name: 'acme/a/b', want: true },
    { settings: { allow: ['acme/**'] }, name: 'other/app', want: false },
    { settings: { allow: [] }, name: 'acme/app', want: false },
    { settings: { deny: ['acme/secret'] }, name: 'acme/secret', want: false },
    { settings: { deny: ['acme/secret'] }, name: 'acme/app', want: true },
    { settings: { allow: ['**'], deny: ['acme/*'] }, name: 'acme/app', want: false },
    { settings: { deny: ['nginx'] }, name: 'library/nginx', want: false },
    { settings: { allow: ['*'] }, name: 'library/nginx', want: true },
    { settings: { allow: ['*'] }, name: 'acme/nginx', want: false },
  ])('$settings: $name is $want', ({ settings, name, want }) => {
    expect(only('docker.io', settings).isAllowed(repository(name))).toBe(want)
  })
})

describe('private', () => {
  it.each([
    { host: 'ghcr.io', settings: {}, name: 'acme/app', want: false },
    { host: 'ghcr.io', settings: { private: true }, name: 'acme/app', want: true },
    { host: 'ghcr.io', settings: { private: false }, name: 'acme/app', want: false },
    { host: 'ghcr.io', settings: { private: ['acme/**'] }, name: 'acme/app', want: true },
    { host: 'ghcr.io', settings: { private: ['acme/**'] }, name: 'other/app', want: false },
    { host: 'local', settings: { url: 'http://localhost:5000' }, name: 'acme/app', want: false },
  ])('$host $settings: $name is $want', ({ host, settings, name, want }) => {
    expect(only(host, settings).isPrivate(repository(name))).toBe(want)
  })
})

describe('credentials', () => {
  const config = (password: string, key = 'ghcr.io'): Config =>
    parseConfig({
      UPSTREAMS: { 'ghcr.io': { private: true } },
      UPSTREAM_CREDENTIALS: JSON.stringify({ [key]: [{ username: 'anna', password }] }),
    })

  it('belong to their upstream, whatever the case of the key', () => {
    expect(upstreamOf(config('secret', 'GHCR.io'), 'ghcr.io').credentials).toEqual([
      { id: expect.stringMatching(/^0-[0-9a-f]{8}$/), username: 'anna', password: 'secret' },
    ])
  })

  it('have another id after a rotation, and the same one after a restart', () => {
    const idOf = (password: string): string | undefined =>
      upstreamOf(config(password), 'ghcr.io').credentials[0]?.id
    expect(idOf('secret')).toBe(idOf('secret'))
    expect(idOf('secret')).not.toBe(idOf('secret2'))
  })

  it('of Docker Hub may be under any of its names', () => {
    const { upstreams } = parseConfig({
      UPSTREAMS: { 'docker.io': { private: ['acme/*'] } },
      UPSTREAM_CREDENTIALS: { 'index.docker.io': [{ username: 'a', password: 'b' }] },
    })
    expect(upstreams.get('docker.io')?.credentials).toHaveLength(1)
  })

  it('of a local upstream need no declaration of what is private', () => {
    const upstream = only(
      'local',
      { url: 'http://127.0.0.1:5000' },
      { UPSTREAM_CREDENTIALS: { local: [{ username: 'a', password: 'b' }] } },
    )
    expect(upstream.isPrivate(repository('a'))).toBe(false)
  })

  it.each([undefined, '', '{}', {}])('may be %j', (value) => {
    expect(parseConfig({ UPSTREAM_CREDENTIALS: value }).upstreams.size).toBe(0)
  })
})

describe('the other settings', () => {
  const upstreams = { 'docker.io': {}, 'ghcr.io': {} }

  it.each([
    { vars: {}, want: 'docker.io' },
    { vars: { DEFAULT_UPSTREAM: '' }, want: undefined },
    { vars: { DEFAULT_UPSTREAM: 'ghcr.io' }, want: 'ghcr.io' },
    { vars: { DEFAULT_UPSTREAM: 'Index.Docker.io' }, want: 'docker.io' },
    { vars: { UPSTREAMS: { 'ghcr.io': {} } }, want: undefined },
  ])('$vars: the default upstream is $want', ({ vars, want }) => {
    expect(parseConfig({ UPSTREAMS: upstreams, ...vars }).table.defaultUpstream).toBe(want)
  })

  it('takes hosted patterns with and without settings', () => {
    const { table, hosted } = parseConfig({
      UPSTREAMS: upstreams,
      HOSTED: ['hosted/**', { pattern: 'sparse/*', sparse: true }, '**'],
    })
    expect(table.hosted.map(({ text }) => text)).toEqual(['hosted/**', 'sparse/*', '**'])
    expect(hosted.map((entry) => entry.isSparse)).toEqual([false, true, false])
  })

  it.each([
    { name: 'hosted/a', want: false },
    { name: 'sparse/a', want: true },
    { name: 'sparse/no/a', want: false },
    { name: 'both/a', want: true },
    { name: 'other', want: false },
  ])('lets manifests of $name name what is missing: $want', ({ name, want }) => {
    const config = parseConfig({
      HOSTED: [
        'hosted/**',
        { pattern: 'sparse/no/*', sparse: false },
        { pattern: 'sparse/*', sparse: true },
        'both/**',
        { pattern: 'both/*', sparse: true },
      ],
    })
    expect(isSparse(config, repository(name))).toBe(want)
  })

  it('takes the grants of anonymous callers', () => {
    const { anonymous, warnings } = parseConfig({
      ANONYMOUS: '[{"repositories":["docker.io/**"],"actions":["pull"]}]',
    })
    expect(anonymous).toEqual([
      { repositories: [expect.objectContaining({ text: 'docker.io/**' })], actions: ['pull'] },
    ])
    expect(warnings).toEqual([])
  })

  it('closes the registry to anonymous callers with an empty list', () => {
    expect(parseConfig({ ANONYMOUS: [] }).anonymous).toEqual([])
  })

  it('warns of anonymous writes', () => {
    const ANONYMOUS = [{ repositories: ['hosted/**'], actions: ['pull', 'push', 'delete'] }]
    expect(parseConfig({ ANONYMOUS }).warnings).toEqual([
      'ANONYMOUS lets anyone push and delete hosted/**',
    ])
  })

  it.each([
    { pattern: '**', settings: { private: true }, want: 1 },
    { pattern: 'ghcr.io/**', settings: { private: ['acme/*'] }, want: 1 },
    { pattern: '*/acme/app', settings: { private: true }, want: 1 },
    { pattern: 'docker.io/**', settings: { private: true }, want: 0 },
    { pattern: '**', settings: { private: false }, want: 0 },
    { pattern: '**', settings: {}, want: 0 },
  ])('gives $want warnings for a grant on $pattern beside $settings', (row) => {
    const { warnings } = parseConfig({
      UPSTREAMS: { 'ghcr.io': row.settings, 'docker.io': {} },
      ANONYMOUS: [{ repositories: [row.pattern], actions: ['pull'] }],
    })
    expect(warnings).toHaveLength(row.want)
  })

  it.each([
    { REDIRECT: 'auto' },
    { REDIRECT: 'never' },
    { REDIRECT: [] },
    { ACCOUNTS: '[]', OIDC_ISSUERS: [], PUBLIC_URL: '', S3_ENDPOINT: '', S3_ACCESS_KEY_ID: '' },
    { UPSTREAMS: { 'docker.io': { alternates: [] } } },
  ])('accepts %j', (vars) => {
    expect(parseConfig(vars).warnings).toEqual([])
  })
})

/** Settings of one upstream, and pieces of the message that refuses them. */
const WRONG_UPSTREAMS: readonly { host?: string; settings: unknown; want: readonly string[] }[] = [
  { settings: true, want: ['UPSTREAMS["ghcr.io"]: ', 'expected an object', 'found true'] },
  { settings: { URL: 'x' }, want: ['UPSTREAMS["ghcr.io"].URL: ', 'url, tagTTL', 'unknown key'] },
  { settings: { url: '' }, want: ['.url: expected a URL', 'found ""'] },
  { settings: { url: 5 }, want: ['.url: expected a URL', 'found 5'] },
  { settings: { url: 'ghcr.io' }, want: ['.url: expected a URL', 'found "ghcr.io"'] },
  { settings: { url: 'http://ghcr.io' }, want: ['expected https', 'found "http://ghcr.io"'] },
  { settings: { url: 'ftp://127.0.0.1' }, want: ['expected https'] },
  { settings: { url: 'https://ghcr.io/?a=b' }, want: ['without user, query and fragment'] },
  { settings: { url: 'https://ghcr.io/#a' }, want: ['without user, query and fragment'] },
  { settings: { url: 'https://10.1.2.3' }, want: ['expected a public host'] },
  { settings: { url: 'https://0xA9FEA9FE/' }, want: ['expected a public host'] },
  { settings: { url: 'https://2852039166/' }, want: ['expected a public host'] },
  { settings: { url: 'https://[::ffff:127.0.0.1]' }, want: ['expected a public host'] },
  { settings: { url: 'https://metadata.google.internal' }, want: ['expected a public host'] },
  { settings: { url: 'http://192.168.0.2:5000' }, want: ['expected https'] },
  { settings: { tagTTL: '5 min' }, want: ['.tagTTL: expected a duration', 'found "5 min"'] },
  { settings: { tagTTL: -1 }, want: ['.tagTTL: expected a duration', 'found -1'] },
  { settings: { tagTTL: [] }, want: ['.tagTTL: expected a duration, or an object'] },
  { settings: { tagTTL: { 'a/b': 'x' } }, want: ['.tagTTL["a/b"]: expected a duration'] },
  { settings: { tagTTL: { 'a:b:c': 1 } }, want: ['.tagTTL["a:b:c"]', '<tag pattern>'] },
  { settings: { tagTTL: { 'A/b': 1 } }, want: ['expected a repository pattern', 'found "A/b"'] },
  { settings: { tagTTL: { 'ghcr.io/a': 1 } }, want: ['without the host'] },
  { settings: { maxStale: true }, want: ['.maxStale: expected a duration', 'found true'] },
  { settings: { allow: 'acme/**' }, want: ['.allow: expected a list', 'found "acme/**"'] },
  { settings: { allow: ['Acme'] }, want: ['.allow[0]: expected a repository pattern'] },
  { settings: { deny: ['ok', 7] }, want: ['.deny[1]: expected a repository pattern', 'found 7'] },
  { settings: { deny: ['ghcr.io/acme/*'] }, want: ['.deny[0]: ', 'without the host'] },
  { settings: { private: 'yes' }, want: ['.private: expected true, false or a list'] },
  { settings: { private: null }, want: ['.private: expected true, false or a list'] },
  { settings: { realms: ['http://auth.example.com'] }, want: ['.realms[0]: expected https'] },
  { settings: { realms: ['https://a.example.com/x'] }, want: ['.realms[0]: expected an origin'] },
  { settings: { realms: ['https://10.0.0.1'] }, want: ['.realms[0]: expected a public host'] },
  { settings: { alternates: 'mirror.gcr.io' }, want: ['.alternates: expected a list of URLs'] },
  { settings: { alternates: ['mirror.gcr.io'] }, want: ['.alternates[0]: expected a URL'] },
  { settings: { alternates: [{ realms: [] }] }, want: ['.alternates[0].url: expected a URL'] },
  { settings: { alternates: [{ URL: 'x' }] }, want: ['.alternates[0].URL: ', 'unknown key'] },
  { settings: { alternates: ['http://a.test'] }, want: ['.alternates[0]: expected https'] },
  { settings: { alternates: ['https://10.0.0.1'] }, want: ['expected a public host'] },
  { settings: { alternates: ['https://u:p@a.test'] }, want: ['without user, query and fragment'] },
  {
    settings: { alternates: [{ url: 'https://a.test', realms: ['http://b.test'] }] },
    want: ['.alternates[0].realms[0]: expected https'],
  },
  {
    settings: { alternates: ['https://a.test', 'https://a.test/x'] },
    want: ['.alternates: expected each host once'],
  },
  { host: 'a/b', settings: {}, want: ['UPSTREAMS["a/b"]: expected a registry host'] },
  { host: 'v2', settings: {}, want: ['UPSTREAMS["v2"]: expected a registry host'] },
  { host: 'https://ghcr.io', settings: {}, want: ['expected a registry host'] },
  { host: '', settings: {}, want: ['expected a registry host'] },
  { host: '10.0.0.1:5000', settings: {}, want: ['["10.0.0.1:5000"].url: expected a public host'] },
  { host: 'local', settings: {}, want: ['UPSTREAMS.local.url: expected a public host'] },
  {
    host: 'registry.example.com',
    settings: {},
    want: [
      '["registry.example.com"].private: ',
      'nothing is known of this registry',
      'found nothing',
    ],
  },
  {
    host: 'docker.io',
    settings: { url: 'https://relay.example.com' },
    want: ['["docker.io"].private: ', 'nothing is known of this registry'],
  },
]

/** Whole configurations. */
const WRONG: readonly { vars: Record<string, unknown>; want: readonly string[] }[] = [
  { vars: { UPSTREAM: {} }, want: ['UPSTREAM: expected one of UPSTREAMS, ', 'unknown key'] },
  { vars: { UPSTREAMS: [] }, want: ['UPSTREAMS: expected an object', 'found a list'] },
  { vars: { UPSTREAMS: '{"docker.io":' }, want: ['UPSTREAMS: expected valid JSON'] },
  { vars: { UPSTREAMS: 'docker.io' }, want: ['UPSTREAMS: expected an object', '"docker.io"'] },
  {
    vars: { UPSTREAMS: { 'docker.io': {}, 'index.docker.io': {} } },
    want: ['UPSTREAMS["index.docker.io"]: expected each registry once', '"docker.io"'],
  },
  { vars: { DEFAULT_UPSTREAM: 'docker.io' }, want: ['DEFAULT_UPSTREAM: expected a host of'] },
  {
    vars: { UPSTREAMS: { 'ghcr.io': {} }, DEFAULT_UPSTREAM: 'quay.io' },
    want: ['DEFAULT_UPSTREAM: ', '(ghcr.io)', 'found "quay.io"'],
  },
  { vars: { DEFAULT_UPSTREAM: false }, want: ['DEFAULT_UPSTREAM: ', 'found false'] },
  { vars: { HOSTED: 'hosted/**' }, want: ['HOSTED: expected a list', '"hosted/**"'] },
  { vars: { HOSTED: ['a//b'] }, want: ['HOSTED[0]: expected a repository pattern'] },
  { vars: { HOSTED: [{ sparse: true }] }, want: ['HOSTED[0].pattern: ', 'found nothing'] },
  { vars: { HOSTED: [{ pattern: 'a', sparse: 1 }] }, want: ['HOSTED[0].sparse: expected true'] },
  { vars: { HOSTED: [{ pattern: 'a', x: 1 }] }, want: ['HOSTED[0].x: ', 'unknown key'] },
  {
    vars: { UPSTREAMS: { 'docker.io': {} }, HOSTED: ['index.docker.io/**'] },
    want: ['HOSTED[0]: expected a pattern outside the upstreams'],
  },
  { vars: { ANONYMOUS: 'public' }, want: ['ANONYMOUS: expected a list'] },
  { vars: { ANONYMOUS: [{}] }, want: ['ANONYMOUS[0].repositories: expected a list', 'nothing'] },
  {
    vars: { ANONYMOUS: [{ repositories: ['**'], actions: ['look'] }] },
    want: [
      'ANONYMOUS[0].actions[0]: expected a list of pull, read, push, create, delete',
      'found "look"',
    ],
  },
  {
    vars: { ANONYMOUS: [{ repositories: ['**'], action: [] }] },
    want: ['ANONYMOUS[0].action: ', 'repositories, actions'],
  },
  { vars: { REDIRECT: 'always' }, want: ['REDIRECT: expected "auto", "never" or', '"always"'] },
  { vars: { REDIRECT: { a: 1 } }, want: ['REDIRECT: expected "auto"', 'found an object'] },
  { vars: { REDIRECT: false }, want: ['REDIRECT: expected "auto"', 'found false'] },
  { vars: { REDIRECT: ['never'] }, want: ['REDIRECT[0]: expected an object', '"never"'] },
  { vars: { REDIRECT: [{}] }, want: ['REDIRECT[0].redirect: expected "auto" or', 'nothing'] },
  { vars: { REDIRECT: [{ redirect: true }] }, want: ['REDIRECT[0].redirect: ', 'found true'] },
  {
    vars: { REDIRECT: [{ redirect: 'auto' }, { agent: 'x', redirect: 'never' }] },
    want: ['REDIRECT[1].agent: expected one of host, userAgent, repositories, redirect', 'unknown'],
  },
  {
    vars: { REDIRECT: [{ host: '', redirect: 'never' }] },
    want: ['REDIRECT[0].host: expected a host name', 'found ""'],
  },
  {
    vars: { REDIRECT: [{ userAgent: 7, redirect: 'never' }] },
    want: ['REDIRECT[0].userAgent: expected a User-Agent', 'found 7'],
  },
  {
    vars: { REDIRECT: [{ repositories: 'Docker.io/**', redirect: 'never' }] },
    want: ['REDIRECT[0].repositories: expected a repository pattern', '"Docker.io/**"'],
  },
  {
    vars: { REDIRECT: [{ repositories: ['a'], redirect: 'never' }] },
    want: ['REDIRECT[0].repositories: expected a repository pattern', 'found a list'],
  },
  { vars: { HOSTED: [{ pattern: 'a', immutable: 'v*' }] }, want: ['HOSTED[0].immutable: '] },
  { vars: { HOSTED: [{ pattern: 'a', immutable: ['v/*'] }] }, want: ['.immutable[0]: expected'] },
  { vars: { ACCOUNTS: '[{"name":"a"}]' }, want: ['ACCOUNTS[0].secretHash: ', 'found nothing'] },
  {
    vars: { ACCOUNTS: JSON.stringify([{ ...ACCOUNT, name: 'Anna' }]) },
    want: ['ACCOUNTS[0].name: expected a name', 'not shown'],
  },
  {
    vars: { ACCOUNTS: JSON.stringify([{ ...ACCOUNT, secretHash: 'swordfish' }]) },
    want: ['ACCOUNTS[0].secretHash: ', 'not shown'],
  },
  {
    vars: { ACCOUNTS: JSON.stringify([ACCOUNT, ACCOUNT]) },
    want: ['ACCOUNTS[1]: expected each account once'],
  },
  {
    vars: { ACCOUNTS: JSON.stringify([{ ...ACCOUNT, grants: [{ repositories: ['a'] }] }]) },
    want: ['ACCOUNTS[0].grants[0].actions: '],
  },
  { vars: { OIDC_ISSUERS: [{}] }, want: ['OIDC_ISSUERS[0].issuer: ', 'found nothing'] },
  {
    vars: { OIDC_ISSUERS: [{ ...ISSUER, issuer: 'http://issuer.test' }] },
    want: ['OIDC_ISSUERS[0].issuer: expected an https URL'],
  },
  {
    vars: { OIDC_ISSUERS: [{ ...ISSUER, claims: { ref: 'refs/heads/main' } }] },
    want: ['OIDC_ISSUERS[0].claims: expected claims that name an owner'],
  },
  {
    vars: { OIDC_ISSUERS: [{ ...ISSUER, claims: { repository: 1 } }] },
    want: ['OIDC_ISSUERS[0].claims.repository: expected a pattern'],
  },
  { vars: { PUBLIC_URL: 'http://registry.test' }, want: ['PUBLIC_URL: expected an https URL'] },
  { vars: { PUBLIC_URL: 'https://registry.test/v2' }, want: ['PUBLIC_URL: expected an https URL'] },
  {
    vars: { UPSTREAM_CREDENTIALS: CREDENTIALS },
    want: ['UPSTREAM_CREDENTIALS["ghcr.io"]: expected credentials for a host of UPSTREAMS'],
  },
  {
    vars: { UPSTREAMS: { 'ghcr.io': {} }, UPSTREAM_CREDENTIALS: CREDENTIALS },
    want: ['UPSTREAMS["ghcr.io"].private: ', 'credentials may read private', 'found nothing'],
  },
  {
    vars: { UPSTREAM_CREDENTIALS: { 'docker.io': [], 'index.docker.io': [] } },
    want: ['UPSTREAM_CREDENTIALS["index.docker.io"]: expected one list'],
  },
]

/** Secrets in the wrong shape. */
const WRONG_SECRETS = [
  { UPSTREAM_CREDENTIALS: '{"ghcr.io":[{"username":"anna","password":"hunter2"' },
  { UPSTREAM_CREDENTIALS: 'anna:hunter2' },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': 'anna:hunter2' } },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': ['hunter2'] } },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': [{ username: 'anna:hunter2', password: 'x' }] } },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': [{ username: 'anna' }] } },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': [{ username: 'anna', password: '' }] } },
  { UPSTREAM_CREDENTIALS: { 'ghcr.io': [{ username: 'anna', token: 'hunter2' }] } },
  { S3_SECRET_ACCESS_KEY: ['hunter2'] },
  { S3_SECRET_ACCESS_KEY: '{"key":"hunter2"' },
  { S3_ACCESS_KEY_ID: { anna: 'hunter2' } },
  { S3_ENDPOINT: 'https://anna:hunter2@storage.test' },
  { UPSTREAMS: { 'ghcr.io': { url: 'https://anna:hunter2@ghcr.io' } } },
  { UPSTREAMS: { 'ghcr.io': { url: 'https://anna:hunt/er2@ghcr.io' } } },
  { UPSTREAMS: { 'ghcr.io': { password: 'hunter2' } } },
]

describe('alternates', () => {
  const login = (password: string): object[] => [{ username: 'anna', password }]

  it('have their own address, way of authenticating and credentials, and the rules of the upstream', () => {
    const entry = {
      private: ['acme/**'],
      maxStale: '1h',
      tagTTL: '10s',
      alternates: [
        'https://mirror.gcr.io',
        { url: 'https://Relay.example.com:8443/hub/', realms: ['https://auth.example.com'] },
      ],
    }
    const hub = only('docker.io', entry, {
      UPSTREAM_CREDENTIALS: { 'docker.io': login('a'), 'relay.example.com:8443': login('b') },
    })
    const rules = {
      host: hub.host,
      maxStale: hub.maxStale,
      tagTTL: hub.tagTTL,
      isPrivate: hub.isPrivate,
      isAllowed: hub.isAllowed,
      alternates: [],
      isLocal: false,
    }
    expect(hub.name).toBe('docker.io')
    expect(hub.alternates).toMatchObject([
      {
        ...rules,
        name: 'docker.io via mirror.gcr.io',
        url: 'https://mirror.gcr.io',
        realms: ['https://mirror.gcr.io'],
        authentication: { realm: 'https://mirror.gcr.io/v2/token', service: 'mirror.gcr.io' },
        credentials: [],
      },
      {
        ...rules,
        name: 'docker.io via relay.example.com:8443',
        url: 'https://relay.example.com:8443/hub',
        realms: ['https://relay.example.com:8443', 'https://auth.example.com'],
        authentication: 'ask',
        credentials: [{ username: 'anna', password: 'b' }],
      },
    ])
    expect(hub.credentials).toMatchObject([{ password: 'a' }])
  })

  it('that need no login leave a well-known registry public', () => {
    const hub = only('docker.io', { alternates: ['https://mirror.gcr.io'] })
    expect(hub.alternates[0]?.credentials).toEqual([])
  })

  it('with a login of their own make the upstream say what is private', () => {
    const entry = { alternates: ['https://mirror.gcr.io'] }
    const rest = { UPSTREAM_CREDENTIALS: { 'mirror.gcr.io': login('a') } }
    expect(messageOf(() => only('docker.io', entry, rest))).toMatch(/private: expected true, false/)
    expect(only('docker.io', { ...entry, private: false }, rest).credentials).toEqual([])
  })

  it('on this machine may be spoken to over http, and only they', () => {
    const hub = only('docker.io', { alternates: ['http://127.0.0.1:5001'] })
    expect([hub.isLocal, hub.alternates[0]?.isLocal]).toEqual([false, true])
  })
})

const S3 = {
  S3_ENDPOINT: 'https://account.r2.cloudflarestorage.com',
  S3_BUCKET: 'entrepot-blobs',
  S3_ACCESS_KEY_ID: 'canary-access-key',
  S3_SECRET_ACCESS_KEY: 'canary-secret-key',
}

/** The settings of a bucket without these. */
function withoutS3(...names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(S3).filter(([name]) => !names.includes(name)))
}

describe('redirects', () => {
  it('lead to the bucket that all four settings name', () => {
    const { redirect, warnings } = parseConfig(S3)
    expect(redirect).toEqual({
      bucket: {
        endpoint: new URL('https://account.r2.cloudflarestorage.com'),
        bucket: 'entrepot-blobs',
        accessKeyId: 'canary-access-key',
        secretAccessKey: 'canary-secret-key',
      },
      rules: [],
    })
    expect(warnings).toEqual([])
  })

  it.each([
    { endpoint: 'https://storage.test/', want: 'https://storage.test/' },
    { endpoint: 'https://storage.test:9000/s3', want: 'https://storage.test:9000/s3' },
    { endpoint: 'https://storage.test/a/s3/', want: 'https://storage.test/a/s3' },
    { endpoint: 'http://localhost:8080/s3', want: 'http://localhost:8080/s3' },
    { endpoint: 'http://127.0.0.1:8080', want: 'http://127.0.0.1:8080/' },
    { endpoint: 'http://[::1]:8080', want: 'http://[::1]:8080/' },
    { endpoint: 'https://storage.test/entrepot-blobs/s3', want: '/entrepot-blobs/s3' },
    { endpoint: 'https://storage.test/my-entrepot-blobs', want: '/my-entrepot-blobs' },
  ])('have the endpoint $endpoint', ({ endpoint, want }) => {
    const { redirect } = parseConfig({ ...S3, S3_ENDPOINT: endpoint })
    expect(redirect?.bucket.endpoint.href.endsWith(want)).toBe(true)
  })

  it.each([
    { endpoint: 'account.r2.cloudflarestorage.com' },
    { endpoint: 'storage.test:443' },
    { endpoint: 'http://storage.test' },
    { endpoint: 'http://10.0.0.1:9000' },
    { endpoint: 'http://localhost.test' },
    { endpoint: 'https://10.0.0.1:9000' },
    { endpoint: 'https://[::ffff:127.0.0.1]' },
    { endpoint: 'https://minio.internal' },
    { endpoint: 'https://minio' },
    { endpoint: 'https://storage.test/a%20b' },
    { endpoint: 'https://storage.test/a b' },
    { endpoint: 's3://localhost' },
    { endpoint: 'https://storage.test?a=b' },
    { endpoint: 'https://storage.test/#a' },
    { endpoint: 'https://canary@storage.test' },
    { endpoint: 'https://:canary@storage.test' },
    { endpoint: 5 },
    { endpoint: ['https://storage.test'] },
  ])('have no endpoint $endpoint', ({ endpoint }) => {
    const message = messageOf(() => parseConfig({ ...S3, S3_ENDPOINT: endpoint }))
    expect(message).toMatch(
      /^S3_ENDPOINT: expected the S3 endpoint as an https URL with a public host, .+, found /,
    )
    expect(message).not.toContain('canary')
  })

  it.each(['/entrepot-blobs', '/entrepot-blobs/', '/s3/entrepot-blobs'])(
    'have the bucket once, not also in the endpoint: %s',
    (path) => {
      const S3_ENDPOINT = `https://storage.test${path}`
      expect(messageOf(() => parseConfig({ ...S3, S3_ENDPOINT }))).toMatch(
        /^S3_ENDPOINT: expected the endpoint without the bucket, which S3_BUCKET names, found /,
      )
    },
  )

  it.each([
    'ab',
    'a'.repeat(64),
    'Blobs',
    'blobs/a',
    '../blobs',
    '-blobs',
    'blobs-',
    'my_blobs',
    'a b c',
    '%2e%2e',
    7,
  ])('have no bucket %s', (S3_BUCKET) => {
    expect(messageOf(() => parseConfig({ ...S3, S3_BUCKET }))).toMatch(
      /^S3_BUCKET: expected the name of a bucket, found /,
    )
  })

  it.each([
    { missing: ['S3_ENDPOINT'] },
    { missing: ['S3_BUCKET'] },
    { missing: ['S3_ACCESS_KEY_ID'] },
    { missing: ['S3_SECRET_ACCESS_KEY'] },
    { missing: ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] },
    { missing: ['S3_ENDPOINT', 'S3_BUCKET', 'S3_SECRET_ACCESS_KEY'] },
  ])('without $missing are none, with a warning', ({ missing }) => {
    const empty = Object.fromEntries(missing.map((name) => [name, '']))
    for (const vars of [withoutS3(...missing), { ...S3, ...empty }]) {
      const { redirect, warnings } = parseConfig({ ...vars, REDIRECT: 'auto' })
      expect(redirect).toBeUndefined()
      expect(warnings).toEqual([
        `blobs are streamed, not redirected: ${missing.join(' and ')} not set`,
      ])
    }
  })

  it.each([
    { name: 'for the bucket alone, which wrangler.toml names', vars: { S3_BUCKET: 'blobs' } },
    { name: 'where nobody is redirected', vars: { ...withoutS3('S3_BUCKET'), REDIRECT: 'never' } },
    {
      name: 'where a rule says so of everybody',
      vars: { ...withoutS3('S3_BUCKET'), REDIRECT: [{ redirect: 'never' }] },
    },
  ])('are none without a warning $name', ({ vars }) => {
    expect(parseConfig(vars)).toMatchObject({ redirect: undefined, warnings: [] })
  })

  it.each([
    { REDIRECT: 'never' },
    { REDIRECT: '"never"' },
    { REDIRECT: [{ redirect: 'never' }] },
    { REDIRECT: '[{"redirect":"never"}]' },
  ])('are none by %j', (vars) => {
    expect(parseConfig({ ...S3, ...vars }).redirect).toBeUndefined()
  })

  it.each([
    undefined,
    '',
    null,
    [],
    'auto',
    [{ redirect: 'auto' }],
    [{ host: '*', redirect: 'never' }],
    [{ redirect: 'auto' }, { redirect: 'never' }],
  ])('are some by %j', (REDIRECT) => {
    expect(parseConfig({ ...S3, REDIRECT }).redirect).toBeDefined()
  })

  it('have rules in their order, and what a rule leaves out says nothing', () => {
    const rules = [
      { host: 'One.*', redirect: 'never' },
      { userAgent: 'containerd/*', repositories: 'docker.io/**', redirect: 'auto' },
    ]
    for (const REDIRECT of [rules, JSON.stringify(rules)]) {
      expect(parseConfig({ ...S3, REDIRECT }).redirect?.rules).toEqual([
        {
          host: expect.objectContaining({ text: 'One.*' }),
          userAgent: undefined,
          repositories: undefined,
          isRedirected: false,
        },
        {
          host: undefined,
          userAgent: expect.objectContaining({ text: 'containerd/*' }),
          repositories: expect.objectContaining({ text: 'docker.io/**' }),
          isRedirected: true,
        },
      ])
    }
  })
})

describe('STORAGE_TARGET', () => {
  const read = (STORAGE_TARGET: unknown) => parseConfig({ STORAGE_TARGET }).storage

  it.each([
    { value: undefined, want: undefined },
    { value: '', want: undefined },
    { value: {}, want: undefined },
    { value: '500GiB', want: { target: 500 * 2 ** 30, low: 450 * 2 ** 30 } },
    { value: '1.5TiB', want: { target: 1.5 * 2 ** 40, low: Math.floor(1.35 * 2 ** 40) } },
    { value: '200 GB', want: { target: 2e11, low: 1.8e11 } },
    { value: '1000', want: { target: 1000, low: 900 } },
    { value: 1000, want: { target: 1000, low: 900 } },
    { value: { target: 1000 }, want: { target: 1000, low: 900 } },
    { value: { target: '1KiB', low: '1KB' }, want: { target: 1024, low: 1000 } },
    { value: '{"target":"1KiB","low":"50%"}', want: { target: 1024, low: 512 } },
    { value: { target: 1000, low: 0 }, want: { target: 1000, low: 0 } },
    { value: { target: 1000, low: '100%' }, want: { target: 1000, low: 1000 } },
  ])('$value', ({ value, want }) => {
    expect(read(value)).toEqual(want)
  })

  it.each([
    { value: 0, want: /^STORAGE_TARGET: expected a size .* above 0, found 0$/ },
    { value: '0', want: /above 0, found "0"$/ },
    { value: -1, want: /found -1$/ },
    { value: 1.5, want: /found 1.5$/ },
    { value: '500 gigabytes', want: /found "500 gigabytes"$/ },
    { value: '500gib', want: /found "500gib"$/ },
    { value: '9999999999999999TiB', want: /^STORAGE_TARGET: expected a size/ },
    { value: ['500GiB'], want: /^STORAGE_TARGET: expected .*an object .*found a list$/ },
    { value: { low: 5 }, want: /^STORAGE_TARGET.target: expected a size .*found nothing$/ },
    {
      value: { target: 5, low: 6 },
      want: /^STORAGE_TARGET.low: expected a size that is not above/,
    },
    { value: { target: 5, low: '101%' }, want: /^STORAGE_TARGET.low: / },
    { value: { target: 5, high: 6 }, want: /^STORAGE_TARGET.high: expected one of target, low/ },
  ])('$value is refused', ({ value, want }) => {
    expect(messageOf(() => read(value))).toMatch(want)
  })
})

describe('a wrong configuration', () => {
  it.each(WRONG_UPSTREAMS)('$host $settings stops with $want', (row) => {
    const { host = 'ghcr.io', settings, want } = row
    const message = messageOf(() => parseConfig({ UPSTREAMS: { [host]: settings } }))
    for (const piece of want) expect(message).toContain(piece)
    expect(message).not.toContain('\n')
  })

  it.each(WRONG)('$vars stops with $want', ({ vars, want }) => {
    const message = messageOf(() => parseConfig(vars))
    for (const piece of want) expect(message).toContain(piece)
    expect(message).not.toContain('\n')
  })

  it.each(WRONG_SECRETS)('%j keeps the secret to itself', (vars) => {
    const message = messageOf(() => parseConfig(vars))
    expect(message).toMatch(/^[A-Z0-9_]+.*: expected .+, found .+/)
    expect(message).not.toMatch(/hunt|er2|anna/)
  })
})

describe('settingsOf', () => {
  const bindings = {
    BLOBS: {},
    HINTS: {},
    MIRROR_LEDGER: {},
    BLOB_FILL: {},
    UPSTREAM_GATE: {},
    AUTHORITY: {},
    HOSTED_LEDGER: {},
    UPLOAD_SESSION: {},
    BLOB_CLAIMS: {},
    METER: {},
    JOB: {},
  }

  it('leaves out the bindings and what test runners add', () => {
    const env = { ...bindings, METRICS: {}, UPSTREAMS: '{}', __RUNNER: 1 }
    expect(settingsOf(env)).toEqual({ UPSTREAMS: '{}' })
  })

  it.each(Object.keys(bindings))('misses %s', (name) => {
    const message = messageOf(() => settingsOf({ ...bindings, [name]: undefined }))
    expect(message).toBe(`${name}: expected the binding that wrangler.toml declares, found nothing`)
  })
})
