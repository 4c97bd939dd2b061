// `entrepot demo`: the main job with no internet. An upstream that asks for tokens is started here, an image
// is pulled through the registry cold, warm, after a restart and with the upstream gone, and the upstream
// tells what it was asked.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { DemoArguments } from './demo-arguments.ts'
import { EXIT, onEnding, statusOf } from './ending.ts'
import { pull } from './puller.ts'
import { addSample, sampleImage, sampleIndex } from './sample-image.ts'
import { serve } from './serve.ts'
import type { Registry } from './serve.ts'
import { formatTable } from './table.ts'
import { listenUpstream } from './upstream-listener.ts'
import { SampleUpstream } from './upstream.ts'

const REPOSITORY = 'team/app'
const TAG = '1.0'
const MEBIBYTE = 1024 * 1024
/** Requests that the upstream counts, in the order in which a pull makes them. */
const KINDS = ['base', 'token', 'manifest', 'blob'] as const

/** What one pull cost. */
interface Step {
  readonly step: string
  readonly bytes: number
  readonly milliseconds: number
  /** What the upstream was asked, by kind. */
  readonly requests: Readonly<Record<(typeof KINDS)[number], number>>
}

/** What all steps need. */
interface Stage {
  readonly upstream: SampleUpstream
  readonly upstreamURL: string
  readonly state: string
  /** Aborted when the program is to end. */
  readonly signal: AbortSignal
}

/**
 * Shows it, and leaves nothing behind.
 * @throws when something is not as it is meant to be.
 */
export async function runDemo({ isJSON }: DemoArguments): Promise<number> {
  const interruption = new AbortController()
  let status: number = EXIT.fine
  onEnding((ending) => {
    status = statusOf(ending)
    interruption.abort()
  })
  const { signal } = interruption
  const state = await mkdtemp(join(tmpdir(), 'entrepot-demo-'))
  const upstream = new SampleUpstream({ authentication: { service: 'demo' } })
  const listener = await listenUpstream(upstream.handle, {})
  try {
    await seed(upstream)
    if (!isJSON) console.log(`${introductionOf(listener.url)}\n`)
    const pulls = await runSteps({ upstream, upstreamURL: listener.url, state, signal })
    console.log(isJSON ? JSON.stringify({ pulls }, undefined, 2) : formatSteps(pulls))
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await listener.close()
    await rm(state, { recursive: true, force: true })
  }
  return status
}

function introductionOf(url: string): string {
  return `An upstream with ${REPOSITORY}:${TAG} (index, image, config, 4 layers) runs on ${url}`
}

async function seed(upstream: SampleUpstream): Promise<void> {
  const layers = [16, 6, 2, 0.25].map((size) => size * MEBIBYTE)
  const image = await sampleImage({ layers, platform: { os: 'linux', architecture: 'amd64' } })
  await addSample(upstream, REPOSITORY, await sampleIndex([image]), TAG)
}

async function runSteps(stage: Stage): Promise<Step[]> {
  const steps: Step[] = []
  let registry = await start(stage)
  try {
    steps.push(await step('cold', registry, stage))
    steps.push(await step('warm', registry, stage))
    await registry.stop()
    registry = await start(stage)
    steps.push(await step('after a restart', registry, stage))
    stage.upstream.stop()
    steps.push(await step('upstream gone', registry, stage))
    return steps
  } finally {
    await registry.stop()
  }
}

async function start({ upstreamURL, state, signal }: Stage): Promise<Registry> {
  signal.throwIfAborted()
  return await serve({
    host: '127.0.0.1',
    port: 0,
    persistTo: state,
    vars: { UPSTREAMS: JSON.stringify({ 'docker.io': { url: upstreamURL } }) },
    secrets: false,
    handlesSignals: true,
  })
}

async function step(name: string, registry: Registry, { upstream, signal }: Stage): Promise<Step> {
  upstream.forget()
  const { bytes, milliseconds } = await pull(registry.url, `docker.io/${REPOSITORY}`, TAG, signal)
  return {
    step: name,
    bytes,
    milliseconds,
    requests: {
      base: upstream.count({ kind: 'base' }),
      token: upstream.count({ kind: 'token' }),
      manifest: upstream.count({ kind: 'manifest' }),
      blob: upstream.count({ kind: 'blob' }),
    },
  }
}

function formatSteps(steps: readonly Step[]): string {
  const cells = steps.map(({ step: name, bytes, milliseconds, requests }) => [
    name,
    `${(bytes / MEBIBYTE).toFixed(1)} MiB`,
    `${milliseconds.toFixed(0)} ms`,
    describeRequests(requests),
  ])
  return formatTable([['pull', 'bytes', 'time', 'upstream requests'], ...cells])
}

function describeRequests(requests: Step['requests']): string {
  const counts = KINDS.filter((kind) => requests[kind] > 0).map(
    (kind) => `${requests[kind]} ${kind === 'base' ? 'ping' : kind}`,
  )
  return counts.join(', ') || 'none'
}
