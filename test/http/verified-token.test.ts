// An isolate verifies an access token once for each snapshot of keys and accounts, and remembers it until then. What
// is remembered is the signature and the claims, never the answer: every request is still held to its rights.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { accounts, add, authority, basic, bearer, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const SCOPE = 'repository:hosted/a:pull'
const PATH = '/v2/hosted/a/manifests/none'
/** Whoever may read is told that there is nothing. */
const PASSED = '404 MANIFEST_UNKNOWN'
const REFUSED = '401 UNAUTHORIZED'
/** What an access token is good for, and what clocks may differ by. */
const LIFE = 6 * MINUTE

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let worker: Isolate
/** Signatures that were looked at. */
let verified: () => number

beforeEach(async () => {
  clock = stopClock()
  vi.spyOn(console, 'log').mockReturnValue()
  const verify = vi.spyOn(crypto.subtle, 'verify')
  verified = () => verify.mock.calls.length
  const made = await accounts({
    ci: [granting('hosted/*', 'pull', 'push')],
    root: [granting('**', 'admin')],
  })
  settings = { HOSTED: OPEN.HOSTED, ...made }
  worker = isolate(settings)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Status and code of one request, e.g. to `:5000/v2/…`, which is the port of another service. */
async function ask(authorization: string, path = PATH, of = worker): Promise<string> {
  return refusalOf(await of.get(path, { authorization }))
}

function tokenFor(of = worker, ...scopes: readonly string[]): Promise<string> {
  return bearer(of, scopes.length > 0 ? scopes : [SCOPE], basic('ci'))
}

/** The same header and claims, under a signature that is none. */
function forge(token: string): string {
  const at = token.lastIndexOf('.') + 10
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}

/** An isolate whose object for accounts can be taken away. */
function isolateWithAuthority(): { worker: Isolate; takeAway: () => void } {
  let isAway = false
  const snapshot = async () => {
    if (isAway) throw new Error('away')
    return authority().snapshot()
  }
  const AUTHORITY = { getByName: () => ({ snapshot }) }
  return {
    worker: isolate({ ...settings, AUTHORITY }),
    takeAway: () => {
      isAway = true
    },
  }
}

describe('one signature is looked at', () => {
  it('once, for however many requests with a token', async () => {
    const token = await tokenFor()
    for (const path of [PATH, '/v2/hosted/a/manifests/other', PATH, PATH, PATH]) {
      expect(await ask(token, path)).toBe(PASSED)
    }
    expect(verified()).toBe(1)
  })

  it('once for each token', async () => {
    const tokens = [await tokenFor(), await tokenFor()]
    for (const token of [...tokens, ...tokens, ...tokens]) expect(await ask(token)).toBe(PASSED)
    expect(verified()).toBe(2)
  })

  it('once by each isolate', async () => {
    const token = await tokenFor()
    const other = isolate(settings)
    for (const each of [worker, other, worker, other]) {
      expect(await ask(token, PATH, each)).toBe(PASSED)
    }
    expect(verified()).toBe(2)
  })

  it('again for another audience, which the token is not for', async () => {
    const token = await tokenFor()
    expect(await ask(token)).toBe(PASSED)
    expect(await ask(token, `:5000${PATH}`)).toBe(REFUSED)
    expect(verified()).toBe(2)
    expect(await ask(token)).toBe(PASSED)
    expect(verified()).toBe(2)
  })

  it('again with the keys of a new snapshot', async () => {
    const token = await tokenFor()
    expect(await ask(token)).toBe(PASSED)
    clock.advance(MINUTE - 1)
    expect(await ask(token)).toBe(PASSED)
    expect(verified()).toBe(1)
    clock.advance(1)
    for (const want of [PASSED, PASSED]) expect(await ask(token)).toBe(want)
    expect(verified()).toBe(2)
  })
})

describe('a token that was verified is refused', () => {
  it('when its time is over, though the keys are still those that it was verified with', async () => {
    const { worker: held, takeAway } = isolateWithAuthority()
    const token = await tokenFor(held)
    expect(await ask(token, PATH, held)).toBe(PASSED)
    takeAway()
    const issuedAt = Math.floor(clock.now() / SECOND) * SECOND
    clock.advance(issuedAt + LIFE - 1 - clock.now())
    expect(await ask(token, PATH, held)).toBe(PASSED)
    expect(verified()).toBe(1)
    clock.advance(1)
    expect(await ask(token, PATH, held)).toBe(REFUSED)
    expect(held.lines('authority-away')).not.toEqual([])
  })

  it.each([
    { name: 'revoked', change: () => authority().revoke('made', 'a test') },
    { name: 'rotated', change: () => authority().rotate('made', 'a test') },
    {
      name: 'revoked, and made anew by that name',
      change: async () => {
        await authority().revoke('made', 'a test')
        await add('account', 'made', granting('hosted/a', 'pull'))
      },
    },
  ])('a minute after its account was $name elsewhere', async ({ change }) => {
    const secret = await add('account', 'made', granting('hosted/a', 'pull'))
    const token = await bearer(worker, [SCOPE], basic('made', secret))
    for (const want of [PASSED, PASSED]) expect(await ask(token)).toBe(want)
    await change()
    clock.advance(MINUTE)
    for (const want of [REFUSED, REFUSED]) expect(await ask(token)).toBe(want)
  })

  it.each([
    { name: 'revoked', method: 'DELETE', path: '/_/api/accounts/made' },
    { name: 'rotated', method: 'POST', path: '/_/api/accounts/made/rotate' },
  ])('at once where its account was $name by this isolate', async ({ method, path }) => {
    const secret = await add('account', 'made', granting('hosted/a', 'pull'))
    const token = await bearer(worker, [SCOPE], basic('made', secret))
    expect(await ask(token)).toBe(PASSED)
    const headers = { authorization: basic('root') }
    expect((await worker.fetch(path, { method, headers })).ok).toBe(true)
    expect(await ask(token)).toBe(REFUSED)
  })

  it.each([
    { name: 'of another repository', method: 'GET', path: '/v2/hosted/b/manifests/none' },
    { name: 'to push', method: 'POST', path: '/v2/hosted/a/blobs/uploads/' },
    { name: 'to delete', method: 'DELETE', path: PATH },
  ])('where a request asks for more than it is for: $name', async ({ method, path }) => {
    const token = await tokenFor()
    expect(await ask(token)).toBe(PASSED)
    const refused = await worker.fetch(path, { method, headers: { authorization: token } })
    expect(refused.headers.get('www-authenticate')).toContain('error="insufficient_scope"')
    expect(await refusalOf(refused)).toBe(REFUSED)
    expect(verified()).toBe(1)
  })

  it('as a refresh token', async () => {
    const token = await tokenFor()
    expect(await ask(token)).toBe(PASSED)
    const form = {
      service: 'registry.test',
      client_id: 'docker',
      scope: SCOPE,
      grant_type: 'refresh_token',
      refresh_token: token.replace('Bearer ', ''),
    }
    const answer = await worker.fetch('/token', { method: 'POST', body: new URLSearchParams(form) })
    expect(await refusalOf(answer)).toBe(REFUSED)
    expect(await ask(token)).toBe(PASSED)
  })
})

describe('a wrong token is looked at each time', () => {
  it('before any good one', async () => {
    const token = await tokenFor()
    for (const want of [REFUSED, REFUSED]) expect(await ask(forge(token))).toBe(want)
    expect(verified()).toBe(2)
    expect(await ask(token)).toBe(PASSED)
  })

  it.each([
    { name: 'with its claims', bend: forge },
    { name: 'without its signature', bend: (token: string) => token.replace(/[^.]+$/, '') },
    {
      name: 'with its signature, for more',
      bend: (token: string, more: string) =>
        more.replace(/[^.]+$/, token.slice(token.lastIndexOf('.') + 1)),
    },
  ])('after a good one that is remembered: $name', async ({ bend }) => {
    const token = await tokenFor()
    const more = await tokenFor(worker, SCOPE, 'repository:hosted/b:pull')
    for (const want of [PASSED, PASSED]) expect(await ask(token)).toBe(want)
    for (const want of [REFUSED, REFUSED]) expect(await ask(bend(token, more))).toBe(want)
    expect(await ask(token)).toBe(PASSED)
  })
})
