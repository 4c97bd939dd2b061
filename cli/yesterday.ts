// A registry as it was a day ago: nobody removes what was read in the last hours, so whoever shows what is removed needs
// images that are older than itself.

import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

import { pull } from './puller.ts'
import { serve } from './serve.ts'

/** Isolates tell within so long of what was read (milliseconds). */
const TOLD = 3000

/** Milliseconds. */
const DAY = 86_400_000

const WORKER = JSON.stringify(join(import.meta.dirname, '../src/local-worker.ts'))

/** The Worker of this machine, with the clock of yesterday. */
const YESTERDAY = `
import worker from ${WORKER}
export * from ${WORKER}
const today = Date.now.bind(Date)
Date.now = () => today() - ${DAY}
export default worker
`

/** A registry that does not run: where its state lies, and its settings. */
export interface PastRegistry {
  /** For a file of its own. */
  readonly folder: string
  readonly persistTo: string
  readonly vars: Readonly<Record<string, string>>
}

/** The registry of yesterday pulls these, and is stopped. */
export async function liveYesterday(
  { folder, persistTo, vars }: PastRegistry,
  images: readonly (readonly [repository: string, tag: string])[],
): Promise<void> {
  const main = join(folder, 'yesterday.ts')
  await writeFile(main, YESTERDAY)
  const how = { host: '127.0.0.1', port: 0, persistTo, vars, secrets: false, main } as const
  const registry = await serve({ ...how, handlesSignals: true })
  try {
    for (const [repository, tag] of images) await pull(registry.url, repository, tag)
    await sleep(TOLD)
  } finally {
    await registry.stop()
  }
  await dateBack(persistTo)
}

/** The simulator of R2 has a clock of its own: what it has stored so far was stored a day before. */
async function dateBack(persistTo: string): Promise<void> {
  const files = await readdir(persistTo, { recursive: true })
  for (const file of files.filter((each) => each.endsWith('.sqlite'))) {
    const database = new DatabaseSync(join(persistTo, file))
    try {
      const known = `SELECT 1 FROM sqlite_master WHERE name = '_mf_objects'`
      if (database.prepare(known).get() === undefined) continue
      database.exec(`UPDATE _mf_objects SET uploaded = uploaded - ${DAY}`)
    } finally {
      database.close()
    }
  }
}
