// Whether a client that is asked to log in finds the token service, and what that says to nobody and to an account.

import { parseChallenges } from '../src/oci/bearer.ts'
import { HEADER } from '../src/oci/header.ts'
import { checkAnswer, messageOf, objectOf } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { fine, problem, unchecked, warning } from './doctor-finding.ts'
import type { Check, Finding, Trouble } from './doctor-finding.ts'

/** In whose name is asked, and where the secret comes from: an environment variable or a file. */
export interface Credentials {
  readonly name: string
  readonly secret: string
  readonly from: string
}

/** Where tokens are to be had. */
export interface TokenService {
  readonly realm: URL
  readonly service: string
}

/** What the challenge says; without a service no token can be asked for. */
export interface ChallengeDiagnosis {
  readonly finding: Finding
  readonly service: TokenService | undefined
}

/** Diagnoses the answer to a request that needs a login. */
export function diagnoseChallenge(answer: Answer): ChallengeDiagnosis {
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return lost(trouble)
  if (answered.status !== 401) {
    return lost({
      says: `nobody is asked to log in (${answered.status})`,
      advice:
        'What is for administrators is answered without a login, so this is no entrepot, or something in between answers for it.',
    })
  }
  const header = answered.headers.get(HEADER.wwwAuthenticate)
  if (header === null) {
    return lost({
      says: '401 without WWW-Authenticate',
      advice: 'Clients do not know where to log in: a proxy in between removes the header.',
    })
  }
  const challenges = parseChallenges(header)
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  if (bearer === undefined || challenges.length > 1) {
    return lost({
      says: `a login by ${challenges.map(({ scheme }) => scheme).join(' and ') || 'something unknown'}`,
      advice:
        'entrepot asks for one Bearer token. A proxy with a login of its own stands before it: take that away from /v2, /token and /t.',
    })
  }
  return diagnoseRealm(answered.url, bearer.parameters)
}

function lost(trouble: Trouble): ChallengeDiagnosis {
  return { finding: problem('challenge', trouble), service: undefined }
}

function diagnoseRealm(
  url: URL,
  { realm: written = '', service = '' }: Readonly<Record<string, string>>,
): ChallengeDiagnosis {
  const realm = URL.parse(written)
  if (realm === null || !/^https?:$/.test(realm.protocol)) {
    return lost({ says: 'a challenge without the address of a token service', advice: REWRITTEN })
  }
  if (realm.origin === url.origin) {
    return {
      finding: fine('challenge', `tokens from ${realm.origin}`),
      service: { realm, service },
    }
  }
  if (realm.protocol === 'http:' && url.protocol === 'https:') {
    return {
      finding: problem('challenge', {
        says: `tokens from ${realm.origin}, over http`,
        advice: `Something before the registry ends TLS, so it takes itself for http and sends secrets there. Set PUBLIC_URL to "${url.origin}" and deploy.`,
      }),
      service: { realm, service },
    }
  }
  return {
    finding: warning('challenge', {
      says: `tokens from ${realm.origin}, asked as ${url.origin}`,
      advice: `PUBLIC_URL, or a proxy that rewrites Host, gives it another address than this one. If clients use ${url.origin}, set PUBLIC_URL to it; else run the doctor on the other address.`,
    }),
    service: { realm, service },
  }
}

const REWRITTEN = 'The header was changed on the way, or this is no entrepot.'

/** Diagnoses what nobody gets from the token service; the token where it is one. */
export function diagnoseAnonymousToken(answer: Answer): TokenDiagnosis {
  const check = 'anonymous token'
  const read = readToken(check, answer)
  if (read.token !== undefined) return { finding: fine(check, 'given'), token: read.token }
  if (read.refused?.status !== 401) return read
  return {
    finding: problem(check, {
      says: 'refused (401)',
      advice:
        'Clients without a login ask for a token first, also for what anybody may pull, and fail here: something in between asks for a login of its own.',
    }),
    token: undefined,
  }
}

/** What came of asking for a token. */
export interface TokenDiagnosis {
  readonly finding: Finding
  readonly token: string | undefined
}

/** Diagnoses what an account gets for its secret. */
export function diagnoseAccountToken(
  answer: Answer,
  { name, from }: Pick<Credentials, 'name' | 'from'>,
): TokenDiagnosis {
  const check = 'account token'
  const read = readToken(check, answer)
  if (read.token !== undefined) {
    return { finding: fine(check, `given to ${name} (${from})`), token: read.token }
  }
  if (read.refused?.status !== 401) return read
  return {
    finding: problem(check, {
      says: `the secret of ${name} (${from}) is refused (401)`,
      advice: `It is wrong, rotated or revoked, or of another registry; npm run account -- rotate ${name} gives a new one.`,
    }),
    token: undefined,
  }
}

/** Why no account was tried. */
export function uncheckedAccount(why: string): Finding {
  return unchecked('account token', why)
}

interface ReadToken extends TokenDiagnosis {
  readonly refused?: Answered
}

function readToken(check: Check, answer: Answer): ReadToken {
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return { finding: problem(check, trouble), token: undefined }
  const { token } = objectOf(answered) ?? {}
  if (answered.status === 200 && typeof token === 'string' && token !== '') {
    return { finding: fine(check, 'given'), token }
  }
  return { finding: problem(check, troubleOf(answered)), token: undefined, refused: answered }
}

function troubleOf(answered: Answered): Trouble {
  const { status, headers } = answered
  const message = messageOf(answered) ?? 'no message'
  switch (status) {
    case 200:
      return {
        says: 'an answer without a token',
        advice: `What is at the address of the token service is none. ${REWRITTEN}`,
      }
    case 400:
      return {
        says: `the token service refuses the question (400: ${message})`,
        advice:
          'The service that the challenge names is another one than that of the token service: PUBLIC_URL, or a proxy that rewrites Host.',
      }
    case 429:
      return {
        says: `too many tokens or wrong secrets from here (429, again in ${headers.get(HEADER.retryAfter) ?? '?'} s)`,
        advice:
          'One address is limited: wait, and look for a client with a wrong secret. Clients behind one address share the limit (TOKEN_LIMIT and LOGIN_LIMIT in wrangler.toml).',
      }
    case 503:
      return {
        says: `accounts cannot be looked up (503: ${message})`,
        advice:
          'This says nothing about the secret: the object that keeps the accounts (Authority) is away. Try again; if it lasts, look at npx wrangler tail and at the status of Durable Objects.',
      }
    default:
      return {
        says: `the token service answers ${status} (${message})`,
        advice: 'Look at the log of the registry (npx wrangler tail).',
      }
  }
}
