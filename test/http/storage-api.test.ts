// `/_/api/storage` and the gauges: how much is mirrored, for administrators only.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { accounts, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const PATH = '/_/api/storage'
const GiB = 2 ** 30

let settings: Readonly<Record<string, unknown>>
let clock: Clock

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  settings = await accounts({ root: [granting('**', 'admin')], ci: [granting('**', 'pull')] })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const headers = { authorization: basic('root') }

function measured(at: number, bytes: number) {
  const hosts = {
    'one.test': { bytes, objects: 3 },
    'two.test': { bytes: 2 * bytes, objects: 4 },
  }
  return env.METER.getByName('meter').measured({ at, hosts })
}

describe('storage', () => {
  it('is told by host, the largest first, with the target of the configuration', async () => {
    await measured(clock.now(), GiB)
    const worker = isolate({ ...settings, STORAGE_TARGET: '10GiB' })
    const answer = await worker.get(PATH, headers)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({
      measuredAt: new Date(clock.now()).toISOString(),
      bytes: 3 * GiB,
      target: 10 * GiB,
      low: 9 * GiB,
      hosts: [
        { host: 'two.test', bytes: 2 * GiB, objects: 4 },
        { host: 'one.test', bytes: GiB, objects: 3 },
      ],
    })
  })

  it('is nothing before the first measurement, and without a target says none', async () => {
    const answer = await isolate(settings).get(PATH, headers)
    expect(await answer.json()).toEqual({ bytes: 0, hosts: [] })
  })

  it('is as the newest measurement has it, whichever comes last', async () => {
    await measured(clock.now(), GiB)
    await measured(clock.now() - 1, 7)
    const answer = await isolate(settings).get(PATH, headers)
    expect(await answer.json()).toMatchObject({ bytes: 3 * GiB })
  })

  it('is for administrators, and 503 while the object that knows is away', async () => {
    const worker = isolate(settings)
    expect((await worker.get(PATH)).status).toBe(401)
    expect((await worker.get(PATH, { authorization: basic('ci') })).status).toBe(401)
    const away = isolate({ ...settings, METER: broken('objects') })
    expect(await refusalOf(await away.get(PATH, headers))).toBe('503 UNKNOWN')
    const post = await worker.fetch(PATH, { method: 'POST', headers })
    expect(await refusalOf(post)).toBe('405 UNSUPPORTED')
  })

  it('is in /metrics, by host once somebody has measured, and the target of the configuration', async () => {
    const worker = isolate({ ...settings, STORAGE_TARGET: '10GiB' })
    const scrape = async () => (await worker.get('/metrics', headers)).text()
    expect(await scrape()).not.toContain('entrepot_storage_bytes')
    await measured(clock.now(), GiB)
    const text = await scrape()
    expect(text).toContain(`\nentrepot_storage_bytes{host="two.test"} ${2 * GiB}\n`)
    expect(text).toContain(`\nentrepot_storage_target_bytes ${10 * GiB}\n`)
  })
})
