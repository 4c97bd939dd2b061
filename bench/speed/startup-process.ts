// The process in which a Worker starts: its module is evaluated by its first request, so that the profile of that
// request is the profile of the start.

import { Miniflare, convertV4MiniflareOptions } from 'miniflare'

import { answerCalls } from '../call.ts'
import { Isolate } from '../isolate.ts'
import { freePort } from '../subject.ts'

/** Imports the Worker when it is asked for, and only then. */
const ENTRY = `export default {
  async fetch() {
    await import('./worker.js')
    return new Response()
  },
}`

let miniflare: Miniflare | undefined

const calls = {
  /** Starts it once; returns the milliseconds of CPU that its module took. */
  profile: async (wish: {
    readonly worker: string
    readonly compatibilityDate: string
  }): Promise<number> => {
    const { worker, compatibilityDate } = wish
    const inspectorPort = await freePort()
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        host: '127.0.0.1',
        port: 0,
        inspectorHost: '127.0.0.1',
        inspectorPort,
        cf: false,
        telemetry: { enabled: false },
        handleStructuredLogs: () => {},
        workers: [
          {
            name: 'startup',
            compatibilityDate,
            modules: [
              { type: 'ESModule', path: 'entry.js', contents: ENTRY },
              { type: 'ESModule', path: 'worker.js', contents: worker },
            ],
          },
        ],
      }),
    )
    const { origin } = await miniflare.ready
    const isolate = await Isolate.attach(inspectorPort)
    try {
      return await isolate.profile(async () => {
        const response = await fetch(origin)
        if (!response.ok) throw new Error(`the Worker does not start: ${await response.text()}`)
      })
    } finally {
      isolate.close()
      await miniflare.dispose()
      miniflare = undefined
    }
  },
}

/** What this process offers. */
export type StartupCalls = typeof calls

answerCalls(calls, async () => miniflare?.dispose())
