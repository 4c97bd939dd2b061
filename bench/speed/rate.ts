// Contenders that answer the same request again and again, on sixteen connections that are kept.

import { createHash } from 'node:crypto'

import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { cpuOf } from '../usage.ts'
import type { Contender, Measure } from './contest.ts'
import type { Target } from './load-process.ts'
import type { Stand } from './stand.ts'

const CONNECTIONS = 16
/** Not counted, and counted (milliseconds). */
const WARM = 100
const WINDOW = 400
/** Many and short: what else the machine does then falls on everybody. */
const ROUNDS = { full: 13, quick: 3 } as const

const ACCEPT = [MEDIA_TYPE.OCI_INDEX, MEDIA_TYPE.OCI_MANIFEST, '*/*'].join(', ')

/** A request of a client, and what it must be answered. */
export interface Question {
  readonly url: string
  readonly method?: 'GET' | 'HEAD'
  readonly token?: string
  readonly userAgent?: string
  readonly status?: number
  readonly body?: Uint8Array
  readonly size?: number
  readonly next?: NonNullable<Target['next']>
  /** The process that answers, whose CPU counts. */
  readonly pid?: number | undefined
}

/** Somebody who is asked; the question is made when they are ready for it. */
export function rate(stand: Stand, name: string, ask: () => Promise<Question>): Contender {
  return {
    name,
    ready: async () => {
      const question = await ask()
      const target = targetOf(question)
      await check(stand, target)
      const wish = { target, connections: CONNECTIONS, warm: WARM, milliseconds: WINDOW }
      const measure: Measure = async () => {
        const before = await cpuOf(question.pid)
        const { answers, all, milliseconds } = await stand.load.call('press', wish)
        const after = await cpuOf(question.pid)
        const isKnown = before !== undefined && after !== undefined
        return {
          value: (answers / milliseconds) * 1000,
          ...(isKnown && { cpu: ((after - before) / all) * 1e6 }),
        }
      }
      // The first time is nobody's best.
      await measure(0)
      return measure
    },
  }
}

/** How often everybody takes a turn. */
export function roundsOf({ isQuick }: Stand): number {
  return isQuick ? ROUNDS.quick : ROUNDS.full
}

/** The request as bytes. */
export function targetOf(question: Question): Target {
  const {
    url,
    method = 'GET',
    token,
    userAgent = 'bench',
    status = 200,
    body,
    size,
    next,
  } = question
  const { host, port, pathname, search } = new URL(url)
  const lines = [
    `${method} ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    `User-Agent: ${userAgent}`,
    `Accept: ${ACCEPT}`,
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
  ]
  return {
    port: Number(port),
    request: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`),
    isHead: method === 'HEAD',
    status,
    ...(body !== undefined && { body }),
    ...(size !== undefined && { size }),
    ...(next !== undefined && { next }),
  }
}

/** The first answer of all is the right one, to its last byte. @throws */
async function check(stand: Stand, target: Target): Promise<void> {
  const body = target.next?.body ?? target.body
  if (body === undefined) return void (await stand.load.call('once', target))
  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
  const found = await stand.load.call('digest', target)
  if (found !== digest) throw new Error(`the body has the digest ${found}`)
}
