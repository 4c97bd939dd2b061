// State that release 0.1.0 has really written (test/releases), opened by this one: what was pushed is served and can be
// deleted, an upload goes on, accounts log in, switches and counters stand. What a newer release has written is refused.

import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DumpPage } from '../../src/hosted/inventory.ts'
import release from '../releases/0.1.0.json?raw'
import { loadState } from '../releases/state.ts'
import type { State } from '../releases/state.ts'
import { authority, basic } from '../support/accounts.ts'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { DAY, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OCI_INDEX, OPEN, noise, startHosted } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'

const RELEASE = JSON.parse(release) as State
const { facts } = RELEASE

let clock: Clock
let registry: HostedRegistry

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  await loadState(RELEASE)
  registry = startHosted(OPEN)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** The status of a GET, and the digest of what came. */
async function pulled(path: string): Promise<string> {
  const answer = await registry.get(`/v2/${path}`)
  await answer.arrayBuffer()
  return `${answer.status} ${answer.headers.get('docker-content-digest') ?? ''}`
}

/** Digests of what a manifest names. */
async function named(path: string): Promise<readonly string[]> {
  const answer = await registry.get(`/v2/${path}`)
  const { config, layers } = await answer.json<{
    readonly config: { readonly digest: string }
    readonly layers: readonly { readonly digest: string }[]
  }>()
  return [config, ...layers].map(({ digest }) => digest)
}

/** The version that an object has, of its tables or its keys. */
function versionOf(stub: DurableObjectStub): Promise<unknown> {
  return runInDurableObject(stub, (_, { storage }) => {
    const tables = storage.sql
      .exec(`SELECT name FROM sqlite_master WHERE name = 'schema'`)
      .toArray()
    if (tables.length === 0) return storage.kv.get('~schema')
    return storage.sql.exec('SELECT version FROM schema').one()['version']
  })
}

/** What a call of an object is refused with. */
function refusedBy(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'it was answered',
    (error: unknown) => String(error),
  )
}

describe('a hosted repository', () => {
  it('has its tags, manifests by tag and digest, and blobs', async () => {
    const tags = await registry.get('/v2/hosted/app/tags/list')
    expect(await tags.json()).toEqual({
      name: 'hosted/app',
      tags: ['latest', 'multi', 'v1', 'v2'],
    })
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${facts['one']}`)
    expect(await pulled('hosted/app/manifests/latest')).toBe(`200 ${facts['two']}`)
    expect(await pulled(`hosted/app/manifests/${facts['index']}`)).toBe(`200 ${facts['index']}`)
    for (const digest of await named('hosted/app/manifests/v1')) {
      expect(await pulled(`hosted/app/blobs/${digest}`)).toBe(`200 ${digest}`)
    }
    expect(await versionOf(env.HOSTED_LEDGER.getByName('hosted/app'))).toBe(3)
  })

  it('lists referrers, and not what was deleted', async () => {
    const answer = await registry.get(`/v2/hosted/app/referrers/${facts['one']}`)
    const { manifests } = await answer.json<{ readonly manifests: readonly object[] }>()
    expect(manifests).toEqual([
      expect.objectContaining({
        digest: facts['signature'],
        artifactType: 'application/vnd.example.signature',
        annotations: { by: 'the release before' },
      }),
    ])
    expect(await pulled(`hosted/other/manifests/${facts['deleted']}`)).toBe('404 ')
  })

  it('is in the catalog and can be looked at', async () => {
    registry = startHosted({ ...OPEN, LOGIN_LIMIT: undefined })
    const authorization = basic('ci', facts['ci'])
    const catalog = await registry.get('/v2/_catalog', { authorization })
    expect(await catalog.json()).toEqual({
      repositories: ['budget.test/a/b', 'hosted/app', 'hosted/other', 'one.test/a/b'],
    })
    const stub = env.HOSTED_LEDGER.getByName('hosted/app')
    const name = 'hosted/app' as never
    expect(await stub.summary(name)).toMatchObject({ tags: 4, manifests: 4, pulls: [] })
    const { images } = await stub.images(name, undefined, 10)
    expect(new Set(images.map(({ digest }) => digest))).toEqual(
      new Set([facts['one'], facts['two'], facts['index'], facts['signature']]),
    )
  })

  it('takes pushes: a tag moves, a blob is mounted, an image is added', async () => {
    const image = await registry.pushImage('hosted/app', { seed: 9, reference: 'v1' })
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${image.digest}`)
    const [config = ''] = await named(`hosted/app/manifests/${facts['signature']}`)
    const mounted = await registry.send(
      'POST',
      `/v2/hosted/third/blobs/uploads/?mount=${config}&from=hosted/app`,
    )
    expect(mounted.status).toBe(201)
    expect(await pulled(`hosted/third/blobs/${config}`)).toBe(`200 ${config}`)
  })

  it('forgets what is deleted, and bytes go when the last repository has', async () => {
    const blobs = await named('hosted/app/manifests/v1')
    for (const [repository, digest] of [
      ['hosted/app', facts['index']],
      ['hosted/app', facts['one']],
    ]) {
      const answer = await registry.send('DELETE', `/v2/${repository}/manifests/${digest}`)
      expect(answer.status).toBe(202)
    }
    const holders = () => env.BLOB_CLAIMS.getByName(blobs[1] ?? '').holders()
    expect(await holders()).toEqual(['hosted/app', 'hosted/other'])
    clock.advance(DAY + MINUTE)
    await runDurableObjectAlarm(env.HOSTED_LEDGER.getByName('hosted/app'))
    expect(await holders()).toEqual(['hosted/other'])
    expect(await pulled(`hosted/app/blobs/${blobs[1]}`)).toBe('404 ')
    expect(await pulled(`hosted/other/blobs/${blobs[1]}`)).toBe(`200 ${blobs[1]}`)
    const deleted = await registry.send('DELETE', `/v2/hosted/other/manifests/${facts['one']}`)
    expect(deleted.status).toBe(202)
    clock.advance(DAY + MINUTE)
    await runDurableObjectAlarm(env.HOSTED_LEDGER.getByName('hosted/other'))
    const before = await env.BLOBS.list({ prefix: 'hosted/content/' })
    clock.advance(DAY + MINUTE)
    await runDurableObjectAlarm(env.BLOB_CLAIMS.getByName(blobs[1] ?? ''))
    const after = await env.BLOBS.list({ prefix: 'hosted/content/' })
    expect(after.objects.length).toBeLessThan(before.objects.length)
  })

  it('an index is served with its type', async () => {
    const answer = await registry.head('/v2/hosted/app/manifests/multi')
    expect(answer.headers.get('content-type')).toBe(OCI_INDEX)
  })

  it('an upload goes on where it was, and becomes a blob', async () => {
    const { bytes, digest } = await noise(3000, { seed: 6 })
    expect(digest).toBe(facts['half'])
    const status = await registry.get(facts['location'] ?? '')
    expect(status.headers.get('range')).toBe('0-1199')
    const patched = await registry.patch(facts['location'] ?? '', bytes.slice(1200), 1200)
    expect(patched.status).toBe(202)
    const closed = await registry.close(facts['location'] ?? '', digest)
    expect(closed.status).toBe(201)
    expect(await bytesOf(await registry.get(`/v2/hosted/app/blobs/${digest}`))).toEqual(bytes)
  })
})

describe('the one object', () => {
  const CLOSED = { ...OPEN, ANONYMOUS: [], LOGIN_LIMIT: undefined, TOKEN_LIMIT: undefined }

  it('accounts log in, and one that was revoked does not', async () => {
    registry = startHosted(CLOSED)
    const as = async (name: string) => {
      const headers = { authorization: basic(name, facts[name]) }
      return (await registry.get('/v2/hosted/app/manifests/v1', headers)).status
    }
    expect(await as('ci')).toBe(200)
    expect(await as('gone')).toBe(401)
    const audit = await registry.get('/_/api/audit', {
      authorization: basic('root', facts['root']),
    })
    const { audit: entries } = await audit.json<{ readonly audit: readonly object[] }>()
    expect(entries).toContainEqual(
      expect.objectContaining({ by: 'root', what: 'revoke', name: 'gone' }),
    )
  })

  it('signs with the key that it had, and keeps what was switched', async () => {
    const stored = RELEASE.objects.find(({ binding }) => binding === 'AUTHORITY')
    const { key, issuer, switches, accounts } = await authority().snapshot()
    const kept = Object.fromEntries(stored?.keys ?? [])
    expect(kept).toMatchObject({ issuer, 'current-key': { kid: key.kid } })
    expect(switches).toMatchObject({ readOnly: false, noRedirect: true, paused: ['two.test'] })
    expect(accounts.map(({ name }) => name)).toEqual(['ci', 'nodes', 'root'])
  })

  it('only reading it leaves no trace of a version, a change does', async () => {
    await authority().list()
    expect(await versionOf(authority())).toBeUndefined()
    await authority().revoke('ci', 'root')
    expect(await versionOf(authority())).toBe(1)
  })

  it('counts on from where it was', async () => {
    const stored = RELEASE.objects.find(({ binding }) => binding === 'METER')
    const [, totals] = stored?.keys.find(([key]) => key === 'totals') ?? []
    const { series } = totals as { readonly series: Readonly<Record<string, number>> }
    const now = await env.METER.getByName('meter').scrape({ isolate: 'test', batches: [] })
    expect(Object.keys(series).length).toBeGreaterThan(3)
    expect(now.series).toEqual(series)
  })
})

describe('state of a newer release', () => {
  const newer = (stub: DurableObjectStub, table?: string) =>
    runInDurableObject(stub, (_, { storage }) => {
      if (table === undefined) return storage.kv.put('~schema', 99)
      storage.sql.exec('CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)')
      storage.sql.exec('DELETE FROM schema')
      storage.sql.exec('INSERT INTO schema (version) VALUES (99)')
    })
  const rows = (stub: DurableObjectStub) =>
    runInDurableObject(stub, (_, { storage }) => {
      const tables = storage.sql
        .exec(`SELECT name FROM sqlite_master WHERE type = 'table'`)
        .toArray()
      return JSON.stringify([tables, Array.from(storage.kv.list())])
    })

  it.each([
    { of: 'HOSTED_LEDGER', name: 'hosted/app', path: '/v2/hosted/app/manifests/v1' },
    { of: 'UPLOAD_SESSION', name: '', path: facts['location'] ?? '' },
    { of: 'AUTHORITY', name: 'authority', path: '/_/api/accounts' },
  ] as const)('of a $of is refused with 503, and left as it is', async ({ of, name, path }) => {
    const session = new URL(facts['location'] ?? '', 'https://x.test').pathname.split('/').at(-1)
    const stub = env[of].getByName(name === '' ? `hosted/app ${session}` : name)
    await newer(stub, of === 'AUTHORITY' ? undefined : 'schema')
    const before = await rows(stub)
    const isAuthority = of === 'AUTHORITY'
    if (isAuthority) registry = startHosted({ ...OPEN, ANONYMOUS: [] })
    const answer = await registry.get(
      path,
      isAuthority ? { authorization: basic('root', 'x') } : {},
    )
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
    await registry.settle()
    expect(JSON.stringify(registry.lines())).toContain('a newer release has written it')
    expect(await rows(stub)).toBe(before)
  })

  it('of claims is refused: their bytes are not touched', async () => {
    const [config = ''] = await named('hosted/app/manifests/v1')
    const stub = env.BLOB_CLAIMS.getByName(config)
    await newer(stub, 'contents')
    const before = await env.BLOBS.list({ prefix: 'hosted/content/' })
    clock.advance(3 * DAY)
    await runDurableObjectAlarm(stub)
    expect(await refusedBy(stub.holders())).toContain('a newer release')
    expect((await env.BLOBS.list({ prefix: 'hosted/content/' })).objects.length).toBe(
      before.objects.length,
    )
  })

  it('of the meter and of a job is refused', async () => {
    const meter = env.METER.getByName('meter')
    await newer(meter)
    expect(await refusedBy(meter.hours())).toContain('a newer release')
    const job = env.JOB.getByName('export-1-12345678')
    await newer(job)
    expect(await refusedBy(job.status())).toContain('a newer release')
    await runDurableObjectAlarm(job)
    expect(await versionOf(job)).toBe(99)
  })
})

it('an object that is only asked has no table and no key', async () => {
  const name = 'hosted/nobody' as never
  const ledger = env.HOSTED_LEDGER.getByName('hosted/nobody')
  const digest = `sha256:${'0'.repeat(64)}` as never
  expect(await ledger.summary(name)).toBeUndefined()
  await ledger.read(name, { at: clock.now(), pulls: 3, digests: [digest] })
  expect(await ledger.images(name, undefined, 10)).toEqual({ images: [], next: undefined })
  // What may be a member of a descriptor is unknown, so RPC has no type for it.
  const dumped: Promise<DumpPage> = ledger.dump(name, undefined)
  expect(await dumped).toEqual({ rows: [], next: undefined })
  await ledger.endRestore(name, 'an-export')
  const found = await runInDurableObject(ledger, async (_, { storage }) => [
    ...storage.sql.exec(`SELECT name FROM sqlite_master WHERE name NOT LIKE '$_cf$_%' ESCAPE '$'`),
    ...storage.kv.list(),
    await storage.getAlarm(),
  ])
  expect(found).toEqual([null])
})
