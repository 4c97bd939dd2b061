// The only caller of `fetch`. Redirects are followed by hand, a credential stays with the origin it is
// meant for, no hop may lead to http or into a private network, and every wait has a deadline.

import { HEADER } from './oci/header.ts'
import { isLoopbackHost, isPrivateHost } from './oci/host.ts'
import type { Fetch } from './seams.ts'

/** Redirects that are followed before an answer is refused. */
const MAX_HOPS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const USER_AGENT = 'entrepot/0.1'

/** Why no usable answer came: nobody there, nobody in time, a hop that is not allowed, or too many bytes. */
export type OutboundFailure = 'network' | 'timeout' | 'forbidden' | 'too-large'

/**
 * An outbound request without an answer. A message of the kinds `forbidden` and `too-large` may be shown to
 * clients: it names nothing that an upstream wrote.
 */
export class OutboundError extends Error {
  readonly kind: OutboundFailure

  constructor(kind: OutboundFailure, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'OutboundError'
    this.kind = kind
  }
}

/** A request to another server. */
export interface OutboundRequest {
  readonly url: string
  readonly method: 'GET' | 'HEAD'
  readonly headers?: Readonly<Record<string, string>>
  /** The `Authorization` value for the origin of `url`; it goes to no other, whatever redirects say. */
  readonly authorization?: string | undefined
  /** Whether loopback and http are allowed, because the configuration itself points there. */
  readonly isLocal: boolean
  /** Whether a redirect to another origin leads to mere storage, whose 401, 403 and 404 say nothing of what exists. */
  readonly hasStorage?: boolean
  /** Redirects that are followed; five where nothing is said. */
  readonly maxHops?: number
  /** Milliseconds until the headers of the last hop must be here. */
  readonly within: number
}

/** Sends requests to upstreams and their token services. */
export class Outbound {
  readonly #fetch: Fetch
  readonly #via: string

  /** `via` identifies this registry, so that a loop of mirrors is recognised when it comes round. */
  constructor(fetch: Fetch, via: string) {
    this.#fetch = fetch
    this.#via = via
  }

  /**
   * Follows redirects and returns the first other answer, whatever its status, with its body unread.
   * @throws {OutboundError} when there is no such answer.
   */
  async send(request: OutboundRequest): Promise<Response> {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(), Math.max(0, request.within))
    try {
      return await this.#follow(request, controller.signal)
    } finally {
      clearTimeout(timer)
    }
  }

  async #follow(request: OutboundRequest, signal: AbortSignal): Promise<Response> {
    let url = allowedURL(URL.parse(request.url), request.isLocal)
    const { origin } = url
    let authorization = request.authorization
    const { maxHops = MAX_HOPS } = request
    for (let hop = 0; hop <= maxHops; hop++) {
      // A credential that has left its origin once does not come back with a later hop.
      if (url.origin !== origin) authorization = undefined
      const response = await this.#hop(url, request, authorization, signal)
      const location = REDIRECTS.has(response.status) ? response.headers.get(HEADER.location) : null
      if (location === null) {
        if (request.hasStorage !== true || url.origin === origin) return response
        return await refuseStorageError(response)
      }
      await discardBody(response)
      url = allowedURL(URL.parse(location, url.href), request.isLocal)
    }
    throw new OutboundError('forbidden', `the upstream redirects more than ${maxHops} times`)
  }

  async #hop(
    url: URL,
    request: OutboundRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    const headers = new Headers(request.headers)
    headers.set(HEADER.userAgent, USER_AGENT)
    headers.set(HEADER.via, this.#via)
    if (authorization !== undefined) headers.set(HEADER.authorization, authorization)
    try {
      return await this.#fetch(url.href, {
        method: request.method,
        headers,
        redirect: 'manual',
        signal,
      })
    } catch (cause) {
      if (signal.aborted) {
        throw new OutboundError('timeout', `${url.host} did not answer in time`, cause)
      }
      throw new OutboundError('network', `${url.host} cannot be reached`, cause)
    }
  }
}

/** An expired signature or a missing object behind a registry is an outage of that registry. */
async function refuseStorageError(response: Response): Promise<Response> {
  if (![401, 403, 404].includes(response.status)) return response
  await discardBody(response)
  throw new OutboundError('network', `the storage of the upstream answered ${response.status}`)
}

/**
 * The `Via` (RFC 9110 §7.6.3) by which this registry knows a request of its own that came back. Two
 * registries with the same upstreams share it: one in front of the other could only go round.
 */
export function viaOf(upstreams: string): string {
  let hash = 0x811c9dc5
  for (let index = 0; index < upstreams.length; index++) {
    hash = Math.imul(hash ^ upstreams.charCodeAt(index), 0x01000193) >>> 0
  }
  return `1.1 entrepot-${hash.toString(16)}`
}

/** Lets go of a body that nobody wants. Never rejects, also when the body was cut before. */
export async function discardBody({ body }: Response): Promise<void> {
  await body?.cancel().catch(() => undefined)
}

/**
 * Reads a small body whole.
 * @param limit bytes; one more is an error, whatever `Content-Length` says.
 * @param within milliseconds until the last byte must be here.
 * @throws {OutboundError}
 */
export async function readWhole(
  response: Response,
  limit: number,
  within: number,
): Promise<Uint8Array> {
  const { body } = response
  if (body === null) return new Uint8Array()
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  const deadline = timeoutAfter(within)
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), deadline.expired])
      if (done) return concatenate(chunks, length)
      length += value.byteLength
      if (length > limit) throw new OutboundError('too-large', `the body exceeds ${limit} bytes`)
      chunks.push(value)
    }
  } catch (cause) {
    // The connection is given up either way; what cancelling it says does not matter any more.
    void reader.cancel().catch(() => undefined)
    if (cause instanceof OutboundError) throw cause
    throw new OutboundError('network', 'the body was cut short', cause)
  } finally {
    deadline.clear()
  }
}

/** A deadline to race a wait against: `expired` rejects with a time-out unless `clear` is called before. */
export function timeoutAfter(
  within: number,
  message = 'the body stalled',
): {
  readonly expired: Promise<never>
  readonly clear: () => void
} {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new OutboundError('timeout', message)), Math.max(0, within))
  promise.catch(() => undefined)
  return { expired: promise, clear: () => clearTimeout(timer) }
}

function allowedURL(url: URL | null, isLocal: boolean): URL {
  if (url === null) throw new OutboundError('forbidden', 'a redirect leads to an invalid URL')
  const isLoopback = isLoopbackHost(url.hostname)
  if (isLoopback ? !isLocal : isPrivateHost(url.hostname)) {
    throw new OutboundError('forbidden', 'a URL leads to a private address')
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback)) {
    throw new OutboundError('forbidden', 'a URL leads away from https')
  }
  if (url.username !== '' || url.password !== '') {
    throw new OutboundError('forbidden', 'a URL carries credentials')
  }
  return url
}

/** The chunks of a body as one; `length` is the sum of theirs. */
export function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}
