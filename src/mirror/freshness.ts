// Whether what is known of a tag may be served, must be checked, or is lost: pure decisions over the two
// clocks of a tag. `verifiedAt` moves only on an upstream's answer, `triedAt` on a failure.

import type { UpstreamFailure } from '../upstream/error.ts'

/** A tag that is served although an anonymous request for it was refused, at most for so long (milliseconds). */
const MAX_STALE_DENIED = 60 * 60 * 1000
/** After a failed check nothing is asked for so long, or for the tag's TTL if that is shorter (milliseconds). */
const RETRY_AFTER_FAILURE = 30_000

/** The two clocks of a tag (milliseconds). */
export interface TagClocks {
  readonly verifiedAt: number
  readonly triedAt: number
}

/** The upstream's rules for a tag (milliseconds), and whether its repository is private. */
export interface FreshnessRules {
  readonly ttl: number
  readonly maxStale: number
  readonly isPrivate: boolean
}

/** `fresh`: serve. `resting`: a check failed just now, so serve stale if that is allowed. `due`: check. */
export type Freshness = 'fresh' | 'resting' | 'due'

/** Judges a tag at `now`. A clock that runs backwards never makes a tag older than it is. */
export function judge(clocks: TagClocks, rules: FreshnessRules, now: number): Freshness {
  if (now - clocks.verifiedAt < rules.ttl) return 'fresh'
  return now < restsUntil(clocks, rules) ? 'resting' : 'due'
}

/** Until when a tag counts as fresh (milliseconds). */
export function freshUntil(clocks: TagClocks, rules: FreshnessRules): number {
  return clocks.verifiedAt + rules.ttl
}

/** Until when no further check is made after a failed one (milliseconds). */
export function restsUntil(clocks: TagClocks, rules: FreshnessRules): number {
  if (clocks.triedAt <= clocks.verifiedAt) return 0
  return clocks.triedAt + Math.min(rules.ttl, RETRY_AFTER_FAILURE)
}

/** Whether a tag last verified at `verifiedAt` may be served in spite of `failure`. */
export function mayServeStale(
  failure: UpstreamFailure,
  verifiedAt: number,
  rules: FreshnessRules,
  now: number,
): boolean {
  const age = now - verifiedAt
  switch (failure.kind) {
    case 'unavailable':
    case 'rate-limited':
    case 'invalid':
      return age <= rules.maxStale
    case 'unauthorized':
      return !rules.isPrivate && age <= rules.maxStale
    case 'denied':
      return !rules.isPrivate && age <= Math.min(rules.maxStale, MAX_STALE_DENIED)
    case 'not-found':
      return false
    default:
      return failure satisfies never
  }
}
