// The process of the load: connections that ask one thing again and again for a while. It counts answers, and it
// ends the measurement with an error at the first that is not the right one.

import { createHash } from 'node:crypto'

import { answerCalls } from '../call.ts'
import { type Ask, RawConnection } from './raw-connection.ts'

/** What is asked of whom. */
export interface Target extends Omit<Ask, 'onBody'> {
  readonly port: number
  /** Where the answer is a redirect: what must be found there. */
  readonly next?: Pick<Ask, 'body' | 'size'>
}

/** What was answered. */
export interface Load {
  readonly answers: number
  /** With those that are not counted. */
  readonly all: number
  readonly bytes: number
  readonly milliseconds: number
}

const calls = {
  /** So many connections for so long, after a while that is not counted (milliseconds). */
  press: async (wish: {
    readonly target: Target
    readonly connections: number
    readonly warm: number
    readonly milliseconds: number
  }): Promise<Load> => {
    const { target, connections, warm, milliseconds } = wish
    const askers = await Promise.all(Array.from({ length: connections }, () => Asker.open(target)))
    const from = performance.now() + warm
    const to = from + milliseconds
    const load = { answers: 0, all: 0, bytes: 0 }
    try {
      await Promise.all(
        askers.map(async (asker) => {
          for (;;) {
            const bytes = await asker.ask()
            const now = performance.now()
            load.all += 1
            if (now > to) return
            if (now < from) continue
            load.answers += 1
            load.bytes += bytes
          }
        }),
      )
    } finally {
      for (const asker of askers) asker.close()
    }
    return { ...load, milliseconds }
  },
  /** Asks once, on a connection of its own. */
  once: async (target: Target): Promise<Load> => {
    const asker = await Asker.open(target)
    try {
      const start = performance.now()
      const bytes = await asker.ask()
      return { answers: 1, all: 1, bytes, milliseconds: performance.now() - start }
    } finally {
      asker.close()
    }
  },
  /** Asks once; returns the digest of the body. */
  digest: async (target: Target): Promise<string> => {
    const hash = createHash('sha256')
    const asker = await Asker.open(target)
    try {
      await asker.ask((bytes) => hash.update(bytes))
      return `sha256:${hash.digest('hex')}`
    } finally {
      asker.close()
    }
  },
}

/** What this process offers. */
export type LoadCalls = typeof calls

/** A client with its connections: one, and one more to where it is sent. */
class Asker {
  readonly #target: Target
  readonly #connection: RawConnection
  #other: RawConnection | undefined

  private constructor(target: Target, connection: RawConnection) {
    this.#target = target
    this.#connection = connection
  }

  static async open(target: Target): Promise<Asker> {
    return new Asker(target, await RawConnection.open(target.port))
  }

  /** Asks, and follows; returns the bytes of the body. */
  async ask(onBody?: Ask['onBody']): Promise<number> {
    const target = this.#target
    const isFollowed = target.next !== undefined
    const answer = await this.#connection.ask({
      ...target,
      ...(onBody !== undefined && !isFollowed && { onBody }),
    })
    if (!isFollowed) return answer.bytes
    const url = new URL(answer.location ?? 'none:')
    this.#other ??= await RawConnection.open(Number(url.port))
    const { bytes } = await this.#other.ask({
      ...target.next,
      request: Buffer.from(
        `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: bench\r\n\r\n`,
      ),
      isHead: false,
      status: 200,
      ...(onBody !== undefined && { onBody }),
    })
    return bytes
  }

  close(): void {
    this.#connection.close()
    this.#other?.close()
  }
}

answerCalls(calls)
