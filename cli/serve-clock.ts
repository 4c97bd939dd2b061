// The clock of a registry on this machine: Miniflare strikes none, so this one calls what wrangler.toml's crons call on a
// deployment. It ends with the registry.

/** As wrangler.toml has it (milliseconds). */
export const HOURLY = 60 * 60 * 1000
/** A registry that was just started is asked at once what it has missed, or nearly so (milliseconds). */
const FIRST = 60_000

/** Ends the clock, after what it has just begun. */
export type StopClock = () => Promise<void>

/** Strikes every so many milliseconds. What fails is the Worker's to log: the clock goes on. */
export function startClock(strike: () => Promise<unknown>, every: number): StopClock {
  let striking: Promise<unknown> = Promise.resolve()
  let timer = setTimeout(next, Math.min(FIRST, every))
  timer.unref()
  function next(): void {
    striking = strike().catch(() => undefined)
    timer = setTimeout(next, every)
    timer.unref()
  }
  return async () => {
    clearTimeout(timer)
    await striking
  }
}
