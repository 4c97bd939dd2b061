// What a fill is measured against: a bare Worker on the same Miniflare, which puts a streamed body of known
// length into R2 and does nothing else.

import { Miniflare, convertV4MiniflareOptions } from 'miniflare'

import { answerCalls } from './call.ts'

const WORKER = `export default {
  async fetch(request, env) {
    const { url, token } = await request.json()
    const { body } = await fetch(url, { headers: { authorization: 'Bearer ' + token } })
    await env.BUCKET.put(url, body)
    return new Response()
  }
}`

let miniflare: Miniflare | undefined

const calls = {
  /** Starts it, with its state in a folder. */
  start: async (folder: string): Promise<void> => {
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        host: '127.0.0.1',
        port: 0,
        cf: false,
        telemetry: { enabled: false },
        resourcePersistencePath: folder,
        workers: [
          {
            name: 'bare',
            compatibilityDate: '2026-10-01',
            modules: [{ type: 'ESModule', path: 'worker.js', contents: WORKER }],
            r2Buckets: ['BUCKET'],
          },
        ],
      }),
    )
    await miniflare.ready
  },
  /** Puts what these addresses serve, so many at once; returns milliseconds. */
  put: async (wish: {
    readonly urls: readonly string[]
    readonly token: string
    readonly parallel: number
  }): Promise<number> => {
    const queue = [...wish.urls]
    const start = performance.now()
    await Promise.all(
      Array.from({ length: wish.parallel }, async () => {
        for (let url = queue.shift(); url !== undefined; url = queue.shift()) {
          await put(url, wish.token)
        }
      }),
    )
    return performance.now() - start
  },
  pid: (): number => process.pid,
}

/** What this process offers. */
export type PlainPutCalls = typeof calls

async function put(url: string, token: string): Promise<void> {
  const body = JSON.stringify({ url, token })
  const response = await miniflare?.dispatchFetch('http://bare/', { method: 'POST', body })
  if (response?.status !== 200) throw new Error(`the plain put failed: ${await response?.text()}`)
}

answerCalls(calls, async () => miniflare?.dispose())
