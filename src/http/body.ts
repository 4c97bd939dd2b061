// Small bodies read whole: never more than may be wanted of them, whatever a header says.

import { HEADER } from '../oci/header.ts'
import { concatenate } from '../outbound.ts'
import type { Exchange } from './exchange.ts'

/**
 * The body of a request, of `limit` bytes at most. No header is believed about it but one that says it is too
 * large; nothing behind the limit is read.
 */
export async function readBody(
  { headers, body }: Exchange,
  limit: number,
): Promise<
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly reason: 'too-large' }
  | { readonly ok: false; readonly reason: 'cut'; readonly cause: unknown }
> {
  if (Number(headers.get(HEADER.contentLength) ?? 0) > limit) return TOO_LARGE
  if (body === null) return { ok: true, bytes: new Uint8Array() }
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return { ok: true, bytes: concatenate(chunks, length) }
      length += value.byteLength
      if (length > limit) {
        reader.releaseLock()
        return TOO_LARGE
      }
      chunks.push(value)
    }
  } catch (cause) {
    return { ok: false, reason: 'cut', cause }
  }
}

const TOO_LARGE = { ok: false, reason: 'too-large' } as const
