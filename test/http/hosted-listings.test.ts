// Tags and referrers of a hosted repository over HTTP: every page size gives the same list, and a link leads on as
// the client came.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nextOf } from '../support/answer.ts'
import { contentOf, encode, indexOf, OCI_INDEX, startHosted } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'

const STEM = '/v2/hosted/app'

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(() => reset())

/** Puts tags on one manifest, a hundred at a time. */
async function tag(tags: readonly string[]): Promise<void> {
  const { bytes, digest } = await contentOf(encode(indexOf([])))
  for (let at = 0; at < tags.length; at += 100) {
    const query = tags.slice(at, at + 100).map((each) => `tag=${each}`)
    const path = `${STEM}/manifests/${digest}?${query.join('&')}`
    expect((await registry.putManifest(path, bytes, OCI_INDEX)).status).toBe(201)
  }
}

/** All tags from `path` on, page after page; no page has more than `n`. */
async function walk(path: string, n: number): Promise<string[]> {
  const found: string[] = []
  for (let next: string | undefined = path; next !== undefined;) {
    const answer = await registry.get(next)
    expect(answer.status).toBe(200)
    const { tags }: { tags: string[] } = JSON.parse(await answer.text())
    expect(tags.length).toBeLessThanOrEqual(n)
    found.push(...tags)
    next = nextOf(answer)
  }
  return found
}

describe('T145: 5000 tags, with all that sorts oddly', () => {
  const odd = [
    'a',
    'a-b',
    'a.b',
    'a_b',
    'A',
    'A-b',
    '_a',
    'ab',
    'a0',
    '0.1.2',
    '0.1.20',
    '0.1.2-rc',
    'Z',
  ]
  const all = [...Array.from({ length: 5000 - odd.length }, (_, n) => `v${n}`), ...odd]
  const sorted = all.toSorted((a, b) => (a < b ? -1 : 1))

  it('whatever the size of a page, each once and in the order of bytes', async () => {
    await tag(all)
    const whole = await registry.get(`${STEM}/tags/list`)
    expect(nextOf(whole)).toBeUndefined()
    expect(JSON.parse(await whole.text())).toEqual({ name: 'hosted/app', tags: sorted })
    for (const n of [49, 50, 51, 999, 1000, 1001, 2499, 2500, 2501, 4999, 5000, 5001, 1e9]) {
      expect([n, await walk(`${STEM}/tags/list?n=${n}`, n)]).toEqual([n, sorted])
    }
    // One and two at a time, where the list begins and where it ends.
    for (const n of [1, 2, 3]) {
      const last = sorted.at(-20) ?? ''
      expect(await walk(`${STEM}/tags/list?n=${n}&last=${last}`, n)).toEqual(sorted.slice(-19))
      const first = await registry.get(`${STEM}/tags/list?n=${n}`)
      expect(JSON.parse(await first.text()).tags).toEqual(sorted.slice(0, n))
      expect(nextOf(first)).toBe(`${STEM}/tags/list?n=${n}&last=${sorted[n - 1]}`)
    }
    // After every one of the odd ones, as a value.
    for (const last of odd) {
      const answer = await registry.get(`${STEM}/tags/list?n=3&last=${last}`)
      const at = sorted.indexOf(last)
      expect(JSON.parse(await answer.text()).tags).toEqual(sorted.slice(at + 1, at + 4))
    }
  })
})

describe('T112: n', () => {
  it.each(['-1', '1.5', 'abc', '', '9223372036854775808'])('%j: 400', async (n) => {
    await tag(['a'])
    expect((await registry.get(`${STEM}/tags/list?n=${n}`)).status).toBe(400)
  })

  it('0: none, and no link', async () => {
    await tag(['a', 'b'])
    const answer = await registry.get(`${STEM}/tags/list?n=0`)
    expect(await answer.json()).toEqual({ name: 'hosted/app', tags: [] })
    expect(answer.headers.get('link')).toBeNull()
  })
})

describe('T147: referrers', () => {
  const subject = { mediaType: OCI_INDEX, digest: `sha256:${'5'.repeat(64)}`, size: 1 }
  const path = `${STEM}/referrers/${subject.digest}`

  it('a link keeps every filter and encodes what it must', async () => {
    const text = 'x'.repeat(900_000)
    const digests: string[] = []
    for (let n = 0; n < 5; n++) {
      const artifactType = n % 2 ? 'application/vnd.b+json' : 'application/vnd.a+json'
      const document = indexOf([], { subject, artifactType, annotations: { n: String(n), text } })
      const { bytes, digest } = await contentOf(encode(document))
      const answer = await registry.putManifest(`${STEM}/manifests/${digest}`, bytes, OCI_INDEX)
      expect(answer.headers.get('oci-subject')).toBe(subject.digest)
      digests.push(digest)
    }
    const query = 'artifactType=application%2Fvnd.a%2Bjson&artifactType=application%2Fvnd.b+json'
    const first = await registry.get(`${path}?${query}`)
    expect(first.headers.get('oci-filters-applied')).toBe('artifactType')
    const found: string[] = []
    for (let answer = first; ;) {
      const bytes = await answer.bytes()
      expect(bytes.byteLength).toBeLessThan(4 * 1024 * 1024)
      const { manifests } = JSON.parse(new TextDecoder().decode(bytes))
      found.push(...manifests.map(({ digest }: { digest: string }) => digest))
      const next = nextOf(answer)
      if (next === undefined) break
      expect(new URL(next, 'https://registry.test').searchParams.getAll('artifactType')).toEqual([
        'application/vnd.a+json',
        'application/vnd.b json',
      ])
      answer = await registry.get(next)
    }
    expect(found).toEqual(digests.toSorted())
  })

  it.each([
    { name: 'nothing was ever pushed', of: '/v2/hosted/none' },
    { name: 'there is something else', of: STEM },
  ])('none where $name: 200 and an empty index', async ({ of }) => {
    await tag(['a'])
    const answer = await registry.get(`${of}/referrers/${subject.digest}?artifactType=a/b`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe(OCI_INDEX)
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(await answer.json()).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })
  })
})
