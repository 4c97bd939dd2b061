// `/_/api/exports`: an export leaves as one stream, and comes back in parts into a deployment that has nothing; what is
// foreign, damaged or cut is refused with a reason. Only administrators, and the audit has who.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { indexOf, sha256 } from '../../src/jobs/export-file.ts'
import type { ExportIndex } from '../../src/jobs/export-file.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { stopClock } from '../support/clock.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { runJob } from '../support/job-run.ts'
import { broken } from '../support/operations.ts'

const PATH = '/_/api/exports'

let registry: HostedRegistry
let image: Content
let settings: Readonly<Record<string, unknown>>

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  stopClock()
  const made = await accounts({
    root: [granting('**', 'admin')],
    writer: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { ...OPEN, LOGIN_LIMIT: undefined, ...made }
  registry = startHosted(settings)
  image = await registry.pushImage('hosted/app', { seed: 1, reference: 'v1' })
  await registry.settle()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function ask(
  method: string,
  path = PATH,
  body?: Uint8Array | string,
  authorization: string = basic('root'),
): Promise<Response> {
  return registry.fetch(path, {
    method,
    headers: { authorization },
    ...(body !== undefined && { body }),
  })
}

/** Writes an export; its id. */
async function exported(): Promise<string> {
  const { status } = await runJob('export', {})
  return String(status.result['export'])
}

/** An export as it was taken away: its first line, and its parts. */
async function taken(id: string) {
  const answer = await ask('GET', `${PATH}/${id}`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const bytes = new Uint8Array(await answer.arrayBuffer())
  const end = bytes.indexOf(10)
  const line = new TextDecoder().decode(bytes.slice(0, end))
  const index = JSON.parse(line) as ExportIndex
  let at = end + 1
  const parts = index.parts.map((part) => bytes.slice(at, (at += part.bytes)))
  expect(at).toBe(bytes.length)
  return { line, index, parts }
}

async function messageOf(answer: Response): Promise<string> {
  const { errors } = await answer.json<{ errors: { code: string; message: string }[] }>()
  return `${answer.status} ${errors[0]?.code}: ${errors[0]?.message}`
}

it('lists what there is, the newest first', async () => {
  expect(await (await ask('GET')).json()).toEqual({ exports: [] })
  const id = await exported()
  const { exports } = await (await ask('GET')).json<{ exports: object[] }>()
  expect(exports).toEqual([
    {
      id,
      at: new Date(Date.now()).toISOString(),
      bytes: expect.any(Number),
      nightly: false,
      repositories: 1,
      tags: 1,
      manifests: 1,
      blobs: 2,
      accounts: 0,
      pins: 0,
    },
  ])
})

it('an export leaves, everything is lost, and it comes back part by part', async () => {
  const id = await exported()
  const { line, parts } = await taken(id)
  // Another bucket, to which what is below hosted/ was copied.
  const { objects } = await env.BLOBS.list({ prefix: 'hosted/' })
  const copies = await Promise.all(
    objects.map(async ({ key }) => {
      const object = await env.BLOBS.get(key)
      const bytes = await object?.arrayBuffer()
      return { key, bytes: bytes ?? new ArrayBuffer(), type: object?.httpMetadata?.contentType }
    }),
  )
  await reset()
  for (const { key, bytes, type } of copies) {
    await env.BLOBS.put(key, bytes, {
      httpMetadata: type === undefined ? {} : { contentType: type },
    })
  }
  registry = startHosted(settings)
  expect((await registry.get('/v2/hosted/app/manifests/v1')).status).toBe(404)
  const begun = await ask('PUT', `${PATH}/${id}`, line)
  expect([begun.status, await begun.json()]).toEqual([202, { id, missing: [...parts.keys()] }])
  expect((await ask('GET', `${PATH}/${id}`)).status).toBe(404)
  for (const [n, part] of parts.entries()) {
    expect((await ask('PUT', `${PATH}/${id}?part=${n}`, part)).status).toBe(204)
  }
  const ended = await ask('PUT', `${PATH}/${id}`, line)
  expect([ended.status, await ended.json()]).toEqual([201, { id, missing: [] }])
  // Once more changes nothing.
  expect((await ask('PUT', `${PATH}/${id}`, line)).status).toBe(201)
  expect((await taken(id)).line).toBe(line)
  const { status } = await runJob('restore', { export: id })
  expect(status).toMatchObject({ state: 'done', result: { repositories: 1, missing: 0 } })
  const answer = await registry.get('/v2/hosted/app/manifests/v1')
  expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
  const keys = (await env.BLOBS.list({ prefix: `exports/${id}/` })).objects.map(({ key }) => key)
  expect(keys).not.toContain(`exports/${id}/incoming.json`)
})

describe('what is no export is refused', () => {
  const ID = 'from-elsewhere'

  /** An index that tells of these parts. */
  async function indexLine(texts: readonly string[], changed: object = {}): Promise<string> {
    const parts = texts.map(async (text) => {
      const bytes = new TextEncoder().encode(text)
      return { sha256: await sha256(bytes), bytes: bytes.byteLength, lines: 1 }
    })
    const counts = {
      repositories: 0,
      tags: 0,
      manifests: 0,
      blobs: 0,
      accounts: 0,
      pins: 0,
      empty: 0,
    }
    const index = { id: ID, at: 1, isNightly: false, counts, parts: await Promise.all(parts) }
    return JSON.stringify({ ...indexOf(index), ...changed })
  }

  it.each([
    { name: 'no JSON', text: async () => 'PK\u0003\u0004', why: 'no index of an export' },
    { name: 'another JSON', text: async () => '{"schemaVersion":2}', why: 'no index of an export' },
    {
      name: 'one of a newer release',
      text: () => indexLine([], { version: 2 }),
      why: 'a newer release has written it',
    },
    {
      name: 'one that was bent',
      text: () => indexLine([], { parts: [{ sha256: 'x', bytes: 1, lines: 1 }] }),
      why: 'is damaged',
    },
    { name: 'one without counts', text: () => indexLine([], { counts: 1 }), why: 'is damaged' },
    {
      name: 'one of another name',
      text: () => indexLine([], { id: 'another-name' }),
      why: 'the index of export another-name',
    },
    {
      name: 'one whose id is a path',
      text: () => indexLine([], { id: '../../etc' }),
      why: 'is damaged',
    },
  ])('$name', async ({ text, why }) => {
    const answer = await ask('PUT', `${PATH}/${ID}`, await text())
    const message = await messageOf(answer)
    expect(message).toMatch(/^400 UNSUPPORTED_VALUE: /)
    expect(message).toContain(why)
    expect((await env.BLOBS.list({ prefix: 'exports/' })).objects).toEqual([])
  })

  it('a part that is cut, other, or none of it', async () => {
    const part = '{"kind":"repository","name":"hosted/a"}\n'
    const put = (n: string, text: string) => ask('PUT', `${PATH}/${ID}?part=${n}`, text)
    expect(await messageOf(await put('0', part))).toContain('404 NAME_UNKNOWN')
    await ask('PUT', `${PATH}/${ID}`, await indexLine([part]))
    expect(await messageOf(await put('0', part.slice(0, 10)))).toContain('and here are 10')
    expect(await messageOf(await put('0', part.replace('a"', 'b"')))).toContain('another SHA-256')
    expect(await messageOf(await put('1', part))).toContain('no part 1')
    expect(await messageOf(await put('x', part))).toContain('expected the number of a part')
    expect((await put('0', part)).status).toBe(204)
  })

  it('a part that says nonsense, before anything is restored', async () => {
    const bad = [
      { text: '{"kind":"tag","tag":"v1"}\n', why: 'line 1 of a part of this export is damaged' },
      { text: '{"kind":"pulls","day":1,"pulls":1}\n', why: 'rows of no repository' },
      { text: '{"kind":"repository","name":"Not/OK"}\n', why: 'is damaged' },
      { text: '{"kind":"pulls","day":1,"pulls":1}', why: 'in the middle of a line' },
      { text: '{"kind":"constructor"}\n', why: 'is damaged' },
    ]
    for (const { text, why } of bad) {
      await ask('DELETE', `${PATH}/${ID}`)
      const line = await indexLine([text])
      await ask('PUT', `${PATH}/${ID}`, line)
      expect((await ask('PUT', `${PATH}/${ID}?part=0`, text)).status).toBe(204)
      expect((await ask('PUT', `${PATH}/${ID}`, line)).status).toBe(201)
      const { status } = await runJob('restore', { export: ID })
      expect(status.state).toBe('failed')
      expect(status.note).toContain(why)
    }
  })

  it('another one of the same name', async () => {
    const id = await exported()
    const line = (await indexLine(['x'])).replace(ID, id)
    expect(await messageOf(await ask('PUT', `${PATH}/${id}`, line))).toContain('another export')
    expect((await ask('GET', `${PATH}/${id}`)).status).toBe(200)
  })

  it('more than an index may have', async () => {
    const answer = await ask('PUT', `${PATH}/${ID}`, new Uint8Array(8 * 1024 * 1024 + 1))
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
  })
})

it('one is removed, and then there is none', async () => {
  const id = await exported()
  expect((await ask('DELETE', `${PATH}/${id}`)).status).toBe(204)
  expect(await refusalOf(await ask('DELETE', `${PATH}/${id}`))).toBe('404 NAME_UNKNOWN')
  expect(await refusalOf(await ask('GET', `${PATH}/${id}`))).toBe('404 NAME_UNKNOWN')
  expect((await env.BLOBS.list({ prefix: 'exports/' })).objects).toEqual([])
})

it('a stream whose parts were changed in storage breaks off', async () => {
  const id = await exported()
  await env.BLOBS.put(`exports/${id}/000000.ndjson`, 'other')
  const answer = await ask('GET', `${PATH}/${id}`)
  await expect(answer.arrayBuffer()).rejects.toThrow('part 0 of export')
})

it('HEAD tells that one is there, without a note in the audit', async () => {
  const id = await exported()
  const answer = await ask('HEAD', `${PATH}/${id}`)
  expect([answer.status, await answer.text()]).toEqual([200, ''])
  expect((await authority().audit()).filter(({ what }) => what === 'take-export')).toEqual([])
})

it('the audit has who took, brought and removed what', async () => {
  const id = await exported()
  const { line } = await taken(id)
  await ask('DELETE', `${PATH}/${id}`)
  await ask('PUT', `${PATH}/${id}`, line)
  const entries = (await authority().audit()).filter(({ name }) => name === id)
  expect(entries.map(({ what, by }) => `${what} ${by}`)).toEqual([
    'bring-export root',
    'delete-export root',
    'take-export root',
  ])
})

it.each([
  { method: 'GET', path: PATH },
  { method: 'GET', path: `${PATH}/some-export` },
  { method: 'PUT', path: `${PATH}/some-export` },
  { method: 'DELETE', path: `${PATH}/some-export` },
])('$method $path is for administrators only', async ({ method, path }) => {
  for (const authorization of [basic('writer'), basic('root', 'wrong'), '']) {
    const body = method === 'PUT' ? '{}' : undefined
    expect(await refusalOf(await ask(method, path, body, authorization))).toBe('401 UNAUTHORIZED')
  }
})

it('while storage is away it is 503', async () => {
  registry = startHosted({ ...settings, BLOBS: broken('store') })
  for (const [method, path] of [
    ['GET', PATH],
    ['GET', `${PATH}/some-export`],
    ['DELETE', `${PATH}/some-export`],
  ] as const) {
    const answer = await ask(method, path)
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
    expect(answer.headers.get('retry-after')).toBe('10')
  }
})
