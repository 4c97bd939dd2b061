// The HTTP face: every request becomes one exchange, one endpoint, one repository and one log line, and
// every error becomes registry JSON in one place.

import { Hono } from 'hono'
import type { Context } from 'hono'
import { resolveAddress } from '../oci/address.ts'
import type { AddressTable } from '../oci/address.ts'
import { allowedMethods, parseEndpoint } from '../oci/endpoint.ts'
import type { WrittenEndpoint } from '../oci/endpoint.ts'
import { RegistryError, errorBody } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { openForPull } from '../registry/open.ts'
import { Services, platformSeams } from '../services.ts'
import type { Log, Now, Seams } from '../seams.ts'
import { authorizePull } from './authorize.ts'
import { getBlob } from './blobs.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { getReferrers, getTags } from './listings.ts'
import { getManifest } from './manifests.ts'
import { getUpstreams } from './upstreams.ts'

/** What `/healthz` answers. */
const READ_METHODS = ['GET', 'HEAD']

interface AppEnv {
  Bindings: Env
  Variables: { exchange: Exchange; seams: Seams; services: Services }
}

/** Makes the app; `log` takes one line per request. */
export function createApp(log: Log): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  app.use(async (c, next) => {
    const seams = platformSeams((work) => c.executionCtx.waitUntil(work), log)
    const startedAt = seams.now()
    const exchange = startExchange(c.req.raw, seams.now)
    c.set('exchange', exchange)
    c.set('seams', seams)
    await next()
    logRequest(log, exchange, { response: c.res, ms: seams.now() - startedAt })
  })
  // Within the first, so that a wrong configuration is an answer and a log line like any other.
  app.use(async (c, next) => {
    c.set('services', new Services(c.env, c.var.seams))
    await next()
  })
  app.all('/healthz', (c) => getHealth(c.var.exchange))
  app.all('/_/upstreams', (c) => showUpstreams(c.var.exchange, c.var.services))
  app.all('*', (c) => dispatch(c.var.exchange, c.var.services, pathOf(c.req.url)))
  app.onError((error, c) => renderError(error, c, log))
  return app
}

function startExchange(request: Request, now: Now): Exchange {
  return {
    id: crypto.randomUUID(),
    method: request.method,
    query: new URLSearchParams(queryOf(request.url)),
    headers: request.headers,
    now,
    endpoint: 'unknown',
    address: undefined,
    outcome: undefined,
  }
}

function getHealth(exchange: Exchange): Response {
  refuseMethod(exchange.method, READ_METHODS)
  return respond(exchange, { status: 200, body: 'ok\n' })
}

async function showUpstreams(exchange: Exchange, services: Services): Promise<Response> {
  exchange.endpoint = 'upstreams'
  refuseMethod(exchange.method, READ_METHODS)
  return getUpstreams(exchange, services)
}

async function dispatch(exchange: Exchange, services: Services, path: string): Promise<Response> {
  const written = parseEndpoint(path)
  if (written === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  const { endpoint } = written
  exchange.endpoint = endpoint.kind
  refuseLoop(exchange, services.via)
  refuseMethod(exchange.method, allowedMethods(endpoint.kind))
  const { table } = services.config
  if (endpoint.kind === 'base') return getBase(exchange, written, table)
  if (endpoint.kind === 'catalog') {
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'the catalog is not offered' })
  }
  const { base } = written
  const ns = exchange.query.getAll('ns')
  const address = resolveAddress({ name: endpoint.name, base, ns }, table)
  exchange.address = address
  authorizePull(address, services.config)
  const repository = openForPull(address, services.opening())
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
      throw unsupported(allowedMethods(endpoint.kind))
    default:
      return endpoint satisfies never
  }
}

/** end-1; below a host, which must be one of the table. */
function getBase(exchange: Exchange, { base }: WrittenEndpoint, table: AddressTable): Response {
  if (base !== undefined && !table.upstreams.has(base.toLowerCase())) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  const headers = { [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status: 200, headers, body: '{}' })
}

/** A request of our own that an upstream sent back to us would wait for itself. */
function refuseLoop(exchange: Exchange, via: string): void {
  if (!exchange.headers.get(HEADER.via)?.includes(via)) return
  throw new RegistryError('UNKNOWN', {
    status: 502,
    message: 'this upstream leads back to this registry',
  })
}

function refuseMethod(method: string, allowed: readonly string[]): void {
  if (!allowed.includes(method)) throw unsupported(allowed)
}

function unsupported(allowed: readonly string[]): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    message: 'a mirrored repository can only be read',
    headers: { [HEADER.allow]: allowed.join(', ') },
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
