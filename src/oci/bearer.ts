// The token protocol's words: the challenge that a registry answers with, and the scope that a
// client asks for. Which realm may be believed is for others to decide.

import { FieldScanner } from './field-scanner.ts'

/** One challenge of a `WWW-Authenticate`. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /**
   * By name in lower case; of a name given twice the first counts. Empty for a challenge by
   * token68.
   */
  readonly parameters: Readonly<Record<string, string>>
}

/* token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=", then a comma or the end */
const TOKEN68 = /[ \t]+([A-Za-z0-9._~+/-]+=*)(?=[ \t]*(?:,|$))/y

/* A token with "=" behind it is a parameter; without, it is the scheme of the next challenge. */
const PARAMETER_NAME = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=/y

/**
 * Parses the challenges of one header field, into which several `WWW-Authenticate` may have been
 * joined. A field that leaves the grammar says nothing; only unquoted parameter values that are no
 * tokens are let pass.
 *
 *   WWW-Authenticate = #challenge                                                  RFC 9110 §11.6.1
 *   challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]               RFC 9110 §11.3
 *   auth-param       = token BWS "=" BWS ( token / quoted-string )                  RFC 9110 §11.2
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const scanner = new FieldScanner(header)
  const challenges: Challenge[] = []
  scanner.skipSeparators()
  while (!scanner.isAtEnd()) {
    const challenge = parseChallenge(scanner)
    if (challenge === undefined) {
      return []
    }
    challenges.push(challenge)
  }
  return challenges
}

/**
 * The scope for a repository (distribution, "Token Scope Documentation"):
 * `repository:<name>:pull,push`.
 */
export function formatScope(name: string, actions: readonly string[]): string {
  return `repository:${name}:${actions.join(',')}`
}

/** What a challenge of our own says; `scope` and `error` only where there is something to say. */
export interface BearerChallenge {
  readonly realm: string
  readonly service: string
  readonly scope: string | undefined
  readonly error: 'invalid_token' | 'insufficient_scope' | undefined
}

/**
 * A challenge (RFC 6750 §3) as distribution writes it, which is the form that every client reads: all values quoted, no space behind the
 * commas, nothing empty.
 */
export function formatChallenge({ realm, service, scope, error }: BearerChallenge): string {
  const parameters = Object.entries({ realm, service, scope: scope || undefined, error })
  const written = parameters.flatMap(([name, value]) =>
    value === undefined ? [] : `${name}="${value.replaceAll(/["\\]/g, '\\$&')}"`,
  )
  return `Bearer ${written.join(',')}`
}

function parseChallenge(scanner: FieldScanner): Challenge | undefined {
  const scheme = scanner.token()?.toLowerCase()
  if (scheme === undefined) {
    return undefined
  }
  scanner.match(TOKEN68)
  const isEnded = scanner.skipSeparators()
  const parameters = parseParameters(scanner)
  if (parameters === undefined || (parameters.size === 0 && !isEnded)) {
    return undefined
  }
  return { scheme, parameters: Object.fromEntries(parameters) }
}

function parseParameters(scanner: FieldScanner): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>()
  for (;;) {
    const name = scanner.match(PARAMETER_NAME)?.toLowerCase()
    if (name === undefined) {
      return parameters
    }
    const value = scanner.value()
    if (value === undefined || !scanner.skipSeparators()) {
      return undefined
    }
    parameters.set(name, parameters.get(name) ?? value)
  }
}
