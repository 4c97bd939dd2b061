// The tokens that are signed here: access tokens, which name what they allow, and refresh tokens, which
// stand for the grants of an OIDC login. Keys come from the Authority, never from a token.

import {
  SignJWT,
  calculateJwkThumbprint,
  errors,
  exportJWK,
  generateKeyPair,
  jwtVerify,
} from 'jose'
import type { JWTPayload } from 'jose'
import { isJSONObject } from '../oci/json-object.ts'
import { parseGrantText } from './account.ts'
import type { GrantText } from './account.ts'

/** Seconds that an access token is good for: as long as a right that was taken away lasts at most. */
export const ACCESS_TTL = 300
/** Seconds that a refresh token is good for. */
export const REFRESH_TTL = 6 * 60 * 60
/** Seconds by which the clocks of two machines may differ. */
export const LEEWAY = 60

const ALGORITHM = 'ES256'
/** Characters; the token goes into a header, of which servers take 8 KiB. */
const MAX_TOKEN = 8 * 1024
/** Compact serialization (RFC 7515 §7.1), without the padding and spaces that decoders let pass. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/
/** Bytes of claims that fit into such a token beside its header and signature, in base64. */
const MAX_CLAIMS = 5800
/** What says that a token is a refresh token. An access token has no such claim. */
const REFRESH = 'refresh'
const HEADER_PARAMETERS = ['alg', 'typ', 'kid']

/** A resource and what a token allows to do to it. */
export interface Access {
  readonly type: 'repository' | 'registry'
  /** Canonical. */
  readonly name: string
  readonly actions: readonly string[]
}

/** A key as JSON (RFC 7517), of the two kinds that there are here. */
export interface WebKey {
  readonly kty: string
  readonly crv?: string
  readonly x?: string
  readonly y?: string
  readonly d?: string
  readonly n?: string
  readonly e?: string
}

/** The key that tokens are signed with. */
export interface SigningKey {
  readonly kid: string
  readonly privateJWK: WebKey
}

/** A key that tokens were signed with which may still be good. */
export interface VerifyingKey {
  readonly kid: string
  readonly publicJWK: WebKey
}

/** Who signs what for whom. */
export interface Signer {
  readonly key: SigningKey
  readonly issuer: string
  /** The service: the host, and port, that the token is for. */
  readonly audience: string
  /** Milliseconds. */
  readonly now: number
}

/** What a token is held against. */
export interface Verifier {
  readonly keys: readonly VerifyingKey[]
  readonly issuer: string
  readonly audience: string
  /** Milliseconds. */
  readonly now: number
}

/** A token, with what the token endpoint says of it. */
export interface SignedToken {
  readonly token: string
  /** Seconds. */
  readonly expiresIn: number
  /** RFC 3339. */
  readonly issuedAt: string
}

/**
 * A token that is no good. Of a key that is not known, a newer snapshot may know more; there is nothing else
 * to be said, least of all to the client.
 */
export interface TokenRefusal {
  readonly ok: false
  readonly reason: 'invalid' | 'unknown-key'
}

/** Makes a key pair; its id is the thumbprint of the public half (RFC 7638). */
export async function createKey(): Promise<SigningKey & VerifyingKey> {
  const pair = await generateKeyPair(ALGORITHM, { extractable: true })
  const privateJWK = (await exportJWK(pair.privateKey)) as WebKey
  const publicJWK = (await exportJWK(pair.publicKey)) as WebKey
  return { kid: await calculateJwkThumbprint(pair.publicKey), privateJWK, publicJWK }
}

/**
 * Signs an access token. `access` in the answer is what it came to allow: entries that would make the token
 * too large for a header are left out, from the end.
 * @param claims `version` is that of the account; whoever has none is nobody or logged in by OIDC.
 */
export async function signAccess(
  claims: {
    readonly subject: string
    readonly version: string | undefined
    readonly access: readonly Access[]
  },
  by: Signer,
): Promise<SignedToken & { readonly access: readonly Access[] }> {
  const { subject, version } = claims
  const own = version === undefined ? {} : { ver: version }
  const rest = sizeOf({ ...own, sub: subject, iss: by.issuer, aud: by.audience })
  const access = fitting(claims.access, MAX_CLAIMS - rest)
  const token = await sign({ ...own, access }, { subject, lifetime: ACCESS_TTL }, by)
  return { ...token, access }
}

/** What an access token says. */
export interface AccessClaims {
  readonly subject: string
  /** Of its account. */
  readonly version: string | undefined
  readonly access: readonly Access[]
  /** When it is not good any more (milliseconds). */
  readonly until: number
}

/**
 * Verifies an access token: its signature by a known key, who gave it, whom it is for, and when. Whether its
 * account still exists in this version is for the caller to look up.
 */
export async function verifyAccess(
  token: string,
  by: Verifier,
): Promise<({ readonly ok: true } & AccessClaims) | TokenRefusal> {
  const verified = await verify(token, ACCESS_TTL, by)
  if (!verified.ok) return verified
  const { sub, typ, ver, access, exp = 0 } = verified.claims
  if (typ !== undefined || typeof sub !== 'string' || !isList(access, isAccess)) return INVALID
  if (ver !== undefined && typeof ver !== 'string') return INVALID
  return { ok: true, subject: sub, version: ver, access, until: (exp + LEEWAY) * 1000 }
}

/** What a refresh token says: whom it is for, what it is good for, and by which entry of the configuration. */
export interface RefreshClaims {
  readonly subject: string
  readonly grants: readonly GrantText[]
  readonly entry: string
}

/**
 * Signs a refresh token, which can be exchanged for access tokens within its grants.
 * @throws {RangeError} when the grants do not fit into a token.
 */
export async function signRefresh(claims: RefreshClaims, by: Signer): Promise<SignedToken> {
  const { subject, grants, entry } = claims
  const told = { typ: REFRESH, grants, entry }
  const signed = await sign(told, { subject, lifetime: REFRESH_TTL }, by)
  if (signed.token.length > MAX_TOKEN) {
    throw new RangeError('the grants of an OIDC login are too many for a token')
  }
  return signed
}

/** Verifies a refresh token. An access token is none. */
export async function verifyRefresh(
  token: string,
  by: Verifier,
): Promise<({ readonly ok: true } & RefreshClaims) | TokenRefusal> {
  const verified = await verify(token, REFRESH_TTL, by)
  if (!verified.ok) return verified
  const { sub, typ, grants, entry } = verified.claims
  if (typ !== REFRESH || typeof sub !== 'string' || !isList(grants, isGrantText)) return INVALID
  return typeof entry === 'string' ? { ok: true, subject: sub, grants, entry } : INVALID
}

const INVALID: TokenRefusal = { ok: false, reason: 'invalid' }

async function sign(
  claims: JWTPayload,
  { subject, lifetime }: { readonly subject: string; readonly lifetime: number },
  { key, issuer, audience, now }: Signer,
): Promise<SignedToken> {
  const issuedAt = Math.floor(now / 1000)
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid: key.kid })
    .setIssuer(issuer)
    .setSubject(subject)
    .setAudience(audience)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(issuedAt + lifetime)
    .setJti(crypto.randomUUID())
    .sign(key.privateJWK)
  return { token, expiresIn: lifetime, issuedAt: new Date(issuedAt * 1000).toISOString() }
}

/** What holds for every token that is signed here; `lifetime` in seconds. */
async function verify(
  token: string,
  lifetime: number,
  { keys, issuer, audience, now }: Verifier,
): Promise<{ readonly ok: true; readonly claims: JWTPayload } | TokenRefusal> {
  // Before anything is split, decoded or parsed.
  if (token.length > MAX_TOKEN || !TOKEN.test(token)) return INVALID
  const keyOf = ({ kid }: { readonly kid?: string }): WebKey => {
    const key = keys.find((each) => each.kid === kid)
    if (key === undefined) throw new errors.JWKSNoMatchingKey()
    return key.publicJWK
  }
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keyOf, {
      algorithms: [ALGORITHM],
      typ: 'JWT',
      issuer,
      audience,
      requiredClaims: ['iss', 'sub', 'aud', 'iat', 'nbf', 'exp', 'jti'],
      clockTolerance: LEEWAY,
      currentDate: new Date(now),
      maxTokenAge: lifetime,
    })
    // Nothing else is ever signed here, so whatever more a token says, somebody else made it.
    const isOurs = Object.keys(protectedHeader).every((name) => HEADER_PARAMETERS.includes(name))
    const isPlain = payload.aud === audience && typeof payload.jti === 'string'
    return isOurs && isPlain && isTimed(payload, lifetime) ? { ok: true, claims: payload } : INVALID
  } catch (error) {
    // Whatever else stops the verification, a token that was not verified is none.
    return error instanceof errors.JWKSNoMatchingKey
      ? { ok: false, reason: 'unknown-key' }
      : INVALID
  }
}

/** Whether the times are whole seconds no further apart than they were signed: milliseconds, say, are not. */
function isTimed({ iat, nbf, exp }: JWTPayload, lifetime: number): boolean {
  if (!isWhole(iat) || !isWhole(nbf) || !isWhole(exp)) return false
  return exp > iat && exp - iat <= lifetime
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

/** The first entries that take no more than `room` bytes together. */
function fitting(access: readonly Access[], room: number): readonly Access[] {
  let left = room
  const end = access.findIndex((entry) => (left -= sizeOf(entry) + 1) < 0)
  return end < 0 ? access : access.slice(0, end)
}

/** Bytes as JSON. */
function sizeOf(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).byteLength
}

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isItem)
}

function isAccess(value: unknown): value is Access {
  if (!isJSONObject(value)) return false
  const { type, name, actions } = value
  return (
    (type === 'repository' || type === 'registry') &&
    typeof name === 'string' &&
    isList(actions, (action) => typeof action === 'string')
  )
}

function isGrantText(value: unknown): value is GrantText {
  return parseGrantText(value) !== undefined
}
