// Which repositories share a blob: those of a public upstream do, a private one has its own (design §2, "What
// may be read").

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { KiB, addSampleBlob, expectBytes, expectStored, keysIn } from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const
const EVERYBODY = { ANONYMOUS: [{ repositories: ['**'], actions: ['pull'] }] }
const SIZE = KiB

let upstream: SampleUpstream

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  upstream = startUpstream()
  goOnline({
    'one.test': upstream,
    'two.test': upstream,
    'private.test': upstream,
    'part.test': upstream,
  })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

interface Row {
  readonly name: string
  /** The repository that pulls first, and the one after it: `<host>/<repository>`. */
  readonly first: string
  readonly second: string
  readonly isShared: boolean
}

const ROWS: readonly Row[] = [
  { name: 'of one public upstream', first: 'one.test/a/b', second: 'one.test/c/d', isShared: true },
  { name: 'of two upstreams', first: 'one.test/a/b', second: 'two.test/c/d', isShared: false },
  {
    name: 'of one private upstream',
    first: 'private.test/a/b',
    second: 'private.test/c/d',
    isShared: false,
  },
  {
    name: 'public, then private',
    first: 'part.test/open/a',
    second: 'part.test/closed/a',
    isShared: false,
  },
  {
    name: 'private, then public',
    first: 'part.test/closed/a',
    second: 'part.test/open/a',
    isShared: false,
  },
]

describe('two repositories', () => {
  it.each(ROWS)('$name, shared: $isShared', async ({ first, second, isShared }) => {
    const [host, ...name] = first.split('/')
    const blob = await addSampleBlob(upstream, SIZE, { name: name.join('/') })
    const worker = isolate(EVERYBODY)
    const path = (repository: string) => `/v2/${repository}/blobs/${blob.digest}`
    expectBytes(await bytesOf(await worker.get(path(first))), blob.bytes)
    expect(await keysIn(`mirror/${host}/`)).toHaveLength(1)
    // The second repository has no such blob, and would be told so.
    const response = await worker.get(path(second))
    if (isShared) expectBytes(await bytesOf(response), blob.bytes)
    else expect(await refusalOf(response)).toBe('404 BLOB_UNKNOWN')
    expect(upstream.count(BLOB_GET)).toBe(isShared ? 1 : 2)
  })

  it('of a private upstream hold their bytes under their own names', async () => {
    const worker = isolate(EVERYBODY)
    const blobs = []
    for (const name of ['a/b', 'c/d']) {
      const blob = await addSampleBlob(upstream, SIZE, {
        host: 'private.test',
        name,
        isPrivate: true,
      })
      expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
      blobs.push(blob)
    }
    expect(await keysIn('mirror/')).toEqual(blobs.map(({ key }) => key))
  })

  it('without a grant are asked of nobody', async () => {
    const blob = await addSampleBlob(upstream, SIZE, { host: 'private.test' })
    expect(await refusalOf(await isolate().get(blob.path))).toBe('401 UNAUTHORIZED')
    expect(upstream.requests).toEqual([])
  })
})

describe('an upstream that turns private', () => {
  it('takes its bytes with it', async () => {
    const blob = await addSampleBlob(upstream, SIZE)
    await bytesOf(await isolate().get(blob.path))
    await expectStored(blob)
    upstream.deleteBlob(blob.name, blob.digest)
    const UPSTREAMS = { 'one.test': { url: 'https://one.test', private: true } }
    const closed = isolate({ UPSTREAMS, UPSTREAM_CREDENTIALS: '{}', ...EVERYBODY })
    expect(await refusalOf(await closed.get(blob.path))).toBe('404 BLOB_UNKNOWN')
    expect((await isolate().get(blob.path)).status).toBe(200)
  })
})
