// The Worker and its bindings as wrangler.toml describes them, ready for Miniflare.

import { join } from 'node:path'

import { build } from 'esbuild'
import type { Json, V4WorkerOptionsShape } from 'miniflare'
import {
  unstable_getMiniflareWorkerOptions as getMiniflareWorkerOptions,
  unstable_readConfig as readConfig,
} from 'wrangler'

const ROOT = join(import.meta.dirname, '..')
/** The Worker of a registry on this machine; what is deployed is `main` of wrangler.toml. */
const LOCAL_WORKER = join(ROOT, 'src', 'local-worker.ts')

/** What wrangler.toml declares, and the settings that the Worker would run with. */
export interface WorkerDescription {
  readonly name: string
  readonly main: string
  readonly options: V4WorkerOptionsShape
  /** `[vars]`, and `.dev.vars` where that was asked for. */
  readonly settings: Readonly<Record<string, Json>>
}

/** Reads wrangler.toml, and with `secrets` also `.dev.vars` beside it. */
export function describeWorker(how: { readonly secrets: boolean }): WorkerDescription {
  // Wrangler would take every variable of a `.env` for a setting.
  process.env['CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV'] = 'false'
  const config = readConfig({ config: join(ROOT, 'wrangler.toml') }, { hideWarnings: true })
  const { workerOptions } = getMiniflareWorkerOptions(config)
  return {
    name: config.name ?? 'entrepot',
    main: LOCAL_WORKER,
    options: workerOptions,
    settings: {
      ...((how.secrets ? workerOptions['bindings'] : config.vars) as Record<string, Json>),
    },
  }
}

/** One ES module of the Worker, as `wrangler deploy` makes it. */
export async function bundleWorker(main: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [main],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
    sourcemap: 'inline',
    logLevel: 'silent',
  })
  return outputFiles.map(({ text }) => text).join('')
}
