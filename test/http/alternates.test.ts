// Who answers a client, and who is asked, when an upstream that has alternates fails: every failure against
// every kind of question.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import {
  MiB,
  addSampleBlob,
  expectBytes,
  expectNothing,
  expectStored,
  openBody,
} from '../support/blob.ts'
import { stopClock } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

const STEM = '/v2/backed.test/a/b'
const CONTENT = ['manifest', 'blob']
const NOISE = sampleBytes(1000, 99)

let primary: SampleUpstream
let second: SampleUpstream
let third: SampleUpstream
let net: Network
let image: SampleManifest
let worker: Isolate

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  ;[primary, second, third] = [startUpstream(), startUpstream(), startUpstream()]
  net = goOnline({ 'backed.test': primary, 'second.test': second, 'third.test': third })
  image = await sampleImage({ layers: [64] })
  for (const upstream of [primary, second, third]) await addSample(upstream, 'a/b', image, 'v1')
  worker = isolate()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Breaks what an upstream says of content; it still tells how it authenticates. */
function bend(upstream: SampleUpstream, fault: Fault): void {
  upstream.fault({ on: ({ kind }) => CONTENT.includes(kind), do: fault })
}

/** How often each was asked for content. */
function tries(): number[] {
  return [primary, second, third].map((upstream) =>
    upstream.count(({ kind }) => CONTENT.includes(kind)),
  )
}

/** Who was asked at all; where every deadline passes at once, a blob is asked for again past the cache. */
function who(): boolean[] {
  return tries().map((times) => times > 0)
}

interface Row {
  readonly name: string
  readonly fault: Fault
  /** What a client is told where no alternate answers. */
  readonly refusal: string
}

const OUTAGES: readonly Row[] = [
  {
    name: '429',
    fault: { status: 429, headers: { 'Retry-After': '50' } },
    refusal: '429 TOOMANYREQUESTS',
  },
  { name: '500', fault: { status: 500 }, refusal: '502 UNKNOWN' },
  { name: 'no connection', fault: { refuse: true }, refusal: '502 UNKNOWN' },
  { name: 'no headers', fault: { hangHeaders: true }, refusal: '504 UNKNOWN' },
]

const WORDS: readonly (Row & { readonly unknown: string })[] = [
  {
    name: '404',
    fault: { status: 404 },
    refusal: '404 MANIFEST_UNKNOWN',
    unknown: '404 BLOB_UNKNOWN',
  },
  { name: '403', fault: { status: 403 }, refusal: '403 DENIED', unknown: '403 DENIED' },
]

describe.each(OUTAGES)('the upstream gives $name', ({ fault, refusal }) => {
  beforeEach(() => {
    if (fault.hangHeaders) passDeadlines()
    bend(primary, fault)
  })

  it('a manifest by digest comes from the alternate, without a warning, and is kept', async () => {
    const path = `${STEM}/manifests/${image.digest}`
    const answer = await worker.get(path)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(answer.headers.get('warning')).toBeNull()
    expect(tries()).toEqual([1, 1, 0])
    expect((await isolate().get(path)).status).toBe(200)
    expect(tries()).toEqual([1, 1, 0])
  })

  it('a tag comes from the alternate, with a warning', async () => {
    const answer = await worker.get(`${STEM}/manifests/v1`)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(answer.headers.get('warning')).toMatch(/^110 .*, 299 - "backed\.test did not confirm/)
    expect(answer.headers.get('cache-status')).toContain('fwd=stale')
    expect(tries()).toEqual([1, 1, 0])
  })

  it('a blob comes from the alternate, and is stored', async () => {
    for (const upstream of [second, third])
      await addSampleBlob(upstream, 100_000, { host: 'backed.test' })
    const blob = await addSampleBlob(primary, 100_000, { host: 'backed.test' })
    const answer = await worker.get(blob.path)
    expectBytes(await bytesOf(answer), blob.bytes)
    expect(who()).toEqual([true, true, false])
    vi.restoreAllMocks()
    await expectStored(blob)
  })

  it('what no alternate has either is refused as the upstream failed', async () => {
    for (const alternate of [second, third]) bend(alternate, { status: 404 })
    const blob = await addSampleBlob(primary, 1000, { host: 'backed.test' })
    for (const path of [`${STEM}/manifests/v1`, `${STEM}/manifests/${image.digest}`, blob.path]) {
      expect(await refusalOf(await worker.get(path))).toBe(refusal)
    }
    expect(who()).toEqual([true, true, true])
  })
})

describe.each(WORDS)('the upstream says $name', ({ fault, refusal, unknown }) => {
  it('and so does this registry; nobody else is asked', async () => {
    bend(primary, fault)
    const blob = await addSampleBlob(second, 1000, { host: 'backed.test' })
    expect(await refusalOf(await worker.get(`${STEM}/manifests/v1`))).toBe(refusal)
    expect(await refusalOf(await worker.get(`${STEM}/manifests/${image.digest}`))).toBe(refusal)
    expect(await refusalOf(await worker.get(blob.path))).toBe(unknown)
    expect([net.count('second.test'), net.count('third.test')]).toEqual([0, 0])
  })
})

describe('a credential that the token service refuses', () => {
  const grants = [{ repositories: ['vault.test/**'], actions: ['pull'] }]

  it.each(['v1', 'digest', 'blob'] as const)(
    'tells no private name to an alternate that does not know us: %s',
    async (kind) => {
      const vault = startUpstream({ authentication: { accounts: {} } })
      await addSample(vault, 'a/b', image, 'v1')
      const online = goOnline({ 'vault.test': vault, 'second.test': second })
      const [layer] = image.blobs
      const path = {
        v1: 'manifests/v1',
        digest: `manifests/${image.digest}`,
        blob: `blobs/${layer?.digest}`,
      }[kind]
      const answer = await isolate({ ANONYMOUS: grants }).get(`/v2/vault.test/a/b/${path}`)
      expect(await refusalOf(answer)).toBe('403 DENIED')
      expect(vault.count(({ kind: of }) => CONTENT.includes(of))).toBe(0)
      expect(vault.count({ kind: 'token' })).toBe(1)
      expect(online.count('second.test')).toBe(0)
    },
  )
})

describe('wrong bytes', () => {
  it('of the upstream for a manifest by digest: the alternate answers', async () => {
    bend(primary, { bytes: NOISE })
    const answer = await worker.get(`${STEM}/manifests/${image.digest}`)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(tries()).toEqual([1, 1, 0])
  })

  it('of the upstream for a tag, which are no manifest: the alternate answers, with a warning', async () => {
    bend(primary, { bytes: NOISE })
    const answer = await worker.get(`${STEM}/manifests/v1`)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(answer.headers.has('warning')).toBe(true)
  })

  it('of an alternate for a manifest: the next one answers, and nothing of them is kept', async () => {
    bend(primary, { status: 500 })
    const other = await sampleImage({ layers: [64], seed: 2 })
    bend(second, { body: new TextDecoder().decode(other.bytes) })
    const answer = await worker.get(`${STEM}/manifests/${image.digest}`)
    expect(await bytesOf(answer)).toEqual(image.bytes)
    expect(tries()).toEqual([1, 1, 1])
    const { objects } = await env.BLOBS.list({ prefix: 'mirror/backed.test/manifests/' })
    expect(objects.map(({ key }) => key.endsWith(image.digest.replace(':', '/')))).toEqual([true])
  })

  it('of every alternate for a manifest: none is served', async () => {
    bend(primary, { status: 500 })
    for (const alternate of [second, third]) bend(alternate, { bytes: NOISE })
    const path = `${STEM}/manifests/${image.digest}`
    expect(await refusalOf(await worker.get(path))).toBe('502 UNKNOWN')
  })

  it.each([
    { size: 1000, want: '502 UNKNOWN' },
    { size: 6 * MiB, want: 'cut' },
  ])('of an alternate for a blob of $size bytes: $want, and nothing is stored', async (row) => {
    bend(primary, { status: 500 })
    bend(second, { bytes: NOISE })
    const blob = await addSampleBlob(second, row.size, { host: 'backed.test' })
    const answer = await worker.get(blob.path)
    const got =
      answer.status === 200
        ? (await openBody(answer).remains()).isWhole
          ? 'whole'
          : 'cut'
        : await refusalOf(answer)
    expect(got).toBe(row.want)
    await expectNothing()
  })
})

describe('a blob of which nothing has been shown yet', () => {
  it.each([
    { name: 'the upstream', wrong: () => [primary], want: [1, 1, 0] },
    { name: 'the upstream and one alternate', wrong: () => [primary, second], want: [1, 1, 1] },
  ])('is taken from the next endpoint where $name sends wrong bytes', async ({ wrong, want }) => {
    const all = [primary, second, third]
    const [blob] = await Promise.all(
      all.map((endpoint) => addSampleBlob(endpoint, 1000, { host: 'backed.test' })),
    )
    for (const endpoint of wrong()) bend(endpoint, { bytes: NOISE })
    const answer = await worker.get(blob?.path ?? '')
    expectBytes(await bytesOf(answer), blob?.bytes ?? new Uint8Array())
    expect(tries()).toEqual(want)
  })
})

describe('a blob that is cut in mid-body at the upstream', () => {
  it('is continued at the alternate, verified and stored', async () => {
    const size = 6 * MiB
    await addSampleBlob(second, size, { host: 'backed.test' })
    const blob = await addSampleBlob(primary, size, { host: 'backed.test' })
    primary.fault({ on: { kind: 'blob' }, times: 1, do: { truncateAt: 0.5 } })
    primary.fault({ on: { kind: 'blob' }, do: { refuse: true } })
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    await expectStored(blob)
    expect(tries()).toEqual([2, 1, 0])
    expect(second.requests.at(-1)?.headers['range']).toBe(`bytes=${size / 2}-`)
  })

  it('is no 404 when no alternate has it', async () => {
    const blob = await addSampleBlob(primary, 1000, { host: 'backed.test' })
    primary.fault({ on: { kind: 'blob' }, times: 1, do: { truncateAt: 0.5 } })
    primary.fault({ on: { kind: 'blob' }, do: { refuse: true } })
    expect(await refusalOf(await worker.get(blob.path))).toBe('502 UNKNOWN')
    expect(tries()).toEqual([2, 1, 1])
  })
})

describe('a limit of the upstream', () => {
  it('lets the alternates answer at once, without asking the upstream again', async () => {
    stopClock()
    bend(primary, { status: 429, headers: { 'Retry-After': '60' } })
    const other = await sampleImage({ layers: [64], seed: 2 })
    await addSample(second, 'a/b', other, 'v2')
    await worker.get(`${STEM}/manifests/v1`)
    expect(tries()).toEqual([1, 1, 0])
    await worker.get(`${STEM}/manifests/${other.digest}`)
    expect(tries()).toEqual([1, 2, 0])
  })
})
