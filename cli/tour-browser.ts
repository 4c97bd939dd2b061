// The chapter of the tour about the pages: a real browser opens each of them, in the name of the administrator.

import { existsSync } from 'node:fs'

import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'

import type { TourGuide } from './tour-guide.ts'
import type { TourStage } from './tour-stage.ts'

/** Debian's. */
const CHROMIUM = '/usr/bin/chromium'

/** Each page, and what must be read on it. */
const PAGES: readonly (readonly [path: string, words: readonly string[]])[] = [
  ['/_/', ['docker.io']],
  ['/_/images', ['docker.io/library/nginx', 'hosted/nginx']],
  ['/_/images?search=redis', ['docker.io/library/redis']],
  ['/_/images/docker.io/library/nginx', ['1.29']],
  ['/_/images/hosted/nginx:1.29', ['linux/amd64', 'linux/arm64']],
  ['/_/connect', ['containerd', 'podman']],
  ['/_/activity', ['collect', 'administrator']],
]

/** The pages are opened, and ask nobody but this registry for anything. */
export async function browses(guide: TourGuide, stage: TourStage): Promise<void> {
  if (!existsSync(CHROMIUM)) {
    guide.say(`!!! THERE IS NO ${CHROMIUM}: NOBODY LOOKS AT THE PAGES !!!`)
    guide.check('whoever runs this is no CI, which must have a browser', !process.env['CI'])
    return
  }
  // What runs as root can have no sandbox.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const browser = await chromium.launch({ executablePath: CHROMIUM, args })
  try {
    await openPages(browser, guide, stage)
  } finally {
    await browser.close()
  }
}

async function openPages(browser: Browser, guide: TourGuide, stage: TourStage): Promise<void> {
  const { origin } = stage.url
  // Without JavaScript everything must be there too.
  const context = await browser.newContext({
    javaScriptEnabled: false,
    httpCredentials: { ...(await stage.administrator()), send: 'always', origin },
    viewport: { width: 390, height: 844 },
  })
  const page = await context.newPage()
  const foreign: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) foreign.push(url)
  })
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  for (const [path, words] of PAGES) await openPage(page, { guide, path, words, origin })
  for (const each of [...foreign, ...complaints]) guide.say(each)
  guide.same('requests to anybody else', foreign.length, 0)
  guide.same('complaints of the browser', complaints.length, 0)
}

interface Opening {
  readonly guide: TourGuide
  readonly path: string
  readonly words: readonly string[]
  readonly origin: string
}

async function openPage(page: Page, { guide, path, words, origin }: Opening): Promise<void> {
  const response = await page.goto(`${origin}${path}`)
  const text = await page.locator('body').innerText()
  const title = await page.title()
  const missing = words.filter((word) => !text.toLowerCase().includes(word.toLowerCase()))
  const about = missing.length === 0 ? `with ${words.join(', ')}` : `WITHOUT ${missing.join(', ')}`
  guide.check(`${path} is "${title}", ${about}`, response?.status() === 200 && missing.length === 0)
  const { scrollWidth, clientWidth } = await page.locator('html').evaluate((root) => ({
    scrollWidth: root.scrollWidth,
    clientWidth: root.clientWidth,
  }))
  guide.check(`${path} fits a phone`, scrollWidth <= clientWidth)
}
