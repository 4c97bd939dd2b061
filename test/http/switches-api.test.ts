// `/_/api/switches`: who may switch, what is refused and why, that the audit has who and what, and that a paused
// upstream is shown as one.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { NO_SWITCHES } from '../../src/auth/switches.ts'
import { accounts, add, authority, basic, bearer, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const PATH = '/_/api/switches'
const ALL_ON = {
  readOnly: true,
  noFills: true,
  noRedirect: true,
  alwaysStale: true,
  paused: ['docker.io', 'one.test'],
}

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let registry: Isolate

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  const made = await accounts({
    root: [granting('**', 'admin')],
    writer: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { HOSTED: OPEN.HOSTED, ANONYMOUS: [granting('**', 'admin')], ...made }
  registry = isolate(settings)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** A request of the administrator, or of somebody else. */
function ask(
  method: string,
  body?: unknown,
  { authorization = basic('root'), type = 'application/json', path = PATH } = {},
): Promise<Response> {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  return registry.fetch(path, {
    method,
    headers: {
      ...(authorization !== '' && { authorization }),
      ...(text !== undefined && { 'content-type': type }),
    },
    ...(text !== undefined && { body: text }),
  })
}

async function shown(response: Response): Promise<unknown> {
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  return response.json()
}

/** Who did what to what, the newest first. */
async function audit(): Promise<readonly string[]> {
  const { audit: entries } = (await shown(
    await ask('GET', undefined, { path: '/_/api/audit' }),
  )) as { readonly audit: readonly Readonly<Record<string, string>>[] }
  return entries
    .filter(({ what }) => what !== 'rotate-key')
    .map(({ by, what, name }) => `${by} ${what} ${name}`)
}

describe('an administrator', () => {
  it('sees that nothing is switched where nobody has switched anything', async () => {
    expect(await shown(await ask('GET'))).toEqual(NO_SWITCHES)
    const head = await ask('HEAD')
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('sets all of them by PUT, and what GET shows can be put back', async () => {
    expect(await shown(await ask('PUT', ALL_ON))).toEqual(ALL_ON)
    const seen = await shown(await ask('GET'))
    expect(seen).toEqual(ALL_ON)
    expect(await shown(await ask('PUT', NO_SWITCHES))).toEqual(NO_SWITCHES)
    expect(await shown(await ask('PUT', seen))).toEqual(ALL_ON)
  })

  it('sets by PATCH what it names, and nothing else', async () => {
    expect(await shown(await ask('PATCH', { readOnly: true }))).toEqual({
      ...NO_SWITCHES,
      readOnly: true,
    })
    expect(await shown(await ask('PATCH', { paused: ['one.test'] }))).toEqual({
      ...NO_SWITCHES,
      readOnly: true,
      paused: ['one.test'],
    })
    expect(await shown(await ask('PATCH', { paused: [], readOnly: false }))).toEqual(NO_SWITCHES)
  })

  it('names a host in any spelling of the configuration, and is shown its own', async () => {
    const paused = ['ONE.test', 'registry-1.docker.io', 'index.docker.io', 'docker.io']
    expect(await shown(await ask('PATCH', { paused }))).toEqual({
      ...NO_SWITCHES,
      paused: ['docker.io', 'one.test'],
    })
  })

  it('stands in the audit with each switch that was turned, and with no other', async () => {
    await ask('PUT', { ...NO_SWITCHES, noFills: true, paused: ['one.test'] })
    clock.advance(SECOND)
    await ask('PATCH', { noFills: true })
    await ask('PATCH', { noFills: false, paused: ['docker.io'] })
    await ask('PATCH', { readOnly: 'yes' })
    expect((await audit()).toSorted()).toEqual([
      'root pause docker.io',
      'root pause one.test',
      'root resume one.test',
      'root switch-off noFills',
      'root switch-on noFills',
    ])
    const [line] = registry.lines('request')
    expect(line).toMatchObject({ endpoint: 'switches', caller: 'root', status: 200 })
  })

  it('can change accounts and switches while nothing else may be changed', async () => {
    await ask('PATCH', { readOnly: true })
    const body = { name: 'ci', grants: [granting('hosted/**', 'pull')] }
    expect((await ask('POST', body, { path: '/_/api/accounts' })).status).toBe(201)
    const authorization = basic('writer')
    const upload = '/v2/hosted/app/blobs/uploads/'
    expect((await ask('POST', undefined, { path: upload, authorization })).status).toBe(405)
    await ask('PATCH', { readOnly: false })
    expect((await ask('POST', undefined, { path: upload, authorization })).status).toBe(202)
  })

  it('is told when the object is away, and the isolate goes by what it has been told', async () => {
    let isAway = false
    const binding = {
      getByName: () => (isAway ? broken('store') : authority()),
    }
    registry = isolate({ ...settings, AUTHORITY: binding })
    await ask('PATCH', { readOnly: true })
    isAway = true
    for (const answer of [await ask('GET'), await ask('PATCH', { readOnly: false })]) {
      expect(answer.headers.get('retry-after')).toBe('10')
      expect(await refusalOf(answer)).toBe('503 UNKNOWN')
    }
    const upload = { path: '/v2/hosted/app/blobs/uploads/', authorization: basic('writer') }
    expect((await ask('POST', undefined, upload)).status).toBe(405)
  })

  it('sees which upstreams are paused, alternates with their own', async () => {
    await ask('PATCH', { paused: ['backed.test'] })
    const { upstreams } = (await shown(await ask('GET', undefined, { path: '/_/upstreams' }))) as {
      readonly upstreams: readonly { readonly url: string; readonly paused: boolean }[]
    }
    const paused = upstreams.filter((each) => each.paused).map(({ url }) => url)
    expect(paused.toSorted()).toEqual([
      'https://backed.test',
      'https://second.test',
      'https://third.test',
    ])
    expect(upstreams.length).toBeGreaterThan(paused.length)
  })
})

describe('whoever is no administrator', () => {
  it.each([
    { name: 'nobody, whatever ANONYMOUS grants', show: async () => '' },
    { name: 'an account without the grant', show: async () => basic('writer') },
    { name: 'a wrong secret', show: async () => basic('root', 'another') },
    { name: 'a token', show: async () => bearer(registry, [], basic('root')) },
  ])('$name sees nothing and switches nothing', async ({ show }) => {
    const authorization = await show()
    for (const [method, body] of [
      ['GET'],
      ['PUT', ALL_ON],
      ['PATCH', { readOnly: true }],
    ] as const) {
      const answer = await ask(method, body, { authorization })
      expect([method, await refusalOf(answer)]).toEqual([method, '401 UNAUTHORIZED'])
    }
    expect((await authority().snapshot()).switches).toEqual(NO_SWITCHES)
  })

  it('by a capability there is no such path', async () => {
    const secret = await add('capability', 'nodes', granting('**', 'pull'))
    const answer = await ask('GET', undefined, { path: `/t/${secret}${PATH}`, authorization: '' })
    expect(answer.status).toBe(404)
  })
})

describe('a body', () => {
  it.each([
    { name: 'of another type', body: {}, type: 'text/plain', field: 'Content-Type' },
    { name: 'that is none', body: '', field: '' },
    { name: 'that is no object', body: '[]', field: '' },
    { name: 'with a key twice', body: '{"readOnly":true,"readOnly":false}', field: '' },
    { name: 'that names nothing', body: {}, field: '' },
    { name: 'with a name that is no switch', body: { readonly: true }, field: 'readonly' },
    { name: 'with one that every object has', body: '{"__proto__":{}}', field: '__proto__' },
    { name: 'with a text for a switch', body: { noFills: 'true' }, field: 'noFills' },
    { name: 'with null for a switch', body: { alwaysStale: null }, field: 'alwaysStale' },
    { name: 'with a number for a switch', body: { noRedirect: 1 }, field: 'noRedirect' },
    { name: 'with a host for hosts', body: { paused: 'one.test' }, field: 'paused' },
    { name: 'with no text for a host', body: { paused: [7] }, field: 'paused[0]' },
    {
      name: 'with a host that is not configured',
      body: { paused: ['one.test', 'quay.example'] },
      field: 'paused[1]',
    },
  ])('$name is refused, and nothing is switched', async ({ body, type, field }) => {
    const answer = await ask('PATCH', body, type === undefined ? {} : { type })
    expect(answer.status).toBe(400)
    const { errors } = (await answer.json()) as {
      readonly errors: readonly { readonly detail: object }[]
    }
    expect(errors).toMatchObject([{ code: 'UNSUPPORTED_VALUE', detail: { field } }])
    expect((await authority().snapshot()).switches).toEqual(NO_SWITCHES)
    expect(await audit()).toEqual([])
  })

  it('of PUT must name every switch', async () => {
    const { paused, ...others } = ALL_ON
    expect(paused).toHaveLength(2)
    const answer = await ask('PUT', others)
    expect(await answer.clone().text()).toContain('paused: PUT sets all switches')
    expect(await refusalOf(answer)).toBe('400 MISSING_REQUIRED_FIELD')
  })

  it('is told which hosts there are', async () => {
    const answer = await ask('PATCH', { paused: ['quay.example'] })
    expect(await answer.text()).toMatch(
      /paused\[0\]: expected a host of UPSTREAMS \(.*backed\.test.*, docker\.io.*one\.test/,
    )
  })

  it('that is too large is refused', async () => {
    const answer = await ask('PATCH', { paused: ['x'.repeat(70_000)] })
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
  })
})
