// One request of the doctor: no redirect is followed, no more of a body is read than is looked at, and nothing
// waits for ever.

import type { Answer, Reason } from './doctor-answer.ts'

/** What is asked. */
export interface Question {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  /** As much of the body is read (bytes). */
  readonly limit?: number
}

/** Manifests, tokens, lists and errors are smaller. */
const LIMIT = 8 * 1024 * 1024
const USER_AGENT = 'entrepot-doctor'

/** Asks, with a deadline for each request and one for all. */
export class Prober {
  /** Seconds. */
  readonly #within: number
  readonly #end: AbortSignal

  constructor(deadlines: { readonly request: number; readonly all: number }) {
    this.#within = deadlines.request
    this.#end = AbortSignal.timeout(deadlines.all * 1000)
  }

  /** Never rejects: that nobody answers is an answer here. */
  async ask(url: URL, question: Question = {}): Promise<Answer> {
    const { method = 'GET', headers, limit = LIMIT } = question
    const signal = AbortSignal.any([AbortSignal.timeout(this.#within * 1000), this.#end])
    const startedAt = performance.now()
    let hasBegun = false
    try {
      const response = await fetch(url, {
        method,
        // What is encoded on the way could not be compared.
        headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers },
        redirect: 'manual',
        signal,
      })
      hasBegun = true
      const milliseconds = performance.now() - startedAt
      const body = await readAtMost(response, limit)
      const { status, headers: fields } = response
      return { kind: 'answered', url, status, headers: fields, ...body, milliseconds }
    } catch (error) {
      const code = codeOf(error)
      const reason = reasonOf(code)
      const isCut = hasBegun && reason !== 'timeout'
      return {
        kind: 'unanswered',
        url,
        reason: isCut ? 'cut' : reason,
        code,
        within: this.#within,
      }
    }
  }
}

async function readAtMost(
  { body }: Response,
  limit: number,
): Promise<{ readonly bytes: Uint8Array; readonly isWhole: boolean }> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    const part: Uint8Array = chunk.subarray(0, limit - length)
    chunks.push(part)
    length += part.byteLength
    // Leaving the loop ends the connection.
    if (part.byteLength < chunk.byteLength) return { bytes: Buffer.concat(chunks), isWhole: false }
  }
  return { bytes: Buffer.concat(chunks), isWhole: true }
}

/** What the platform calls it: a time-out by its name, else the innermost code or message. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  if (error.name === 'TimeoutError') return 'TIMEOUT'
  const { cause } = error
  if (cause instanceof Error && 'code' in cause) return String(cause.code)
  return 'code' in error
    ? String(error.code)
    : cause instanceof Error
      ? cause.message
      : error.message
}

const REASONS: readonly (readonly [pattern: RegExp, reason: Reason])[] = [
  [/^(?:ENOTFOUND|EAI_)/, 'dns'],
  [/^ECONNREFUSED$/, 'refused'],
  [/^(?:EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/, 'unreachable'],
  [/TIMEOUT|^ETIMEDOUT$/, 'timeout'],
  [/CERT|SELF_SIGNED|UNABLE_TO_/, 'certificate'],
  [/^(?:ERR_SSL_|EPROTO)/, 'tls'],
  [/^(?:ECONNRESET|EPIPE|UND_ERR_SOCKET|HPE_)/, 'closed'],
]

/** Sorts what OpenSSL, libuv and undici call a failure. */
export function reasonOf(code: string): Reason {
  return REASONS.find(([pattern]) => pattern.test(code))?.[1] ?? 'other'
}
