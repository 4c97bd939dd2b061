// Writes down the state that this release leaves behind, as `test/releases/<version>.json`, for the releases after it
// (docs/keep.md, "The next release"):
//
//   npx vitest run --config test/releases/vitest.config.ts
//
// One that is there already is never written over: the version in package.json is to be raised first.
// It drives the registry as clients and administrators do, so that the state is what this release really writes.

import { reset, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import manifest from '../../package.json?raw'
import { Services, platformSeams } from '../../src/services.ts'
import { add, authority, granting } from '../support/accounts.ts'
import { KiB, addSampleBlob } from '../support/blob.ts'
import { MINUTE, stopClock } from '../support/clock.ts'
import { OPEN, descriptorOf, indexOf, noise, startHosted } from '../support/hosted-registry.ts'
import { OCI_INDEX, contentOf, encode, locationOf } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { dumpState } from './state.ts'

const PUBLIC = {
  ...OPEN,
  ANONYMOUS: [{ repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
  FILL_LIMIT: undefined,
}

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

it('writes down what this release keeps', async () => {
  const clock = stopClock()
  const names = vi.spyOn(Object.getPrototypeOf(env.METER) as typeof env.METER, 'getByName')
  const registry = startHosted(PUBLIC)
  const facts = await useIt(registry)
  clock.advance(MINUTE)
  // Counted and handed over.
  await registry.get('/v2/')
  await registry.settle()
  const state = await dumpState(
    clock.now(),
    facts,
    names.mock.calls.map(([name]) => name),
  )
  const text = `${JSON.stringify(state, undefined, 1)}\n`
  expect(text.length).toBeLessThan(200 * KiB)
  const { version } = JSON.parse(manifest) as { readonly version: string }
  await expect(text).toMatchFileSnapshot(`./${version}.json`)
})

/** Everything that leaves state: pushes and deletions, an upload, pulls through, accounts and switches. */
async function useIt(registry: ReturnType<typeof startHosted>) {
  const hosted = await push(registry)
  const mirrored = await mirror(registry)
  const ci = await add('account', 'ci', granting('**', 'pull', 'push', 'delete'))
  const root = await add('account', 'root', granting('**', 'admin'))
  const gone = await add('account', 'gone', granting('**', 'pull'))
  const nodes = await add('capability', 'nodes', granting('one.test/**', 'pull'))
  await authority().revoke('gone', 'root')
  await authority().setSwitches({ noRedirect: true, paused: ['two.test'] }, 'root')
  await authority().pin({ image: 'one.test/a/b:v1', platforms: undefined }, 'root')
  // A job that has ended; its object is still there to be asked.
  const services = new Services(
    env,
    platformSeams(
      () => undefined,
      () => undefined,
    ),
  )
  const job = await services.jobs.start(services.jobs.parse('export', {}), 'root')
  await vi.waitFor(async () => {
    await runDurableObjectAlarm(env.JOB.getByName(job.id))
    expect(await services.jobs.status(job.id)).toMatchObject({ state: 'done' })
  })
  const secrets = { ci, root, gone, nodes }
  return { ...hosted, ...mirrored, ...secrets, job: job.id }
}

async function push(registry: ReturnType<typeof startHosted>) {
  const one = await registry.pushImage('hosted/app', { seed: 1, reference: 'v1' })
  const two = await registry.pushImage('hosted/app', { seed: 2, reference: 'v2' })
  await registry.putManifest('/v2/hosted/app/manifests/latest', two.bytes)
  const index = await contentOf(encode(indexOf([descriptorOf(one), descriptorOf(two)])))
  await registry.putManifest('/v2/hosted/app/manifests/multi', index.bytes, OCI_INDEX)
  const signature = await registry.pushImage('hosted/app', {
    seed: 3,
    subject: descriptorOf(one),
    artifactType: 'application/vnd.example.signature',
    annotations: { by: 'the release before' },
  })
  // The same blobs once more, an image that was deleted, and a blob that no manifest names.
  await registry.pushImage('hosted/other', { seed: 1, reference: 'shared' })
  const deleted = await registry.pushImage('hosted/other', { seed: 4, reference: 'deleted' })
  await registry.send('DELETE', `/v2/hosted/other/manifests/${deleted.digest}`)
  const lone = await noise(500, { seed: 5 })
  await registry.pushBlob('hosted/other', lone)
  // An upload that has gone half its way.
  const half = await noise(3000, { seed: 6 })
  const location = await registry.open('hosted/app')
  const patched = await registry.patch(location, half.bytes.slice(0, 1200), 0)
  await registry.settle()
  return {
    one: one.digest,
    two: two.digest,
    index: index.digest,
    signature: signature.digest,
    deleted: deleted.digest,
    lone: lone.digest,
    half: half.digest,
    location: locationOf(patched),
  }
}

async function mirror(registry: ReturnType<typeof startHosted>) {
  const upstream = startUpstream({ authentication: {} })
  const counted = startUpstream({
    authentication: { accounts: { mirror: 'canary-password' } },
    rateLimit: { limit: 100, remaining: 90 },
  })
  goOnline({ 'one.test': upstream, 'budget.test': counted })
  const image = await sampleImage({ layers: [500] })
  const index = await sampleIndex([image])
  const referrer = await sampleImage({
    layers: [200],
    seed: 7,
    subject: { mediaType: image.mediaType, digest: image.digest, size: image.bytes.byteLength },
    artifactType: 'application/vnd.example.sbom',
  })
  for (const host of [upstream, counted]) {
    await addSample(host, 'a/b', index, 'multi')
    await addSample(host, 'a/b', image, 'v1')
  }
  await addSample(upstream, 'a/b', referrer)
  const large = await addSampleBlob(upstream, 300 * KiB, { name: 'a/b', seed: 8 })
  const get = async (path: string) => {
    const answer = await registry.get(`/v2/one.test/a/b/${path}`)
    expect(`${path} ${answer.status}`).toBe(`${path} 200`)
    await answer.arrayBuffer()
    await registry.settle()
  }
  for (const reference of ['multi', 'v1', image.digest]) await get(`manifests/${reference}`)
  for (const { digest } of image.blobs) await get(`blobs/${digest}`)
  await get('tags/list')
  await get(`referrers/${image.digest}`)
  await get(`manifests/${referrer.digest}`)
  expect((await registry.get('/v2/budget.test/a/b/manifests/v1')).status).toBe(200)
  // A fill that stands still: its object is noted, and its first segment is stored.
  upstream.fault({
    on: { kind: 'blob', method: 'GET' },
    do: { hold: new Promise(() => undefined), after: 200 * KiB },
  })
  const filling = await registry.get(large.path)
  await vi.waitFor(async () => {
    expect((await env.BLOBS.list({ prefix: 'fills/' })).objects.length).toBeGreaterThan(0)
  })
  void filling.body?.cancel().catch(() => undefined)
  return {
    mirroredImage: image.digest,
    mirroredIndex: index.digest,
    mirroredBlob: image.blobs[0]?.digest ?? '',
    referrer: referrer.digest,
  }
}
