// How the bytes of a blob reach a client: redirect to object storage, or stream from here. One function decides,
// before anything is looked for.

import { HEADER } from '../oci/header.ts'
import { isLoopbackHost } from '../oci/host.ts'
import type { Config, RedirectRule, RedirectRules } from '../config.ts'
import type { Exchange } from './exchange.ts'

/** These speak of entity tags and dates of ours, which storage does not know. */
const PRECONDITIONS = [
  HEADER.ifMatch,
  HEADER.ifModifiedSince,
  HEADER.ifNoneMatch,
  HEADER.ifRange,
  HEADER.ifUnmodifiedSince,
]
const FORWARDED = [HEADER.forwarded, HEADER.xForwardedFor]
/* Storage answers any other `Range` with an error, also those that a server may ignore (RFC 9110 §14.2). */
const RANGE = /^bytes=(?:\d+-\d*|-\d+)$/

/**
 * The endpoint at which this client may read a blob for itself; `undefined`: the blob is streamed. A HEAD is never
 * redirected, since the method is part of a signature, and nothing that comes by a capability is: clients would send
 * its secret along as `Referer`.
 */
export function redirectEndpoint(
  exchange: Exchange,
  { redirect, publicURL }: Config,
): URL | undefined {
  if (redirect === undefined || exchange.method !== 'GET' || exchange.isCapability) return undefined
  const { headers } = exchange
  if (PRECONDITIONS.some((name) => headers.has(name))) return undefined
  if (!RANGE.test(headers.get(HEADER.range) ?? 'bytes=0-')) return undefined
  // Behind a proxy a request need not show by what name its client knows this registry, so neither may forbid it.
  const hostnames = new Set([exchange.origin, publicURL ?? exchange.origin].map(hostnameOf))
  const endpoints = [...hostnames].map((each) => endpointFor(each, exchange, redirect))
  const [endpoint] = endpoints
  return endpoints.every((each) => each?.href === endpoint?.href) ? endpoint : undefined
}

function hostnameOf(url: string | URL): string {
  return new URL(url).hostname
}

/** The endpoint for a client that knows this registry by a name, if it is sent there at all. */
function endpointFor(
  hostname: string,
  exchange: Exchange,
  { rules, bucket }: RedirectRules,
): URL | undefined {
  const rule = rules.find((each) => matches(each, exchange, hostname))
  if (rule?.isRedirected === false) return undefined
  const isForwarded = FORWARDED.some((name) => exchange.headers.has(name))
  // Whoever comes through a proxy on this machine need not be on it.
  if (isForwarded && isLoopbackHost(bucket.endpoint.hostname)) return undefined
  return nameFor(hostname, bucket.endpoint)
}

function matches(rule: RedirectRule, { headers, address }: Exchange, hostname: string): boolean {
  const { host, userAgent, repositories } = rule
  return (
    host?.matches(hostname) !== false &&
    userAgent?.matches(headers.get(HEADER.userAgent) ?? '') !== false &&
    repositories?.matches(address?.canonical ?? '') !== false
  )
}

/**
 * The endpoint by a name to which clients do not carry their login. Go's keep `Authorization` on the host that they
 * came from and on hosts below it, and storage refuses a second one beside the signature. This machine has two names;
 * it is of no use to clients on others.
 */
function nameFor(hostname: string, endpoint: URL): URL | undefined {
  const other = endpoint.hostname
  if (!isLoopbackHost(other)) {
    return other === hostname || other.endsWith(`.${hostname}`) ? undefined : endpoint
  }
  if (!isLoopbackHost(hostname)) return undefined
  const name = new URL(endpoint)
  name.hostname = hostname === 'localhost' ? '127.0.0.1' : 'localhost'
  return name
}
