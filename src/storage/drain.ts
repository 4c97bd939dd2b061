// What is left of a request's body when the answer is known. A client that still writes when the connection
// closes often never sees the answer (Go's and Node's HTTP: a broken pipe every other time), so the rest is read
// first, within reason.

import { timeoutAfter } from '../outbound.ts'

/** So much is read for nothing (bytes): the largest body that the edge lets through; and for so long (milliseconds). */
const MAX_DRAIN = 128 * 1024 * 1024
const WITHIN = 10_000

/** Reads to the end what nobody has read. A body that was handed on is its reader's. Never rejects. */
export async function drain(body: ReadableStream<Uint8Array> | null): Promise<void> {
  if (body !== null && !body.locked) await drainRest(body.getReader())
}

/** The same for a body that was read in part. */
export async function drainRest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const late = timeoutAfter(WITHIN)
  try {
    for (let left = MAX_DRAIN; left > 0;) {
      const { done, value } = await Promise.race([reader.read(), late.expired])
      if (done) return
      left -= value.byteLength
    }
  } catch {
    // Too late, or the client has gone: the answer goes where it may.
  } finally {
    late.clear()
    void reader.cancel().catch(() => undefined)
  }
}
