// Pages of referrers over HTTP: a client that goes on where it was gets to the end, whatever was deleted or
// reordered meanwhile, and no page is larger than clients read.

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { bytesOf, nextOf } from '../support/answer.ts'
import { goOnline } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'

const PATH = `/v2/one.test/a/b/referrers/sha256:${'0'.repeat(64)}`
const MAX_PAGE = 4 * 1024 * 1024

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const digestOf = (n: number): string => `sha256:${String(n).padStart(64, '0')}`

/** An upstream with these referrers in this order, each with so much of a text. */
function serve(numbers: readonly number[], text: string): void {
  const manifests = numbers.map((n) => ({
    mediaType: MEDIA_TYPE.OCI_MANIFEST,
    digest: digestOf(n),
    size: n,
    annotations: { text },
  }))
  const body = JSON.stringify({ schemaVersion: 2, manifests })
  const headers = { 'content-type': MEDIA_TYPE.OCI_INDEX }
  goOnline({
    'one.test': (url) =>
      Promise.resolve(
        url.includes('/referrers/') ? new Response(body, { headers }) : new Response('{}'),
      ),
  })
}

async function ask(
  path: string,
): Promise<{ size: number; digests: string[]; next: string | undefined }> {
  const answer = await isolate().get(path)
  expect(answer.status).toBe(200)
  const bytes = await bytesOf(answer)
  const { manifests }: { manifests: { digest: string }[] } = JSON.parse(
    new TextDecoder().decode(bytes),
  )
  return {
    size: bytes.length,
    digests: manifests.map(({ digest }) => digest),
    next: nextOf(answer),
  }
}

const FORTY = Array.from({ length: 40 }, (_, n) => n)

describe('a list of more than 3 MiB', () => {
  it.each([
    { name: 'of ASCII', text: 'x'.repeat(180_000) },
    { name: 'of characters of three bytes', text: '€'.repeat(60_000) },
    { name: 'of characters of four bytes', text: '😀'.repeat(45_000) },
  ])('$name: pages that clients read, every referrer once', async ({ text }) => {
    serve(FORTY, text)
    const found: string[] = []
    for (let next: string | undefined = PATH; next !== undefined;) {
      const page = await ask(next)
      expect(page.size).toBeLessThan(MAX_PAGE)
      expect(page.digests.length).toBeGreaterThan(0)
      found.push(...page.digests)
      next = page.next
    }
    expect(found).toEqual(FORTY.map(digestOf))
  })

  it('goes out in the order of digests, whatever the upstream’s', async () => {
    serve(FORTY.toReversed(), 'x'.repeat(180_000))
    const first = await ask(PATH)
    const second = await ask(first.next ?? '')
    expect(first.digests).toEqual(FORTY.slice(0, first.digests.length).map(digestOf))
    expect(second.digests[0]).toBe(digestOf(first.digests.length))
  })
})

describe('`last`', () => {
  it.each([
    { name: 'in the list', last: digestOf(4), want: [6, 8] },
    { name: 'not in the list any more', last: digestOf(5), want: [6, 8] },
    { name: 'before all', last: 'a', want: [2, 4, 6, 8] },
    { name: 'the last one', last: digestOf(8), want: [] },
    { name: 'after all', last: digestOf(9), want: [] },
    { name: 'empty', last: '', want: [2, 4, 6, 8] },
  ])('$name: what comes after it', async ({ last, want }) => {
    serve([8, 2, 6, 4], '')
    const { digests, next } = await ask(`${PATH}?last=${encodeURIComponent(last)}`)
    expect(digests).toEqual(want.map(digestOf))
    expect(next).toBeUndefined()
  })
})
