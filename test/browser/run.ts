// The pages in a real browser: `npm run test:browser`, which needs Debian's chromium. With `--screenshots` it takes the
// pictures of `docs/screenshots/` as well; with a part of a group's name only its rows run.

import { existsSync } from 'node:fs'
import { Workspace } from '../clients/process.ts'
import { Suite, write } from '../clients/suite.ts'
import { startBrowser } from './browser.ts'
import { pageRows } from './page-rows.ts'
import { takeScreenshots } from './screenshots.ts'
import { buildStage } from './stage.ts'

const CHROMIUM = '/usr/bin/chromium'

async function main(): Promise<number> {
  if (!existsSync(CHROMIUM)) {
    write(`${CHROMIUM} is not there: apt-get install chromium`)
    return 1
  }
  const asked = process.argv.slice(2)
  const wantsPictures = asked.includes('--screenshots')
  const pattern = asked.filter((word) => word !== '--screenshots').join(' ')
  const workspace = new Workspace()
  const suite = new Suite(pattern, () => workspace.tails(12))
  try {
    const stage = await buildStage(workspace)
    const browser = await startBrowser(workspace, CHROMIUM)
    await pageRows(suite, stage, browser)
    if (wantsPictures) await takeScreenshots(stage, browser)
    return suite.finish() ? 0 : 1
  } catch (error) {
    write(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return 1
  } finally {
    await workspace.close()
  }
}

process.exit(await main())
