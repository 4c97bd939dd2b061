// From an answer to a Response: the body as a byte stream that comes in pieces, as a network gives it,
// and the faults of the wire (cut, held, dripping, encoded, a length that is not true).

import { HEADER } from '../src/oci/header.ts'
import type { Answer } from './upstream-answer.ts'
import type { Fault } from './upstream-fault.ts'
import type { RecordedRequest } from './upstream-record.ts'
import { assertConnected, networkError, type Patience, sleep, waitUntil } from './upstream-wait.ts'

const PIECE = 64 * 1024

/** What a delivery needs to know besides the answer. */
export interface Delivery extends Patience {
  readonly request: RecordedRequest
  readonly fault: Fault
  /** Whether a promise of the fault has settled. */
  readonly isSettled: (promise: Promise<unknown>) => boolean
  /**
   * `wire`: the bytes as a server writes them. `fetched`: as `fetch` hands them over, that is decoded,
   * cut at `Content-Length`, and failing where the body is shorter than that.
   */
  readonly form: 'wire' | 'fetched'
}

/** Makes the Response. Its body is read by whoever wants it; nothing is sent ahead of the reader. */
export async function deliver(answer: Answer, delivery: Delivery): Promise<Response> {
  const { fault, request, form } = delivery
  const headers = new Headers(answer.headers)
  let bytes = answer.body
  if (fault.gzip && bytes !== undefined) {
    const encoded = await gzip(bytes)
    headers.set(HEADER.contentEncoding, 'gzip')
    headers.set(HEADER.contentLength, String(encoded.length))
    if (form === 'wire') {
      bytes = encoded
    }
  }
  if (fault.contentLength !== undefined) {
    headers.set(HEADER.contentLength, String(fault.contentLength))
  }
  if (fault.noContentLength) {
    headers.delete(HEADER.contentLength)
  }
  const init = { status: answer.status, headers }
  if (bytes === undefined || request.method === 'HEAD' || isBodiless(answer.status)) {
    return new Response(null, init)
  }
  return new Response(
    streamBytes(bytes, measureBody(bytes.length, headers, delivery), delivery),
    init,
  )
}

function isBodiless(status: number): boolean {
  return status === 204 || status === 304
}

/** How much of the body arrives, and whether it ends well there. */
interface Extent {
  readonly end: number
  readonly isWhole: boolean
}

function measureBody(size: number, headers: Headers, { fault, form }: Delivery): Extent {
  const { truncateAt } = fault
  if (truncateAt !== undefined) {
    const isShare = truncateAt > 0 && truncateAt < 1
    const end = isShare ? Math.floor(size * truncateAt) : Math.min(truncateAt, size)
    return { end, isWhole: false }
  }
  const length = headers.get(HEADER.contentLength)
  if (form === 'wire' || length === null || fault.gzip) {
    return { end: size, isWhole: true }
  }
  return { end: Math.min(size, Number(length)), isWhole: Number(length) <= size }
}

/**
 * A byte stream, as the body of a real `fetch` is, so that a BYOB reader works on it. It gives nothing
 * ahead of its reader.
 */
function streamBytes(
  bytes: Uint8Array,
  extent: Extent,
  delivery: Delivery,
): ReadableStream<Uint8Array> {
  const { request } = delivery
  let offset = 0
  return new ReadableStream({
    type: 'bytes',
    autoAllocateChunkSize: PIECE,
    async pull(controller) {
      try {
        assertConnected(delivery)
        if (offset < extent.end) {
          const next = await waitForTurn(offset, extent.end, delivery)
          controller.enqueue(bytes.slice(offset, next))
          offset = next
          request.sent = offset
        }
        if (offset < extent.end) {
          return
        }
        if (!extent.isWhole) {
          throw networkError()
        }
      } catch (error) {
        request.ending = 'cut'
        controller.error(error)
        return
      }
      request.ending = 'complete'
      controller.close()
      controller.byobRequest?.respond(0)
    },
    cancel() {
      request.ending = 'cancelled'
    },
  })
}

/** Waits until a piece may be sent that starts at `offset`, and returns where it ends. */
async function waitForTurn(offset: number, end: number, delivery: Delivery): Promise<number> {
  const { hold, after = 0, allow, drip } = delivery.fault
  const isHeld = (): boolean => hold !== undefined && !delivery.isSettled(hold)
  const limit = (): number => Math.min(end, isHeld() ? after : end, allow?.() ?? end)
  if (drip !== undefined) {
    await sleep(drip.every)
  }
  await waitUntil(() => limit() > offset, delivery)
  return Math.min(offset + (drip?.bytes ?? PIECE), limit())
}

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const source = new Response(bytes.slice()).body
  if (source === null) {
    return bytes
  }
  return new Uint8Array(
    await new Response(source.pipeThrough(new CompressionStream('gzip'))).arrayBuffer(),
  )
}
