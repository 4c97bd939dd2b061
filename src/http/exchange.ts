// One request and its answer as the handlers share them: who is asked, what the log will say, and the
// headers that every answer carries.

import type { Address } from '../oci/address.ts'
import { HEADER } from '../oci/header.ts'
import { formatLink } from '../oci/page.ts'
import type { Now } from '../seams.ts'

/** How an answer was come by, as the log and `Cache-Status` tell it. */
export type Outcome = 'hit' | 'miss' | 'stale' | 'fill' | 'direct'

/** RFC 9211: this cache's name and what it did. `direct` went past the cache because storage was away. */
const CACHE_STATUS: Readonly<Record<Outcome, string>> = {
  hit: 'entrepot; hit',
  miss: 'entrepot; fwd=miss',
  stale: 'entrepot; fwd=stale',
  fill: 'entrepot; fwd=miss; stored',
  direct: 'entrepot; fwd=miss',
}

/** The state of one request; handlers note in it what they find out. */
export interface Exchange {
  readonly id: string
  readonly method: string
  /** Of the URL that was asked for, as it was written. */
  readonly origin: string
  readonly query: URLSearchParams
  readonly headers: Headers
  /** As it comes; whoever wants it reads it. */
  readonly body: ReadableStream<Uint8Array> | null
  readonly now: Now
  /** What stands for the client where somebody counts what it does. */
  readonly client: () => string
  endpoint: string
  /** Who is asking, where that had to be found out: the name of an account, for the log. */
  caller: string | undefined
  /** Whether a secret in the path says who is asking. Nothing in the answer may repeat that path. */
  isCapability: boolean
  address: Address | undefined
  outcome: Outcome | undefined
  /** What a write has written; of an upload, what it holds (bytes). */
  bytes: number | undefined
  /** What the answer says that it holds (bytes). */
  length: number | undefined
  /** What storage holds of what was asked for, where the client was sent there (bytes). */
  redirected: number | undefined
}

/** Makes an answer, of fields as `HEADER` spells them; a HEAD gets the same ones and no body. */
export function respond(
  exchange: Exchange,
  answer: {
    readonly status: number
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: BodyInit | null | undefined
  },
): Response {
  const { body = null } = answer
  // What is hosted is no cache: there is nowhere else that it could have come from.
  const outcome = exchange.address?.kind === 'hosted' ? undefined : exchange.outcome
  // A plain object crosses into the runtime at once; each `Headers.set` would cross by itself.
  const headers: Record<string, string> = {
    // Whoever says nothing else is not to be repeated by a cache: errors and lists end with a right.
    [HEADER.cacheControl]: 'no-store',
    ...answer.headers,
    [HEADER.requestID]: exchange.id,
    [HEADER.dockerDistributionAPIVersion]: 'registry/2.0',
    [HEADER.xContentTypeOptions]: 'nosniff',
    [HEADER.cacheStatus]: outcome ? CACHE_STATUS[outcome] : 'entrepot',
  }
  const ns = exchange.address?.ns
  if (ns !== undefined) headers[HEADER.ociNamespace] = ns
  // Known here, so that HEAD tells it like GET and the log has it.
  if (typeof body === 'string') {
    headers[HEADER.contentLength] = String(new TextEncoder().encode(body).byteLength)
  }
  const length = headers[HEADER.contentLength]
  exchange.length = length === undefined ? undefined : Number(length)
  return new Response(exchange.method === 'HEAD' ? null : body, { status: answer.status, headers })
}

/**
 * The `Link` to the next page. Where the path carried a secret it is a query alone: a client resolves it against
 * the URL that it asked for.
 */
export function linkTo({ isCapability }: Exchange, target: string): string {
  return formatLink(isCapability ? target.slice(target.indexOf('?')) : target)
}

/** Tells a client that what it gets may be out of date: RFC 9111's code for caches, and the one that OCI clients print. */
export function warn(response: Response, warning: string): Response {
  const text = warning.replaceAll(/["\\]|[^\x20-\x7e]/g, ' ').slice(0, 500)
  response.headers.append(HEADER.warning, '110 - "Response is Stale"')
  response.headers.append(HEADER.warning, `299 - "${text}"`)
  return response
}

/** Whether `If-None-Match` names the entity (RFC 9110 §13.1.2: weak comparison, `*` for anything). */
export function isNotModified(exchange: Exchange, etag: string): boolean {
  const header = exchange.headers.get(HEADER.ifNoneMatch)
  if (header === null) return false
  return header.split(',').some((part) => ['*', etag].includes(part.trim().replace(/^W\//, '')))
}
