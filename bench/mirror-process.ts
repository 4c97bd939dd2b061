// The process of the registry that is measured, which is that of `npm start`: with the runtime's inspector open
// where memory counts, and printing its log lines where time does.

import { type Registry, serve } from '../cli/serve.ts'
import { answerCalls } from './call.ts'

let registry: Registry | undefined

const calls = {
  /** Starts it; returns where it listens, and this process. */
  start: async (wish: {
    readonly folder: string
    readonly vars: Readonly<Record<string, string>>
    readonly inspectorPort?: number
    readonly isLogging?: boolean
  }): Promise<{ readonly address: string; readonly pid: number }> => {
    const { folder: persistTo, isLogging = false, ...how } = wish
    registry = await serve({
      ...how,
      host: '127.0.0.1',
      port: 0,
      persistTo,
      secrets: false,
      ...(isLogging && { log: (line) => console.log(line) }),
    })
    return { address: registry.url.origin, pid: process.pid }
  },
}

/** What this process offers. */
export type MirrorCalls = typeof calls

answerCalls(calls, async () => registry?.stop())
