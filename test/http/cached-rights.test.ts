// A cached answer never crosses a caller's rights: one isolate has served everything to a caller with a grant, from
// memory, KV and R2, and then others ask it for the same. They are refused, and no store and no object is looked at.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleArtifact, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import { accounts, add, basic, bearer, granting } from '../support/accounts.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import type { Content } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import type { Network } from '../support/network.ts'

/** Everything that holds content; who asks is looked up elsewhere. */
const HOLDING = [
  'BLOBS',
  'HINTS',
  'MIRROR_LEDGER',
  'BLOB_FILL',
  'UPSTREAM_GATE',
  'HOSTED_LEDGER',
  'UPLOAD_SESSION',
  'BLOB_CLAIMS',
] as const
const S3 = {
  S3_ENDPOINT: 'https://storage.test',
  S3_BUCKET: 'blobs',
  S3_ACCESS_KEY_ID: 'key',
  S3_SECRET_ACCESS_KEY: 'secret',
}
const BLOB_SIZE = 100_000

let net: Network
let mirrored: SampleManifest
let hosted: Content
let hostedBlob: string
let worker: Isolate
/** What was asked of what holds content, with the key or name that it was asked for. */
let touched: string[]

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  const upstream = startUpstream()
  net = goOnline({
    'private.test': upstream,
    'part.test': upstream,
    'one.test': startUpstream(),
    'storage.test': async () => new Response('x', { status: 206 }),
  })
  mirrored = await sampleImage({ layers: [BLOB_SIZE] })
  const { descriptor: subject } = mirrored
  for (const name of ['a/b', 'closed/x']) {
    await addSample(upstream, name, mirrored, 'v1')
    await addSample(upstream, name, await sampleArtifact({ subject }))
  }
  const registry = startHosted()
  hosted = await registry.pushImage('hosted/a', { reference: 'v1' })
  const { layers } = JSON.parse(new TextDecoder().decode(hosted.bytes))
  hostedBlob = layers[0].digest
  touched = []
  worker = isolate(await settings())
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** `a` may read what is warmed, `b` only what lies beside it. */
async function settings(): Promise<Readonly<Record<string, unknown>>> {
  const held = WARMED.map(({ name }) => granting(name, 'pull'))
  const beside = BESIDE.map((name) => granting(name, 'pull'))
  return {
    HOSTED: OPEN.HOSTED,
    ...S3,
    // Wrong passwords are refused, however many.
    LOGIN_LIMIT: undefined,
    ...(await accounts({ a: [...held, ...beside], b: beside })),
    ...Object.fromEntries(HOLDING.map((name) => [name, noted(name, env[name])])),
  }
}

function noted(name: string, binding: object): unknown {
  return new Proxy(binding, {
    get: (target, method) => {
      const value: unknown = Reflect.get(target, method)
      if (typeof value !== 'function') return value
      return (...given: unknown[]): unknown => {
        touched.push(`${name}.${String(method)} ${String(given[0])}`)
        return Reflect.apply(value, target, given)
      }
    },
  })
}

/** A repository whose every answer is cached, and the names by which clients ask for it. */
interface Warmed {
  readonly name: string
  readonly forms: readonly ((rest: string) => string)[]
  readonly manifest: () => string
  readonly blob: () => string
}

function mirrorOf(host: string, repository: string): Warmed {
  return {
    name: `${host}/${repository}`,
    forms: [
      (rest) => `/v2/${host}/${repository}/${rest}`,
      (rest) => `/v2/${host.toUpperCase()}/${repository}/${rest}`,
      (rest) => `/v2/${repository}/${rest}?ns=${host}`,
      (rest) => `/v2/${host}/${repository}/${rest}?ns=${host}`,
      (rest) => `/${host}/v2/${repository}/${rest}`,
    ],
    manifest: () => mirrored.digest,
    blob: () => blobOf(mirrored),
  }
}

const WARMED: readonly Warmed[] = [
  mirrorOf('private.test', 'a/b'),
  mirrorOf('part.test', 'closed/x'),
  {
    name: 'hosted/a',
    forms: [(rest) => `/v2/hosted/a/${rest}`],
    manifest: () => hosted.digest,
    blob: () => hostedBlob,
  },
]

/** Repositories that have none of it, whose own rights reach no further. */
const BESIDE = [
  'private.test/c/d',
  'private.test/a/b/c',
  'part.test/closed/y',
  'part.test/open/x',
  'one.test/a/b',
  'hosted/b',
  'hosted/a/b',
]

function blobOf({ blobs }: SampleManifest): string {
  return blobs.find(({ bytes }) => bytes.length === BLOB_SIZE)?.digest ?? expect.fail('no blob')
}

/** Every way to read something of a repository. */
function readsOf({ manifest, blob }: Warmed): readonly { method: string; rest: string }[] {
  const rests = ['manifests/v1', `manifests/${manifest()}`, `blobs/${blob()}`]
  return [
    ...rests.flatMap((rest) => ['GET', 'HEAD'].map((method) => ({ method, rest }))),
    { method: 'GET', rest: 'tags/list' },
    { method: 'GET', rest: `referrers/${manifest()}` },
  ]
}

function byDigest(warmed: Warmed): ReturnType<typeof readsOf> {
  return readsOf(warmed).filter(({ rest }) => rest.includes('sha256:'))
}

/** Asks for everything twice: the first time it is fetched, then it is there. */
async function warm(warmed: Warmed): Promise<void> {
  const authorization = basic('a')
  for (const { method, rest } of [...readsOf(warmed), ...readsOf(warmed)]) {
    const answer = await worker.fetch(pathOf(warmed, rest), { method, headers: { authorization } })
    expect([rest, answer.status]).toEqual([rest, expect.toBeOneOf([200, 307])])
    await answer.bytes()
  }
  // A blob comes from here and by a redirect, and is stored.
  const streamed = { authorization, 'if-match': '*' }
  await (await worker.get(pathOf(warmed, `blobs/${warmed.blob()}`), streamed)).bytes()
  await worker.settle()
  touched.splice(0)
  net.forget()
}

function pathOf({ forms: [form] }: Warmed, rest: string): string {
  return form?.(rest) ?? expect.fail('no form')
}

/** A caller who may not, as the headers and the beginning of the path show it. */
interface Caller {
  readonly name: string
  readonly show: (other: string) => Promise<{ authorization?: string; prefix?: string }>
  readonly want: number
}

const CALLERS: readonly Caller[] = [
  { name: 'nobody', show: async () => ({}), want: 401 },
  {
    name: 'an account without the grant',
    show: async () => ({ authorization: basic('b') }),
    want: 401,
  },
  {
    name: 'a wrong password of the account that may',
    show: async () => ({ authorization: basic('a', 'wrong') }),
    want: 401,
  },
  {
    name: 'a token of the account that may, for another repository',
    show: async (other) => ({
      authorization: await bearer(worker, [`repository:${other}:pull`], basic('a')),
    }),
    want: 401,
  },
  {
    name: 'a token of an account without the grant, which asked for it',
    show: async () => ({
      authorization: await bearer(
        worker,
        WARMED.map(({ name }) => `repository:${name}:pull`),
        basic('b'),
      ),
    }),
    want: 401,
  },
  {
    name: 'a capability for another repository, beside the login of who may',
    show: async (other) => ({
      authorization: basic('a'),
      prefix: `/t/${await add('capability', 'nodes', granting(other, 'pull'))}`,
    }),
    want: 404,
  },
]

describe.each(WARMED)('what one caller was served of $name', (warmed) => {
  beforeEach(() => warm(warmed))

  it.each(CALLERS)('$name gets by no form', async ({ show, want }) => {
    const { authorization, prefix = '' } = await show(BESIDE[0] ?? '')
    touched.splice(0)
    const headers = { ...(authorization !== undefined && { authorization }) }
    for (const form of warmed.forms) {
      for (const { method, rest } of readsOf(warmed)) {
        const path = `${prefix}${form(rest)}`
        const answer = await worker.fetch(path, { method, headers })
        expect([method, path, answer.status]).toEqual([method, path, want])
        expect(answer.headers.get('location')).toBeNull()
        expect(answer.headers.get('docker-content-digest')).toBeNull()
      }
    }
    expect({ touched, asked: net.urls() }).toEqual({ touched: [], asked: [] })
  })

  it('is not there by its digests under another name, for who may read that', async () => {
    const headers = { authorization: basic('b') }
    for (const other of BESIDE) {
      for (const { method, rest } of byDigest(warmed)) {
        const path = `/v2/${other}/${rest}`
        const answer = await worker.fetch(path, { method, headers })
        const isList = rest.startsWith('referrers/') && answer.status === 200
        if (isList) expect(await answer.json()).toMatchObject({ manifests: [] })
        else expect([method, path, answer.status]).toEqual([method, path, 404])
      }
    }
    await worker.settle()
    const wrong = touched.filter((each) => ownOf(warmed).some((own) => own.test(each)))
    expect({ wrong, some: touched.length > 0 }).toEqual({ wrong: [], some: true })
  })

  it('who may is served from what is here, without the upstream', async () => {
    const headers = { authorization: basic('a') }
    for (const { method, rest } of readsOf(warmed)) {
      const answer = await worker.fetch(pathOf(warmed, rest), { method, headers })
      const isBlob = method === 'GET' && rest.startsWith('blobs/')
      expect([rest, answer.status]).toEqual([rest, isBlob ? 307 : 200])
      await answer.bytes()
    }
    expect(net.urls()).toEqual([])
    // Manifests come from memory, which is what nobody else may be given.
    expect(touched.filter((each) => /^HINTS|^BLOBS\.get .*manifests/.test(each))).toEqual([])
  })
})

/** Keys and objects of the repository itself begin or end so. */
function ownOf({ name }: Warmed): readonly RegExp[] {
  const [host = '', ...rest] = name.split('/')
  const repository = rest.join('/')
  return [
    new RegExp(` ${name}$`),
    new RegExp(`/${name}[@:]`),
    new RegExp(`mirror/${host}/(private|manifests)/${repository}/(blobs|sha256)/`),
    new RegExp(`hosted/manifests/${name}/sha256/`),
    /hosted\/content\//,
  ]
}
