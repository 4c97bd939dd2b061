// The pages of images: what whoever looks may see of them, how a list is searched and goes on, and that whatever strangers
// have written into an image stays text.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { broken as failing } from '../support/broken.ts'
import { DAY, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import {
  CONFIG,
  LAYER,
  OPEN,
  contentOf,
  descriptorOf,
  encode,
  manifestOf,
  startHosted,
} from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'
import { broken } from '../support/operations.ts'

const HTML = { accept: 'text/html' }
const HOSTILE = `"'><script>alert(1)</script>`

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let upstream: SampleUpstream
let net: Network
let registry: HostedRegistry

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  net = goOnline({ 'one.test': upstream, 'part.test': upstream, 'port.test:5000': upstream })
  const configured = await accounts({
    root: [granting('**', 'admin')],
    reader: [granting('hosted/team/**', 'pull')],
    owner: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { HOSTED: OPEN.HOSTED, LOGIN_LIMIT: undefined, ...configured }
  registry = startHosted(OPEN)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function get(worker: Isolate, path: string, name?: string): Promise<Response> {
  return worker.get(path, { ...HTML, ...(name !== undefined && { authorization: basic(name) }) })
}

async function page(path: string, name?: string): Promise<string> {
  const answer = await get(isolate(settings), path, name)
  expect([path, answer.status]).toEqual([path, 200])
  return answer.text()
}

function wordsOf(html: string): string {
  return html
    .replace(/<(head|title|desc)\b[\s\S]*?<\/\1>/g, ' ')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

/** The repositories of a list, in order. */
function namesOf(html: string): readonly string[] {
  return [...html.matchAll(/rowheader"><a href="\/_\/images\/([^"]*)"/g)].map(
    ([, name]) => name ?? '',
  )
}

/** Storage that notes after what it is asked to list. */
function countingLists(lists: string[]) {
  const list = async (options: R2ListOptions) => {
    lists.push(options.startAfter ?? '')
    return env.BLOBS.list(options)
  }
  return { bucket: failing(env.BLOBS, { list }) }
}

/** An index of two platforms in an upstream, which clients have pulled. */
async function mirror(name: string, tag = 'v1'): Promise<string> {
  const [, ...repository] = name.split('/')
  const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
  const images = await Promise.all(
    platforms.map((platform, seed) => sampleImage({ platform, seed, layers: [1000, 2000] })),
  )
  const index = await sampleIndex(images)
  await addSample(upstream, repository.join('/'), index, tag)
  const worker = isolate(OPEN)
  for (const reference of [tag, images[0]?.digest]) {
    expect((await worker.get(`/v2/${name}/manifests/${reference}`)).status).toBe(200)
  }
  await worker.settle()
  return index.digest
}

describe('the list', () => {
  it('says what to do where nothing is', async () => {
    expect(wordsOf(await page('/_/images'))).toContain('Nothing is here yet. Connect a client')
    expect(wordsOf(await page('/_/images?search=x'))).toContain('Nothing here matches.')
  })

  it('has to everybody what they may read, by the one policy', async () => {
    await mirror('one.test/a/b')
    await mirror('part.test/closed/c')
    await registry.pushImage('hosted/team/app', { reference: 'v1' })
    await registry.pushImage('hosted/other/app', { reference: 'v1' })
    expect(namesOf(await page('/_/images'))).toEqual(['one.test/a/b'])
    expect(namesOf(await page('/_/images', 'reader'))).toEqual(['hosted/team/app', 'one.test/a/b'])
    expect(namesOf(await page('/_/images', 'owner'))).toEqual([
      'hosted/other/app',
      'hosted/team/app',
      'one.test/a/b',
      'part.test/closed/c',
    ])
    expect(wordsOf(await page('/_/images'))).toContain('Log in to see more')
    expect(wordsOf(await page('/_/images', 'reader'))).not.toContain('Log in to see more')
    const wrong = await isolate(settings).get('/_/images', {
      ...HTML,
      authorization: basic('reader', 'wrong'),
    })
    expect(wrong.status).toBe(401)
  })

  it('is searched by a part of the name and by kind, and says what was searched', async () => {
    await mirror('one.test/team/b')
    await registry.pushImage('hosted/team/app', { reference: 'v1' })
    await registry.pushImage('hosted/other/app', { reference: 'v1' })
    const searched = await page('/_/images?search=TEAM', 'owner')
    expect(namesOf(searched)).toEqual(['hosted/team/app', 'one.test/team/b'])
    expect(searched).toContain('name="search" value="TEAM"')
    const hosted = await page('/_/images?search=team&kind=hosted', 'owner')
    expect(namesOf(hosted)).toEqual(['hosted/team/app'])
    expect(hosted).toContain('<option value="hosted" selected="">')
    const hostile = await page(`/_/images?search=${encodeURIComponent(HOSTILE)}&kind=%22%3E`)
    expect(hostile).not.toContain('<script')
  })

  it('goes on where a page ends, with the same search', async () => {
    for (let index = 0; index < 42; index++) {
      const name = `hosted/many/n${String(index).padStart(2, '0')}`
      await registry.pushImage(name, { reference: 'v1' })
    }
    const first = await page('/_/images?search=many', 'owner')
    expect(namesOf(first)).toHaveLength(40)
    const next = /href="([^"]*)" rel="next"/.exec(first)?.[1]?.replaceAll('&amp;', '&') ?? ''
    expect(next).toContain('search=many')
    const second = await page(next, 'owner')
    expect(namesOf(second)).toEqual(['hosted/many/n40', 'hosted/many/n41'])
    expect(second).not.toContain('rel="next"')
    expect(second).toContain('href="/_/images?search=many"')
  })

  it('looks for nothing hosted where nobody could see it, and only where an account could', async () => {
    await registry.pushImage('hosted/team/app', { reference: 'v1' })
    await registry.settle()
    const lists: string[] = []
    const { bucket } = countingLists(lists)
    const worker = isolate({ ...settings, BLOBS: bucket })
    const anybody = await (await get(worker, '/_/images?kind=hosted')).text()
    expect(wordsOf(anybody)).toContain('Nothing here matches.')
    expect(lists).toEqual([])
    expect(namesOf(await (await get(worker, '/_/images?kind=hosted', 'reader')).text())).toEqual([
      'hosted/team/app',
    ])
    expect(lists).toEqual([expect.stringMatching(/hosted\/team\.~$/)])
  })

  it('is shown so often to a client that has not logged in, then 429', async () => {
    await mirror('one.test/a/b')
    let asked = 0
    const limit = async () => ({ success: ++asked <= 2 })
    const worker = isolate({ ...settings, TOKEN_LIMIT: { limit } })
    const paths = ['/_/images', '/_/images/one.test/a/b', '/_/images/one.test/a/b:v1', '/_/images']
    const answers = []
    for (const path of paths) answers.push(await get(worker, path))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429, 429])
    expect(answers[2]?.headers.get('retry-after')).toBe('60')
    expect(wordsOf((await answers[2]?.text()) ?? '')).toContain('too many pages were asked for')
    expect((await get(worker, '/_/images', 'reader')).status).toBe(200)
    expect((await get(worker, '/_/connect')).status).toBe(200)
    expect(asked).toBe(4)
  })

  it('shows pulls by day', async () => {
    await mirror('one.test/a/b')
    clock.advance(3 * DAY)
    const worker = isolate(settings)
    const [child] = [...(await page('/_/images/one.test/a/b:v1')).matchAll(/@(sha256:[0-9a-f]+)/g)]
    await worker.get(`/v2/one.test/a/b/manifests/${child?.[1]}`)
    await worker.settle()
    expect(await page('/_/images')).toMatch(/aria-label="[1-9] pulls in 30 days"/)
  })

  it('is a page while storage is away', async () => {
    const answer = await get(isolate({ ...settings, BLOBS: broken('store') }), '/_/images')
    expect(answer.status).toBe(200)
    expect(wordsOf(await answer.text())).toContain('The list of images cannot be read just now.')
  })
})

describe('a repository', () => {
  it('has its images, and each of them a page', async () => {
    const digest = await mirror('one.test/a/b')
    const asked = net.requests.length
    const html = await page('/_/images/one.test/a/b')
    const words = wordsOf(html)
    expect(words).toContain('one.test/a/b mirrored · 1 tag')
    expect(words).toContain('linux/amd64, linux/arm64')
    expect(html).toContain('href="/_/images/one.test/a/b:v1"')
    expect(html).toContain(`href="/_/images/one.test/a/b@${digest}"`)
    expect(words).toContain('docker pull registry.test/one.test/a/b:v1')
    for (const path of ['/_/images/one.test/a/b:v1', `/_/images/one.test/a/b@${digest}`]) {
      const one = wordsOf(await page(path))
      expect(one).toContain(`Digest ${digest}`)
      expect(one).toContain('linux/amd64')
      expect(one).toContain('not here yet')
    }
    // Whoever looks asks no upstream.
    expect(net.requests.length).toBe(asked)
  })

  it('is told from a tag by the last colon: a host has a port', async () => {
    await mirror('port.test:5000/a/b')
    expect(namesOf(await page('/_/images'))).toEqual(['port.test:5000/a/b'])
    expect(wordsOf(await page('/_/images/port.test:5000/a/b'))).toContain('1 tag')
    expect(wordsOf(await page('/_/images/port.test:5000/a/b:v1'))).toContain('Digest sha256:')
  })

  it('is refused by its name alone, whether it is there or not', async () => {
    await registry.pushImage('hosted/secret/app', { reference: 'v1' })
    const bodies = new Set<string>()
    for (const name of [undefined, 'reader', 'root']) {
      for (const image of ['hosted/secret/app', 'hosted/secret/none', 'hosted/secret/app:v1']) {
        const answer = await get(isolate(settings), `/_/images/${image}`, name)
        expect(answer.status).toBe(401)
        expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
        const body = await answer.text()
        expect(body).not.toContain('hosted/secret')
        if (name === 'reader') bodies.add(body)
      }
    }
    expect(bodies.size).toBe(1)
    const absent = await get(isolate(settings), '/_/images/hosted/secret/none', 'owner')
    expect(absent.status).toBe(404)
  })

  it.each([
    'one.test/none',
    'one.test/none:v1',
    'unknown.test/a',
    'one.test/a@sha256:1',
    'one.test/a:',
    'one.test/A',
    '../healthz',
    'one.test/a/b:v1:v2',
    't/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/one.test/a',
  ])('%s is not there', async (name) => {
    const { status } = await get(isolate(settings), `/_/images/${name}`, 'owner')
    expect(status).toBe(404)
  })

  it('is a page while its ledger is away', async () => {
    await mirror('one.test/a/b')
    const worker = isolate({ ...settings, MIRROR_LEDGER: broken('objects') })
    for (const path of ['/_/images/one.test/a/b', '/_/images/one.test/a/b:v1']) {
      const answer = await get(worker, path)
      expect(answer.status).toBe(200)
      expect(wordsOf(await answer.text())).toContain('This image cannot be read just now.')
    }
    expect(wordsOf(await (await get(worker, '/_/images')).text())).toContain('one.test/a/b')
  })
})

describe('what strangers have written', () => {
  let image: Content

  beforeEach(async () => {
    const repository = 'hosted/team/app'
    const config = await registry.pushBlob(
      repository,
      await contentOf(
        encode({
          os: HOSTILE,
          architecture: HOSTILE,
          author: HOSTILE,
          created: '2026-11-02T00:00:00Z',
          config: {
            Env: [`A=${HOSTILE}`],
            Entrypoint: [HOSTILE, 'two words'],
            Labels: { [HOSTILE]: HOSTILE, source: 'javascript:alert(1)' },
            ExposedPorts: { [HOSTILE]: {} },
          },
          history: [{ created_by: HOSTILE, comment: HOSTILE }],
        }),
      ),
    )
    const layer = await registry.pushBlob(repository, await contentOf(encode({ layer: 1 })))
    const document = manifestOf(
      { ...config, mediaType: CONFIG },
      [{ ...layer, mediaType: LAYER, annotations: { 'org.opencontainers.image.title': HOSTILE } }],
      {
        annotations: {
          [HOSTILE]: HOSTILE,
          'org.opencontainers.image.source': 'javascript:alert(1)',
          'org.opencontainers.image.url': 'https://good.example/a?b=1&c="2',
          'org.opencontainers.image.documentation': 'https://name:secret@bad.example/',
          'org.opencontainers.image.vendor': 'http://plain.example/',
        },
      },
    )
    image = await contentOf(encode(document))
    await registry.putManifest(`/v2/${repository}/manifests/v1`, image.bytes)
    await registry.pushImage(repository, {
      seed: 2,
      subject: descriptorOf(image),
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      annotations: { [HOSTILE]: 'data:text/html,x' },
    })
  })

  it('is text on every page', async () => {
    for (const path of ['/_/images/hosted/team/app', '/_/images/hosted/team/app:v1']) {
      const html = await page(path, 'reader')
      expect(html).not.toMatch(/<script|<b>|href="(javascript|data|http):/)
    }
    const html = await page('/_/images/hosted/team/app:v1', 'reader')
    const escaped = '&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;'
    expect(html.split(escaped).length - 1).toBeGreaterThanOrEqual(9)
  })

  it('is a link only where it is https, and takes nothing along', async () => {
    const html = await page('/_/images/hosted/team/app:v1', 'reader')
    const outward = [...html.matchAll(/<a href="(https?:[^"]*)"([^>]*)>/g)]
    expect(outward.map(([, url]) => url)).toEqual(['https://good.example/a?b=1&amp;c=%222'])
    expect(outward[0]?.[2]).toContain('rel="noreferrer noopener nofollow"')
    expect(html).toContain('javascript:alert(1)')
  })

  it('is shown: what the image is for, how it was built, and who has signed it', async () => {
    const words = wordsOf(await page('/_/images/hosted/team/app:v1', 'reader'))
    expect(words).toContain('1 layer')
    expect(words).toContain('Created 2 Nov 2026, 00:00 UTC')
    expect(words).toContain('&quot;two words&quot;')
    expect(words).toContain('History Step Created Layer')
    expect(words).toContain('signature application/vnd.dev.sigstore.bundle.v0.3+json')
    expect(words).toContain('crane pull registry.test/hosted/team/app:v1 image.tar')
  })
})
