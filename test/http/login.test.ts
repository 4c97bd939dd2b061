// Who sends a request: passwords and tokens, good, wrong, foreign and no longer good, and what each costs.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { accounts, add, authority, basic, bearer, granting, secretOf } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { broken } from '../support/operations.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const PRIVATE = '/v2/hosted/a/tags/list'
const SCOPE = 'repository:hosted/a:pull'
/** What a caller is told who may look, where there is nothing. */
const PASSED = '404 NAME_UNKNOWN'
const CHALLENGE = 'Bearer realm="https://registry.test/token",service="registry.test"'

let clock: Clock
let settings: Readonly<Record<string, unknown>>

beforeEach(async () => {
  clock = stopClock()
  const made = await accounts({
    ci: [granting('hosted/a', 'pull')],
    other: [granting('hosted/b', 'pull')],
  })
  settings = { HOSTED: OPEN.HOSTED, ...made }
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function ask(worker: Isolate, authorization: string | undefined, path = PRIVATE) {
  const answer = await worker.get(path, authorization === undefined ? {} : { authorization })
  const challenge = answer.headers.get('www-authenticate')
  return { refusal: answer.ok ? '200' : await refusalOf(answer), challenge }
}

describe('credentials', () => {
  it.each([
    { name: 'a password', show: async () => basic('ci') },
    { name: 'a password in lower case', show: async () => basic('ci').replace('B', 'b') },
    { name: 'a token', show: (worker: Isolate) => bearer(worker, [SCOPE], basic('ci')) },
    {
      name: 'a token, its scheme in capitals',
      show: async (worker: Isolate) =>
        (await bearer(worker, [SCOPE], basic('ci'))).replace('Bearer', 'BEARER'),
    },
    {
      name: 'a token, two spaces before it',
      show: async (worker: Isolate) =>
        (await bearer(worker, [SCOPE], basic('ci'))).replace(' ', '  '),
    },
  ])('T053, T061: $name: good', async ({ show }) => {
    const worker = isolate(settings)
    expect(await ask(worker, await show(worker))).toEqual({ refusal: PASSED, challenge: null })
  })

  it.each([
    { name: 'nothing', show: () => undefined, error: '' },
    { name: 'an empty value', show: () => '', error: '' },
    { name: 'a wrong password', show: () => basic('ci', 'x'), error: '' },
    {
      name: 'a token as Basic',
      show: (token: string) => token.replace('Bearer', 'Basic'),
      error: '',
    },
    {
      name: 'a token of another scheme',
      show: (token: string) => token.replace('Bearer', 'Token'),
      error: '',
    },
    {
      name: 'a token twice',
      show: (token: string) => `${token}, ${token}`,
      error: ',error="invalid_token"',
    },
    {
      name: 'a token and a password',
      show: (token: string) => `${token}, ${basic('ci')}`,
      error: ',error="invalid_token"',
    },
    {
      name: 'a token with something behind it',
      show: (token: string) => `${token} x`,
      error: ',error="invalid_token"',
    },
    {
      name: 'half a token',
      show: (token: string) => token.slice(0, -40),
      error: ',error="invalid_token"',
    },
    { name: 'no token', show: () => 'Bearer x', error: ',error="invalid_token"' },
    { name: 'an empty token', show: () => 'Bearer', error: ',error="invalid_token"' },
    { name: 'dots', show: () => `Bearer ${'.'.repeat(20_000)}`, error: ',error="invalid_token"' },
    {
      name: 'what is no ASCII',
      show: () => 'Bearer \u00e4\u00f6',
      error: ',error="invalid_token"',
    },
  ])('T053: $name: not good', async ({ show, error }) => {
    const worker = isolate(settings)
    const token = await bearer(worker, [SCOPE], basic('ci'))
    expect(await ask(worker, show(token))).toEqual({
      refusal: '401 UNAUTHORIZED',
      challenge: `${CHALLENGE},scope="${SCOPE}"${error}`,
    })
    expect(JSON.stringify(worker.lines())).not.toContain(token.slice(20))
  })

  it.each([
    { name: 'of another account', scope: SCOPE, as: 'other' },
    { name: 'of nobody', scope: SCOPE, as: undefined },
    { name: 'for another repository', scope: 'repository:hosted/b:pull', as: 'ci' },
    { name: 'for nothing', scope: 'registry:catalog:*', as: 'ci' },
  ])('a token $name is good, and not enough', async ({ scope, as }) => {
    const worker = isolate(settings)
    const token = await bearer(worker, [scope], as && basic(as))
    expect(await ask(worker, token)).toEqual({
      refusal: '401 UNAUTHORIZED',
      challenge: `${CHALLENGE},scope="${SCOPE}",error="insufficient_scope"`,
    })
  })

  it('T054: a token of another deployment, of another host, or of another issuer is none', async () => {
    const worker = isolate(settings)
    const elsewhere = isolate({ ...settings, PUBLIC_URL: 'https://elsewhere.test' })
    const token = await bearer(elsewhere, [SCOPE], basic('ci'))
    expect((await ask(elsewhere, token)).refusal).toBe(PASSED)
    expect((await ask(worker, token)).challenge).toContain('invalid_token')
    const own = await bearer(worker, [SCOPE], basic('ci'))
    expect((await ask(elsewhere, own)).challenge).toContain('invalid_token')
    await reset()
    expect((await ask(isolate(settings), own)).challenge).toContain('invalid_token')
  })

  it('T136: no other header says who it is', async () => {
    const worker = isolate(settings)
    const token = await bearer(worker, [SCOPE], basic('ci'))
    const answer = await worker.get(PRIVATE, {
      cookie: `session=${token}`,
      'proxy-authorization': token,
      'x-registry-auth': basic('ci'),
      'x-forwarded-user': 'ci',
      'x-webauth-user': 'ci',
      'cf-access-jwt-assertion': token,
    })
    expect(await refusalOf(answer)).toBe('401 UNAUTHORIZED')
  })
})

describe('T066: what was good', () => {
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
  ])('is not, a minute after its account was $name: password and token', async ({ change }) => {
    const secret = await add('account', 'made', granting('hosted/a', 'pull'))
    const worker = isolate(settings)
    const shown = [basic('made', secret), await bearer(worker, [SCOPE], basic('made', secret))]
    for (const each of shown) expect((await ask(worker, each)).refusal).toBe(PASSED)
    await change()
    clock.advance(MINUTE + SECOND)
    for (const each of shown) expect((await ask(worker, each)).refusal).toBe('401 UNAUTHORIZED')
    expect((await worker.get('/token', { authorization: shown[0] ?? '' })).status).toBe(401)
  })

  it('is not, where the configuration has another secret for the name', async () => {
    const before = isolate(settings)
    const token = await bearer(before, [SCOPE], basic('ci'))
    const made = await accounts({ ci: [granting('hosted/a', 'pull')] })
    const [entry] = JSON.parse(made.ACCOUNTS)
    const changed = { ...entry, secretHash: 'f'.repeat(64) }
    const after = isolate({ ...settings, ACCOUNTS: JSON.stringify([changed]) })
    expect((await ask(after, token)).refusal).toBe('401 UNAUTHORIZED')
    expect((await ask(after, basic('ci'))).refusal).toBe('401 UNAUTHORIZED')
  })

  it('a token ends after five minutes, and a minute for clocks', async () => {
    const worker = isolate(settings)
    const token = await bearer(worker, [SCOPE], basic('ci'))
    clock.advance(5 * MINUTE + 50 * SECOND)
    expect((await ask(worker, token)).refusal).toBe(PASSED)
    clock.advance(20 * SECOND)
    expect(await ask(worker, token)).toEqual({
      refusal: '401 UNAUTHORIZED',
      challenge: `${CHALLENGE},scope="${SCOPE}",error="invalid_token"`,
    })
  })
})

describe('/v2/', () => {
  const good = (worker: Isolate) => bearer(worker, [], basic('ci'))

  it.each([
    { name: 'an account', show: async () => basic('ci'), want: '200' },
    { name: 'a token of an account', show: good, want: '200' },
    { name: 'a token of nobody', show: (worker: Isolate) => bearer(worker, []), want: '200' },
    { name: 'nothing', show: async () => undefined, want: CHALLENGE },
    { name: 'a foreign password', show: async () => basic('me', 'x'), want: CHALLENGE },
    {
      name: 'a foreign token',
      show: async () => 'Bearer abc',
      want: `${CHALLENGE},error="invalid_token"`,
    },
  ])('T069: with $name: $want', async ({ show, want }) => {
    const worker = isolate(settings)
    const { refusal, challenge } = await ask(worker, await show(worker), '/v2/')
    expect([refusal, challenge]).toEqual(
      want === '200' ? ['200', null] : ['401 UNAUTHORIZED', want],
    )
  })

  it.each([
    { name: 'nobody could log in', more: {}, want: '200' },
    { name: 'only a capability was made', more: {}, made: 'capability', want: '200' },
    {
      name: 'only an administrator could',
      more: {},
      made: 'account',
      action: 'admin',
      want: '200',
    },
    { name: 'an account was made', more: {}, made: 'account', want: '401 UNAUTHORIZED' },
    {
      name: 'an issuer is trusted',
      more: {
        OIDC_ISSUERS: [
          {
            issuer: 'github',
            audience: 'registry.test',
            claims: { repository_owner: 'acme' },
            grants: [granting('hosted/**', 'push')],
          },
        ],
      },
      want: '401 UNAUTHORIZED',
    },
    {
      name: 'it is not known, because the object is away',
      more: { AUTHORITY: broken('objects') },
      want: '401 UNAUTHORIZED',
    },
  ] as const)('with nothing, where $name: $want', async (row) => {
    const action = 'action' in row ? row.action : 'pull'
    if ('made' in row) await add(row.made, 'made', granting('hosted/**', action))
    const { refusal } = await ask(isolate({ HOSTED: OPEN.HOSTED, ...row.more }), undefined, '/v2/')
    expect(refusal).toBe(row.want)
  })

  it('T104: the realm is where clients reach the registry, and no header says where that is', async () => {
    const headers = {
      host: 'evil.test',
      'x-forwarded-host': 'evil.test',
      forwarded: 'host=evil.test',
    }
    const own = await isolate(settings).get('/v2/', headers)
    expect(own.headers.get('www-authenticate')).toBe(CHALLENGE)
    const PUBLIC_URL = 'https://images.example.com'
    const set = await isolate({ ...settings, PUBLIC_URL }).get('/v2/', headers)
    expect(set.headers.get('www-authenticate')).toBe(
      'Bearer realm="https://images.example.com/token",service="images.example.com"',
    )
  })
})

describe('what anybody may', () => {
  const PUBLIC = { ...OPEN, AUTHORITY: broken('objects'), LOGIN_LIMIT: undefined }

  it.each([undefined, '', 'Bearer abc', 'Basic abc', basic('ci', 'wrong'), 'Negotiate abc'])(
    'T041: with %j costs no look at accounts',
    async (authorization) => {
      const worker = isolate(PUBLIC)
      expect((await ask(worker, authorization)).refusal).toBe(PASSED)
      expect(worker.lines('request')[0]?.['caller']).toBeUndefined()
    },
  )

  it.each([
    { name: 'a foreign password', show: basic('me', 'x'), want: '503 UNKNOWN' },
    { name: 'a token', show: 'Bearer abc', want: '503 UNKNOWN' },
    { name: 'nothing', show: undefined, want: '401 UNAUTHORIZED' },
    { name: 'an account of the configuration', show: basic('ci'), want: PASSED },
  ])('not, and accounts are away: $name: $want', async ({ show, want }) => {
    const worker = isolate({ ...settings, AUTHORITY: broken('objects') })
    expect((await ask(worker, show)).refusal).toBe(want)
  })
})

describe('a wrong password', () => {
  /** A limit as the platform has it, of so many for a key. */
  function limited(limit: number) {
    const keys: string[] = []
    const binding = {
      limit: async ({ key }: { readonly key: string }) => {
        keys.push(key)
        return { success: keys.filter((each) => each === key).length <= limit }
      },
    }
    return { binding, keys }
  }

  it.each([
    { name: 'a known name', account: 'ci', key: 'ci local' },
    { name: 'an unknown one', account: 'nobody', key: 'nobody local' },
    { name: 'one that is none', account: 'No Name', key: ' local' },
  ])('T058: for $name, ten times, then 429; a right one always passes', async (row) => {
    const { binding, keys } = limited(10)
    const worker = isolate({ ...settings, LOGIN_LIMIT: binding })
    const wrong = basic(row.account, 'wrong')
    for (let time = 0; time < 10; time++) {
      const path = time % 2 === 0 ? '/token' : PRIVATE
      expect((await ask(worker, wrong, path)).refusal).toBe('401 UNAUTHORIZED')
    }
    for (const path of ['/token', '/v2/', PRIVATE, '/_/upstreams']) {
      const answer = await worker.get(path, { authorization: wrong })
      expect(answer.headers.get('retry-after')).toBe('60')
      expect(answer.headers.get('www-authenticate')).toBeNull()
      expect(await refusalOf(answer)).toBe('429 TOOMANYREQUESTS')
    }
    expect(new Set(keys)).toEqual(new Set([row.key]))
    expect((await ask(worker, basic('ci'), '/v2/')).refusal).toBe('200')
    expect((await ask(worker, basic('ci'))).refusal).toBe(PASSED)
    // Another name, and what needs no login, are not affected.
    expect((await ask(worker, basic('other', 'x'))).refusal).toBe('401 UNAUTHORIZED')
    const open = isolate({ ...OPEN, LOGIN_LIMIT: binding })
    expect((await ask(open, wrong)).refusal).toBe(PASSED)
  })

  it.each([
    { name: 'absent', binding: undefined },
    { name: 'broken', binding: { limit: () => Promise.reject(new Error('away')) } },
  ])('is 401 while the limit is $name', async ({ binding }) => {
    const worker = isolate({ ...settings, LOGIN_LIMIT: binding })
    expect((await ask(worker, basic('ci', 'wrong'))).refusal).toBe('401 UNAUTHORIZED')
  })

  it('shows nowhere', async () => {
    const worker = isolate(settings)
    const shown = [basic('ci', 'canary-wrong'), basic('ci'), basic('canary-name', secretOf('ci'))]
    const answers: unknown[] = []
    for (const authorization of shown) {
      const answer = await worker.get('/v2/hosted/b/tags/list', { authorization })
      answers.push([await answer.text(), ...answer.headers])
    }
    expect(JSON.stringify([answers, worker.lines()])).not.toContain('canary')
    expect(worker.lines('request').map(({ caller }) => caller)).toEqual([
      undefined,
      'ci',
      undefined,
    ])
  })
})
