// Imports of repositories of another registry: which are chosen and where they go, how it is asked, who sees the
// credential, and what happens when it fails, limits or lies.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage } from '../../cli/sample-image.ts'
import type { RegistryOptions } from '../../cli/upstream-registry.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { OrderError } from '../../src/jobs/job.ts'
import { referrersTag } from '../../src/oci/referrers.ts'
import { SECOND, stopClock } from '../support/clock.ts'
import { digestAt, hosted, lines, orderOf, runImport } from '../support/import-job.ts'
import { asked, goOnline, startUpstream } from '../support/internet.ts'
import type { Host, Network } from '../support/network.ts'

const FROM = 'https://old.example'
const PASSWORD = 'canary-of-an-import'
const LOGIN = { username: 'mover', password: PASSWORD }

let upstream: SampleUpstream
let internet: Network

beforeEach(() => start({ catalog: true }))

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function start(options: RegistryOptions): void {
  vi.restoreAllMocks()
  vi.spyOn(console, 'log').mockReturnValue()
  upstream = startUpstream(options)
  internet = goOnline({ 'old.example': upstream })
}

/** An order for the repositories of the team. */
function order(repositories: readonly string[] = ['team/**'], more: object = {}): object {
  return { from: `${FROM}/`, repositories, to: 'hosted/team', ...more }
}

/** An image in a repository under a tag. */
async function add(repository: string, tag: string, seed = 1) {
  const image = await sampleImage({ seed, layers: [3000, 5000] })
  await addSample(upstream, repository, image, tag)
  return image
}

/** The upstream, but for one of its lists. */
function circling(list: RegExp, answer: () => Response): Host {
  return (input, init) => {
    const { pathname } = new URL(input)
    return list.test(pathname) ? Promise.resolve(answer()) : upstream.fetch(input, init)
  }
}

function blobGETs(): number {
  return upstream.count({ method: 'GET', kind: 'blob' })
}

describe('repositories', () => {
  it('are found in the catalog, and come with all their tags', async () => {
    const one = await add('team/app', '1.0')
    const two = await add('team/app', '2.0', 2)
    const three = await add('team/deep/er', 'x', 3)
    await add('other/app', '1.0', 4)
    const { status, report } = await runImport(order())
    expect(status).toMatchObject({
      state: 'done',
      title: 'https://old.example team/** -> hosted/team',
      progress: { done: 3, total: 3, unit: 'images' },
      result: { copied: 3, failed: 0 },
    })
    expect(lines(report)).toEqual([
      'copied hosted/team/app:1.0',
      'copied hosted/team/app:2.0',
      'copied hosted/team/deep/er:x',
    ])
    expect(await digestAt('hosted/team/app', '1.0')).toBe(one.digest)
    expect(await digestAt('hosted/team/app', '2.0')).toBe(two.digest)
    expect(await digestAt('hosted/team/deep/er', 'x')).toBe(three.digest)
    expect(await digestAt('hosted/team/app', one.digest)).toBe(one.digest)
  })

  it('are found on all pages of the catalog and of the tags', async () => {
    start({ catalog: true, pageSize: 2, absoluteLinks: true })
    const names = ['team/a', 'team/b', 'team/c', 'team/d', 'team/e']
    const tags = ['1', '2', '3', '4', '5']
    const image = await add('team/a', '1')
    for (const name of names) {
      for (const tag of tags) await addSample(upstream, name, image, tag)
    }
    const { status } = await runImport(order())
    expect(status).toMatchObject({ state: 'done', result: { copied: 25, failed: 0 } })
    expect(upstream.count({ kind: 'catalog' })).toBe(3)
    expect(await digestAt('hosted/team/e', '5')).toBe(image.digest)
    // One upload, and the rest are taken over from it once each repository was shown to have them.
    expect(blobGETs()).toBe(image.blobs.length * names.length)
    const blobs = image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const manifests = names.length * tags.length * image.bytes.length
    expect(status.result['bytes']).toBeLessThan(2 * blobs + manifests)
  })

  it('give each other no blob that they do not have at their source', async () => {
    const image = await add('team/a-secret', '1')
    await upstream.addManifest('team/evil', image.bytes, { mediaType: image.mediaType, tag: 'v1' })
    const { status, report } = await runImport(order())
    expect(status.result).toMatchObject({ copied: 1, failed: 1 })
    expect(lines(report)).toEqual(['copied hosted/team/a-secret:1', 'failed hosted/team/evil:v1'])
    for (const { digest } of image.blobs) {
      const held = await hosted('hosted/team/evil').blobs.get(digest, { wants: 'size' })
      expect(held.ok).toBe(false)
    }
    expect(await digestAt('hosted/team/evil', 'v1')).toBeUndefined()
  })

  it('are listed in no circle for ever', async () => {
    await add('team/app', '1')
    let pages = 0
    const answer = (): Response => {
      pages += 1
      return Response.json(
        { repositories: ['team/app'] },
        { headers: { Link: `</v2/_catalog?last=${pages}>; rel="next"` } },
      )
    }
    internet = goOnline({ 'old.example': circling(/\/_catalog/, answer) })
    const { status } = await runImport(order())
    expect(status).toMatchObject({
      state: 'failed',
      note: 'old.example: its list of repositories goes in a circle',
    })
    expect(pages).toBe(2)
  })

  it('whose tags are listed in a circle fail, and what was listed comes', async () => {
    await add('team/app', '1')
    let pages = 0
    const answer = (): Response => {
      pages += 1
      return Response.json(
        { name: 'team/app', tags: ['1'] },
        { headers: { Link: `</v2/team/app/tags/list?last=${pages}>; rel="next"` } },
      )
    }
    internet = goOnline({ 'old.example': circling(/\/tags\/list/, answer) })
    const { status, report } = await runImport(order(['team/app']))
    expect(status.result).toMatchObject({ copied: 1, failed: 1 })
    expect(report).toContainEqual({
      subject: 'team/app',
      outcome: 'failed',
      note: 'its list of tags goes in a circle',
    })
    expect(pages).toBe(2)
  })

  it('that are named need no catalog', async () => {
    start({})
    await add('team/app', '1.0')
    const { status } = await runImport(order(['team/app']))
    expect(status).toMatchObject({ state: 'done', result: { copied: 1 } })
    expect(upstream.count({ kind: 'catalog' })).toBe(0)
  })

  it.each([
    ['team/**', 'team/app/x', 'hosted/team/app/x'],
    ['team/app', 'team/app', 'hosted/team/app'],
    ['team/app-*', 'team/app-x', 'hosted/team/app-x'],
    ['te*/app', 'team/app', 'hosted/team/team/app'],
    ['**', 'team/app', 'hosted/team/team/app'],
    ['a/b/*/d', 'a/b/c/d', 'hosted/team/c/d'],
    ['app', 'app', 'hosted/team/app'],
  ])('by %s, %s goes to %s', async (pattern, source, target) => {
    const image = await add(source, '1')
    await runImport(order([pattern]))
    expect(await digestAt(target, '1')).toBe(image.digest)
  })

  it('never go to the same place', async () => {
    const first = await add('a/app', '1')
    await add('b/app', '1', 2)
    const { status, report } = await runImport(order(['a/*', 'b/*']))
    expect(status.result).toMatchObject({ copied: 1, failed: 1 })
    expect(report).toContainEqual({
      subject: 'b/app',
      outcome: 'failed',
      note: 'another repository goes to hosted/team/app',
    })
    expect(await digestAt('hosted/team/app', '1')).toBe(first.digest)
  })

  it('go nowhere that is not hosted', async () => {
    const settings = { HOSTED: ['hosted/team/a*'] }
    await add('team/app', '1')
    await add('team/bad', '1')
    const { report } = await runImport(order(), { settings })
    expect(lines(report)).toEqual(['copied hosted/team/app:1', 'failed team/bad'])
  })

  it('are there the second time, and no blob is asked for', async () => {
    await add('team/app', '1.0')
    await add('team/app', '2.0', 2)
    await runImport(order())
    upstream.forget()
    const { status } = await runImport(order())
    expect(status).toMatchObject({ state: 'done', result: { copied: 0, present: 2, bytes: 0 } })
    expect(blobGETs()).toBe(0)
  })

  it('come with referrers, whether or not the registry lists them', async () => {
    for (const referrersAPI of [true, false]) {
      start({ catalog: true, referrersAPI })
      const image = await add('team/app', '1.0')
      const sbom = await sampleArtifact({ subject: image.descriptor })
      await addSample(upstream, 'team/app', sbom)
      const index = {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [sbom.descriptor],
      }
      const tag = referrersTag(image.digest)
      if (!referrersAPI) {
        const bytes = new TextEncoder().encode(JSON.stringify(index))
        await upstream.addManifest('team/app', bytes, { tag, mediaType: index.mediaType })
      }
      const { status } = await runImport(order())
      expect(status.state).toBe('done')
      const page = { artifactTypes: [], last: undefined }
      const { items } = await hosted('hosted/team/app').referrers(image.digest, page)
      expect(items.map(({ digest }) => digest)).toEqual([sbom.digest])
      await reset()
    }
  })

  it('without tags are told', async () => {
    await addSample(upstream, 'team/app', await sampleImage())
    const { status, report } = await runImport(order())
    expect(status.state).toBe('done')
    expect(report).toEqual([{ subject: 'team/app', outcome: 'skipped', note: 'no tags' }])
  })

  it('that do not exist fail, and the others go on', async () => {
    await add('team/app', '1.0')
    const { status, report } = await runImport(order(['team/app', 'team/none']))
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 1 } })
    expect(lines(report)).toEqual(['copied hosted/team/app:1.0', 'failed team/none'])
  })
})

describe('a registry', () => {
  it.each([404, 401, 405])('that answers %d to its catalog fails with advice', async (code) => {
    start({})
    upstream.fault({ on: { kind: 'catalog' }, do: { status: code } })
    const { status } = await runImport(order())
    expect(status.state).toBe('failed')
    expect(status.note).toMatch(/^old\.example shows no catalog .*name the repositories/)
  })

  it.each(['bearer', 'basic'] as const)(
    'that wants a login for its catalog (%s) says so to whoever has shown none',
    async (scheme) => {
      const realm = `${FROM}/service/token`
      const authentication = {
        realm,
        scheme,
        accounts: { mover: PASSWORD },
        anonymous: false,
        isPrivate: () => true,
      }
      start({ catalog: true, authentication })
      await add('team/app', '1.0')
      const walked = await runImport(order())
      expect(walked.status.state).toBe('failed')
      expect(walked.status.note).toMatch(
        /^old\.example shows no catalog \(.+\): it wants a login \(ENTREPOT_SOURCE=<name>:<password>\)/,
      )
      const named = await runImport(order(['team/app']))
      expect(named.status.state).toBe('failed')
      expect(named.report).toMatchObject([
        {
          subject: 'team/app',
          note: expect.stringMatching(/it may want a login \(ENTREPOT_SOURCE=/),
        },
      ])
    },
  )

  it('that shows no catalog though it was shown a login does not ask for another', async () => {
    start({ catalog: true })
    upstream.fault({ on: { kind: 'catalog' }, do: { status: 403 } })
    const { status } = await runImport(order(['team/**'], { credential: LOGIN }))
    expect(status).toMatchObject({
      state: 'failed',
      note: expect.stringMatching(/\): name the repositories, without wildcards$/),
    })
  })

  it('without any such repository fails', async () => {
    await add('other', '1')
    const { status } = await runImport(order())
    expect(status).toMatchObject({
      state: 'failed',
      note: 'old.example has no repository like team/**',
    })
  })

  it('is not asked while nothing is to be fetched', async () => {
    await add('team/app', '1.0')
    await env.AUTHORITY.getByName('authority').setSwitches({ noFills: true }, 'a test')
    const { status } = await runImport(order())
    expect(status).toMatchObject({
      state: 'waiting',
      note: 'an administrator has switched off that it is asked',
    })
    expect(upstream.requests).toEqual([])
  })

  it('that limits requests is left alone for as long as it says', async () => {
    const clock = stopClock()
    await add('team/app', '1.0')
    const rule = { status: 429, headers: { 'Retry-After': '120' } }
    const stop = upstream.fault({ on: { kind: 'blob' }, do: rule })
    const first = await runImport(order())
    expect(first.status).toMatchObject({
      state: 'waiting',
      until: clock.now() + 120 * SECOND,
      note: 'the source limits requests',
    })
    const requests = upstream.requests.length
    stop()
    // Too early: nothing is asked.
    clock.advance(119 * SECOND)
    expect((await runImport(order(), { id: first.id })).status.state).toBe('waiting')
    expect(upstream.requests.length).toBe(requests)
    clock.advance(SECOND)
    const { status } = await runImport(order(), { id: first.id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 0 } })
  })

  it('that limits the walk is left alone too, and the walk goes on where it was', async () => {
    start({ catalog: true, pageSize: 1 })
    const clock = stopClock()
    await add('team/app', '1.0')
    await add('team/app', '2.0', 2)
    const rule = { status: 429, headers: { 'Retry-After': '30' } }
    upstream.fault({ on: { kind: 'tags' }, after: 1, times: 1, do: rule })
    const { id, status: before } = await runImport(order())
    expect(before).toMatchObject({ state: 'waiting', until: clock.now() + 30 * SECOND })
    clock.advance(30 * SECOND)
    const { status } = await runImport(order(), { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 2, failed: 0 } })
    // The page that came is not asked for again.
    expect(upstream.count({ kind: 'tags' })).toBe(3)
  })

  it('that is down for a while is asked again', async () => {
    const clock = stopClock()
    await add('team/app', '1.0')
    upstream.fault({ on: { kind: 'manifest' }, times: 2, do: { status: 503 } })
    const { id, status: before } = await runImport(order())
    expect(before).toMatchObject({ state: 'waiting', until: clock.now() + 5 * SECOND })
    clock.advance(5 * SECOND)
    await runImport(order(), { id })
    clock.advance(10 * SECOND)
    const { status } = await runImport(order(), { id })
    expect(status).toMatchObject({ state: 'done', result: { copied: 1 } })
  })

  it('that stays down fails each image in the end', async () => {
    const clock = stopClock()
    await add('team/app', '1.0')
    upstream.fault({ on: { kind: 'manifest' }, do: { status: 503 } })
    let { id, status, report } = await runImport(order())
    for (let times = 0; times < 8; times += 1) {
      clock.advance(400 * SECOND)
      ;({ status, report } = await runImport(order(), { id }))
    }
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([{ outcome: 'failed', note: 'old.example answered 503' }])
  })

  it('that sends other bytes gets nothing stored, and the others go on', async () => {
    const bad = await add('team/app', 'bad')
    await add('team/app', 'good', 2)
    const layer = bad.blobs[1]!
    upstream.fault({
      on: { kind: 'blob', reference: layer.digest },
      do: { bytes: new Uint8Array([1, 2, 3]) },
    })
    const { status, report } = await runImport(order())
    expect(status).toMatchObject({ state: 'done', result: { copied: 1, failed: 1 } })
    expect(report).toContainEqual({
      subject: 'hosted/team/app:bad',
      outcome: 'failed',
      note: `${layer.digest}: the source sent other bytes`,
    })
    const target = hosted('hosted/team/app')
    expect((await target.blobs.get(layer.digest, { wants: 'size' })).ok).toBe(false)
    expect(await digestAt('hosted/team/app', 'bad')).toBeUndefined()
    expect(await digestAt('hosted/team/app', bad.digest)).toBeUndefined()
  })

  it('that sends another manifest fails that image', async () => {
    const { digest } = await add('team/app', '1.0')
    const other = await sampleImage({ seed: 9 })
    await upstream.addManifest('team/app', other.bytes, { digest })
    const { status, report } = await runImport(order())
    expect(status.state).toBe('failed')
    expect(report).toMatchObject([{ outcome: 'failed' }])
    expect(await digestAt('hosted/team/app', other.digest)).toBeUndefined()
  })

  it('whose blob has another size than its manifest says fails that image', async () => {
    const image = await add('team/app', '1.0')
    const [, layer] = image.blobs
    await upstream.addBlob('team/app', new Uint8Array(10), layer!.digest)
    const { report } = await runImport(order())
    expect(report).toMatchObject([
      { note: `${layer!.digest} has 10 bytes, and 3000 in its manifest` },
    ])
  })

  it('on a private network is not an order', () => {
    for (const from of ['https://10.0.0.1/', 'https://intern/', 'http://old.example/']) {
      expect(() => orderOf({ ...order(), from })).toThrow(OrderError)
    }
    expect(() => orderOf({ ...order(), from: 'http://127.0.0.1:5000/' })).not.toThrow()
  })
})

describe('a credential', () => {
  const AUTHENTICATION = {
    realm: `${FROM}/service/token`,
    accounts: { mover: PASSWORD },
    anonymous: false,
    isPrivate: () => true,
  }

  /** Whoever was sent it. */
  function told(): readonly string[] {
    const secret = btoa(`mover:${PASSWORD}`)
    const knowing = internet.requests.filter((request) => JSON.stringify(request).includes(secret))
    return [
      ...new Set(knowing.map(({ url }) => new URL(url)).map((url) => url.origin + url.pathname)),
    ]
  }

  it('gets tokens of the origin, for the catalog and for each repository', async () => {
    start({ catalog: true, authentication: AUTHENTICATION })
    await add('team/app', '1.0')
    const { status } = await runImport(order(['team/**'], { credential: LOGIN }))
    expect(status).toMatchObject({ state: 'done', result: { copied: 1 } })
    expect(told()).toEqual([AUTHENTICATION.realm])
    const scopes = upstream.requests.filter(({ kind }) => kind === 'token')
    expect([...new Set(scopes.map(({ reference }) => reference))]).toEqual([
      'registry:catalog:*',
      'repository:team/app:pull',
    ])
  })

  it('is shown with every request where the registry wants it so', async () => {
    const basic = { ...AUTHENTICATION, scheme: 'basic' as const }
    start({ catalog: true, authentication: basic })
    await add('team/app', '1.0')
    const { status } = await runImport(order(['team/**'], { credential: LOGIN }))
    expect(status).toMatchObject({ state: 'done', result: { copied: 1 } })
  })

  it('goes to no token service elsewhere', async () => {
    const elsewhere = startUpstream()
    start({
      catalog: true,
      authentication: { ...AUTHENTICATION, realm: 'https://evil.example/token' },
    })
    internet = goOnline({ 'old.example': upstream, 'evil.example': elsewhere })
    await add('team/app', '1.0')
    const { status } = await runImport(order(['team/**'], { credential: LOGIN }))
    expect(status.state).toBe('failed')
    expect(status.note).toContain('token service')
    expect(elsewhere.requests).toEqual([])
    expect(told()).toEqual([])
  })

  it('goes to one that the order names', async () => {
    const realm = 'https://auth.example/token'
    start({ catalog: true, authentication: { ...AUTHENTICATION, realm } })
    internet = goOnline({ 'old.example': upstream, 'auth.example': upstream })
    await add('team/app', '1.0')
    const more = { credential: LOGIN, realms: ['https://auth.example'] }
    const { status } = await runImport(order(['team/**'], more))
    expect(status.state).toBe('done')
    expect(told()).toEqual([realm])
  })

  it('does not follow a blob to other storage', async () => {
    const storage = startUpstream()
    const image = await sampleImage()
    start({
      catalog: true,
      storage: 'https://storage.example',
      authentication: { ...AUTHENTICATION, scheme: 'basic' },
    })
    internet = goOnline({ 'old.example': upstream, 'storage.example': upstream })
    await addSample(upstream, 'team/app', image, '1.0')
    const { status } = await runImport(order(['team/**'], { credential: LOGIN }))
    expect(status.state).toBe('done')
    expect(told().every((url) => url.startsWith(FROM))).toBe(true)
    expect(internet.count('storage.example')).toBe(2)
    expect(storage.requests).toEqual([])
  })

  it('that is refused ends the job', async () => {
    start({ catalog: true, authentication: AUTHENTICATION })
    await add('team/app', '1.0')
    const wrong = { ...LOGIN, password: 'another' }
    const { status } = await runImport(order(['team/**'], { credential: wrong }))
    expect(status).toMatchObject({
      state: 'failed',
      note: 'the credential for old.example was refused',
    })
  })

  it('is nowhere but in the state of a job that runs', async () => {
    start({ catalog: true, authentication: AUTHENTICATION })
    await add('team/app', '1.0')
    await add('team/app', '2.0', 2)
    upstream.fault({ on: { kind: 'blob' }, do: { bytes: new Uint8Array([9]) } })
    const seen: string[] = []
    const members = order(['team/**'], { credential: LOGIN })
    expect(orderOf(members).title).not.toContain(PASSWORD)
    const begun = await runImport(members, {
      steps: 0,
      // While it runs it is there, and this would find it.
      look: ({ kv }) => expect(JSON.stringify([...kv.list()])).toContain(PASSWORD),
    })
    const { status, report, log } = await runImport(members, {
      id: begun.id,
      look: (storage) => {
        const tables = storage.sql
          .exec<{ name: string }>(`SELECT name FROM sqlite_master WHERE type = 'table'`)
          .toArray()
          .filter(({ name }) => !name.startsWith('_cf_'))
        for (const { name } of tables) {
          seen.push(JSON.stringify(storage.sql.exec(`SELECT * FROM ${name}`).toArray()))
        }
        for (const entry of storage.kv.list()) seen.push(JSON.stringify(entry))
      },
    })
    expect(status.state).toBe('failed')
    const listed = await env.BLOBS.list({ include: ['customMetadata'] })
    const everything = JSON.stringify([status, report, log, seen, listed.objects])
    expect(everything).toContain('old.example')
    expect(decodeURIComponent(JSON.stringify(listed.objects))).toContain('old.example')
    expect(everything).not.toContain(PASSWORD)
    expect(everything).not.toContain(btoa(`mover:${PASSWORD}`))
  })

  it('is not repeated by what is wrong with an order', () => {
    const bad = [
      { credential: { ...LOGIN, more: 1 } },
      { credential: { ...LOGIN, username: `a:${PASSWORD}` } },
      { credential: PASSWORD },
      { from: `https://mover:${PASSWORD}@old.example/` },
    ]
    for (const more of bad) {
      const message = ((): string => {
        try {
          orderOf({ ...order(), ...more })
          return 'no error'
        } catch (error) {
          return String(error)
        }
      })()
      expect(message).toContain('OrderError')
      expect(message).not.toContain(PASSWORD)
    }
  })
})

describe('requests', () => {
  it('for a repository are few', async () => {
    const image = await add('team/app', '1.0')
    await runImport(order(['team/app']))
    expect(asked(upstream)).toEqual([
      'GET /v2/',
      'GET /v2/team/app/tags/list?n=1000',
      'GET /v2/team/app/manifests/1.0',
      ...image.blobs.map(({ digest }) => `GET /v2/team/app/blobs/${digest}`),
      `GET /v2/team/app/referrers/${image.digest}`,
    ])
  })
})
