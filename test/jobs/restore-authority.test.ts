// Accounts, pins and switches of an export that was damaged or made up: what the API would refuse is left out by itself
// and reported, and everything else comes back.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ExportError, indexOf, parseIndex, parseLines, sha256 } from '../../src/jobs/export-file.ts'
import type { ExportIndex } from '../../src/jobs/export-file.ts'
import { Exports } from '../../src/jobs/exports.ts'
import { accounts, add, authority, basic, granting } from '../support/accounts.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import { runJob } from '../support/job-run.ts'
import { loseState } from '../support/lost-state.ts'

const ID = 'made-up-0001'
const GOOD = {
  name: 'ci',
  kind: 'account',
  secretHash: 'a'.repeat(64),
  grants: [granting('hosted/**', 'pull')],
  version: 'x',
  createdAt: 1,
}
const PIN = { image: 'docker.io/library/nginx:1.29', by: 'root', at: 1 }
const COUNTS = {
  repositories: 0,
  tags: 0,
  manifests: 0,
  blobs: 0,
  accounts: 1,
  pins: 0,
  empty: 0,
}

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** An export with these lines, as somebody could bring it. */
async function made(lines: readonly object[]): Promise<string> {
  const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const exports = new Exports(env.BLOBS)
  await exports.putPart(ID, 0, bytes)
  const part = { sha256: await sha256(bytes), bytes: bytes.byteLength, lines: lines.length }
  await exports.putIndex(
    indexOf({ id: ID, at: Date.now(), isNightly: false, counts: COUNTS, parts: [part] }),
  )
  return ID
}

async function restored(
  lines: readonly object[],
  settings: Readonly<Record<string, unknown>> = {},
) {
  return runJob('restore', { export: await made(lines) }, { settings })
}

describe('accounts', () => {
  it('that are none are reported, the others come back, and the list answers', async () => {
    const { status, report } = await restored([
      { kind: 'account', account: { ...GOOD, name: 'late', createdAt: 8.64e15 + 1 } },
      { kind: 'account', account: { ...GOOD, name: 7 } },
      { kind: 'account', account: { ...GOOD, name: 'bent', grants: 'all' } },
      { kind: 'account', account: {} },
      { kind: 'account', account: GOOD },
    ])
    expect(status).toMatchObject({ state: 'done', result: { accounts: 1 } })
    const failed = report.filter(({ outcome }) => outcome === 'failed')
    expect(failed.map(({ subject }) => subject)).toEqual([
      'account late',
      'account without a name',
      'account bent',
      'account without a name',
    ])
    expect(failed.every(({ note }) => note !== undefined && note !== '')).toBe(true)
    expect((await authority().snapshot()).accounts).toEqual([GOOD])
    const settings = await accounts({ root: [granting('**', 'admin')] })
    const registry = startHosted({ ...OPEN, ...settings })
    const list = await registry.get('/_/api/accounts', { authorization: basic('root') })
    expect(list.status).toBe(200)
    expect(await list.json()).toMatchObject({ accounts: [{ name: 'root' }, { name: 'ci' }] })
  })

  it('of the configuration stay out', async () => {
    const lines = [
      { kind: 'account', account: { ...GOOD, name: 'root' } },
      { kind: 'account', account: GOOD },
    ]
    const { report } = await restored(lines, await accounts({ root: [granting('**', 'admin')] }))
    expect(report).toEqual([
      { subject: 'account ci', outcome: 'restored' },
      { subject: 'account root', outcome: 'kept', note: 'it stands in ACCOUNTS' },
    ])
    expect((await authority().list()).map(({ name }) => name)).toEqual(['ci'])
  })

  it('that were revoked since stay revoked; where the object was lost they come back', async () => {
    await add('account', 'leaked', granting('**', 'pull'))
    await add('account', 'other', granting('**', 'pull'))
    const { status } = await runJob('export', {})
    const order = { export: String(status.result['export']) }
    await authority().revoke('leaked', 'root')
    const { report } = await runJob('restore', order)
    expect(report).toEqual([
      { subject: 'account leaked', outcome: 'kept', note: 'revoked since' },
      { subject: 'account other', outcome: 'kept', note: 'there is one of that name' },
    ])
    expect((await authority().list()).map(({ name }) => name)).toEqual(['other'])
    await loseState(['AUTHORITY'])
    await runJob('restore', order)
    expect((await authority().list()).map(({ name }) => name)).toEqual(['leaked', 'other'])
  })

  it('come back in the name of whoever ordered it', async () => {
    await restored([{ kind: 'account', account: GOOD }])
    expect(await authority().audit()).toContainEqual(
      expect.objectContaining({ what: 'add', name: 'ci', by: 'root' }),
    )
  })
})

describe('pins', () => {
  it.each([
    { name: 'no image', pin: { ...PIN, image: 7 } },
    { name: 'a whole repository', pin: { ...PIN, image: 'docker.io/library/nginx' } },
    { name: 'what is hosted', pin: { ...PIN, image: 'hosted/app:v1' } },
    { name: 'an upstream that is not configured', pin: { ...PIN, image: 'gone.test/app:v1' } },
    { name: 'platforms that are none', pin: { ...PIN, platforms: ['linux'] } },
    { name: 'platforms that are no list', pin: { ...PIN, platforms: 'linux/amd64' } },
    { name: 'nobody', pin: { ...PIN, by: 7 } },
    { name: 'a time that no date has', pin: { ...PIN, at: 8.64e15 + 1 } },
  ])('with $name is reported, and the next comes back', async ({ pin }) => {
    const next = { ...PIN, image: 'docker.io/library/next:1', platforms: ['linux/amd64'] }
    const lines = [
      { kind: 'pin', pin },
      { kind: 'pin', pin: next },
    ]
    const { status, report } = await restored(lines, OPEN)
    expect(status).toMatchObject({ state: 'done', result: { pins: 1 } })
    expect(report).toMatchObject([
      { subject: expect.stringMatching(/^pin /), outcome: 'failed', note: expect.any(String) },
    ])
    expect(await authority().pins()).toEqual([next])
  })
})

describe('switches', () => {
  it('of hosts that are configured no more are dropped', async () => {
    const switches = { readOnly: true, paused: ['gone.test', 'docker.io'] }
    const { report } = await restored([{ kind: 'switches', switches }])
    expect(report).toEqual([{ subject: 'switches', outcome: 'restored' }])
    const { switches: after } = await authority().snapshot()
    expect(after).toMatchObject({ readOnly: true, noFills: false, paused: ['docker.io'] })
  })

  it.each([
    { name: 'a word', switches: { readOnly: 'no' } },
    { name: 'no list of hosts', switches: { readOnly: true, paused: 'docker.io' } },
    { name: 'a host that is a number', switches: { paused: [7] } },
    { name: 'an unknown one', switches: { readOnly: true, other: true } },
  ])('with $name are reported, and none is turned', async ({ switches }) => {
    const { status, report } = await restored([
      { kind: 'account', account: GOOD },
      { kind: 'switches', switches },
    ])
    expect(status).toMatchObject({ state: 'done', result: { accounts: 1 } })
    expect(report).toContainEqual(
      expect.objectContaining({ subject: 'switches', outcome: 'failed' }),
    )
    expect((await authority().dump()).switches).toBeUndefined()
  })
})

describe('an index', () => {
  const index: ExportIndex = indexOf({
    id: ID,
    at: 1,
    isNightly: false,
    counts: COUNTS,
    parts: [],
  })
  const read = (value: object) => parseIndex(new TextEncoder().encode(JSON.stringify(value)))

  it('is read as it was written', () => {
    expect(read(index)).toEqual(index)
    expect(read({ ...index, at: 8.64e15 })).toMatchObject({ at: 8.64e15 })
  })

  it.each([
    { name: 'a time that no date has', changed: { at: 8.64e15 + 1 } },
    { name: 'a negative time', changed: { at: -1 } },
    { name: 'counts that are none', changed: { counts: { ...COUNTS, tags: 'many' } } },
    { name: 'no counts', changed: { counts: {} } },
    { name: 'no word on the clock', changed: { isNightly: 1 } },
  ])('with $name is damaged, and keeps no list from being shown', async ({ changed }) => {
    expect(() => read({ ...index, ...changed })).toThrow(ExportError)
    await new Exports(env.BLOBS).putIndex({ ...index, ...changed } as never)
    const settings = await accounts({ root: [granting('**', 'admin')] })
    const registry = startHosted({ ...OPEN, ...settings })
    const list = await registry.get('/_/api/exports', { authorization: basic('root') })
    expect(list.status).toBe(200)
    expect(await list.json()).toEqual({ exports: [] })
  })
})

it.each([
  { kind: 'tag', tag: 'v1', digest: `sha256:${'a'.repeat(64)}`, pushedAt: 8.64e15 + 1 },
  { kind: 'read', digest: `sha256:${'a'.repeat(64)}`, at: 8.64e15 + 1 },
  { kind: 'pulls', day: 1e8 + 1, pulls: 1 },
])('a row of $kind with a time that no date has is damaged', (row) => {
  const bytes = new TextEncoder().encode(`${JSON.stringify(row)}\n`)
  expect(() => parseLines(bytes)).toThrow(ExportError)
})
