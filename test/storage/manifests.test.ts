// Manifests in R2: exact bytes, checked on the way in and out. And the markers of repositories.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { ManifestStore } from '../../src/storage/manifests.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { repository } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const BYTES = sampleBytes(1000)
const MANIFEST = { bytes: BYTES, mediaType: 'application/vnd.x+json' }

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

describe('a stored manifest', () => {
  it.each(['sha256', 'sha512'] as const)('comes back byte for byte (%s)', async (algorithm) => {
    const store = new ManifestStore(env.BLOBS)
    const digest = await digestOf(BYTES, algorithm)
    const key = mirroredManifestKey(NAME, digest)
    expect(await store.get(key, digest)).toBeUndefined()
    await store.put(key, digest, MANIFEST)
    expect(await store.get(key, digest)).toEqual(MANIFEST)
  })

  it('can be deleted, whether it is there or not', async () => {
    const store = new ManifestStore(env.BLOBS)
    const digest = await digestOf(BYTES)
    const key = mirroredManifestKey(NAME, digest)
    const other = mirroredManifestKey(NAME, await digestOf(new Uint8Array()))
    await store.put(key, digest, MANIFEST)
    await store.delete([key, other])
    expect(await store.get(key, digest)).toBeUndefined()
  })

  it('may be empty', async () => {
    const store = new ManifestStore(env.BLOBS)
    const empty = { ...MANIFEST, bytes: new Uint8Array() }
    const digest = await digestOf(empty.bytes)
    const key = mirroredManifestKey(NAME, digest)
    await store.put(key, digest, empty)
    expect(await store.get(key, digest)).toEqual(empty)
  })

  it('costs one operation', async () => {
    const digest = await digestOf(BYTES)
    const get = vi.spyOn(env.BLOBS, 'get')
    const head = vi.spyOn(env.BLOBS, 'head')
    await new ManifestStore(env.BLOBS).get(mirroredManifestKey(NAME, digest), digest)
    expect([get.mock.calls.length, head.mock.calls.length]).toEqual([1, 0])
  })

  it.each(['sha256', 'sha512'] as const)('with another %s is not stored', async (algorithm) => {
    const store = new ManifestStore(env.BLOBS)
    const digest = await digestOf(sampleBytes(1000, 2), algorithm)
    const key = mirroredManifestKey(NAME, digest)
    await expect(store.put(key, digest, MANIFEST)).rejects.toThrow('checksum')
    expect(await env.BLOBS.head(key)).toBeNull()
  })

  const httpMetadata = { contentType: MANIFEST.mediaType }
  it.each([
    { name: 'with a flipped bit', bytes: flipped(BYTES), options: { httpMetadata } },
    { name: 'that was cut', bytes: BYTES.subarray(0, 999), options: { httpMetadata } },
    { name: 'whose media type is lost', bytes: BYTES, options: {} },
  ])('$name counts as absent', async ({ bytes, options }) => {
    const digest = await digestOf(BYTES)
    const key = mirroredManifestKey(NAME, digest)
    await env.BLOBS.put(key, bytes, options)
    expect(await new ManifestStore(env.BLOBS).get(key, digest)).toBeUndefined()
  })
})

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice()
  copy[500] = (copy[500] ?? 0) ^ 1
  return copy
}

describe('a marker', () => {
  it('is one empty object for each repository and kind, however often it is marked', async () => {
    const markers = new RepositoryMarkers(env.BLOBS)
    await markers.mark('mirrored', 'one.test/a/b')
    await markers.mark('mirrored', 'one.test/a/b')
    await markers.mark('mirrored', 'one.test/a')
    await markers.mark('hosted', 'one.test/a')
    const { objects } = await env.BLOBS.list()
    expect(objects.map(({ key, size }) => [key, size])).toEqual([
      ['repositories/hosted/one.test/a', 0],
      ['repositories/mirrored/one.test/a', 0],
      ['repositories/mirrored/one.test/a/b', 0],
    ])
  })
})
