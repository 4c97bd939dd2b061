// What every answer below `/_/api/` is made of: who asks, the JSON that came, and the JSON that goes.

import { REGISTRY, may } from '../auth/policy.ts'
import { RegistryError } from '../oci/error.ts'
import type { ErrorCode } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { parseJSONObject } from '../oci/json-object.ts'
import type { Services } from '../services.ts'
import type { Visit } from './authenticate.ts'
import { refusal } from './authorize.ts'
import { readBody } from './body.ts'
import { serviceOf } from './challenge.ts'
import { respond } from './exchange.ts'

/** Bytes of a body; a thousand grants are less. */
const MAX_BODY = 64 * 1024
/** Seconds until storage or an object is likely to be there again. */
const RETRY = 10
const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i

type Authority = ReturnType<Services['access']['authority']>

/** A request of an administrator. */
export interface Call {
  readonly visit: Visit
  /** Who the audit will say it was. */
  readonly by: string
  /** What the path names; empty where it names nothing. */
  readonly name: string
}

/** What answers the requests to one form of path. */
export interface Route {
  /** Its first group is the `name` of a call. */
  readonly path: RegExp
  /** For the log. */
  readonly endpoint: string
  readonly methods: Readonly<Record<string, (call: Call) => Promise<Response>>>
}

/**
 * Who asks. Only its own grants count: a change must have somebody who made it, so what `ANONYMOUS` lets anybody
 * do is not enough, and neither is a token, which cannot be for this.
 */
export async function administratorOf(visit: Visit): Promise<string> {
  refuseForeign(visit)
  const { caller } = await visit.visitor.authenticate()
  if (caller.kind === 'account' && may(caller, 'admin', REGISTRY, [])) return caller.name
  throw await refusal(visit, [])
}

/**
 * A browser shows an administrator's login to whatever a page of another site sends here, so what changes anything must
 * come from here, or from a program, which names no origin (Fetch, "Origin header"; Fetch Metadata).
 */
function refuseForeign({ exchange, services }: Visit): void {
  const { headers, method } = exchange
  if (method === 'GET' || method === 'HEAD') return
  const origin = headers.get(HEADER.origin)
  const site = headers.get(HEADER.secFetchSite) ?? 'none'
  const isOwn = origin === null || URL.parse(origin)?.host === serviceOf(exchange, services.config)
  if (isOwn && (site === 'none' || site === 'same-origin')) return
  throw new RegistryError('DENIED', { message: 'this was sent by a page of another site' })
}

/**
 * The members of the JSON object that a request has as its body.
 * @throws {RegistryError} UNSUPPORTED_VALUE or SIZE_INVALID where it has none; `expected` is how one looks.
 */
export async function readMembers(
  { exchange }: Visit,
  expected: string,
): Promise<Readonly<Record<string, unknown>>> {
  // A page of another site cannot send this type unasked.
  if (!JSON_TYPE.test(exchange.headers.get(HEADER.contentType) ?? '')) {
    throw wrong('Content-Type', 'expected application/json')
  }
  const body = await readBody(exchange, MAX_BODY)
  if (!body.ok && body.reason === 'too-large') {
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `a body can have ${MAX_BODY} bytes at most`,
    })
  }
  const parsed = body.ok ? parseJSONObject(body.bytes) : undefined
  if (parsed === undefined || parsed.repeatedKey !== undefined) {
    throw wrong('', `expected a JSON object ${expected} with each key once`)
  }
  return parsed.members
}

/** A change, after which this isolate looks at accounts and switches anew. Others do within a minute. */
export async function change<T>(
  visit: Visit,
  make: (authority: Authority) => Promise<T>,
): Promise<T> {
  try {
    return await ask(visit, make)
  } finally {
    visit.services.access.forget()
  }
}

/** @throws {RegistryError} UNKNOWN with 503 while the object does not answer. */
export async function ask<T>(
  { services }: Visit,
  question: (authority: Authority) => Promise<T>,
): Promise<T> {
  return reach('accounts and switches cannot be reached', () =>
    question(services.access.authority()),
  )
}

/**
 * What storage or an object says.
 * @throws {RegistryError} UNKNOWN with 503 and this message while it does not answer.
 */
export async function reach<Value>(
  message: string,
  question: () => Promise<Value>,
): Promise<Value> {
  try {
    return await question()
  } catch (cause) {
    if (cause instanceof RegistryError) throw cause
    const headers = { [HEADER.retryAfter]: String(RETRY) }
    throw new RegistryError('UNKNOWN', { status: 503, message, headers, cause })
  }
}

/** Of an answer that nobody keeps. */
export const NO_STORE = { [HEADER.cacheControl]: 'no-store' }

/** An answer in JSON that nobody keeps. */
export function show({ exchange }: Visit, status: number, value: object): Response {
  const headers = { ...NO_STORE, [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status, headers, body: JSON.stringify(value) })
}

/** What is wrong with a field; the empty one is the body as a whole. */
export function wrong(field: string, why: string, isMissing = false): RegistryError {
  const code: ErrorCode = isMissing ? 'MISSING_REQUIRED_FIELD' : 'UNSUPPORTED_VALUE'
  const message = field === '' ? why : `${field}: ${why}`
  return new RegistryError(code, { message, detail: { field } })
}

/** A time as answers write it (RFC 3339); `undefined` stays so. */
export function timestamp(milliseconds: number): string
export function timestamp(milliseconds: number | undefined): string | undefined
export function timestamp(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString()
}
