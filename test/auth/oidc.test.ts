// Who logs in by an ID token: only whom a configured issuer vouches for, by keys that this issuer publishes
// at its own origin, and only for what the claims are worth.

import { beforeAll, beforeEach, describe, expect, it } from 'vitest'

import type { GrantText } from '../../src/auth/account.ts'
import type { FetchJSON } from '../../src/auth/issuer-keys.ts'
import { readDocuments } from '../../src/auth/issuer-keys.ts'
import { findOpenIssuer, presetIssuer } from '../../src/auth/oidc-preset.ts'
import type { OIDCIssuer } from '../../src/auth/oidc.ts'
import { OIDC, looksLikeIDToken, markOf } from '../../src/auth/oidc.ts'
import { createSecret } from '../../src/auth/account.ts'
import { Outbound, OutboundError } from '../../src/outbound.ts'
import type { OutboundRequest } from '../../src/outbound.ts'
import type { Pair } from './jwt.ts'
import { createPair, hmac, writeToken } from './jwt.ts'

const GITHUB = 'https://token.actions.githubusercontent.com'
const GITLAB = 'https://gitlab.com'
const AUDIENCE = 'registry.test'
const SECOND = 1000
const MINUTE = 60 * SECOND
const START = Date.UTC(2026, 0, 2, 3, 4, 5)
const SECONDS = START / 1000
const GRANTS: readonly GrantText[] = [{ repositories: ['hosted/acme/**'], actions: ['push'] }]
const OTHER_GRANTS: readonly GrantText[] = [{ repositories: ['hosted/**'], actions: ['pull'] }]

/** As GitHub documents them, shortened. */
const CLAIMS = {
  iss: GITHUB,
  sub: 'repo:acme/app:ref:refs/heads/main',
  aud: AUDIENCE,
  iat: SECONDS,
  nbf: SECONDS,
  exp: SECONDS + 300,
  jti: 'id',
  repository: 'acme/app',
  repository_owner: 'acme',
  repository_owner_id: '65',
  ref: 'refs/heads/main',
  environment: 'production',
  run_attempt: '1',
}
const ENTRY: OIDCIssuer = {
  issuer: GITHUB,
  audience: AUDIENCE,
  claims: { repository: 'acme/*' },
  grants: GRANTS,
}
const GOOD = {
  ok: true,
  subject: `${GITHUB}#${CLAIMS.sub}`,
  grants: GRANTS,
  entry: expect.stringMatching(/^[0-9a-f]{64}$/),
}

let rsa: Pair
let ec: Pair
let strange: Pair
let now: number
let asked: string[]
let logged: string[]
let documents: Map<string, unknown>

beforeAll(async () => {
  rsa = await createPair('RS256', 'rsa-1')
  ec = await createPair('ES256', 'ec-1')
  strange = await createPair('RS256', 'rsa-2')
})

beforeEach(() => {
  now = START
  asked = []
  logged = []
  documents = new Map()
  publish(GITHUB, [published(rsa), published(ec)])
  publish(GITLAB, [published(rsa)])
})

/** A key as an issuer publishes it. */
function published(pair: Pair): object {
  return { ...pair.publicJWK, kid: pair.kid, use: 'sig', key_ops: ['verify'], x5c: ['MIIB'] }
}

function publish(issuer: string, keys: unknown, configuration: object = {}): void {
  documents.set(`${issuer}/.well-known/openid-configuration`, {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    ...configuration,
  })
  documents.set(`${issuer}/jwks`, { keys })
}

const fetchJSON: FetchJSON = async (url) => {
  asked.push(url)
  const document = documents.get(url)
  if (document === undefined) throw new Error('nobody there')
  return await Promise.resolve(document)
}

function oidc(...issuers: readonly OIDCIssuer[]): OIDC {
  return new OIDC({
    issuers: issuers.length === 0 ? [ENTRY] : issuers,
    fetchJSON,
    now: () => now,
    log: (event, fields) => void logged.push(JSON.stringify({ event, ...fields })),
  })
}

async function idToken(
  claims: object = {},
  { header = {}, by = rsa }: { readonly header?: object; readonly by?: Pair } = {},
): Promise<string> {
  const alg = by === ec ? 'ES256' : 'RS256'
  const head = { alg, typ: 'JWT', kid: by.kid, x5t: 'a', ...header }
  return await writeToken(head, { ...CLAIMS, ...claims }, by.privateKey)
}

const refusal = (reason: string): unknown => ({ ok: false, reason })

describe('looksLikeIDToken', () => {
  it('knows one', async () => {
    expect(looksLikeIDToken(await idToken())).toBe(true)
  })

  it.each([
    '',
    createSecret(),
    'a.b.c',
    'eyJ.eyJ',
    'eyJhbGciOiJub25lIn0.eyJ9.',
    'eyJh.eyJh.a.b.c',
    'eyJh.eyJh.a\n',
    'glpat-abc.def',
    `eyJh.eyJh.${'a'.repeat(17_000)}`,
    '.'.repeat(1_000_000),
  ])('takes nothing else for one: %.20s', (text) => {
    expect(looksLikeIDToken(text)).toBe(false)
  })
})

describe('an ID token', () => {
  it('of a configured issuer gives the grants of its entry', async () => {
    expect(await oidc().verify(await idToken())).toEqual(GOOD)
    expect(await oidc().verify(await idToken({}, { by: ec }))).toEqual(GOOD)
  })

  it('has its keys asked for at the issuer, nowhere else', async () => {
    await oidc().verify(await idToken())
    expect(asked).toEqual([`${GITHUB}/.well-known/openid-configuration`, `${GITHUB}/jwks`])
  })

  it.each([
    { name: 'an unknown issuer', claims: { iss: 'https://evil.test' } },
    { name: 'an issuer with a slash more', claims: { iss: `${GITHUB}/` } },
    { name: 'an issuer in upper case', claims: { iss: GITHUB.toUpperCase() } },
    { name: 'an issuer that begins like it', claims: { iss: `${GITHUB}.evil.test` } },
    { name: 'an issuer over http', claims: { iss: GITHUB.replace('https', 'http') } },
    { name: 'another issuer on that host', claims: { iss: `${GITHUB}/octo-enterprise` } },
  ])('059: of $name is refused, and nobody is asked', async ({ claims }) => {
    expect(await oidc().verify(await idToken(claims))).toEqual(refusal('unknown-issuer'))
    expect(asked).toEqual([])
  })

  it('of one configured issuer is no good with the keys of another', async () => {
    publish(GITLAB, [published(strange)])
    const known = oidc(ENTRY, { ...ENTRY, issuer: GITLAB })
    const token = await idToken({}, { by: strange })
    expect(await known.verify(token)).toEqual(refusal('unknown-key'))
    expect(asked.some((url) => url.startsWith(GITLAB))).toBe(false)
  })

  it('can be one of GitLab', async () => {
    const entry = {
      ...ENTRY,
      issuer: GITLAB,
      claims: { project_path: 'acme/*', ref_protected: 'true' },
    }
    const claims = {
      iss: GITLAB,
      sub: 'project_path:acme/app:ref_type:branch:ref:main',
      project_path: 'acme/app',
      ref: 'main',
      ref_protected: 'true',
      exp: SECONDS + 3600,
    }
    expect(await oidc(entry).verify(await idToken(claims))).toEqual({
      ok: true,
      subject: `${GITLAB}#${claims.sub}`,
      grants: GRANTS,
      entry: await markOf(entry),
    })
    const unprotected = await idToken({ ...claims, ref_protected: 'false' })
    expect(await oidc(entry).verify(unprotected)).toEqual(refusal('not-allowed'))
  })
})

describe('050: an algorithm that is not pinned is refused, and nobody is asked', () => {
  it.each(['none', 'NONE', 'HS256', 'HS512', 'RS384', 'RS512', 'PS256', 'ES384', 'EdDSA', ''])(
    'alg %j',
    async (alg) => {
      expect(await oidc().verify(await idToken({}, { header: { alg } }))).toEqual(
        refusal('malformed'),
      )
      expect(asked).toEqual([])
    },
  )

  it.each([
    { name: 'no alg', header: { alg: undefined }, want: 'malformed' },
    { name: 'a list', header: { alg: ['RS256'] }, want: 'invalid' },
    { name: 'a member of every object', header: { alg: 'constructor' }, want: 'malformed' },
    { name: 'an unknown crit', header: { crit: ['x'], x: 1 }, want: 'invalid' },
    { name: 'b64 false', header: { crit: ['b64'], b64: false }, want: 'invalid' },
    { name: 'ES256 with an RSA key', header: { alg: 'ES256' }, want: 'unknown-key' },
  ])('$name', async ({ header, want }) => {
    expect(await oidc().verify(await idToken({}, { header }))).toEqual(refusal(want))
  })

  it('HS256 with the published key for a secret', async () => {
    const header = { alg: 'HS256', typ: 'JWT', kid: rsa.kid }
    const secret = JSON.stringify(rsa.publicJWK)
    const token = await writeToken(header, CLAIMS, hmac('SHA-256', secret))
    expect(await oidc().verify(token)).toEqual(refusal('malformed'))
  })

  it('a shared secret that the issuer publishes', async () => {
    publish(GITHUB, [{ kty: 'oct', k: 'c2VjcmV0', kid: 'oct', alg: 'HS256' }])
    const token = await writeToken({ alg: 'HS256', kid: 'oct' }, CLAIMS, hmac('SHA-256', 'secret'))
    expect(await oidc().verify(token)).toEqual(refusal('malformed'))
    const header = { kid: 'oct' }
    expect(await oidc().verify(await idToken({}, { header }))).toEqual(refusal('unknown-key'))
  })

  it('a token of one algorithm whose signature is of another key', async () => {
    const header = { kid: rsa.kid }
    const token = await idToken({}, { header, by: strange })
    expect(await oidc().verify(token)).toEqual(refusal('invalid'))
  })

  it('an RSA key that is too short', async () => {
    const pair = (await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        hash: 'SHA-256',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
      },
      true,
      ['sign', 'verify'],
    )) as CryptoKeyPair
    const publicJWK = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as JsonWebKey
    const weak = { kid: 'weak', privateKey: pair.privateKey, publicJWK }
    publish(GITHUB, [published(weak)])
    expect(await oidc().verify(await idToken({}, { by: weak }))).toEqual(refusal('invalid'))
  })
})

describe('051, 052: no key but one of the issuer', () => {
  it.each([
    { name: 'a path', kid: '../rsa-1' },
    { name: 'NUL', kid: 'rsa-1\0' },
    { name: 'empty', kid: '' },
    { name: 'unknown', kid: 'rsa-9' },
    { name: 'a member of every object', kid: 'constructor' },
  ])('kid $name', async ({ kid }) => {
    const token = await idToken({}, { header: { kid } })
    expect(await oidc().verify(token)).toEqual(refusal('unknown-key'))
    expect(asked.every((url) => url.startsWith(`${GITHUB}/`) && !url.includes('rsa'))).toBe(true)
  })

  it.each([
    { name: 'missing', kid: undefined },
    { name: 'a number', kid: 1 },
    { name: 'too long', kid: 'a'.repeat(257) },
    { name: 'of a megabyte', kid: 'a'.repeat(1 << 20) },
  ])('kid $name: nobody is asked', async ({ kid }) => {
    const token = await idToken({}, { header: { kid } })
    expect(await oidc().verify(token)).toEqual(refusal('malformed'))
    expect(asked).toEqual([])
  })

  it.each(['jwk', 'jku', 'x5u', 'x5c'])('%s in the header', async (name) => {
    const values: Readonly<Record<string, unknown>> = {
      jwk: strange.publicJWK,
      jku: 'https://evil.test/jwks',
      x5u: 'https://evil.test/x5u',
      x5c: ['MIIB'],
    }
    const header = { [name]: values[name] }
    const unknown = await idToken({}, { header, by: strange })
    expect(await oidc().verify(unknown)).toEqual(refusal('unknown-key'))
    const known = await idToken({}, { header: { ...header, kid: rsa.kid }, by: strange })
    expect(await oidc().verify(known)).toEqual(refusal('invalid'))
    // Beside a good signature it says nothing.
    expect(await oidc().verify(await idToken({}, { header }))).toEqual(GOOD)
    expect(asked.filter((url) => !url.startsWith(`${GITHUB}/`))).toEqual([])
  })

  it('not one for encryption, nor one without a name, nor what is no key', async () => {
    const { kid: _, ...nameless } = { ...rsa.publicJWK, kid: 1 }
    publish(GITHUB, [
      { ...rsa.publicJWK, kid: rsa.kid, use: 'enc' },
      nameless,
      null,
      'key',
      [],
      { kid: rsa.kid, kty: 'RSA' },
      { kid: rsa.kid, kty: 'RSA', n: 1, e: 2 },
      { ...ec.publicJWK, kid: ec.kid, crv: 'P-384' },
      { kid: ec.kid, kty: 'EC', crv: 'P-256' },
    ])
    expect(await oidc().verify(await idToken())).toEqual(refusal('unknown-key'))
    expect(await oidc().verify(await idToken({}, { by: ec }))).toEqual(refusal('unknown-key'))
  })

  it('a key that is none makes the token invalid, not the registry fail', async () => {
    publish(GITHUB, [{ kid: rsa.kid, kty: 'RSA', n: '!', e: '!' }])
    expect(await oidc().verify(await idToken())).toEqual(refusal('invalid'))
    publish(GITHUB, [{ kid: ec.kid, kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }])
    expect(await oidc().verify(await idToken({}, { by: ec }))).toEqual(refusal('invalid'))
  })
})

describe('054: a token that is meant for others', () => {
  it.each([
    { name: 'another audience', aud: 'other.test' },
    { name: 'the default audience of GitHub', aud: 'https://github.com/acme' },
    { name: 'an empty one', aud: '' },
    { name: 'one that begins like ours', aud: `${AUDIENCE}.evil.test` },
    { name: 'ours and another', aud: [AUDIENCE, 'other.test'] },
    { name: 'ours twice', aud: [AUDIENCE, AUDIENCE] },
    { name: 'none of a list', aud: [] },
    { name: 'a list of a list', aud: [[AUDIENCE]] },
    { name: 'an object', aud: { 0: AUDIENCE, length: 1 } },
    { name: 'null', aud: null },
  ])('$name: refused', async ({ aud }) => {
    expect(await oidc().verify(await idToken({ aud }))).toEqual(refusal('not-allowed'))
  })

  it('missing audience: refused', async () => {
    expect(await oidc().verify(await idToken({ aud: undefined }))).toEqual(refusal('invalid'))
  })

  it('a list of ours alone says the same as ours', async () => {
    expect(await oidc().verify(await idToken({ aud: [AUDIENCE] }))).toEqual(GOOD)
  })

  it.each([
    { name: 'no subject', sub: undefined },
    { name: 'an empty one', sub: '' },
    { name: 'a number', sub: 1 },
    { name: 'one with a line break', sub: 'a\nb' },
    { name: 'a long one', sub: 'a'.repeat(513) },
  ])('$name: refused', async ({ sub }) => {
    expect(await oidc().verify(await idToken({ sub }))).toEqual(refusal('invalid'))
  })

  it('a subject like the name of an account stays one of its issuer', async () => {
    expect(await oidc().verify(await idToken({ sub: 'root' }))).toMatchObject({
      subject: `${GITHUB}#root`,
    })
  })
})

describe('056: time', () => {
  it.each([
    { name: 'exp missing', claims: { exp: undefined } },
    { name: 'exp as text', claims: { exp: String(SECONDS + 300) } },
    { name: 'exp in milliseconds', claims: { exp: START + 300_000 } },
    { name: 'exp 1e308', claims: { exp: 1e308 } },
    { name: 'exp at iat', claims: { exp: SECONDS } },
    { name: 'exp 60 s ago', claims: { iat: SECONDS - 300, exp: SECONDS - 60 } },
    { name: 'exp 61 s ago', claims: { iat: SECONDS - 300, exp: SECONDS - 61 } },
    { name: 'iat missing', claims: { iat: undefined } },
    { name: 'iat as text', claims: { iat: String(SECONDS) } },
    { name: 'iat in 61 s', claims: { iat: SECONDS + 61 } },
    { name: 'iat two days ago', claims: { iat: SECONDS - 172_800 } },
    { name: 'nbf in 61 s', claims: { nbf: SECONDS + 61 } },
    { name: 'nbf as text', claims: { nbf: String(SECONDS) } },
  ])('$name: refused', async ({ claims }) => {
    expect(await oidc().verify(await idToken(claims))).toEqual(refusal('invalid'))
  })

  it.each(['NaN', '1e999'])('exp %s: refused', async (exp) => {
    const claims = JSON.stringify({ ...CLAIMS, exp: 0 }).replace('"exp":0', `"exp":${exp}`)
    const header = { alg: 'RS256', kid: rsa.kid }
    const { ok } = await oidc().verify(await writeToken(header, claims, rsa.privateKey))
    expect(ok).toBe(false)
  })

  it.each([
    { name: 'exp 59 s ago', claims: { iat: SECONDS - 300, exp: SECONDS - 59 } },
    { name: 'iat and nbf in 60 s', claims: { iat: SECONDS + 60, nbf: SECONDS + 60 } },
    { name: 'no nbf', claims: { nbf: undefined } },
    { name: 'a job of a day (GitLab)', claims: { exp: SECONDS + 86_400 } },
  ])('$name: good', async ({ claims }) => {
    expect(await oidc().verify(await idToken(claims))).toEqual(GOOD)
  })
})

interface Condition {
  readonly name: string
  readonly claims: OIDCIssuer['claims']
}

interface Preset {
  readonly issuer: string
  readonly claims: OIDCIssuer['claims']
}

describe('conditions on claims', () => {
  const allowed = async (claims: OIDCIssuer['claims'], token: object = {}): Promise<boolean> =>
    (await oidc({ ...ENTRY, claims }).verify(await idToken(token))).ok

  it.each<Condition>([
    { name: 'the very text', claims: { repository: 'acme/app' } },
    { name: 'a pattern', claims: { repository: 'acme/*' } },
    { name: 'a pattern over slashes', claims: { ref: 'refs/*' } },
    { name: 'a pattern at both ends', claims: { ref: '*heads*' } },
    { name: 'a pattern for nothing at all', claims: { ref: 'refs/heads/main*' } },
    { name: 'several wildcards', claims: { sub: 'repo:*/app:*:refs/*/main' } },
    { name: 'two wildcards in a row', claims: { ref: 'refs/**' } },
    { name: 'one of several', claims: { ref: ['refs/tags/*', 'refs/heads/main'] } },
    { name: 'all of several claims', claims: { repository_owner: 'acme', ref: 'refs/heads/*' } },
    { name: 'no conditions', claims: {} },
  ])('holds: $name', async ({ claims }) => {
    expect(await allowed(claims)).toBe(true)
  })

  it.each<Condition>([
    { name: 'other text', claims: { repository: 'acme/other' } },
    { name: 'a part of the text', claims: { repository: 'acme' } },
    { name: 'the text in upper case', claims: { repository: 'ACME/APP' } },
    { name: 'a pattern that begins otherwise', claims: { repository: 'evil/*' } },
    { name: 'a pattern that ends otherwise', claims: { ref: '*/dev' } },
    { name: 'pieces that overlap', claims: { repository_owner: 'acm*cme' } },
    { name: 'pieces in another order', claims: { ref: '*main*heads*' } },
    { name: 'a dot is a dot', claims: { repository: 'acme.app' } },
    { name: 'a question mark is one', claims: { repository: 'acme/ap?' } },
    { name: 'one of two claims', claims: { repository_owner: 'acme', ref: 'refs/tags/*' } },
    { name: 'none of several', claims: { ref: ['refs/tags/*', 'refs/heads/dev'] } },
    { name: 'an empty list', claims: { ref: [] } },
    { name: 'a claim that is not there', claims: { project_path: '*' } },
    { name: 'a member of every object', claims: { constructor: '*' } },
  ])('does not hold: $name', async ({ claims }) => {
    expect(await allowed(claims)).toBe(false)
  })

  it.each([
    { name: 'true', value: true, pattern: 'true', want: true },
    { name: 'a number', value: 65, pattern: '65', want: true },
    { name: 'one of a list', value: ['a', 'acme'], pattern: 'acme', want: true },
    { name: 'none of a list', value: ['a', 'b'], pattern: 'acme', want: false },
    { name: 'an object', value: { a: 'acme' }, pattern: '*', want: false },
    { name: 'null', value: null, pattern: '*', want: false },
    { name: 'an empty list', value: [], pattern: '*', want: false },
    { name: 'a list of lists', value: [['acme']], pattern: 'acme', want: false },
  ])('of a claim that is $name: $want', async ({ value, pattern, want }) => {
    expect(await allowed({ x: pattern }, { x: value })).toBe(want)
  })

  it('take no longer for many wildcards', async () => {
    const claims = { x: `${'*a'.repeat(200)}*b` }
    expect(await allowed(claims, { x: 'a'.repeat(2000) })).toBe(false)
  })

  it('choose the first entry of the issuer that holds', async () => {
    const entries = [
      { ...ENTRY, audience: 'other.test', grants: [] },
      { ...ENTRY, claims: { repository: 'other/*' }, grants: [] },
      { ...ENTRY, issuer: GITLAB, claims: {}, grants: [] },
      { ...ENTRY, claims: { ref: 'refs/heads/*' } },
      { ...ENTRY, claims: {}, grants: OTHER_GRANTS },
    ]
    expect(await oidc(...entries).verify(await idToken())).toEqual(GOOD)
    expect(await oidc(...entries).verify(await idToken({ ref: 'refs/tags/1' }))).toEqual({
      ...GOOD,
      grants: OTHER_GRANTS,
    })
  })
})

describe('the mark of an entry', () => {
  it('changes with anything that the entry says', async () => {
    const others = [
      { ...ENTRY, issuer: GITLAB },
      { ...ENTRY, audience: 'other.test' },
      { ...ENTRY, claims: { repository: 'acme/app' } },
      { ...ENTRY, grants: OTHER_GRANTS },
    ]
    const marks = await Promise.all([ENTRY, { ...ENTRY }, ...others].map(markOf))
    expect(marks[0]).toBe(marks[1])
    expect(new Set(marks).size).toBe(1 + others.length)
  })
})

describe('059: the keys of an issuer', () => {
  it.each([
    { name: 'at another origin', jwks_uri: 'https://evil.test/jwks' },
    { name: 'at another port', jwks_uri: `${GITHUB}:8443/jwks` },
    { name: 'at a host that begins like it', jwks_uri: `${GITHUB}.evil.test/jwks` },
    { name: 'at a host below it', jwks_uri: GITHUB.replace('token', 'x.token') },
    { name: 'with it as user', jwks_uri: `${GITHUB}@evil.test/jwks` },
    { name: 'with a user', jwks_uri: GITHUB.replace('//', '//a:b@') },
    { name: 'over http', jwks_uri: GITHUB.replace('https', 'http') },
    { name: 'in a file', jwks_uri: 'file:///jwks' },
    { name: 'at no URL', jwks_uri: '/jwks' },
    { name: 'in the metadata of a cloud', jwks_uri: 'http://169.254.169.254/jwks' },
    { name: 'nowhere', jwks_uri: undefined },
    { name: 'in a list', jwks_uri: [`${GITHUB}/jwks`] },
  ])('are not asked for $name', async ({ jwks_uri }) => {
    publish(GITHUB, [published(rsa)], { jwks_uri })
    expect(await oidc().verify(await idToken())).toEqual(refusal('unavailable'))
    expect(asked).toEqual([`${GITHUB}/.well-known/openid-configuration`])
    expect(logged).toHaveLength(1)
  })

  it.each([
    { name: 'another issuer', configuration: { issuer: GITLAB } },
    { name: 'the issuer with a slash', configuration: { issuer: `${GITHUB}/` } },
    { name: 'no issuer', configuration: { issuer: undefined } },
  ])('are not asked for where the document is that of $name', async ({ configuration }) => {
    publish(GITHUB, [published(rsa)], configuration)
    expect(await oidc().verify(await idToken())).toEqual(refusal('unavailable'))
    expect(asked).toHaveLength(1)
  })

  it.each([
    { name: 'no document', document: undefined },
    { name: 'null', document: null },
    { name: 'a list', document: [] },
    { name: 'keys that are no list', document: { keys: {} } },
  ])('are none in $name', async ({ document }) => {
    documents.set(`${GITHUB}/jwks`, document)
    expect(await oidc().verify(await idToken())).toEqual(refusal('unavailable'))
  })

  it.each([
    { name: 'http', issuer: 'http://issuer.test' },
    { name: 'http in a private network', issuer: 'http://10.0.0.1' },
    { name: 'no URL', issuer: 'issuer' },
  ])('are not asked for of an issuer by $name', async ({ issuer }) => {
    const token = await idToken({ iss: issuer })
    expect(await oidc({ ...ENTRY, issuer }).verify(token)).toEqual(refusal('unavailable'))
    expect(asked).toEqual([])
  })

  it.each(['http://127.0.0.1:4000', 'http://localhost:4000', 'https://issuer.test/a/b'])(
    'are asked for of %s',
    async (issuer) => {
      publish(issuer, [published(rsa)])
      const { ok } = await oidc({ ...ENTRY, issuer }).verify(await idToken({ iss: issuer }))
      expect(ok).toBe(true)
    },
  )

  it('are asked for below the path of an issuer that ends with a slash', async () => {
    const issuer = 'https://issuer.test/'
    publish('https://issuer.test', [published(rsa)], { issuer })
    const { ok } = await oidc({ ...ENTRY, issuer }).verify(await idToken({ iss: issuer }))
    expect(ok).toBe(true)
  })

  it('are used for ten minutes, and then asked for again', async () => {
    const known = oidc()
    const lasting = await idToken({ exp: SECONDS + 3600 })
    await known.verify(lasting)
    now += 10 * MINUTE - 1
    publish(GITHUB, [])
    expect(await known.verify(lasting)).toEqual(GOOD)
    expect(asked).toHaveLength(2)
    now += 1
    expect(await known.verify(lasting)).toEqual(refusal('unknown-key'))
    expect(asked).toHaveLength(4)
  })

  it('are not used longer while the issuer is down, which is asked every ten seconds', async () => {
    const known = oidc()
    const lasting = await idToken({ exp: SECONDS + 3600 })
    await known.verify(lasting)
    documents.clear()
    now += 10 * MINUTE
    expect(await known.verify(lasting)).toEqual(refusal('unavailable'))
    now += 10 * SECOND - 1
    expect(await known.verify(lasting)).toEqual(refusal('unavailable'))
    expect(asked).toHaveLength(3)
    publish(GITHUB, [published(rsa)])
    now += 1
    expect(await known.verify(lasting)).toEqual(GOOD)
  })

  it('are asked for again for an unknown one, once a minute', async () => {
    const known = oidc()
    expect(await known.verify(await idToken())).toEqual(GOOD)
    publish(GITHUB, [published(rsa), published(strange)])
    const fresh = await idToken({}, { by: strange })
    now += 60 * SECOND - 1
    expect(await known.verify(fresh)).toEqual(refusal('unknown-key'))
    expect(asked).toHaveLength(2)
    now += 1
    expect(await known.verify(fresh)).toEqual({ ...GOOD })
    expect(asked).toHaveLength(4)
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        idToken({}, { header: { kid: `made-up-${index}` } }),
      ),
    )
    now += 60 * SECOND
    const answers = await Promise.all(made.map((token) => known.verify(token)))
    expect(answers).toEqual(Array.from({ length: 20 }, () => refusal('unknown-key')))
    expect(asked).toHaveLength(6)
  })

  it('stay good when the issuer is down as somebody makes one up', async () => {
    const known = oidc()
    await known.verify(await idToken())
    documents.clear()
    now += 60 * SECOND
    const unknown = await idToken({}, { header: { kid: 'made-up' } })
    expect(await known.verify(unknown)).toEqual(refusal('unavailable'))
    expect(await known.verify(unknown)).toEqual(refusal('unknown-key'))
    expect(await known.verify(await idToken())).toEqual(GOOD)
    expect(asked).toHaveLength(3)
  })

  it('stay as the faster of two requests has read them when the slower one fails', async () => {
    const known = oidc()
    const slow = Promise.withResolvers<unknown>()
    const url = `${GITHUB}/.well-known/openid-configuration`
    const configuration = documents.get(url)
    documents.set(url, slow.promise)
    const first = known.verify(await idToken())
    documents.set(url, configuration)
    expect(await known.verify(await idToken())).toEqual(GOOD)
    slow.reject(new Error('gone'))
    expect(await first).toEqual(refusal('unavailable'))
    const count = asked.length
    expect(await known.verify(await idToken())).toEqual(GOOD)
    expect(asked).toHaveLength(count)
  })

  it('leave a line in the log when they cannot be had, without the token', async () => {
    documents.clear()
    const token = await idToken()
    await oidc().verify(token)
    expect(logged).toEqual([
      `{"event":"oidc-issuer-failed","issuer":"${GITHUB}","reason":"Error: nobody there"}`,
    ])
  })
})

describe('057: what is no token is refused before anybody is asked', () => {
  it.each([
    { name: 'nothing', token: '' },
    { name: 'a secret', token: createSecret() },
    { name: 'no JSON', token: 'eyJhbGciOiJSUzI1NiJ.eyJhIjo.a' },
    { name: 'a million dots', token: '.'.repeat(1_000_000) },
    { name: 'a megabyte', token: `eyJh.eyJh.${'a'.repeat(1 << 20)}` },
  ])('$name', async ({ token }) => {
    expect(await oidc().verify(token)).toEqual(refusal('malformed'))
    expect(asked).toEqual([])
  })

  it.each([
    { name: 'a list for claims', claims: '[]' },
    { name: 'no issuer', claims: '{}' },
    { name: 'a list of issuers', claims: JSON.stringify({ ...CLAIMS, iss: [GITHUB] }) },
  ])('$name', async ({ claims }) => {
    const token = await writeToken({ alg: 'RS256', kid: rsa.kid }, claims, rsa.privateKey)
    expect(await oidc().verify(token)).toEqual(refusal('malformed'))
    expect(asked).toEqual([])
  })
})

describe('readDocuments', () => {
  const URL = 'https://issuer.test/jwks'
  const read = async (response: Response, url = URL): Promise<[unknown, OutboundRequest[]]> => {
    const requests: OutboundRequest[] = []
    const readJSON = readDocuments(async (request) => {
      requests.push(request)
      return await Promise.resolve(response)
    })
    return [await readJSON(url), requests]
  }

  it('reads an object, and sends no credential for it', async () => {
    const [document, requests] = await read(Response.json({ keys: [] }))
    expect(document).toEqual({ keys: [] })
    expect(requests).toEqual([
      {
        url: URL,
        method: 'GET',
        headers: { Accept: 'application/json' },
        isLocal: false,
        maxHops: 0,
        within: 5000,
      },
    ])
  })

  it.each([301, 302, 303, 307, 308, 401, 404, 500, 204])('refuses %d', async (status) => {
    const headers = { location: 'https://evil.test/jwks' }
    const body = status === 204 ? null : '{"keys":[]}'
    await expect(read(new Response(body, { status, headers }))).rejects.toThrow(
      `answered ${status}`,
    )
  })

  it('refuses more than 256 KiB, whatever the length says', async () => {
    const sized = (length: number): Response =>
      new Response(JSON.stringify({ a: 'a'.repeat(length - 8) }), {
        headers: { 'content-length': '10' },
      })
    const [document] = await read(sized(256 * 1024))
    expect(document).toBeDefined()
    await expect(read(sized(256 * 1024 + 1))).rejects.toThrow('exceeds')
  })

  it.each(['', '[]', '{', 'null', '<html>'])('finds nothing in %j', async (body) => {
    expect((await read(new Response(body)))[0]).toBeUndefined()
  })

  it.each(['https://issuer.test/other', 'https://evil.test/jwks', 'http://127.0.0.1/jwks'])(
    '059: follows no redirect, here to %s',
    async (location) => {
      const urls: string[] = []
      const outbound = new Outbound(async (url) => {
        urls.push(url)
        const headers = { location }
        return await Promise.resolve(
          url === URL ? new Response(null, { status: 302, headers }) : Response.json({ keys: [] }),
        )
      }, '1.1 test')
      const readJSON = readDocuments((request) => outbound.send(request))
      await expect(readJSON(URL)).rejects.toThrow(OutboundError)
      expect(urls).toEqual([URL])
    },
  )

  it('reaches this machine for an issuer on it only', async () => {
    const [, [request]] = await read(Response.json({}), 'http://127.0.0.1:4000/jwks')
    expect(request?.isLocal).toBe(true)
  })
})

describe('presets', () => {
  it('know two issuers by name', () => {
    expect(presetIssuer('github')).toBe(GITHUB)
    expect(presetIssuer('gitlab')).toBe(GITLAB)
    expect(presetIssuer('https://issuer.test')).toBeUndefined()
    expect(presetIssuer('constructor')).toBeUndefined()
  })

  it.each<Preset>([
    { issuer: GITHUB, claims: { repository: 'acme/*' } },
    { issuer: GITHUB, claims: { repository: ['acme/app', 'acme/x*'], ref: '*' } },
    { issuer: GITHUB, claims: { repository_owner: 'acme' } },
    { issuer: GITHUB, claims: { repository_owner_id: '65', environment: 'production' } },
    { issuer: GITHUB, claims: { sub: 'repo:acme/app:*' } },
    { issuer: GITLAB, claims: { project_path: 'acme/*', ref_protected: 'true' } },
    { issuer: GITLAB, claims: { namespace_path: 'acme' } },
    { issuer: GITLAB, claims: { namespace_path: 'acme/*' } },
    { issuer: GITLAB, claims: { sub: 'project_path:acme/app:*' } },
    { issuer: 'https://issuer.test', claims: {} },
  ])('let in only whom $claims names at $issuer', ({ issuer, claims }) => {
    expect(findOpenIssuer({ ...ENTRY, issuer, claims })).toBe(undefined)
  })

  it.each<Preset>([
    { issuer: GITHUB, claims: {} },
    { issuer: GITHUB, claims: { ref: 'refs/heads/main', environment: 'production' } },
    { issuer: GITHUB, claims: { repository: '*' } },
    { issuer: GITHUB, claims: { repository: '*/app' } },
    { issuer: GITHUB, claims: { repository: 'acme*' } },
    { issuer: GITHUB, claims: { repository: 'acme/' } },
    { issuer: GITHUB, claims: { repository: ['acme/*', '*'] } },
    { issuer: GITHUB, claims: { repository: [] } },
    { issuer: GITHUB, claims: { repository_owner: 'acme*' } },
    { issuer: GITHUB, claims: { sub: 'repo:*' } },
    { issuer: GITHUB, claims: { sub: '*:acme/app' } },
    { issuer: GITHUB, claims: { job_workflow_ref: 'acme/ci/.github/workflows/x.yml@*' } },
    { issuer: GITHUB, claims: { project_path: 'acme/*' } },
    { issuer: GITLAB, claims: { ref: 'main', ref_protected: 'true' } },
    { issuer: GITLAB, claims: { project_path: 'acme*' } },
    { issuer: GITLAB, claims: { namespace_path: 'acme*' } },
  ])('find that $claims at $issuer lets anybody in', ({ issuer, claims }) => {
    const entry = { ...ENTRY, issuer, claims }
    expect(findOpenIssuer(entry)).toContain('signs tokens for anybody')
  })
})
