// Stands before a registry and the storage that it redirects to: sees what clients ask of storage, and can end one of
// its answers in the middle.

import { request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'
import type { Endpoint } from './registry.ts'

/** One GET that came to storage. */
export interface StorageRead {
  /** Of the object. */
  readonly path: string
  readonly range: string | undefined
  readonly status: number
  readonly wasCut: boolean
}

/** Smaller answers are not cut: a client has too little of them to go on. */
const WORTH_CUTTING = 4 * 1024 * 1024
/** Where storage is, behind the address that clients are given. */
const STORAGE_PATH = '/cdn-cgi/'

/** A running gateway; clients are given its address instead of the registry's. */
export class Gateway implements Endpoint {
  readonly name: string
  readonly host: string
  readonly url: string
  /** In the order in which they were answered. */
  readonly reads: StorageRead[] = []
  readonly #target: string
  /** Known from the first redirect on. */
  #storage = ''
  #cuts = 0

  private constructor(name: string, url: string, target: string) {
    this.name = name
    this.url = url
    this.host = new URL(url).host
    this.#target = target
  }

  static async start(workspace: Workspace, name: string, target: string): Promise<Gateway> {
    let gateway: Gateway | undefined
    const { url } = await serve(workspace, (request, response) => gateway?.pass(request, response))
    gateway = new Gateway(name, url, target)
    return gateway
  }

  /** Of the next large answer of storage, half is passed on. */
  cutOne(): void {
    this.#cuts = 1
  }

  pass(request: IncomingMessage, response: ServerResponse): void {
    const isStorage = request.url?.startsWith(STORAGE_PATH) === true
    const { port } = new URL(isStorage ? this.#storage : this.#target)
    const { method, url: path, headers } = request
    // The name is part of the signature.
    const host = isStorage ? new URL(this.#storage).host : headers.host
    const onward = forward(
      { hostname: '127.0.0.1', port, path, method, headers: { ...headers, host } },
      (answer) => {
        if (isStorage) this.#read(request, answer, response)
        else this.#redirect(answer, response)
      },
    )
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  }

  /** The redirect of the registry leads here, by the name that the registry has chosen. */
  #redirect(answer: IncomingMessage, response: ServerResponse): void {
    const { location, ...headers } = answer.headers
    if (answer.statusCode === 307 && location !== undefined) {
      const url = new URL(location)
      this.#storage = url.origin
      url.port = new URL(this.url).port
      response.writeHead(307, { ...headers, location: url.href })
    } else {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
    }
    answer.pipe(response)
  }

  #read(request: IncomingMessage, answer: IncomingMessage, response: ServerResponse): void {
    const length = Number(answer.headers['content-length'] ?? 0)
    const wasCut = this.#cuts > 0 && length >= WORTH_CUTTING
    if (wasCut) this.#cuts -= 1
    this.reads.push({
      path: new URL(request.url ?? '/', this.url).pathname,
      range: request.headers.range,
      status: answer.statusCode ?? 0,
      wasCut,
    })
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    if (wasCut) passHalf(answer, response, length)
    else answer.pipe(response)
  }
}

function passHalf(answer: IncomingMessage, response: ServerResponse, length: number): void {
  let left = Math.floor(length / 2)
  answer.on('data', (chunk: Buffer) => {
    if (left <= 0) return
    response.write(chunk.subarray(0, left))
    left -= chunk.length
    // An end in good order, so that everything sent until then arrives.
    if (left <= 0) response.socket?.end()
  })
}
