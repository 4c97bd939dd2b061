// What an export writes, when it is there, and which exports stay: one that failed is none, nightly ones are kept for two
// weeks, and longer where the newest have lost something.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { NO_SWITCHES } from '../../src/auth/switches.ts'
import type { DumpPage, DumpRow } from '../../src/hosted/inventory.ts'
import { indexOf, parseLines, sha256 } from '../../src/jobs/export-file.ts'
import type { ExportCounts, ExportIndex } from '../../src/jobs/export-file.ts'
import { ExportTask, exportOrder } from '../../src/jobs/export.ts'
import type { ExportGiven, ExportState } from '../../src/jobs/export.ts'
import { Exports } from '../../src/jobs/exports.ts'
import type { ReportItem } from '../../src/jobs/job.ts'
import type { StepContext } from '../../src/jobs/task.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { add, authority, granting } from '../support/accounts.ts'
import { broken } from '../support/broken.ts'
import { DAY, HOUR, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import { runJob, servicesWith } from '../support/job-run.ts'

const DIGEST = `sha256:${'1'.repeat(64)}` as Digest
const EMPTY = { accounts: [], pins: [], switches: undefined }

let clock: Clock

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const exportsOf = (): Exports => new Exports(env.BLOBS)

/** Takes steps with ledgers of the test's choice; what came of it. */
async function run(
  given: Partial<ExportGiven> = {},
  { isNightly = false, steps = 50, isCancelled = (): boolean => false, until = Infinity } = {},
) {
  const task = new ExportTask({
    exports: exportsOf(),
    markers: new RepositoryMarkers(env.BLOBS),
    dump: async () => ({ rows: [{ kind: 'read', digest: DIGEST, at: 1 }], next: undefined }),
    authority: async () => EMPTY,
    now: clock.now,
    ...given,
  })
  const report: ReportItem[] = []
  return runInDurableObject(env.JOB.getByName('a job'), async (_, { storage }) => {
    const context: StepContext = {
      id: 'export-lyx-1a2b3c4d',
      by: 'root',
      until: until === Infinity ? clock.now() + MINUTE : until,
      isCancelled,
      show: () => undefined,
      sql: storage.sql,
      report: (item) => void report.push(item),
    }
    let state = exportOrder(isNightly).state as ExportState
    for (let taken = 1; taken <= steps; taken++) {
      const step = await task.step(state, context)
      state = step.state
      if (step.next === 'done') return { state, report, result: step.result, steps: taken, task }
    }
    return { state, report, result: undefined, steps, task }
  })
}

async function mark(...names: readonly string[]): Promise<void> {
  const markers = new RepositoryMarkers(env.BLOBS)
  for (const name of names) await markers.mark('hosted', name)
}

/** All lines of an export. */
async function linesOf(index: ExportIndex): Promise<readonly object[]> {
  const parts = index.parts.map((_, n) => exportsOf().part(index, n))
  return (await Promise.all(parts)).flatMap(parseLines)
}

async function indexNamed(id: string): Promise<ExportIndex> {
  return (await exportsOf().index(id)) ?? expect.fail('there is no such export')
}

describe('an export', () => {
  it('of an empty deployment is an index', async () => {
    const { result } = await run()
    const [only, ...others] = await exportsOf().list()
    expect(others).toEqual([])
    expect(only).toMatchObject({ id: result?.['export'], at: clock.now(), bytes: 0 })
    expect(await linesOf(await indexNamed(only?.id ?? ''))).toEqual([])
  })

  it('has an id in the order of time', async () => {
    vi.mocked(Date.now).mockReturnValue(Date.parse('2026-11-23T02:48:53Z'))
    const services = servicesWith()
    expect(services.seams.now()).toBe(Date.parse('2026-11-23T02:48:53Z'))
    const { status } = await runJob('export', {})
    expect(status.result['export']).toMatch(/^20261123-024853-[0-9a-f]{8}$/)
  })

  it('holds everything, and the index tells how much', async () => {
    const registry = startHosted(OPEN)
    await registry.pushImage('hosted/app', { seed: 1, reference: 'v1' })
    await registry.pushImage('hosted/app', { seed: 2 })
    await add('account', 'ci', granting('**', 'pull'))
    await authority().setSwitches({ readOnly: true }, 'root')
    await authority().pin({ image: 'docker.io/library/nginx:1', platforms: undefined }, 'root')
    const { status } = await runJob('export', {})
    expect(status).toMatchObject({
      state: 'done',
      result: { repositories: 1, tags: 1, manifests: 2, blobs: 4, accounts: 1, pins: 1 },
      progress: { done: 1, total: 1, unit: 'repositories' },
    })
    const index = await indexNamed(String(status.result['export']))
    const lines = await linesOf(index)
    expect(lines).toContainEqual({
      kind: 'switches',
      switches: { ...NO_SWITCHES, readOnly: true },
    })
    expect(lines).toContainEqual({ kind: 'repository', name: 'hosted/app' })
    expect(lines).toContainEqual(expect.objectContaining({ kind: 'tag', tag: 'v1' }))
    expect(index.parts.reduce((sum, part) => sum + part.lines, 0)).toBe(lines.length)
    // No secret, no key.
    const { key } = await authority().snapshot()
    expect(JSON.stringify(lines)).not.toContain(String(key.privateJWK['d']))
  })

  it('goes on in further parts, of which each says whose rows it has', async () => {
    await mark('hosted/a', 'hosted/b')
    const descriptor = {
      mediaType: 'a/b',
      digest: DIGEST,
      size: 1,
      annotations: { x: 'y'.repeat(1024 * 1024) },
    }
    const large: DumpRow = {
      kind: 'manifest',
      digest: DIGEST,
      mediaType: 'a/b',
      size: 1,
      pushedAt: 1,
      children: [],
      referrer: { subject: DIGEST, descriptor },
    }
    const dump = async (_: string, after = '0'): Promise<DumpPage> => {
      const page = Number(after)
      return { rows: [large, large], next: page < 3 ? String(page + 1) : undefined }
    }
    const { result } = await run({ dump })
    const index = await indexNamed(String(result?.['export']))
    expect(index.parts.length).toBe(4)
    for (const n of index.parts.keys()) {
      const lines = parseLines(await exportsOf().part(index, n))
      expect(lines[0]).toEqual({ kind: 'repository', name: n < 2 ? 'hosted/a' : 'hosted/b' })
      expect(lines).toHaveLength(5)
    }
    expect(result).toMatchObject({ repositories: 2, manifests: 16 })
  })

  it('asks no more than 200 pages in one step, and none after its time', async () => {
    await mark(...Array.from({ length: 450 }, (_, n) => `hosted/r${String(n).padStart(3, '0')}`))
    let pages = 0
    const dump = async (): Promise<DumpPage> => {
      pages += 1
      return { rows: [{ kind: 'read', digest: DIGEST, at: 1 }], next: undefined }
    }
    // To begin, the authority, three of ledgers, the index.
    expect(await run({ dump })).toMatchObject({ steps: 6, result: { repositories: 450 } })
    expect(pages).toBe(450)
    pages = 0
    await run({ dump }, { steps: 3, until: clock.now() })
    expect(pages).toBe(1)
  })

  it('is not there before its index, and goes when it is given up', async () => {
    await mark('hosted/a')
    const { state, task } = await run({}, { steps: 3 })
    expect(state.parts).toHaveLength(1)
    expect(await exportsOf().list()).toEqual([])
    expect(await exportsOf().index(state.id)).toBeUndefined()
    await task.end(state)
    expect((await env.BLOBS.list({ prefix: 'exports/' })).objects).toEqual([])
  })

  it('writes the same part again where a step is repeated', async () => {
    await mark('hosted/a')
    let fails = true
    const real = exportsOf()
    const exports = {
      ...viaOf(real),
      putPart: async (id: string, n: number, bytes: Uint8Array) => {
        await real.putPart(id, n, bytes)
        if (fails) throw new Error('the answer was lost')
      },
    }
    await expect(run({ exports })).rejects.toThrow('the answer was lost')
    fails = false
    const { result } = await run({ exports })
    const index = await indexNamed(String(result?.['export']))
    expect(await linesOf(index)).toHaveLength(2)
  })

  it('fails while a ledger does, and is tried again', async () => {
    await mark('hosted/a')
    const away = { getByName: () => broken({}, { dump: () => Promise.reject(new Error('away')) }) }
    const { status, id } = await runJob('export', {}, { settings: { HOSTED_LEDGER: away } })
    expect(status).toMatchObject({ state: 'waiting', note: 'away' })
    clock.advance(HOUR)
    const again = await runJob('export', {}, { id })
    expect(again.status).toMatchObject({ state: 'done', result: { empty: 1 } })
  })
})

describe('a ledger that cannot be read', () => {
  const one: DumpRow = { kind: 'read', digest: DIGEST, at: 1 }

  it('is left out after three attempts, is told, and keeps no other from being exported', async () => {
    await mark('hosted/a', 'hosted/b', 'hosted/c')
    const asked: string[] = []
    const dump = async (name: string, after: string | undefined): Promise<DumpPage> => {
      asked.push(name)
      if (name === 'hosted/b' && after === 'half') throw new Error('its rows are broken')
      return { rows: [one], next: name === 'hosted/b' ? 'half' : undefined }
    }
    const { result, report } = await run({ dump })
    expect(asked).toEqual(['hosted/a', ...Array.from({ length: 4 }, () => 'hosted/b'), 'hosted/c'])
    expect(report).toEqual([
      { subject: 'hosted/b', outcome: 'failed', note: 'its rows are broken' },
    ])
    expect(result).toMatchObject({ failed: 1 })
    const index = await indexNamed(String(result?.['export']))
    expect(index.counts.failed).toBe(1)
    expect(await linesOf(index)).toContainEqual({ kind: 'repository', name: 'hosted/c' })
  })

  it('waits between attempts, and has three of its own', async () => {
    await mark('hosted/a', 'hosted/b')
    let calls = 0
    const dump = async (): Promise<DumpPage> => {
      calls += 1
      if (calls % 3 !== 0) throw new Error('away')
      return { rows: [one], next: undefined }
    }
    const { result, report } = await run({ dump })
    expect(calls).toBe(6)
    expect(report).toEqual([])
    expect(result).toMatchObject({ repositories: 2 })
    expect(result).not.toHaveProperty('failed')
  })
})

describe('exports that stay', () => {
  const counts: ExportCounts = {
    repositories: 1,
    tags: 1,
    manifests: 0,
    blobs: 1,
    accounts: 1,
    pins: 0,
    empty: 0,
  }

  /** Exports of so many nights before, the newest last night. */
  async function nights(count: number, changed: Partial<ExportCounts> = {}, isNightly = true) {
    for (let night = 1; night <= count; night++) {
      const id = `night-${String(night).padStart(4, '0')}${isNightly ? '' : '-by-hand'}`
      const bytes = new TextEncoder().encode('{"kind":"repository","name":"hosted/a"}\n')
      await exportsOf().putPart(id, 0, bytes)
      const part = { sha256: await sha256(bytes), bytes: bytes.byteLength, lines: 1 }
      await exportsOf().putIndex(
        indexOf({
          id,
          at: clock.now() - night * DAY,
          isNightly,
          counts: { ...counts, ...changed },
          parts: [part],
        }),
      )
    }
  }
  const ids = async () => (await exportsOf().list()).map(({ id }) => id)
  const account = {
    name: 'a',
    kind: 'account' as const,
    secretHash: '0'.repeat(64),
    grants: [granting('**', 'pull')],
    version: 'x',
    createdAt: 1,
  }
  const full = { authority: async () => ({ ...EMPTY, accounts: [account] }) }

  it('are the newest 14 of the nights, and all that somebody ordered', async () => {
    await mark('hosted/a')
    await nights(20)
    await nights(20, {}, false)
    const { report, result } = await run(full, { isNightly: true })
    const left = await ids()
    expect(left.filter((id) => id.endsWith('by-hand'))).toHaveLength(20)
    const nightly = left.filter((id) => !id.endsWith('by-hand'))
    expect(nightly).toEqual([
      result?.['export'],
      ...Array.from({ length: 13 }, (_, n) => `night-${String(n + 1).padStart(4, '0')}`),
    ])
    expect(report.filter(({ outcome }) => outcome === 'removed')).toHaveLength(7)
    expect((await env.BLOBS.list({ prefix: 'exports/night-0014/' })).objects).toEqual([])
  })

  it('are of 14 days, of each the newest, however many there were in a day', async () => {
    vi.mocked(Date.now).mockReturnValue(Date.parse('2026-11-23T23:30:00Z'))
    await mark('hosted/a')
    await nights(20)
    for (let hour = 1; hour <= 20; hour++) {
      const [last] = await exportsOf().list()
      const index = await indexNamed(last?.id ?? '')
      const at = Date.parse('2026-11-23T00:00:00Z') + hour * HOUR
      await env.BLOBS.put(
        `exports/hour-${String(hour).padStart(4, '0')}/index.json`,
        JSON.stringify({ ...index, id: `hour-${String(hour).padStart(4, '0')}`, at, parts: [] }),
      )
    }
    const { result } = await run({ ...full, now: Date.now }, { isNightly: true })
    expect(await ids()).toEqual([
      result?.['export'],
      ...Array.from({ length: 13 }, (_, n) => `night-${String(n + 1).padStart(4, '0')}`),
    ])
  })

  it('are all, when somebody ordered this one', async () => {
    await nights(20)
    await run(full)
    expect(await ids()).toHaveLength(21)
  })

  it.each([
    {
      name: 'a ledger knows nothing',
      given: { ...full, dump: async () => ({ rows: [], next: undefined }) },
    },
    { name: 'the accounts are gone', given: {} },
    {
      name: 'a ledger cannot be read',
      given: { ...full, dump: () => Promise.reject(new Error('away')) },
    },
    { name: 'most manifests are gone', given: full, before: { manifests: 10 } },
  ])(
    'are a hundred, while $name: state may have been lost',
    async ({ name, given, before = {} }) => {
      await mark('hosted/a')
      await nights(20, before)
      const { result } = await run(given, { isNightly: true })
      expect(await ids()).toHaveLength(21)
      expect(result?.['empty']).toBe(name === 'a ledger knows nothing' ? 1 : undefined)
      // In the next night too, when the newest is as poor.
      clock.advance(DAY)
      await run(given, { isNightly: true })
      expect((await ids()).length).toBeGreaterThan(20)
    },
  )

  it('are none that were never completed, after a day; and none of a newer release is touched', async () => {
    await exportsOf().putPart('left-over', 0, new Uint8Array(3))
    await env.BLOBS.put(
      'exports/of-the-future/index.json',
      '{"format":"entrepot-export","version":9}',
    )
    await run(full, { isNightly: true })
    expect((await env.BLOBS.list({ prefix: 'exports/left-over/' })).objects).toHaveLength(1)
    // R2 stamps what it takes with its own time.
    clock.advance(DAY + 10 * MINUTE)
    await run(full, { isNightly: true })
    expect((await env.BLOBS.list({ prefix: 'exports/left-over/' })).objects).toEqual([])
    expect((await env.BLOBS.list({ prefix: 'exports/of-the-future/' })).objects).toHaveLength(1)
  })
})

it('an order says what it may, and no more', async () => {
  const services = servicesWith()
  expect(() => services.jobs.parse('export', { to: 'x' })).toThrow('{ kind, nightly }')
  expect(() => services.jobs.parse('export', { nightly: 'yes' })).toThrow('true or false')
  expect(services.jobs.parse('export', {})).toEqual(exportOrder(false))
  expect(services.jobs.parse('export', { nightly: true })).toEqual(exportOrder(true))
  expect(() => services.jobs.parse('restore', {})).toThrow('expected the id of an export')
  expect(() => services.jobs.parse('restore', { export: '../x' })).toThrow('the id of an export')
  expect(() => services.jobs.parse('restore', { export: '20261123-abc', now: 1 })).toThrow('{ kind')
})

/** The methods of exports, as members. */
function viaOf(exports: Exports): ExportGiven['exports'] {
  return {
    putPart: (...given) => exports.putPart(...given),
    putIndex: (index) => exports.putIndex(index),
    delete: (id) => exports.delete(id),
    list: () => exports.list(),
    prune: (...given) => exports.prune(...given),
  }
}
