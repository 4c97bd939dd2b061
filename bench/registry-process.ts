// The process of the registry that is pushed to: the Worker and its bindings as `npm start` runs them, with the
// inspector open, and with its bindings counted.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { Miniflare, convertV4MiniflareOptions } from 'miniflare'

import { bundleWorker, describeWorker } from '../cli/worker-bundle.ts'
import { answerCalls } from './call.ts'

let miniflare: Miniflare | undefined

const calls = {
  /** Starts it; returns where it listens, and this process. */
  start: async (wish: {
    readonly folder: string
    readonly vars: Readonly<Record<string, string>>
    readonly inspectorPort: number
  }): Promise<{ readonly address: string; readonly pid: number }> => {
    const { folder, vars, inspectorPort } = wish
    const { name, main, options, settings } = describeWorker({ secrets: false })
    await mkdir(folder, { recursive: true })
    const entry = join(folder, 'counted.ts')
    await writeFile(entry, entryOf(main, classesOf(options['durableObjects'])))
    const contents = await bundleWorker(entry)
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        host: '127.0.0.1',
        port: 0,
        inspectorHost: '127.0.0.1',
        inspectorPort,
        cf: false,
        telemetry: { enabled: false },
        unsafeLocalExplorer: false,
        unsafeObservability: false,
        handleStructuredLogs: () => {},
        resourcePersistencePath: folder,
        workers: [
          {
            ...options,
            name,
            modules: [{ type: 'ESModule', path: 'worker.js', contents }],
            bindings: { ...settings, ...vars },
            unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
          },
        ],
      }),
    )
    await miniflare.ready
    const { origin } = await miniflare.unsafeGetDirectURL(name)
    return { address: origin, pid: process.pid }
  },
}

/** What this process offers. */
export type RegistryCalls = typeof calls

/** The classes of the Worker's objects. */
function classesOf(bindings: unknown): readonly string[] {
  return Object.values(bindings as Readonly<Record<string, { readonly className: string }>>).map(
    ({ className }) => className,
  )
}

/** A module that is the Worker with everything that it is bound to counted. */
function entryOf(main: string, classes: readonly string[]): string {
  const objects = classes.map(
    (name) => `export class ${name} extends worker.${name} {
      constructor(ctx, env) { super(ctx, operations.watch(env)) }
    }`,
  )
  return `import * as worker from ${JSON.stringify(main)}
import { Operations } from ${JSON.stringify(join(import.meta.dirname, 'operations.ts'))}
const operations = new Operations()
export default operations.handler(worker.default)
${objects.join('\n')}`
}

answerCalls(calls, async () => miniflare?.dispose())
