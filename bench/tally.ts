// What the upstream was asked, counted by what a registry counts.

/** Requests by kind, and the bytes of bodies that were sent. */
export interface Tally {
  pings: number
  tokens: number
  manifestHeads: number
  blobHeads: number
  manifestGets: number
  blobGets: number
  /** Everything else that a registry knows (lists, referrers). */
  others: number
  /** Of the above none: requests that were answered 401, and those that were answered 429. */
  refused: number
  limited: number
  bytes: number
}

/** The least that could have been asked. */
export type Minimum = Pick<
  Tally,
  'tokens' | 'manifestHeads' | 'blobHeads' | 'manifestGets' | 'blobGets' | 'bytes'
>

/** A tally of nothing. */
export function emptyTally(): Tally {
  return {
    pings: 0,
    tokens: 0,
    manifestHeads: 0,
    blobHeads: 0,
    manifestGets: 0,
    blobGets: 0,
    others: 0,
    refused: 0,
    limited: 0,
    bytes: 0,
  }
}

/** A minimum, of what is not nothing. */
export function minimumOf(some: Partial<Minimum>): Minimum {
  return {
    tokens: 0,
    manifestHeads: 0,
    blobHeads: 0,
    manifestGets: 0,
    blobGets: 0,
    bytes: 0,
    ...some,
  }
}
