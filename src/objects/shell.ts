// What every shell of a Durable Object does: it composes services for itself, and its alarm never throws.

import { Services, platformSeams, printLog } from '../services.ts'

/** Milliseconds. */
const WAKE_AGAIN = 60_000

/**
 * Runs the alarm of an object, which sets the next one itself. One that cannot even be opened, under a wrong
 * configuration, comes again in a minute: what throws is tried a few times, and then never more.
 */
export async function wake(
  { storage }: DurableObjectState,
  alarm: (() => Promise<void>) | undefined,
): Promise<void> {
  if (alarm === undefined) return
  await storage.setAlarm(Date.now() + WAKE_AGAIN)
  try {
    await alarm()
  } catch (error) {
    printLog('alarm-failed', { reason: String(error) })
  }
}

/** What an object works with. */
export function servicesOf(ctx: DurableObjectState, env: Env): Services {
  return new Services(
    env,
    platformSeams((work) => ctx.waitUntil(work), printLog),
  )
}
