// One connection that asks again and again, with as little between two answers as Node can do: a request is bytes
// that are there already, an answer is a status, a length and bytes that are compared where they lie.

import { type Socket, connect } from 'node:net'

/** Bytes that are read at once; the same memory every time. */
const BUFFER = 256 * 1024
const MAX_HEAD = 32 * 1024
const END_OF_HEAD = '\r\n\r\n'

/** A request, and the answer that it must get. */
export interface Ask {
  /** The whole request. */
  readonly request: Uint8Array
  readonly isHead: boolean
  readonly status: number
  /** What the body must be. */
  readonly body?: Uint8Array
  /** How long it must be, where it is too long to be compared. */
  readonly size?: number
  /** Is given the body, piece by piece; its bytes are gone afterwards. */
  readonly onBody?: (bytes: Uint8Array) => void
}

/** An answer that was the right one. */
export interface RawAnswer {
  readonly bytes: number
  readonly location: string | undefined
}

interface Waiting {
  readonly ask: Ask
  readonly resolve: (answer: RawAnswer) => void
  readonly reject: (error: Error) => void
}

/** A connection of HTTP/1.1 that is kept. */
export class RawConnection {
  readonly #socket: Socket
  #waiting: Waiting | undefined
  /** The head that has not come whole. */
  #head = ''
  #answer: RawAnswer | undefined
  #read = 0

  private constructor(port: number) {
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.#take(Buffer.from(buffer.buffer, buffer.byteOffset, count))
      return true
    }
    const onread = { buffer: Buffer.allocUnsafeSlow(BUFFER), callback }
    this.#socket = connect({ host: '127.0.0.1', port, onread, noDelay: true })
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  /** Connects to a port of loopback. */
  static async open(port: number): Promise<RawConnection> {
    const connection = new RawConnection(port)
    await new Promise<void>((resolve, reject) => {
      connection.#socket.once('connect', resolve)
      connection.#socket.once('error', reject)
    })
    return connection
  }

  /** Asks, one question at a time. @throws when the answer is not the one that it must be. */
  ask(ask: Ask): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the connection was closed'))
      this.#waiting = { ask, resolve, reject }
      this.#socket.write(ask.request)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    if (this.#waiting === undefined) return this.#fail(new Error('an answer to no question'))
    try {
      const body = this.#answer === undefined ? this.#takeHead(bytes) : bytes
      if (this.#answer !== undefined) this.#takeBody(this.#waiting, this.#answer, body)
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Reads the head if it is there; returns what comes after it. */
  #takeHead(bytes: Buffer): Buffer {
    const before = this.#head.length
    this.#head += bytes.toString('latin1', 0, Math.min(bytes.byteLength, MAX_HEAD))
    const end = this.#head.indexOf(END_OF_HEAD)
    if (end < 0 && this.#head.length >= MAX_HEAD) throw new Error('a head without an end')
    if (end < 0) return bytes.subarray(bytes.byteLength)
    const head = this.#head.slice(0, end + 2)
    this.#head = ''
    this.#read = 0
    this.#answer = answerOf(head, this.#waiting?.ask)
    return bytes.subarray(end + END_OF_HEAD.length - before)
  }

  #takeBody({ ask, resolve }: Waiting, answer: RawAnswer, bytes: Buffer): void {
    const from = this.#read
    this.#read += bytes.byteLength
    if (this.#read > answer.bytes) throw new Error('more bytes than were announced')
    if (ask.body !== undefined && bytes.compare(ask.body, from, this.#read) !== 0) {
      throw new Error('the body has other bytes')
    }
    ask.onBody?.(bytes)
    if (this.#read < answer.bytes) return
    this.#waiting = undefined
    this.#answer = undefined
    resolve(answer)
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = undefined
    this.#socket.destroy()
  }
}

function answerOf(head: string, ask: Ask | undefined): RawAnswer {
  const status = Number(head.slice(9, 12))
  if (status !== ask?.status) throw new Error(`answered ${head.slice(9, head.indexOf('\r'))}`)
  return {
    bytes: ask.isHead ? 0 : lengthOf(head, ask),
    location: /\r\nlocation: *(\S+)\r/i.exec(head)?.[1],
  }
}

function lengthOf(head: string, { body, size }: Ask): number {
  const length = /\r\ncontent-length: *(\d+)\r/i.exec(head)?.[1]
  if (length === undefined) throw new Error(`an answer without a length: ${head}`)
  const expected = body?.byteLength ?? size
  if (expected !== undefined && Number(length) !== expected) throw new Error(`${length} bytes long`)
  return Number(length)
}
