// Which answers count as reads, and which as pulls, until the ledger of the repository knows it: of both kinds.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Reads } from '../../src/storage/reads.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const STEM = '/v2/one.test/a/b'

let upstream: SampleUpstream
let image: SampleManifest
let index: SampleManifest
/** What ledgers were told, by `<host>/<repository>` or `<repository>`. */
let told: (Reads & { readonly of: string })[]

/** A namespace of objects that keeps what is told, and tells it no further where `fail` says so. */
function telling(namespace: object, fail: () => boolean): unknown {
  const stubOf = (of: string): unknown => {
    const stub: object = Reflect.apply(
      Reflect.get(namespace, 'getByName') as () => object,
      namespace,
      [of],
    )
    return new Proxy(stub, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key)
        if (key !== 'read' || typeof value !== 'function') return value
        return async (name: unknown, reads: Reads): Promise<unknown> => {
          if (fail()) throw new Error('away')
          told.push({ of, ...reads })
          return Reflect.apply(value, target, [name, reads])
        }
      },
    })
  }
  return { getByName: stubOf }
}

function watched(fail: () => boolean = () => false): Isolate {
  return isolate({
    MIRROR_LEDGER: telling(env.MIRROR_LEDGER, fail),
    HOSTED_LEDGER: telling(env.HOSTED_LEDGER, fail),
  })
}

beforeEach(async () => {
  told = []
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  index = await sampleIndex([image])
  await addSample(upstream, 'a/b', index, 'v1')
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Sends requests one after the other, to the last byte. */
async function send(
  to: Isolate,
  requests: readonly (readonly [string, string, RequestInit?])[],
): Promise<number[]> {
  const statuses: number[] = []
  for (const [method, path, init = {}] of requests) {
    const answer = await to.fetch(`${STEM}/${path}`, { method, ...init })
    await answer.arrayBuffer()
    statuses.push(answer.status)
  }
  return statuses
}

it('a whole pull is told by one call: manifests and blobs, and the one pull that it is', async () => {
  const one = watched()
  const blobs = image.blobs.map(({ digest }) => digest)
  const paths = [
    'manifests/v1',
    `manifests/${image.digest}`,
    ...blobs.map((each) => `blobs/${each}`),
  ]
  const statuses = await send(
    one,
    paths.map((path) => ['GET', path]),
  )
  expect(statuses).toEqual(paths.map(() => 200))
  await one.settle()
  expect(told).toEqual([
    {
      of: 'one.test/a/b',
      at: expect.any(Number),
      pulls: 1,
      digests: [index.digest, image.digest, ...blobs],
    },
  ])
  const name = { host: 'one.test', repository: 'a/b' } as never
  const stub = env.MIRROR_LEDGER.getByName('one.test/a/b')
  expect(await stub.summary(name)).toMatchObject({ lastPull: told[0]?.at, pulls: [{ pulls: 1 }] })
  // What is warm is told of nobody, and its pulls wait.
  await send(
    one,
    paths.map((path) => ['GET', path]),
  )
  await one.settle()
  expect(told).toHaveLength(1)
})

describe('counts', () => {
  it.each<{
    readonly name: string
    readonly first?: readonly (readonly [string, string, RequestInit?])[]
    readonly request: () => readonly [string, string, RequestInit?]
    readonly status: number
    readonly want: () => { readonly pulls: number; readonly digests: readonly string[] }
  }>([
    {
      name: 'a GET of an index: a read and no pull',
      request: () => ['GET', 'manifests/v1'],
      status: 200,
      want: () => ({ pulls: 0, digests: [index.digest] }),
    },
    {
      name: 'a HEAD of a manifest: a read and no pull',
      request: () => ['HEAD', `manifests/${image.digest}`],
      status: 200,
      want: () => ({ pulls: 0, digests: [image.digest] }),
    },
    {
      name: 'a manifest that the client has already: a read and no pull',
      request: () => [
        'GET',
        `manifests/${image.digest}`,
        { headers: { 'if-none-match': `"${image.digest}"` } },
      ],
      status: 304,
      want: () => ({ pulls: 0, digests: [image.digest] }),
    },
    {
      name: 'a HEAD of a blob: a read',
      request: () => ['HEAD', `blobs/${image.blobs[1]?.digest}`],
      status: 200,
      want: () => ({ pulls: 0, digests: [image.blobs[1]?.digest ?? ''] }),
    },
    {
      name: 'a range of a blob: a read',
      request: () => [
        'GET',
        `blobs/${image.blobs[1]?.digest}`,
        { headers: { range: 'bytes=0-3' } },
      ],
      status: 206,
      want: () => ({ pulls: 0, digests: [image.blobs[1]?.digest ?? ''] }),
    },
  ])('$name', async ({ request, status, want }) => {
    const one = watched()
    expect(await send(one, [request()])).toEqual([status])
    await one.settle()
    expect(told).toEqual([{ of: 'one.test/a/b', at: expect.any(Number), ...want() }])
  })

  it('nothing that is not there, denied, or refused', async () => {
    const one = watched()
    const blob = image.blobs[1]?.digest
    const nothing = `sha256:${'0'.repeat(64)}`
    const statuses = await send(one, [
      ['GET', 'manifests/absent'],
      ['GET', `manifests/${nothing}`],
      ['GET', `blobs/${nothing}`],
      ['GET', `blobs/${blob}`, { headers: { range: 'bytes=9999999-' } }],
      ['GET', 'tags/list'],
    ])
    expect(statuses).toEqual([404, 404, 404, 416, 200])
    await one.settle()
    expect(told).toEqual([])
  })

  it('what is stale like what is fresh', async () => {
    const before = watched()
    await send(before, [['GET', 'manifests/v1']])
    await before.settle()
    const later = Date.now() + 10 * 60 * 1000
    vi.spyOn(Date, 'now').mockReturnValue(later)
    upstream.stop()
    const one = watched()
    const answer = await one.get(`${STEM}/manifests/v1`)
    expect(answer.headers.get('warning')).not.toBeNull()
    told = []
    await one.settle()
    expect(told).toEqual([{ of: 'one.test/a/b', at: later, pulls: 0, digests: [index.digest] }])
  })
})

it('a ledger that is away breaks nobody, and hears of it later', async () => {
  let isAway = true
  const clock = vi.spyOn(Date, 'now')
  const one = watched(() => isAway)
  const path = `manifests/${image.digest}`
  expect(await send(one, [['GET', path]])).toEqual([200])
  await one.settle()
  expect(one.lines('reads-not-told')).toHaveLength(1)
  isAway = false
  clock.mockReturnValue(Date.now() + 61_000)
  expect(await send(one, [['GET', path]])).toEqual([200])
  await one.settle()
  expect(told).toMatchObject([{ pulls: 2, digests: [image.digest] }])
})

it('a blob under a name that somebody guessed leaves no trace', async () => {
  const one = watched()
  const blob = image.blobs[1]?.digest
  await send(one, [['GET', `blobs/${blob}`]])
  await one.settle()
  const answer = await one.get(`/v2/one.test/guessed/name/blobs/${blob}`)
  await answer.arrayBuffer()
  await one.settle()
  expect(answer.status).toBe(200)
  expect(told.map(({ of }) => of)).toEqual(['one.test/a/b', 'one.test/guessed/name'])
  const ledger = env.MIRROR_LEDGER.getByName('one.test/guessed/name')
  const tables = await runInDurableObject(ledger, (_, { storage }) =>
    storage.sql
      .exec(`SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'`)
      .toArray(),
  )
  expect(tables).toEqual([])
  const { objects } = await env.BLOBS.list({ prefix: 'repositories/' })
  expect(objects).toEqual([])
})
