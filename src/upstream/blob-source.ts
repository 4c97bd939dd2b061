// The bytes of one blob as an upstream sends them, read once and in order. A body that is cut short is
// continued where it ended, if the upstream can; a body that stalls is given up.

import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { OutboundError, discardBody, timeoutAfter } from '../outbound.ts'
import type { Now } from '../seams.ts'
import type { UpstreamClient } from './client.ts'
import { UpstreamError } from './error.ts'

/** Milliseconds without a byte after which an upstream counts as gone; a slow one that progresses does not. */
const IDLE = 30_000
/** Milliseconds until the headers must be here, tokens and redirects included: containerd gives up after 30 s. */
const OPEN_WITHIN = 20_000
/** How often one blob is continued after a cut. */
const MAX_RESUMES = 3
/** Bytes asked for in one read. */
const CHUNK = 256 * 1024

/** Which blob. */
export interface BlobRequest {
  readonly repository: RepositoryName
  readonly digest: Digest
}

interface OpenBody {
  readonly reader: ReadableStreamBYOBReader
  readonly size: number | undefined
  readonly etag: string | null
}

/** Opens a blob at the upstream. @throws {UpstreamError} */
export async function openBlob(
  client: UpstreamClient,
  blob: BlobRequest,
  now: Now,
): Promise<BlobSource> {
  return new BlobSource(
    { client, blob, now },
    await open(client, blob, { now, offset: 0, etag: null }),
  )
}

/** An open blob. Nothing is verified here: whoever reads hashes. */
export class BlobSource {
  /** Bytes of the whole blob where the upstream said so. */
  readonly size: number | undefined
  readonly #given: {
    readonly client: UpstreamClient
    readonly blob: BlobRequest
    readonly now: Now
  }
  #body: OpenBody
  #offset = 0
  #resumes = 0

  constructor(
    given: { readonly client: UpstreamClient; readonly blob: BlobRequest; readonly now: Now },
    body: OpenBody,
  ) {
    this.#given = given
    this.#body = body
    this.size = body.size
  }

  /**
   * The next bytes, or `undefined` at the end.
   * @throws {UpstreamError | OutboundError} when the body ends before its length and cannot be continued.
   */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      try {
        const chunk = await readChunk(this.#body.reader)
        if (chunk !== undefined) {
          this.#offset += chunk.byteLength
          return chunk
        }
        if (this.size === undefined || this.#offset >= this.size) return undefined
        throw new OutboundError(
          'network',
          `the blob ended after ${this.#offset} of ${this.size} bytes`,
        )
      } catch (error) {
        await this.#resume(error)
      }
    }
  }

  /** Lets the upstream go. Never rejects. */
  async cancel(): Promise<void> {
    await this.#body.reader.cancel().catch(() => undefined)
  }

  async #resume(error: unknown): Promise<void> {
    await this.cancel()
    const { size, etag } = this.#body
    if (this.#resumes >= MAX_RESUMES || size === undefined) throw error
    this.#resumes += 1
    const { client, blob, now } = this.#given
    const body = await open(client, blob, { now, offset: this.#offset, etag })
    if (body.size !== size) throw error
    this.#body = body
  }
}

async function readChunk(reader: ReadableStreamBYOBReader): Promise<Uint8Array | undefined> {
  const idle = timeoutAfter(IDLE)
  try {
    const { done, value } = await Promise.race([reader.read(new Uint8Array(CHUNK)), idle.expired])
    return done || value === undefined ? undefined : value
  } catch (cause) {
    if (cause instanceof OutboundError) throw cause
    throw new OutboundError('network', 'the blob was cut short', cause)
  } finally {
    idle.clear()
  }
}

async function open(
  client: UpstreamClient,
  blob: BlobRequest,
  from: { readonly now: Now; readonly offset: number; readonly etag: string | null },
): Promise<OpenBody> {
  const { offset, etag } = from
  const headers: Record<string, string> = { [HEADER.acceptEncoding]: 'identity' }
  if (offset > 0) headers[HEADER.range] = `bytes=${offset}-`
  if (offset > 0 && etag !== null) headers[HEADER.ifRange] = etag
  const response = await client.send({
    method: 'GET',
    repository: blob.repository,
    path: `blobs/${blob.digest}`,
    headers,
    deadline: from.now() + OPEN_WITHIN,
  })
  const size = sizeOf(response, offset)
  if (response.body === null || size === 'unusable') {
    await discardBody(response)
    throw new UpstreamError({
      kind: 'invalid',
      reason: `${client.upstream.host} sent something else than the blob`,
    })
  }
  const strong = response.headers.get(HEADER.etag)
  return {
    reader: response.body.getReader({ mode: 'byob' }),
    size,
    etag: strong === null || strong.startsWith('W/') ? null : strong,
  }
}

/** The whole blob's size; `undefined` if the answer does not tell, `unusable` if it is not what was asked for. */
function sizeOf(response: Response, offset: number): number | undefined | 'unusable' {
  const { headers, status } = response
  if (isPage(headers.get(HEADER.contentType))) return 'unusable'
  if (offset > 0) return sizeOfRest(response, offset)
  if (status !== 200) return 'unusable'
  // The platform decodes an encoded body, and its Content-Length then counts other bytes.
  const encoding = headers.get(HEADER.contentEncoding)
  const length = headers.get(HEADER.contentLength)
  if (length === null || (encoding !== null && encoding !== 'identity')) return undefined
  return /^\d+$/.test(length) ? Number(length) : undefined
}

/** Only a 206 from exactly `offset` to the end can be joined to what was read before. */
function sizeOfRest({ headers, status }: Response, offset: number): number | 'unusable' {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get(HEADER.contentRange) ?? '')
  const [, first, last, size] = match ?? []
  const isRest = Number(first) === offset && Number(last) + 1 === Number(size)
  return status === 206 && isRest ? Number(size) : 'unusable'
}

/** A captive portal or an error page that came with status 200. */
function isPage(contentType: string | null): boolean {
  return contentType?.toLowerCase().startsWith('text/html') ?? false
}
