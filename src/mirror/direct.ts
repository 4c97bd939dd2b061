// A blob streamed past the cache: whole, for the time in which storage or its objects are away, one upstream
// GET per client, hashed on the way, the last chunk held back until the digest holds; or a part of one, as it comes.

import type { Digest } from '../oci/digest.ts'
import { Digester } from '../storage/digester.ts'
import type { BlobPart } from '../upstream/blob-range.ts'
import type { BlobSource } from '../upstream/blob-source.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Slice } from './fill-reader.ts'

/**
 * A body with a slice of the source's blob, and the work that feeds it. The whole blob is read, because only
 * the whole can be verified; a wrong one is cut short before its last byte.
 */
export function streamDirectly(
  source: BlobSource,
  digest: Digest,
  slice: Slice,
): { readonly body: ReadableStream<Uint8Array>; readonly work: Promise<void> } {
  const { readable, writable } =
    slice.end === undefined
      ? new IdentityTransformStream()
      : new FixedLengthStream(slice.end - slice.offset)
  return { body: readable, work: pump({ source, digest, slice }, writable.getWriter()) }
}

/**
 * A body with the `length` bytes of a part, and the work that feeds it. A part that is cut short or stalls, or
 * a client that leaves, ends the connection on both sides.
 */
export function streamPart(
  part: BlobPart,
  length: number,
): { readonly body: ReadableStream<Uint8Array>; readonly work: Promise<void> } {
  const { readable, writable } = new FixedLengthStream(length)
  return { body: readable, work: pumpPart(part, writable.getWriter()) }
}

async function pumpPart(
  part: BlobPart,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  try {
    for (let chunk = await part.read(); chunk !== undefined; chunk = await part.read()) {
      await writer.write(chunk)
    }
    await writer.close()
  } catch (error) {
    // Nobody waits for an upstream that does not let go.
    void part.cancel()
    await writer.abort(error).catch(() => undefined)
  }
}

async function pump(
  from: { readonly source: BlobSource; readonly digest: Digest; readonly slice: Slice },
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const { source, digest, slice } = from
  const digester = new Digester(digest)
  try {
    let start = 0
    let held: Uint8Array | undefined
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
      await digester.update(chunk)
      const wanted = chunk.subarray(
        Math.max(0, slice.offset - start),
        Math.max(0, (slice.end ?? Infinity) - start),
      )
      start += chunk.byteLength
      if (wanted.byteLength === 0) continue
      if (held !== undefined) await writer.write(held)
      held = wanted
    }
    if ((await digester.digest()) !== digest) {
      throw new UpstreamError({ kind: 'invalid', reason: 'the blob does not have its digest' })
    }
    if (held !== undefined) await writer.write(held)
    await writer.close()
  } catch (error) {
    await source.cancel()
    await writer.abort(error).catch(() => undefined)
  }
}
