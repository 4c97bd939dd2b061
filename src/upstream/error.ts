// What can go wrong at an upstream, as values: they cross Durable Object calls, decide whether a stale
// tag may be served, and become an answer to the client in one place (`registry/failure.ts`).

import { OutboundError } from '../outbound.ts'

/** Why an upstream gave no usable answer. */
export type UpstreamFailure =
  /** It said 404. */
  | { readonly kind: 'not-found' }
  /** Our credential was refused by the token service; says nothing about the repository. */
  | { readonly kind: 'unauthorized'; readonly reason: string }
  /** The repository was refused to a caller with a fresh token: missing or private. */
  | { readonly kind: 'denied'; readonly reason: string }
  /** It said 429, now or within the last `Retry-After`; `retryAfter` is in seconds. */
  | { readonly kind: 'rate-limited'; readonly retryAfter: number }
  /** It is down, too slow, or its token service is. */
  | { readonly kind: 'unavailable'; readonly isTimeout: boolean; readonly reason: string }
  /** It answered something that must not be believed or followed. */
  | { readonly kind: 'invalid'; readonly reason: string }

/** An {@link UpstreamFailure} on its way up within one object or request. */
export class UpstreamError extends Error {
  readonly failure: UpstreamFailure

  constructor(failure: UpstreamFailure, options?: ErrorOptions) {
    super('reason' in failure ? failure.reason : failure.kind, options)
    this.name = 'UpstreamError'
    this.failure = failure
  }
}

/** The failure behind an error of the network; any other error is a bug and is thrown on. */
export function failureOf(error: unknown): UpstreamFailure {
  if (error instanceof UpstreamError) return error.failure
  if (!(error instanceof OutboundError)) throw error
  switch (error.kind) {
    case 'network':
    case 'timeout':
      return { kind: 'unavailable', isTimeout: error.kind === 'timeout', reason: error.message }
    case 'forbidden':
    case 'too-large':
      return { kind: 'invalid', reason: error.message }
    default:
      return error.kind satisfies never
  }
}

/** Retry-After when a 429 names none, and the longest that is believed (seconds). */
const DEFAULT_RETRY_AFTER = 60
const MAX_RETRY_AFTER = 3600

/**
 * RFC 9110 §10.2.3: `Retry-After = HTTP-date / delay-seconds`, as whole seconds from `now` (milliseconds),
 * at least one and at most an hour.
 */
export function parseRetryAfter(header: string | null, now: number): number {
  if (header === null) return DEFAULT_RETRY_AFTER
  const text = header.trim()
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - now) / 1000
  if (Number.isNaN(seconds)) return DEFAULT_RETRY_AFTER
  return Math.min(Math.max(Math.ceil(seconds), 1), MAX_RETRY_AFTER)
}
