// The HTTP face: every request becomes one exchange and one log line, and every error becomes registry JSON in one place.

import { Hono } from 'hono'
import { RegistryError, errorBody } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { Services, platformSeams } from '../services.ts'
import type { Log, Now, Seams } from '../seams.ts'
import { drain } from '../storage/drain.ts'
import { splitCapability } from '../oci/capability.ts'
import { answerAPI } from './api.ts'
import { Visitor } from './authenticate.ts'
import type { Visit } from './authenticate.ts'
import { dispatch, refuseMethod } from './dispatch.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { countRequest, getMetrics } from './metrics.ts'
import { answerPage } from './pages/answer.tsx'
import { showFailure, wantsPage } from './pages/failure.tsx'
import { answerSwitches } from './switches.ts'
import { getToken } from './token.ts'
import { getUpstreams } from './upstreams.ts'

/** How this registry is asked about itself. */
const READ_METHODS = ['GET', 'HEAD']
/** How a token is asked for. */
const TOKEN_METHODS = ['GET', 'POST']

/** What the platform gives with a request. To Hono all of it is one binding, so that it is handed over unread. */
interface Given {
  readonly env: Env
  readonly context: ExecutionContext
}

interface AppEnv {
  Bindings: Given
}

/** Answers a request to `path`, which is as it was written. */
type Handler = (
  request: { readonly exchange: Exchange; readonly services: Services },
  path: string,
) => Response | Promise<Response>

/** What answers requests. */
export interface App {
  readonly fetch: (request: Request, env: Env, context: ExecutionContext) => Promise<Response>
  /** The paths besides those of the specification. */
  readonly paths: readonly string[]
}

/** Makes the app; `log` takes one line per request. */
export function createApp(log: Log): App {
  const own = new Hono<AppEnv>()
  const answering = async (
    request: Request,
    { env, context }: Given,
    handler: Handler,
  ): Promise<Response> => {
    const seams = platformSeams((work) => context.waitUntil(work), log)
    return answer(request, { env, seams, handler })
  }
  for (const [path, handler] of Object.entries(OWN)) {
    own.all(path, ({ req, env }) => answering(req.raw, env, handler))
  }
  own.all('*', ({ req, env }) => answering(req.raw, env, toRepository))
  return {
    // Nothing below /v2 is for a router to decide, and it is what everybody waits for.
    fetch: async (request, env, context) =>
      pathOf(request.url).startsWith('/v2/')
        ? answering(request, { env, context }, toRepository)
        : own.fetch(request, { env, context }),
    paths: Object.keys(OWN),
  }
}

/** The paths besides those of the specification, as Hono writes them. */
const OWN: Readonly<Record<string, Handler>> = {
  '/healthz': ({ exchange }) => getHealth(exchange),
  '/_/upstreams': (of) => showUpstreams(visitOf(of)),
  '/_/api/switches': (of) => answerSwitches(visitOf(of)),
  '/_/api/*': (of, path) => answerAPI(visitOf(of), path),
  '/_/*': (of, path) => answerPage(visitOf(of), path),
  '/metrics': (of) => showMetrics(visitOf(of)),
  '/token': (of) => giveToken(visitOf(of)),
}

/** The one place that sees the secret of a capability: nothing behind it is given the path as it was written. */
const toRepository: Handler = (of, written) => {
  const { path, secret } = splitCapability(written)
  return dispatch(visitOf(of, secret), path)
}

/** One request from its beginning to its line in the log. */
async function answer(
  request: Request,
  { env, seams, handler }: { readonly env: Env; readonly seams: Seams; readonly handler: Handler },
): Promise<Response> {
  const { now, log } = seams
  const startedAt = now()
  let services: Services | undefined
  const exchange = startExchange(request, now, () => services?.clientKey(request) ?? '')
  let response: Response
  try {
    // A wrong configuration is an answer and a log line like any other.
    services = new Services(env, seams)
    response = await handler({ exchange, services }, pathOf(request.url))
  } catch (error) {
    response = renderError(error, exchange, log)
    services?.meter.tally.error(codeOf(error))
  }
  if (exchange.body !== null) await drain(exchange.body)
  if (services !== undefined) countRequest(services, exchange, response.status)
  logRequest(log, exchange, { status: response.status, ms: now() - startedAt })
  return response
}

function startExchange(request: Request, now: Now, client: () => string): Exchange {
  const { url, method, headers, body } = request
  const query = url.indexOf('?')
  return {
    id: crypto.randomUUID(),
    method,
    // Without the path, which may hold a secret.
    origin: url.slice(0, url.indexOf('/', url.indexOf('//') + 2)),
    client,
    query: new URLSearchParams(query === -1 ? '' : url.slice(query)),
    headers,
    body,
    now,
    endpoint: 'unknown',
    caller: undefined,
    isCapability: false,
    address: undefined,
    outcome: undefined,
    bytes: undefined,
    length: undefined,
    redirected: undefined,
  }
}

function getHealth(exchange: Exchange): Response {
  refuseMethod(exchange.method, READ_METHODS)
  const headers = { [HEADER.contentType]: 'text/plain;charset=UTF-8' }
  return respond(exchange, { status: 200, headers, body: 'ok\n' })
}

function visitOf(
  { exchange, services }: { readonly exchange: Exchange; readonly services: Services },
  secret?: string,
): Visit {
  exchange.isCapability = secret !== undefined
  return { exchange, services, visitor: new Visitor(exchange, services, secret) }
}

async function showUpstreams(visit: Visit): Promise<Response> {
  visit.exchange.endpoint = 'upstreams'
  refuseMethod(visit.exchange.method, READ_METHODS)
  return getUpstreams(visit)
}

async function showMetrics(visit: Visit): Promise<Response> {
  visit.exchange.endpoint = 'metrics'
  refuseMethod(visit.exchange.method, READ_METHODS)
  return getMetrics(visit)
}

async function giveToken(visit: Visit): Promise<Response> {
  visit.exchange.endpoint = 'token'
  refuseMethod(visit.exchange.method, TOKEN_METHODS)
  return getToken(visit)
}

function renderError(error: unknown, exchange: Exchange, log: Log): Response {
  const shown =
    error instanceof RegistryError ? error : new RegistryError('UNKNOWN', { cause: error })
  if (shown.status >= 500) {
    const reason = reasonOf(shown.cause) ?? shown.message
    log('request-failed', { id: exchange.id, reason, stack: stackOf(error) })
  }
  if (wantsPage(exchange)) return showFailure(exchange, shown)
  const headers = { ...shown.headers, [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status: shown.status, headers, body: errorBody(shown) })
}

/** A bug has no code of its own. */
function codeOf(error: unknown): string {
  return error instanceof RegistryError ? error.code : 'UNKNOWN'
}

/** Of a bug, and of what came out of an object, where it was. */
function stackOf(error: unknown): string | undefined {
  const of = error instanceof RegistryError ? error.cause : error
  return of instanceof Error ? of.stack : undefined
}

function reasonOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : undefined
}

function logRequest(
  log: Log,
  exchange: Exchange,
  { status, ms }: { readonly status: number; readonly ms: number },
): void {
  const { id, method, endpoint, caller, address, outcome } = exchange
  log('request', {
    id,
    method,
    endpoint,
    caller,
    repository: address?.canonical,
    outcome,
    status,
    bytes: exchange.bytes ?? (method === 'HEAD' ? undefined : exchange.length),
    ms,
  })
}

/** The raw path: `URL` and Hono would decode it, and a decoded name is another name. */
function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.search(/[?#]/)
  return url.slice(start, end === -1 ? undefined : end)
}
