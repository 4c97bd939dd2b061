// The sample upstream on a port: Node's http server in front of `handle`. A body that fails destroys
// the socket, so that clients see what a broken network shows them. Run it as
// `node cli/upstream-listener.ts --port 5001`.

import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { HEADER } from '../src/oci/header.ts'
import { addSample, sampleImage } from './sample-image.ts'
import { SampleUpstream } from './upstream.ts'

/** A registry that listens. */
export interface UpstreamListener {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly port: number
  /** Stops listening and destroys open connections. */
  readonly close: () => Promise<void>
}

/** Serves the handler on a port of this machine; 0 chooses a free one. */
export async function listenUpstream(
  handle: (request: Request) => Promise<Response>,
  { port = 0, host = '127.0.0.1' }: { readonly port?: number; readonly host?: string } = {},
): Promise<UpstreamListener> {
  const server = createServer((message, outgoing) => {
    answerMessage(handle, message, outgoing).catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return {
    url: `http://${host}:${bound}`,
    port: bound,
    close: async () => await closeServer(server),
  }
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  server.closeAllConnections()
  await closed
}

async function answerMessage(
  handle: (request: Request) => Promise<Response>,
  message: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const leaving = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) {
      leaving.abort(new Error('the client left'))
    }
  })
  const response = await handle(toRequest(message, leaving.signal))
  if (response.type === 'error') {
    outgoing.destroy()
    return
  }
  outgoing.writeHead(response.status, toOutgoingHeaders(response.headers))
  if (response.body === null) {
    outgoing.end()
    return
  }
  let sent = 0
  await pipeline(
    Readable.from(response.body),
    async function* count(body: AsyncIterable<Uint8Array>) {
      for await (const piece of body) {
        sent += piece.length
        yield piece
      }
    },
    outgoing,
  )
  const length = response.headers.get(HEADER.contentLength)
  // A client that was promised more waits for it until the socket goes.
  if (length !== null && sent < Number(length)) {
    message.socket.destroySoon()
  }
}

function toRequest(message: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers()
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) {
      headers.append(name, value)
    }
  }
  const { method = 'GET', url = '/' } = message
  const target = `http://${message.headers.host ?? 'localhost'}${url}`
  const isBodiless = method === 'GET' || method === 'HEAD'
  if (isBodiless) {
    return new Request(target, { method, headers, signal })
  }
  const body = Readable.toWeb(message)
  return new Request(target, { method, headers, signal, body, duplex: 'half' })
}

function toOutgoingHeaders(headers: Headers): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {}
  headers.forEach((value, name) => {
    if (name !== 'set-cookie') {
      fields[name] = value
    }
  })
  const cookies = headers.getSetCookie()
  return cookies.length === 0 ? fields : { ...fields, 'set-cookie': cookies }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '5001' },
      host: { type: 'string', default: '127.0.0.1' },
      username: { type: 'string' },
      password: { type: 'string', default: '' },
    },
  })
  const { username, password } = values
  const authentication =
    username === undefined ? 'none' : { service: 'sample', accounts: { [username]: password } }
  const upstream = new SampleUpstream({ authentication })
  const image = await sampleImage({ layers: [64 * 1024, 1024 * 1024] })
  await addSample(upstream, 'library/sample', image, 'latest')
  const { url } = await listenUpstream(upstream.handle, {
    port: Number(values.port),
    host: values.host,
  })
  process.stdout.write(`sample upstream on ${url}, with library/sample:latest\n`)
}

if (import.meta.main) {
  await main()
}
