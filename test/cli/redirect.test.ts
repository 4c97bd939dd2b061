// Redirects of `npm start`: the storage that it starts, and from end to end: a real Worker, Miniflare's S3 endpoint with
// its signature checks, and a client that follows by itself (design §6, §9; faults 142, 143, 144, 14A, 14D).

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'

import { storageFor } from '../../cli/local-storage.ts'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'
import { hashSecret } from '../../src/auth/account.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/repository-name.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { mirroredBlobKey } from '../../src/storage/keys.ts'
import { Presigner } from '../../src/storage/presign.ts'

const SIZE = 3 * 1024 * 1024
const BYTES = sampleBytes(SIZE)
const DIGEST = digestOf(BYTES)
const EMPTY = digestOf(new Uint8Array())
const PATH = `/v2/docker.io/library/app/blobs/${DIGEST}`
const SECRET = 'canary-secret'
const BASIC = `Basic ${Buffer.from(`ci:${SECRET}`).toString('base64')}`

let folder: string
let sample: SampleUpstream
let upstream: UpstreamListener
/** Of all registries. */
const lines: string[] = []
const registries: Registry[] = []

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-redirect-'))
  sample = new SampleUpstream()
  await sample.addBlob('library/app', BYTES)
  await sample.addBlob('library/app', new Uint8Array())
  upstream = await listenUpstream(sample.handle)
})

afterAll(async () => {
  await Promise.all(registries.map(({ stop }) => stop()))
  await upstream.close()
  await rm(folder, { recursive: true, force: true })
})

/** Starts a registry on a state of its own, in which the blob is stored already. */
async function start(
  name: string,
  { host = '127.0.0.1', vars = {} }: { host?: string; vars?: Record<string, string> } = {},
): Promise<Registry> {
  const registry = await serve({
    host,
    port: 0,
    persistTo: join(folder, name),
    vars: {
      UPSTREAMS: JSON.stringify({ 'docker.io': { url: upstream.url } }),
      HOSTED: '["hosted/**"]',
      ...vars,
    },
    secrets: false,
    log: (line) => void lines.push(line),
  })
  registries.push(registry)
  return registry
}

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** One request, redirects unfollowed: `fetch` would not send a `Host` or keep an `Authorization` of our choice. */
async function ask(
  url: URL | string,
  { method = 'GET', headers = {} }: { method?: string; headers?: OutgoingHttpHeaders } = {},
): Promise<Answer> {
  const asked = request(url, { method, headers, agent: false }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(Buffer.from(chunk))
  const { statusCode: status, headers: answered } = response
  return { status, headers: answered, body: Buffer.concat(chunks) }
}

/** The URL of a registry by another name of this machine. */
function named(registry: Registry, hostname: string, path = PATH): URL {
  const url = new URL(path, registry.url)
  url.hostname = hostname
  return url
}

/** Asks until the blob is stored, and so is redirected to. */
async function redirected(
  registry: Registry,
  hostname = '127.0.0.1',
  path = PATH,
  headers: OutgoingHttpHeaders = {},
): Promise<URL> {
  const {
    status,
    headers: answered,
    body,
  } = await ask(named(registry, hostname, path), { headers })
  expect(status).toBe(307)
  expect(body.byteLength).toBe(0)
  return new URL(answered.location ?? expect.fail('no Location'))
}

/** The blob is filled, by a client that asks for it until it is told where it lies. */
async function fill(url: URL, headers: OutgoingHttpHeaders = {}): Promise<void> {
  for (let time = 0; time < 100; time++) {
    const { status, body } = await ask(url, { headers })
    if (status === 307) return
    expect([status, status === 200 ? '' : body.toString()]).toEqual([200, ''])
  }
  expect.fail('it is never redirected to')
}

/** A presigned URL of our own making, by the keys of the registry. */
async function presigned(
  { config }: Registry,
  { key = keyOf(DIGEST), now = Date.now(), secretAccessKey = '' } = {},
): Promise<URL> {
  const bucket = config.redirect?.bucket ?? expect.fail('no bucket')
  const by = new Presigner({ ...bucket, ...(secretAccessKey !== '' && { secretAccessKey }) })
  const url = await by.presign({ key: key as StorageKey, size: SIZE }, bucket.endpoint, now)
  return new URL(url ?? expect.fail('no URL'))
}

function keyOf(text: string): string {
  const digest = parseDigest(text) ?? expect.fail(text)
  const repository = parseRepositoryName('library/app') ?? expect.fail('no name')
  return mirroredBlobKey({ host: 'docker.io', repository }, false, digest)
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('the storage of a registry', () => {
  const declared = { r2Buckets: { BLOBS: { id: 'entrepot-blobs' }, OTHER: 'other' } }

  it.each(['127.0.0.1', 'localhost', '::1', '127.0.0.2'])(
    'on %s has a port of its own, and keys for every bucket, new ones each time',
    async (host) => {
      const [one, other] = [await storageFor(host, {}), await storageFor(host, {})]
      const { S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = one.settings
      expect(S3_ENDPOINT).toMatch(/^http:\/\/localhost:\d+\/cdn-cgi\/local\/r2\/s3$/)
      expect(S3_ENDPOINT).not.toBe(other.settings['S3_ENDPOINT'])
      onTestFinished(() => Promise.all([one.close(), other.close()]).then(() => undefined))
      expect(S3_ACCESS_KEY_ID).toMatch(/^[0-9a-f]{32}$/)
      expect(S3_SECRET_ACCESS_KEY).toMatch(/^[0-9a-f]{64}$/)
      expect(S3_SECRET_ACCESS_KEY).not.toBe(other.settings['S3_SECRET_ACCESS_KEY'])
      const s3Credentials = {
        accessKeyId: S3_ACCESS_KEY_ID,
        secretAccessKey: S3_SECRET_ACCESS_KEY,
      }
      expect(one.buckets(declared)).toEqual({
        r2Buckets: {
          BLOBS: { id: 'entrepot-blobs', s3Credentials },
          OTHER: { id: 'other', s3Credentials },
        },
      })
      expect(one.buckets({ r2Buckets: ['BLOBS'] })).toEqual({
        r2Buckets: { BLOBS: { id: 'BLOBS', s3Credentials } },
      })
      expect(one.buckets({})).toEqual({ r2Buckets: {} })
    },
  )

  it.each([
    { host: '0.0.0.0', settings: {} },
    { host: '::', settings: {} },
    { host: '192.168.0.2', settings: {} },
    { host: 'registry.test', settings: {} },
    { host: '127.0.0.1', settings: { S3_ENDPOINT: 'https://storage.test' } },
    { host: '127.0.0.1', settings: { S3_ACCESS_KEY_ID: 'a' } },
    { host: '127.0.0.1', settings: { S3_SECRET_ACCESS_KEY: 'a' } },
  ])('on $host with $settings has no keys', async ({ host, settings }) => {
    const { settings: told, buckets } = await storageFor(host, settings)
    expect([told, buckets(declared)]).toEqual([{}, {}])
  })

  it('has keys where settings say nothing', async () => {
    const empty = { S3_ENDPOINT: '', S3_ACCESS_KEY_ID: '', S3_BUCKET: 'entrepot-blobs' }
    const { settings, close } = await storageFor('127.0.0.1', empty)
    await close()
    expect(settings['S3_SECRET_ACCESS_KEY']).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('a registry on this machine', () => {
  let registry: Registry

  beforeAll(async () => {
    const everybody = [{ repositories: ['**'], actions: ['pull', 'push'] }]
    registry = await start('here', { vars: { ANONYMOUS: JSON.stringify(everybody) } })
    await fill(named(registry, '127.0.0.1'))
  })

  it.each([
    { host: '127.0.0.1', other: 'localhost' },
    { host: 'localhost', other: '127.0.0.1' },
  ])('sends who knows it as $host to $other, and fetch gets the bytes', async (row) => {
    const url = await redirected(registry, row.host)
    expect(url.hostname).toBe(row.other)
    expect(url.port).not.toBe(registry.url.port)
    const response = await fetch(named(registry, row.host), {
      headers: { authorization: BASIC.replace('Basic', 'Bearer') },
    })
    // A token that is none is nobody's, and what anybody may read is read.
    expect(response.status).toBe(200)
    expect(new URL(response.url).hostname).toBe(row.other)
    expect(digestOf(await response.bytes())).toBe(DIGEST)
  })

  it('sends nobody anywhere whose Host is not this machine', async () => {
    for (const host of ['registry.test', '192.168.0.2:5050', 'localhost.test', 'x']) {
      const { status, body } = await ask(named(registry, '127.0.0.1'), { headers: { host } })
      expect([host, status, digestOf(body)]).toEqual([host, 200, DIGEST])
    }
  })

  it('shows nothing without a signature where it sends clients', async () => {
    const url = await redirected(registry, '127.0.0.1')
    const unsigned = [
      url.pathname,
      url.pathname.replace('/r2/s3/', '/r2/public/'),
      '/cdn-cgi/local/explorer',
      '/v2/',
    ]
    const statuses = await Promise.all(
      unsigned.map(async (path) => (await fetch(new URL(path, url))).status),
    )
    expect(statuses.every((status) => status >= 400)).toBe(true)
    expect(statuses.slice(1)).toEqual([404, 404, 404])
  })

  it('answers HEAD itself, with the digest and the size', async () => {
    const { status, headers } = await ask(named(registry, '127.0.0.1'), { method: 'HEAD' })
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'docker-content-digest': DIGEST,
      'content-length': String(SIZE),
    })
    expect(headers).not.toHaveProperty('location')
  })

  it.each([
    { range: 'bytes=0-0', slice: [0, 1] },
    { range: 'bytes=1000000-1999999', slice: [1_000_000, 2_000_000] },
    { range: `bytes=${SIZE - 10}-`, slice: [SIZE - 10, SIZE] },
    { range: 'bytes=-10', slice: [SIZE - 10, SIZE] },
    { range: `bytes=10-${SIZE + 5}`, slice: [10, SIZE] },
  ])('gives $range through the redirect', async ({ range, slice: [first = 0, end = 0] }) => {
    const response = await fetch(named(registry, '127.0.0.1'), { headers: { range } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${first}-${end - 1}/${SIZE}`)
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.equals(BYTES.subarray(first, end))).toBe(true)
  })

  /** Storage answers some of these with an error; of an answer that is partial, the part must be the right one. */
  it.each([
    { range: 'bytes=0-1,4-5' },
    { range: 'lines=0-1' },
    { range: 'bytes=a-b' },
    { range: 'bytes=' },
    { range: '' },
    { range: 'bytes=0-0, 5-' },
    { range: 'BYTES=5-9', slice: [5, 10] },
    { range: 'bytes= 5-9', slice: [5, 10] },
    { range: 'bytes=0005-0009', slice: [5, 10] },
    { range: 'bytes=5-99999999999999999999999', slice: [5, SIZE] },
    { range: `bytes=-${SIZE + 5}`, slice: [0, SIZE] },
  ])('14D: "$range" is what it is without a redirect', async ({ range, slice }) => {
    const response = await fetch(named(registry, '127.0.0.1'), { headers: { range } })
    const [first, end] = slice ?? [0, SIZE]
    expect(response.status).toBe(slice === undefined ? 200 : 206)
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.equals(BYTES.subarray(first, end))).toBe(true)
  })

  it('refuses a range behind the end itself', async () => {
    const { status, headers } = await ask(named(registry, '127.0.0.1'), {
      headers: { range: `bytes=${SIZE}-` },
    })
    expect(status).toBe(416)
    expect(headers['content-range']).toBe(`bytes */${SIZE}`)
  })

  it('T144: completes a download that was cut and is resumed by a range', async () => {
    const first = await fetch(named(registry, '127.0.0.1'))
    const reader = first.body?.getReader() ?? expect.fail('no body')
    const pieces: Uint8Array[] = []
    let length = 0
    while (length < SIZE / 2) {
      const { value } = await reader.read()
      pieces.push(value ?? expect.fail('the body has ended'))
      length += value?.byteLength ?? 0
    }
    await reader.cancel()
    const rest = await fetch(named(registry, '127.0.0.1'), {
      headers: { range: `bytes=${length}-` },
    })
    expect(rest.status).toBe(206)
    pieces.push(await rest.bytes())
    expect(digestOf(Buffer.concat(pieces))).toBe(DIGEST)
  })

  it('T144: completes a download in parts at the same time', async () => {
    const part = SIZE / 8
    const parts = Array.from({ length: 8 }, async (_, n) => {
      const range = `bytes=${n * part}-${(n + 1) * part - 1}`
      const response = await fetch(named(registry, 'localhost'), { headers: { range } })
      expect(response.status).toBe(206)
      return response.bytes()
    })
    expect(digestOf(Buffer.concat(await Promise.all(parts)))).toBe(DIGEST)
  })

  it('gives a blob of no bytes', async () => {
    const path = PATH.replace(DIGEST, EMPTY)
    await fill(named(registry, '127.0.0.1', path))
    const response = await fetch(named(registry, '127.0.0.1', path))
    expect([response.status, (await response.bytes()).byteLength]).toEqual([200, 0])
  })

  it('gives what was pushed, as bytes of no type', async () => {
    const bytes = new TextEncoder().encode('<html><script>alert(1)</script></html>')
    const digest = digestOf(bytes)
    const uploads = new URL(`/v2/hosted/app/blobs/uploads/?digest=${digest}`, registry.url)
    expect((await fetch(uploads, { method: 'POST', body: bytes })).status).toBe(201)
    const path = `/v2/hosted/app/blobs/${digest}`
    for (const each of [path, PATH]) {
      const response = await fetch(named(registry, '127.0.0.1', each))
      expect(new URL(response.url).hostname).toBe('localhost')
      expect(response.headers.get('content-type')).toBe('application/octet-stream')
      expect(digestOf(await response.bytes())).toBe(each === path ? digest : DIGEST)
    }
  })

  it('has an upstream that was asked for each blob once', () => {
    expect(sample.count({ kind: 'blob', method: 'GET' })).toBe(2)
  })

  it('logs no URL', async () => {
    await vi.waitFor(() => expect(lines.join('\n')).toContain('"status":307'))
    const text = lines.join('\n')
    const secret = registry.config.redirect?.bucket.secretAccessKey ?? expect.fail('no secret')
    for (const hidden of ['X-Amz', secret, 'cdn-cgi']) expect(text).not.toContain(hidden)
  })
})

describe('a presigned URL', () => {
  let registry: Registry
  let url: URL

  beforeAll(async () => {
    registry = await start('signed')
    await fill(named(registry, '127.0.0.1'))
    url = await redirected(registry)
  })

  const TAMPERED: readonly { name: string; change: (url: URL) => void }[] = [
    {
      name: 'another key',
      change: (each) => {
        each.pathname = each.pathname.replace(/..$/, 'ff')
      },
    },
    {
      name: 'the root of the bucket',
      change: (each) => {
        each.pathname = each.pathname.replace(/entrepot-blobs\/.*/, 'entrepot-blobs/')
      },
    },
    {
      name: 'another bucket',
      change: (each) => {
        each.pathname = each.pathname.replace('entrepot-blobs', 'other-blobs')
      },
    },
    {
      name: 'another signature',
      change: ({ searchParams }) => searchParams.set('X-Amz-Signature', '0'.repeat(64)),
    },
    { name: 'no signature', change: ({ searchParams }) => searchParams.delete('X-Amz-Signature') },
    {
      name: 'a longer life',
      change: ({ searchParams }) => searchParams.set('X-Amz-Expires', '3600'),
    },
    {
      name: 'a later date',
      change: ({ searchParams }) => searchParams.set('X-Amz-Date', '20991231T000000Z'),
    },
    {
      name: 'other credentials',
      change: ({ searchParams }) =>
        searchParams.set('X-Amz-Credential', `x${searchParams.get('X-Amz-Credential')}`),
    },
    { name: 'one more parameter', change: ({ searchParams }) => searchParams.set('a', 'b') },
    {
      name: 'a list of the bucket',
      change: (each) => {
        each.pathname = each.pathname.replace(/entrepot-blobs\/.*/, 'entrepot-blobs')
        each.searchParams.set('list-type', '2')
      },
    },
    {
      name: 'another name of this machine, which is signed too',
      change: (each) => {
        each.hostname = '127.0.0.1'
      },
    },
  ]

  it('reads its object', async () => {
    const { status, body } = await ask(url)
    expect([status, digestOf(body)]).toEqual([200, DIGEST])
  })

  it.each(TAMPERED)('with $name reads nothing', async ({ change }) => {
    const tampered = new URL(url)
    change(tampered)
    expect(tampered.href).not.toBe(url.href)
    const { status, body } = await ask(tampered)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(body.toString()).toMatch(/^<\?xml.*<Error>/s)
    expect((await ask(url)).status).toBe(200)
  })

  it.each(['HEAD', 'PUT', 'DELETE', 'POST'])('is good for no %s', async (method) => {
    const { status } = await ask(url, { method })
    expect(status).toBeGreaterThanOrEqual(400)
    expect((await ask(url)).status).toBe(200)
  })

  it('lives for two minutes', async () => {
    const before = await presigned(registry, { now: Date.now() - 110_000 })
    expect((await ask(before)).status).toBe(200)
    const after = await presigned(registry, { now: Date.now() - 121_000 })
    const { status, body } = await ask(after)
    expect(status).toBe(403)
    expect(body.toString()).toContain('Expired')
  })

  it('of what is not there finds nothing', async () => {
    const nothing = await presigned(registry, { key: keyOf(digestOf(new Uint8Array(1))) })
    expect((await ask(nothing)).status).toBe(404)
  })

  it('is nothing on the port of the registry itself, nor is what needs no signature there', async () => {
    for (const path of ['/s3/', '/public/']) {
      const here = new URL(url.href.replace('/s3/', path))
      here.port = registry.url.port
      for (const headers of [{}, { host: `localhost:${url.port}` }, { host: url.host }]) {
        const { status, body } = await ask(here, { headers })
        expect(status).toBe(404)
        expect(JSON.parse(body.toString())).toHaveProperty('errors')
      }
    }
  })

  it('is not for pages of other sites', async () => {
    const { status, body } = await ask(url.href, { headers: { origin: 'https://evil.test' } })
    expect([status, body.byteLength < 100]).toEqual([403, true])
  })

  it('by another secret is refused', async () => {
    const { status, body } = await ask(await presigned(registry, { secretAccessKey: 'other' }))
    expect(status).toBe(403)
    expect(body.toString()).toContain('SignatureDoesNotMatch')
  })

  it('of another start is refused: its keys are gone', async () => {
    const other = await start('signed-otherwise')
    const [here, there] = [registry, other].map(({ config }) => config.redirect?.bucket)
    expect(here?.accessKeyId).not.toBe(there?.accessKeyId)
    expect(here?.secretAccessKey).not.toBe(there?.secretAccessKey)
    const foreign = new URL(await presigned(other))
    foreign.port = url.port
    expect((await ask(foreign)).status).toBeGreaterThanOrEqual(400)
  })

  it('14A: beside a login is refused, so the client must leave that behind', async () => {
    for (const authorization of [BASIC, 'Bearer token']) {
      const { status, body } = await ask(url, { headers: { authorization } })
      expect(status).toBe(400)
      expect(body.toString()).toMatch(/^<\?xml.*<Error>/s)
    }
  })
})

describe('a client that logs in', () => {
  let registry: Registry

  beforeAll(async () => {
    const account = {
      name: 'ci',
      secretHash: await hashSecret(SECRET),
      grants: [{ repositories: ['docker.io/**'], actions: ['pull'] }],
    }
    registry = await start('login', {
      vars: { ACCOUNTS: JSON.stringify([account]), ANONYMOUS: '[]' },
    })
    await fill(named(registry, '127.0.0.1'), { authorization: BASIC })
  })

  it('gets no URL without its login', async () => {
    const { status, headers } = await ask(named(registry, '127.0.0.1'))
    expect(status).toBe(401)
    expect(headers).not.toHaveProperty('location')
  })

  /** Go keeps `Authorization` where the host is the same, whatever the port; browsers and `fetch` go by the origin. */
  it.each(['127.0.0.1', 'localhost'])(
    '14A: and keeps that on the same host only, as Go does, gets the bytes from %s',
    async (host) => {
      const headers = { authorization: BASIC }
      const url = await redirected(registry, host, PATH, headers)
      const kept = url.hostname === host ? headers : {}
      const { status, body } = await ask(url, { headers: kept })
      expect([status, digestOf(body)]).toEqual([200, DIGEST])
    },
  )
})

describe('a new registry', () => {
  it('gives many clients at once the blob, whether it is on its way in or stored', async () => {
    const registry = await start('new')
    const before = lines.length
    const pull = async (): Promise<string> =>
      digestOf(await (await fetch(named(registry, '127.0.0.1'))).bytes())
    for (let time = 0; time < 3; time++) {
      const digests = await Promise.all(Array.from({ length: 8 }, pull))
      expect(new Set(digests)).toEqual(new Set([DIGEST]))
    }
    const told = (): string => lines.slice(before).join('\n')
    await vi.waitFor(() => expect(told()).toContain('"status":307'))
    expect(told()).not.toContain('redirect-failed')
  })
})

describe('a registry on [::1]', () => {
  it('sends to localhost', async () => {
    const registry = await start('six', { host: '::1' })
    const url = new URL(PATH, registry.url)
    expect(url.hostname).toBe('[::1]')
    await fill(url)
    const response = await fetch(url)
    expect(new URL(response.url).hostname).toBe('localhost')
    expect(digestOf(await response.bytes())).toBe(DIGEST)
  })
})

/** Registries that stream, whoever asks. */
describe('a registry that streams', () => {
  /** The blob twice: on its way in, and stored. */
  async function expectStreams(registry: Registry): Promise<void> {
    for (let time = 0; time < 3; time++) {
      const { status, headers, body } = await ask(named(registry, '127.0.0.1'))
      expect([status, digestOf(body)]).toEqual([200, DIGEST])
      expect(headers['docker-content-digest']).toBe(DIGEST)
    }
    const range = { range: 'bytes=10-19' }
    const part = await ask(named(registry, '127.0.0.1'), { headers: range })
    expect([part.status, part.body.equals(BYTES.subarray(10, 20))]).toEqual([206, true])
  }

  it('is one on an address for others: it has no keys', async () => {
    const registry = await start('others', { host: '0.0.0.0' })
    expect(registry.config.redirect).toBeUndefined()
    expect(registry.config.warnings).toEqual([])
    await expectStreams(registry)
  })

  it('is one by REDIRECT', async () => {
    await expectStreams(await start('never', { vars: { REDIRECT: 'never' } }))
  })

  it('is one whose storage, given by S3_*, is not there', async () => {
    const port = await closedPort()
    const before = lines.length
    const S3 = { S3_ACCESS_KEY_ID: 'canary-access', S3_SECRET_ACCESS_KEY: 'canary-secret-key' }
    const registry = await start('dead', {
      vars: { ...S3, S3_ENDPOINT: `http://localhost:${port}` },
    })
    expect(registry.config.redirect?.bucket.endpoint.port).toBe(String(port))
    await expectStreams(registry)
    const failed = () => lines.slice(before).filter((line) => line.includes('redirect-failed'))
    await vi.waitFor(() => expect(failed()).toHaveLength(1))
    expect(failed()[0]).toContain(`localhost:${port} cannot be reached`)
    expect(lines.join('\n')).not.toMatch(/canary-(?:access|secret-key)|X-Amz/)
  })

  it('is one whose bucket is another', async () => {
    const registry = await start('bucket', { vars: { S3_BUCKET: 'other-blobs' } })
    await expectStreams(registry)
  })
})
