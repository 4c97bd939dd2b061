// The one place where a failure becomes an answer. A 404 only when the upstream said 404, or to a caller
// who may not have it asked; a limit is 429, an outage 502 or 504, and nothing of an upstream's own words
// reaches a client.

import { RegistryError } from '../oci/error.ts'
import type { ErrorCode } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { MirrorFailure } from '../mirror/admission.ts'

/** Whoever has switched something off seldom switches it on at once (seconds). */
const RETRY_CLOSED = 60
/** A client that comes back before an upstream is likely to be up again only adds load (seconds). */
const RETRY_OUTAGE = 10

/** The error for a failure; `unknown` is the code that says what was not found. */
export function registryErrorOf(failure: MirrorFailure, unknown: ErrorCode): RegistryError {
  switch (failure.kind) {
    case 'not-found':
      return new RegistryError(unknown)
    case 'unauthorized':
    case 'denied':
      // No challenge: logging in here would not change what the upstream refuses.
      return new RegistryError('DENIED', {
        message: 'the upstream refuses access to this repository',
      })
    case 'rate-limited':
      return new RegistryError('TOOMANYREQUESTS', {
        message: 'the upstream limits requests and this is not cached',
        headers: { [HEADER.retryAfter]: String(failure.retryAfter) },
      })
    case 'limited-here':
      return new RegistryError('TOOMANYREQUESTS', {
        message: 'this registry limits what a client may have fetched, and this is not cached',
        headers: { [HEADER.retryAfter]: String(failure.retryAfter) },
      })
    case 'closed-here':
      return new RegistryError('UNKNOWN', {
        status: 503,
        message: 'this is not here, and an administrator has switched off that it is fetched',
        headers: { [HEADER.retryAfter]: String(RETRY_CLOSED) },
      })
    case 'unavailable':
      return new RegistryError('UNKNOWN', {
        status: failure.isTimeout ? 504 : 502,
        message: failure.isTimeout ? 'the upstream does not answer' : 'the upstream is unavailable',
        headers: { [HEADER.retryAfter]: String(RETRY_OUTAGE) },
        cause: failure.reason,
      })
    case 'invalid':
      return new RegistryError('UNKNOWN', {
        status: 502,
        message: `the upstream gave an answer that cannot be used: ${failure.reason}`,
        cause: failure.reason,
      })
    default:
      return failure satisfies never
  }
}
