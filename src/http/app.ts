// The HTTP face: every request becomes one exchange, one endpoint, one repository and one log line, and
// every error becomes registry JSON in one place.

import { Hono } from 'hono'
import type { Context } from 'hono'
import { resolveAddress } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import { allowedMethods, parseEndpoint } from '../oci/endpoint.ts'
import type { Endpoint, WrittenEndpoint } from '../oci/endpoint.ts'
import { RegistryError, errorBody } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { openForPull } from '../registry/open.ts'
import { Services, platformSeams } from '../services.ts'
import type { Log } from '../seams.ts'
import { authorizePull } from './authorize.ts'
import { getBlob } from './blobs.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { getReferrers, getTags } from './listings.ts'
import { getManifest } from './manifests.ts'

interface AppEnv {
  Bindings: Env
  Variables: { exchange: Exchange }
}

/** Makes the app; `log` takes one line per request. */
export function createApp(log: Log): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  app.use(async (c, next) => {
    const seams = platformSeams((work) => c.executionCtx.waitUntil(work), log)
    const startedAt = seams.now()
    const exchange: Exchange = {
      id: crypto.randomUUID(),
      method: c.req.method,
      query: new URLSearchParams(queryOf(c.req.url)),
      headers: c.req.raw.headers,
      services: new Services(c.env, seams),
      endpoint: 'unknown',
      address: undefined,
      outcome: undefined,
    }
    c.set('exchange', exchange)
    await next()
    logRequest(log, exchange, { response: c.res, ms: seams.now() - startedAt })
  })
  app.get('/healthz', (c) => respond(c.var.exchange, { status: 200, body: 'ok\n' }))
  app.all('*', (c) => dispatch(c.var.exchange, pathOf(c.req.url)))
  app.onError((error, c) => renderError(error, c, log))
  return app
}

async function dispatch(exchange: Exchange, path: string): Promise<Response> {
  const written = parseEndpoint(path)
  if (written === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  const { endpoint } = written
  exchange.endpoint = endpoint.kind
  refuseLoop(exchange)
  refuseMethod(exchange.method, endpoint)
  if (endpoint.kind === 'base') return getBase(exchange, written)
  if (endpoint.kind === 'catalog') {
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'the catalog is not offered' })
  }
  const address = resolve(exchange, { ...written, name: endpoint.name })
  exchange.address = address
  authorizePull(address, exchange.services.config)
  const repository = openForPull(address, exchange.services.opening())
  switch (endpoint.kind) {
    case 'manifest':
      return getManifest(exchange, repository, endpoint.reference)
    case 'blob':
      return getBlob(exchange, repository, endpoint.digest)
    case 'tags':
      return getTags(exchange, repository, address)
    case 'referrers':
      return getReferrers(exchange, repository, { address, digest: endpoint.digest })
    case 'uploads':
    case 'upload':
      throw unsupported(endpoint)
    default:
      return endpoint satisfies never
  }
}

/** end-1; below a host, which must be one of the table. */
function getBase(exchange: Exchange, { base }: WrittenEndpoint): Response {
  if (base !== undefined && !exchange.services.config.table.upstreams.has(base.toLowerCase())) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  const headers = { [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status: 200, headers, body: '{}' })
}

function resolve(
  exchange: Exchange,
  { name, base }: { readonly name: string; readonly base: string | undefined },
): Address {
  const ns = exchange.query.getAll('ns')
  return resolveAddress({ name, base, ns }, exchange.services.config.table)
}

/** A request of our own that an upstream sent back to us would wait for itself. */
function refuseLoop(exchange: Exchange): void {
  if (!exchange.headers.get(HEADER.via)?.includes(exchange.services.via)) return
  throw new RegistryError('UNKNOWN', {
    status: 502,
    message: 'this upstream leads back to this registry',
  })
}

function refuseMethod(method: string, endpoint: Endpoint): void {
  if (!allowedMethods(endpoint.kind).includes(method)) throw unsupported(endpoint)
}

function unsupported(endpoint: Endpoint): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    message: 'a mirrored repository can only be read',
    headers: { [HEADER.allow]: allowedMethods(endpoint.kind).join(', ') },
  })
}

function renderError(error: Error, c: Context<AppEnv>, log: Log): Response {
  const exchange: Exchange | undefined = c.var.exchange
  const shown =
    error instanceof RegistryError ? error : new RegistryError('UNKNOWN', { cause: error })
  if (shown.status >= 500) {
    const reason = reasonOf(shown.cause) ?? shown.message
    log('request-failed', {
      id: exchange?.id,
      reason,
      stack: error instanceof RegistryError ? undefined : error.stack,
    })
  }
  const headers = { ...shown.headers, [HEADER.contentType]: 'application/json' }
  const answer = { status: shown.status, headers, body: errorBody(shown) }
  return exchange === undefined ? new Response(answer.body, answer) : respond(exchange, answer)
}

function reasonOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : undefined
}

function logRequest(
  log: Log,
  exchange: Exchange,
  end: { readonly response: Response; readonly ms: number },
): void {
  const { id, method, endpoint, address, outcome } = exchange
  const length = end.response.headers.get(HEADER.contentLength)
  log('request', {
    id,
    method,
    endpoint,
    repository: address?.canonical,
    outcome,
    status: end.response.status,
    bytes: method === 'HEAD' || length === null ? undefined : Number(length),
    ms: end.ms,
  })
}

/** The raw path: `URL` and Hono would decode it, and a decoded name is another name. */
function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.search(/[?#]/)
  return url.slice(start, end === -1 ? undefined : end)
}

function queryOf(url: string): string {
  const start = url.indexOf('?')
  return start === -1 ? '' : url.slice(start)
}
