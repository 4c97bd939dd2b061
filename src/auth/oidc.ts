// Logins without a stored secret: an ID token of a configured issuer (GitHub Actions, GitLab), verified with
// the keys that this issuer publishes, and the grants that the configuration gives for its claims.

import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import type { Log, Now } from '../seams.ts'
import { hashSecret } from './account.ts'
import type { GrantText } from './account.ts'
import { IssuerKeys } from './issuer-keys.ts'
import type { FetchJSON, KeyQuestion } from './issuer-keys.ts'
import { LEEWAY } from './token.ts'
import type { WebKey } from './token.ts'

/** Who may log in by ID tokens of one issuer, and what for. */
export interface OIDCIssuer {
  /** As tokens say it, to the letter. */
  readonly issuer: string
  readonly audience: string
  /** A pattern, or several of which one must match, for claims that must all be there; `*` is any text. */
  readonly claims: Readonly<Record<string, string | readonly string[]>>
  readonly grants: readonly GrantText[]
}

/** Why an ID token is not accepted. `unavailable` is not its fault: its issuer cannot be asked. */
export type OIDCRefusal =
  | 'malformed'
  | 'unknown-issuer'
  | 'unavailable'
  | 'unknown-key'
  | 'invalid'
  | 'not-allowed'

/** What an ID token is good for. */
export type OIDCAnswer =
  | {
      readonly ok: true
      /** `<issuer>#<sub>`: no account has such a name. */
      readonly subject: string
      readonly grants: readonly GrantText[]
      /** The mark of the entry that it was let in by. */
      readonly entry: string
    }
  | { readonly ok: false; readonly reason: OIDCRefusal }

const ALGORITHMS: Readonly<Record<string, string>> = { RS256: 'RSA', ES256: 'EC' }
/** Characters; a token that lists hundreds of groups is about half as long. */
const MAX_ID_TOKEN = 16 * 1024
const ID_TOKEN = /^ey[\w-]+\.ey[\w-]+\.[\w-]+$/
/** Seconds; GitLab's tokens live as long as a job may run, at most a month. What says more errs in the unit. */
const MAX_LIFETIME = 31 * 24 * 60 * 60
/** Seconds after which a token is not taken for a login, however long it says that it lives. */
const MAX_AGE = 24 * 60 * 60
/** OpenID Connect Core 1.0, section 2, allows 255; branch names can make it longer. */
const MAX_SUBJECT = 512
const MAX_KID = 256

/** Whether a password may be an ID token. A secret that was made here is none: it has no dots. */
export function looksLikeIDToken(text: string): boolean {
  return text.length <= MAX_ID_TOKEN && ID_TOKEN.test(text)
}

/** Tells an entry from what it becomes when somebody changes anything of it: logins by it end then. */
export async function markOf(entry: OIDCIssuer): Promise<string> {
  const { issuer, audience, claims, grants } = entry
  return hashSecret(JSON.stringify([issuer, audience, claims, grants]))
}

/** Verifies ID tokens. One for each isolate: it remembers the keys of issuers. */
export class OIDC {
  readonly #issuers: readonly OIDCIssuer[]
  readonly #keys: IssuerKeys
  readonly #now: Now

  constructor(given: {
    readonly issuers: readonly OIDCIssuer[]
    readonly fetchJSON: FetchJSON
    readonly now: Now
    readonly log: Log
  }) {
    this.#issuers = given.issuers
    this.#keys = new IssuerKeys(given)
    this.#now = given.now
  }

  /** Whom an ID token stands for, and what that gives. Asks nobody but the configured issuer it names. */
  async verify(token: string): Promise<OIDCAnswer> {
    const read = readUnverified(token)
    if (read === undefined) return refused('malformed')
    const entries = this.#issuers.filter(({ issuer }) => issuer === read.issuer)
    if (entries.length === 0) return refused('unknown-issuer')
    const key = await this.#keys.find(read)
    if (typeof key === 'string') return refused(key)
    const claims = await verifyClaims(token, { key, issuer: read.issuer, now: this.#now() })
    const subject = claims?.sub
    if (claims === undefined || !isSubject(subject)) return refused('invalid')
    const entry = entries.find((each) => isFor(claims, each.audience) && holds(claims, each.claims))
    if (entry === undefined) return refused('not-allowed')
    const { grants } = entry
    return { ok: true, subject: `${read.issuer}#${subject}`, grants, entry: await markOf(entry) }
  }
}

/** What a token says of itself before it is verified: enough to know whom to ask for which key. */
function readUnverified(token: string): KeyQuestion | undefined {
  if (!looksLikeIDToken(token)) return undefined
  try {
    const { alg = '', kid } = decodeProtectedHeader(token)
    const { iss } = decodeJwt(token)
    const kty = Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined
    if (kty === undefined || typeof iss !== 'string') return undefined
    if (typeof kid !== 'string' || kid.length > MAX_KID) return undefined
    return { issuer: iss, kid, kty }
  } catch {
    // Neither base64url nor JSON, hence no token.
    return undefined
  }
}

async function verifyClaims(
  token: string,
  by: { readonly key: WebKey; readonly issuer: string; readonly now: number },
): Promise<JWTPayload | undefined> {
  try {
    const { payload } = await jwtVerify(token, by.key, {
      algorithms: Object.keys(ALGORITHMS),
      issuer: by.issuer,
      requiredClaims: ['iss', 'sub', 'aud', 'iat', 'exp'],
      clockTolerance: LEEWAY,
      currentDate: new Date(by.now),
      maxTokenAge: MAX_AGE,
    })
    const { iat, exp } = payload
    if (!Number.isFinite(iat) || !Number.isFinite(exp)) return undefined
    const lifetime = Number(exp) - Number(iat)
    return lifetime > 0 && lifetime <= MAX_LIFETIME ? payload : undefined
  } catch {
    // Whatever stops the verification, a token that was not verified is none.
    return undefined
  }
}

/**
 * OpenID Connect Core 1.0, section 3.1.3.7: a token for others too is refused, since any of them could show
 * it here.
 */
function isFor({ aud }: JWTPayload, audience: string): boolean {
  const audiences: unknown = typeof aud === 'string' ? [aud] : aud
  return Array.isArray(audiences) && audiences.length === 1 && audiences[0] === audience
}

/** Whether all conditions hold. Of a claim with several values one must match. */
function holds(claims: JWTPayload, conditions: OIDCIssuer['claims']): boolean {
  return Object.entries(conditions).every(([name, wanted]) => {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined
    const values = (Array.isArray(value) ? value : [value]).flatMap((each: unknown) => textOf(each))
    const patterns = [wanted].flat()
    return patterns.some((pattern) => values.some((text) => matchesGlob(pattern, text)))
  })
}

function textOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'boolean' || typeof value === 'number' ? [String(value)] : []
}

/** `*` is any text, also none and also with slashes in it; everything else is itself. */
function matchesGlob(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return text === pattern
  if (!text.startsWith(first)) return false
  let position = first.length
  for (const piece of rest) {
    const found = text.indexOf(piece, position)
    if (found < 0) return false
    position = found + piece.length
  }
  return text.length - last.length >= position && text.endsWith(last)
}

/** Short and in one line: it stands in tokens and in the log. */
function isSubject(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_SUBJECT && /^\P{Cc}+$/u.test(value)
}

function refused(reason: OIDCRefusal): OIDCAnswer {
  return { ok: false, reason }
}
