// A part of a blob, asked of the upstream by itself: for a client that begins so far ahead of a fill that it
// would wait long. A part cannot be verified, so nothing is stored of it.

import { HEADER } from '../oci/header.ts'
import { formatContentRange } from '../oci/range.ts'
import type { ResolvedRange } from '../oci/range.ts'
import { discardBody } from '../outbound.ts'
import type { Now } from '../seams.ts'
import { readChunk } from './blob-source.ts'
import type { BlobRequest } from './blob-source.ts'
import type { UpstreamClient } from './client.ts'

/** Milliseconds until the headers must be here, if there are as many; whoever waits still has the fill to wait for. */
const OPEN_WITHIN = 10_000

/** How long to wait for a part (milliseconds). */
export interface PartPatience {
  /** For its headers; 10 s at most. */
  readonly within: number
  /** For its next byte. */
  readonly idle: number
}

/** An open part of a blob, read once and in order. Nothing is verified, nor continued when it is cut. */
export class BlobPart {
  readonly #client: UpstreamClient
  readonly #reader: ReadableStreamBYOBReader
  readonly #idle: number

  /** A body that is silent for longer than `idle` (milliseconds) counts as cut. */
  constructor(client: UpstreamClient, body: ReadableStream<Uint8Array>, idle: number) {
    this.#client = client
    this.#reader = body.getReader({ mode: 'byob' })
    this.#idle = idle
  }

  /** The next bytes, or `undefined` at the end. @throws {OutboundError} when it is cut short or stalls. */
  async read(): Promise<Uint8Array | undefined> {
    const chunk = await readChunk(this.#reader, this.#idle)
    this.#client.noteRead(chunk?.byteLength ?? 0)
    return chunk
  }

  /** Lets the upstream go. Never rejects. */
  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined)
  }
}

/**
 * Exactly that range of a blob of `size` bytes; `undefined` when the upstream sends anything else.
 * @throws {UpstreamError}
 */
export async function openBlobRange(
  client: UpstreamClient,
  part: { readonly blob: BlobRequest; readonly range: ResolvedRange; readonly size: number },
  now: Now,
  patience: PartPatience,
): Promise<BlobPart | undefined> {
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
    deadline: now() + Math.min(patience.within, OPEN_WITHIN),
  })
  const isPart =
    response.headers.get(HEADER.contentRange) === formatContentRange(offset, length, size)
  if (response.status === 206 && isPart && response.body !== null) {
    return new BlobPart(client, response.body, patience.idle)
  }
  await discardBody(response)
  return undefined
}
