// A fill whose object is reset in mid-fill: a deploy, an eviction, a crash (design §2, property 11).

import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { bytesOf } from '../support/answer.ts'
import {
  MiB,
  addSampleBlob,
  expectBytes,
  expectNothing,
  expectStored,
  keysIn,
  openBody,
  withhold,
} from '../support/blob.ts'
import type { Body, SampleBlob } from '../support/blob.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const BLOB_GET = { kind: 'blob', method: 'GET' } as const

let upstream: SampleUpstream
let worker: Isolate
let blob: SampleBlob
let body: Body

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  upstream = startUpstream()
  goOnline({ 'one.test': upstream })
  worker = isolate()
  blob = await addSampleBlob(upstream, 6 * MiB)
  withhold(upstream, 3 * MiB)
  body = openBody(await worker.get(blob.path))
  await body.piece()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const fill = () => env.BLOB_FILL.getByName(blob.key)

async function abort(): Promise<void> {
  const aborted = runInDurableObject(fill(), (_, state) => state.abort('a deploy'))
  await expect(aborted).rejects.toThrow('a deploy')
}

describe('an object that is reset in mid-fill', () => {
  it('cuts its clients short, and its alarm removes what is left', async () => {
    await abort()
    expect((await body.remains()).isWhole).toBe(false)
    expect(await keysIn('mirror/')).toEqual([])
    expect(await keysIn('fills/')).not.toEqual([])
    expect(await runDurableObjectAlarm(fill())).toBe(true)
    await expectNothing()
  })

  it('starts again with the next request, and leaves nothing of the first', async () => {
    await abort()
    upstream.clearFaults()
    expectBytes(await bytesOf(await worker.get(blob.path)), blob.bytes)
    expect(upstream.count(BLOB_GET)).toBe(2)
    await vi.waitFor(async () => expect(await keysIn('mirror/')).toEqual([blob.key]))
    await runDurableObjectAlarm(fill())
    await expectStored(blob)
  })

  it('has an alarm that lets the fill be that runs by then', async () => {
    await abort()
    const [left] = (await keysIn('fills/')).map((key) => key.split('/')[1])
    const second = openBody(await worker.get(blob.path))
    await second.piece()
    await runDurableObjectAlarm(fill())
    const ids = new Set((await keysIn('fills/')).map((key) => key.split('/')[1]))
    expect(ids.size).toBe(1)
    expect(ids.has(left)).toBe(false)
    await second.cancel()
    upstream.clearFaults()
  })
})
