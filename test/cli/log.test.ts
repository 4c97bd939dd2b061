// The log of a registry on this machine: lines of requests are gathered and written in lumps, which nobody who reads
// them can tell: each is a line of its own, in the order of what happened, without a further request.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { sampleBytes } from '../../cli/sample-layer.ts'
import type { Registry, ServeOptions } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'

/** More than all buffers between the registry and a client that does not read. */
const SIZE = 32 * 1024 * 1024

/** What is put behind the Worker. */
const bundle = vi.hoisted(() => ({ tail: '' }))

vi.mock(import('../../cli/worker-bundle.ts'), async (importOriginal) => {
  const original = await importOriginal()
  return {
    ...original,
    bundleWorker: async (main) => `${await original.bundleWorker(main)}\n${bundle.tail}`,
  }
})

interface Line {
  readonly event: string
  readonly [field: string]: unknown
}

interface Answer {
  readonly status: number | undefined
  readonly id: string
}

let folder: string
let upstream: UpstreamListener
let sample: SampleUpstream
let registry: Registry
let blob: string
let whenAsked: () => void = () => undefined
/** What the registry has logged. */
const all: string[] = []
/** What `ServeOptions.log` was given in a test, and who waits for more. */
const written: string[] = []
const waiting = new Set<() => void>()

function note(line: string): void {
  written.push(line)
  for (const look of waiting) look()
}

/** The lines of a test, once they hold as many of requests as are awaited; nothing is asked meanwhile. */
async function linesOf(count: number): Promise<readonly Line[]> {
  const requests = (): number => written.filter((line) => line.includes('"event":"request"')).length
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (requests() < count) return
      waiting.delete(look)
      resolve()
    }
    waiting.add(look)
    look()
  })
  return written.map((line) => JSON.parse(line))
}

function idsOf(lines: readonly Line[]): string[] {
  return lines.filter(({ event }) => event === 'request').map(({ id }) => String(id))
}

function options(name: string): ServeOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    persistTo: join(folder, name),
    vars: {
      UPSTREAMS: JSON.stringify({ 'docker.io': { url: upstream.url } }),
      HOSTED: '["hosted/**"]',
      ANONYMOUS: JSON.stringify([
        { repositories: ['docker.io/**'], actions: ['pull'] },
        { repositories: ['hosted/a'], actions: ['push'] },
        { repositories: ['hosted/b'], actions: ['delete'] },
      ]),
      REDIRECT: 'never',
    },
    secrets: false,
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-log-'))
  sample = new SampleUpstream()
  const bytes = sampleBytes(SIZE)
  blob = `/v2/docker.io/library/app/blobs/${await sample.addBlob('library/app', bytes)}`
  upstream = await listenUpstream((asked) => {
    whenAsked()
    return sample.handle(asked)
  })
  registry = await serve({
    ...options('state'),
    log: (line) => {
      all.push(line)
      note(line)
    },
  })
})

afterAll(async () => {
  await registry.stop()
  await upstream.close()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(() => {
  written.splice(0)
})

interface Sent {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  readonly agent?: Agent
}

function send(
  path: string | URL,
  { method = 'GET', headers = {}, agent }: Sent = {},
): ClientRequest {
  const url = new URL(path, registry.url)
  return request(url, { method, headers, agent: agent ?? false })
}

async function headOf(asked: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return response
}

/** One request and the whole of its answer. */
async function ask(path: string | URL, sent: Sent = {}): Promise<Answer> {
  const response = await headOf(send(path, sent).end())
  response.resume()
  await once(response, 'end')
  return { status: response.statusCode, id: String(response.headers['x-request-id']) }
}

describe('lines of requests', () => {
  it('come without a further request, one for one', async () => {
    for (const path of [
      '/v2/',
      '/healthz',
      '/v2/docker.io/library/app/manifests/none',
      '/nothing',
    ]) {
      written.splice(0)
      const { id, status } = await ask(path)
      const lines = (await linesOf(1)).filter(({ event }) => event === 'request')
      expect(lines).toEqual([expect.objectContaining({ id, status })])
    }
  })

  it('are as many as requests at the same time, each its own', async () => {
    const paths = Array.from({ length: 200 }, (_, index) =>
      index % 2 === 0 ? '/v2/' : `/x${index}`,
    )
    const answers = await Promise.all(paths.map((path) => ask(path)))
    const lines = await linesOf(paths.length)
    expect(idsOf(lines).toSorted()).toEqual(answers.map(({ id }) => id).toSorted())
    expect(lines).toHaveLength(paths.length)
  })

  it('are in the order of the requests of a connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const answers: Answer[] = []
    for (let index = 0; index < 50; index++) answers.push(await ask('/v2/', { agent }))
    const ids = idsOf(await linesOf(50))
    agent.destroy()
    expect(ids).toEqual(answers.map(({ id }) => id))
  })

  it('do not come after what was logged after them', async () => {
    sample.stop()
    const before = await Promise.all(Array.from({ length: 20 }, () => ask('/v2/')))
    const failed = await ask('/v2/docker.io/library/app/manifests/v1')
    sample.start()
    expect(failed.status).toBe(502)
    const lines = await linesOf(21)
    const told = lines.findIndex(({ event }) => event === 'request-failed')
    expect(lines[told]).toMatchObject({ id: failed.id })
    expect(idsOf(lines.slice(0, told)).toSorted()).toEqual(before.map(({ id }) => id).toSorted())
    expect(idsOf(lines.slice(told))).toEqual([failed.id])
  })
})

describe('the line of a client that has left', () => {
  it('comes all the same, with those that waited with it', async () => {
    const leave = async (): Promise<string> => {
      const asked = send(blob).end()
      const response = await headOf(asked)
      asked.destroy()
      return String(response.headers['x-request-id'])
    }
    const stay = async (): Promise<string> => (await ask('/v2/')).id
    const ids = await Promise.all([leave(), leave(), stay(), leave(), stay(), leave(), stay()])
    expect(idsOf(await linesOf(ids.length)).toSorted()).toEqual(ids.toSorted())
  })

  it('comes too where it left before there was an answer', async () => {
    const { promise: isGone, resolve: leave } = Promise.withResolvers<void>()
    const end = sample.fault({ do: { holdHeaders: isGone } })
    const isAsked = new Promise<void>((resolve) => {
      whenAsked = resolve
    })
    const asked = send('/v2/docker.io/library/app/manifests/gone').end()
    asked.on('error', () => undefined)
    asked.on('close', leave)
    await isAsked
    asked.destroy()
    await isGone
    end()
    const lines = (await linesOf(1)).filter(({ event }) => event === 'request')
    expect(lines).toEqual([expect.objectContaining({ endpoint: 'manifest', status: 404 })])
  })
})

describe('settings that may surprise', () => {
  it('are told once, for the Worker and all its objects', async () => {
    const paths = [
      '/v2/',
      '/healthz',
      '/v2/hosted/a/tags/list',
      '/v2/docker.io/library/app/tags/list',
    ]
    await Promise.all(paths.map((path) => ask(path)))
    await linesOf(paths.length)
    const told = all
      .map((line): Line => JSON.parse(line))
      .filter(({ event }) => event === 'configuration-surprising')
    const { warnings } = registry.config
    expect(warnings.length).toBeGreaterThan(1)
    expect(told.map(({ warning }) => warning)).toEqual(warnings)
  })
})

describe('a clock by which timers are early', () => {
  let early: Registry

  beforeAll(async () => {
    // By it no timer is ever due.
    bundle.tail = 'Date.now = () => 1_800_000_000_000'
    early = await serve({ ...options('early'), log: note })
    bundle.tail = ''
  })

  afterAll(() => early.stop())

  it('leaves no line behind', async () => {
    for (let index = 0; index < 3; index++) {
      written.splice(0)
      const { id } = await ask(new URL('/healthz', early.url))
      expect(idsOf(await linesOf(1))).toEqual([id])
    }
  })
})
