// The process of the mirror that is measured: the registry of `npm start`, with the runtime's inspector open.

import { type Registry, serve } from '../cli/serve.ts'
import { answerCalls } from './call.ts'

let registry: Registry | undefined

const calls = {
  /** Starts it; returns where it listens, and this process. */
  start: async (wish: {
    readonly folder: string
    readonly vars: Readonly<Record<string, string>>
    readonly inspectorPort: number
  }): Promise<{ readonly address: string; readonly pid: number }> => {
    const { folder: persistTo, vars, inspectorPort } = wish
    const where = { host: '127.0.0.1', port: 0, persistTo }
    registry = await serve({ ...where, vars, inspectorPort, secrets: false })
    return { address: registry.url.origin, pid: process.pid }
  },
}

/** What this process offers. */
export type MirrorCalls = typeof calls

answerCalls(calls, async () => registry?.stop())
