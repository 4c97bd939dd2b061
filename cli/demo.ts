// `npm run demo`: the main job with no internet. An upstream that asks for tokens is started here, an image
// is pulled through the registry cold, warm, after a restart and with the upstream gone, and the upstream
// tells what it was asked.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

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

interface Row {
  readonly step: string
  readonly bytes: number
  readonly milliseconds: number
  readonly requests: string
}

async function main(): Promise<void> {
  const state = await mkdtemp(join(tmpdir(), 'entrepot-demo-'))
  const upstream = new SampleUpstream({ authentication: { service: 'demo' } })
  const listener = await listenUpstream(upstream.handle, {})
  try {
    await seed(upstream)
    console.log(
      `An upstream with ${REPOSITORY}:${TAG} (index, image, config, 4 layers) runs on ${listener.url}\n`,
    )
    printRows(await runSteps({ upstream, upstreamURL: listener.url, state }))
  } finally {
    await listener.close()
    await rm(state, { recursive: true, force: true })
  }
}

async function seed(upstream: SampleUpstream): Promise<void> {
  const layers = [16, 6, 2, 0.25].map((size) => size * MEBIBYTE)
  const image = await sampleImage({ layers, platform: { os: 'linux', architecture: 'amd64' } })
  await addSample(upstream, REPOSITORY, await sampleIndex([image]), TAG)
}

async function runSteps(given: {
  readonly upstream: SampleUpstream
  readonly upstreamURL: string
  readonly state: string
}): Promise<Row[]> {
  const { upstream } = given
  const rows: Row[] = []
  let registry = await start(given)
  try {
    rows.push(await step('cold', registry, upstream))
    rows.push(await step('warm', registry, upstream))
    await registry.stop()
    registry = await start(given)
    rows.push(await step('after a restart', registry, upstream))
    upstream.stop()
    rows.push(await step('upstream gone', registry, upstream))
    return rows
  } finally {
    await registry.stop()
  }
}

function start({
  upstreamURL,
  state,
}: {
  readonly upstreamURL: string
  readonly state: string
}): Promise<Registry> {
  const vars = { UPSTREAMS: JSON.stringify({ 'docker.io': { url: upstreamURL } }) }
  return serve({ host: '127.0.0.1', port: 0, persistTo: state, vars, secrets: false })
}

async function step(name: string, registry: Registry, upstream: SampleUpstream): Promise<Row> {
  upstream.forget()
  const { bytes, milliseconds } = await pull(registry.url, `docker.io/${REPOSITORY}`, TAG)
  return { step: name, bytes, milliseconds, requests: describeRequests(upstream) }
}

function describeRequests(upstream: SampleUpstream): string {
  const counts = (['base', 'token', 'manifest', 'blob'] as const).map((kind) => {
    const count = upstream.count({ kind })
    return count === 0 ? '' : `${count} ${kind === 'base' ? 'ping' : kind}`
  })
  return counts.filter((text) => text !== '').join(', ') || 'none'
}

function printRows(rows: readonly Row[]): void {
  const cells = rows.map(({ step: name, bytes, milliseconds, requests }) => [
    name,
    `${(bytes / MEBIBYTE).toFixed(1)} MiB`,
    `${milliseconds.toFixed(0)} ms`,
    requests,
  ])
  console.log(formatTable([['pull', 'bytes', 'time', 'upstream requests'], ...cells]))
}

await main()
