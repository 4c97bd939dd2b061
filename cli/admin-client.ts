// The admin API as a client sees it: one request, its JSON, and one sentence for whoever sits in front of it
// when that is not what came.

import { Answer, StrangeAnswer } from './admin-answer.ts'
import type { Members } from './admin-answer.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { Failure } from './failure.ts'
import { requireLogin } from './login.ts'
import type { Login } from './login.ts'

/** What a registry was asked and did not do. */
export class AdminError extends Failure {
  override readonly name = 'AdminError'
  /** Nobody answered, or a registry that cannot at the moment: a later try may do. */
  readonly isPassing: boolean

  constructor(message: string, options: ErrorOptions & { readonly isPassing?: boolean } = {}) {
    super(message, options)
    this.isPassing = options.isPassing ?? false
  }
}

/** A request of an administrator. */
export interface AdminRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/_/api/`, with its query. */
  readonly path: string
  readonly body?: object
}

/** Milliseconds until an answer must have begun, and until one that is not streamed must have ended. */
const WITHIN = 30_000

/** A registry, and in whose name it is asked. */
export class AdminClient {
  readonly url: URL
  readonly #login: Login

  constructor(url: URL, login: Login) {
    this.url = url
    this.#login = login
  }

  /** In whose name the arguments and the environment say. @throws {ArgumentError | Failure} */
  static async of({ url, persistTo }: RegistryArguments): Promise<AdminClient> {
    return new AdminClient(url, await requireLogin(url, persistTo))
  }

  /**
   * The JSON of an answer; of one without a body, an empty object.
   * @throws {AdminError | StrangeAnswer}
   */
  async ask({ method, path, body }: AdminRequest): Promise<Answer> {
    const response = await this.#send(path, {
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
      signal: AbortSignal.timeout(WITHIN),
    })
    const text = await textOf(response)
    const json = text === '' ? {} : parseObject(text)
    if (json === undefined) throw this.#refusal(response.status, undefined)
    return new Answer(json, this.url.origin)
  }

  /**
   * The body of an answer, as it comes.
   * @throws {AdminError}
   */
  async download(path: string): Promise<ReadableStream<Uint8Array>> {
    const beginning = new AbortController()
    const timer = setTimeout(() => beginning.abort(new Error('no answer in time')), WITHIN)
    const response = await this.#send(path, { method: 'GET', signal: beginning.signal }).finally(
      () => clearTimeout(timer),
    )
    if (response.body === null) throw new StrangeAnswer(this.url.origin)
    return response.body
  }

  /**
   * The JSON of the answer to bytes that are sent.
   * @throws {AdminError | StrangeAnswer}
   */
  async upload(path: string, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<Answer> {
    const headers = { 'content-type': type }
    const signal = AbortSignal.timeout(WITHIN * 4)
    const response = await this.#send(path, { method: 'PUT', body: bytes, headers, signal })
    return new Answer(parseObject(await textOf(response)) ?? {}, this.url.origin)
  }

  /** An answer that is well. */
  async #send(path: string, init: RequestInit): Promise<Response> {
    const { name, secret } = this.#login
    const response = await fetch(new URL(`/_/api/${path}`, this.url), {
      ...init,
      headers: {
        ...(init.headers as Readonly<Record<string, string>> | undefined),
        authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
      },
      // A secret is for the registry that was named, and for no other.
      redirect: 'manual',
    }).catch((cause: unknown) => {
      throw new AdminError(
        `no registry answers on ${this.url.origin} (${reasonOf(cause)}): is it running, or is it elsewhere (--url)?`,
        { cause, isPassing: true },
      )
    })
    if (response.ok) return response
    throw this.#refusal(response.status, parseObject(await response.text().catch(() => '')))
  }

  #refusal(status: number, answer: Members | undefined): AdminError {
    const isPassing = status >= 500 || status === 429
    return new AdminError(explain(this.url, this.#login.name, { status, answer }), { isPassing })
  }
}

/** @throws {AdminError} where the connection broke. */
async function textOf(response: Response): Promise<string> {
  try {
    return await response.text()
  } catch (cause) {
    throw new AdminError(`an answer broke off (${reasonOf(cause)})`, { cause, isPassing: true })
  }
}

function explain(
  { origin }: URL,
  name: string,
  { status, answer }: { readonly status: number; readonly answer: Members | undefined },
): string {
  const message = messageOf(answer)
  if (message === undefined) return `${origin} is no registry of this kind (status ${status})`
  if (status === 401) {
    return `${origin} does not take ${name} for an administrator: the secret is wrong, or it has no grant of admin`
  }
  return message
}

/** Of a registry's error. */
function messageOf(answer: Members | undefined): string | undefined {
  const errors = answer?.['errors']
  const [first]: readonly unknown[] = Array.isArray(errors) ? errors : []
  if (typeof first !== 'object' || first === null || !('message' in first)) return undefined
  return typeof first.message === 'string' ? first.message : undefined
}

function parseObject(text: string): Members | undefined {
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
