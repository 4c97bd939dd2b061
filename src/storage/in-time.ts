// A deadline on storage: KV, R2 and objects can stall, and nothing waits for ever.

import { timeoutAfter } from '../outbound.ts'

/**
 * The result of `work`, which has so long (milliseconds). Work that is late goes on, and how it ends then is
 * nobody's concern.
 * @throws {OutboundError} a time-out with this message.
 */
export async function inTime<Value>(
  work: Promise<Value>,
  milliseconds: number,
  message: string,
): Promise<Value> {
  const deadline = timeoutAfter(milliseconds, message)
  try {
    return await Promise.race([work, deadline.expired])
  } finally {
    deadline.clear()
  }
}
