// A collection after real pulls: real ledgers, real objects. What happens while it runs is in `collect.test.ts`.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { mirroredBlobKey } from '../../src/storage/keys.ts'
import { bytesOf } from '../support/answer.ts'
import { expectBytes, keysIn } from '../support/blob.ts'
import { DAY, HOUR, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { runJob, servicesWith } from '../support/job-run.ts'
import { named } from '../support/mirror.ts'
import { tag } from '../support/parsed.ts'

const NAME = 'one.test/a/b'

let upstream: SampleUpstream
let clock: Clock
const started: Isolate[] = []

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
})

afterEach(async () => {
  await settle()
  vi.restoreAllMocks()
  await reset()
})

function start(): Isolate {
  const worker = isolate()
  started.push(worker)
  return worker
}

/** Ledgers are told of reads a little later. */
async function settle(): Promise<void> {
  await Promise.all(started.splice(0).map((worker) => worker.settle()))
}

async function collect(order: object) {
  await settle()
  return runJob('collect', order, { steps: 50 })
}

async function add(reference: string, seed: number): Promise<SampleManifest> {
  const image = await sampleImage({ seed, layers: [20_000, 10_000] })
  await addSample(upstream, 'a/b', image, reference)
  return image
}

/** Pulls an image whole and checks every byte of it. */
async function pull(reference: string, image: SampleManifest): Promise<void> {
  const { get } = start()
  const answer = await get(`/v2/${NAME}/manifests/${reference}`)
  if (answer.status !== 200) expect.fail(`${answer.status} ${await answer.text()}`)
  expectBytes(await bytesOf(answer), image.bytes)
  for (const { digest, bytes } of image.blobs) {
    expectBytes(await bytesOf(await get(`/v2/${NAME}/blobs/${digest}`)), bytes)
  }
}

async function hasBlobs(image: SampleManifest): Promise<boolean> {
  const heads = image.blobs.map(({ digest }) =>
    env.BLOBS.head(mirroredBlobKey(named(NAME), false, digest)),
  )
  return (await Promise.all(heads)).every((head) => head !== null)
}

async function bytesHere(): Promise<number> {
  const { objects } = await env.BLOBS.list({ prefix: 'mirror/' })
  return objects.reduce((sum, { size }) => sum + size, 0)
}

describe('a collection', () => {
  it('removes the image that nobody has pulled for longest, rows, hints and bytes, and tells what is left', async () => {
    const old = await add('old', 1)
    const busy = await add('busy', 2)
    await pull('old', old)
    await pull('busy', busy)
    clock.advance(3 * DAY)
    await pull('busy', busy)
    clock.advance(DAY)
    const before = await bytesHere()
    const { status, report } = await collect({ target: 60_000, low: '70%' })
    expect([status.state, status.note]).toEqual(['done', ''])
    expect(await hasBlobs(old)).toBe(false)
    expect(await hasBlobs(busy)).toBe(true)
    expect(report.map(({ subject, outcome }) => [subject, outcome])).toEqual([
      [`${NAME}:old`, 'removed'],
    ])
    const after = await bytesHere()
    expect(status.result).toMatchObject({ bytesBefore: before, bytesAfter: after, images: 1 })
    expect(status.progress).toEqual({
      // A whole image is more than what was still wanted.
      done: before - 42_000,
      total: before - 42_000,
      unit: 'bytes',
    })
    const { meter } = servicesWith()
    expect((await meter.storage())?.hosts['one.test']?.bytes).toBe(after)
    const ledger = env.MIRROR_LEDGER.getByName(NAME)
    expect(await ledger.keptTag(named(NAME), tag('old'))).toBeUndefined()
    const { keys } = await env.HINTS.list()
    expect(keys.filter(({ name }) => name.includes(old.digest) || name.endsWith(':old'))).toEqual(
      [],
    )
    upstream.forget()
    await pull('old', old)
    expect(upstream.count({ kind: 'manifest', method: 'GET' })).toBe(1)
  })

  it('leaves what is pinned', async () => {
    const old = await add('old', 1)
    await pull('old', old)
    clock.advance(DAY)
    const ledger = env.MIRROR_LEDGER.getByName(NAME)
    await ledger.pin(named(NAME), { kind: 'tag', tag: tag('old') }, true)
    const { status } = await collect({ target: 1, low: 0 })
    expect(status.result).toMatchObject({ images: 0, bytesRemoved: 0 })
    expect(await hasBlobs(old)).toBe(true)
  })

  it('leaves an old blob that is pulled by digest every day, and takes an idle new one', async () => {
    const old = await add('old', 1)
    const fresh = await add('fresh', 2)
    await pull('old', old)
    const daily = old.blobs[1]!
    for (let day = 0; day < 5; day += 1) {
      clock.advance(DAY)
      const { get } = start()
      if (day === 3) await bytesOf(await get(`/v2/${NAME}/blobs/${fresh.blobs[1]!.digest}`))
      await bytesOf(await get(`/v2/${NAME}/blobs/${daily.digest}`))
    }
    clock.advance(3 * HOUR)
    await collect({ target: 50_000, low: 25_000 })
    const left = (await keysIn('mirror/')).map((key) => key.split('/').at(-1))
    expect(left).toEqual([daily.digest.slice('sha256:'.length)])
  })
})

describe('an order', () => {
  it.each([
    { members: { dryRun: 'yes' }, want: 'dryRun: expected true or false' },
    { members: { target: '5 apples' }, want: 'target: expected a size' },
    { members: { target: 0 }, want: 'target: expected a size' },
    { members: { target: -1 }, want: 'target: expected a size' },
    { members: { low: '10GiB' }, want: 'low' },
    { members: { target: '1GiB', low: '2GiB' }, want: 'low: expected a size that is not above' },
    { members: { goal: 1 }, want: 'goal: expected one of dryRun, target, low' },
  ])('of $members is refused', ({ members, want }) => {
    const { jobs } = servicesWith()
    let message = ''
    try {
      jobs.parse('collect', members)
    } catch (error) {
      const { field, message: why } = error as { field: string; message: string }
      message = `${field}: ${why}`
    }
    expect(message).toContain(want)
  })

  it('takes what it does not name from the configuration', () => {
    const titleOf = (members: object, STORAGE_TARGET?: unknown) =>
      servicesWith(STORAGE_TARGET === undefined ? {} : { STORAGE_TARGET }).jobs.parse('collect', {
        ...members,
      }).state
    expect(titleOf({}, '1KiB')).toEqual({ target: { target: 1024, low: 921 }, isDryRun: false })
    expect(titleOf({ dryRun: true })).toEqual({ target: undefined, isDryRun: true })
    expect(titleOf({ low: '50%' }, '1KiB')).toMatchObject({ target: { target: 1024, low: 512 } })
    const configured = { target: '2KiB', low: '1KiB' }
    expect(titleOf({ target: 100 }, configured)).toMatchObject({ target: { target: 100, low: 90 } })
  })
})
