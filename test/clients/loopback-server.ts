// An HTTP server on loopback inside this process, for the two peers that a row steers while it runs.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Workspace } from './process.ts'

/** Answers one request; a rejection cuts the connection. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void

/** A listening server and where. */
export interface LoopbackServer {
  readonly url: string
  readonly server: Server
}

/** Starts one that ends with the workspace. */
export async function serve(workspace: Workspace, handler: Handler): Promise<LoopbackServer> {
  const server = createServer((request, response) => {
    Promise.resolve(handler(request, response)).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  workspace.onClose(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return { server, url: `http://127.0.0.1:${address.port}` }
}
