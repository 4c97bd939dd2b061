// What clients on this machine reach of Miniflare's entry worker: reads by presigned URLs, and nothing else of what it
// answers. It would also hand out every stored object without a signature, so its own port is told to nobody.

import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'

/** A listener on a port of loopback. */
export interface StorageFront {
  readonly port: number
  /** Lets it pass requests on to the entry worker on this port; before that it answers 503. */
  readonly open: (entry: number) => void
  readonly close: () => Promise<void>
}

/** Listens, and passes on what lies below `path`, which ends with a slash. */
export async function listenForStorage(path: string): Promise<StorageFront> {
  let entry: number | undefined
  const agent = new Agent({ keepAlive: true })
  const server = createServer((incoming, answer) => {
    if (!isBelow(incoming.url ?? '', path)) refuse(answer, 404)
    else if (entry === undefined) refuse(answer, 503)
    else passOn(incoming, answer, { agent, port: entry })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return {
    port: address.port,
    open: (port) => {
      entry = port
    },
    close: async () => {
      agent.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Whether a target is what it seems to be: the entry worker resolves `..`, also where it is encoded. */
function isBelow(target: string, path: string): boolean {
  const [written = ''] = target.split('?')
  return written.startsWith(path) && URL.parse(written, 'http://storage')?.pathname === written
}

function refuse(answer: ServerResponse, status: number): void {
  answer.writeHead(status, { 'Content-Length': 0 }).end()
}

function passOn(
  incoming: IncomingMessage,
  answer: ServerResponse,
  to: { readonly agent: Agent; readonly port: number },
): void {
  const outgoing = request({
    ...to,
    host: '127.0.0.1',
    method: incoming.method,
    path: incoming.url,
    headers: withoutOrders(incoming.headers),
  })
  outgoing.on('response', (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers)
    response.pipe(answer)
    // What breaks off there must not look complete here.
    response.on('close', () => {
      if (!response.complete) answer.destroy()
    })
  })
  outgoing.on('error', () => {
    if (answer.headersSent) answer.destroy()
    else refuse(answer, 502)
  })
  answer.on('close', () => outgoing.destroy())
  incoming.pipe(outgoing)
}

/** Fields by which Miniflare lets itself be told what was asked for. */
function withoutOrders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^(?:mf-|cf-|x-forwarded-)/.test(name)),
  )
}
