// A server that speaks the admin API as it is told to: for what a real registry does seldom, or not on demand.

import type { IncomingMessage, Server } from 'node:http'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** A request as it came. */
export interface Asked {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly authorization: string | undefined
  readonly body: unknown
}

/** An answer; `drop`: the connection is cut instead. */
export type FakeAnswer =
  | { readonly status?: number; readonly json?: unknown; readonly text?: string }
  | 'drop'

/** What answers: by `<method> <path>`, each time the next one, and the last one for ever. */
export type Script = Readonly<Record<string, readonly FakeAnswer[]>>

/** A server that runs. */
export interface FakeRegistry {
  readonly url: string
  readonly asked: Asked[]
  readonly close: () => Promise<void>
}

/** Starts one. What the script has no answer for is 404. */
export async function fakeRegistry(script: Script): Promise<FakeRegistry> {
  const asked: Asked[] = []
  const counts = new Map<string, number>()
  const server: Server = createServer((request, response) => {
    void readAll(request).then((text) => {
      const { method = '', url = '', headers } = request
      const body: unknown = text === '' ? undefined : parse(text)
      asked.push({ method, path: url, authorization: headers.authorization, body })
      const key = `${method} ${url}`
      const number = counts.get(key) ?? 0
      counts.set(key, number + 1)
      const answers = script[key] ?? [refused(404, 'NAME_UNKNOWN', 'no such endpoint')]
      const answer = answers[Math.min(number, answers.length - 1)] ?? 'drop'
      if (answer === 'drop') return response.destroy()
      const content = answer.text ?? JSON.stringify(answer.json ?? {})
      return response
        .writeHead(answer.status ?? 200, { 'content-type': 'application/json' })
        .end(content)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** An error as registries answer it. */
export function refused(status: number, code: string, message: string): FakeAnswer {
  return { status, json: { errors: [{ code, message }] } }
}

/** A status as the API shows it. */
export function jobStatus(changes: Readonly<Record<string, unknown>> = {}): FakeAnswer {
  return {
    json: {
      id: 'purge-1',
      kind: 'purge',
      title: 'docker.io/library/nginx',
      by: 'root',
      state: 'running',
      createdAt: '2026-11-23T02:00:00.000Z',
      progress: { done: 0, unit: '' },
      note: '',
      result: {},
      ...changes,
    },
  }
}

/** Text that is no JSON is text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function readAll(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
