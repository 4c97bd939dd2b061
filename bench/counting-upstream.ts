// The upstream of the bench: a registry that asks for tokens, counts what it is asked, makes bytes while it
// sends them over one link, and counts a budget of manifests down. Lean, so that it is never what is slow.

import { once } from 'node:events'
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

import { HEADER } from '../src/oci/header.ts'
import { MEDIA_TYPE } from '../src/oci/manifest.ts'
import { type AddressedBlob, type Image, bytesOf } from './content.ts'
import { Link } from './link.ts'
import { type Tally, emptyTally } from './tally.ts'

/** The token that the bench's own plain fetches carry. */
export const PLAIN_TOKEN = 'plain'

const RETRY_AFTER = 600
const BUDGET_WINDOW = 21_600

/** A request to this upstream, and where its answer goes. */
interface Exchange {
  readonly url: URL
  readonly isHead: boolean
  readonly message: IncomingMessage
  readonly response: ServerResponse
}

/** A registry on loopback that can be stopped and started again on the same port. */
export class CountingUpstream {
  readonly link = new Link()
  tally: Tally = emptyTally()
  /** Manifest GETs that are left in the budget; `undefined`: there is no limit, and no header tells of one. */
  budget: { readonly limit: number; remaining: number } | undefined
  readonly #blobs = new Map<string, AddressedBlob>()
  readonly #manifests = new Map<string, Image>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0

  /** Its base URL, known once it has listened. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Starts to listen, on the port of last time. */
  async listen(): Promise<void> {
    const server = createServer((message, response) => void this.#serve(message, response))
    server.keepAliveTimeout = 60_000
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  /** Refuses connections from now on, and cuts those there are. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = once(server, 'close')
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Serves a blob, in every repository. */
  addBlob(blob: AddressedBlob): void {
    this.#blobs.set(blob.digest, blob)
  }

  /** Serves an image with its blobs. */
  addImage(repository: string, tag: string, image: Image): void {
    for (const blob of image.blobs) this.addBlob(blob)
    this.#manifests.set(`${repository}:${tag}`, image)
    this.#manifests.set(`${repository}:${image.digest}`, image)
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    message.resume()
    const url = new URL(message.url ?? '/', this.url)
    const exchange = { url, isHead: message.method === 'HEAD', message, response }
    // A client that leaves in the middle of a body is no event here.
    await this.#answer(exchange).catch(() => response.destroy())
  }

  #answer(exchange: Exchange): Promise<void> {
    const { url, message } = exchange
    if (url.pathname === '/token') return this.#sendToken(exchange)
    if (message.headers.authorization === undefined) return this.#challenge(exchange)
    const [, repository, kind, reference] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? []
    if (kind === 'manifests') return this.#sendManifest(exchange, `${repository}:${reference}`)
    if (kind === 'blobs') return this.#sendBlob(exchange, this.#blobs.get(reference ?? ''))
    this.tally.others += 1
    return this.#sendText(exchange, url.pathname === '/v2/' ? 200 : 404, '{}')
  }

  #challenge(exchange: Exchange): Promise<void> {
    if (exchange.url.pathname === '/v2/') this.tally.pings += 1
    else this.tally.refused += 1
    const [, repository] = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(exchange.url.pathname) ?? []
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`
    const challenge = `Bearer realm="${this.url}/token",service="bench"${scope}`
    exchange.response.setHeader(HEADER.wwwAuthenticate, challenge)
    return this.#sendText(exchange, 401, '{"errors":[{"code":"UNAUTHORIZED","message":""}]}')
  }

  #sendToken(exchange: Exchange): Promise<void> {
    this.tally.tokens += 1
    const token = `for-${exchange.url.searchParams.get('scope') ?? ''}`
    const body = { token, access_token: token, expires_in: 3600 }
    return this.#sendText(exchange, 200, JSON.stringify(body))
  }

  #sendManifest(exchange: Exchange, name: string): Promise<void> {
    const { isHead, response } = exchange
    const isLimited = !isHead && this.budget?.remaining === 0
    if (isLimited) this.tally.limited += 1
    else if (isHead) this.tally.manifestHeads += 1
    else this.tally.manifestGets += 1
    if (this.budget !== undefined && !isHead && !isLimited) this.budget.remaining -= 1
    this.#tellBudget(response)
    if (isLimited) {
      response.setHeader(HEADER.retryAfter, RETRY_AFTER)
      return this.#sendText(exchange, 429, '{"errors":[{"code":"TOOMANYREQUESTS","message":""}]}')
    }
    const image = this.#manifests.get(name)
    if (image === undefined) {
      return this.#sendText(exchange, 404, '{"errors":[{"code":"MANIFEST_UNKNOWN","message":""}]}')
    }
    response.setHeader(HEADER.dockerContentDigest, image.digest)
    response.setHeader(HEADER.contentType, MEDIA_TYPE.OCI_MANIFEST)
    this.tally.bytes += isHead ? 0 : Buffer.byteLength(image.manifest)
    return this.#sendText(exchange, 200, image.manifest)
  }

  #tellBudget(response: ServerResponse): void {
    if (this.budget === undefined) return
    const { limit, remaining } = this.budget
    response.setHeader(HEADER.rateLimitLimit, `${limit};w=${BUDGET_WINDOW}`)
    response.setHeader(HEADER.rateLimitRemaining, `${remaining};w=${BUDGET_WINDOW}`)
    response.setHeader(HEADER.rateLimitSource, 'bench')
  }

  async #sendText({ response, isHead }: Exchange, status: number, text: string): Promise<void> {
    if (!response.hasHeader(HEADER.contentType)) {
      response.setHeader(HEADER.contentType, 'application/json')
    }
    response.setHeader(HEADER.contentLength, Buffer.byteLength(text))
    response.writeHead(status)
    response.end(isHead ? undefined : text)
  }

  async #sendBlob(exchange: Exchange, blob: AddressedBlob | undefined): Promise<void> {
    const { isHead, message, response } = exchange
    if (isHead) this.tally.blobHeads += 1
    else this.tally.blobGets += 1
    if (blob === undefined) {
      return this.#sendText(exchange, 404, '{"errors":[{"code":"BLOB_UNKNOWN","message":""}]}')
    }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(message.headers.range ?? '') ?? []
    const first = Math.min(Number(from ?? 0), blob.size - 1)
    const end = Math.min(to === undefined || to === '' ? blob.size : Number(to) + 1, blob.size)
    if (from !== undefined) {
      response.setHeader(HEADER.contentRange, `bytes ${first}-${end - 1}/${blob.size}`)
    }
    response.setHeader(HEADER.contentType, 'application/octet-stream')
    response.setHeader(HEADER.contentLength, end - first)
    response.setHeader(HEADER.acceptRanges, 'bytes')
    response.setHeader(HEADER.dockerContentDigest, blob.digest)
    response.setHeader(HEADER.etag, `"${blob.digest}"`)
    response.writeHead(from === undefined ? 200 : 206)
    if (!isHead) await this.#sendBytes(response, blob, { first, end })
    response.end()
  }

  async #sendBytes(
    response: ServerResponse,
    blob: AddressedBlob,
    range: { readonly first: number; readonly end: number },
  ): Promise<void> {
    const closed = new Promise((resolve) => response.once('close', resolve))
    for (const bytes of bytesOf(blob, { ...range, piece: this.link.piece })) {
      await this.link.take(bytes.byteLength)
      if (response.destroyed) return
      this.tally.bytes += bytes.byteLength
      if (response.write(bytes)) continue
      const drained = new Promise((resolve) => response.once('drain', resolve))
      await Promise.race([drained, closed])
    }
  }
}
