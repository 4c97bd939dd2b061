// Tags and referrers through the mirror: no entry lost or doubled at any page size of anybody (T145), links
// that lead back here (T147), and what is said while the upstream is down (T149).

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { RegistryOptions } from '../../cli/upstream-registry.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { referrersTag } from '../../src/oci/referrers.ts'
import { nextOf, refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Host } from '../support/network.ts'

const LIST = '/v2/one.test/a/b/tags/list'
const AWKWARD = [
  '0',
  '00',
  '1.0',
  '10',
  '2',
  'A',
  'B-1',
  'Z',
  '_',
  '_a',
  'a',
  'a-b',
  'a.b',
  'a_b',
  'aa',
  'latest',
  'v1',
  'v1.0',
  'v10',
  'v2',
  'x'.repeat(128),
]

let clock: Clock
let image: SampleManifest

beforeEach(async () => {
  clock = stopClock()
  image = await sampleImage({ layers: [64] })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function start(options: RegistryOptions = {}): Promise<SampleUpstream> {
  const upstream = startUpstream(options)
  goOnline({ 'one.test': upstream })
  await addSample(upstream, 'a/b', image)
  for (const tag of AWKWARD) upstream.setTag('a/b', tag, image.digest)
  return upstream
}

/** Every page from `path` on, by following `Link`. */
async function pages(path: string): Promise<string[][]> {
  const { get } = isolate()
  const found: string[][] = []
  for (let next: string | undefined = path; next !== undefined;) {
    expect(found.length).toBeLessThan(100)
    const answer = await get(next)
    expect(answer.status).toBe(200)
    const { name, tags }: { name: string; tags: string[] } = JSON.parse(await answer.text())
    expect(name).toBe('a/b')
    found.push(tags)
    next = nextOf(answer)
  }
  return found
}

describe('T145: pages', () => {
  it.each([1, 2, 3, 5, 7, AWKWARD.length - 1, AWKWARD.length, 1000, 9_999_999])(
    'of %d: every tag once, in order',
    async (n) => {
      await start()
      const found = await pages(`${LIST}?n=${n}`)
      expect(found.flat()).toEqual(AWKWARD)
      expect(found.slice(0, -1).every(({ length }) => length === n)).toBe(true)
    },
  )

  it.each<{ name: string; options: RegistryOptions }>([
    { name: 'gives at most 4', options: { pageSize: 4 } },
    { name: 'gives one', options: { pageSize: 1 } },
    { name: 'gives at most 4 and links absolutely', options: { pageSize: 4, absoluteLinks: true } },
  ])('of an upstream that $name: every tag once', async ({ options }) => {
    await start(options)
    for (const query of ['', '?n=1', '?n=3', '?n=4', '?n=6', '?n=1000']) {
      expect((await pages(LIST + query)).flat()).toEqual(AWKWARD)
    }
  })

  const everything = (upstream: SampleUpstream): Host => {
    return (url, init) => upstream.fetch(url.replace(/(tags\/list)\?.*/, '$1'), init)
  }
  const unsorted = (): Host => (url) =>
    Promise.resolve(
      url.includes('tags/list')
        ? Response.json({ name: 'a/b', tags: [...AWKWARD.toReversed(), 'a', 'v1'] })
        : Response.json({}),
    )

  it.each([
    { name: 'ignores the query', host: everything },
    { name: 'ignores the query and the order, and repeats itself', host: unsorted },
  ])('of an upstream that $name: every tag once, in order', async ({ host }) => {
    goOnline({ 'one.test': host(await start()) })
    for (const query of ['', '?n=1', '?n=4', '?n=1000']) {
      expect((await pages(LIST + query)).flat()).toEqual(AWKWARD)
    }
    expect((await pages(`${LIST}?n=4&last=a`)).flat()).toEqual(
      AWKWARD.slice(AWKWARD.indexOf('a') + 1),
    )
  })

  it.each([
    { query: '?last=a', want: AWKWARD.slice(AWKWARD.indexOf('a') + 1) },
    { query: '?last=a%2Bb', want: AWKWARD.slice(AWKWARD.indexOf('a') + 1) },
    { query: '?last=zzz', want: [] },
    { query: '?last=', want: AWKWARD },
    { query: '?n=2&last=B-1', want: ['Z', '_'] },
    { query: '?n=0', want: [] },
    { query: '?n=0&last=a', want: [] },
  ])('$query: exclusive, and need not exist', async ({ query, want }) => {
    await start()
    const answer = await isolate().get(LIST + query)
    expect(await answer.json()).toEqual({ name: 'a/b', tags: want })
    expect(nextOf(answer) === undefined).toBe(!query.startsWith('?n=2'))
  })

  it.each(['n=-1', 'n=x', 'n=1.5', 'n=', 'n=1e3', 'n=99999999999999999999'])(
    '?%s: 400',
    async (query) => {
      const upstream = await start()
      expect(await refusalOf(await isolate().get(`${LIST}?${query}`))).toBe('400 UNSUPPORTED')
      expect(upstream.requests).toEqual([])
    },
  )

  it('T147: Link keeps n and encodes last; of the upstream’s link nothing but the query is used', async () => {
    const upstream = await start({ absoluteLinks: true })
    upstream.fault({
      on: { kind: 'tags' },
      do: {
        headers: { link: '<https://evil.test/v2/c/d/tags/list?last=a%2F%3E&n=7>; rel="next"' },
      },
    })
    const answer = await isolate().get(`${LIST}?n=50`)
    expect(answer.headers.get('link')).toBe(`<${LIST}?n=50&last=a%2F%3E>; rel="next"`)
  })

  it('a client’s n never asks the upstream for more than 1000', async () => {
    const upstream = await start()
    await isolate().get(`${LIST}?n=5000`)
    expect(asked(upstream)).toContain('GET /v2/a/b/tags/list?n=1000')
  })

  it.each([
    { name: 'null', body: '{"name":"a/b","tags":null}', want: [] },
    { name: 'missing', body: '{"name":"a/b"}', want: [] },
    { name: 'of any kind', body: '{"tags":["ok",1,null,"no/tag","<b>",{}]}', want: ['ok'] },
  ])('tags that are $name', async ({ body, want }) => {
    const upstream = await start()
    upstream.fault({ on: { kind: 'tags' }, do: { body } })
    expect(await (await isolate().get(LIST)).json()).toEqual({ name: 'a/b', tags: want })
  })

  it.each([
    { name: 'HTML', do: { body: '<html>', contentType: 'text/html' } },
    { name: 'a list', do: { body: '[]' } },
    { name: 'no list of tags', do: { body: '{"tags":"a"}' } },
    { name: 'more than 8 MiB', do: { body: `{"tags":["${'a'.repeat(8 * 1024 * 1024)}"]}` } },
  ])('an answer that is $name: 502', async (row) => {
    const upstream = await start()
    upstream.fault({ on: { kind: 'tags' }, do: row.do })
    expect(await refusalOf(await isolate().get(LIST))).toBe('502 UNKNOWN')
  })
})

describe('what the upstream is asked', () => {
  it('once in 30 s for each page, whoever asks', async () => {
    const upstream = await start()
    const ask = async () => (await isolate().get(`${LIST}?n=3`)).headers.get('cache-status')
    expect(await ask()).toBe('entrepot; fwd=miss; stored')
    upstream.forget()
    clock.advance(30 * SECOND - 1)
    expect(await ask()).toBe('entrepot; hit')
    expect(upstream.requests).toEqual([])
    clock.advance(1)
    expect(await ask()).toBe('entrepot; fwd=miss; stored')
  })

  it('once for 40 clients at once', async () => {
    const upstream = await start()
    await Promise.all(Array.from({ length: 40 }, () => isolate().get(LIST)))
    expect(upstream.count({ kind: 'tags' })).toBe(1)
  })

  it.each([
    { status: 404, want: '404 NAME_UNKNOWN' },
    { status: 401, want: '403 DENIED' },
    { status: 403, want: '403 DENIED' },
    { status: 429, want: '429 TOOMANYREQUESTS' },
    { status: 500, want: '502 UNKNOWN' },
  ])('its $status is $want', async ({ status, want }) => {
    const upstream = await start()
    upstream.fault({ on: { kind: 'tags' }, do: { status, body: '<html>' } })
    expect(await refusalOf(await isolate().get(LIST))).toBe(want)
    const head = await isolate().head(LIST)
    expect(head.status).toBe(Number(want.slice(0, 3)))
    expect(head.body).toBeNull()
  })
})

describe('T149: the upstream is down', () => {
  async function pullTags(...tags: readonly string[]): Promise<void> {
    const { get, settle } = isolate()
    for (const tag of tags) await get(`/v2/one.test/a/b/manifests/${tag}`)
    await settle()
  }

  it.each([
    { name: 'refused', break: (upstream: SampleUpstream) => upstream.stop() },
    {
      name: '503',
      break: (upstream: SampleUpstream) => void upstream.fault({ do: { status: 503 } }),
    },
    {
      name: '429',
      break: (upstream: SampleUpstream) => void upstream.fault({ do: { status: 429 } }),
    },
  ])('$name: the tags that are known here, said to be no more than that', async (row) => {
    const upstream = await start()
    await pullTags('v2', 'a', 'Z')
    row.break(upstream)
    const answer = await isolate().get(LIST)
    expect(await answer.json()).toEqual({ name: 'a/b', tags: ['Z', 'a', 'v2'] })
    expect(answer.headers.get('warning')).toBe(
      '110 - "Response is Stale", 299 - "one.test cannot be asked: this list holds only what is known here"',
    )
    expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=stale')
    await evictAllDurableObjects()
    expect((await pages(`${LIST}?n=1`)).flat()).toEqual(['Z', 'a', 'v2'])
  })

  it('the page as it was before, if this page was asked for', async () => {
    const upstream = await start()
    await pullTags('v1')
    const before = await pages(`${LIST}?n=6`)
    upstream.stop()
    clock.advance(MINUTE)
    expect(await pages(`${LIST}?n=6`)).toEqual(before)
  })

  it('nothing known: an outage, not an empty list and not 404', async () => {
    const upstream = await start()
    upstream.stop()
    expect(await refusalOf(await isolate().get(LIST))).toBe('502 UNKNOWN')
    expect(await refusalOf(await isolate().get(`/v2/one.test/a/b/referrers/${image.digest}`))).toBe(
      '502 UNKNOWN',
    )
  })

  it.each([
    { name: 'deleted', status: 404, want: '404 NAME_UNKNOWN' },
    { name: 'closed', status: 403, want: '403 DENIED' },
  ])('what is known is not served of a repository that was $name', async ({ status, want }) => {
    const upstream = await start()
    await pullTags('v1')
    await isolate().get(LIST)
    clock.advance(MINUTE)
    upstream.fault({ do: { status } })
    expect(await refusalOf(await isolate().get(LIST))).toBe(want)
  })

  it('nor of a private repository whose login is refused', async () => {
    const accounts: Record<string, string> = { mirror: 'canary-password' }
    const upstream = startUpstream({ authentication: { accounts, isPrivate: () => true } })
    goOnline({ 'login.test': upstream })
    await addSample(upstream, 'closed/x', image, 'v1')
    const granted = { ANONYMOUS: [{ repositories: ['**'], actions: ['pull'] }] }
    const list = '/v2/login.test/closed/x/tags/list'
    expect(await (await isolate(granted).get(list)).json()).toMatchObject({ tags: ['v1'] })
    accounts['mirror'] = 'another'
    upstream.expireTokens()
    clock.advance(10 * MINUTE)
    expect(await refusalOf(await isolate(granted).get(list))).toBe('403 DENIED')
  })
})

describe('referrers', () => {
  const path = () => `/v2/one.test/a/b/referrers/${image.digest}`

  async function attach(
    upstream: SampleUpstream,
    types: readonly string[],
  ): Promise<SampleManifest[]> {
    const subject = image.descriptor
    const made: SampleManifest[] = []
    for (const [n, artifactType] of types.entries()) {
      const artifact = await sampleArtifact({
        subject,
        artifactType,
        annotations: { n: String(n) },
      })
      await addSample(upstream, 'a/b', artifact)
      made.push(artifact)
    }
    return made.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  }

  async function list(query = ''): Promise<{ digests: string[]; answer: Response }> {
    const answer = await isolate().get(path() + query)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe(MEDIA_TYPE.OCI_INDEX)
    const index: { schemaVersion: number; mediaType: string; manifests: { digest: string }[] } =
      JSON.parse(await answer.text())
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: MEDIA_TYPE.OCI_INDEX })
    return { digests: index.manifests.map(({ digest }) => digest), answer }
  }

  const digestsOf = (made: readonly SampleManifest[]) => made.map(({ digest }) => digest)

  it('end-12a: from the API, with what it says of each', async () => {
    const made = await attach(await start(), ['a/sig', 'a/sbom'])
    const { digests, answer } = await list()
    expect(digests).toEqual(digestsOf(made))
    expect(answer.headers.get('oci-filters-applied')).toBeNull()
    const index = await (await isolate().get(path())).json()
    expect(index).toMatchObject({
      manifests: made.map(({ digest, mediaType, bytes }) => ({
        digest,
        mediaType,
        size: bytes.length,
        artifactType: expect.stringMatching(/^a\//),
        annotations: { n: expect.any(String) },
      })),
    })
  })

  it.each([
    { name: 'pages of the API', options: { pageSize: 1 } },
    { name: 'pages of the API with absolute links', options: { pageSize: 2, absoluteLinks: true } },
    { name: 'an API that does not filter', options: { referrersFilter: false } },
  ])('$name: all of them, filtered here', async ({ options }) => {
    const made = await attach(await start(options), ['a/sig', 'a/sbom', 'b/x+json', 'a/sig'])
    expect((await list()).digests).toEqual(digestsOf(made))
    const { digests, answer } = await list('?artifactType=a/sig')
    expect(digests).toHaveLength(2)
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
  })

  it.each([
    { query: '?artifactType=b/x%2Bjson', count: 1 },
    { query: '?artifactType=b/x+json', count: 1 },
    { query: '?artifactType=a%2Fsig&artifactType=b/x%2Bjson', count: 2 },
    { query: '?artifactType=none/such', count: 0 },
  ])('end-12b: $query: $count', async ({ query, count }) => {
    await attach(await start(), ['a/sig', 'a/sbom', 'b/x+json'])
    const { digests, answer } = await list(query)
    expect(digests).toHaveLength(count)
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
  })

  it.each([
    { name: 'no API', options: { referrersAPI: false }, fault: undefined },
    {
      name: 'an API that answers a page',
      options: {},
      fault: { body: '<html>', contentType: 'text/html' },
    },
    { name: 'an API that answers JSON', options: {}, fault: { contentType: 'application/json' } },
    { name: 'an API that does not know the method', options: {}, fault: { status: 405 } },
  ])('$name: from the referrers tag', async ({ options, fault }) => {
    const upstream = await start(options)
    const [made] = await attach(upstream, ['a/sig'])
    const index = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.OCI_INDEX,
      manifests: [made?.descriptor],
    }
    await upstream.addManifest('a/b', new TextEncoder().encode(JSON.stringify(index)), {
      tag: referrersTag(image.digest),
    })
    if (fault !== undefined) upstream.fault({ on: { kind: 'referrers' }, do: fault })
    expect((await list()).digests).toEqual([made?.digest])
  })

  it.each([{ referrersAPI: false }, {}])(
    'none anywhere (%j): an empty index, 200',
    async (options) => {
      await start(options)
      expect((await list()).digests).toEqual([])
      expect((await list('?artifactType=a/sig')).digests).toEqual([])
    },
  )

  it('an API without an end, and one too large: 502', async () => {
    const upstream = await start()
    const link = `<${path()}?last=x>; rel="next"`
    const stop = upstream.fault({ on: { kind: 'referrers' }, do: { headers: { link } } })
    expect(await refusalOf(await isolate().get(path()))).toBe('502 UNKNOWN')
    expect(upstream.count({ kind: 'referrers' })).toBeLessThanOrEqual(50)
    stop()
    upstream.forget()
    // Each page is within the limit, all of them together are not.
    const filler = {
      schemaVersion: 2,
      manifests: [],
      annotations: { x: 'x'.repeat(3 * 1024 * 1024) },
    }
    upstream.fault({
      on: { kind: 'referrers' },
      do: { headers: { link }, body: JSON.stringify(filler) },
    })
    expect(await refusalOf(await isolate().get(path()))).toBe('502 UNKNOWN')
    expect(upstream.count({ kind: 'referrers' })).toBe(3)
  })

  it('the upstream is down: those that are known here', async () => {
    const upstream = await start()
    const [first, second] = await attach(upstream, ['a/sig', 'a/sbom'])
    const { get, settle } = isolate()
    await get(`/v2/one.test/a/b/manifests/${first?.digest}`)
    await settle()
    upstream.stop()
    const { digests, answer } = await list()
    expect(digests).toEqual([first?.digest])
    expect(answer.headers.get('warning')).toContain('only what is known here')
    expect(
      await isolate()
        .get(path())
        .then((again) => again.json()),
    ).toMatchObject({
      manifests: [{ ...first?.descriptor, artifactType: expect.any(String) }],
    })
    upstream.start()
    expect((await list()).digests).toEqual([first?.digest, second?.digest])
    upstream.stop()
    clock.advance(MINUTE)
    expect((await list()).digests).toEqual([first?.digest, second?.digest])
  })

  it('more than 3 MiB of them: pages here, whose links keep the filter', async () => {
    const many = Array.from({ length: 40 }, (_, n) => ({
      mediaType: MEDIA_TYPE.OCI_MANIFEST,
      digest: `sha256:${String(n).padStart(64, '0')}`,
      size: n,
      artifactType: n % 2 === 0 ? 'a/even+x' : 'a/odd',
      annotations: { x: 'x'.repeat(180_000) },
    }))
    const upstream = await start()
    const body = JSON.stringify({ schemaVersion: 2, manifests: many })
    upstream.fault({ on: { kind: 'referrers' }, do: { body, contentType: MEDIA_TYPE.OCI_INDEX } })
    const { get } = isolate()
    const found: string[] = []
    let count = 0
    for (
      let next: string | undefined = `${path()}?artifactType=a/even%2Bx&artifactType=a/odd`;
      next;
      count++
    ) {
      const answer = await get(next)
      expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
      const text = await answer.text()
      expect(text.length).toBeLessThan(4 * 1024 * 1024)
      const { manifests }: { manifests: { digest: string }[] } = JSON.parse(text)
      found.push(...manifests.map(({ digest }) => digest))
      next = nextOf(answer)
    }
    expect(found).toEqual(many.map(({ digest }) => digest))
    expect(count).toBe(3)
  })
})
