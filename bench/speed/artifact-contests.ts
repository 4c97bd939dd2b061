// What is deployed: how large the Worker is that `wrangler deploy` uploads, and how long it takes to start.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { describeWorker } from '../../cli/worker-bundle.ts'
import { Child } from '../call.ts'
import type { Contender, Contest } from './contest.ts'
import type { Stand } from './stand.ts'
import type { StartupCalls } from './startup-process.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
/** What the issue allows (KiB), and what Cloudflare allows a Worker's start (milliseconds). */
const LIMITS = { bundle: 120, startup: 1000 } as const
const STARTS = 5

/** The bundle and its start. */
export function artifactContests(stand: Stand): readonly Contest[] {
  const sized = (name: string, options: readonly string[]): Contender => ({
    name,
    ready: async () => {
      const worker = await bundle(stand, options)
      return async () => gzipSync(worker).byteLength / 1024
    },
  })
  const deployed = sized('entrepot', [])
  const plain = sized('entrepot', ['--no-minify'])
  const limit = limited('the limit of the issue', LIMITS.bundle)
  const startup: Contender = {
    name: 'entrepot',
    ready: async () => {
      const worker = (await bundle(stand, [])).toString()
      const { options } = describeWorker({ secrets: false })
      const compatibilityDate = String(options['compatibilityDate'])
      return () => profile(worker, compatibilityDate)
    },
  }
  return [
    {
      unit: 'KiB',
      rounds: 1,
      comparisons: [
        { row: 'bundle, gzip, as it is deployed', of: deployed, against: limit, target: 1 },
        { row: 'bundle, gzip, not minified', of: plain, against: limit },
      ],
    },
    {
      unit: 'ms',
      rounds: STARTS,
      comparisons: [
        {
          row: 'start-up CPU',
          of: startup,
          against: limited("Cloudflare's limit", LIMITS.startup),
        },
      ],
    },
  ]
}

function limited(name: string, limit: number): Contender {
  return { name, ready: async () => async () => limit }
}

/** The module that `wrangler deploy` would upload. */
function bundle(stand: Stand, options: readonly string[]): Promise<Buffer> {
  const folder = join(stand.folder, ['bundle', ...options].join(''))
  return stand.once(folder, async () => {
    const args = [WRANGLER, 'deploy', '--dry-run', '--outdir', folder, ...options]
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG_PATH: stand.folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let output = ''
    child.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()))
    const [code] = (await once(child, 'close')) as [number | null]
    if (code !== 0) throw new Error(`wrangler deploy --dry-run failed: ${output}`)
    return readFile(join(folder, 'worker.js'))
  })
}

async function profile(worker: string, compatibilityDate: string): Promise<number> {
  const child = new Child<StartupCalls>('speed/startup-process.ts')
  try {
    return await child.call('profile', { worker, compatibilityDate })
  } finally {
    await child.close()
  }
}
