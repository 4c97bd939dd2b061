// end-8 and end-12 as the distribution spec has them, and what the suites of v1.0.1, v1.1.0 and v1.1.1 assert of
// them: the tags of a hosted repository, and who refers to a manifest.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nextOf, refusalOf } from '../support/answer.ts'
import {
  CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  contentOf,
  descriptorOf,
  encode,
  indexOf,
  manifestOf,
  noise,
  startHosted,
} from '../support/hosted-registry.ts'
import type { Content, Extras, HostedRegistry, Named } from '../support/hosted-registry.ts'

const TAGS = '/v2/hosted/a/tags/list'
const REFERRERS = '/v2/hosted/a/referrers'
const ABSENT = `sha256:${'a'.repeat(64)}`

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(async () => {
  await reset()
})

describe('end-8: the tags', () => {
  /** As they were pushed, and as they are listed: capitals before small letters, by byte. */
  const PUSHED = ['b', 'a', 'B', '10', '2', '_', 'a-1', 'a.1', 'A']
  const LISTED = ['10', '2', 'A', 'B', '_', 'a', 'a-1', 'a.1', 'b']

  beforeEach(async () => {
    const image = await registry.pushImage('hosted/a')
    const query = PUSHED.map((tag) => `tag=${tag}`).join('&')
    await registry.putManifest(`/v2/hosted/a/manifests/${image.digest}?${query}`, image.bytes)
  })

  it.each([
    { name: 'all of them in ASCII order', query: '', want: LISTED },
    { name: 'as many as n', query: '?n=4', want: LISTED.slice(0, 4), isMore: true },
    { name: 'exactly as many as there are', query: '?n=9', want: LISTED },
    { name: 'fewer than n', query: '?n=1000000', want: LISTED },
    { name: 'none with n=0, and no Link', query: '?n=0', want: [] },
    { name: 'after last', query: '?last=B', want: LISTED.slice(4) },
    { name: 'after a last that is no tag of it', query: '?last=Az', want: LISTED.slice(3) },
    { name: 'after the last one', query: '?last=b', want: [] },
    {
      name: 'as many as n after last',
      query: '?n=4&last=A',
      want: LISTED.slice(3, 7),
      isMore: true,
    },
    { name: 'the last page', query: '?n=4&last=a-1', want: LISTED.slice(7) },
  ])('are $name', async ({ query, want, isMore = false }) => {
    const answer = await registry.get(TAGS + query)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(nextOf(answer) !== undefined).toBe(isMore)
    expect(answer.headers.has('link')).toBe(isMore)
    expect(await answer.json()).toEqual({ name: 'hosted/a', tags: want })
  })

  it.each([1, 4])('follow Link by %i to the end, each once', async (n) => {
    const seen: string[] = []
    let next: string | undefined = `${TAGS}?n=${n}`
    while (next !== undefined && seen.length <= LISTED.length) {
      const answer: Response = await registry.get(next)
      const { tags }: { tags: string[] } = await answer.json()
      seen.push(...tags)
      next = nextOf(answer)
    }
    expect(seen).toEqual(LISTED)
  })

  it.each(['-1', 'x', '1.5', ''])('n=%s is 400', async (n) => {
    expect(await refusalOf(await registry.get(`${TAGS}?n=${n}`))).toBe('400 UNSUPPORTED')
  })

  it('are fewer as soon as one is deleted, and an empty list when all are', async () => {
    for (const [index, tag] of LISTED.entries()) {
      await registry.send('DELETE', `/v2/hosted/a/manifests/${tag}`)
      const { tags }: { tags: string[] } = await (await registry.get(TAGS)).json()
      expect(tags).toEqual(LISTED.slice(index + 1))
    }
  })

  it('are gone with their manifest', async () => {
    const other = await registry.pushImage('hosted/a', { seed: 2, reference: 'other' })
    const digest = (await registry.head('/v2/hosted/a/manifests/a')).headers.get(
      'docker-content-digest',
    )
    await registry.send('DELETE', `/v2/hosted/a/manifests/${digest}`)
    expect(await (await registry.get(TAGS)).json()).toEqual({ name: 'hosted/a', tags: ['other'] })
    expect((await registry.get(`/v2/hosted/a/manifests/${other.digest}`)).status).toBe(200)
  })
})

it('end-8: a repository that nobody pushed to is 404', async () => {
  const answer = await registry.get('/v2/hosted/nobody/tags/list')
  expect(await refusalOf(answer)).toBe('404 NAME_UNKNOWN')
})

/** Pushes a manifest that refers to the subject; its descriptor as it is to be listed. */
async function refer(
  subject: Named,
  extras: Extras & { readonly config?: string; readonly repository?: string } = {},
): Promise<Named> {
  const { config: mediaType = CONFIG, repository = 'hosted/a', ...more } = extras
  const config = { ...(await registry.pushBlob(repository, await noise(10))), mediaType }
  const manifest = await contentOf(encode(manifestOf(config, [], { ...more, subject })))
  const path = `/v2/${repository}/manifests/${manifest.digest}`
  expect((await registry.putManifest(path, manifest.bytes)).status).toBe(201)
  const { annotations, artifactType = mediaType } = more
  return {
    ...descriptorOf(manifest),
    artifactType,
    ...(annotations !== undefined && { annotations }),
  }
}

async function listed(digest: string, query = ''): Promise<readonly Named[]> {
  const answer = await registry.get(`${REFERRERS}/${digest}${query}`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(OCI_INDEX)
  const { manifests, ...rest }: { manifests: Named[] } = await answer.json()
  expect(rest).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX })
  return manifests
}

const byDigest = (all: readonly Named[]): readonly Named[] =>
  all.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))

describe('end-12: the referrers', () => {
  let image: Content
  let subject: Named

  beforeEach(async () => {
    image = await registry.pushImage('hosted/a')
    subject = descriptorOf(image)
  })

  it('are described by digest, type and all annotations, and nothing else', async () => {
    const annotations = { canary: '', 'org.opencontainers.image.title': 'ä' }
    const expected = [
      await refer(subject, { artifactType: 'application/vnd.canary', annotations }),
      await refer(subject, { config: 'application/vnd.canary.config' }),
    ]
    expect(byDigest(await listed(image.digest))).toEqual(byDigest(expected))
  })

  it('are indexes too, which without an artifactType have none', async () => {
    const plain = await contentOf(encode(indexOf([], { subject })))
    const typed = await contentOf(encode(indexOf([], { subject, artifactType: 'a/b' })))
    for (const { digest, bytes } of [plain, typed]) {
      await registry.putManifest(`/v2/hosted/a/manifests/${digest}`, bytes, OCI_INDEX)
    }
    const expected = [
      descriptorOf(plain, OCI_INDEX),
      { ...descriptorOf(typed, OCI_INDEX), artifactType: 'a/b' },
    ]
    expect(byDigest(await listed(image.digest))).toEqual(byDigest(expected))
  })

  it('of a subject that is pushed after them, or deleted and pushed again, stay', async () => {
    const other = await contentOf(encode(indexOf([])))
    const expected = [await refer(descriptorOf(other, OCI_INDEX))]
    const path = `/v2/hosted/a/manifests/${other.digest}`
    expect(await listed(other.digest)).toEqual(expected)
    await registry.putManifest(path, other.bytes, OCI_INDEX)
    expect(await listed(other.digest)).toEqual(expected)
    await registry.send('DELETE', path)
    expect(await listed(other.digest)).toEqual(expected)
    await registry.putManifest(path, other.bytes, OCI_INDEX)
    expect(await listed(other.digest)).toEqual(expected)
  })

  it('stay the same where a client keeps them under the referrers tag too', async () => {
    const expected = [await refer(subject)]
    const index = encode(indexOf(expected))
    const tag = image.digest.replace(':', '-')
    await registry.putManifest(`/v2/hosted/a/manifests/${tag}`, index, OCI_INDEX)
    expect(await listed(image.digest)).toEqual(expected)
  })

  it('are gone once deleted', async () => {
    const [first, second] = [
      await refer(subject),
      await refer(subject, { annotations: { n: '2' } }),
    ]
    await registry.send('DELETE', `/v2/hosted/a/manifests/${first.digest}`)
    expect(await listed(image.digest)).toEqual([second])
  })

  it('of another repository are not listed', async () => {
    await refer(subject, { repository: 'hosted/b' })
    expect(await listed(image.digest)).toEqual([])
  })

  it('by another digest of the same bytes are another’s', async () => {
    const { digest } = await contentOf(image.bytes, 'sha512')
    const expected = await refer({ ...subject, digest })
    expect(await listed(image.digest)).toEqual([])
    expect(await listed(digest)).toEqual([expected])
  })

  it.each([
    { name: 'of what is not there', path: `${REFERRERS}/${ABSENT}` },
    {
      name: 'in a repository that nobody pushed to',
      path: `/v2/hosted/nobody/referrers/${ABSENT}`,
    },
  ])('$name are an empty index', async ({ path }) => {
    const answer = await registry.get(path)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, OCI_INDEX])
    expect(await answer.json()).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })
  })

  it.each(['sha256:totallywrong', 'latest'])('of %s are 400', async (digest) => {
    const answer = await registry.get(`${REFERRERS}/${digest}`)
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
  })
})

describe('end-12b: referrers by artifactType', () => {
  const TYPES = ['application/vnd.a+json', 'application/vnd.b', 'application/vnd.c'] as const

  it.each([
    { name: 'one', query: '?artifactType=application%2Fvnd.b', want: [1] },
    { name: 'one with a plus', query: '?artifactType=application%2Fvnd.a%2Bjson', want: [0] },
    {
      name: 'one whose plus came as it is',
      query: '?artifactType=application/vnd.a+json',
      want: [0],
    },
    {
      name: 'several: any of them',
      query: `?artifactType=${TYPES[1]}&artifactType=${TYPES[2]}`,
      want: [1, 2],
    },
    { name: 'one that nobody has', query: '?artifactType=a/b', want: [] },
  ])('$name, and OCI-Filters-Applied says so', async ({ query, want }) => {
    const subject = descriptorOf(await registry.pushImage('hosted/a'))
    const all: Named[] = []
    for (const artifactType of TYPES) all.push(await refer(subject, { artifactType }))
    const filtered = byDigest(all.filter((_, index) => want.includes(index)))
    expect(byDigest(await listed(subject.digest, query))).toEqual(filtered)
    const answer = await registry.get(`${REFERRERS}/${subject.digest}${query}`)
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
  })

  it('finds those that have their type from their config', async () => {
    const subject = descriptorOf(await registry.pushImage('hosted/a'))
    const expected = await refer(subject, { config: 'application/vnd.b' })
    expect(await listed(subject.digest, `?artifactType=${TYPES[1]}`)).toEqual([expected])
  })

  it('not asked for: no OCI-Filters-Applied', async () => {
    const answer = await registry.get(`${REFERRERS}/${ABSENT}`)
    expect(answer.headers.has('oci-filters-applied')).toBe(false)
  })
})

it('end-12: more than a manifest may hold come in pages that Link joins, each below 4 MiB, the filter kept', async () => {
  const subject = { mediaType: OCI_MANIFEST, digest: ABSENT, size: 3 }
  const expected: string[] = []
  for (let index = 0; index < 6; index++) {
    const annotations = { padding: String(index).repeat(1_000_000) }
    const artifactType = index === 0 ? 'a/other' : 'a/b'
    const { digest } = await refer(subject, { artifactType, annotations })
    if (index > 0) expected.push(digest)
  }
  const seen: string[] = []
  let pages = 0
  let next: string | undefined = `${REFERRERS}/${ABSENT}?artifactType=a%2Fb`
  while (next !== undefined && pages < 10) {
    const answer: Response = await registry.get(next)
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
    const text = await answer.text()
    expect(new TextEncoder().encode(text).byteLength).toBeLessThan(4 * 1024 * 1024)
    const { manifests }: { manifests: Named[] } = JSON.parse(text)
    seen.push(...manifests.map(({ digest }) => digest))
    next = nextOf(answer)
    pages += 1
  }
  expect(pages).toBe(2)
  expect(seen.toSorted()).toEqual(expected.toSorted())
})
