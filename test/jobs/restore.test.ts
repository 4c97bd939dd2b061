// What an export brings back after objects have really lost their state: everything that was hosted can be pulled, by
// the same accounts, and pushed to, deleted and collected as ever. What is there already stays as it is.

import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DumpPage } from '../../src/hosted/inventory.ts'
import { hostedManifestKey } from '../../src/storage/keys.ts'
import { add, authority, basic, granting } from '../support/accounts.ts'
import { DAY, HOUR, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OCI_INDEX, OPEN, contentOf, descriptorOf, encode } from '../support/hosted-registry.ts'
import { indexOf, noise, startHosted } from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { runJob } from '../support/job-run.ts'
import { loseState } from '../support/lost-state.ts'
import { repository } from '../support/parsed.ts'

const CLOSED = { ...OPEN, ANONYMOUS: [], LOGIN_LIMIT: undefined, TOKEN_LIMIT: undefined }
const APP = repository('hosted/app')

let clock: Clock
let registry: HostedRegistry
let one: Content
let two: Content
let index: Content
let signature: Content
let untagged: Content

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  registry = startHosted(OPEN)
  one = await registry.pushImage('hosted/app', { seed: 1, reference: 'v1' })
  two = await registry.pushImage('hosted/app', { seed: 2, reference: 'v2' })
  untagged = await registry.pushImage('hosted/app', { seed: 3 })
  index = await contentOf(encode(indexOf([descriptorOf(one), descriptorOf(two)])))
  await registry.putManifest('/v2/hosted/app/manifests/multi', index.bytes, OCI_INDEX)
  signature = await registry.pushImage('hosted/app', {
    seed: 4,
    subject: descriptorOf(one),
    artifactType: 'application/vnd.example.signature',
    annotations: { 'org.example.by': 'a test, with ü' },
  })
  // The blobs of one are shared.
  await registry.pushImage('hosted/team/other', { seed: 1, reference: 'same' })
  await registry.settle()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Writes an export; its id. */
async function exported(): Promise<string> {
  const { status } = await runJob('export', {})
  expect(status).toMatchObject({ state: 'done', result: { repositories: 2 } })
  return String(status.result['export'])
}

async function restored(id: string, options: Parameters<typeof runJob>[2] = {}) {
  const job = await runJob('restore', { export: id }, options)
  // Another isolate knows nothing of what was.
  registry = startHosted(OPEN)
  return job
}

async function pulled(path: string, headers: Record<string, string> = {}): Promise<string> {
  const answer = await registry.get(`/v2/${path}`, headers)
  await answer.arrayBuffer()
  return `${answer.status} ${answer.headers.get('docker-content-digest') ?? ''}`
}

function blobsOf({ bytes }: Content): readonly string[] {
  const { config, layers } = JSON.parse(new TextDecoder().decode(bytes)) as {
    readonly config: { readonly digest: string }
    readonly layers: readonly { readonly digest: string }[]
  }
  return [config, ...layers].map(({ digest }) => digest)
}

/** Every row of a repository as an export has it. */
async function dumpOf(name: string): Promise<DumpPage['rows']> {
  const stub = env.HOSTED_LEDGER.getByName(name)
  const dumped: Promise<DumpPage> = stub.dump(repository(name), undefined)
  return (await dumped).rows
}

/** The same without what a restoration counts on. */
async function rowsOf(name: string): Promise<readonly object[]> {
  const rows = await dumpOf(name)
  return rows.map((row) => ('counter' in row ? { ...row, counter: 0 } : row))
}

async function ring(binding: 'HOSTED_LEDGER' | 'BLOB_CLAIMS', name: string): Promise<void> {
  await runDurableObjectAlarm(env[binding].getByName(name))
}

async function contents(): Promise<number> {
  return (await env.BLOBS.list({ prefix: 'hosted/content/' })).objects.length
}

describe('after the state of all objects is lost', () => {
  it('everything is there again as it was', async () => {
    const before = [await rowsOf('hosted/app'), await rowsOf('hosted/team/other')]
    const id = await exported()
    await loseState()
    expect(await pulled('hosted/app/manifests/v1')).toBe('404 ')
    const { status, report } = await restored(id)
    expect(status).toMatchObject({
      state: 'done',
      result: { export: id, repositories: 2, kept: 0, manifests: 6, tags: 4, missing: 0 },
    })
    expect(report).toContainEqual({ subject: 'hosted/app', outcome: 'restored' })
    expect([await rowsOf('hosted/app'), await rowsOf('hosted/team/other')]).toEqual(before)
    const tags = await registry.get('/v2/hosted/app/tags/list')
    expect(await tags.json()).toMatchObject({ tags: ['multi', 'v1', 'v2'] })
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${one.digest}`)
    expect(await pulled('hosted/app/manifests/multi')).toBe(`200 ${index.digest}`)
    for (const image of [one, two, untagged, signature]) {
      expect(await pulled(`hosted/app/manifests/${image.digest}`)).toBe(`200 ${image.digest}`)
      for (const blob of blobsOf(image)) {
        expect(await pulled(`hosted/app/blobs/${blob}`)).toBe(`200 ${blob}`)
      }
    }
    const referrers = await registry.get(`/v2/hosted/app/referrers/${one.digest}`)
    expect(await referrers.json()).toMatchObject({
      manifests: [
        {
          digest: signature.digest,
          artifactType: 'application/vnd.example.signature',
          annotations: { 'org.example.by': 'a test, with ü' },
        },
      ],
    })
  })

  it('accounts, capabilities, pins and switches are, and tokens are made anew', async () => {
    const ci = await add('account', 'ci', granting('hosted/**', 'pull', 'push'))
    const nodes = await add('capability', 'nodes', granting('hosted/**', 'pull'))
    await authority().setSwitches({ noRedirect: true, paused: ['two.test'] }, 'root')
    const image = 'docker.io/library/nginx:1.29'
    await authority().pin({ image, platforms: ['linux/amd64'] }, 'root')
    const before = await authority().snapshot()
    const id = await exported()
    await loseState()
    expect((await authority().snapshot()).accounts).toEqual([])
    const { status } = await restored(id)
    expect(status.result).toMatchObject({ accounts: 2, pins: 1 })
    const after = await authority().snapshot()
    expect(after.accounts).toEqual(before.accounts)
    expect(after.switches).toEqual(before.switches)
    expect(await authority().pins()).toMatchObject([{ image, by: 'root' }])
    // The keys were not in the export.
    expect(after.key.kid).not.toBe(before.key.kid)
    registry = startHosted(CLOSED)
    const login = await registry.get('/token?scope=repository:hosted/app:pull', {
      authorization: basic('ci', ci),
    })
    const { token } = await login.json<{ readonly token: string }>()
    const authorization = `Bearer ${token}`
    expect(await pulled('hosted/app/manifests/v1', { authorization })).toBe(`200 ${one.digest}`)
    expect((await registry.get(`/t/${nodes}/v2/hosted/app/manifests/v1`)).status).toBe(200)
    expect(JSON.stringify(await exportText(id))).not.toContain(before.key.privateJWK['d'])
  })

  it('images are pushed as ever, and bytes are collected when nobody claims them', async () => {
    const id = await exported()
    await loseState()
    await restored(id)
    const [config = ''] = blobsOf(one)
    const holders = () => env.BLOB_CLAIMS.getByName(config).holders()
    expect(await holders()).toEqual(['hosted/app', 'hosted/team/other'])
    // The same image once more: nothing is uploaded twice for good.
    const before = await contents()
    await registry.pushImage('hosted/app', { seed: 1, reference: 'v3' })
    await registry.settle()
    expect(await contents()).toBe(before)
    // One of two repositories lets go of it: the blob stays.
    for (const digest of [index.digest, one.digest]) {
      const deleted = await registry.send('DELETE', `/v2/hosted/app/manifests/${digest}`)
      expect(deleted.status).toBe(202)
    }
    clock.advance(DAY + MINUTE)
    await ring('HOSTED_LEDGER', 'hosted/app')
    expect(await holders()).toEqual(['hosted/team/other'])
    expect(await pulled(`hosted/app/blobs/${config}`)).toBe('404 ')
    expect(await pulled(`hosted/team/other/blobs/${config}`)).toBe(`200 ${config}`)
    clock.advance(2 * DAY)
    await ring('BLOB_CLAIMS', config)
    expect(await pulled(`hosted/team/other/blobs/${config}`)).toBe(`200 ${config}`)
    // The other lets go too: after two grace periods the bytes are gone.
    await registry.send('DELETE', `/v2/hosted/team/other/manifests/${one.digest}`)
    clock.advance(DAY + MINUTE)
    await ring('HOSTED_LEDGER', 'hosted/team/other')
    expect(await contents()).toBe(before)
    clock.advance(DAY + MINUTE)
    await ring('BLOB_CLAIMS', config)
    expect(await contents()).toBe(before - 1)
    expect(await pulled(`hosted/team/other/blobs/${config}`)).toBe('404 ')
  })

  it('a blob that no manifest names is kept for another day, and then dropped', async () => {
    const lone = await noise(500, { seed: 9 })
    await registry.pushBlob('hosted/app', lone)
    const id = await exported()
    await loseState()
    clock.advance(10 * DAY)
    await restored(id)
    await ring('HOSTED_LEDGER', 'hosted/app')
    expect(await pulled(`hosted/app/blobs/${lone.digest}`)).toBe(`200 ${lone.digest}`)
    clock.advance(DAY + MINUTE)
    await ring('HOSTED_LEDGER', 'hosted/app')
    expect(await pulled(`hosted/app/blobs/${lone.digest}`)).toBe('404 ')
    const [config = ''] = blobsOf(one)
    expect(await pulled(`hosted/app/blobs/${config}`)).toBe(`200 ${config}`)
  })

  it('markers that were lost with them are made anew', async () => {
    const id = await exported()
    await loseState()
    await env.BLOBS.delete([
      'repositories/hosted/hosted/app',
      'repositories/hosted/hosted/team/other',
    ])
    await restored(id)
    const { objects } = await env.BLOBS.list({ prefix: 'repositories/hosted/' })
    expect(objects.map(({ key }) => key)).toEqual([
      'repositories/hosted/hosted/app',
      'repositories/hosted/hosted/team/other',
    ])
  })

  it('reads and pulls are known again', async () => {
    const ledger = env.HOSTED_LEDGER.getByName('hosted/app')
    await ledger.read(APP, { at: clock.now(), pulls: 7, digests: [one.digest] })
    const before = await ledger.summary(APP)
    expect(before).toMatchObject({ lastPull: clock.now(), pulls: [{ pulls: 7 }] })
    const id = await exported()
    await loseState()
    await restored(id)
    expect(await env.HOSTED_LEDGER.getByName('hosted/app').summary(APP)).toEqual(before)
  })
})

describe('what is not there', () => {
  it('a blob or a manifest whose bytes are gone stays out, and is told', async () => {
    const id = await exported()
    const [lostBlob = ''] = blobsOf(two)
    const rows = await dumpOf('hosted/app')
    const row = rows.find((each) => each.kind === 'blob' && each.digest === lostBlob)
    const content = row?.kind === 'blob' ? row.content : expect.fail('it is not exported')
    await loseState()
    await env.BLOBS.delete([`hosted/content/${content}`, hostedManifestKey(APP, untagged.digest)])
    // Another size is other content.
    await env.BLOBS.put(hostedManifestKey(APP, one.digest), 'short')
    const { status, report } = await restored(id)
    expect(status).toMatchObject({ state: 'done', result: { missing: 4, blobs: 9, manifests: 4 } })
    const missing = report.filter(({ outcome }) => outcome === 'missing')
    expect(new Set(missing.map(({ subject }) => subject))).toEqual(
      new Set([
        `hosted/app@${lostBlob}`,
        `hosted/app@${untagged.digest}`,
        `hosted/app@${one.digest}`,
        'hosted/app:v1',
      ]),
    )
    expect(await pulled(`hosted/app/blobs/${lostBlob}`)).toBe('404 ')
    expect(await pulled(`hosted/app/manifests/${untagged.digest}`)).toBe('404 ')
    expect(await pulled('hosted/app/manifests/v1')).toBe('404 ')
    expect(await pulled('hosted/app/manifests/v2')).toBe(`200 ${two.digest}`)
    expect(await pulled('hosted/team/other/manifests/same')).toBe(`200 ${one.digest}`)
    // It can be pushed again.
    await registry.pushImage('hosted/app', { seed: 2, reference: 'v2' })
    expect(await pulled(`hosted/app/blobs/${lostBlob}`)).toBe(`200 ${lostBlob}`)
  })

  it('a blob whose bytes another repository knows elsewhere is found there', async () => {
    // The ledger of hosted/app still names bytes that were lost, and pushed again to the other one.
    const [config = ''] = blobsOf(one)
    const stale = (
      await env.HOSTED_LEDGER.getByName('hosted/app').blob(APP, config as never, false)
    )?.id
    await env.BLOBS.delete(`hosted/content/${stale}`)
    await registry.send('DELETE', `/v2/hosted/team/other/blobs/${config}`)
    await registry.pushImage('hosted/team/other', { seed: 1, reference: 'same' })
    await registry.settle()
    const id = await exported()
    await loseState()
    const { status } = await restored(id)
    expect(status.result).toMatchObject({ missing: 0 })
    expect(await pulled(`hosted/app/blobs/${config}`)).toBe(`200 ${config}`)
  })

  it.each([
    {
      name: 'no export',
      change: async () => undefined,
      id: 'nothing-of-that-name',
      why: 'there is no export',
    },
    {
      name: 'a part that is gone',
      change: async (id: string) => env.BLOBS.delete(`exports/${id}/000000.ndjson`),
      why: 'part 0 of export',
    },
    {
      name: 'a part with other bytes',
      change: async (id: string) => {
        const object = await env.BLOBS.get(`exports/${id}/000000.ndjson`)
        const text = (await object?.text()) ?? ''
        await env.BLOBS.put(`exports/${id}/000000.ndjson`, text.replace('"v1"', '"v9"'))
      },
      why: 'another SHA-256',
    },
    {
      name: 'a part that was cut',
      change: async (id: string) => {
        const object = await env.BLOBS.get(`exports/${id}/000000.ndjson`)
        const bytes = (await object?.bytes()) ?? new Uint8Array()
        await env.BLOBS.put(`exports/${id}/000000.ndjson`, bytes.slice(0, 100))
      },
      why: 'and here are 100',
    },
    {
      name: 'an index of a newer release',
      change: async (id: string) => {
        const text = await (await env.BLOBS.get(`exports/${id}/index.json`))?.text()
        await env.BLOBS.put(
          `exports/${id}/index.json`,
          String(text).replace('"version":1', '"version":2'),
        )
      },
      why: 'a newer release',
    },
    {
      name: 'something else in the place of the index',
      change: async (id: string) => env.BLOBS.put(`exports/${id}/index.json`, '{"format":"tar"}'),
      why: 'no index of an export',
    },
  ])('$name: nothing is restored, and the job says why', async ({ change, id: other, why }) => {
    const id = await exported()
    await loseState()
    await change(id)
    const { status } = await restored(other ?? id)
    expect(status).toMatchObject({ state: 'failed' })
    expect(status.note).toContain(why)
    expect((await registry.get('/v2/hosted/app/tags/list')).status).toBe(404)
  })
})

it('a part that is damaged keeps those before it from being restored', async () => {
  // Accounts are in a part before that of the repositories.
  await add('account', 'ci', granting('**', 'pull'))
  const id = await exported()
  await loseState()
  await env.BLOBS.put(`exports/${id}/000001.ndjson`, 'other')
  const { status } = await restored(id)
  expect(status).toMatchObject({ state: 'failed', note: expect.stringContaining('part 1') })
  expect((await authority().snapshot()).accounts).toEqual([])
})

describe('what is there already', () => {
  it('a repository with content is kept, an account with the name too', async () => {
    const ci = await add('account', 'ci', granting('**', 'pull'))
    const id = await exported()
    await loseState(['HOSTED_LEDGER', 'AUTHORITY'])
    const other = await registry.pushImage('hosted/app', { seed: 7, reference: 'v1' })
    const newer = await add('account', 'ci', granting('hosted/**', 'push'))
    await authority().setSwitches({ readOnly: true }, 'root')
    const { status, report } = await restored(id)
    expect(status.result).toMatchObject({ repositories: 1, kept: 1, accounts: 0 })
    expect(report).toContainEqual(
      expect.objectContaining({ subject: 'hosted/app', outcome: 'kept' }),
    )
    expect(report).toContainEqual(
      expect.objectContaining({ subject: 'account ci', outcome: 'kept' }),
    )
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${other.digest}`)
    expect(await pulled('hosted/app/manifests/v2')).toBe('404 ')
    expect(await pulled('hosted/team/other/manifests/same')).toBe(`200 ${one.digest}`)
    const { accounts, switches } = await authority().snapshot()
    expect(accounts).toMatchObject([{ name: 'ci', grants: [{ repositories: ['hosted/**'] }] }])
    expect(switches.readOnly).toBe(true)
    expect(newer).not.toBe(ci)
  })

  it('nothing is lost where nothing was lost: twice restored is once restored', async () => {
    const before = await rowsOf('hosted/app')
    const id = await exported()
    const { status } = await restored(id)
    expect(status.result).toMatchObject({ repositories: 0, kept: 2 })
    expect(await rowsOf('hosted/app')).toEqual(before)
    await loseState()
    await restored(id)
    const again = await restored(id)
    expect(again.status.result).toMatchObject({ repositories: 0, kept: 2 })
    expect(await rowsOf('hosted/app')).toEqual(before)
  })

  it('with claims that were not lost, it counts on from them', async () => {
    const id = await exported()
    await loseState(['HOSTED_LEDGER'])
    await restored(id)
    const [config = ''] = blobsOf(untagged)
    await registry.send('DELETE', `/v2/hosted/app/manifests/${untagged.digest}`)
    clock.advance(DAY + MINUTE)
    await ring('HOSTED_LEDGER', 'hosted/app')
    expect(await env.BLOB_CLAIMS.getByName(config).holders()).toEqual([])
  })

  it('what is pushed while it runs stands, and one that failed half-way goes on', async () => {
    const id = await exported()
    await loseState()
    // As far as the first rows: the ledger is being restored.
    const half = await runJob('restore', { export: id }, { steps: 2 })
    expect(half.status.state).toBe('running')
    const rows = await dumpOf('hosted/app')
    expect(rows.length).toBeGreaterThan(0)
    await runInDurableObject(env.HOSTED_LEDGER.getByName('hosted/app'), (_, { storage }) => {
      // A step that died before its tags.
      storage.sql.exec('DELETE FROM tags')
    })
    const pushed = await registry.pushImage('hosted/app', { seed: 8, reference: 'v1' })
    const { status } = await restored(id)
    expect(status.result).toMatchObject({ repositories: 2, kept: 0 })
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${pushed.digest}`)
    expect(await pulled('hosted/app/manifests/v2')).toBe(`200 ${two.digest}`)
    // Now it is like any other.
    expect((await restored(id)).status.result).toMatchObject({ kept: 2 })
  })

  it('an object that is away is tried again', async () => {
    const id = await exported()
    await loseState()
    let calls = 0
    const away = {
      getByName: (name: string) => {
        calls += 1
        if (calls === 1) throw new Error('the object is away')
        return env.HOSTED_LEDGER.getByName(name)
      },
    }
    const options = { settings: { HOSTED_LEDGER: away } }
    const first = await restored(id, options)
    expect(first.status).toMatchObject({ state: 'waiting', note: 'the object is away' })
    clock.advance(HOUR)
    const { status } = await restored(id, { ...options, id: first.id })
    expect(status).toMatchObject({ state: 'done', result: { repositories: 2 } })
    expect(await pulled('hosted/app/manifests/v1')).toBe(`200 ${one.digest}`)
  })
})

/** An export as it lies in R2. */
async function exportText(id: string): Promise<string> {
  const { objects } = await env.BLOBS.list({ prefix: `exports/${id}/` })
  const texts = objects.map(async ({ key }) => (await env.BLOBS.get(key))?.text())
  return (await Promise.all(texts)).join('')
}
