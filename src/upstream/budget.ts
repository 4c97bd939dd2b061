// How much an upstream still lets one credential ask: Docker Hub's `ratelimit-*` headers as values, and what
// follows from them. Pure; the gate keeps the one budget that counts.

import { HEADER } from '../oci/header.ts'

/** What an upstream said of a credential's budget at `at` (milliseconds); `window` is in milliseconds too. */
export interface Budget {
  readonly limit: number
  readonly remaining: number
  readonly window: number
  readonly at: number
}

/** Below which share of the limit a tag's TTL is multiplied by what. */
const STRETCHES: readonly { readonly below: number; readonly by: number }[] = [
  { below: 0.1, by: 12 },
  { below: 0.25, by: 4 },
  { below: 0.5, by: 2 },
]

/**
 * Docker Hub, "Pull rate limit": `ratelimit-remaining = count [ ";w=" seconds ]`, and `ratelimit-limit` the same.
 * `undefined` where an answer tells nothing of use: the account or the image is not limited.
 */
export function parseBudget(headers: Headers, at: number): Budget | undefined {
  const limit = parseCount(headers.get(HEADER.rateLimitLimit))
  const remaining = parseCount(headers.get(HEADER.rateLimitRemaining))
  if (limit === undefined || remaining === undefined || limit.count === 0) return undefined
  const seconds = remaining.seconds ?? limit.seconds ?? DEFAULT_WINDOW
  return { limit: limit.count, remaining: remaining.count, window: seconds * 1000, at }
}

/** Docker Hub's window where none is named (seconds). */
const DEFAULT_WINDOW = 6 * 60 * 60

/** What is known of a budget at `now`: nothing once its window is over. */
export function currentBudget(budget: Budget | undefined, now: number): Budget | undefined {
  return budget !== undefined && now - budget.at < budget.window ? budget : undefined
}

/** Of two statements the later one; of two at once the one that promises less. */
export function laterBudget(known: Budget | undefined, told: Budget): Budget {
  if (known === undefined || told.at > known.at) return told
  return told.at === known.at && told.remaining < known.remaining ? told : known
}

/** What a tag's TTL is multiplied by as the budget falls. */
export function stretchOf(budget: Budget | undefined): number {
  if (budget === undefined) return 1
  const share = budget.remaining / budget.limit
  return STRETCHES.find(({ below }) => share < below)?.by ?? 1
}

function parseCount(
  header: string | null,
): { readonly count: number; readonly seconds: number | undefined } | undefined {
  const match = /^\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9})\s*)?(?:[;,].*)?$/.exec(header ?? '')
  const [, count, seconds] = match ?? []
  if (count === undefined) return undefined
  return { count: Number(count), seconds: seconds === undefined ? undefined : Number(seconds) }
}
