// What a caller who may not is told: log in, by one challenge that names the token service and what a token
// has to be for. The same for what exists and for what does not.

import type { Config } from '../config.ts'
import { formatChallenge, formatScope } from '../oci/bearer.ts'
import type { BearerChallenge } from '../oci/bearer.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { Exchange } from './exchange.ts'

/** A resource and what a token has to allow to do to it, in the words of scopes. */
export interface Need {
  readonly type: 'repository' | 'registry'
  readonly name: string
  readonly actions: readonly string[]
}

/** All repositories at once, to list them. */
export const CATALOG: Need = { type: 'registry', name: 'catalog', actions: ['*'] }

/** The service that tokens are for: the host, and port, by which clients reach this registry. */
export function serviceOf({ origin }: Exchange, { publicURL }: Config): string {
  return (publicURL ?? new URL(origin)).host
}

/** An answer that asks for a login, or for a better token. `error` only to whoever showed a token. */
export function unauthorized(
  exchange: Exchange,
  config: Config,
  { needs, error }: { readonly needs: readonly Need[]; readonly error: BearerChallenge['error'] },
): RegistryError {
  const challenge = formatChallenge({
    realm: `${(config.publicURL ?? new URL(exchange.origin)).origin}/token`,
    service: serviceOf(exchange, config),
    scope: needs.map(formatNeed).join(' '),
    error,
  })
  const detail = needs.flatMap(({ type, name, actions }) =>
    actions.map((action) => ({ Type: type, Class: '', Name: name, Action: action })),
  )
  return new RegistryError('UNAUTHORIZED', {
    ...(detail.length > 0 && { detail }),
    headers: { [HEADER.wwwAuthenticate]: challenge },
  })
}

function formatNeed({ type, name, actions }: Need): string {
  return type === 'repository' ? formatScope(name, actions) : `${type}:${name}:${actions.join(',')}`
}
