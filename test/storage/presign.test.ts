// A presigned URL: that it is signed as AWS says (against a signer of the test's own), that it reads the one object
// that its key names, whatever that is called (faults 090, 142), and that a day's signing key is derived once.

import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/repository-name.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import {
  hostedContentKey,
  hostedManifestKey,
  mirroredBlobKey,
  mirroredManifestKey,
  segmentKey,
} from '../../src/storage/keys.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import { Presigner } from '../../src/storage/presign.ts'
import type { S3Bucket } from '../../src/storage/presign.ts'
import { DAY, SECOND } from '../support/clock.ts'

afterEach(() => vi.restoreAllMocks())

const NOON = Date.UTC(2026, 10, 22, 12, 0, 0)
const HEX = 'a'.repeat(64)
const KEY = `mirror/one.test/blobs/sha256/${HEX}` as StorageKey
const BUCKET: S3Bucket = {
  endpoint: new URL('https://account.r2.cloudflarestorage.com'),
  bucket: 'entrepot-blobs',
  accessKeyId: 'access',
  secretAccessKey: 'secret',
}

const presigner = (): Presigner => new Presigner(BUCKET)

async function presign(
  key: string,
  { endpoint = BUCKET.endpoint, now = NOON, by = presigner() } = {},
): Promise<string | undefined> {
  return by.presign({ key: key as StorageKey, size: 1 }, endpoint, now)
}

async function urlOf(...given: Parameters<typeof presign>): Promise<URL> {
  return new URL((await presign(...given)) ?? expect.fail('no URL'))
}

/** RFC 3986: everything but unreserved characters is escaped, as S3 has it, and a slash of a path is not. */
function escape(text: string, kept = ''): string {
  return [...new TextEncoder().encode(text)]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      if (/[\w.~-]/.test(character) || kept.includes(character)) return character
      return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
/** Not counted with what the code under test asks for. */
const importKey = crypto.subtle.importKey.bind(crypto.subtle)

async function hmac(secret: Uint8Array, text: string): Promise<Uint8Array> {
  const key = await importKey('raw', secret, HMAC, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, encode(text)))
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** AWS Signature Version 4 of a GET in the query, written from the specification. */
async function signatureOf(url: URL, secret: string): Promise<string> {
  const query = [...url.searchParams].filter(([name]) => name !== 'X-Amz-Signature')
  const date = url.searchParams.get('X-Amz-Date') ?? ''
  const [, ...scope] = url.searchParams.get('X-Amz-Credential')?.split('/') ?? []
  const request = [
    'GET',
    escape(decodeURIComponent(url.pathname), '/'),
    query
      .map((pair) => pair.map((part) => escape(part)).join('='))
      .toSorted()
      .join('&'),
    `host:${url.host}`,
    '',
    'host',
    'UNSIGNED-PAYLOAD',
  ].join('\n')
  const hash = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', encode(request))))
  let key = encode(`AWS4${secret}`)
  for (const part of scope) key = await hmac(key, part)
  return hex(await hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope.join('/')}\n${hash}`))
}

async function expectSigned(url: URL, secret = 'secret'): Promise<void> {
  expect(url.searchParams.get('X-Amz-Signature')).toBe(await signatureOf(url, secret))
}

it('the signer of this test signs as AWS does in its documentation', async () => {
  const url = new URL('https://examplebucket.s3.amazonaws.com/test.txt')
  url.search =
    '?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
    '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host'
  expect(await signatureOf(url, 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')).toBe(
    'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  )
})

describe('a URL', () => {
  it('is signed for GET, two minutes, one host and the region of R2, and says nothing else', async () => {
    const url = await urlOf(KEY)
    expect(url.origin).toBe('https://account.r2.cloudflarestorage.com')
    expect(url.pathname).toBe(`/entrepot-blobs/${KEY}`)
    const query = Object.fromEntries(url.searchParams)
    expect(query).toEqual({
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Credential': 'access/20261122/auto/s3/aws4_request',
      'X-Amz-Date': '20261122T120000Z',
      'X-Amz-Expires': '120',
      'X-Amz-Signature': expect.stringMatching(/^[0-9a-f]{64}$/),
      'X-Amz-SignedHeaders': 'host',
    })
    expect([...url.searchParams]).toHaveLength(6)
    await expectSigned(url)
  })

  it.each([
    { name: 'a port', endpoint: 'http://localhost:8123' },
    { name: 'a path', endpoint: 'http://localhost:8123/cdn-cgi/local/r2/s3' },
    { name: 'a path with a slash at its end', endpoint: 'https://storage.test/s3/' },
    { name: 'an address', endpoint: 'http://[::1]:8123/s3' },
  ])('leads to an endpoint with $name, and is signed for that', async ({ endpoint }) => {
    const url = await urlOf(KEY, { endpoint: new URL(endpoint) })
    const base = endpoint.replace(/\/$/, '')
    expect(url.href.startsWith(`${base}/entrepot-blobs/${KEY}?`)).toBe(true)
    await expectSigned(url)
  })

  it('has another signature by another host, port, key, secret and second', async () => {
    const other = (changed: Partial<S3Bucket>): Presigner =>
      new Presigner({ ...BUCKET, ...changed })
    const urls = await Promise.all([
      urlOf(KEY),
      urlOf(KEY, { endpoint: new URL('https://storage.test') }),
      urlOf(KEY, { endpoint: new URL('https://account.r2.cloudflarestorage.com:8443') }),
      urlOf(`${KEY.slice(0, -1)}b`),
      urlOf(KEY, { by: other({ secretAccessKey: 'secret2' }) }),
      urlOf(KEY, { by: other({ accessKeyId: 'access2' }) }),
      urlOf(KEY, { by: other({ bucket: 'other-blobs' }) }),
      urlOf(KEY, { now: NOON + SECOND }),
    ])
    const signatures = urls.map(({ searchParams }) => searchParams.get('X-Amz-Signature'))
    expect(new Set(signatures).size).toBe(urls.length)
  })
})

/** The same numbers at every run. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}

/** Names that the grammar allows, of its ugly kind too. */
function generateName(roll: (sides: number) => number): RepositoryName {
  const words = ['a', 'blobs', 'manifests', 'uploads', 'private', 'v2', 'sha256', '0', 'x1']
  const separators = ['.', '_', '__', '-', '---', '']
  const word = (): string => words[roll(words.length)] ?? 'a'
  const component = (): string =>
    Array.from({ length: 1 + roll(3) }, word).reduce(
      (text, each) => `${text}${separators[roll(separators.length)]}${each}`,
    )
  const text = Array.from({ length: 1 + roll(4) }, component).join('/')
  return parseRepositoryName(text) ?? expect.fail(`no repository name: ${text}`)
}

function generateKey(roll: (sides: number) => number): StorageKey {
  const hosts = ['docker.io', 'ghcr.io', 'local', 'localhost:5000', '127.0.0.1:5001', '[::1]:5000']
  const digits = Array.from({ length: 128 }, () => roll(16).toString(16)).join('')
  const digest = (roll(2) === 0 ? `sha256:${digits.slice(64)}` : `sha512:${digits}`) as Digest
  const name = { host: hosts[roll(hosts.length)] ?? '', repository: generateName(roll) }
  const makers = [
    () => mirroredBlobKey(name, false, digest),
    () => mirroredBlobKey(name, true, digest),
    () => mirroredManifestKey(name, digest),
    () => hostedContentKey(crypto.randomUUID()),
    () => hostedManifestKey(name.repository, digest),
    () => segmentKey(crypto.randomUUID(), roll(1000)),
  ]
  return (makers[roll(makers.length)] ?? expect.fail('no maker'))()
}

const ENDPOINTS = [
  'https://account.r2.cloudflarestorage.com',
  'http://127.0.0.1:8123/cdn-cgi/local/r2/s3',
  'https://storage.test:9000/a.b/c-d',
]

describe('the path of a URL', () => {
  it('T090: is that of the bucket and the key, to the letter, for every key that is made', async () => {
    const roll = dice(7)
    const keys = Array.from({ length: 400 }, () => generateKey(roll))
    expect(new Set(keys).size).toBeGreaterThan(390)
    for (const key of keys) {
      const base = ENDPOINTS[roll(ENDPOINTS.length)] ?? ''
      const endpoint = new URL(base)
      const url = await urlOf(key, { endpoint })
      expect(url.origin).toBe(endpoint.origin)
      const path = decodeURIComponent(url.pathname)
      expect(path).toBe(`${endpoint.pathname.replace(/\/$/, '')}/entrepot-blobs/${key}`)
      // Whoever resolves it, encodes it anew or parses it another time gets no other path.
      expect(new URL(url.href).href).toBe(url.href)
      expect(url.pathname).not.toMatch(/\/\/|\/\.{1,2}(?:\/|$)|%2f|%2e/i)
      expect(url.hash).toBe('')
      await expectSigned(url)
    }
  })

  /** Nothing makes such keys: that is the second lock. */
  it.each([
    'hosted/content/../../other/secret',
    '../other-bucket/secret',
    'a/./b',
    '.',
    '..',
    'a/..',
    'a/../../../entrepot-blobs/a',
  ])('T090: of the key %s would be another, so there is no URL', async (key) => {
    expect(await presign(key)).toBeUndefined()
    expect(await presign(key, { endpoint: new URL('http://localhost:1/a/b') })).toBeUndefined()
  })

  it.each([
    'a/%2e%2e/b',
    'a/%2E%2e/%2e/b',
    'a%2f..%2fb',
    'a/%252e%252e/b',
    'a/..%2fb',
    'a//b',
    '/a',
    'a/',
    'a\\..\\b',
    'a/b?c=d',
    'a/b#c',
    'a/b;c',
    'a/ b',
    'a/b+c',
    'a/\n\t\r\0b',
    'a/%',
    'a/%zz',
    'a/…/ä',
    'a/...',
    "a/!'()*~",
    'https://evil.test/a',
    '@evil.test/a',
  ])('T090: of the key %j is that key after one decoding, signed so', async (key) => {
    const url = await urlOf(key)
    expect(url.origin).toBe(BUCKET.endpoint.origin)
    expect(decodeURIComponent(url.pathname)).toBe(`/entrepot-blobs/${key}`)
    await expectSigned(url)
    expect([...url.searchParams]).toHaveLength(6)
  })
})

describe('the signing key', () => {
  /** How often a key was made ready for an HMAC: five times with a derivation, else once. */
  function countKeys(): { readonly made: () => number } {
    const spy = vi.spyOn(crypto.subtle, 'importKey')
    return {
      made: () => {
        const { length } = spy.mock.calls
        spy.mockClear()
        return length
      },
    }
  }

  it('is derived once a day', async () => {
    const by = presigner()
    const keys = countKeys()
    const midnight = Date.UTC(2026, 10, 23)
    await presign(KEY, { by, now: midnight - 10 * SECOND })
    expect(keys.made()).toBe(5)
    for (let n = 9; n > 0; n--) {
      await presign(`${KEY}${n}`, { by, now: midnight - n * SECOND })
      expect(keys.made()).toBe(1)
    }
    const url = await urlOf(KEY, { by, now: midnight })
    expect(keys.made()).toBe(5)
    expect(url.searchParams.get('X-Amz-Credential')).toContain('/20261123/')
    await expectSigned(url)
    await presign(KEY, { by, now: midnight + DAY - 1 })
    expect(keys.made()).toBe(1)
  })

  it('of a day that is over is forgotten', async () => {
    const by = presigner()
    const keys = countKeys()
    for (const day of [0, 1]) await presign(KEY, { by, now: NOON + day * DAY })
    expect(keys.made()).toBe(10)
    const url = await urlOf(KEY, { by, now: NOON })
    expect(keys.made()).toBe(5)
    await expectSigned(url)
  })

  it('of one bucket is not that of another', async () => {
    const keys = countKeys()
    await presign(KEY)
    await presign(KEY, { by: new Presigner({ ...BUCKET, secretAccessKey: 'secret2' }) })
    expect(keys.made()).toBe(10)
  })

  it('is that of its day for whoever asks around midnight at the same time', async () => {
    const by = presigner()
    const midnight = Date.UTC(2026, 10, 23)
    const times = Array.from({ length: 20 }, (_, n) => midnight + (n % 2 === 0 ? -1 : 1) * SECOND)
    const urls = await Promise.all(times.map((now) => urlOf(KEY, { by, now })))
    for (const url of urls) {
      await expectSigned(url)
    }
  })
})
