// One isolate of the Worker with its own memory and, if a test wants, its own settings and broken
// bindings. Objects do not see those: they run on the bindings of `vitest.config.ts`.

import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env as bindings } from 'cloudflare:workers'
import { vi } from 'vitest'
import { createApp } from '../../src/http/app.ts'

const ORIGIN = 'https://registry.test'

/** One line of the log. */
export interface LogLine {
  readonly event: string
  readonly [field: string]: unknown
}

/** An isolate: what it is asked, and what it has logged. */
export interface Isolate {
  /** A request to a path; work that outlives the answer is finished with `settle`. */
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>
  readonly head: (path: string, headers?: Record<string, string>) => Promise<Response>
  /** Waits for the work that outlives answers; what gathers for a while is done at once. */
  readonly settle: () => Promise<void>
  /** The log, or its lines of one event. */
  readonly lines: (event?: string) => readonly LogLine[]
}

/** Work that waits for more of its kind to come. */
const gathering: (() => void)[] = []

/** Starts an isolate; `changed` replaces settings or bindings. */
export function isolate(changed: Readonly<Record<string, unknown>> = {}): Isolate {
  const env: Env = { ...bindings, ...changed }
  const lines: LogLine[] = []
  const contexts: ExecutionContext[] = []
  const gather = () => new Promise<void>((resolve) => void gathering.push(resolve))
  vi.spyOn(scheduler, 'wait').mockImplementation(gather)
  const app = createApp((event, fields) => void lines.push({ event, ...fields }))
  const fetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const context = createExecutionContext()
    contexts.push(context)
    return app.fetch(new Request(`${ORIGIN}${path}`, init), env, context)
  }
  return {
    fetch,
    get: (path, headers = {}) => fetch(path, { headers }),
    head: (path, headers = {}) => fetch(path, { method: 'HEAD', headers }),
    settle: async () => {
      for (const end of gathering.splice(0)) end()
      await Promise.all(contexts.splice(0).map((context) => waitOnExecutionContext(context)))
    },
    lines: (event) => lines.filter((line) => event === undefined || line.event === event),
  }
}
