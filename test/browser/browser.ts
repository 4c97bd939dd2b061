// Chromium without a window and without a word to anybody, each look at a page in a context of its own; and what a look has
// found besides the page: what the console said, and whom it asked.

import { join } from 'node:path'
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from 'playwright-core'
import type { Workspace } from '../clients/process.ts'

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts one, whose profile lies in the folder of the run. */
export async function startBrowser(workspace: Workspace, executablePath: string): Promise<Browser> {
  const home = await workspace.folderOf('browser')
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: QUIET,
    env: { ...definedOf(process.env), HOME: home, XDG_CONFIG_HOME: join(home, 'config') },
  })
  workspace.onClose(() => browser.close())
  return browser
}

/** How somebody looks: `phone` is as narrow as phones are. */
export interface Look {
  readonly colorScheme: 'light' | 'dark'
  readonly width: number
  readonly hasScripts: boolean
}

/** A page that is looked at. */
export interface Visit {
  readonly page: Page
  /** What should not be: errors on the console, and requests to somebody else. */
  readonly faults: readonly string[]
}

/** Opens a page, looks, and closes it again. */
export async function visit(
  browser: Browser,
  {
    look,
    url,
    login,
  }: {
    readonly look: Look
    readonly url: string
    readonly login?: BrowserContextOptions['httpCredentials']
  },
  action: (visit: Visit) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext({
    colorScheme: look.colorScheme,
    viewport: { width: look.width, height: 900 },
    javaScriptEnabled: look.hasScripts,
    ...(login !== undefined && { httpCredentials: login }),
  })
  try {
    if (login !== undefined) await logIn(context, url)
    const page = await context.newPage()
    const faults: string[] = []
    const { origin } = new URL(url)
    page.on('console', (message) => faults.push(`console: ${message.text()}`))
    page.on('pageerror', (error) => faults.push(`page: ${error.message}`))
    page.on('dialog', (dialog) => faults.push(`dialog: ${dialog.message()}`))
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== origin) faults.push(`request: ${request.url()}`)
    })
    page.on('requestfailed', (request) => faults.push(`failed: ${request.url()}`))
    await page.goto(url)
    await action({ page, faults })
  } finally {
    await context.close()
  }
}

/** From then on the browser shows the login without being asked. */
async function logIn(context: BrowserContext, url: string): Promise<void> {
  const page = await context.newPage()
  await page.goto(new URL('/_/login', url).href)
  await page.close()
}

function definedOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  )
}
