// What a client is told when storage or an object fails: hosted content lies nowhere else, so there is
// nothing to fall back on, but nothing is lost either.

import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { inTime } from '../storage/in-time.ts'

/** A client that comes back before the platform has recovered only adds load (seconds). */
const RETRY_AFTER = 5

/** An object that has not answered by then counts as away: containerd gives up after 30 s (milliseconds). */
const WITHIN = 25_000

/** What an object answers, in time for a client to hear of it. */
export function answered<Value>(work: Promise<Value>): Promise<Value> {
  return inTime(work, WITHIN, 'the object does not answer')
}

/**
 * The result of `work`.
 * @throws {RegistryError} UNKNOWN (503) with a `Retry-After` if it fails.
 */
export async function available<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work
  } catch (error) {
    if (error instanceof RegistryError) throw error
    throw new RegistryError('UNKNOWN', {
      status: 503,
      message: 'storage is unavailable',
      headers: { [HEADER.retryAfter]: String(RETRY_AFTER) },
      cause: error,
    })
  }
}

/**
 * What an object answers. A call that changes nothing is made once more where the platform says that this may
 * help: the object was moved or restarted under it.
 */
export async function asked<Value>(call: () => Promise<Value>): Promise<Value> {
  try {
    return await answered(call())
  } catch (error) {
    if (!isRetryable(error)) throw error
    return answered(call())
  }
}

/** An overloaded object must not be asked again at once. */
function isRetryable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const isOverloaded = 'overloaded' in error && error.overloaded === true
  return 'retryable' in error && error.retryable === true && !isOverloaded
}
