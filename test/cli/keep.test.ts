// A registry of `npm start` whose objects really lose their state: the folder in which the runtime keeps them is removed
// while that of the bucket stays. With the nightly export, or one taken away by `backup`, everything is there again.

import { createHash } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, it } from 'vitest'

import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { runEntrepot } from './run-program.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

interface Blob {
  readonly bytes: Buffer
  readonly digest: string
}

const blobOf = (text: string): Blob => {
  const bytes = Buffer.from(text)
  return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}
const CONFIG = blobOf('{"os":"linux","architecture":"amd64"}')
const LAYER = blobOf('a layer, of a kind')
const IMAGE = blobOf(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptor(CONFIG, 'application/vnd.oci.image.config.v1+json'),
    layers: [descriptor(LAYER, 'application/vnd.oci.image.layer.v1.tar')],
  }),
)

let folder: string
let registry: Registry

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-keep-'))
  registry = await start()
})

afterEach(async () => {
  await registry.stop()
  await rm(folder, { recursive: true, force: true })
})

function descriptor({ bytes, digest }: Blob, mediaType: string) {
  return { mediaType, digest, size: bytes.byteLength }
}

function start(): Promise<Registry> {
  return serve({
    host: '127.0.0.1',
    port: 0,
    persistTo: folder,
    vars: { HOSTED: '["hosted/**"]', ANONYMOUS: '[]' },
    secrets: false,
  })
}

/** Stops, removes what objects keep, and starts again. */
async function loseObjects(): Promise<void> {
  await registry.stop()
  const names = await readdir(folder, { recursive: true })
  const objects = names.filter((name) => name.split('/').at(-1) === 'do')
  expect(objects).toHaveLength(1)
  await rm(join(folder, objects[0] ?? ''), { recursive: true })
  registry = await start()
}

async function administrator(): Promise<string> {
  const file = registry.administrator ?? expect.fail('there is no administrator')
  return `administrator:${(await readFile(file, 'utf8')).trim()}`
}

async function ask(
  method: string,
  path: string,
  {
    login,
    body,
    type = 'application/json',
  }: { login: string; body?: string | Buffer; type?: string },
) {
  return fetch(new URL(path, registry.url), {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(login).toString('base64')}`,
      ...(body !== undefined && { 'content-type': type }),
    },
    ...(body !== undefined && { body: new Uint8Array(Buffer.from(body)) }),
  })
}

async function push(login: string, repository: string, tag: string): Promise<void> {
  for (const { bytes, digest } of [CONFIG, LAYER]) {
    const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    const type = 'application/octet-stream'
    expect((await ask('POST', path, { login, body: bytes, type })).status).toBe(201)
  }
  const put = { login, body: IMAGE.bytes, type: MANIFEST }
  expect((await ask('PUT', `/v2/${repository}/manifests/${tag}`, put)).status).toBe(201)
}

async function expectImage(login: string, repository: string, tag: string): Promise<void> {
  for (const path of [
    `manifests/${tag}`,
    `manifests/${IMAGE.digest}`,
    `blobs/${CONFIG.digest}`,
    `blobs/${LAYER.digest}`,
  ]) {
    const answer = await ask('GET', `/v2/${repository}/${path}`, { login })
    expect(`${path} ${answer.status}`).toBe(`${path} 200`)
    const expected = path.startsWith('manifests')
      ? IMAGE
      : path.endsWith(LAYER.digest)
        ? LAYER
        : CONFIG
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(expected.bytes)
  }
}

/** Runs a job to its end; its result. */
async function job(order: object): Promise<Readonly<Record<string, unknown>>> {
  const login = await administrator()
  const started = await ask('POST', '/_/api/jobs', { login, body: JSON.stringify(order) })
  expect(started.status).toBe(202)
  const { id } = (await started.json()) as { id: string }
  for (;;) {
    const answer = await ask('GET', `/_/api/jobs/${id}`, { login })
    const status = (await answer.json()) as {
      state: string
      note: string
      result: Readonly<Record<string, unknown>>
    }
    if (status.state === 'done') return status.result
    expect(['running', 'waiting']).toContain(status.state)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function addAccount(): Promise<string> {
  const answer = await ask('POST', '/_/api/accounts', {
    login: await administrator(),
    body: JSON.stringify({
      name: 'ci',
      grants: [{ repositories: ['hosted/**'], actions: ['pull', 'push', 'delete'] }],
    }),
  })
  const { secret } = (await answer.json()) as { secret: string }
  return `ci:${secret}`
}

it('the objects are lost, the bucket is not: an export brings everything back', async () => {
  const ci = await addAccount()
  await push(ci, 'hosted/app', 'v1')
  await push(ci, 'hosted/team/other', 'v2')
  const { export: id } = await job({ kind: 'export' })
  await loseObjects()
  expect((await ask('GET', '/v2/hosted/app/manifests/v1', { login: ci })).status).toBe(401)
  const result = await job({ kind: 'restore', export: id })
  expect(result).toMatchObject({ repositories: 2, manifests: 2, tags: 2, accounts: 1, missing: 0 })
  // What the isolate knows of accounts is a few seconds old at most for who is unknown.
  await expect
    .poll(async () => (await ask('GET', '/v2/', { login: ci })).status, { timeout: 20_000 })
    .toBe(200)
  await expectImage(ci, 'hosted/app', 'v1')
  await expectImage(ci, 'hosted/team/other', 'v2')
  // Pushed and deleted as ever.
  await push(ci, 'hosted/app', 'v3')
  await expectImage(ci, 'hosted/app', 'v3')
  const path = `/v2/hosted/app/manifests/${IMAGE.digest}`
  expect((await ask('DELETE', path, { login: ci })).status).toBe(202)
  expect((await ask('GET', '/v2/hosted/app/manifests/v1', { login: ci })).status).toBe(404)
  await expectImage(ci, 'hosted/team/other', 'v2')
}, 120_000)

it('backup writes a file, and restore brings it into the deployment that was lost', async () => {
  const ci = await addAccount()
  await push(ci, 'hosted/app', 'v1')
  const file = join(folder, 'kept.ndjson')
  const at = ['--url', registry.url.origin, '--persist-to', folder]
  const taken = await runEntrepot(['backup', '--out', file, ...at])
  expect(taken).toMatchObject({ code: 0 })
  await loseObjects()
  // Nor is there any export in the bucket.
  const login = await administrator()
  const list = await ask('GET', '/_/api/exports', { login })
  const { exports } = (await list.json()) as { exports: { id: string }[] }
  for (const { id } of exports) await ask('DELETE', `/_/api/exports/${id}`, { login })
  const again = ['--url', registry.url.origin, '--persist-to', folder]
  const brought = await runEntrepot(['restore', file, ...again])
  expect(brought).toMatchObject({ code: 0 })
  await expect
    .poll(async () => (await ask('GET', '/v2/', { login: ci })).status, { timeout: 20_000 })
    .toBe(200)
  await expectImage(ci, 'hosted/app', 'v1')
}, 120_000)
