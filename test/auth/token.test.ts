// Tokens that were signed here are good where and while they are meant to be; nothing that anybody else can
// write is.

import { beforeAll, describe, expect, it, vi } from 'vitest'

import type { Access, SigningKey, Verifier, VerifyingKey } from '../../src/auth/token.ts'
import {
  createKey,
  signAccess,
  signRefresh,
  verifyAccess,
  verifyRefresh,
} from '../../src/auth/token.ts'
import { createPair, hmac, importPrivate, readToken, writeToken } from './jwt.ts'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const SECONDS = Math.floor(NOW / 1000)
const ISSUER = 'c0ffee'
const AUDIENCE = 'registry.test:5000'
const ACCESS: readonly Access[] = [
  { type: 'repository', name: 'docker.io/library/nginx', actions: ['pull'] },
]
const CLAIMS = {
  iss: ISSUER,
  sub: 'ci',
  aud: AUDIENCE,
  iat: SECONDS,
  nbf: SECONDS,
  exp: SECONDS + 300,
  jti: 'id',
  ver: '1',
  access: ACCESS,
}
const REFRESH_CLAIMS = {
  ...CLAIMS,
  ver: undefined,
  access: undefined,
  exp: SECONDS + 21_600,
  typ: 'refresh',
  grants: [{ repositories: ['hosted/**'], actions: ['pull', 'push'] }],
  entry: 'mark',
}
/** With `exp`, and a minute that clocks may differ by. */
const UNTIL = (SECONDS + 360) * 1000
const GOOD = { ok: true, subject: 'ci', version: '1', access: ACCESS, until: UNTIL }
const INVALID = { ok: false, reason: 'invalid' }

let key: SigningKey & VerifyingKey
let privateKey: CryptoKey
let header: Readonly<Record<string, unknown>>

beforeAll(async () => {
  key = await createKey()
  privateKey = await importPrivate(key.privateJWK)
  header = { alg: 'ES256', typ: 'JWT', kid: key.kid }
})

function verifier(changes: Partial<Verifier> = {}): Verifier {
  return { keys: [key], issuer: ISSUER, audience: AUDIENCE, now: NOW, ...changes }
}

function signer(): { key: SigningKey; issuer: string; audience: string; now: number } {
  return { key, issuer: ISSUER, audience: AUDIENCE, now: NOW }
}

describe('createKey', () => {
  it('keeps the private half out of what is published, and makes each time another', async () => {
    expect(Object.keys(key.publicJWK).toSorted()).toEqual(['crv', 'kty', 'x', 'y'])
    expect(key.privateJWK).toMatchObject({ ...key.publicJWK, d: expect.any(String) })
    expect(key.kid).toMatch(/^[\w-]{43}$/)
    expect((await createKey()).kid).not.toBe(key.kid)
  })
})

describe('an access token', () => {
  it('says what the protocol asks for, and nothing else', async () => {
    const { token, ...answer } = await signAccess(
      { subject: 'ci', version: '1', access: ACCESS },
      signer(),
    )
    expect(answer).toEqual({
      expiresIn: 300,
      issuedAt: '2026-01-02T03:04:05.000Z',
      access: ACCESS,
    })
    const [head, claims] = readToken(token)
    expect(head).toEqual(header)
    expect(claims).toEqual({ ...CLAIMS, jti: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  })

  it('has an id of its own', async () => {
    const sign = async (): Promise<unknown> => {
      const { token } = await signAccess({ subject: '', version: undefined, access: [] }, signer())
      return readToken(token)[1]['jti']
    }
    expect(await sign()).not.toBe(await sign())
  })

  it.each([
    { name: 'of an account', subject: 'ci', version: '1', access: ACCESS },
    { name: 'of nobody', subject: '', version: undefined, access: ACCESS },
    { name: 'for nothing', subject: 'ci', version: '1', access: [] },
    {
      name: 'for the catalogue',
      subject: 'ci',
      version: '1',
      access: [{ type: 'registry', name: 'catalog', actions: ['*'] }],
    },
  ] as const)('is good: $name', async ({ subject, version, access }) => {
    const claims = { subject, version, access }
    const { token } = await signAccess(claims, signer())
    expect(await verifyAccess(token, verifier())).toEqual({ ok: true, ...claims, until: UNTIL })
  })

  it('is good while its key signs no more but is still known', async () => {
    const { token } = await signAccess({ subject: 'ci', version: '1', access: ACCESS }, signer())
    const keys = [await createKey(), key]
    expect(await verifyAccess(token, verifier({ keys }))).toEqual(GOOD)
  })

  it('leaves out, from the end, what would make it too large for a header', async () => {
    const access = Array.from({ length: 100 }, (_, index) => ({
      type: 'repository' as const,
      name: `docker.io/${'a'.repeat(200)}/${index}`,
      actions: ['pull', 'push'],
    }))
    const subject = `https://token.example.com#${'ä'.repeat(512)}`
    const signed = await signAccess({ subject, version: undefined, access }, signer())
    expect(signed.token.length).toBeLessThanOrEqual(8192)
    expect(signed.access.length).toBeGreaterThan(10)
    expect(signed.access).toEqual(access.slice(0, signed.access.length))
    expect(await verifyAccess(signed.token, verifier())).toMatchObject({
      ok: true,
      access: signed.access,
    })
  })

  it('fills a header, but not more', async () => {
    const access = Array.from({ length: 1000 }, (_, index) => ({
      type: 'repository' as const,
      name: `a/${index}`,
      actions: ['pull'],
    }))
    const signed = await signAccess({ subject: 'ci', version: 'v', access }, signer())
    expect(signed.token.length).toBeLessThanOrEqual(8192)
    expect(signed.token.length).toBeGreaterThan(7500)
    expect((await verifyAccess(signed.token, verifier())).ok).toBe(true)
  })
})

describe('050: an algorithm that is not ours is refused', () => {
  const publicText = (): string => JSON.stringify(key.publicJWK)

  it('while the same token with ours is good', async () => {
    expect(await verifyAccess(await writeToken(header, CLAIMS, privateKey), verifier())).toEqual(
      GOOD,
    )
  })

  it.each(['none', 'None', 'NONE', 'nOnE', '', 'es256', 'ES384', 'RS256', 'PS256', 'EdDSA'])(
    'alg %j, unsigned, and signed by our key',
    async (alg) => {
      const head = { ...header, alg }
      expect(await verifyAccess(await writeToken(head, CLAIMS), verifier())).toEqual(INVALID)
      const signed = await writeToken(head, CLAIMS, privateKey)
      expect(await verifyAccess(signed, verifier())).toEqual(INVALID)
    },
  )

  it.each([
    { alg: 'HS256', hash: 'SHA-256' },
    { alg: 'HS512', hash: 'SHA-512' },
  ] as const)('$alg with our public key for a secret', async ({ alg, hash }) => {
    const token = await writeToken({ ...header, alg }, CLAIMS, hmac(hash, publicText()))
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it('RS256 by a key of that kind, also one that is known', async () => {
    const pair = await createPair('RS256', key.kid)
    const token = await writeToken({ ...header, alg: 'RS256' }, CLAIMS, pair.privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
    expect(await verifyAccess(token, verifier({ keys: [pair] }))).toEqual(INVALID)
  })

  it.each([
    { name: 'no alg', changes: { alg: undefined } },
    { name: 'a list', changes: { alg: ['ES256'] } },
    { name: 'an object', changes: { alg: { ES256: true } } },
    { name: 'null', changes: { alg: null } },
    { name: 'crit of something unknown', changes: { crit: ['x'], x: 1 } },
    { name: 'crit of nothing', changes: { crit: [] } },
    { name: 'crit of b64', changes: { crit: ['b64'], b64: true } },
    { name: 'b64 false', changes: { crit: ['b64'], b64: false } },
    { name: 'b64 false that is not critical', changes: { b64: false } },
    { name: 'zip', changes: { zip: 'DEF' } },
    { name: 'another type', changes: { typ: 'at+jwt' } },
    { name: 'no type', changes: { typ: undefined } },
    { name: 'a content type', changes: { cty: 'JWT' } },
  ])('$name', async ({ changes }) => {
    const token = await writeToken({ ...header, ...changes }, CLAIMS, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })
})

describe('051: a key that is not known is refused', () => {
  it.each([
    { name: 'unknown', kid: 'a'.repeat(43) },
    { name: 'missing', kid: undefined },
    { name: 'empty', kid: '' },
    { name: 'a path', kid: '../../etc/passwd' },
    { name: 'SQL', kid: `' OR 1=1 --` },
    { name: 'NUL', kid: 'a\0b' },
    { name: 'a number', kid: 0 },
    { name: 'a list', kid: ['a'] },
    { name: 'a member of every object', kid: 'constructor' },
  ])('kid $name', async ({ kid }) => {
    const token = await writeToken({ ...header, kid }, CLAIMS, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual({ ok: false, reason: 'unknown-key' })
  })

  it('kid around a known one', async () => {
    for (const kid of [`../${key.kid}`, `${key.kid}\0`, [key.kid]]) {
      const token = await writeToken({ ...header, kid }, CLAIMS, privateKey)
      expect(await verifyAccess(token, verifier())).toEqual({ ok: false, reason: 'unknown-key' })
    }
  })

  it('kid of a megabyte', async () => {
    const token = await writeToken({ ...header, kid: 'a'.repeat(1 << 20) }, CLAIMS, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it('a known kid with the signature of another key', async () => {
    const other = await createPair('ES256', key.kid)
    const token = await writeToken(header, CLAIMS, other.privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it('a key that has been forgotten', async () => {
    const token = await writeToken(header, CLAIMS, privateKey)
    const keys = [await createKey()]
    expect(await verifyAccess(token, verifier({ keys }))).toEqual({
      ok: false,
      reason: 'unknown-key',
    })
    expect(await verifyAccess(token, verifier({ keys: [] }))).toMatchObject({ ok: false })
  })
})

describe('052: no key is taken from a header', () => {
  it.each(['jwk', 'jku', 'x5u', 'x5c'])('%s', async (name) => {
    const attacker = await createPair('ES256', 'attacker')
    const values: Readonly<Record<string, unknown>> = {
      jwk: attacker.publicJWK,
      jku: 'https://attacker.example/jwks.json',
      x5u: 'https://attacker.example/x5u.pem',
      x5c: ['MIIB'],
    }
    const more = { [name]: values[name] }
    for (const head of [
      { alg: 'ES256', typ: 'JWT', ...more },
      { alg: 'ES256', typ: 'JWT', kid: attacker.kid, ...more },
      { ...header, ...more },
    ]) {
      const token = await writeToken(head, CLAIMS, attacker.privateKey)
      expect(await verifyAccess(token, verifier())).toMatchObject({ ok: false })
    }
    // Nor would we have signed such a header.
    const own = await writeToken({ ...header, ...more }, CLAIMS, privateKey)
    expect(await verifyAccess(own, verifier())).toEqual(INVALID)
  })
})

describe('054: a token for or by somebody else is refused', () => {
  it.each([
    { name: 'another audience', changes: { aud: 'other.test' } },
    { name: 'no audience', changes: { aud: undefined } },
    { name: 'an empty audience', changes: { aud: '' } },
    { name: 'the same host at another port', changes: { aud: 'registry.test' } },
    { name: 'the audience in upper case', changes: { aud: AUDIENCE.toUpperCase() } },
    { name: 'a list with ours, which we never sign', changes: { aud: [AUDIENCE, 'other.test'] } },
    { name: 'a list of ours', changes: { aud: [AUDIENCE] } },
    { name: 'an object', changes: { aud: { [AUDIENCE]: true } } },
    { name: 'another issuer', changes: { iss: 'c0ffee2' } },
    { name: 'no issuer', changes: { iss: undefined } },
    { name: 'a list of issuers', changes: { iss: [ISSUER] } },
    { name: 'no subject', changes: { sub: undefined } },
    { name: 'null for a subject', changes: { sub: null } },
    { name: 'no id', changes: { jti: undefined } },
    { name: 'a number for an id', changes: { jti: 1 } },
    { name: 'a number for a version', changes: { ver: 1 } },
    { name: 'no access', changes: { access: undefined } },
    { name: 'access that is no list', changes: { access: ACCESS[0] } },
    { name: 'access to another type', changes: { access: [{ ...ACCESS[0], type: 'all' }] } },
    { name: 'access without a name', changes: { access: [{ ...ACCESS[0], name: undefined }] } },
    { name: 'actions as text', changes: { access: [{ ...ACCESS[0], actions: 'pull' }] } },
    { name: 'null for access', changes: { access: [null] } },
  ])('$name', async ({ changes }) => {
    const token = await writeToken(header, { ...CLAIMS, ...changes }, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it('of a second deployment, which has other keys and another issuer', async () => {
    const second = await createKey()
    const { token } = await signAccess(
      { subject: 'ci', version: '1', access: ACCESS },
      { key: second, issuer: 'second', audience: AUDIENCE, now: NOW },
    )
    expect(await verifyAccess(token, verifier())).toMatchObject({ ok: false })
    expect(await verifyAccess(token, verifier({ keys: [second] }))).toEqual(INVALID)
  })
})

describe('056: time', () => {
  const TIMES = [
    { name: 'exp missing', changes: { exp: undefined } },
    { name: 'exp as text', changes: { exp: String(SECONDS + 300) } },
    { name: 'exp null', changes: { exp: null } },
    { name: 'exp a list', changes: { exp: [SECONDS + 300] } },
    { name: 'exp in milliseconds', changes: { exp: NOW + 300_000 } },
    { name: 'exp 1e308', changes: { exp: 1e308 } },
    { name: 'exp with a fraction', changes: { exp: SECONDS + 0.5 } },
    { name: 'exp a second later than we sign', changes: { exp: SECONDS + 301 } },
    { name: 'exp before iat', changes: { exp: SECONDS - 1 } },
    { name: 'exp at iat', changes: { exp: SECONDS } },
    { name: 'exp negative', changes: { exp: -1 } },
    { name: 'all in milliseconds', changes: { iat: NOW, nbf: NOW, exp: NOW + 300 } },
    { name: '065: iat missing', changes: { iat: undefined } },
    { name: 'iat as text', changes: { iat: String(SECONDS) } },
    { name: 'iat with a fraction', changes: { iat: SECONDS + 0.5 } },
    { name: 'nbf with a fraction', changes: { nbf: SECONDS - 0.5 } },
    { name: 'nbf missing', changes: { nbf: undefined } },
    { name: 'nbf as text', changes: { nbf: String(SECONDS) } },
    { name: 'nbf in the future', changes: { nbf: SECONDS + 61 } },
    { name: 'iat in the future', changes: { iat: SECONDS + 61, exp: SECONDS + 300 } },
    {
      name: 'iat an hour ago, exp as it is',
      changes: { iat: SECONDS - 3600, nbf: SECONDS - 3600 },
    },
  ]

  it.each(TIMES)('$name: refused', async ({ changes }) => {
    const token = await writeToken(header, { ...CLAIMS, ...changes }, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it.each(['NaN', '1e999', '0x7fffffff', '-Infinity'])('exp %s: refused', async (exp) => {
    const claims = JSON.stringify({ ...CLAIMS, exp: 0 }).replace('"exp":0', `"exp":${exp}`)
    const token = await writeToken(header, claims, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it.each([
    { name: 'exp 59 s ago', shift: 300 + 59, want: true },
    { name: 'exp 60 s ago', shift: 300 + 60, want: false },
    { name: 'exp 61 s ago', shift: 300 + 61, want: false },
    { name: 'iat and nbf in 59 s', shift: -59, want: true },
    { name: 'iat and nbf in 60 s', shift: -60, want: true },
    { name: 'iat and nbf in 61 s', shift: -61, want: false },
  ])('with a leeway of 60 s, $name: $want', async ({ shift, want }) => {
    const { token } = await signAccess({ subject: 'ci', version: '1', access: ACCESS }, signer())
    const { ok } = await verifyAccess(token, verifier({ now: NOW + shift * 1000 }))
    expect(ok).toBe(want)
  })

  it.each([
    { name: 'nbf', changes: { nbf: SECONDS + 60 }, want: true },
    { name: 'nbf', changes: { nbf: SECONDS + 61 }, want: false },
    { name: 'iat', changes: { iat: SECONDS + 60 }, want: true },
    { name: 'iat', changes: { iat: SECONDS + 61 }, want: false },
  ])('$name alone: $changes: $want', async ({ changes, want }) => {
    const token = await writeToken(header, { ...CLAIMS, ...changes }, privateKey)
    expect((await verifyAccess(token, verifier())).ok).toBe(want)
  })
})

describe('057: what is no token is refused before it costs anything', () => {
  it.each([
    { name: 'nothing', token: '' },
    { name: 'two parts', token: 'a.b' },
    {
      name: 'five parts (JWE)',
      token: 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0.a.b.c.d',
    },
    { name: 'no base64', token: '?.?.?' },
    { name: 'not ASCII', token: 'ä.ö.ü' },
    { name: 'a million dots', token: '.'.repeat(1_000_000) },
    { name: 'a megabyte', token: 'a'.repeat(1 << 20) },
    { name: 'a secret', token: 'a'.repeat(52) },
  ])('$name', async ({ token }) => {
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
    expect(await verifyRefresh(token, verifier())).toEqual(INVALID)
  })

  it('splits nothing that is too long', async () => {
    const split = vi.spyOn(String.prototype, 'split')
    const verified = await verifyAccess('.'.repeat(1_000_000), verifier())
    const texts = split.mock.contexts.map(String)
    split.mockRestore()
    expect(verified).toEqual(INVALID)
    expect(texts.filter((text) => text.startsWith('..'))).toEqual([])
  })

  it('one character more than a header takes, though signed by us', async () => {
    const sized = async (pad: number): Promise<string> =>
      await writeToken(header, { ...CLAIMS, pad: 'a'.repeat(pad) }, privateKey)
    const room = Math.floor(((8192 - (await sized(0)).length) * 3) / 4)
    expect(await verifyAccess(await sized(room - 4), verifier())).toEqual(GOOD)
    expect(await verifyAccess(await sized(room + 4), verifier())).toEqual(INVALID)
  })

  it.each([
    { name: 'claims that are no object', claims: '[]' },
    { name: 'claims that are no JSON', claims: '{' },
    { name: 'null', claims: 'null' },
    { name: 'deep claims', claims: '['.repeat(4000) + ']'.repeat(1000) },
  ])('$name', async ({ claims }) => {
    const token = await writeToken(header, claims, privateKey)
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it.each([
    { name: 'without its signature', bend: (token: string) => token.replace(/[^.]+$/, '') },
    { name: 'with a shorter one', bend: (token: string) => token.slice(0, -4) },
    { name: 'with something behind it', bend: (token: string) => `${token}.a` },
    { name: 'with a space before it', bend: (token: string) => ` ${token}` },
    { name: 'padded', bend: (token: string) => `${token}==` },
    {
      name: 'with other claims',
      bend: (token: string) => token.replace(/\.[^.]+\./, '.eyJzdWIiOiJyb290In0.'),
    },
  ])('a good token $name', async ({ bend }) => {
    const token = await writeToken(header, CLAIMS, privateKey)
    expect(await verifyAccess(bend(token), verifier())).toEqual(INVALID)
  })
})

describe('a refresh token', () => {
  const GRANTS = [{ repositories: ['hosted/**'], actions: ['pull', 'push'] }] as const
  const SUBJECT = 'https://token.example.com#repo:acme/app'
  const ENTRY = 'mark'

  it('is good for six hours, and gives back what it was signed for', async () => {
    const signed = await signRefresh({ subject: SUBJECT, grants: GRANTS, entry: ENTRY }, signer())
    expect(signed).toMatchObject({ expiresIn: 21_600, issuedAt: '2026-01-02T03:04:05.000Z' })
    const good = { ok: true, subject: SUBJECT, grants: GRANTS, entry: ENTRY }
    const at = (seconds: number): Verifier => verifier({ now: NOW + seconds * 1000 })
    expect(await verifyRefresh(signed.token, at(0))).toEqual(good)
    expect(await verifyRefresh(signed.token, at(21_600 + 59))).toEqual(good)
    expect(await verifyRefresh(signed.token, at(21_600 + 60))).toEqual(INVALID)
  })

  it('is no access token, and an access token is none', async () => {
    const { token } = await signRefresh(
      { subject: SUBJECT, grants: GRANTS, entry: ENTRY },
      signer(),
    )
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
    const access = await signAccess({ subject: 'ci', version: '1', access: ACCESS }, signer())
    expect(await verifyRefresh(access.token, verifier())).toEqual(INVALID)
  })

  it('is no access token either with access, in its first minutes', async () => {
    const claims = { ...CLAIMS, typ: 'refresh', grants: GRANTS, entry: ENTRY }
    const token = await writeToken(header, claims, privateKey)
    expect(await verifyRefresh(token, verifier())).toMatchObject({ ok: true })
    expect(await verifyAccess(token, verifier())).toEqual(INVALID)
  })

  it.each([
    { name: 'another audience', changes: { aud: 'other.test' } },
    { name: 'another issuer', changes: { iss: 'other' } },
    { name: 'no type', changes: { typ: undefined } },
    { name: 'another type', changes: { typ: 'Refresh' } },
    { name: 'no grants', changes: { grants: undefined } },
    { name: 'no entry', changes: { entry: undefined } },
    { name: 'grants that are no list', changes: { grants: {} } },
    { name: 'a grant of nothing', changes: { grants: [{}] } },
    {
      name: 'an unknown action',
      changes: { grants: [{ repositories: ['**'], actions: ['own'] }] },
    },
    { name: 'no pattern', changes: { grants: [{ repositories: ['A B'], actions: ['pull'] }] } },
    { name: 'seven hours', changes: { exp: SECONDS + 7 * 3600 } },
    { name: 'no end', changes: { exp: undefined } },
  ])('is refused with $name', async ({ changes }) => {
    const good = await writeToken(header, REFRESH_CLAIMS, privateKey)
    expect(await verifyRefresh(good, verifier())).toMatchObject({ ok: true })
    const token = await writeToken(header, { ...REFRESH_CLAIMS, ...changes }, privateKey)
    expect(await verifyRefresh(token, verifier())).toEqual(INVALID)
  })

  it('is not signed where it would be too large to be taken', async () => {
    const repositories = Array.from({ length: 1000 }, (_, index) => `hosted/team-${index}/**`)
    const grants = [{ repositories, actions: ['pull'] }] as const
    await expect(signRefresh({ subject: SUBJECT, grants, entry: ENTRY }, signer())).rejects.toThrow(
      RangeError,
    )
  })
})
