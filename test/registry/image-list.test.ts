// The list of repositories, over markers that are made up: which are on a page, where the next one begins, how much
// of storage is looked at for it, and what becomes of a line whose ledger is away.

import { describe, expect, it, vi } from 'vitest'
import { compareASCII } from '../../src/oci/page.ts'
import { listImages } from '../../src/registry/image-list.ts'
import type { ImageSource, SourceSummary } from '../../src/registry/image-source.ts'
import type { ImageQuery, RepositoryList } from '../../src/registry/image.ts'
import type { Log } from '../../src/seams.ts'
import type { RepositoryKind } from '../../src/storage/keys.ts'
import type { Marker } from '../../src/storage/repositories.ts'
import { silence } from '../support/broken.ts'

const KINDS: readonly RepositoryKind[] = ['mirrored', 'hosted']
const ALL: Pick<ImageQuery, 'kinds' | 'mayRead'> = { kinds: KINDS, mayRead: () => true }
const SUMMARY: SourceSummary = {
  tags: 2,
  manifests: 3,
  bytes: 1000,
  firstSeen: 5,
  lastPull: 7,
  pulls: [
    { day: 20_781, pulls: 4 },
    { day: 20_780, pulls: 1 },
  ],
}

function named(...names: readonly string[]): readonly Marker[] {
  return names.map((canonical) => ({ kind: 'mirrored', canonical }))
}

/** Markers as storage lists them, at most a thousand at once; `looks` counts how often that was of a kind (`mirrored`). */
function world(
  markers: readonly Marker[],
  summary: (canonical: string) => ReturnType<ImageSource['summary']> = async () => SUMMARY,
  counted: RepositoryKind = 'mirrored',
) {
  const sorted = markers.toSorted((a, b) => compareASCII(a.canonical, b.canonical))
  const looks = vi.fn<(after: string | undefined) => void>()
  const log = vi.fn<Log>()
  const asked: string[] = []
  const given = {
    markers: {
      list: async (
        kinds: readonly RepositoryKind[],
        { after = '', limit }: { readonly after: string | undefined; readonly limit: number },
      ) => {
        if (kinds.includes(counted)) looks(after)
        const left = sorted.filter(
          ({ kind, canonical }) => kinds.includes(kind) && compareASCII(canonical, after) > 0,
        )
        return { markers: left.slice(0, limit), isEnd: left.length <= limit }
      },
    },
    sourceOf: (kind: RepositoryKind, canonical: string) => {
      if (canonical.startsWith('gone.test/')) return undefined
      // Nothing else of a source is asked for a list.
      const source: Partial<ImageSource> = {
        kind,
        canonical,
        summary: () => {
          asked.push(canonical)
          return summary(canonical)
        },
      }
      return source as ImageSource
    },
    log,
  }
  const list = (query: Partial<ImageQuery> = {}) =>
    listImages(given, { ...ALL, limit: 100, ...query })
  return { list, looks, log, asked }
}

function namesOf({ images }: RepositoryList): readonly string[] {
  return images.map(({ name }) => name)
}

describe('a page', () => {
  it('has a line with figures for each repository', async () => {
    const { images, next } = await world([
      { kind: 'hosted', canonical: 'team/app' },
      ...named('docker.io/library/nginx'),
    ]).list()
    const figures = {
      tags: 2,
      manifests: 3,
      bytes: 1000,
      firstSeen: 5,
      lastPull: 7,
      pulls: [
        { day: '2026-11-23', pulls: 1 },
        { day: '2026-11-24', pulls: 4 },
      ],
    }
    expect(images).toEqual([
      { name: 'docker.io/library/nginx', kind: 'mirrored', ...figures },
      { name: 'team/app', kind: 'hosted', ...figures },
    ])
    expect(next).toBeUndefined()
  })

  it('follows the one before it, to the end', async () => {
    const { list, asked } = world(named('a.test/a', 'a.test/b', 'a.test/c', 'a.test/d'))
    const first = await list({ limit: 2 })
    expect([namesOf(first), first.next]).toEqual([['a.test/a', 'a.test/b'], 'a.test/b'])
    const second = await list({ limit: 2, after: first.next })
    expect([namesOf(second), second.next]).toEqual([['a.test/c', 'a.test/d'], undefined])
    // A ledger whose line is not shown is not asked.
    expect(asked).toHaveLength(4)
  })

  it('has both repositories of a name that two kinds have', async () => {
    const markers: readonly Marker[] = [
      ...named('a.test/a', 'b.test/x', 'c.test/c'),
      { kind: 'hosted', canonical: 'b.test/x' },
    ]
    const { list } = world(markers)
    const first = await list({ limit: 2 })
    expect(first.images.map(({ kind }) => kind)).toEqual(['mirrored', 'mirrored', 'hosted'])
    expect(first.next).toBe('b.test/x')
    expect(namesOf(await list({ limit: 2, after: first.next }))).toEqual(['c.test/c'])
  })

  it.each<Partial<ImageQuery>>([{ limit: 0 }, { kinds: [] }])(
    'of %j is empty and costs nothing',
    async (query) => {
      const { list, looks } = world(named('a.test/a'))
      expect(await list(query)).toEqual({ images: [], next: undefined })
      expect(looks).not.toHaveBeenCalled()
    },
  )

  it('has nothing of which only the marker is left', async () => {
    const { list } = world(named('a.test/a', 'a.test/b'), async (canonical) =>
      canonical === 'a.test/a' ? undefined : SUMMARY,
    )
    expect(namesOf(await list())).toEqual(['a.test/b'])
  })
})

describe('a search', () => {
  it.each([
    ['nginx', ['docker.io/bitnami/nginx-ingress', 'docker.io/library/nginx']],
    ['NGINX', ['docker.io/bitnami/nginx-ingress', 'docker.io/library/nginx']],
    ['io/lib', ['docker.io/library/nginx', 'docker.io/library/redis']],
    ['', ['docker.io/bitnami/nginx-ingress', 'docker.io/library/nginx', 'docker.io/library/redis']],
    ['nothing', []],
    ['.*', []],
  ])('for %j finds %j', async (search, names) => {
    const { list } = world(
      named(
        'docker.io/library/redis',
        'docker.io/library/nginx',
        'docker.io/bitnami/nginx-ingress',
      ),
    )
    expect(namesOf(await list({ search }))).toEqual(names)
  })

  it('that finds nothing looks only so far, and says where to go on', async () => {
    const many = Array.from({ length: 7000 }, (_, index) => `a.test/${String(index + 10_000)}`)
    const { list, looks } = world(named(...many, 'z.test/wanted'))
    const first = await list({ search: 'wanted' })
    expect(first).toEqual({ images: [], next: many[4999] })
    expect(looks).toHaveBeenCalledTimes(5)
    const second = await list({ search: 'wanted', after: first.next })
    expect([namesOf(second), second.next]).toEqual([['z.test/wanted'], undefined])
    expect(looks).toHaveBeenCalledTimes(8)
  })

  it('stops looking when the page is full', async () => {
    const many = Array.from({ length: 3000 }, (_, index) => `a.test/${String(index + 10_000)}`)
    const { list, looks } = world(named(...many))
    expect((await list({ search: 'a.test', limit: 10 })).images).toHaveLength(10)
    expect(looks).toHaveBeenCalledTimes(1)
  })
})

describe('what may not be read', () => {
  const many = Array.from({ length: 8000 }, (_, index) => `a.test/${String(index + 10_000)}`)

  it('is not shown, and its ledger is not asked', async () => {
    const { list, asked } = world(named('a.test/a', 'a.test/b'))
    const mayRead = (_: RepositoryKind, canonical: string) => canonical === 'a.test/b'
    expect(namesOf(await list({ mayRead }))).toEqual(['a.test/b'])
    expect(asked).toEqual(['a.test/b'])
  })

  it('is not told as the place to go on from', async () => {
    const { list } = world(named(...many))
    const mayRead = (_: RepositoryKind, canonical: string) => canonical === many[1234]
    const { images, next } = await list({ search: 'nothing', mayRead })
    expect([images, next]).toEqual([[], many[1234]])
  })

  it('ends in an error, and not in a lie, where there is too much of it', async () => {
    const far = Array.from({ length: 60_000 }, (_, index) => `a.test/${String(index + 100_000)}`)
    const { list, looks } = world(named(...far))
    await expect(list({ mayRead: () => false })).rejects.toMatchObject({
      code: 'UNKNOWN',
      status: 503,
    })
    expect(looks).toHaveBeenCalledTimes(50)
  })
})

describe('what no grant could reach', () => {
  const hosted = (...names: readonly string[]): readonly Marker[] =>
    names.map((canonical) => ({ kind: 'hosted', canonical }))
  const shut = Array.from({ length: 60_000 }, (_, index) => `hosted/shut/${index + 100_000}`)
  const some = (allowed: Readonly<Record<RepositoryKind, string>>): Partial<ImageQuery> => ({
    mayRead: (kind, canonical) => canonical.startsWith(allowed[kind]),
    beginnings: (kind) => [allowed[kind]],
  })
  const NONE: Partial<ImageQuery> = { mayRead: () => false, beginnings: () => [] }

  it('is not looked through', async () => {
    const { list, looks } = world(hosted(...shut, 'hosted/team/a', 'zoo/b'), undefined, 'hosted')
    for (const kinds of [['hosted'], KINDS] as const) {
      const page = await list({ kinds, ...some({ hosted: 'hosted/team/', mirrored: '' }) })
      expect([namesOf(page), page.next]).toEqual([['hosted/team/a'], undefined])
    }
    expect(looks).toHaveBeenCalledTimes(2)
  })

  it('costs nothing where nothing could be read', async () => {
    const { list, looks } = world(hosted(...shut), undefined, 'hosted')
    expect(await list({ kinds: ['hosted'], ...NONE })).toEqual({ images: [], next: undefined })
    expect(looks).not.toHaveBeenCalled()
  })

  it('is passed by in one kind while the other one is shown, in order and to the end', async () => {
    const open = Array.from({ length: 2500 }, (_, index) => `a.test/${index + 10_000}`)
    const names = [...open, 'hosted/zoo/c', 'z.test/z']
    const markers = [...named(...open, 'z.test/z'), ...hosted(...shut, 'hosted/zoo/c')]
    const { list } = world(markers, undefined, 'hosted')
    const found: string[] = []
    let after: string | undefined
    do {
      const query = { ...some({ hosted: 'hosted/zoo/', mirrored: '' }), limit: 1000, after }
      const page = await list(query)
      found.push(...namesOf(page))
      after = page.next
    } while (after !== undefined)
    expect(found).toEqual(names)
  })
})

describe('without figures is the line', () => {
  const NOTHING = {
    tags: undefined,
    manifests: undefined,
    bytes: undefined,
    firstSeen: undefined,
    lastPull: undefined,
    pulls: [],
  }

  it('of a repository whose ledger fails', async () => {
    const { list, log } = world(named('a.test/a', 'a.test/b'), async (canonical) => {
      if (canonical === 'a.test/a') throw new Error('it is away')
      return SUMMARY
    })
    const { images } = await list()
    expect(images[0]).toEqual({ name: 'a.test/a', kind: 'mirrored', ...NOTHING })
    expect(images[1]).toMatchObject({ tags: 2 })
    expect(log).toHaveBeenCalledWith('ledger-away', {
      repository: 'a.test/a',
      reason: 'Error: it is away',
    })
  })

  it('of a repository whose ledger does not answer', async () => {
    vi.useFakeTimers()
    try {
      const { list } = world(named('a.test/a', 'a.test/b'), (canonical) =>
        canonical === 'a.test/a' ? silence() : Promise.resolve(SUMMARY),
      )
      const listing = list()
      await vi.advanceTimersByTimeAsync(5001)
      expect((await listing).images.map(({ tags }) => tags)).toEqual([undefined, 2])
    } finally {
      vi.useRealTimers()
    }
  })

  it('of a repository that the configuration does not know any more', async () => {
    const { images } = await world(named('gone.test/a')).list()
    expect(images).toEqual([{ name: 'gone.test/a', kind: 'mirrored', ...NOTHING }])
  })
})

it('asks so many ledgers at once, and no more', async () => {
  let running = 0
  let most = 0
  const many = Array.from({ length: 60 }, (_, index) => `a.test/${String(index + 10)}`)
  const { list } = world(named(...many), async () => {
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setTimeout(resolve, 1))
    running -= 1
    return SUMMARY
  })
  expect(namesOf(await list())).toEqual(many)
  expect(most).toBe(20)
})
