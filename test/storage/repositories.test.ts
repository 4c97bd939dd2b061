// Markers: written, removed and listed in the order of names, whatever R2 gives at once.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { RepositoryKind } from '../../src/storage/keys.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import type { MarkerPage } from '../../src/storage/repositories.ts'
import { broken } from '../support/broken.ts'

const BOTH: readonly RepositoryKind[] = ['mirrored', 'hosted']
const ALL = { after: undefined, limit: 1000 }

afterEach(() => reset())

async function mark(kind: RepositoryKind, ...names: readonly string[]): Promise<void> {
  const markers = new RepositoryMarkers(env.BLOBS)
  await Promise.all(names.map((name) => markers.mark(kind, name)))
}

function namesOf({ markers }: MarkerPage): string[] {
  return markers.map(({ kind, canonical }) => `${kind} ${canonical}`)
}

/** R2 that gives a few keys at a time, and counts how often it was asked. */
function sparingBucket(sizes: readonly number[]): { bucket: R2Bucket; asked: () => number } {
  let asked = 0
  const list = async (options: R2ListOptions): Promise<R2Objects> => {
    const size = sizes[asked++ % sizes.length] ?? 1
    return env.BLOBS.list({ ...options, limit: Math.min(size, options.limit ?? size) })
  }
  return { bucket: broken(env.BLOBS, { list }), asked: () => asked }
}

describe('list', () => {
  it('T095: goes by the bytes of whole names, of both kinds', async () => {
    await mark('hosted', 'a', 'a-b', 'a.b', 'a/b', 'ab', 'z')
    await mark('mirrored', 'a.io/b', 'docker.io/library/nginx', 'port.test:5000/a')
    const page = await new RepositoryMarkers(env.BLOBS).list(BOTH, ALL)
    expect(page.isEnd).toBe(true)
    expect(namesOf(page)).toEqual([
      'hosted a',
      'hosted a-b',
      'hosted a.b',
      'mirrored a.io/b',
      'hosted a/b',
      'hosted ab',
      'mirrored docker.io/library/nginx',
      'mirrored port.test:5000/a',
      'hosted z',
    ])
  })

  it('has only the kinds that are asked for', async () => {
    await mark('hosted', 'b')
    await mark('mirrored', 'a.io/b')
    const markers = new RepositoryMarkers(env.BLOBS)
    expect(namesOf(await markers.list(['mirrored'], ALL))).toEqual(['mirrored a.io/b'])
    expect(namesOf(await markers.list(['hosted'], ALL))).toEqual(['hosted b'])
    expect(await markers.list([], ALL)).toEqual({ markers: [], isEnd: true })
  })

  it('forgets what was written off, and nothing beside it', async () => {
    await mark('hosted', 'foo', 'foo-bar', 'foo/bar')
    await mark('mirrored', 'foo/bar')
    const markers = new RepositoryMarkers(env.BLOBS)
    await markers.unmark('hosted', 'foo')
    await markers.unmark('hosted', 'foo/bar')
    expect(namesOf(await markers.list(BOTH, ALL))).toEqual(['hosted foo-bar', 'mirrored foo/bar'])
  })

  it.each([
    { name: 'a name', after: 'b', want: ['c', 'd'] },
    { name: 'a name that is gone', after: 'bb', want: ['c', 'd'] },
    { name: 'the last', after: 'd', want: [] },
    { name: 'before all', after: '!', want: ['a', 'b', 'c', 'd'] },
    { name: 'nothing', after: '', want: ['a', 'b', 'c', 'd'] },
    { name: 'after all', after: '~', want: [] },
    { name: 'T097: more than a key can be', after: `b${'z'.repeat(5000)}`, want: ['c', 'd'] },
    { name: 'a character that no name has', after: 'bé', want: ['c', 'd'] },
    { name: 'T098: NUL', after: 'b\0', want: ['c', 'd'] },
    { name: 'T098: a line break before the name', after: '\r\nb', want: ['a', 'b', 'c', 'd'] },
    { name: 'half a character', after: 'b\ud800', want: ['c', 'd'] },
  ])('goes on after $name', async ({ after, want }) => {
    await mark('hosted', 'a', 'b', 'c', 'd')
    const bounds: (string | undefined)[] = []
    const bucket = broken(env.BLOBS, {
      list: async (options: R2ListOptions) => {
        bounds.push(options.startAfter)
        return env.BLOBS.list(options)
      },
    })
    const page = await new RepositoryMarkers(bucket).list(BOTH, { after, limit: 1000 })
    expect(page.markers.map(({ canonical }) => canonical)).toEqual(want)
    // R2 is given what could be a key: 1024 bytes at most, none of them a control character.
    for (const bound of bounds) expect(bound).toMatch(/^[!-~]{1,1024}$/)
  })

  it.each([
    { name: 'one at a time', sizes: [1] },
    { name: 'a few', sizes: [3, 1] },
  ])('is whole when R2 gives $name', async ({ sizes }) => {
    await mark('hosted', 'a', 'c', 'e', 'g')
    await mark('mirrored', 'b', 'd', 'f')
    const { bucket } = sparingBucket(sizes)
    const page = await new RepositoryMarkers(bucket).list(BOTH, ALL)
    expect(page.markers.map(({ canonical }) => canonical).join('')).toBe('abcdefg')
    expect(page.isEnd).toBe(true)
  })

  it('goes on where R2 gives nothing although more follow', async () => {
    await mark('hosted', 'a', 'b', 'c')
    let asked = 0
    const bucket = broken(env.BLOBS, {
      list: async (options: R2ListOptions) => {
        const list = await env.BLOBS.list({ ...options, limit: 1 })
        return ++asked === 2 ? { ...list, objects: [] } : list
      },
    })
    const page = await new RepositoryMarkers(bucket).list(['hosted'], ALL)
    expect(page).toMatchObject({ isEnd: true, markers: [{ canonical: 'a' }, { canonical: 'c' }] })
  })

  it('reads no more than it is asked for', async () => {
    await mark('hosted', ...Array.from({ length: 30 }, (_, n) => `r${100 + n}`))
    const { bucket, asked } = sparingBucket([1000])
    const page = await new RepositoryMarkers(bucket).list(BOTH, { after: 'r104', limit: 5 })
    expect(page.markers.map(({ canonical }) => canonical)).toEqual([
      'r105',
      'r106',
      'r107',
      'r108',
      'r109',
    ])
    expect(page.isEnd).toBe(false)
    expect(asked()).toBe(2)
  })

  it.each([1, 2, 3, 5, 7, 8])(
    'T145: pages of %i are the whole list, each name once',
    async (limit) => {
      const hosted = ['a', 'a-b', 'a/b', 'a.b', 'b']
      const mirrored = ['a.io/x', 'a.io/x-y', 'docker.io/library/x']
      await mark('hosted', ...hosted)
      await mark('mirrored', ...mirrored)
      const markers = new RepositoryMarkers(env.BLOBS)
      const found: string[] = []
      for (let after: string | undefined; ; after = found.at(-1)) {
        const page = await markers.list(BOTH, { after, limit })
        expect(page.markers.length).toBeLessThanOrEqual(limit)
        found.push(...page.markers.map(({ canonical }) => canonical))
        if (page.isEnd) break
      }
      expect(found).toEqual([...hosted, ...mirrored].toSorted((a, b) => (a < b ? -1 : 1)))
    },
  )
})
