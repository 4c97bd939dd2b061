// docs/openapi.json: that it is well formed, that it has every route with each of its methods and no other, and that
// what the registry really answers is what it says.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import { API_ROUTES } from '../../src/http/api.ts'
import { createApp } from '../../src/http/app.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { stopClock } from '../support/clock.ts'
import { OPEN, startHosted } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import type { Schema } from '../support/json-schema.ts'
import {
  DOCUMENT,
  answerOf,
  exampleOf,
  faultsOf,
  media,
  operations,
  resolve,
} from '../support/openapi.ts'
import type { Documented } from '../support/openapi.ts'

const OPERATIONS = operations()
const ABSENT = `sha256:${'0'.repeat(64)}`
const FORM = 'application/x-www-form-urlencoded'

let registry: HostedRegistry

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  stopClock()
  goOnline({ 'one.test': startUpstream() })
  const made = await accounts({ root: [granting('**', 'admin')] })
  registry = startHosted({ ...OPEN, ...made })
})

afterEach(async () => {
  await registry.settle()
  vi.restoreAllMocks()
  await reset()
})

function ask(method: string, path: string, body?: unknown): Promise<Response> {
  const [type, text] = bodyOf(body)
  return registry.fetch(path, {
    method,
    headers: { authorization: basic('root'), ...(type !== undefined && { 'content-type': type }) },
    ...(text !== undefined && { body: text }),
  })
}

/** A text is sent as it is. */
function bodyOf(body: unknown): readonly [type?: string, text?: string] {
  if (body === undefined) return []
  if (body instanceof URLSearchParams) return [FORM, body.toString()]
  return typeof body === 'string'
    ? ['application/octet-stream', body]
    : ['application/json', JSON.stringify(body)]
}

describe('the document', () => {
  it('is of OpenAPI 3.1', () => {
    expect(DOCUMENT.openapi).toMatch(/^3\.1\.\d$/)
    expect(OPERATIONS.length).toBeGreaterThan(20)
  })

  it('names every operation once, with words and a tag that it declares', () => {
    const ids = OPERATIONS.map(({ operation }) => operation.operationId)
    expect(ids).toEqual([...new Set(ids)])
    const tags = DOCUMENT.tags.map(({ name }) => name)
    for (const { operation } of OPERATIONS) {
      expect(operation.summary).not.toBe('')
      expect(operation.tags.filter((tag) => !tags.includes(tag))).toEqual([])
    }
  })

  it('leads somewhere with each of its references', () => {
    const references = JSON.stringify(DOCUMENT).matchAll(/"\$ref":"([^"]+)"/g)
    const targets = [...references].map(([, target = '']) => target)
    expect(targets.length).toBeGreaterThan(50)
    for (const target of targets) expect(resolve(target)).toBeTypeOf('object')
    for (const [kind, entries] of Object.entries(DOCUMENT.components)) {
      if (kind === 'securitySchemes') continue
      const unused = Object.keys(entries).filter(
        (name) => !targets.includes(`#/components/${kind}/${name}`),
      )
      expect(unused).toEqual([])
    }
  })

  it('describes the parameters of every path, and no others', () => {
    for (const { path, operation } of OPERATIONS) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const described = (operation.parameters ?? []).filter((each) => each.in === 'path')
      expect(described.map(({ name }) => name)).toEqual(named)
      expect(described.every(({ required }) => required === true)).toBe(true)
    }
  })

  it.each(media().map(({ of, media: each }) => ({ of, ...each })))(
    'has an example of $of that is one',
    ({ of, schema, example, examples = {} }) => {
      const others = Object.values(examples).map(({ value }) => value)
      const all = example === undefined ? others : [example, ...others]
      expect([of, all.length > 0]).toEqual([of, true])
      for (const each of all) expect(faultsOf(each, schema)).toEqual([])
    },
  )

  it.each<{ readonly what: string; readonly value: unknown; readonly schema: Schema }>([
    { what: 'a member too many', value: { healthy: true, more: 1 }, schema: closed() },
    { what: 'a member too few', value: {}, schema: closed() },
    { what: 'another type', value: { healthy: 'yes' }, schema: closed() },
    {
      what: 'a wrong item',
      value: [1, 'a'],
      schema: { type: 'array', items: { type: 'integer' } },
    },
    { what: 'a time without its zone', value: '2026-11-23T00:00:00', schema: time() },
    { what: 'two forms', value: 1, schema: { oneOf: [{ type: 'integer' }, { type: 'number' }] } },
    { what: 'another word', value: 'c', schema: { enum: ['a', 'b'] } },
    { what: 'a digest that is none', value: 'sha256:1', schema: { $ref: reference('Digest') } },
    { what: 'too few items', value: [], schema: { minItems: 1 } },
    { what: 'too much', value: 3, schema: { maximum: 2 } },
    { what: 'a value of a map', value: { a: 1 }, schema: { additionalProperties: { const: 2 } } },
  ])('is checked by what sees $what', ({ value, schema }) => {
    expect(faultsOf(value, schema)).not.toEqual([])
  })

  it('is checked by what knows every keyword that it uses', () => {
    expect(() => faultsOf(1, { multipleOf: 2 })).toThrow('multipleOf')
    expect(() => faultsOf('a', { format: 'uuid' })).toThrow('uuid')
    expect(() => faultsOf('a', { $ref: reference('Nothing') })).toThrow('leads nowhere')
  })
})

describe('every route', () => {
  it('of the API is in the document', () => {
    const paths = OPERATIONS.map(exampleOf)
    const missing = API_ROUTES.filter(({ path }) => !paths.some((each) => path.test(each)))
    expect(missing.map(({ path }) => String(path))).toEqual([])
  })

  it('beside the API is in the document, but for the pages', () => {
    const { paths } = createApp(() => undefined)
    const isPage = (path: string): boolean =>
      path.startsWith('/_/') && !path.startsWith('/_/api/') && path !== '/_/upstreams'
    const known = paths.filter((path) => path !== '/_/' && path !== '/_' && !isPage(path))
    const missing = known.filter((path) => !path.endsWith('*') && !(path in DOCUMENT.paths))
    expect(missing).toEqual([])
    expect(known.filter((path) => path.endsWith('*'))).toEqual(['/_/api/*'])
  })

  it.each(Object.keys(DOCUMENT.paths))('%s has the methods of the document', async (path) => {
    const documented = OPERATIONS.filter((each) => each.path === path)
    const answer = await ask('PROPFIND', exampleOf(documented[0] ?? expect.fail('none')))
    expect(answer.status).toBe(405)
    const own = documented.map(({ method }) => method)
    // Wherever there is a GET there is a HEAD, but for tokens, which a HEAD would make for nothing.
    const all = own.includes('GET') && path !== '/token' ? [...own, 'HEAD'] : own
    const allowed = answer.headers.get('allow')?.split(', ') ?? []
    expect(allowed.toSorted()).toEqual(all.toSorted())
  })
})

const EXPORT = '/_/api/exports/20261123-test'
const EXPORT_LINE = '{"kind":"repository","name":"hosted/none"}\n'
const EXPORT_INDEX = JSON.stringify({
  format: 'entrepot-export',
  version: 1,
  id: '20261123-test',
  at: 0,
  isNightly: false,
  counts: { repositories: 1, tags: 0, manifests: 0, blobs: 0, accounts: 0, pins: 0, empty: 0 },
  parts: [
    {
      sha256: '8edf476b4ddfe1fbf621e6ef4c514ef4e40049ebba2c768eaf2f69b2b6867dfa',
      bytes: 43,
      lines: 1,
    },
  ],
})

/** A request, and what it is to be an example of. */
interface Step {
  readonly id: string
  readonly path?: string
  readonly body?: unknown
  readonly status?: number
}

/** What an earlier answer of this run has told. */
type Told = Readonly<Record<string, string>>

const STEPS: readonly ((told: Told) => Step)[] = [
  () => ({ id: 'getHealth' }),
  () => ({ id: 'getMetrics' }),
  () => ({ id: 'getUpstreams' }),
  () => ({ id: 'listUpstreams' }),
  () => ({ id: 'getToken', path: '/token?service=registry.test&scope=repository:hosted/app:pull' }),
  () => ({ id: 'getToken', path: '/token?service=other.test', status: 400 }),
  () => ({
    id: 'postToken',
    body: new URLSearchParams({
      grant_type: 'password',
      service: 'registry.test',
      client_id: 'test',
      username: 'root',
      password: 'canary-secret-of-root',
    }),
  }),
  () => ({ id: 'listAccounts' }),
  () => ({
    id: 'addAccount',
    body: { name: 'ci', grants: [granting('hosted/**', 'pull')] },
    status: 201,
  }),
  () => ({ id: 'addAccount', body: { name: 'ci' }, status: 400 }),
  () => ({ id: 'listAccounts' }),
  () => ({ id: 'rotateAccount', path: '/_/api/accounts/ci/rotate' }),
  () => ({ id: 'revokeAccount', path: '/_/api/accounts/ci', status: 204 }),
  () => ({ id: 'revokeAccount', path: '/_/api/accounts/ci', status: 404 }),
  () => ({ id: 'getSwitches' }),
  () => ({
    id: 'setSwitches',
    body: {
      readOnly: false,
      noFills: false,
      noRedirect: true,
      alwaysStale: false,
      paused: ['two.test'],
    },
  }),
  () => ({ id: 'changeSwitches', body: { paused: [] } }),
  () => ({ id: 'changeSwitches', body: { wrong: true }, status: 400 }),
  () => ({ id: 'getAudit', path: '/_/api/audit?n=2' }),
  () => ({ id: 'getAudit' }),
  () => ({ id: 'listImages' }),
  () => ({ id: 'listImages', path: '/_/api/images?n=1' }),
  () => ({ id: 'listImages', path: '/_/api/images?kind=x', status: 400 }),
  () => ({ id: 'getImage', path: '/_/api/images/hosted/app' }),
  () => ({ id: 'getImage', path: '/_/api/images/hosted/app:v1' }),
  () => ({ id: 'getImage', path: '/_/api/images/one.test/a/b' }),
  () => ({ id: 'getImage', path: '/_/api/images/one.test/a/b:v1' }),
  () => ({ id: 'getImage', path: `/_/api/images/one.test/a/b@${ABSENT}`, status: 404 }),
  () => ({ id: 'getStorage' }),
  () => ({ id: 'startJob', body: { kind: 'purge', target: 'one.test/a/b:v1' }, status: 202 }),
  () => ({ id: 'startJob', body: { kind: 'purge' }, status: 400 }),
  () => ({ id: 'listJobs' }),
  ({ job }) => ({ id: 'getJob', path: `/_/api/jobs/${job}` }),
  ({ job }) => ({ id: 'getReport', path: `/_/api/jobs/${job}/report` }),
  ({ job }) => ({ id: 'getReport', path: `/_/api/jobs/${job}/report?from=x`, status: 400 }),
  ({ job }) => ({ id: 'cancelJob', path: `/_/api/jobs/${job}` }),
  () => ({ id: 'getJob', path: '/_/api/jobs/none', status: 404 }),
  () => ({ id: 'putPin', body: { image: 'one.test/a/b:v1' } }),
  () => ({ id: 'putPin', body: { image: 'one.test/a/b' }, status: 400 }),
  () => ({ id: 'listPins' }),
  () => ({ id: 'deletePin', path: '/_/api/pins?image=one.test/a/b:v1', status: 204 }),
  () => ({ id: 'deletePin', path: '/_/api/pins?image=one.test/a/b:v1', status: 404 }),
  () => ({ id: 'refresh', body: { image: 'one.test/a/b:v1' } }),
  () => ({ id: 'refresh', body: { image: 'one.test/a/b' } }),
  () => ({ id: 'refresh', body: { image: 'one.test/a/b:none' }, status: 404 }),
  () => ({ id: 'listExports' }),
  () => ({ id: 'putExport', path: EXPORT, body: 'no index', status: 400 }),
  () => ({ id: 'putExport', path: EXPORT, body: EXPORT_INDEX, status: 202 }),
  () => ({ id: 'putExport', path: `${EXPORT}?part=0`, body: EXPORT_LINE, status: 204 }),
  () => ({ id: 'putExport', path: EXPORT, body: EXPORT_INDEX, status: 201 }),
  () => ({ id: 'listExports' }),
  () => ({ id: 'getExport', path: EXPORT }),
  () => ({ id: 'deleteExport', path: EXPORT, status: 204 }),
  () => ({ id: 'deleteExport', path: EXPORT, status: 404 }),
]

/** Asks, and holds the answer and what was sent to the document. What it tells of a job. */
async function take(step: Step): Promise<Told> {
  const { id, path, body, status = 200 } = step
  const documented = OPERATIONS.find(({ operation }) => operation.operationId === id)
  if (documented === undefined) expect.fail(`${id} is not in the document`)
  const answer = await ask(documented.method, path ?? exampleOf(documented), body)
  const text = await answer.text()
  expect([id, answer.status, text]).toEqual([id, status, expect.any(String)])
  if (status < 400) expect(faultsOfBody(documented, body)).toEqual([])
  const value = readAnswer(documented, answer, text)
  const isJob = id === 'startJob' && status === 202
  return isJob ? { job: String(Reflect.get(Object(value), 'id')) } : {}
}

/** The value of an answer, which is what the document says of its status. */
function readAnswer(documented: Documented, answer: Response, text: string): unknown {
  const { content = {} } = answerOf(documented, answer.status) ?? expect.fail(`${answer.status}`)
  const [[type, described] = []] = Object.entries(content)
  expect(answer.headers.get('content-type')).toBe(type ?? null)
  const value: unknown = type === 'application/json' ? JSON.parse(text) : text
  const { operationId: id } = documented.operation
  expect([id, faultsOf(value, described?.schema ?? { const: '' })]).toEqual([id, []])
  return value
}

function faultsOfBody({ operation }: Documented, body: unknown): readonly string[] {
  const [described] = Object.values(operation.requestBody?.content ?? {})
  if (described === undefined) return body === undefined ? [] : ['a body that is not described']
  const value = body instanceof URLSearchParams ? Object.fromEntries(body) : body
  return faultsOf(value, described.schema)
}

describe('every answer', () => {
  it('is as the document says', async () => {
    const upstream = startUpstream()
    goOnline({ 'one.test': upstream })
    const amd64 = await sampleImage()
    await addSample(upstream, 'a/b', await sampleIndex([amd64]), 'v1')
    for (const each of ['v1', amd64.digest]) {
      await (await registry.get(`/v2/one.test/a/b/manifests/${each}`)).arrayBuffer()
    }
    await registry.pushImage('hosted/app', { reference: 'v1' })
    await registry.settle()
    let told: Told = {}
    for (const step of STEPS) told = { ...told, ...(await take(step(told))) }
    expect(Object.keys(told)).toEqual(['job'])
  })

  it('is asked for', () => {
    const asked = new Set(STEPS.map((step) => step({}).id))
    const ids = OPERATIONS.map(({ operation }) => operation.operationId)
    expect(ids.filter((id) => !asked.has(id))).toEqual([])
  })

  it.each(OPERATIONS.filter(({ path }) => !['/token', '/healthz'].includes(path)))(
    'to nobody is a refusal: $method $path',
    async (documented) => {
      const worker = startHosted({ ...OPEN, ANONYMOUS: [] })
      const answer = await worker.fetch(exampleOf(documented), { method: documented.method })
      expect([answer.status, answer.headers.get('content-type')]).toEqual([401, 'application/json'])
      const schema = answerOf(documented, 401)?.content?.['application/json']?.schema ?? {}
      expect(Object.keys(schema)).not.toEqual([])
      expect(faultsOf(await answer.json(), schema)).toEqual([])
    },
  )
})

function reference(name: string): string {
  return `#/components/schemas/${name}`
}

function closed(): Schema {
  return {
    type: 'object',
    properties: { healthy: { type: 'boolean' } },
    required: ['healthy'],
    additionalProperties: false,
  }
}

function time(): Schema {
  return { $ref: reference('Time') }
}
