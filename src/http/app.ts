// The HTTP face: every request becomes one exchange and one log line, and every error becomes registry JSON in one place.

import { Hono } from 'hono'
import type { Context } from 'hono'
import { RegistryError, errorBody } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { Services, platformSeams } from '../services.ts'
import type { Log, Now, Seams } from '../seams.ts'
import { drain } from '../storage/drain.ts'
import { splitCapability } from '../oci/capability.ts'
import { answerAccounts } from './accounts.ts'
import { Visitor } from './authenticate.ts'
import type { Visit } from './authenticate.ts'
import { dispatch, refuseMethod } from './dispatch.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { getToken } from './token.ts'
import { getUpstreams } from './upstreams.ts'

/** How this registry is asked about itself. */
const READ_METHODS = ['GET', 'HEAD']
/** How a token is asked for. */
const TOKEN_METHODS = ['GET', 'POST']

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
    const exchange = startExchange(c.req.raw, seams.now, () => c.var.services.clientKey(c.req.raw))
    c.set('exchange', exchange)
    c.set('seams', seams)
    await next()
    await drain(exchange.body)
    logRequest(log, exchange, { response: c.res, ms: seams.now() - startedAt })
  })
  // Within the first, so that a wrong configuration is an answer and a log line like any other.
  app.use(async (c, next) => {
    c.set('services', new Services(c.env, c.var.seams))
    await next()
  })
  app.all('/healthz', (c) => getHealth(c.var.exchange))
  app.all('/_/upstreams', (c) => showUpstreams(visitOf(c)))
  app.all('/_/api/*', (c) => answerAccounts(visitOf(c), pathOf(c.req.url)))
  app.all('/token', (c) => giveToken(visitOf(c)))
  app.all('*', (c) => {
    // The one place that sees the secret: nothing behind it is given the path as it was written.
    const { path, secret } = splitCapability(pathOf(c.req.url))
    return dispatch(visitOf(c, secret), path)
  })
  app.onError((error, c) => renderError(error, c, log))
  return app
}

function startExchange(request: Request, now: Now, client: () => string): Exchange {
  return {
    id: crypto.randomUUID(),
    method: request.method,
    origin: new URL(request.url).origin,
    client,
    query: new URLSearchParams(queryOf(request.url)),
    headers: request.headers,
    body: request.body,
    now,
    endpoint: 'unknown',
    caller: undefined,
    isCapability: false,
    address: undefined,
    outcome: undefined,
    bytes: undefined,
  }
}

function getHealth(exchange: Exchange): Response {
  refuseMethod(exchange.method, READ_METHODS)
  return respond(exchange, { status: 200, body: 'ok\n' })
}

function visitOf(c: Context<AppEnv>, secret?: string): Visit {
  const { exchange, services } = c.var
  exchange.isCapability = secret !== undefined
  return { exchange, services, visitor: new Visitor(exchange, services, secret) }
}

async function showUpstreams(visit: Visit): Promise<Response> {
  visit.exchange.endpoint = 'upstreams'
  refuseMethod(visit.exchange.method, READ_METHODS)
  return getUpstreams(visit)
}

async function giveToken(visit: Visit): Promise<Response> {
  visit.exchange.endpoint = 'token'
  refuseMethod(visit.exchange.method, TOKEN_METHODS)
  return getToken(visit)
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
      stack: stackOf(error),
    })
  }
  const headers = { ...shown.headers, [HEADER.contentType]: 'application/json' }
  const answer = { status: shown.status, headers, body: errorBody(shown) }
  return exchange === undefined ? new Response(answer.body, answer) : respond(exchange, answer)
}

/** Of a bug, and of what came out of an object, where it was. */
function stackOf(error: Error): string | undefined {
  if (!(error instanceof RegistryError)) return error.stack
  return error.cause instanceof Error ? error.cause.stack : undefined
}

function reasonOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : undefined
}

function logRequest(
  log: Log,
  exchange: Exchange,
  end: { readonly response: Response; readonly ms: number },
): void {
  const { id, method, endpoint, caller, address, outcome } = exchange
  const length = end.response.headers.get(HEADER.contentLength)
  const announced = method === 'HEAD' || length === null ? undefined : Number(length)
  log('request', {
    id,
    method,
    endpoint,
    caller,
    repository: address?.canonical,
    outcome,
    status: end.response.status,
    bytes: exchange.bytes ?? announced,
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
