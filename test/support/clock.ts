// The clock of a test: it stands still until it is told otherwise. `vi.restoreAllMocks` gives the real
// one back.

import { vi } from 'vitest'

/** A duration in milliseconds. */
export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** The clock that the Worker and its objects read. */
export interface Clock {
  readonly now: () => number
  readonly advance: (milliseconds: number) => void
}

/** Stops `Date.now` at the present. */
export function stopClock(): Clock {
  let now = Date.now()
  vi.spyOn(Date, 'now').mockImplementation(() => now)
  return {
    now: () => now,
    advance: (milliseconds) => {
      now += milliseconds
    },
  }
}
