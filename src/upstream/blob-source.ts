// The bytes of one blob as an upstream sends them, read once and in order. A body that is cut short is
// continued where it ended, if the upstream can; a body that stalls is given up.

import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { OutboundError, discardBody, timeoutAfter } from '../outbound.ts'
import type { Now } from '../seams.ts'
import { withAlternates } from './alternates.ts'
import type { UpstreamClient } from './client.ts'
import { UpstreamError, failureOf } from './error.ts'

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

interface SourceGiven {
  /** Where the blob is being read, and after it where else it may be. */
  readonly endpoints: readonly UpstreamClient[]
  readonly blob: BlobRequest
  readonly now: Now
}

interface OpenBody {
  readonly reader: ReadableStreamBYOBReader
  readonly size: number | undefined
  readonly etag: string | null
}

/**
 * Opens a blob at the upstream, or at the first of its alternates that can stand in.
 * @param within milliseconds until the headers must be here; 20 s at most.
 * @throws {UpstreamError}
 */
export async function openBlob(
  client: UpstreamClient,
  blob: BlobRequest,
  now: Now,
  within = OPEN_WITHIN,
): Promise<BlobSource> {
  const time = { deadline: now() + Math.min(within, OPEN_WITHIN), now }
  return withAlternates(client, time, async (endpoint, deadline) => {
    const body = await open(endpoint, blob, { offset: 0, etag: null, deadline })
    const others = [client, ...client.alternates].filter((each) => each !== endpoint)
    return new BlobSource({ endpoints: [endpoint, ...others], blob, now }, body)
  })
}

/**
 * The rest of a blob, from `offset` on, at the upstream itself. One that knows no ranges sends the whole: then `skip`
 * bytes come first that nobody wants.
 * @throws {UpstreamError}
 */
export async function openRest(
  client: UpstreamClient,
  blob: BlobRequest,
  offset: number,
  now: Now,
): Promise<{ readonly source: BlobSource; readonly skip: number }> {
  if (offset === 0) return { source: await openBlob(client, blob, now), skip: 0 }
  try {
    const from = { offset, etag: null, deadline: now() + OPEN_WITHIN }
    const body = await open(client, blob, from)
    return { source: new BlobSource({ endpoints: [client], blob, now }, body, offset), skip: 0 }
  } catch (error) {
    // Something else than the rest, or an error that means just that.
    if (failureOf(error).kind !== 'invalid') throw error
  }
  return { source: await openBlob(client, blob, now), skip: offset }
}

/** An open blob. Nothing is verified here: whoever reads hashes. */
export class BlobSource {
  /** Bytes of the whole blob where the upstream said so. */
  readonly size: number | undefined
  readonly #given: SourceGiven
  readonly #endpoints: UpstreamClient[]
  #body: OpenBody
  #offset: number
  #resumes = 0

  /** `offset` is where the body begins. */
  constructor(given: SourceGiven, body: OpenBody, offset = 0) {
    this.#offset = offset
    this.#given = given
    this.#endpoints = [...given.endpoints]
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
        const chunk = await readChunk(this.#body.reader, IDLE)
        if (chunk !== undefined) {
          this.#offset += chunk.byteLength
          this.#endpoints[0]?.noteRead(chunk.byteLength)
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

  /** The same blob from the next endpoint that has it, because what this one sent was wrong. Never rejects. */
  async another(): Promise<BlobSource | undefined> {
    const { blob, now } = this.#given
    for (let rest = this.#endpoints.slice(1); rest.length > 0; rest = rest.slice(1)) {
      const [endpoint] = rest
      if (endpoint === undefined) return undefined
      const from = { offset: 0, etag: null, deadline: now() + OPEN_WITHIN }
      const body = await open(endpoint, blob, from).catch(notOpened)
      if (body !== false) return new BlobSource({ endpoints: rest, blob, now }, body)
    }
    return undefined
  }

  /** Goes on where the body was cut: at the same endpoint a few times, then at each other one. */
  async #resume(cut: unknown): Promise<void> {
    await this.cancel()
    if (this.size === undefined) throw cut
    if (this.#resumes >= MAX_RESUMES) this.#leave(cut)
    for (;;) {
      this.#resumes += 1
      // Whatever they refuse with, a 404 too: the blob was there, and what is wrong is that it was cut.
      if (await this.#reopen(this.#endpoints[0]).catch(notOpened)) return
      this.#leave(cut)
    }
  }

  async #reopen(endpoint: UpstreamClient | undefined): Promise<boolean> {
    if (endpoint === undefined) return false
    const { blob, now } = this.#given
    // An entity tag means something to the endpoint that gave it only.
    const etag = endpoint === this.#given.endpoints[0] ? this.#body.etag : null
    const deadline = now() + OPEN_WITHIN
    const body = await open(endpoint, blob, { offset: this.#offset, etag, deadline })
    if (body.size !== this.size) {
      await body.reader.cancel().catch(() => undefined)
      return false
    }
    this.#body = body
    return true
  }

  /** Turns to the next endpoint. @throws `error` when there is none. */
  #leave(error: unknown): void {
    this.#endpoints.shift()
    this.#resumes = 0
    if (this.#endpoints.length === 0) throw error
  }
}

/** Nothing was opened; an error that is no failure of an upstream is thrown on. */
function notOpened(error: unknown): false {
  failureOf(error)
  return false
}

/**
 * The next bytes of a body, or `undefined` at its end.
 * @param patience milliseconds until the first of them must be here.
 * @throws {OutboundError} when the body is cut short or stalls.
 */
export async function readChunk(
  reader: ReadableStreamBYOBReader,
  patience: number,
): Promise<Uint8Array | undefined> {
  const idle = timeoutAfter(patience)
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
  from: { readonly offset: number; readonly etag: string | null; readonly deadline: number },
): Promise<OpenBody> {
  const { offset, etag } = from
  const headers: Record<string, string> = { [HEADER.acceptEncoding]: 'identity' }
  if (offset > 0) headers[HEADER.range] = `bytes=${offset}-`
  if (offset > 0 && etag !== null) headers[HEADER.ifRange] = etag
  const response = await client.send({
    method: 'GET',
    repository: blob.repository,
    path: `blobs/${blob.digest}`,
    purpose: 'free',
    headers,
    deadline: from.deadline,
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
