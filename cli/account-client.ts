// The admin API as a client sees it: one request, its JSON, and one sentence for whoever sits in front of it
// when that is not what came.

import { Failure } from './failure.ts'
import type { Login } from './login.ts'

/** What a registry was asked and did not do. */
export class AccountError extends Failure {
  override readonly name = 'AccountError'
}

/** A request of an administrator. */
export interface AdminRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below `/_/api/`. */
  readonly path: string
  readonly body?: object
}

/** Milliseconds. */
const WITHIN = 30_000

/**
 * The JSON of an answer; of one without a body, an empty object.
 * @throws {AccountError}
 */
export async function askRegistry(
  url: URL,
  { name, secret }: Login,
  { method, path, body }: AdminRequest,
): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(new URL(`/_/api/${path}`, url), {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    // A secret is for the registry that was named, and for no other.
    redirect: 'manual',
    signal: AbortSignal.timeout(WITHIN),
  }).catch((error: unknown) => {
    throw new AccountError(
      `no registry answers on ${url.origin} (${reasonOf(error)}): is it running, or is it elsewhere (--url)?`,
      { cause: error },
    )
  })
  const text = await response.text().catch(() => '')
  if (response.ok && text === '') return {}
  const answer = parseObject(text)
  if (response.ok && answer !== undefined) return answer
  throw new AccountError(explain(url, name, { status: response.status, answer }))
}

function explain(
  { origin }: URL,
  name: string,
  { status, answer }: { readonly status: number; readonly answer: object | undefined },
): string {
  const message = messageOf(answer)
  if (message === undefined) return `${origin} is no registry that has accounts (status ${status})`
  if (status === 401) {
    return `${origin} does not take ${name} for an administrator: the secret is wrong, or it has no grant of admin`
  }
  return message
}

/** Of a registry's error. */
function messageOf(answer: object | undefined): string | undefined {
  const errors: unknown = answer === undefined ? undefined : Reflect.get(answer, 'errors')
  const [first]: readonly unknown[] = Array.isArray(errors) ? errors : []
  if (typeof first !== 'object' || first === null || !('message' in first)) return undefined
  return typeof first.message === 'string' ? first.message : undefined
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** Why there was no answer, in a word or two. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (cause instanceof Error && 'code' in cause) return String(cause.code)
  return cause instanceof Error ? cause.message : error.message
}
