// Stands before an upstream and passes everything on, until a row has it answer 429 or 401, fall silent, or
// refuse the tokens that it has seen so far.

import { request as forward } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'

/** What it does with a request: pass it on, refuse it (`expired`: if its token is an old one), or never answer. */
export type Fault = 'none' | 'limited' | 'unauthorized' | 'expired' | 'silent'

/** Seconds in the `Retry-After` of its 429. */
export const RETRY_AFTER = 120

/** A running proxy. */
export class FaultProxy {
  fault: Fault = 'none'
  /** Method and path of every request, noted as it arrives. */
  readonly requests: string[] = []
  readonly url: string
  readonly #target: string
  readonly #challenge: string
  readonly #authorizations = new Set<string>()

  private constructor(url: string, target: string, challenge: string) {
    this.url = url
    this.#target = target
    this.#challenge = challenge
  }

  /** `challenge` is the `WWW-Authenticate` of its 401. */
  static async start(
    workspace: Workspace,
    target: string,
    challenge = 'Basic realm="closed"',
  ): Promise<FaultProxy> {
    let proxy: FaultProxy | undefined
    const { url } = await serve(workspace, (request, response) => proxy?.answer(request, response))
    proxy = new FaultProxy(url, target, challenge)
    return proxy
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`)
    const { authorization } = request.headers
    const isOld = authorization !== undefined && this.#authorizations.has(authorization)
    if (this.fault === 'none' && authorization !== undefined)
      this.#authorizations.add(authorization)
    switch (this.fault) {
      case 'limited':
        refuse(response, 429, 'TOOMANYREQUESTS', { 'Retry-After': String(RETRY_AFTER) })
        return
      case 'unauthorized':
        this.#deny(response)
        return
      case 'expired':
        if (isOld) this.#deny(response)
        else pass(request, response, this.#target)
        return
      case 'silent':
        return
      case 'none':
        pass(request, response, this.#target)
        return
      default:
        this.fault satisfies never
    }
  }

  #deny(response: ServerResponse): void {
    refuse(response, 401, 'UNAUTHORIZED', { 'WWW-Authenticate': this.#challenge })
  }
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string>,
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
  response.end(JSON.stringify({ errors: [{ code, message: 'of the upstream' }] }))
}

function pass(request: IncomingMessage, response: ServerResponse, target: string): void {
  const onward = forward(
    new URL(request.url ?? '/', target),
    { method: request.method, headers: { ...request.headers, host: new URL(target).host } },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    },
  )
  onward.on('error', () => response.destroy())
  request.pipe(onward)
}
