// What a purge removes, from where, and what it leaves because others need it: real pulls before it and after it, and
// an upstream that counts.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { markerKey, mirroredBlobKey } from '../../src/storage/keys.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { bytesOf } from '../support/answer.ts'
import { keysIn } from '../support/blob.ts'
import { MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { runJob } from '../support/job-run.ts'
import { named } from '../support/mirror.ts'
import { tag } from '../support/parsed.ts'

let upstream: SampleUpstream
let clock: Clock
let worker: Isolate

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream, 'two.test': upstream, 'part.test': upstream })
  worker = isolate(await accounts({ reader: [granting('**', 'pull')] }))
})

afterEach(async () => {
  await worker.settle()
  vi.restoreAllMocks()
  await reset()
})

const headers = { authorization: basic('reader') }

/** Pulls a manifest, and what it names. */
async function pull(repository: string, reference: string, by = worker): Promise<number> {
  const answer = await by.get(`/v2/${repository}/manifests/${reference}`, headers)
  const bytes = await bytesOf(answer)
  if (answer.status !== 200) return answer.status
  const { manifests, config, layers = [] } = JSON.parse(new TextDecoder().decode(bytes))
  for (const { digest } of manifests ?? []) await pull(repository, digest, by)
  for (const { digest } of config === undefined ? [] : [config, ...layers]) {
    await bytesOf(await by.get(`/v2/${repository}/blobs/${digest}`, headers))
  }
  return answer.status
}

async function stored(): Promise<string[]> {
  return (await keysIn('mirror/')).map((key) => key.split('/').at(-1) ?? '')
}

function hex(manifest: { readonly digest: string }): string {
  return manifest.digest.slice('sha256:'.length)
}

async function expectGone(canonical: string): Promise<void> {
  const name = named(canonical)
  const ledger = env.MIRROR_LEDGER.getByName(canonical)
  expect(await ledger.summary(name)).toBeUndefined()
  expect(await ledger.images(name, undefined, 10)).toEqual({ images: [], next: undefined })
  expect((await ledger.blobReads(name, undefined, 10)).items).toEqual([])
  expect(await env.BLOBS.head(markerKey('mirrored', canonical))).toBeNull()
  const { keys } = await env.HINTS.list()
  const ofIt = [`tag/${canonical}:`, `manifest/${canonical}@`]
  expect(keys.filter((key) => ofIt.some((stem) => key.name.startsWith(stem)))).toEqual([])
}

async function purge(target: string) {
  // Ledgers are told of reads a little later.
  await worker.settle()
  const ran = await runJob('purge', { target }, { steps: 100 })
  expect([ran.status.state, ran.status.note]).toEqual(['done', ''])
  return ran
}

/** Three isolates: the one that has pulled, another that has, and one that never has. */
async function expectAnew(repository: string, reference: string, other: Isolate): Promise<void> {
  clock.advance(MINUTE)
  for (const by of [worker, other, isolate()]) {
    upstream.forget()
    expect(await pull(repository, reference, by)).toBe(200)
    // Only the first one has to ask; and a third party would have asked for nothing at all.
    if (by === worker) expect(upstream.count({ kind: 'manifest', method: 'GET' })).toBe(1)
    else expect(upstream.count({ kind: 'manifest' })).toBe(0)
  }
}

async function addImage(repository: string, reference: string, seed: number, layers = [2048]) {
  const image = await sampleImage({ seed, layers })
  await addSample(upstream, repository, image, reference)
  return image
}

describe('a tag', () => {
  it('goes from memory, KV, the ledger and R2, and the next pull asks the upstream anew, anywhere', async () => {
    await addImage('a/b', 'v1', 1)
    const other = isolate(await accounts({ reader: [granting('**', 'pull')] }))
    await pull('one.test/a/b', 'v1')
    await pull('one.test/a/b', 'v1', other)
    expect(await stored()).toHaveLength(3)
    expect((await env.HINTS.list()).keys.length).toBeGreaterThan(0)
    const { status, report } = await purge('one.test/a/b:v1')
    expect(await keysIn('mirror/')).toEqual([])
    await expectGone('one.test/a/b')
    expect(status.result).toMatchObject({ manifests: 1, blobs: 2 })
    expect(report.map(({ note }) => note)).toEqual(['manifest', 'blob', 'blob'])
    await expectAnew('one.test/a/b', 'v1', other)
    await other.settle()
  })

  it('leaves what another tag of the repository has', async () => {
    const both = await addImage('a/b', 'v1', 1)
    await addSample(upstream, 'a/b', both, 'v2')
    await pull('one.test/a/b', 'v1')
    await pull('one.test/a/b', 'v2')
    await purge('one.test/a/b:v1')
    expect(await stored()).toHaveLength(3)
    const { images } = await env.MIRROR_LEDGER.getByName('one.test/a/b').images(
      named('one.test/a/b'),
      undefined,
      10,
    )
    expect(images.map(({ tags }) => tags)).toEqual([['v2']])
    clock.advance(MINUTE)
    upstream.stop()
    expect(await pull('one.test/a/b', 'v2')).toBe(200)
    expect(await pull('one.test/a/b', 'v1')).not.toBe(200)
  })

  it('leaves a manifest that a stored index names', async () => {
    const child = await sampleImage({ seed: 1 })
    const index = await sampleIndex([child])
    await addSample(upstream, 'a/b', index, 'all')
    await addSample(upstream, 'a/b', child, 'amd64')
    await pull('one.test/a/b', 'all')
    await pull('one.test/a/b', 'amd64')
    await purge('one.test/a/b:amd64')
    expect(await stored()).toHaveLength(4)
    await purge('one.test/a/b:all')
    expect(await keysIn('mirror/')).toEqual([])
    await expectGone('one.test/a/b')
  })

  it('takes with it the layers that a build cache lists as an index does manifests', async () => {
    const image = await sampleImage({ seed: 1, layers: [2048] })
    const types = [
      'application/vnd.buildkit.cacheconfig.v0',
      'application/vnd.oci.image.layer.v1.tar+gzip',
    ]
    const manifests = image.blobs.map(({ digest, bytes }, index) => ({
      mediaType: types[index],
      digest,
      size: bytes.length,
    }))
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const bytes = new TextEncoder().encode(
      JSON.stringify({ schemaVersion: 2, mediaType, manifests }),
    )
    for (const blob of image.blobs) await upstream.addBlob('a/b', blob.bytes, blob.digest)
    await upstream.addManifest('a/b', bytes, { mediaType, tag: 'cache' })
    await bytesOf(await worker.get('/v2/one.test/a/b/manifests/cache', headers))
    for (const { digest } of image.blobs) {
      await bytesOf(await worker.get(`/v2/one.test/a/b/blobs/${digest}`, headers))
    }
    await worker.settle()
    expect(await stored()).toHaveLength(3)
    const { status } = await purge('one.test/a/b:cache')
    expect(await keysIn('mirror/')).toEqual([])
    expect(status.result).toMatchObject({ manifests: 1, blobs: 2 })
  })

  it('leaves the blobs that an image of another repository of the host needs', async () => {
    const shared = await addImage('a/b', 'v1', 1, [2048, 512])
    await addSample(upstream, 'c/d', shared, 'v1')
    await pull('one.test/a/b', 'v1')
    await pull('one.test/c/d', 'v1')
    const { status } = await purge('one.test/a/b:v1')
    expect(status.result).toMatchObject({ manifests: 1, blobs: 0 })
    upstream.stop()
    clock.advance(MINUTE)
    expect(await pull('one.test/c/d', 'v1')).toBe(200)
    expect(await stored()).toHaveLength(4)
  })

  it('that nobody has ever pulled is purged with nothing to remove', async () => {
    const { status } = await purge('one.test/never/seen:v1')
    expect(status.result).toEqual({ manifests: 0, blobs: 0, bytesRemoved: 0 })
    expect(await keysIn('repositories/')).toEqual([])
  })
})

describe('a digest', () => {
  it('goes with its tags and with what is below it', async () => {
    const children = await Promise.all([1, 2].map((seed) => sampleImage({ seed })))
    const index = await sampleIndex(children)
    await addSample(upstream, 'a/b', index, 'v1')
    await addSample(upstream, 'a/b', index, 'v2')
    const stays = await addImage('a/b', 'stays', 3)
    for (const each of ['v1', 'v2', 'stays']) await pull('one.test/a/b', each)
    await purge(`one.test/a/b@${index.digest}`)
    expect((await stored()).toSorted()).toEqual([stays, ...stays.blobs].map(hex).toSorted())
    const ledger = env.MIRROR_LEDGER.getByName('one.test/a/b')
    expect(await ledger.keptTag(named('one.test/a/b'), tag('v2'))).toBeUndefined()
    const other = isolate(await accounts({ reader: [granting('**', 'pull')] }))
    clock.advance(MINUTE)
    upstream.forget()
    await pull('one.test/a/b', 'v2', other)
    expect(upstream.count({ kind: 'manifest', method: 'GET' })).toBe(3)
  })
})

describe('a repository', () => {
  it('goes with every image, blobs that were only read by digest, and bytes that no ledger knows', async () => {
    await addImage('a/b', 'v1', 1)
    await addImage('a/b', 'v2', 2)
    const below = await addImage('a/b/c', 'v1', 3)
    const loose = await addImage('a/b', 'v3', 4)
    await pull('one.test/a/b', 'v1')
    await pull('one.test/a/b', 'v2')
    await pull('one.test/a/b/c', 'v1')
    await bytesOf(await worker.get(`/v2/one.test/a/b/blobs/${loose.blobs[1]!.digest}`))
    await worker.settle()
    const lost = `mirror/one.test/manifests/a/b/sha256/${'e'.repeat(64)}`
    await env.BLOBS.put(lost, new Uint8Array(3))
    const { status } = await purge('one.test/a/b')
    expect((await stored()).toSorted()).toEqual([below, ...below.blobs].map(hex).toSorted())
    await expectGone('one.test/a/b')
    expect(status.result).toMatchObject({ manifests: 2 })
  })

  it('that is private takes its own blobs with it, and not those of the public ones', async () => {
    const image = await addImage('closed/app', 'v1', 1)
    await addSample(upstream, 'open/app', image, 'v1')
    await pull('part.test/closed/app', 'v1')
    await pull('part.test/open/app', 'v1')
    const blob = image.blobs[1]!.digest
    const closed = mirroredBlobKey(named('part.test/closed/app'), true, blob)
    expect(await env.BLOBS.head(closed)).not.toBeNull()
    await purge('part.test/closed/app')
    expect(await keysIn('mirror/part.test/private/')).toEqual([])
    expect(
      await env.BLOBS.head(mirroredBlobKey(named('part.test/open/app'), false, blob)),
    ).not.toBeNull()
    await purge('part.test/open/app')
    expect(await keysIn('mirror/')).toEqual([])
  })

  it('that is public leaves the blobs of a private one', async () => {
    const image = await addImage('closed/app', 'v1', 1)
    await addSample(upstream, 'open/app', image, 'v1')
    await pull('part.test/closed/app', 'v1')
    await pull('part.test/open/app', 'v1')
    await purge('part.test/open/app')
    expect(await keysIn('mirror/part.test/blobs/')).toEqual([])
    expect(await keysIn('mirror/part.test/private/')).toHaveLength(2)
  })
})

describe('a host', () => {
  it('goes with everything, and no other host', async () => {
    const image = await addImage('a/b', 'v1', 1)
    await addImage('c/d', 'v1', 2)
    const other = isolate(await accounts({ reader: [granting('**', 'pull')] }))
    for (const name of ['one.test/a/b', 'one.test/c/d', 'two.test/a/b']) await pull(name, 'v1')
    await pull('one.test/a/b', 'v1', other)
    const { status } = await purge('one.test')
    expect(await keysIn('mirror/one.test/')).toEqual([])
    expect((await stored()).toSorted()).toEqual([image, ...image.blobs].map(hex).toSorted())
    await expectGone('one.test/a/b')
    await expectGone('one.test/c/d')
    expect(status.result).toMatchObject({ manifests: 2, blobs: 4 })
    await expectAnew('one.test/a/b', 'v1', other)
    await other.settle()
  })

  it('that is configured no more can be purged, rows and bytes', async () => {
    const canonical = 'gone.test/a/b'
    const name = named(canonical)
    await env.BLOBS.put('mirror/gone.test/blobs/sha256/x', new Uint8Array(3))
    await env.BLOBS.put(`repositories/mirrored/${canonical}`, new Uint8Array())
    const ledger = env.MIRROR_LEDGER.getByName(canonical)
    await ledger.pin(name, { kind: 'tag', tag: tag('v1') }, true)
    await purge('gone.test')
    expect(await keysIn('mirror/')).toEqual([])
    expect(await keysIn('repositories/')).toEqual([])
  })
})

describe('pins', () => {
  it.each([
    { target: 'one.test/a/b:v1', left: ['one.test/a/b:v2', 'one.test/a/bc:v1', 'two.test/a/b:v1'] },
    { target: 'one.test/a/b', left: ['one.test/a/bc:v1', 'two.test/a/b:v1'] },
    { target: 'one.test', left: ['two.test/a/b:v1'] },
  ])('of $target go, whoever has set them, and no others', async ({ target, left }) => {
    await addImage('a/b', 'v1', 1)
    await addImage('a/b', 'v2', 2)
    await pull('one.test/a/b', 'v1')
    await pull('one.test/a/b', 'v2')
    const pins = ['one.test/a/b:v1', 'one.test/a/b:v2', 'one.test/a/bc:v1', 'two.test/a/b:v1']
    for (const image of pins) await authority().pin({ image, platforms: undefined }, 'root')
    const name = named('one.test/a/b')
    const ledger = env.MIRROR_LEDGER.getByName('one.test/a/b')
    await ledger.pin(name, { kind: 'tag', tag: tag('v1') }, true)
    await purge(target)
    expect((await authority().pins()).map(({ image }) => image)).toEqual(left)
    const { images } = await ledger.images(name, undefined, 10)
    expect(images.filter(({ isPinned }) => isPinned)).toEqual([])
  })
})

describe('everybody', () => {
  it.each([
    { target: 'one.test/a/b:v1', scope: 'one.test/a/b' },
    { target: 'one.test/a/b', scope: 'one.test/a/b' },
    { target: 'ONE.test', scope: 'one.test' },
  ])('is told that $scope was purged, last of all', async ({ target, scope }) => {
    await purge(target)
    const { purges } = await authority().snapshot()
    expect(purges.recent.map((each) => each.scope)).toEqual([scope])
  })
})

describe('a purge that is cut off', () => {
  it('goes on where it was', async () => {
    await addImage('a/b', 'v1', 1, [64, 64, 64])
    await addImage('c/d', 'v1', 2, [64, 64, 64])
    await pull('one.test/a/b', 'v1')
    await pull('one.test/c/d', 'v1')
    const del = vi
      .spyOn(Object.getPrototypeOf(env.BLOBS), 'delete')
      .mockRejectedValue(new Error('storage is away'))
    await worker.settle()
    const cut = await runJob('purge', { target: 'one.test' }, { steps: 3 })
    expect(del).toHaveBeenCalled()
    expect(cut.status.state).toBe('waiting')
    del.mockRestore()
    clock.advance(MINUTE)
    const { status } = await runJob('purge', { target: 'one.test' }, { id: cut.id, steps: 50 })
    expect(status.state).toBe('done')
    expect(await keysIn('mirror/')).toEqual([])
    await expectGone('one.test/a/b')
  })
})
