// A blob by redirect, as clients, storage and the log see it: only what is stored, only for whoever may read it, to the
// very object, and the URL is nowhere but in the answer (design §6; faults 140, 141, 143, 14B, 14C, 14D).

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Fetch } from '../../src/seams.ts'
import { accounts, add, basic, bearer, granting } from '../support/accounts.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import {
  KiB,
  MiB,
  addSampleBlob,
  expectBytes,
  expectStored,
  join,
  keysIn,
  openBody,
  withhold,
} from '../support/blob.ts'
import type { BlobOptions, SampleBlob } from '../support/blob.ts'
import { broken as brokenBucket, storageIsAway } from '../support/broken.ts'
import { HOUR, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN, noise, startHosted } from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken, count } from '../support/operations.ts'

const STORAGE = 'account.r2.cloudflarestorage.com'
const S3 = {
  S3_ENDPOINT: `https://${STORAGE}`,
  S3_BUCKET: 'entrepot-blobs',
  S3_ACCESS_KEY_ID: 'canary-access-key',
  S3_SECRET_ACCESS_KEY: 'canary-secret-key',
}
const PULL = { ANONYMOUS: [granting('**', 'pull')] }
const SIZE = 100 * KiB

let clock: Clock
let upstream: SampleUpstream
let net: Network
/** What storage answers to a question for one byte. */
let storage: Fetch
let isolates: Isolate[]

beforeEach(() => {
  clock = stopClock()
  upstream = startUpstream()
  storage = async () => new Response('a', { status: 206 })
  net = goOnline({
    'one.test': upstream,
    'private.test': upstream,
    'limited.test': upstream,
    [STORAGE]: (url, init) => storage(url, init),
  })
  isolates = []
})

/** After every row: no presigned URL and no key of storage is in a log line, in KV or in R2 (141). */
afterEach(async () => {
  vi.restoreAllMocks()
  const shown: unknown[] = isolates.map(({ lines }) => lines())
  const { objects } = await env.BLOBS.list({ include: ['customMetadata', 'httpMetadata'] })
  shown.push(objects.map(({ key, ...rest }) => [key, rest.customMetadata, rest.httpMetadata]))
  const { keys } = await env.HINTS.list()
  for (const key of keys) shown.push(key, await env.HINTS.get(key.name))
  expect(JSON.stringify(shown)).not.toMatch(/X-Amz|canary-(?:access|secret)-key/i)
  await reset()
})

/** A registry whose clients may be sent to storage. */
function start(settings: Readonly<Record<string, unknown>> = {}): Isolate {
  const worker = isolate({ ...S3, ...PULL, ...settings })
  isolates.push(worker)
  return worker
}

function startPushed(settings: Readonly<Record<string, unknown>> = {}): HostedRegistry {
  const registry = startHosted({ ...OPEN, ...S3, ...settings })
  isolates.push(registry)
  return registry
}

/** A blob that is stored already. */
async function storedBlob(options: BlobOptions = {}, size = SIZE): Promise<SampleBlob> {
  const blob = await addSampleBlob(upstream, size, options)
  const worker = isolate(PULL)
  expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
  await worker.settle()
  await expectStored(blob)
  upstream.forget()
  net.forget()
  return blob
}

/** A blob that was pushed. */
async function pushedBlob(
  registry: HostedRegistry,
  repository: string,
  seed = 1,
): Promise<Content & { readonly path: string }> {
  const content = await noise(SIZE, { seed })
  await registry.pushBlob(repository, content)
  return { ...content, path: `/v2/${repository}/blobs/${content.digest}` }
}

/** The key of the object that a redirect leads to. */
function keyOf(answer: Response): string {
  expect(answer.status).toBe(307)
  const url = new URL(answer.headers.get('location') ?? expect.fail('no Location'))
  expect(url.origin).toBe(`https://${STORAGE}`)
  expect(url.searchParams.get('X-Amz-Expires')).toBe('120')
  const [, bucket, ...key] = decodeURIComponent(url.pathname).split('/')
  expect(bucket).toBe('entrepot-blobs')
  return key.join('/')
}

/** That the redirect leads to these bytes. */
async function expectLeadsTo(answer: Response, bytes: Uint8Array): Promise<void> {
  const object = await env.BLOBS.get(keyOf(answer))
  expectBytes((await object?.bytes()) ?? expect.fail('nothing is there'), bytes)
}

/** An answer with the bytes themselves. */
async function expectStreamed(answer: Response, blob: Content): Promise<void> {
  expect(answer.status).toBe(200)
  expect(answer.headers.has('location')).toBe(false)
  expect(answer.headers.get('etag')).toBe(`"${blob.digest}"`)
  expect(answer.headers.get('docker-content-digest')).toBe(blob.digest)
  expect(answer.headers.get('content-type')).toBe('application/octet-stream')
  expectBytes(await bytesOf(answer), blob.bytes)
}

describe('a stored blob', () => {
  it('is told where: 307 with these headers and no others, for one R2 operation', async () => {
    const blob = await storedBlob()
    const { bindings, operations } = count()
    const worker = start(bindings)
    const answer = await worker.get(blob.path)
    const { location, ...headers } = Object.fromEntries(answer.headers)
    expect(headers).toEqual({
      'cache-control': 'no-store',
      'cache-status': 'entrepot; hit',
      'content-length': '0',
      'docker-content-digest': blob.digest,
      'docker-distribution-api-version': 'registry/2.0',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(location).toMatch(/^https:/)
    expect(keyOf(answer)).toBe(blob.key)
    expect(await bytesOf(answer)).toEqual(new Uint8Array())
    expect(operations).toEqual(['BLOBS.head'])
    expect(upstream.requests).toEqual([])
    expect(net.urls()).toEqual([location])
    await worker.settle()
    expect(worker.lines('request')).toMatchObject([{ status: 307, outcome: 'hit', bytes: 0 }])
  })

  it('of a private upstream lies in the space of its repository', async () => {
    const blob = await storedBlob({ host: 'private.test', isPrivate: true })
    const answer = await start().get(blob.path)
    expect(keyOf(answer)).toBe(
      `mirror/private.test/private/a/b/blobs/sha256/${blob.digest.slice('sha256:'.length)}`,
    )
    await expectLeadsTo(answer, blob.bytes)
  })

  it.each(['sha256', 'sha512'] as const)('by %s, by every form of its path', async (algorithm) => {
    const blob = await storedBlob({ algorithm })
    const worker = start()
    for (const path of [
      blob.path,
      blob.path.replace(':', '%3A'),
      `/one.test/v2/a/b/blobs/${blob.digest}`,
      `/v2/a/b/blobs/${blob.digest}?ns=one.test`,
      `${blob.path}?X-Amz-Expires=9&response-content-type=text/html#x`,
    ]) {
      await expectLeadsTo(await worker.get(path), blob.bytes)
    }
  })

  it('has a URL for two minutes that nobody had before, of one isolate asked of storage once', async () => {
    const [blob, other] = [await storedBlob(), await storedBlob({ seed: 2 })]
    const worker = start()
    const urls = new Set<string | null>()
    for (const { path } of [blob, other, blob, other]) {
      urls.add((await worker.get(path)).headers.get('location'))
      clock.advance(SECOND)
    }
    expect(urls.size).toBe(4)
    expect(net.count(STORAGE)).toBe(1)
  })

  it('that is hosted lies where its upload has put it, which is looked up once', async () => {
    const { bindings, operations } = count()
    const registry = startPushed(bindings)
    const blob = await pushedBlob(registry, 'hosted/app')
    operations.splice(0)
    for (let time = 0; time < 3; time++) {
      const answer = await registry.get(blob.path)
      expect(keyOf(answer)).toMatch(/^hosted\/content\/[\w-]+$/)
      expect(answer.headers.get('cache-status')).toBe('entrepot')
      await expectLeadsTo(answer, blob.bytes)
    }
    expect(operations).toEqual(['BLOBS.head'])
  })

  it('of size 0 is one like any other', async () => {
    const registry = startPushed()
    const nothing = await noise(0)
    await registry.pushBlob('hosted/app', nothing)
    const answer = await registry.get(`/v2/hosted/app/blobs/${nothing.digest}`)
    await expectLeadsTo(answer, nothing.bytes)
  })
})

describe('a HEAD', () => {
  it('is answered here, mirrored or hosted', async () => {
    const blob = await storedBlob()
    const registry = startPushed()
    const pushed = await pushedBlob(registry, 'hosted/app', 2)
    for (const { path, digest } of [blob, pushed]) {
      for (let time = 0; time < 2; time++) {
        const answer = await registry.head(path)
        expect(answer.status).toBe(200)
        expect(answer.headers.get('content-length')).toBe(String(SIZE))
        expect(answer.headers.get('docker-content-digest')).toBe(digest)
        expect(answer.headers.has('location')).toBe(false)
      }
    }
    expect(net.count(STORAGE)).toBe(0)
  })
})

describe('what is no blob', () => {
  it('is answered here: manifests, tags, referrers, the catalog', async () => {
    const image = await sampleImage({ layers: [64] })
    await addSample(upstream, 'a/b', image, 'v1')
    const registry = startPushed()
    const { digest } = await registry.pushImage('hosted/app', { reference: 'v1' })
    const paths = [
      ...[`one.test/a/b`, `hosted/app`].flatMap((name) => [
        `/v2/${name}/manifests/v1`,
        `/v2/${name}/tags/list`,
      ]),
      `/v2/one.test/a/b/manifests/${image.digest}`,
      `/v2/hosted/app/manifests/${digest}`,
      `/v2/hosted/app/referrers/${digest}`,
      '/v2/_catalog',
      '/v2/',
    ]
    for (const path of [...paths, ...paths]) {
      const answer = await registry.get(path)
      expect([path, answer.status]).toEqual([path, 200])
      expect(answer.headers.has('location')).toBe(false)
      await answer.text()
    }
    expect(net.count(STORAGE)).toBe(0)
  })
})

describe('a part of a blob', () => {
  it.each([
    'bytes=0-0',
    'bytes=10-',
    'bytes=-10',
    `bytes=-${SIZE + 1}`,
    `bytes=${SIZE - 1}-${SIZE}`,
  ])('is for storage to cut: %s', async (range) => {
    const blob = await storedBlob()
    await expectLeadsTo(await start().get(blob.path, { range }), blob.bytes)
  })

  it.each(['bytes=0-1,4-5', 'lines=0-1', 'bytes=a-b'])(
    'that storage would refuse to cut is the whole, streamed: %s',
    async (range) => {
      const blob = await storedBlob()
      await expectStreamed(await start().get(blob.path, { range }), blob)
      expect(net.count(STORAGE)).toBe(0)
    },
  )

  it.each([`bytes=${SIZE}-`, `bytes=${SIZE}-${SIZE + 9}`, 'bytes=-0', 'bytes=9-1'])(
    'that it does not have is refused here: %s',
    async (range) => {
      const blob = await storedBlob()
      const registry = startPushed()
      const pushed = await pushedBlob(registry, 'hosted/app', 2)
      for (const { path } of [blob, pushed]) {
        const answer = await registry.get(path, { range })
        expect(answer.headers.get('content-range')).toBe(`bytes */${SIZE}`)
        expect(await refusalOf(answer)).toBe('416 SIZE_INVALID')
        expect(answer.headers.has('location')).toBe(false)
      }
      expect(net.count(STORAGE)).toBe(0)
    },
  )

  it('beside an entity tag is cut here: storage has other tags', async () => {
    const blob = await storedBlob()
    const etag = `"${blob.digest}"`
    const worker = start()
    const range = 'bytes=10-19'
    const part = await worker.get(blob.path, { range, 'if-range': etag })
    expect(part.status).toBe(206)
    expectBytes(await bytesOf(part), blob.bytes.subarray(10, 20))
    await expectStreamed(await worker.get(blob.path, { range, 'if-range': '"other"' }), blob)
    await expectStreamed(await worker.get(blob.path, { 'if-none-match': '"other"' }), blob)
    expect((await worker.get(blob.path, { 'if-none-match': etag })).status).toBe(304)
    expect(net.count(STORAGE)).toBe(0)
  })
})

describe('T14B: what is not there', () => {
  it('at the upstream is 404', async () => {
    const worker = start()
    const path = `/v2/one.test/a/b/blobs/sha256:${'0'.repeat(64)}`
    expect(await refusalOf(await worker.get(path))).toBe('404 BLOB_UNKNOWN')
    expect(net.count(STORAGE)).toBe(0)
  })

  it('in a repository of ours is 404, also where another has it', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    await registry.pushBlob('hosted/other', await noise(10))
    const path = blob.path.replace('hosted/app', 'hosted/other')
    expect(await refusalOf(await registry.get(path))).toBe('404 BLOB_UNKNOWN')
    expect(net.count(STORAGE)).toBe(0)
  })

  it('any more is fetched anew, streamed, and then redirected to', async () => {
    const blob = await storedBlob()
    const worker = start()
    expect((await worker.get(blob.path)).status).toBe(307)
    await env.BLOBS.delete(blob.key)
    const { release } = withhold(upstream, KiB)
    const answer = await worker.get(blob.path)
    release()
    await expectStreamed(answer, blob)
    await worker.settle()
    await expectStored(blob)
    await expectLeadsTo(await worker.get(blob.path), blob.bytes)
  })

  it('any more of what is hosted is 404, and logged', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    for (const key of await keysIn('hosted/content/')) await env.BLOBS.delete(key)
    expect(await refusalOf(await registry.get(blob.path))).toBe('404 BLOB_UNKNOWN')
    expect(registry.lines('hosted-content-missing')).toHaveLength(1)
    expect(net.count(STORAGE)).toBe(0)
  })

  it('where the ledger says, but where it was pushed again, is found there', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    const [lost] = await keysIn('hosted/content/')
    await env.BLOBS.delete(lost ?? '')
    await registry.pushBlob('hosted/other', blob)
    const answer = await registry.get(blob.path)
    expect(keyOf(answer)).not.toBe(lost)
    await expectLeadsTo(answer, blob.bytes)
  })

  it('since it was deleted is 404', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    expect((await registry.get(blob.path)).status).toBe(307)
    expect((await registry.send('DELETE', blob.path)).status).toBe(202)
    expect(await refusalOf(await registry.get(blob.path))).toBe('404 BLOB_UNKNOWN')
  })

  it('of what is hosted is looked for again after an hour', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    expect((await registry.get(blob.path)).status).toBe(307)
    for (const key of await keysIn('hosted/content/')) await env.BLOBS.delete(key)
    clock.advance(HOUR)
    expect(await refusalOf(await registry.get(blob.path))).toBe('404 BLOB_UNKNOWN')
  })
})

describe('a blob on its way in', () => {
  it('is streamed, and redirected to once it is stored', async () => {
    const blob = await addSampleBlob(upstream, 3 * MiB)
    const { release } = withhold(upstream, MiB)
    const worker = start()
    const answers = [await worker.get(blob.path), await worker.get(blob.path)]
    const bodies = answers.map((answer) => openBody(answer))
    const first = await Promise.all(bodies.map(({ piece }) => piece()))
    release()
    for (const [n, body] of bodies.entries()) {
      expect(answers[n]?.status).toBe(200)
      expectBytes(join([first[n] ?? new Uint8Array(), await body.rest()]), blob.bytes)
    }
    await worker.settle()
    await expectStored(blob)
    expect(net.count(STORAGE)).toBe(0)
    await expectLeadsTo(await worker.get(blob.path), blob.bytes)
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(1)
  })

  it('is streamed past storage that is away', async () => {
    const blob = await storedBlob()
    const away = { BLOBS: brokenBucket(env.BLOBS, { head: storageIsAway, get: storageIsAway }) }
    await expectStreamed(await start(away).get(blob.path), blob)
    expect(net.count(STORAGE)).toBe(0)
  })
})

describe('whoever may not read it', () => {
  const login = async () => ({
    ...(await accounts({ ci: [granting('docker.io/**', 'pull')] })),
    ANONYMOUS: [],
  })

  /** That an answer is this refusal, and nobody was asked for anything. */
  async function expectRefused(answer: Response, want: string): Promise<void> {
    expect(answer.headers.has('location')).toBe(false)
    expect(await refusalOf(answer)).toBe(want)
    expect(net.requests).toEqual([])
  }

  it('gets no URL: nobody, a stranger, a wrong password, a token for something else', async () => {
    const blob = await storedBlob({ host: 'private.test', isPrivate: true })
    const worker = start(await login())
    const other = await bearer(worker, ['repository:docker.io/library/nginx:pull'], basic('ci'))
    net.forget()
    const wrong = basic('ci', 'wrong')
    for (const authorization of [undefined, wrong, basic('ci'), other]) {
      const headers = authorization === undefined ? {} : { authorization }
      await expectRefused(await worker.get(blob.path, headers), '401 UNAUTHORIZED')
    }
  })

  it('gets no URL of what a rule denies', async () => {
    const blob = await addSampleBlob(upstream, SIZE, { host: 'limited.test', name: 'open/secret' })
    await env.BLOBS.put(blob.key, blob.bytes)
    await expectRefused(await start().get(blob.path), '403 DENIED')
  })

  it('gets no URL by a capability that is none', async () => {
    const blob = await storedBlob()
    const path = `/t/${'a'.repeat(52)}${blob.path}`
    await expectRefused(await start().get(path), '404 NAME_UNKNOWN')
  })

  it('gets a URL with the right login', async () => {
    const blob = await storedBlob()
    const settings = await accounts({ ci: [granting('one.test/**', 'pull')] })
    const worker = start({ ...settings, ANONYMOUS: [] })
    const token = await bearer(worker, ['repository:one.test/a/b:pull'], basic('ci'))
    for (const authorization of [basic('ci'), token]) {
      const answer = await worker.get(blob.path, { authorization })
      await expectLeadsTo(answer, blob.bytes)
    }
    expect(net.requests.every(({ headers }) => !('authorization' in headers))).toBe(true)
  })
})

describe('streamed all the same', () => {
  it('is what comes by a capability', async () => {
    const blob = await storedBlob({ host: 'private.test', isPrivate: true })
    const secret = await add('capability', 'nodes', granting('private.test/**', 'pull'))
    const worker = start({ ANONYMOUS: [] })
    await expectStreamed(await worker.get(`/t/${secret}${blob.path}`), blob)
    await expectStreamed(await worker.get(`/v2/t/${secret}${blob.path.slice(3)}`), blob)
    expect(net.count(STORAGE)).toBe(0)
  })

  it.each([
    { name: 'REDIRECT says so', settings: { REDIRECT: 'never' } },
    {
      name: 'a rule says so',
      settings: { REDIRECT: [{ repositories: 'one.test/**', redirect: 'never' }] },
    },
    { name: 'a key is missing', settings: { S3_SECRET_ACCESS_KEY: '' } },
    { name: 'storage is below this host', settings: { S3_ENDPOINT: 'https://s3.registry.test' } },
    { name: 'storage is on another machine', settings: { S3_ENDPOINT: 'http://localhost:9000' } },
  ])('is everything where $name', async ({ settings }) => {
    const blob = await storedBlob()
    await expectStreamed(await start(settings).get(blob.path), blob)
    expect(net.requests).toEqual([])
  })

  it('is everything while storage answers no clients, for one R2 operation', async () => {
    const blob = await storedBlob()
    const { bindings, operations } = count()
    const registry = startPushed(bindings)
    const pushed = await pushedBlob(registry, 'hosted/app', 2)
    storage = async () => new Response('<Error/>', { status: 403 })
    for (const each of [blob, pushed]) await expectStreamed(await registry.get(each.path), each)
    operations.splice(0)
    for (const each of [blob, pushed]) {
      await expectStreamed(await registry.get(each.path), each)
      const part = await registry.get(each.path, { range: 'bytes=5-9' })
      expect(part.status).toBe(206)
      expectBytes(await bytesOf(part), each.bytes.subarray(5, 10))
    }
    expect(operations).toEqual(Array(4).fill('BLOBS.get'))
    expect(net.count(STORAGE)).toBe(1)
    expect(registry.lines('redirect-failed')).toMatchObject([
      { endpoint: STORAGE, reason: 'the endpoint answers 403' },
    ])
    storage = async () => new Response('a', { status: 206 })
    clock.advance(30 * SECOND)
    await expectLeadsTo(await registry.get(blob.path), blob.bytes)
  })

  it('is a hosted blob whose ledger is away: not at all', async () => {
    const registry = startPushed()
    const blob = await pushedBlob(registry, 'hosted/app')
    expect((await registry.get(blob.path)).status).toBe(307)
    const worker = start({ ...OPEN, HOSTED_LEDGER: broken('objects') })
    expect(await refusalOf(await worker.get(blob.path))).toBe('503 UNKNOWN')
  })
})
