// Pulls while a collection removes everything: clients of a real registry lose nothing but a cache hit.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, expect, it } from 'vitest'
import { ADMINISTRATOR, administratorFile } from '../../cli/administrator.ts'
import { pull } from '../../cli/puller.ts'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { liveYesterday } from '../../cli/yesterday.ts'

/** So many that a collection takes a second, and clients are in the middle of it. */
const IMAGES = 60
const CLIENTS = 6
/** A machine that others are busy on (milliseconds). */
const WITHIN = 120_000

interface Job {
  readonly id: string
  readonly state: string
  readonly result: Readonly<Record<string, number>>
}

let folder: string
let upstream: SampleUpstream
let listener: UpstreamListener
let registry: Registry | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-collect-'))
  upstream = new SampleUpstream()
  listener = await listenUpstream(upstream.handle)
})

afterEach(async () => {
  await registry?.stop()
  registry = undefined
  await listener.close()
  await rm(folder, { recursive: true, force: true })
})

async function addImages(): Promise<readonly string[]> {
  const names: string[] = []
  for (let n = 0; n < IMAGES; n++) {
    const platform = { os: 'linux', architecture: 'amd64' }
    const image = await sampleImage({ seed: n + 1, layers: [2000, 1000 + n], platform })
    await addSample(upstream, `team/app${n}`, await sampleIndex([image]), 'v1')
    names.push(`docker.io/team/app${n}`)
  }
  return names
}

it(
  'a collection that removes everything breaks no pull',
  async () => {
    const names = await addImages()
    const persistTo = join(folder, 'state')
    const vars = {
      UPSTREAMS: JSON.stringify({ 'docker.io': { url: listener.url, private: false } }),
    }
    await liveYesterday(
      { folder, persistTo, vars },
      names.map((name) => [name, 'v1'] as const),
    )
    const running = await serve({ host: '127.0.0.1', port: 0, persistTo, vars, secrets: false })
    registry = running
    const secret = (await readFile(administratorFile(persistTo), 'utf8')).trim()
    const authorization = `Basic ${Buffer.from(`${ADMINISTRATOR}:${secret}`).toString('base64')}`
    const ask = async (path: string, body?: object): Promise<Job> => {
      const response = await fetch(new URL(`/_/api/${path}`, running.url), {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      return (await response.json()) as Job
    }
    const failures: string[] = []
    let pulled = 0
    const end = new AbortController()
    const client = async (first: number): Promise<void> => {
      for (let n = first; !end.signal.aborted; n++) {
        try {
          await pull(running.url, names[n % names.length] ?? '', 'v1')
          pulled += 1
        } catch (error) {
          failures.push(String(error))
        }
      }
    }
    const clients = Array.from({ length: CLIENTS }, (_, n) => client(n * 10))
    let job = await ask('jobs', { kind: 'collect', target: 1 })
    while (job.state === 'running' || job.state === 'waiting') {
      await sleep(50)
      job = await ask(`jobs/${job.id}`)
    }
    end.abort()
    await Promise.all(clients)
    expect(failures).toEqual([])
    expect(pulled).toBeGreaterThan(0)
    expect(job).toMatchObject({ state: 'done' })
    expect(job.result['images']).toBeGreaterThan(IMAGES / 2)
    // Whatever is left or gone: everything can be pulled.
    for (const name of names) await pull(running.url, name, 'v1')
  },
  WITHIN,
)
