// The pictures of the README: the four pages as an operator sees them.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { write } from '../clients/suite.ts'
import { visit, type Look } from './browser.ts'
import type { Stage } from './stage.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'docs', 'screenshots')
/** No picture is larger (bytes). */
const MAX_SIZE = 200_000

const PICTURES: readonly {
  readonly name: string
  readonly path: string
  readonly isDark?: true
}[] = [
  { name: 'overview', path: '/_/' },
  { name: 'overview-dark', path: '/_/', isDark: true },
  { name: 'images', path: '/_/images' },
  { name: 'image', path: '/_/images/hosted/platform/api:2.4.0' },
  { name: 'connect', path: '/_/connect?client=containerd&upstream=ghcr.io' },
  { name: 'activity', path: '/_/activity' },
]

/** Takes them. */
export async function takeScreenshots(stage: Stage, browser: Browser): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  for (const { name, path, isDark } of PICTURES) {
    const look: Look = { colorScheme: isDark ? 'dark' : 'light', width: 1280, hasScripts: false }
    await visit(
      browser,
      { look, url: stage.url + path, login: stage.operator },
      async ({ page }) => {
        const picture = await page.screenshot({ fullPage: true })
        if (picture.length > MAX_SIZE) throw new Error(`${name} has ${picture.length} bytes`)
        await writeFile(join(FOLDER, `${name}.png`), picture)
        write(`docs/screenshots/${name}.png, ${Math.round(picture.length / 1024)} KiB`)
      },
    )
  }
}
