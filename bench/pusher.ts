// One blob pushed as a lean client pushes it: bytes are made while they are sent, every answer is noted, and
// the first that is not the expected one ends it.

import { type Agent, type OutgoingHttpHeaders, request } from 'node:http'
import { Readable, pipeline } from 'node:stream'

import { type AddressedBlob, bytesOf } from './content.ts'

/** No answer may take longer (milliseconds): loads end by themselves. */
const DEADLINE = 10 * 60_000
/** Bytes that are handed to the socket at once. */
export const PIECE = 64 * 1024

/**
 * How a blob is sent: in one PATCH without a length, as Docker does; in one PUT, as containerd does; in one POST;
 * or in PATCHes of so many bytes.
 */
export type Way = 'stream' | 'put' | 'post' | { readonly chunk: number }

/** What came back. */
export interface Pushed {
  /** Each answer, e.g. `PATCH 202`, in order. */
  readonly answers: readonly string[]
  /** Why it is not what was asked for. */
  readonly failures: readonly string[]
}

/** What to send. */
export interface Sending {
  readonly url: string
  readonly agent: Agent
  readonly method: 'HEAD' | 'PATCH' | 'POST' | 'PUT'
  readonly headers?: OutgoingHttpHeaders
  /** Without a length in `headers` it is sent in HTTP's own chunks. */
  readonly body?: Iterable<Buffer>
}

/** The end of a push that was answered otherwise than it had to be. */
class Unexpected extends Error {
  override readonly name = 'Unexpected'
}

/** Pushes one blob to `<base>/v2/<repository>`. Never rejects. */
export async function push(
  base: string,
  { blob, way, agent }: { readonly blob: AddressedBlob; readonly way: Way; readonly agent: Agent },
): Promise<Pushed> {
  const upload = new Upload(base, blob, agent)
  try {
    await upload.run(way)
    return { answers: upload.answers, failures: [] }
  } catch (error) {
    const reason = error instanceof Unexpected ? error.message : String(error)
    return { answers: upload.answers, failures: [reason] }
  }
}

/** Sends one request; returns its answer, also when that comes before the whole body has gone. */
export function send({ url, agent, method, headers = {}, body }: Sending): Promise<{
  readonly status: number
  readonly location: string | undefined
}> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers })
    sent.setTimeout(DEADLINE, () => sent.destroy(new Error('no answer within the deadline')))
    sent.once('response', (message) => {
      const status = message.statusCode ?? 0
      const { location } = message.headers
      message.once('end', () => resolve({ status, location }))
      message.once('error', reject)
      message.resume()
    })
    sent.on('error', reject)
    // An error of the request is told above.
    if (body !== undefined) pipeline(Readable.from(body), sent, () => {})
    else sent.end()
  })
}

class Upload {
  readonly answers: string[] = []
  readonly #base: string
  readonly #blob: AddressedBlob
  readonly #agent: Agent
  /** Where the session is. */
  #location = ''

  constructor(base: string, blob: AddressedBlob, agent: Agent) {
    this.#base = base
    this.#blob = blob
    this.#agent = agent
  }

  async run(way: Way): Promise<void> {
    const { size, digest } = this.#blob
    if (way === 'post') {
      const url = `${this.#base}/blobs/uploads/?digest=${digest}`
      const whole = { ...this.#body(0, size), expected: [201, 202] }
      // Who cannot do that answers with a session.
      if ((await this.#send('POST', url, whole)) === 201) return
    } else {
      await this.#send('POST', `${this.#base}/blobs/uploads/`, { ...NOTHING, expected: [202] })
    }
    if (way === 'put' || way === 'post') {
      await this.#send('PUT', this.#closing(), { ...this.#body(0, size), expected: [201] })
      return
    }
    if (way === 'stream') {
      const { body } = this.#body(0, size)
      await this.#send('PATCH', this.#location, { body, expected: [202] })
    } else {
      await this.#sendChunks(way.chunk)
    }
    await this.#send('PUT', this.#closing(), { ...NOTHING, expected: [201] })
  }

  async #sendChunks(chunk: number): Promise<void> {
    const { size } = this.#blob
    for (let first = 0; first < size; first += chunk) {
      const end = Math.min(first + chunk, size)
      const { headers, body } = this.#body(first, end)
      const ranged = { ...headers, 'content-range': `${first}-${end - 1}` }
      await this.#send('PATCH', this.#location, { headers: ranged, body, expected: [202] })
    }
  }

  #body(first: number, end: number) {
    const body = bytesOf(this.#blob, { first, end, piece: PIECE })
    return { headers: { ...TYPE, 'content-length': end - first }, body }
  }

  #closing(): string {
    const url = new URL(this.#location)
    url.searchParams.set('digest', this.#blob.digest)
    return url.href
  }

  async #send(
    method: 'PATCH' | 'POST' | 'PUT',
    url: string,
    {
      expected,
      ...what
    }: Pick<Sending, 'headers' | 'body'> & { readonly expected: readonly number[] },
  ): Promise<number> {
    const sending = { url, agent: this.#agent, method, ...what }
    const { status, location } = await send({ headers: TYPE, ...sending })
    this.answers.push(`${method} ${status}`)
    if (!expected.includes(status)) throw new Unexpected(`${method} answered ${status}`)
    if (location !== undefined) this.#location = new URL(location, url).href
    return status
  }
}

const TYPE = { 'content-type': 'application/octet-stream' } as const
const NOTHING = { headers: { 'content-length': 0 } } as const
