// A part of a blob, asked of the upstream by itself: for a client that begins so far ahead of a fill that it
// would wait long. A part cannot be verified, so nothing is stored of it.

import { HEADER } from '../oci/header.ts'
import { formatContentRange } from '../oci/range.ts'
import type { ResolvedRange } from '../oci/range.ts'
import { discardBody } from '../outbound.ts'
import type { Now } from '../seams.ts'
import type { BlobRequest } from './blob-source.ts'
import type { UpstreamClient } from './client.ts'

/** Milliseconds until the headers must be here; whoever waits still has the fill to wait for. */
const OPEN_WITHIN = 10_000

/**
 * The bytes of exactly that range of a blob of `size` bytes; `undefined` when the upstream sends anything else.
 * @throws {UpstreamError}
 */
export async function openBlobRange(
  client: UpstreamClient,
  part: { readonly blob: BlobRequest; readonly range: ResolvedRange; readonly size: number },
  now: Now,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const { blob, size } = part
  const { offset, length } = part.range
  const response = await client.send({
    method: 'GET',
    repository: blob.repository,
    path: `blobs/${blob.digest}`,
    purpose: 'free',
    headers: {
      [HEADER.acceptEncoding]: 'identity',
      [HEADER.range]: `bytes=${offset}-${offset + length - 1}`,
    },
    deadline: now() + OPEN_WITHIN,
  })
  const isPart =
    response.headers.get(HEADER.contentRange) === formatContentRange(offset, length, size)
  if (response.status === 206 && isPart && response.body !== null) return response.body
  await discardBody(response)
  return undefined
}
