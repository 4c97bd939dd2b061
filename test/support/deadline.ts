// Time-outs of a test: whoever waits for a second or longer is told at once that the time is over, so
// that an upstream which never answers costs a test nothing. `vi.restoreAllMocks` ends it.

import { vi } from 'vitest'

/** Shorter waits are no deadlines and run as they are (milliseconds). */
const SHORTEST = 1000
/** Enough for an upstream of the test that does answer (milliseconds). */
const GRACE = 25

/** Lets every deadline pass. */
export function passDeadlines(): void {
  const wait = globalThis.setTimeout
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((work: () => void, delay = 0) =>
    wait(work, delay >= SHORTEST ? GRACE : delay)) as typeof setTimeout)
}
