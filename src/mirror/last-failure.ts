// The last failed check of a tag: as it is kept, as it counts beside a later one, and as a client may read it.

import type { UpstreamFailure } from '../upstream/error.ts'
import type { TagRecord } from './records.ts'

/** The reason of the last failed check as `Records.tryTag` was given it. */
export function parseFailure(text: string | null): UpstreamFailure {
  if (text !== null) return JSON.parse(text) as UpstreamFailure
  return { kind: 'unavailable', isTimeout: false, reason: 'it was not asked' }
}

/**
 * What counts of a failed check: a refusal stays one until the upstream answers again, or an outage would open
 * what has been closed.
 */
export function rememberedFailure(
  record: TagRecord | undefined,
  failure: UpstreamFailure,
): UpstreamFailure {
  if (record === undefined || record.failure === null || failure.kind === 'not-found')
    return failure
  const before = parseFailure(record.failure)
  const isRefusal = before.kind === 'denied' || before.kind === 'unauthorized'
  return isRefusal && failure.kind !== 'denied' ? before : failure
}

/** In words that a client may see: no address and nothing that an upstream has written. */
export function describeFailure(failure: UpstreamFailure): string {
  switch (failure.kind) {
    case 'unavailable':
      return failure.isTimeout ? 'it does not answer' : 'it is unavailable'
    case 'rate-limited':
      return 'it limits requests'
    case 'unauthorized':
      return 'it refuses the configured credential'
    case 'denied':
      return 'it refuses access'
    case 'not-found':
    case 'invalid':
      return 'its answer cannot be used'
    default:
      return failure satisfies never
  }
}
