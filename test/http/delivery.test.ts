// Redirect or stream: the one decision, by what the request, the endpoint and the rules of `REDIRECT` say (design §6;
// faults 143, 14A, 14C).

import { describe, expect, it } from 'vitest'
import type { Config } from '../../src/config.ts'
import { parseConfig } from '../../src/config.ts'
import { redirectEndpoint } from '../../src/http/delivery.ts'
import type { Exchange } from '../../src/http/exchange.ts'
import { parseEndpoint } from '../../src/oci/endpoint.ts'
import { resolveAddress } from '../../src/oci/address.ts'

const R2 = 'https://account.r2.cloudflarestorage.com'
const LOCAL = 'http://localhost:8123/cdn-cgi/local/r2/s3'

interface Asked {
  readonly origin?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly repository?: string
  readonly isCapability?: boolean
}

function configOf(vars: Readonly<Record<string, unknown>>): Config {
  return parseConfig({
    UPSTREAMS: { 'docker.io': {}, 'ghcr.io': {} },
    HOSTED: ['hosted/**'],
    S3_ENDPOINT: R2,
    S3_BUCKET: 'entrepot-blobs',
    S3_ACCESS_KEY_ID: 'access',
    S3_SECRET_ACCESS_KEY: 'secret',
    ...vars,
  })
}

/** Where this client is sent, without the path; `undefined`: nowhere. */
function sentTo(vars: Readonly<Record<string, unknown>>, asked: Asked = {}): string | undefined {
  return endpointFor(configOf(vars), asked)?.origin
}

function endpointFor(
  config: Config,
  {
    origin = 'https://registry.test',
    method = 'GET',
    headers = {},
    repository = 'docker.io/library/nginx',
    isCapability = false,
  }: Asked,
): URL | undefined {
  const path = `/v2/${repository}/blobs/sha256:${'a'.repeat(64)}`
  const written = parseEndpoint(path, method)
  const name = written && 'name' in written.endpoint ? written.endpoint.name : expect.fail(path)
  const exchange: Exchange = {
    id: 'id',
    method,
    origin,
    query: new URLSearchParams(),
    headers: new Headers(headers),
    body: null,
    now: () => 0,
    client: () => 'client',
    endpoint: 'blob',
    caller: undefined,
    isCapability,
    address: resolveAddress({ name, base: undefined, ns: [] }, config.table),
    outcome: undefined,
    bytes: undefined,
    length: undefined,
    redirected: undefined,
  }
  return redirectEndpoint(exchange, config)
}

describe('a request', () => {
  it.each<{ name: string; asked: Asked; want: boolean }>([
    { name: 'for a blob is redirected', asked: {}, want: true },
    { name: 'for a part of it too', asked: { headers: { range: 'bytes=0-9' } }, want: true },
    ...['bytes=0-', 'bytes=-5', 'bytes=007-99999999999999999999'].map((range) => ({
      name: `for ${range} too`,
      asked: { headers: { range } },
      want: true,
    })),
    ...[
      'bytes=0-1,4-5',
      'lines=0-1',
      'bytes=a-b',
      'bytes=',
      'bytes=-',
      'Bytes=0-1',
      'bytes= 0-1',
      '',
    ].map((range) => ({
      name: `for "${range}", which storage refuses, is not`,
      asked: { headers: { range } },
      want: false,
    })),
    {
      name: 'with a login too, which clients keep to themselves',
      asked: { headers: { authorization: 'Bearer x' } },
      want: true,
    },
    {
      name: 'that may be answered from a cache too',
      asked: { headers: { 'cache-control': 'no-cache', accept: '*/*', via: '1.1 x' } },
      want: true,
    },
    { name: 'for what is hosted too', asked: { repository: 'hosted/app' }, want: true },
    { name: 'by HEAD is not (143)', asked: { method: 'HEAD' }, want: false },
    { name: 'by a capability is not', asked: { isCapability: true }, want: false },
    ...['If-Match', 'If-None-Match', 'If-Range', 'If-Modified-Since', 'If-Unmodified-Since'].map(
      (name) => ({
        name: `with ${name} is not`,
        asked: { headers: { [name]: '"sha256:other"', range: 'bytes=0-9' } },
        want: false,
      }),
    ),
    { name: 'with an empty If-Range is not', asked: { headers: { 'if-range': '' } }, want: false },
  ])('$name', ({ asked, want }) => {
    expect(sentTo({}, asked)).toBe(want ? R2 : undefined)
  })

  it.each([
    { REDIRECT: 'never' },
    { S3_ENDPOINT: '' },
    { S3_BUCKET: '' },
    { S3_ACCESS_KEY_ID: '' },
    { S3_SECRET_ACCESS_KEY: '' },
  ])('is not with %j', (vars) => {
    expect(sentTo(vars)).toBeUndefined()
  })
})

describe('a client keeps its login on the host that it came from and below', () => {
  it.each([
    { endpoint: R2, origin: 'https://entrepot.account.workers.dev', want: true },
    { endpoint: R2, origin: 'https://r2.cloudflarestorage.com', want: false },
    { endpoint: R2, origin: 'https://account.r2.cloudflarestorage.com', want: false },
    { endpoint: R2, origin: 'https://account.r2.cloudflarestorage.com:8443', want: false },
    { endpoint: R2, origin: 'https://ACCOUNT.r2.cloudflarestorage.com', want: false },
    { endpoint: R2, origin: 'https://storage.com', want: true },
    { endpoint: R2, origin: 'https://other.r2.cloudflarestorage.com', want: true },
    { endpoint: 'https://s3.registry.test', origin: 'https://registry.test', want: false },
    { endpoint: 'https://a.s3.registry.test', origin: 'https://registry.test:5000', want: false },
    { endpoint: 'https://registry.test:9000/s3', origin: 'https://registry.test', want: false },
    { endpoint: 'https://s3.registry.test', origin: 'https://pull.registry.test', want: true },
    { endpoint: 'https://registry.test', origin: 'https://pull.registry.test', want: true },
    { endpoint: 'https://myregistry.test', origin: 'https://registry.test', want: true },
    { endpoint: 'https://registry.test.evil', origin: 'https://registry.test', want: true },
    { endpoint: 'https://s3.registry.test', origin: 'http://127.0.0.1:5050', want: true },
  ])('so from $origin to $endpoint is $want', ({ endpoint, origin, want }) => {
    const { origin: there } = new URL(endpoint)
    expect(sentTo({ S3_ENDPOINT: endpoint }, { origin })).toBe(want ? there : undefined)
  })
})

describe('an endpoint on this machine has the other name of it', () => {
  const localhost = 'http://localhost:8123'
  const address = 'http://127.0.0.1:8123'

  it.each([
    { origin: 'http://127.0.0.1:5050', want: localhost },
    { origin: 'http://127.0.0.2:5050', want: localhost },
    { origin: 'http://[::1]:5050', want: localhost },
    { origin: 'http://registry.localhost:5050', want: localhost },
    { origin: 'http://localhost:5050', want: address },
    { origin: 'http://LOCALHOST:5050', want: address },
    { origin: 'http://localhost', want: address },
    { origin: 'http://localhost:8123', want: address },
    { origin: 'http://192.168.0.2:5050', want: undefined },
    { origin: 'http://registry.test', want: undefined },
    { origin: 'http://localhost.test', want: undefined },
    { origin: 'http://127.0.0.1.test', want: undefined },
    { origin: 'http://notlocalhost', want: undefined },
    { origin: 'http://[::ffff:192.168.0.2]:5050', want: undefined },
  ])('than $origin: $want', ({ origin, want }) => {
    for (const S3_ENDPOINT of [LOCAL, LOCAL.replace('localhost', '127.0.0.1')]) {
      expect(sentTo({ S3_ENDPOINT }, { origin })).toBe(want)
    }
  })

  it('at its path, and the configuration stays as it is', () => {
    const config = configOf({ S3_ENDPOINT: LOCAL })
    const endpoint = endpointFor(config, { origin: 'http://localhost:5050' })
    expect(endpoint?.href).toBe(LOCAL.replace('localhost', '127.0.0.1'))
    expect(config.redirect?.bucket.endpoint.href).toBe(LOCAL)
  })
})

describe('PUBLIC_URL says where a client is that a proxy has sent here', () => {
  it.each([
    { PUBLIC_URL: 'https://registry.test', S3_ENDPOINT: LOCAL, want: undefined },
    { PUBLIC_URL: 'https://registry.test', S3_ENDPOINT: 'https://s3.registry.test' },
    { PUBLIC_URL: 'https://registry.test', S3_ENDPOINT: 'https://registry.test' },
    { PUBLIC_URL: 'https://registry.test', S3_ENDPOINT: R2, want: R2 },
    // One of the two names would be the client's own.
    { PUBLIC_URL: 'https://localhost:8443', S3_ENDPOINT: LOCAL, want: undefined },
    { PUBLIC_URL: 'https://127.0.0.1:8443', S3_ENDPOINT: LOCAL, want: 'http://localhost:8123' },
  ])('$PUBLIC_URL: to $S3_ENDPOINT is $want', ({ want, ...vars }) => {
    expect(sentTo(vars, { origin: 'http://127.0.0.1:5050' })).toBe(want)
  })

  it.each(['X-Forwarded-For', 'Forwarded'])('and by %s nobody is on this machine', (name) => {
    const asked = { origin: 'http://127.0.0.1:5050', headers: { [name]: '192.0.2.1' } }
    expect(sentTo({ S3_ENDPOINT: LOCAL }, asked)).toBeUndefined()
    expect(sentTo({ S3_ENDPOINT: R2 }, asked)).toBe(R2)
  })

  it('and a name that a client asks by itself counts too', () => {
    const vars = { PUBLIC_URL: 'https://registry.test', S3_ENDPOINT: 'https://s3.other.test' }
    expect(sentTo(vars, { origin: 'https://registry.test' })).toBe('https://s3.other.test')
    expect(sentTo(vars, { origin: 'https://other.test' })).toBeUndefined()
    const REDIRECT = [{ host: 'internal.test', redirect: 'never' }]
    const origin = 'https://internal.test'
    expect(sentTo({ ...vars, S3_ENDPOINT: R2, REDIRECT }, { origin })).toBeUndefined()
  })

  it('and is the host that a rule means', () => {
    const REDIRECT = [{ host: 'registry.test', redirect: 'never' }]
    const vars = { REDIRECT, PUBLIC_URL: 'https://registry.test' }
    expect(sentTo(vars, { origin: 'http://127.0.0.1:5050' })).toBeUndefined()
  })
})

describe('of the rules', () => {
  const NEVER = { redirect: 'never' }
  const AUTO = { redirect: 'auto' }
  const podman = { headers: { 'user-agent': 'containers/5.3 (github.com/containers/image)' } }

  it.each<{ name: string; rules: readonly object[]; asked?: Asked; want: boolean }>([
    {
      name: 'a host counts without its port',
      rules: [{ host: 'registry.test', ...NEVER }],
      asked: { origin: 'https://registry.test:8443' },
      want: false,
    },
    {
      name: 'a host may be a glob, of any case',
      rules: [{ host: '*.Corp.test', ...NEVER }],
      asked: { origin: 'https://pull.eu.corp.test' },
      want: false,
    },
    { name: 'another host does not match', rules: [{ host: 'pull.test', ...NEVER }], want: true },
    {
      name: 'a user agent may be a glob, of any case',
      rules: [{ userAgent: 'Containers/*', ...NEVER }],
      asked: podman,
      want: false,
    },
    {
      name: 'another user agent does not match',
      rules: [{ userAgent: 'docker/*', ...NEVER }],
      asked: podman,
      want: true,
    },
    { name: 'no user agent is an empty one', rules: [{ userAgent: 'a*', ...NEVER }], want: true },
    { name: 'and matches anything', rules: [{ userAgent: '*', ...NEVER }], want: false },
    {
      name: 'repositories go by their canonical names',
      rules: [{ repositories: 'docker.io/library/*', ...NEVER }],
      asked: { repository: 'nginx' },
      want: false,
    },
    {
      name: 'other repositories do not match',
      rules: [{ repositories: 'ghcr.io/**', ...NEVER }],
      want: true,
    },
    {
      name: 'what is hosted is a repository like any other',
      rules: [{ repositories: 'hosted/**', ...NEVER }],
      asked: { repository: 'hosted/app' },
      want: false,
    },
    {
      name: 'all that one says must match',
      rules: [{ host: 'registry.test', userAgent: 'docker/*', ...NEVER }],
      want: true,
    },
    {
      name: 'the first that matches decides',
      rules: [{ host: 'x.test', ...NEVER }, { host: 'registry.*', ...AUTO }, NEVER],
      want: true,
    },
    {
      name: 'the first that matches decides, also against',
      rules: [{ host: 'registry.*', ...NEVER }, AUTO],
      want: false,
    },
    { name: 'one without conditions matches all', rules: [AUTO, NEVER], want: true },
    {
      name: 'none that matches is as good as none',
      rules: [
        { host: 'a', ...NEVER },
        { userAgent: 'b', ...NEVER },
      ],
      want: true,
    },
    {
      name: 'none makes a HEAD a redirect',
      rules: [AUTO],
      asked: { method: 'HEAD' },
      want: false,
    },
  ])('$name: $want', ({ rules, asked, want }) => {
    expect(sentTo({ REDIRECT: rules }, asked)).toBe(want ? R2 : undefined)
  })
})
