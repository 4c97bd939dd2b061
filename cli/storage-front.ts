// What clients on this machine reach of Miniflare's entry worker: reads by presigned URLs, and nothing else of what it
// answers. It would also hand out every stored object without a signature, so its own port is told to nobody.

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, RequestListener, Server } from 'node:http'
import type { ServerResponse } from 'node:http'

/** A listener on a port of loopback. */
export interface StorageFront {
  readonly port: number
  /** Lets it pass requests on to the entry worker on this port; before that it answers 503. */
  readonly open: (entry: number) => void
  readonly close: () => Promise<void>
}

/** A signature holds for one method; the other one is refused by storage. */
const METHODS = ['GET', 'HEAD']
const OF_A_HOP = ['connection', 'keep-alive', 'transfer-encoding']
/** What a read may say; a login is for storage to refuse. */
const FIELDS = ['accept', 'authorization', 'origin', 'range', 'user-agent']

/** Listens, and passes on what lies below `path`, which ends with a slash. */
export async function listenForStorage(path: string): Promise<StorageFront> {
  let entry: number | undefined
  const { port, servers } = await listenOnLoopback((incoming, answer) => {
    const { url = '', method = '', headers } = incoming
    const host = ownHost(headers.host, port)
    if (host === undefined || !isBelow(url, path)) refuse(answer, 404)
    else if (!METHODS.includes(method)) refuse(answer, 405)
    else if (entry === undefined) refuse(answer, 503)
    else passOn(incoming, answer, { host, port: entry })
  })
  return {
    port,
    open: (to) => {
      entry = to
    },
    close: async () => {
      await Promise.all(servers.map((each) => closeServer(each)))
    },
  }
}

/**
 * On every address that `localhost` may mean here: another program that took one of them would get the URLs of clients
 * that look there first.
 */
async function listenOnLoopback(
  answer: RequestListener,
): Promise<{ readonly port: number; readonly servers: readonly Server[] }> {
  for (;;) {
    const first = createServer(answer)
    const port = await listen(first, '127.0.0.1', 0)
    const second = createServer(answer)
    try {
      await listen(second, '::1', port)
      return { port, servers: [first, second] }
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      // Not every machine has IPv6.
      if (!isTaken) return { port, servers: [first] }
      await closeServer(first)
    }
  }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}

async function closeServer(server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}

/** The names by which clients are sent here. The runtime makes a URL of what `Host` says, whatever that is. */
function ownHost(host: string | undefined, port: number): string | undefined {
  return ['localhost', '127.0.0.1'].map((name) => `${name}:${port}`).find((each) => each === host)
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
  { method, url, headers }: IncomingMessage,
  answer: ServerResponse,
  { host, port }: { readonly host: string; readonly port: number },
): void {
  const outgoing = request({
    // The runtime ends connections that rest, perhaps in the moment in which one is taken again.
    agent: false,
    host: '127.0.0.1',
    port,
    method,
    path: url,
    headers: { ...allowed(headers), host },
  })
  outgoing.on('response', (response) => {
    answer.writeHead(response.statusCode ?? 502, withoutHop(response.headers))
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
  outgoing.end()
}

/** Without what holds for one connection only, which is not the client's (RFC 9110 §7.6.1). */
function withoutHop(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_A_HOP.includes(name)))
}

function allowed(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(
    FIELDS.flatMap((name) => (name in headers ? [[name, headers[name]]] : [])),
  )
}
