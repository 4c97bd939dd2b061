// `GET /v2/_catalog`: the repositories that this caller may pull, a page at a time, and no trace of the others.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { nextOf, refusalOf } from '../support/answer.ts'
import { broken } from '../support/broken.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'

const PATH = '/v2/_catalog'

afterEach(() => reset())

async function mark(kind: 'mirrored' | 'hosted', names: readonly string[]): Promise<void> {
  const markers = new RepositoryMarkers(env.BLOBS)
  await Promise.all(names.map((name) => markers.mark(kind, name)))
}

async function ask(path: string, settings: object = OPEN) {
  const answer = await isolate({ ...settings }).get(path)
  expect([path, answer.status]).toEqual([path, 200])
  expect(answer.headers.get('content-type')).toBe('application/json')
  const { repositories, ...more }: { repositories: string[] } = JSON.parse(await answer.text())
  expect(more).toEqual({})
  return { names: repositories, next: nextOf(answer) }
}

/** All names, page after page. */
async function walk(
  path: string,
  settings: object = OPEN,
): Promise<{ names: string[]; pages: number }> {
  const names: string[] = []
  let pages = 0
  for (let next: string | undefined = path; next !== undefined; pages++) {
    const page = await ask(next, settings)
    names.push(...page.names)
    next = page.next
  }
  return { names, pages }
}

/** R2 that has so many repositories, made up as they are listed, and counts the lists. */
function bucketOf(kinds: Readonly<Record<'mirrored' | 'hosted', readonly string[]>>) {
  let lists = 0
  const list = async ({ prefix = '', startAfter, cursor, limit = 1000 }: R2ListOptions) => {
    lists++
    const kind = prefix.includes('hosted') ? 'hosted' : 'mirrored'
    const after = (cursor ?? startAfter ?? '').slice(prefix.length)
    const names = kinds[kind].filter((name) => name > after)
    const objects = names.slice(0, limit).map((name) => ({ key: prefix + name }))
    const truncated = names.length > limit
    return { objects, truncated, ...(truncated && { cursor: objects.at(-1)?.key }) }
  }
  return { bucket: broken(env.BLOBS, { list }), lists: () => lists }
}

const many = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${prefix}${1_000_000 + n}`)

const NAMES = {
  mirrored: [
    'docker.io/library/nginx',
    'gone.test/a/b',
    'intern/a/b',
    'limited.test/open/secret',
    'limited.test/open/x',
    'one.test/a/b',
    'part.test/closed/x',
    'part.test/a/x',
    'private.test/a/b',
  ],
  hosted: ['former/a', 'hosted/a', 'one.test/only/hosted', 'hosted/a-b', 'hosted/a/b', 'sparse/a'],
}

describe('who sees what', () => {
  const open = ['docker.io/library/nginx', 'limited.test/open/x', 'one.test/a/b']
  const grant = (...repositories: string[]) => ({
    ...OPEN,
    ANONYMOUS: [{ repositories, actions: ['pull'] }],
  })

  it.each([
    {
      name: 'by default, what is public',
      settings: { HOSTED: OPEN.HOSTED },
      want: [...open, 'part.test/a/x'],
    },
    { name: 'nobody, nothing', settings: { ...OPEN, ANONYMOUS: [] }, want: [] },
    { name: 'a grant on one', settings: grant('hosted/a'), want: ['hosted/a'] },
    {
      name: 'a grant by pattern',
      settings: grant('hosted/**'),
      want: ['hosted/a', 'hosted/a-b', 'hosted/a/b'],
    },
    {
      name: 'a grant on what is private',
      settings: grant('private.test/**', 'part.test/*/x'),
      want: ['part.test/a/x', 'part.test/closed/x', 'private.test/a/b'],
    },
    {
      name: 'a grant does not undo deny',
      settings: grant('limited.test/**'),
      want: ['limited.test/open/x'],
    },
    {
      name: 'a right to push is none to see',
      settings: {
        ...OPEN,
        ANONYMOUS: [{ repositories: ['**'], actions: ['push', 'delete', 'admin'] }],
      },
      want: [],
    },
    {
      name: 'everything that can still be addressed',
      settings: grant('**'),
      want: [
        'docker.io/library/nginx',
        'hosted/a',
        'hosted/a-b',
        'hosted/a/b',
        'limited.test/open/x',
        'one.test/a/b',
        'part.test/a/x',
        'part.test/closed/x',
        'private.test/a/b',
        'sparse/a',
      ],
    },
  ])('$name', async ({ settings, want }) => {
    await mark('mirrored', NAMES.mirrored)
    await mark('hosted', NAMES.hosted)
    expect(await ask(PATH, settings)).toEqual({ names: want, next: undefined })
    // No page, and no link to one, names anything else.
    for (const n of [1, 2]) {
      const { names, pages } = await walk(`${PATH}?n=${n}`, settings)
      expect(names).toEqual(want)
      expect(pages).toBe(Math.max(1, Math.ceil(want.length / n)))
    }
  })

  it('a push shows at once', async () => {
    const { pushImage, send } = startHosted()
    expect((await ask(PATH)).names).toEqual([])
    await pushImage('hosted/new', { reference: 'v1' })
    expect((await ask(PATH)).names).toEqual(['hosted/new'])
    expect((await send('HEAD', PATH)).status).toBe(200)
  })
})

describe('T112: n', () => {
  it.each([
    { n: '0', want: 0, next: undefined },
    { n: '1', want: 1, next: `${PATH}?n=1&last=a%2F1000000` },
    { n: '999', want: 999, next: `${PATH}?n=999&last=a%2F1000998` },
    { n: '1000', want: 1000, next: `${PATH}?n=1000&last=a%2F1000999` },
    { n: '1001', want: 1000, next: `${PATH}?n=1000&last=a%2F1000999` },
    { n: '1000000000', want: 1000, next: `${PATH}?n=1000&last=a%2F1000999` },
  ])('$n: $want names', async ({ n, want, next }) => {
    const { bucket } = bucketOf({ mirrored: [], hosted: many('a/', 1500) })
    const page = await ask(`${PATH}?n=${n}`, { ...OPEN, HOSTED: ['**'], BLOBS: bucket })
    expect(page.names).toHaveLength(want)
    expect(page.next).toBe(next)
  })

  it('absent: 1000, and the link says no more', async () => {
    const { bucket } = bucketOf({ mirrored: [], hosted: many('a/', 1500) })
    const settings = { ...OPEN, HOSTED: ['**'], BLOBS: bucket }
    expect((await ask(PATH, settings)).next).toBe(`${PATH}?last=a%2F1000999`)
    expect((await walk(PATH, settings)).names).toHaveLength(1500)
  })

  it.each(['-1', '1.5', 'abc', '', '1e3', '9223372036854775808', '0x10', ' 1'])(
    '%j: 400',
    async (n) => {
      const answer = await isolate(OPEN).get(`${PATH}?n=${encodeURIComponent(n)}`)
      expect(await refusalOf(answer)).toBe('400 UNSUPPORTED')
    },
  )
})

describe('last', () => {
  it.each([
    { last: 'hosted/a', want: ['hosted/a-b', 'hosted/a/b'] },
    { last: 'hosted/a-', want: ['hosted/a-b', 'hosted/a/b'] },
    { last: 'zzz', want: [] },
    { last: '', want: ['hosted/a', 'hosted/a-b', 'hosted/a/b'] },
    { last: 'é\r\n\0', want: [] },
    { last: 'a'.repeat(3000), want: ['hosted/a', 'hosted/a-b', 'hosted/a/b'] },
  ])('T097, T098: $last', async ({ last, want }) => {
    await mark('hosted', ['hosted/a', 'hosted/a-b', 'hosted/a/b'])
    const { names } = await ask(`${PATH}?last=${encodeURIComponent(last)}`)
    expect(names).toEqual(want)
  })
})

describe('what may not be seen', () => {
  const settings = (bucket: R2Bucket) => ({
    ...OPEN,
    HOSTED: ['**'],
    ANONYMOUS: [{ repositories: ['*n/**'], actions: ['pull'] }],
    BLOBS: bucket,
  })

  it('does not keep a page from being found behind it', async () => {
    const { bucket } = bucketOf({
      mirrored: [],
      hosted: [...many('a/', 12_500), 'open/a', 'open/b'],
    })
    expect(await ask(`${PATH}?n=1`, settings(bucket))).toEqual({
      names: ['open/a'],
      next: `${PATH}?n=1&last=open%2Fa`,
    })
  })

  it('is looked at for a while only, and then the answer is what has been found', async () => {
    const hosted = many('r/', 25_000).map(
      (name, n) => name + (n % 1000 === 300 ? '/open' : '/shut'),
    )
    const { bucket, lists } = bucketOf({ mirrored: [], hosted })
    const grants = [{ repositories: ['r/*/open'], actions: ['pull'] }]
    const open = hosted.filter((name) => name.endsWith('open'))
    const page = await ask(PATH, { ...settings(bucket), ANONYMOUS: grants })
    expect(page.names).toEqual(open.slice(0, 10))
    expect(lists()).toBe(20)
    const { names } = await walk(PATH, { ...settings(bucket), ANONYMOUS: grants })
    expect(names).toEqual(open)
  })

  it('is not waited for where there is something to show', async () => {
    const hosted = ['open/a', 'open/b', ...many('private/', 60_000)]
    const { bucket } = bucketOf({ mirrored: [], hosted })
    const { names, next } = await ask(PATH, settings(bucket))
    expect(names).toEqual(['open/a', 'open/b'])
    expect(next).toBe(`${PATH}?last=open%2Fb`)
  })

  it('is no place to go on from: what has no end is an outage, not a name', async () => {
    const { bucket, lists } = bucketOf({ mirrored: [], hosted: many('private/', 60_000) })
    const answer = await isolate(settings(bucket)).get(PATH)
    const text = await answer.clone().text()
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
    expect(text + JSON.stringify([...answer.headers])).not.toContain('private/')
    expect(lists()).toBeLessThanOrEqual(100)
  })

  it('costs nothing where no grant could reach it', async () => {
    const hosted = [
      ...many('a/', 60_000),
      'm/app',
      'm/app/x',
      'm/apq',
      ...many('n/', 60_000),
      'open/a',
      'open/b',
      ...many('z/', 60_000),
    ]
    const { bucket, lists } = bucketOf({ mirrored: [], hosted })
    const grants = [{ repositories: ['open/**', 'm/app', 'nothing/*'], actions: ['pull'] }]
    for (const n of [1, 2, 3, 4]) {
      const { names } = await walk(`${PATH}?n=${n}`, { ...settings(bucket), ANONYMOUS: grants })
      expect(names).toEqual(['m/app', 'open/a', 'open/b'])
    }
    expect(lists()).toBeLessThan(60)
  })

  it('costs nothing where nothing hosted may be seen', async () => {
    const { bucket, lists } = bucketOf({
      mirrored: ['one.test/a/b'],
      hosted: many('private/', 60_000),
    })
    const { names } = await ask(PATH, { HOSTED: ['private/**'], BLOBS: bucket })
    expect(names).toEqual(['one.test/a/b'])
    expect(lists()).toBe(1)
  })
})

it.each([
  { path: '/docker.io/v2/_catalog', want: 200 },
  { path: '/evil.test/v2/_catalog', want: 404 },
  { path: `${PATH}?ns=docker.io`, want: 200 },
])('$path: $want', async ({ path, want }) => {
  expect((await isolate(OPEN).get(path)).status).toBe(want)
})
