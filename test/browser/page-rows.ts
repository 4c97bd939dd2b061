// The rows: every page in light, dark and on a phone, with scripts and without; a login, a search, a choice, by keyboard.

import type { Browser } from 'playwright-core'
import { expectEqual } from '../clients/client.ts'
import type { Suite } from '../clients/suite.ts'
import { visit, type Look, type Visit } from './browser.ts'
import { EXAMINATION } from './examine.ts'
import { HOSTILE, type Stage } from './stage.ts'

const LOOKS: readonly (Look & { readonly name: string })[] = [
  { name: 'light', colorScheme: 'light', width: 1280, hasScripts: true },
  { name: 'dark, without scripts', colorScheme: 'dark', width: 1280, hasScripts: false },
  { name: 'on a tablet', colorScheme: 'light', width: 768, hasScripts: false },
  { name: 'on a phone', colorScheme: 'light', width: 360, hasScripts: false },
  { name: 'on a phone at night', colorScheme: 'dark', width: 360, hasScripts: true },
]
const DESK: Look = { colorScheme: 'light', width: 1280, hasScripts: true }
const PHONE: Look = { colorScheme: 'light', width: 360, hasScripts: false }

/** Each page, and words that must be on it. */
const PAGES: readonly { readonly path: string; readonly words: readonly string[] }[] = [
  { path: '/_/', words: ['Hit rate', 'Bytes saved', 'of 200 left', 'Paused', 'cannot be reached'] },
  { path: '/_/images', words: ['docker.io/library/nginx', 'hosted/platform/api', 'mirrored'] },
  { path: '/_/images?search=PLATFORM&kind=hosted', words: ['hosted/platform/web'] },
  {
    path: '/_/images/docker.io/library/nginx',
    words: ['1.29-alpine', 'linux/arm64', 'docker pull'],
  },
  {
    path: '/_/images/hosted/platform/api:2.4.0',
    words: ['linux/amd64', 'signature', 'crane pull'],
  },
  { path: '/_/images/hosted/zz/hostile:v1', words: ['javascript:alert(1)', HOSTILE, 'ENTRYPOINT'] },
  { path: '/_/connect', words: ['hosts.toml', 'capabilities = ["pull", "resolve"]'] },
  { path: '/_/connect?client=podman&capability=yes', words: ['/t/<secret>/quay.io'] },
  { path: '/_/activity', words: ['purge', 'added account', 'Waiting'] },
  { path: '/_/nothing', words: ['Not found'] },
]

/** All of them. */
export async function pageRows(suite: Suite, stage: Stage, browser: Browser): Promise<void> {
  const login = stage.operator
  for (const look of LOOKS) {
    for (const { path, words } of PAGES) {
      await suite.row(look.name, path, () =>
        visit(browser, { look, url: stage.url + path, login }, async (seen) => {
          await expectSound(seen, path)
          const text = await seen.page.locator('main').innerText()
          for (const word of words)
            if (!text.includes(word)) throw new Error(`no ${word} in ${text}`)
        }),
      )
    }
  }
  await useRows(suite, stage, browser)
}

/** What somebody does. */
async function useRows(suite: Suite, stage: Stage, browser: Browser): Promise<void> {
  const at = (path: string, look: Look, action: (seen: Visit) => Promise<void>): Promise<void> =>
    visit(browser, { look, url: stage.url + path, login: stage.operator }, action)
  await suite.row('use', 'the browser asks for a login, and a wrong one is told so on a page', () =>
    visit(
      browser,
      { look: DESK, url: `${stage.url}/_/connect`, login: { username: 'operator', password: 'x' } },
      async ({ page }) => {
        const answer = await page.goto(`${stage.url}/_/`)
        expectEqual('status', answer?.status(), 401)
        expectEqual('heading', await page.locator('h1').innerText(), 'Log in')
      },
    ),
  )
  await suite.row('use', 'nobody sees what is for everybody, and nothing else', () =>
    visit(browser, { look: DESK, url: `${stage.url}/_/images` }, async ({ page, faults }) => {
      const text = await page.locator('main').innerText()
      expectEqual('mirrored', text.includes('docker.io/library/nginx'), true)
      expectEqual('hosted', text.includes('hosted/'), false)
      expectEqual('faults', faults.join('\n'), '')
    }),
  )
  await suite.row('use', 'a search, by keyboard and without scripts', () =>
    at('/_/images', PHONE, async ({ page }) => {
      await page.getByLabel('Name contains').fill('prometheus')
      await page.keyboard.press('Enter')
      await page.waitForURL(/search=prometheus/)
      const names = await page.locator('table a').allInnerTexts()
      expectEqual('names', names.join(), 'quay.io/prometheus/prometheus')
    }),
  )
  await suite.row('use', 'a client and an upstream are chosen', () =>
    at('/_/connect', PHONE, async ({ page }) => {
      await page.locator('select[name=client]').selectOption('k3s')
      await page.locator('select[name=upstream]').selectOption('ghcr.io')
      await page.getByRole('button', { name: 'Show' }).click()
      await page.waitForURL(/client=k3s/)
      const text = await page.locator('pre').first().innerText()
      expectEqual(
        'file',
        text.trim(),
        `mirrors:\n  "ghcr.io":\n    endpoint: ["${stage.url}/v2/ghcr.io"]`,
      )
    }),
  )
  await suite.row('use', 'from the list to a layer, by links alone', () =>
    at('/_/images', DESK, async ({ page, faults }) => {
      await page.getByRole('link', { name: 'docker.io/library/node' }).click()
      await page.getByRole('link', { name: '24-slim', exact: true }).click()
      await page.locator('table[aria-label=Platforms] a').first().click()
      await page.getByRole('heading', { name: 'Layers' }).waitFor()
      expectEqual('rows', await page.locator('table[aria-label=Layers] tbody tr').count(), 3)
      expectEqual('faults', faults.join('\n'), '')
    }),
  )
  await suite.row('use', 'one click selects a command', () =>
    at('/_/connect?client=docker', DESK, async ({ page }) => {
      await page.locator('pre.copy').first().click()
      const selected = String(await page.evaluate('getSelection().toString()')).trim()
      expectEqual('selected', selected.startsWith('{ "registry-mirrors"'), true)
    }),
  )
  await suite.row(
    'use',
    'the first stop of the keyboard leads past the navigation, and is seen',
    () =>
      at('/_/activity', DESK, async ({ page }) => {
        await page.keyboard.press('Tab')
        const focused = page.locator(':focus')
        expectEqual('first', await focused.innerText(), 'Skip to content')
        expectEqual('place', ((await focused.boundingBox())?.x ?? -1) >= 0, true)
        await page.keyboard.press('Tab')
        const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
        expectEqual('outline', outline, 'solid')
      }),
  )
  await suite.row('use', 'the figures of a plot are also a table', () =>
    at('/_/', DESK, async ({ page }) => {
      await page.locator('summary').first().click()
      const rows = page.locator('details[open] tbody tr')
      expectEqual('hours', await rows.count(), 24)
      expectEqual(
        'figures',
        /%.*iB/.test((await rows.nth(2).innerText()).replaceAll('\n', ' ')),
        true,
      )
    }),
  )
  await suite.row('use', 'on paper there is no navigation, and nothing is cut off', () =>
    at('/_/', DESK, async ({ page }) => {
      await page.emulateMedia({ media: 'print' })
      expectEqual('navigation', await page.locator('nav').first().isVisible(), false)
      expectEqual(
        'wide',
        await page.evaluate('document.scrollingElement.scrollWidth <= innerWidth'),
        true,
      )
    }),
  )
}

async function expectSound({ page, faults }: Visit, path: string): Promise<void> {
  const found = await page.evaluate(EXAMINATION)
  expectEqual('breaches', (found as readonly string[]).join('\n'), '')
  // The console also tells of the one answer that is meant to be an error.
  const isMeant = (fault: string): boolean => path === '/_/nothing' && fault.includes('404')
  expectEqual('faults', faults.filter((fault) => !isMeant(fault)).join('\n'), '')
}
