// Hints in KV are believed when they hash, and missed without complaint.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Log } from '../../src/seams.ts'
import { Hints } from '../../src/storage/hints.ts'
import type { ManifestHint } from '../../src/storage/hints.ts'
import { manifestHintKey, tagHintKey } from '../../src/storage/keys.ts'
import { silence } from '../support/broken.ts'
import { passDeadlines } from '../support/deadline.ts'
import { repository, tag } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const OTHER = { host: 'one.test', repository: repository('a/c') }
const LATEST = tag('latest')
const quiet: Log = () => undefined

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function hint(seed = 1, algorithm: 'sha256' | 'sha512' = 'sha256'): Promise<ManifestHint> {
  const bytes = sampleBytes(500, seed)
  const digest = await digestOf(bytes, algorithm)
  return { digest, mediaType: 'application/x', verifiedAt: 1234, bytes }
}

describe('a hint', () => {
  it.each(['sha256', 'sha512'] as const)('comes back as it was (%s)', async (algorithm) => {
    const hints = new Hints(env.HINTS, quiet)
    const one = await hint(1, algorithm)
    await hints.putTag(NAME, LATEST, one)
    await hints.putManifest(NAME, one)
    expect(await hints.getTag(NAME, LATEST)).toEqual(one)
    expect(await hints.getManifest(NAME, one.digest)).toEqual(one)
  })

  it('is that of its repository and its tag alone', async () => {
    const hints = new Hints(env.HINTS, quiet)
    const one = await hint()
    await hints.putTag(NAME, LATEST, one)
    await hints.putManifest(NAME, one)
    expect(await hints.getTag(OTHER, LATEST)).toBeUndefined()
    expect(await hints.getTag(NAME, tag('Latest'))).toBeUndefined()
    expect(await hints.getManifest(OTHER, one.digest)).toBeUndefined()
  })

  it('of a tag can be forgotten', async () => {
    const hints = new Hints(env.HINTS, quiet)
    await hints.putTag(NAME, LATEST, await hint())
    expect(await hints.deleteTag(NAME, LATEST)).toBe(true)
    expect(await hints.deleteTag(NAME, LATEST)).toBe(true)
    expect(await hints.getTag(NAME, LATEST)).toBeUndefined()
  })

  it('of a manifest can be forgotten', async () => {
    const hints = new Hints(env.HINTS, quiet)
    const one = await hint()
    await hints.putManifest(NAME, one)
    await hints.putTag(NAME, LATEST, one)
    expect(await hints.deleteManifest(NAME, one.digest)).toBe(true)
    expect(await hints.getManifest(NAME, one.digest)).toBeUndefined()
    expect(await hints.getTag(NAME, LATEST)).toBeDefined()
  })

  it('leaves KV after a month', async () => {
    const before = Date.now() / 1000
    await new Hints(env.HINTS, quiet).putTag(NAME, LATEST, await hint())
    const [key] = (await env.HINTS.list()).keys
    expect((key?.expiration ?? 0) - before).toBeGreaterThan(29 * 24 * 60 * 60)
    expect((key?.expiration ?? Infinity) - before).toBeLessThan(31 * 24 * 60 * 60)
  })

  it('costs one read', async () => {
    const read = vi.spyOn(env.HINTS, 'getWithMetadata')
    await new Hints(env.HINTS, quiet).getTag(NAME, LATEST)
    expect(read).toHaveBeenCalledOnce()
  })
})

describe('a hint is ignored', () => {
  it.each([
    {
      name: 'whose bytes are others',
      store: async (key: string) => {
        const { digest } = await hint(1)
        const metadata = { digest, mediaType: 'application/x', verifiedAt: 1 }
        await env.HINTS.put(key, sampleBytes(500, 2), { metadata })
      },
    },
    {
      name: 'whose bytes are cut',
      store: async (key: string) => {
        const { digest, bytes } = await hint(1)
        const metadata = { digest, mediaType: 'application/x', verifiedAt: 1 }
        await env.HINTS.put(key, bytes.subarray(0, 499), { metadata })
      },
    },
    {
      name: 'that names no digest',
      store: (key: string) => env.HINTS.put(key, sampleBytes(5), { metadata: { digest: 'x' } }),
    },
    {
      name: 'whose digest is a number',
      store: (key: string) => env.HINTS.put(key, sampleBytes(5), { metadata: { digest: 5 } }),
    },
    { name: 'without metadata', store: (key: string) => env.HINTS.put(key, sampleBytes(5)) },
    {
      name: 'whose metadata is a text',
      store: (key: string) => env.HINTS.put(key, sampleBytes(5), { metadata: 'x' }),
    },
    {
      name: 'that does not say when it was confirmed',
      store: async (key: string) => {
        const { digest, bytes } = await hint(1)
        await env.HINTS.put(key, bytes, { metadata: { digest, mediaType: 'application/x' } })
      },
    },
    {
      name: 'that has no media type',
      store: async (key: string) => {
        const { digest, bytes } = await hint(1)
        await env.HINTS.put(key, bytes, { metadata: { digest, verifiedAt: 1 } })
      },
    },
  ])('$name', async ({ store }) => {
    const hints = new Hints(env.HINTS, quiet)
    await store(await tagHintKey(NAME, LATEST))
    expect(await hints.getTag(NAME, LATEST)).toBeUndefined()
  })

  it('that is a good manifest, but not the one that was asked for', async () => {
    const [one, two] = [await hint(1), await hint(2)]
    const { digest, mediaType, verifiedAt, bytes } = two
    await env.HINTS.put(await manifestHintKey(NAME, one.digest), bytes, {
      metadata: { digest, mediaType, verifiedAt },
    })
    const hints = new Hints(env.HINTS, quiet)
    expect(await hints.getManifest(NAME, one.digest)).toBeUndefined()
  })
})

describe('when KV', () => {
  const FAILURES = [
    { name: 'fails', failure: () => Promise.reject(new Error('KV is away')), reason: 'KV is away' },
    { name: 'never answers', failure: silence, reason: 'KV does not answer' },
  ]

  it.each(FAILURES)('$name, nothing is thrown, and the log says so without a key', async (row) => {
    passDeadlines()
    const log = vi.fn<Log>()
    vi.spyOn(env.HINTS, 'getWithMetadata').mockImplementation(row.failure)
    vi.spyOn(env.HINTS, 'put').mockImplementation(row.failure)
    vi.spyOn(env.HINTS, 'delete').mockImplementation(row.failure)
    const hints = new Hints(env.HINTS, log)
    const one = await hint()
    expect(await hints.getTag(NAME, LATEST)).toBeUndefined()
    expect(await hints.getManifest(NAME, one.digest)).toBeUndefined()
    await hints.putTag(NAME, LATEST, one)
    await hints.putManifest(NAME, one)
    expect(await hints.deleteTag(NAME, LATEST)).toBe(false)
    expect(await hints.deleteManifest(NAME, one.digest)).toBe(false)
    expect(log.mock.calls.map(([event]) => event)).toEqual([
      'hint-read-failed',
      'hint-read-failed',
      'hint-write-failed',
      'hint-write-failed',
      'hint-delete-failed',
      'hint-delete-failed',
    ])
    for (const [, fields] of log.mock.calls) expect(fields?.['reason']).toContain(row.reason)
    expect(JSON.stringify(log.mock.calls)).not.toContain('a/b')
  })
})
