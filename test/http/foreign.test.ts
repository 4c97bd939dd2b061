// What a page of another site has a browser send, with the login of an administrator: nothing is changed by it.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { API_ROUTES } from '../../src/http/api.ts'
import { accounts, authority, basic, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const OWN = 'https://registry.test'
const CHANGES = [
  'POST /_/api/accounts',
  'DELETE /_/api/accounts/ci',
  'POST /_/api/accounts/ci/rotate',
  'POST /_/api/jobs',
  'DELETE /_/api/jobs/purge-1',
  'PUT /_/api/exports/1',
  'DELETE /_/api/exports/1',
  'PUT /_/api/pins',
  'DELETE /_/api/pins',
  'POST /_/api/refresh',
  'PUT /_/api/switches',
  'PATCH /_/api/switches',
]

let registry: Isolate

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  const made = await accounts({ root: [granting('**', 'admin')] })
  registry = isolate({ ...made, PUBLIC_URL: OWN })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function send(change: string, headers: Readonly<Record<string, string>>): Promise<Response> {
  const [method = '', path = ''] = change.split(' ')
  const json = { 'content-type': 'application/json' }
  const body = method === 'DELETE' || path.endsWith('/rotate') ? {} : { body: '{}' }
  return registry.fetch(path, {
    method,
    headers: { authorization: basic('root'), ...json, ...headers },
    ...body,
  })
}

describe('a change that a page of another site sends', () => {
  it.each(CHANGES)('%s is refused', async (change) => {
    for (const headers of [
      { origin: 'https://evil.test' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: OWN },
    ]) {
      expect(await refusalOf(await send(change, headers))).toBe('403 DENIED')
    }
    expect((await authority().audit()).filter(({ what }) => what !== 'rotate-key')).toEqual([])
  })

  it('is every change that there is', () => {
    const changes = API_ROUTES.flatMap(({ path, methods }) =>
      Object.keys(methods)
        .filter((method) => method !== 'GET' && method !== 'HEAD')
        .map((method) => ({ path, method })),
    )
    for (const { path, method } of changes) {
      const known = CHANGES.map((change) => change.split(' '))
      const isKnown = known.some(([by, to = '']) => by === method && path.test(to))
      expect([method, path.source, isKnown]).toEqual([method, path.source, true])
    }
  })

  it.each([{}, { origin: OWN }, { 'sec-fetch-site': 'same-origin', origin: OWN }])(
    'from here, or from a program, is made: %o',
    async (headers) => {
      const path = '/_/api/switches'
      const answer = await registry.fetch(path, {
        method: 'PATCH',
        headers: { authorization: basic('root'), 'content-type': 'application/json', ...headers },
        body: '{"readOnly":true}',
      })
      expect(answer.status).toBe(200)
    },
  )
})
