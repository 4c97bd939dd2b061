// The floor: a bare Worker on the Miniflare and the kind of socket of `npm start`, which does one thing per
// request and nothing else.

import { Miniflare, convertV4MiniflareOptions } from 'miniflare'

import { describeWorker } from '../../cli/worker-bundle.ts'
import { answerCalls } from '../call.ts'
import { FLOOR_PATHS } from './floor-paths.ts'

let miniflare: Miniflare | undefined

const calls = {
  /** Starts it, with its state in a folder; returns where it listens, and this process. */
  start: async (wish: {
    readonly folder: string
    /** What it answers from memory. */
    readonly text: string
    /** What it passes on. */
    readonly url: string
    readonly token: string
  }): Promise<{ readonly address: string; readonly pid: number }> => {
    const { name, options } = describeWorker({ secrets: false })
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        host: '127.0.0.1',
        port: 0,
        cf: false,
        telemetry: { enabled: false },
        unsafeLocalExplorer: false,
        unsafeObservability: false,
        handleStructuredLogs: () => {},
        resourcePersistencePath: wish.folder,
        workers: [
          {
            name,
            compatibilityDate: String(options['compatibilityDate']),
            modules: [{ type: 'ESModule', path: 'worker.js', contents: workerOf(wish) }],
            r2Buckets: ['BLOBS'],
            kvNamespaces: ['HINTS'],
            unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
          },
        ],
      }),
    )
    await miniflare.ready
    const { origin } = await miniflare.unsafeGetDirectURL(name)
    await (await fetch(`${origin}${FLOOR_PATHS.kv}`, { method: 'PUT' })).text()
    return { address: origin, pid: process.pid }
  },
}

/** What this process offers. */
export type FloorCalls = typeof calls

function workerOf(wish: {
  readonly text: string
  readonly url: string
  readonly token: string
}): string {
  const authorization = { headers: { authorization: `Bearer ${wish.token}` } }
  return `
const TEXT = ${JSON.stringify(wish.text)}
const HEADERS = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
const PART = 8 * 1024 * 1024
const AUTHORIZATION = ${JSON.stringify(authorization)}

export default {
  async fetch(request, env) {
    const [, what, key] = new URL(request.url).pathname.split('/')
    switch (what) {
      case 'memory':
        return new Response(TEXT, { headers: HEADERS })
      case 'kv':
        if (request.method === 'PUT') return new Response(await env.HINTS.put('manifest', TEXT))
        return new Response(await env.HINTS.get('manifest', 'arrayBuffer'), { headers: HEADERS })
      case 'head': {
        const { size } = await env.BLOBS.head(key)
        return new Response(null, { headers: { 'content-length': size } })
      }
      case 'get': {
        const { body, size } = await env.BLOBS.get(key)
        return new Response(body, { headers: { 'content-length': size } })
      }
      case 'proxy':
        return fetch(${JSON.stringify(wish.url)}, AUTHORIZATION)
      case 'put':
        await env.BLOBS.put(key, request.body, { sha256: key })
        return new Response(null, { status: 201 })
      case 'fetch-and-put': {
        const { body } = await fetch(await request.text(), AUTHORIZATION)
        await env.BLOBS.put(key, body, { sha256: key })
        return new Response()
      }
      case 'fetch-and-put-parts': {
        const { body } = await fetch(await request.text(), AUTHORIZATION)
        const [reader, upload] = [body.getReader({ mode: 'byob' }), await env.BLOBS.createMultipartUpload(key)]
        const parts = []
        for (;;) {
          const { value, done } = await reader.readAtLeast(PART, new Uint8Array(PART))
          if (value?.byteLength > 0) parts.push(await upload.uploadPart(parts.length + 1, value))
          if (done) break
        }
        await upload.complete(parts)
        return new Response()
      }
    }
  },
}`
}

answerCalls(calls, async () => miniflare?.dispose())
