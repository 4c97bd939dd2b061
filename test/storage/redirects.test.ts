// When clients are sent to storage: only while it answers the very URLs that they get, asked so seldom that it costs
// nothing, and never with what a client has brought (faults 14A, 14C, 141).

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Fetch } from '../../src/seams.ts'
import { Outbound } from '../../src/outbound.ts'
import type { StorageKey } from '../../src/storage/keys.ts'
import type { LocatedBlob } from '../../src/storage/located-blob.ts'
import { Redirects } from '../../src/storage/redirects.ts'
import { SECOND } from '../support/clock.ts'
import { passDeadlines } from '../support/deadline.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'

const ENDPOINT = new URL('https://storage.test/s3')
const BUCKET = {
  endpoint: ENDPOINT,
  bucket: 'entrepot-blobs',
  accessKeyId: 'access',
  secretAccessKey: 'secret',
}
const BLOB: LocatedBlob = { key: 'hosted/content/1' as StorageKey, size: 100 }
const OTHER: LocatedBlob = { key: 'hosted/content/2' as StorageKey, size: 100 }

const ok = async (): Promise<Response> => new Response('a', { status: 206 })
const failing = (status: number) => async (): Promise<Response> => new Response('', { status })

let clock: number
let answer: Fetch
let net: Network
let redirects: Redirects
let deferred: Promise<unknown>[]
let lines: string[]

beforeEach(() => {
  clock = Date.UTC(2026, 10, 22)
  answer = ok
  net = network({
    'storage.test': (url, init) => answer(url, init),
    'localhost:8123': (url, init) => answer(url, init),
  })
  redirects = new Redirects(BUCKET)
  deferred = []
  lines = []
})

afterEach(() => vi.restoreAllMocks())

async function locate(blob = BLOB, endpoint = ENDPOINT): Promise<string | undefined> {
  return redirects.locate(blob, endpoint, {
    outbound: new Outbound(net.fetch, '1.1 test'),
    now: () => clock,
    defer: (work) => void deferred.push(work),
    log: (event, fields) => void lines.push(JSON.stringify({ event, ...fields })),
  })
}

async function settle(): Promise<void> {
  await Promise.all(deferred.splice(0))
}

/** Storage that does not answer until it is told how. */
function withheld(): { readonly release: (status: number) => void } {
  const { promise, resolve } = Promise.withResolvers<Response>()
  answer = () => promise
  return { release: (status) => resolve(new Response('', { status })) }
}

describe('the first client', () => {
  it('waits until one byte was read by the URL that it gets', async () => {
    const url = await locate()
    expect(net.urls()).toEqual([url])
    const [asked] = net.requests
    expect(asked).toMatchObject({ method: 'GET', redirect: 'manual' })
    expect(asked?.headers['range']).toBe('bytes=0-0')
    expect(asked?.headers).not.toHaveProperty('authorization')
    expect(new URL(url ?? '').pathname).toBe('/s3/entrepot-blobs/hosted/content/1')
    expect(lines).toEqual([])
  })

  it.each([200, 206, 416])('is sent to storage that answers %i', async (status) => {
    answer = failing(status)
    expect(await locate()).toBeDefined()
    expect(lines).toEqual([])
  })

  it('is sent to the other name of this machine, which is asked by that name', async () => {
    const url = await locate(BLOB, new URL('http://localhost:8123/s3'))
    expect(url?.startsWith('http://localhost:8123/s3/')).toBe(true)
    expect(net.urls()).toEqual([url])
  })

  it('lets go of what it has read', async () => {
    const cancel = vi.fn<() => void>()
    answer = async () => new Response(new ReadableStream({ cancel }), { status: 200 })
    expect(await locate()).toBeDefined()
    expect(cancel).toHaveBeenCalledOnce()
  })
})

const STATUSES = [204, 301, 304, 307, 400, 401, 403, 404, 429, 500, 503].map((status) => ({
  name: String(status),
  reason: `the endpoint answers ${status}`,
  answer: async () => new Response(null, { status }),
}))

const FAILURES: readonly { name: string; answer: Fetch; reason: string }[] = [
  ...STATUSES,
  {
    name: 'a redirect, which nobody follows',
    answer: async () =>
      new Response(null, { status: 307, headers: { Location: 'https://storage.test/a' } }),
    reason: 'the upstream redirects more than 0 times',
  },
  {
    name: 'nothing',
    answer: () => Promise.reject(new TypeError('fetch failed: https://storage.test/?X-Amz')),
    reason: 'storage.test cannot be reached',
  },
  {
    name: 'not in time',
    answer: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('aborted')))
      }),
    reason: 'storage.test did not answer in time',
  },
]

describe('storage that does not answer', () => {
  it.each(FAILURES)('with one byte is nowhere to send clients: $name', async (row) => {
    passDeadlines()
    answer = row.answer
    expect(await locate()).toBeUndefined()
    expect(lines).toEqual([
      JSON.stringify({ event: 'redirect-failed', endpoint: 'storage.test', reason: row.reason }),
    ])
    expect(net.count()).toBe(1)
    expect(JSON.stringify(lines)).not.toMatch(/X-Amz|hosted|\?/)
  })

  it('keeps the first client for two seconds at most', async () => {
    answer = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('aborted')))
      })
    const delays: (number | undefined)[] = []
    const wait = globalThis.setTimeout
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((work: () => void, delay?: number) => {
      delays.push(delay)
      return wait(work, 0)
    }) as typeof setTimeout)
    expect(await locate()).toBeUndefined()
    expect(delays).toEqual([2 * SECOND])
  })

  it('has ten seconds where nobody waits for it', async () => {
    await locate()
    const delays = vi.spyOn(globalThis, 'setTimeout')
    clock += 60 * SECOND
    await locate()
    await settle()
    expect(delays.mock.calls.map(([, delay]) => delay)).toEqual([10 * SECOND])
  })

  it('is asked again after 30 s and not before, by one client', async () => {
    answer = failing(503)
    await locate()
    clock += 30 * SECOND - 1
    expect(await locate()).toBeUndefined()
    expect(net.count()).toBe(1)
    clock += 1
    expect(await Promise.all([locate(), locate(OTHER), locate()])).toEqual(Array(3).fill(undefined))
    expect(net.count()).toBe(2)
    clock += 30 * SECOND
    answer = ok
    expect(await locate()).toBeDefined()
    expect(await locate(OTHER)).toBeDefined()
    expect(net.count()).toBe(3)
    expect(lines).toHaveLength(2)
  })

  it('for long is asked again 30 s after it was given up', async () => {
    const { release } = withheld()
    const first = locate()
    await vi.waitFor(() => expect(net.count()).toBe(1))
    clock += 2 * SECOND
    release(503)
    expect(await first).toBeUndefined()
    clock += 30 * SECOND - 1
    expect(await locate()).toBeUndefined()
    expect(net.count()).toBe(1)
    clock += 1
    await locate()
    expect(net.count()).toBe(2)
  })

  it('to a client that has left is asked by another, later', async () => {
    withheld()
    void locate()
    await vi.waitFor(() => expect(net.count()).toBe(1))
    answer = ok
    clock += 30 * SECOND
    expect(await locate()).toBeDefined()
  })
})

describe('while storage is asked', () => {
  it('for the first time, others do not wait for it and are streamed to', async () => {
    const { release } = withheld()
    const first = locate()
    await vi.waitFor(() => expect(net.count()).toBe(1))
    expect(await Promise.all([locate(), locate(OTHER)])).toEqual([undefined, undefined])
    release(206)
    expect(await first).toBeDefined()
    expect(await locate(OTHER)).toBeDefined()
    expect(net.count()).toBe(1)
  })

  it('for the first time by several at once, one asks and waits, and nobody goes there untested', async () => {
    const { release } = withheld()
    const urls = [locate(), locate(OTHER), locate()]
    expect(await Promise.race(urls)).toBeUndefined()
    release(503)
    expect(await Promise.all(urls)).toEqual([undefined, undefined, undefined])
    expect(net.count()).toBe(1)
  })

  it('again, nobody waits, and all go by what was known', async () => {
    await locate()
    const { release } = withheld()
    clock += 60 * SECOND
    expect(await locate(OTHER)).toBeDefined()
    expect(await locate()).toBeDefined()
    await vi.waitFor(() => expect(net.count()).toBe(2))
    expect(deferred).toHaveLength(1)
    release(403)
    await settle()
    expect(await locate()).toBeUndefined()
    expect(lines).toHaveLength(1)
  })
})

describe('storage that answers', () => {
  it('is asked again after 60 s and not before, whatever is wanted of it', async () => {
    await locate()
    clock += 60 * SECOND - 1
    for (const blob of [OTHER, BLOB]) expect(await locate(blob)).toBeDefined()
    expect([net.count(), deferred.length]).toEqual([1, 0])
    clock += 1
    const url = await locate(OTHER)
    await settle()
    expect(net.urls().slice(1)).toEqual([url])
    clock += 60 * SECOND - 1
    await locate()
    expect(net.count()).toBe(2)
  })

  it('but was not wanted for a whole period is as if nobody had asked it', async () => {
    await locate()
    const { release } = withheld()
    clock += 120 * SECOND
    const first = locate()
    await vi.waitFor(() => expect(net.count()).toBe(2))
    expect(await locate(OTHER)).toBeUndefined()
    release(403)
    expect(await first).toBeUndefined()
    expect(deferred).toHaveLength(0)
  })

  it('is still good when an object has gone that was seen, unless it is the first', async () => {
    const missing = (code: string) => async () =>
      new Response(`<Error><Code>${code}</Code></Error>`, { status: 404 })
    answer = missing('NoSuchKey')
    expect(await locate()).toBeUndefined()
    answer = ok
    clock += 30 * SECOND
    await locate()
    answer = missing('NoSuchKey')
    clock += 60 * SECOND
    await locate()
    await settle()
    expect(await locate(OTHER)).toBeDefined()
    expect(lines).toHaveLength(1)
    answer = missing('NoSuchBucket')
    clock += 60 * SECOND
    await locate()
    await settle()
    expect(await locate(OTHER)).toBeUndefined()
  })

  it('gives each client a URL of its own time', async () => {
    const first = await locate()
    clock += SECOND
    expect(await locate()).not.toBe(first)
  })

  it('and then fails, and recovers, is left and used again', async () => {
    await locate()
    answer = failing(500)
    clock += 60 * SECOND
    expect(await locate()).toBeDefined()
    await settle()
    expect(await locate()).toBeUndefined()
    answer = ok
    clock += 30 * SECOND
    expect(await locate()).toBeDefined()
    expect(net.count()).toBe(3)
    expect(lines).toHaveLength(1)
  })
})

it('a key of which there is no URL asks nobody and says nothing of storage', async () => {
  expect(await locate({ key: '../other' as StorageKey, size: 1 })).toBeUndefined()
  expect([net.count(), lines.length]).toEqual([0, 0])
  expect(await locate()).toBeDefined()
})
