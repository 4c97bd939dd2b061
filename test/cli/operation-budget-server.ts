// A real `wrangler dev` for the operation budget, in a folder of its own: its configuration is wrangler.toml with the
// bundled Worker as its main file, so nothing of a developer's (`.dev.vars`, an edit) gets in, and it needs no internet.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { bundleWorker } from '../../cli/worker-bundle.ts'
import { freePort } from '../clients/process.ts'
import type { OwnedProcess, Workspace } from '../clients/process.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
const KV = '/cdn-cgi/local/explorer/api/storage/kv/namespaces/HINTS/values/'
/** Another program may take a free port before wrangler does. */
const ATTEMPTS = 3

/** The keys of the S3 endpoint that Miniflare has beside the Worker. */
const S3 = { accessKeyId: 'local-access-key', secretAccessKey: 'local-secret-access-key' }

/** A registry that runs, and the way to its end. */
export interface DevServer {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly stop: () => Promise<void>
}

/** Writes what every start of the run shares: the configuration and the Worker. */
export async function prepareServer({ folder }: Workspace): Promise<void> {
  const configuration = await readFile(join(ROOT, 'wrangler.toml'), 'utf8')
  const bucket = 'bucket_name = "entrepot-blobs"'
  const main = 'main = "src/worker.ts"'
  for (const line of [bucket, main]) {
    if (!configuration.includes(line)) throw new Error(`wrangler.toml has no line ${line}`)
  }
  const credentials = Object.entries(S3).map(([name, value]) => `${name} = "${value}"`)
  const signed = [bucket, '[r2_buckets.local_dev.experimental_s3_credentials]', ...credentials]
  await writeFile(
    join(folder, 'wrangler.toml'),
    configuration.replace(main, 'main = "worker.js"').replace(bucket, signed.join('\n')),
  )
  await writeFile(join(folder, 'worker.js'), await bundleWorker(join(ROOT, 'src', 'worker.ts')))
}

/**
 * Starts `wrangler dev` on what earlier starts have stored: a new isolate, which has served nothing. Blobs are
 * redirected unless `vars` say otherwise.
 */
export async function startServer(
  workspace: Workspace,
  vars: Readonly<Record<string, string>>,
): Promise<DevServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    try {
      const owned = await launch(workspace, port, vars)
      return { url: `http://127.0.0.1:${port}`, stop: () => owned.stop() }
    } catch (error) {
      if (attempt === ATTEMPTS || !/in use|EADDRINUSE/i.test(String(error))) throw error
    }
  }
}

function launch(
  workspace: Workspace,
  port: number,
  vars: Readonly<Record<string, string>>,
): Promise<OwnedProcess> {
  const { folder } = workspace
  const settings = {
    S3_ENDPOINT: `http://localhost:${port}/cdn-cgi/local/r2/s3`,
    S3_BUCKET: 'entrepot-blobs',
    S3_ACCESS_KEY_ID: S3.accessKeyId,
    S3_SECRET_ACCESS_KEY: S3.secretAccessKey,
    ...vars,
  }
  const options = ['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0']
  const given = Object.entries(settings).flatMap(([name, value]) => ['--var', `${name}:${value}`])
  const args = ['dev', ...options, '--show-interactive-dev-session=false', ...given]
  const spec = {
    command: process.execPath,
    args: [WRANGLER, ...args, '--persist-to', join(folder, 'state')],
    cwd: folder,
    env: {
      CI: 'true',
      NO_COLOR: '1',
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_HIDE_BANNER: 'true',
      WRANGLER_LOG_PATH: join(folder, 'logs'),
      // Other sessions of the same Worker on this machine are none of ours.
      WRANGLER_REGISTRY_PATH: join(folder, 'sessions'),
      CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: 'false',
      X_LOCAL_OBSERVABILITY: 'true',
    },
  }
  return workspace.startUntil('wrangler-dev', spec, ({ lines }) =>
    lines.some((line) => line.includes(`Ready on http://127.0.0.1:${port}`)),
  )
}

/** Makes a hint in KV look as if the upstream had confirmed it so long ago (milliseconds). */
export async function ageHint(server: DevServer, key: string, age: number): Promise<void> {
  const url = `${server.url}${KV}${encodeURIComponent(key)}`
  const list = `${server.url}${KV.replace('/values/', '/keys')}?prefix=${encodeURIComponent(key)}`
  const { result } = (await (await fetch(list)).json()) as {
    readonly result: readonly { readonly metadata: { readonly verifiedAt: number } }[]
  }
  const [entry] = result
  if (entry === undefined) throw new Error(`KV has no ${key}`)
  const form = new FormData()
  form.set('value', await (await fetch(url)).blob())
  const { metadata } = entry
  form.set('metadata', JSON.stringify({ ...metadata, verifiedAt: metadata.verifiedAt - age }))
  const answer = await fetch(url, { method: 'PUT', body: form })
  if (!answer.ok) throw new Error(`KV took no ${key}: ${answer.status} ${await answer.text()}`)
}
