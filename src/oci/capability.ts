// The secret that a path may carry for clients that cannot log in: taken off here, before anything else looks
// at the path. Whose secret it is, is for others to find out.

/** A path without its capability, and the secret, if it had one. */
export interface SplitPath {
  /** Empty where what is left is no path that may be looked at. */
  readonly path: string
  readonly secret: string | undefined
}

/*
 * capability ::= "/t/" secret "/v2" …             as the base of a registry or a mirror
 *              | "/t/" secret "/" host "/v2" …    the same for one upstream
 *              | "/v2/t/" secret "/" …            where a client puts the path of a location behind /v2
 */
const CAPABILITY = /^(\/v2)?\/t\/([a-z0-9]{52})(?=\/|$)/
/* Also nearly right: with doubled or encoded slashes. */
const MISPLACED = /(?:\/|%2[fF])(?:t|%74)(?:\/|%2[fF])+[a-z0-9]{52}(?=\/|%2[fF]|$)/

/**
 * Takes the capability off a raw path. One more, or one elsewhere than at the start, leaves nothing of the path:
 * as part of a name it would go to logs, to answers and to an upstream.
 */
export function splitCapability(path: string): SplitPath {
  const [whole = '', root = '', secret] = CAPABILITY.exec(path) ?? []
  const rest = root + path.slice(whole.length)
  return { path: MISPLACED.test(rest) ? '' : rest, secret }
}

/** The name of a repository as a client writes it into a scope, without a capability before it. */
export function nameWithoutCapability(name: string): string | undefined {
  const { path } = splitCapability(`/v2/${name}`)
  return path === '' ? undefined : path.slice('/v2/'.length)
}
