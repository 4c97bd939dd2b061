// One GET as a lean client makes it: bytes are hashed as they come and kept nowhere, and the clock is read
// at every one of them.

import { type Hash, createHash } from 'node:crypto'
import { type Agent, type IncomingMessage, request } from 'node:http'

/** No answer may take longer (milliseconds): loads end by themselves. */
const DEADLINE = 10 * 60_000
/** Answers up to this size are handed over (bytes): manifests. Layers would cost time as text. */
const MAX_TEXT = 64 * 1024

/** What to get. */
export interface Wish {
  readonly url: string
  readonly agent: Agent
  readonly method?: 'GET' | 'HEAD'
  readonly token: string | undefined
  /** The digest that the bytes must have. */
  readonly digest?: string
}

/** An answer, and when it came: milliseconds since the request. */
export interface Reading {
  readonly status: number
  readonly headers: number
  readonly firstByte: number
  readonly end: number
  /** The longest time without a byte, that before the headers included. */
  readonly gap: number
  readonly bytes: number
  /** Why it is not what was asked for. */
  readonly failure: string | undefined
  /** `Docker-Content-Digest`, `Warning`. */
  readonly contentDigest: string | undefined
  readonly warning: string | undefined
  /** The body, if it is short. */
  readonly text: string
}

const ACCEPT =
  'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*'

/** Gets it to the end, or says why not. Never rejects. */
export async function read(wish: Wish): Promise<Reading> {
  const clock = new Clock()
  try {
    const message = await send(wish)
    clock.tick()
    const headers = clock.elapsed
    const body = await drain(message, clock, wish.digest?.startsWith('sha256:') === true)
    const status = message.statusCode ?? 0
    const isWhole = message.complete && lengthHolds(message, body.bytes, wish)
    const isRight = wish.digest === undefined || status !== 200 || body.digest === wish.digest
    return {
      status,
      headers,
      firstByte: body.firstByte ?? headers,
      end: clock.elapsed,
      gap: clock.gap,
      bytes: body.bytes,
      failure: failureOf(status, isWhole, isRight || wish.method === 'HEAD'),
      contentDigest: headerOf(message, 'docker-content-digest'),
      warning: headerOf(message, 'warning'),
      text: body.text,
    }
  } catch (error) {
    return { ...NOTHING, end: clock.elapsed, gap: clock.gap, failure: String(error) }
  }
}

/** Gets the headers and then does not read. Returns how to leave. */
export async function stall(wish: Wish): Promise<() => void> {
  const message = await send(wish)
  // A client that leaves sees its own reset.
  message.on('error', () => {})
  return () => message.destroy()
}

const NOTHING = {
  status: 0,
  headers: Infinity,
  firstByte: Infinity,
  bytes: 0,
  contentDigest: undefined,
  warning: undefined,
  text: '',
}

/** Times since the start, and the longest stretch between two ticks (milliseconds). */
class Clock {
  readonly #start = performance.now()
  #last = this.#start
  gap = 0

  get elapsed(): number {
    return performance.now() - this.#start
  }

  tick(): void {
    const now = performance.now()
    this.gap = Math.max(this.gap, now - this.#last)
    this.#last = now
  }
}

function send({ url, agent, method = 'GET', token }: Wish): Promise<IncomingMessage> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers: { accept: ACCEPT, ...authorization } })
    sent.setTimeout(DEADLINE, () => sent.destroy(new Error('no byte within the deadline')))
    sent.once('response', resolve)
    sent.once('error', reject)
    sent.end()
  })
}

interface Body {
  readonly bytes: number
  readonly digest: string
  readonly firstByte: number | undefined
  readonly text: string
}

async function drain(message: IncomingMessage, clock: Clock, isHashed: boolean): Promise<Body> {
  const hash: Hash | undefined = isHashed ? createHash('sha256') : undefined
  const parts: Buffer[] = []
  let bytes = 0
  let firstByte: number | undefined
  const isText = Number(message.headers['content-length'] ?? 0) <= MAX_TEXT
  await new Promise<void>((resolve, reject) => {
    message.on('data', (chunk: Buffer) => {
      clock.tick()
      firstByte ??= clock.elapsed
      bytes += chunk.byteLength
      hash?.update(chunk)
      if (isText && bytes <= MAX_TEXT) parts.push(chunk)
    })
    message.once('end', resolve)
    message.once('error', reject)
  })
  clock.tick()
  const text = isText && bytes <= MAX_TEXT ? Buffer.concat(parts).toString() : ''
  return { bytes, digest: `sha256:${hash?.digest('hex') ?? ''}`, firstByte, text }
}

function lengthHolds(message: IncomingMessage, bytes: number, { method }: Wish): boolean {
  const length = message.headers['content-length']
  return method === 'HEAD' || length === undefined || Number(length) === bytes
}

function failureOf(status: number, isWhole: boolean, isRight: boolean): string | undefined {
  if (status !== 200) return `status ${status}`
  if (!isWhole) return 'cut short'
  return isRight ? undefined : 'wrong digest'
}

function headerOf(message: IncomingMessage, name: string): string | undefined {
  const value = message.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
