// What a listing may cost: the memory that made-up questions take, and the time that one question takes.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { Listings } from '../../src/mirror/listings.ts'
import type { ListingsGiven } from '../../src/mirror/listings.ts'
import type { UpstreamRequest } from '../../src/upstream/client.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import { SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'

const WITHIN = 12 * SECOND

let clock: Clock

beforeEach(() => {
  clock = stopClock()
})

afterEach(() => {
  vi.restoreAllMocks()
})

interface Stage {
  readonly listings: Listings
  /** What the upstream was asked. */
  readonly requests: UpstreamRequest[]
  readonly tag: ReturnType<typeof vi.fn<ListingsGiven['ledger']['tag']>>
}

/** Listings of a repository of which nothing is known, from an upstream that answers so. */
function stage(answer: (request: UpstreamRequest) => Response, memory?: number): Stage {
  const { client } = connect(upstreamFrom(), { network: network({}) })
  const requests: UpstreamRequest[] = []
  vi.spyOn(UpstreamClient.prototype, 'send').mockImplementation((request) => {
    requests.push(request)
    return Promise.resolve(answer(request))
  })
  const tag = vi
    .fn<ListingsGiven['ledger']['tag']>()
    .mockResolvedValue({ ok: false, failure: { kind: 'not-found' } })
  const listings = new Listings(
    {
      name: { host: 'one.test', repository: repository('a/b') },
      client,
      records: { isEmpty: true, tags: () => [], referrers: () => [] },
      ledger: { tag },
      now: clock.now,
    },
    memory,
  )
  return { listings, requests, tag }
}

const digest = (n: number): Digest =>
  parseDigest(`sha256:${String(n).padStart(64, '0')}`) ?? expect.fail('no digest')
const tagList = (...tags: readonly string[]) => Response.json({ tags })
const index = (headers: Record<string, string> = {}) =>
  new Response('{"schemaVersion":2,"manifests":[]}', {
    headers: { 'content-type': MEDIA_TYPE.OCI_INDEX, ...headers },
  })

describe('memory', () => {
  it.each([
    {
      name: 'empty lists of tags after made-up values',
      answer: () => tagList(),
      ask: ({ listings }: Stage, n: number) => listings.tags({ n: 1, last: `made-up-${n}` }),
    },
    {
      name: 'lists of tags after long values',
      answer: () => tagList('z'),
      ask: ({ listings }: Stage, n: number) =>
        listings.tags({ n: 1, last: String(n).padStart(128, 'a') }),
    },
    {
      name: 'empty lists of referrers of made-up digests',
      answer: () => index(),
      ask: ({ listings }: Stage, n: number) => listings.referrers(digest(n)),
    },
  ])('$name are counted', async ({ answer, ask }) => {
    const set = stage(answer, 20_000)
    for (let n = 0; n < 100; n++) await ask(set, n)
    expect(await ask(set, 99)).toMatchObject({ ok: true, outcome: 'hit' })
    expect(await ask(set, 0)).toMatchObject({ ok: true, outcome: 'fill' })
  })

  it.each([
    { name: 'an empty one is not', tags: [], want: { ok: false } },
    { name: 'another is', tags: ['z'], want: { ok: true, items: ['z'], outcome: 'stale' } },
  ])('a list outlives its 30 s: $name', async ({ tags, want }) => {
    let isDown = false
    const { listings } = stage(() => {
      if (isDown) {
        throw new UpstreamError({ kind: 'unavailable', isTimeout: false, reason: 'refused' })
      }
      return tagList(...tags)
    })
    const page = { n: 1, last: 'y' }
    await listings.tags(page)
    isDown = true
    clock.advance(30 * SECOND - 1)
    expect(await listings.tags(page)).toMatchObject({ ok: true, outcome: 'hit' })
    clock.advance(1)
    expect(await listings.tags(page)).toMatchObject(want)
  })

  it.each([
    { length: 128, outcome: 'hit', count: 1 },
    { length: 129, outcome: 'direct', count: 2 },
  ])('the list after a `last` of $length characters: $outcome', async ({ length, ...want }) => {
    const { listings, requests } = stage(() => tagList('z'))
    const page = { n: 1, last: 'a'.repeat(length) }
    await listings.tags(page)
    expect(await listings.tags(page)).toMatchObject({ items: ['z'], outcome: want.outcome })
    expect(requests).toHaveLength(want.count)
    // All of it is asked for.
    expect(requests[0]?.path).toContain(page.last)
  })
})

describe('time', () => {
  const late = { ok: false, failure: { kind: 'unavailable', isTimeout: true } }

  it('pages of referrers share one deadline, and none is asked for after it', async () => {
    const { listings, requests, tag } = stage(() => {
      clock.advance(5 * SECOND)
      return index({ link: '<?last=x>; rel="next"' })
    })
    const start = clock.now()
    expect(await listings.referrers(digest(1))).toMatchObject(late)
    expect(requests.map(({ deadline }) => deadline - start)).toEqual([WITHIN, WITHIN, WITHIN])
    expect(tag).not.toHaveBeenCalled()
  })

  it.each([
    {
      name: 'is asked for in the time that is left',
      after: WITHIN - 1,
      asked: 1,
      want: { ok: true, items: [] },
    },
    { name: 'is not asked for when none is left', after: WITHIN, asked: 0, want: late },
  ])('the referrers tag $name', async ({ after, asked, want }) => {
    const { listings, tag } = stage(() => {
      clock.advance(after)
      return new Response('{}', { headers: { 'content-type': 'text/html' } })
    })
    expect(await listings.referrers(digest(1))).toMatchObject(want)
    expect(tag).toHaveBeenCalledTimes(asked)
  })

  it('the referrers tag is not waited for longer than that', async () => {
    const { listings, tag } = stage(() => {
      clock.advance(WITHIN - 1)
      return new Response('{}', { headers: { 'content-type': 'text/html' } })
    })
    tag.mockReturnValue(new Promise(() => undefined))
    expect(await listings.referrers(digest(1))).toMatchObject(late)
  })

  it.each([
    { name: 'tags', ask: ({ listings }: Stage) => listings.tags({ n: 1, last: undefined }) },
    { name: 'referrers', ask: ({ listings }: Stage) => listings.referrers(digest(1)) },
  ])(
    'a body of $name that stalls has what its headers have left',
    async ({ ask }) => {
      const headers = { 'content-type': MEDIA_TYPE.OCI_INDEX }
      const set = stage(() => {
        clock.advance(WITHIN - 1)
        return new Response(new ReadableStream(), { headers })
      })
      expect(await ask(set)).toMatchObject(late)
      // A body with a time of its own would still be waited for.
    },
    5000,
  )
})
