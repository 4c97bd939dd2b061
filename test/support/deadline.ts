// Time-outs of a test: whoever waits for a second or longer is told at once that the time is over, so
// that an upstream which never answers costs a test nothing. `vi.restoreAllMocks` ends it.

import { vi } from 'vitest'

/** Shorter waits are no deadlines and run as they are (milliseconds). */
const SHORTEST = 1000
/** Enough for an upstream of the test that does answer (milliseconds). */
const GRACE = 25
/** Who waits so long or longer waits for somebody with deadlines of his own, which pass first (milliseconds). */
const OUTER = 20_000
const OUTER_GRACE = 400

/** Lets every deadline pass. */
export function passDeadlines(): void {
  const wait = globalThis.setTimeout
  const shorten = (delay: number) => (delay < OUTER ? GRACE : OUTER_GRACE)
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((work: () => void, delay = 0) =>
    wait(work, delay < SHORTEST ? delay : shorten(delay))) as typeof setTimeout)
}
