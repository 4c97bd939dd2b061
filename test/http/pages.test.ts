// The pages below `/_/`: who sees which, what every answer carries, what overview and activity say, and that a page is
// still one when an object is away.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import { NO_SUMS } from '../../src/meter/tally.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { DAY, HOUR, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const HTML = { accept: 'text/html,application/xhtml+xml' }
const PAGES = ['/_/', '/_/images', '/_/connect', '/_/activity']
const ADMIN_PAGES = ['/_/', '/_/activity', '/_/activity?job=purge-1-2']
const CHALLENGE = 'Basic realm="entrepot", charset="UTF-8"'

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let admin: Readonly<Record<string, string>>

beforeEach(async () => {
  clock = stopClock()
  goOnline({ 'one.test': startUpstream() })
  const configured = await accounts({
    root: [granting('**', 'admin')],
    owner: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { LOGIN_LIMIT: undefined, ...configured }
  admin = { ...HTML, authorization: basic('root') }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** A page as an administrator's browser gets it. */
async function page(
  path: string,
  changed: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const answer = await isolate({ ...settings, ...changed }).get(path, admin)
  expect(answer.status).toBe(200)
  return answer.text()
}

/** What a reader sees of it: its words. */
function wordsOf(html: string): string {
  return html
    .replace(/<(head|title|desc)\b[\s\S]*?<\/\1>/g, ' ')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

/** What an hour brought. */
async function handOver(number: number, sums: Partial<typeof NO_SUMS>): Promise<void> {
  const batches = [{ number, series: {}, sums: { ...NO_SUMS, ...sums } }]
  await env.METER.getByName('meter').handOver({ isolate: 'a test', batches })
}

describe('every page', () => {
  it.each([...PAGES, '/_/nothing', '/_/images/one.test/none'])(
    '%s has a browser do nothing but show it',
    async (path) => {
      const answer = await isolate(settings).get(path, admin)
      expect(answer.headers.get('content-security-policy')).toBe(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      )
      expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      const html = await answer.text()
      expect(html).toMatch(/^<!doctype html><html lang="en">/)
      expect(html).not.toMatch(/<script|<style|<iframe| style=| on[a-z]+=|javascript:/i)
      // Nothing is loaded but the sheet and the icon, and no form leads elsewhere or changes anything.
      const loaded = [...html.matchAll(/(?:src|<link[^>]*href)="([^"]*)"/g)].map(([, url]) => url)
      for (const url of loaded) expect(url).toMatch(/^\/_\/(style\.css\?v=[a-z0-9]+|icon\.svg)$/)
      for (const [form] of html.matchAll(/<form[^>]*>/g)) {
        expect(form).toMatch(/method="get" action="\/_\//)
      }
    },
  )

  it.each([...PAGES, '/_/login', '/_/style.css', '/_/images/one.test/a'])(
    '%s is read and nothing else',
    async (path) => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        const answer = await isolate(settings).fetch(path, { method, headers: admin })
        expect(answer.status).toBe(405)
        expect(answer.headers.get('allow')).toBe('GET, HEAD')
      }
    },
  )

  it('has a head, a navigation that says where one is, and one heading', async () => {
    for (const path of PAGES) {
      const html = await page(path)
      expect(html.match(/<h1/g)).toHaveLength(1)
      expect(html.match(/aria-current="page"/g)).toHaveLength(1)
      expect(html).toContain(`<a href="${path}" aria-current="page">`)
      expect(html).toMatch(/<main id="main">/)
    }
  })

  it('answers HEAD like GET', async () => {
    const worker = isolate(settings)
    const got = await worker.get('/_/connect', HTML)
    const head = await worker.head('/_/connect', HTML)
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
    expect(head.headers.get('content-length')).toBe(String((await got.arrayBuffer()).byteLength))
  })

  it('is counted and logged by a name of ours, whatever the path', async () => {
    const worker = isolate(settings)
    const paths = [
      '/_/',
      '/_/images/one.test/x',
      '/_/nope/"><b>',
      '/_/images/..%2f',
      '/_/style.css',
    ]
    for (const path of paths) await worker.get(path, admin)
    expect(worker.lines('request').map(({ endpoint }) => endpoint)).toEqual([
      'page-overview',
      'page-image',
      'page',
      'page-image',
      'page-file',
    ])
  })

  it('is where /_ leads', async () => {
    const answer = await isolate(settings).get('/_', HTML)
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/_/'])
  })
})

describe('the sheet and the icon', () => {
  it('are kept for ever by their version, and checked by their mark without one', async () => {
    const worker = isolate(settings)
    const href = /href="(\/_\/style\.css\?v=[^"]*)"/.exec(await page('/_/connect'))?.[1] ?? ''
    const versioned = await worker.get(href)
    expect(versioned.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(versioned.headers.get('content-type')).toBe('text/css; charset=utf-8')
    expect(await versioned.text()).toContain('prefers-color-scheme:dark')
    for (const path of ['/_/style.css', '/_/style.css?v=older']) {
      const plain = await worker.get(path)
      expect(plain.headers.get('cache-control')).toBe('no-cache')
      const etag = plain.headers.get('etag') ?? ''
      expect((await worker.get(path, { 'if-none-match': etag })).status).toBe(304)
    }
    const icon = await worker.get('/_/icon.svg')
    expect(icon.headers.get('content-type')).toBe('image/svg+xml')
  })
})

describe('who may not', () => {
  it.each(ADMIN_PAGES)('is asked by %s for a login as a browser can give it', async (path) => {
    const away = { UPSTREAM_GATE: broken('objects'), METER: broken('objects') }
    const worker = isolate({ ...settings, ...away, JOB: broken('objects') })
    for (const authorization of [undefined, basic('owner'), basic('root', 'wrong')]) {
      const headers = { ...HTML, ...(authorization !== undefined && { authorization }) }
      const answer = await worker.get(path, headers)
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe(CHALLENGE)
      expect(wordsOf(await answer.text())).toContain('Log in')
    }
    expect(worker.lines('page-part-away')).toEqual([])
  })

  it('is told so in JSON where no page was asked for', async () => {
    const answer = await isolate(settings).get('/_/')
    expect(answer.headers.get('www-authenticate')).toBe(CHALLENGE)
    expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
  })

  it('is held up after too many wrong passwords', async () => {
    const LOGIN_LIMIT = { limit: async () => ({ success: false }) }
    const worker = isolate({ ...settings, LOGIN_LIMIT })
    for (const path of ['/_/', '/_/images', '/_/login']) {
      const answer = await worker.get(path, { ...HTML, authorization: basic('root', 'wrong') })
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '60'])
      expect(wordsOf(await answer.text())).toContain('Too many attempts')
    }
  })

  it('logs in at /_/login, with any account', async () => {
    const worker = isolate(settings)
    const asked = await worker.get('/_/login', HTML)
    expect([asked.status, asked.headers.get('www-authenticate')]).toEqual([401, CHALLENGE])
    const answer = await worker.get('/_/login', { ...HTML, authorization: basic('owner') })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/_/images'])
  })

  it('sees a page where nothing is, without what was asked for in it', async () => {
    const answer = await isolate(settings).get('/_/<script>alert(1)</script>', HTML)
    expect(answer.status).toBe(404)
    const html = await answer.text()
    expect(html).toContain('<h1>Not found</h1>')
    expect(html).not.toContain('alert')
  })
})

describe('the overview', () => {
  it('says that nothing has happened yet', async () => {
    const html = await page('/_/')
    const words = wordsOf(html)
    expect(words).toContain('Hit rate – – in 30 days')
    expect(words).toContain('Bytes saved 0 B')
    expect(words).toContain('Not measured yet')
    expect(words).toContain('Nothing runs.')
    expect(html).not.toMatch(/NaN|Infinity|undefined|\[object/)
  })

  it('adds up the last 24 hours and 30 days, and leaves a gap where nobody came', async () => {
    const start = clock.now()
    const back = (milliseconds: number): void => clock.advance(start - milliseconds - clock.now())
    const traffic = { hits: 900, misses: 100, cachedBytes: 3 * 1024 ** 3, passedBytes: 1024 ** 3 }
    back(10 * DAY)
    await handOver(1, { ...traffic, requests: 5000, upstreamRequests: 100 })
    back(3 * HOUR)
    await handOver(2, { ...traffic, requests: 1200, hits: 990, misses: 10, upstreamRequests: 10 })
    back(HOUR)
    await handOver(3, { requests: 34, fillsStored: 7, fillsFailed: 2, readBytes: 2048 })
    back(0)
    const html = await page('/_/')
    const words = wordsOf(html)
    expect(words).toContain('Hit rate 99 % 94.5 % in 30 days')
    expect(words).toContain('Bytes saved 3 GiB 6 GiB in 30 days')
    expect(words).toContain('Upstream requests 1 per 100 1 per 18.2 in 30 days')
    expect(words).toContain('Requests 1,234 6,234 in 30 days')
    expect(words).toContain('Fills 7 2 failed; 7 in 30 days')
    expect(words).toContain('1,000 manifests and blobs')
    expect(words).toContain('asked 10 times and sent 2 KiB')
    // One hour of 24 with traffic to images, hence one dot; two days of 30.
    const lines = [...html.matchAll(/class="line" d="([^"]*)"/g)].map(([, path]) => path)
    expect(lines.map((path) => path?.match(/M[^M]*/g)?.map((run) => run.endsWith('h0')))).toEqual([
      [true],
      [true, true],
    ])
    expect(html).toContain('Between 99 % and 99 %; 23 of 24 without traffic.')
    expect(html).toContain(': no traffic</title>')
    expect(words).toContain('99 % 3 GiB 1 GiB 10')
  })

  it('says nothing of requests to upstreams for what nobody pulled', async () => {
    await handOver(1, { upstreamRequests: 5 })
    expect(wordsOf(await page('/_/'))).toContain('Upstream requests – – in 30 days')
  })

  it('never rounds up to everything', async () => {
    await handOver(1, { hits: 99_999, misses: 1 })
    expect(wordsOf(await page('/_/'))).toContain('Hit rate 99.9 %')
  })

  it('shows how an upstream stands', async () => {
    const upstream = startUpstream({ rateLimit: { limit: 100, remaining: 19 } })
    await addSample(upstream, 'a/b', await sampleImage(), 'v1')
    goOnline({ 'budget.test': upstream })
    const path = '/v2/budget.test/a/b/manifests/v1'
    const pulled = await isolate(settings).get(path, { authorization: basic('owner') })
    expect(pulled.status).toBe(200)
    const html = await page('/_/')
    expect(wordsOf(html)).toContain('18 of 100 left')
    expect(html).toContain('aria-label="18 % of the budget is left"')
    expect(html).toContain('<rect class="low" width="18.00"')
  })

  it('shows what is switched on', async () => {
    expect(await page('/_/')).not.toContain('Switched on')
    await authority().setSwitches({ readOnly: true, paused: ['one.test'] }, 'root')
    const words = wordsOf(await page('/_/'))
    expect(words).toContain('Switched on Read only')
    expect(words).toContain('Paused: one.test.')
    expect(words).toContain('one.test Paused')
    expect(words).not.toContain('No fills')
  })

  it('shows storage against its target', async () => {
    const hosts = {
      'one.test': { bytes: 3 * 1024 ** 2, objects: 40 },
      'two.test': { bytes: 1024 ** 2, objects: 1200 },
    }
    const figures = { at: clock.now() - HOUR, hosts }
    const wanted = { STORAGE_TARGET: { target: '8MiB', low: '6MiB' } }
    await env.METER.getByName('meter').measured(figures)
    const html = await page('/_/', wanted)
    const words = wordsOf(html)
    expect(words).toContain('4 MiB of 8 MiB mirrored')
    expect(words).toContain('50 % of the target; a collection frees down to 6 MiB')
    expect(words).toContain('one.test 3 MiB 75 % 40 two.test 1 MiB 25 % 1,200')
    expect(html).toContain('<rect class="mark" x="75.00"')
  })

  it.each([
    { what: 'The counts of this registry', away: { METER: broken('objects') } },
    { what: 'What is stored', away: { METER: broken('objects') } },
    { what: 'The list of jobs', away: { BLOBS: broken('store') } },
  ])('is still one when $what is away', async ({ what, away }) => {
    const words = wordsOf(await page('/_/', away))
    expect(words).toContain(`${what} cannot be read just now.`)
    expect(words).toContain('Upstreams')
  })

  it('is still one when gates and accounts are away', async () => {
    const away = { UPSTREAM_GATE: broken('objects'), AUTHORITY: broken('objects') }
    const words = wordsOf(await page('/_/', away))
    expect(words).toContain('the object that knows is away')
    expect(words).toContain('Hit rate')
  })
})

describe('activity', () => {
  it('says that nothing has been done yet', async () => {
    const words = wordsOf(await page('/_/activity'))
    expect(words).toContain('No job has run yet.')
    expect(words).toContain('Nobody has changed anything.')
  })

  it('shows who changed what, the newest first, 50 on a page', async () => {
    for (let index = 1; index <= 53; index++)
      await authority().note('purge', `image-${index}`, 'root')
    await authority().note('refresh', '"><script>alert(1)</script>', '')
    const html = await page('/_/activity')
    expect(html).not.toContain('<script')
    const words = wordsOf(html)
    expect(words).toContain('schedule refreshed &quot;&gt;&lt;script&gt;')
    expect(words).toMatch(/root started purge image-53 .*image-52 .*image-5 /)
    expect(words).not.toContain('image-4 ')
    const next = /href="([^"]*)" rel="next"/.exec(html)?.[1] ?? ''
    expect(next).toBe('/_/activity?audit=50#audit')
    const older = wordsOf(await page('/_/activity?audit=50'))
    expect(older).toContain('image-4 ')
    expect(older).not.toContain('image-5 ')
  })

  it('shows jobs, and what one has done', async () => {
    const worker = isolate(settings)
    const started = await worker.fetch('/_/api/jobs', {
      method: 'POST',
      headers: { ...admin, 'content-type': 'application/json' },
      body: JSON.stringify({ kind: 'purge', target: 'one.test/a/b' }),
    })
    const { id }: { readonly id: string } = await started.json()
    await vi.waitFor(async () => {
      const { state } = (await env.JOB.getByName(id).status()) ?? {}
      expect(state).toBe('done')
    })
    const list = await page('/_/activity')
    expect(wordsOf(list)).toMatch(/purge one\.test\/a\/b Done .* root /)
    expect(list).toContain(`href="/_/activity?job=${id}"`)
    const one = wordsOf(await page(`/_/activity?job=${id}`))
    expect(one).toContain('State Done')
    expect(one).toContain(`Id ${id}`)
    expect(one).toContain('Report')
  })

  it('knows no other jobs', async () => {
    for (const id of ['purge-1-2', '"><script>', '']) {
      const path = `/_/activity?job=${encodeURIComponent(id)}`
      const answer = await isolate(settings).get(path, admin)
      expect(answer.status).toBe(404)
      expect(await answer.text()).not.toContain('<script')
    }
  })

  it.each(['/_/activity?audit=-1', '/_/activity?audit=x', '/_/activity?cursor=%00'])(
    '%s is a page',
    async (path) => {
      expect(wordsOf(await page(path))).toContain('Audit')
    },
  )

  it('is still one when storage and accounts are away', async () => {
    const away = { BLOBS: broken('store'), AUTHORITY: broken('objects'), JOB: broken('objects') }
    const words = wordsOf(await page('/_/activity', away))
    expect(words).toContain('The list of jobs cannot be read just now.')
    expect(words).toContain('The audit cannot be read just now.')
    const job = wordsOf(await page('/_/activity?job=purge-1-2', away))
    expect(job).toContain('The job cannot be read just now.')
  })
})
