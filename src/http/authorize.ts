// Whether this caller may do what it asks for. It is asked first, always: what is denied causes no request to
// storage, objects or upstreams, whether it exists or is cached or not.

import { mayAnonymously } from '../auth/policy.ts'
import type { RepositoryAction } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import { resolveAddress } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import type { Endpoint } from '../oci/endpoint.ts'
import { RegistryError } from '../oci/error.ts'

/** What a request does to a repository. An upload is part of a push, also to look at it or to end it. */
export function actionOf(kind: Endpoint['kind'], method: string): RepositoryAction {
  if (kind === 'uploads' || kind === 'upload') return 'push'
  if (method === 'DELETE') return 'delete'
  return method === 'GET' || method === 'HEAD' ? 'pull' : 'push'
}

/**
 * Lets a request pass. Credentials that a client sends are not looked at: every caller is anonymous here, and
 * foreign credentials arrive routinely (kubelet, classic dockerd).
 * @throws {RegistryError} DENIED where `allow`, `deny` or the grants do not permit it.
 */
export function authorize(address: Address, action: RepositoryAction, config: Config): void {
  if (!isMirrorable(address, config)) {
    throw new RegistryError('DENIED', { message: 'this repository may not be mirrored here' })
  }
  if (!may(address, action, config)) throw new RegistryError('DENIED')
}

/** The repository that a canonical name means, where this caller may pull it. */
export function findPullable(canonical: string, config: Config): Address | undefined {
  const address = addressOf(canonical, config)
  if (address === undefined || address.canonical !== canonical) return undefined
  return isMirrorable(address, config) && may(address, 'pull', config) ? address : undefined
}

function may(address: Address, action: RepositoryAction, config: Config): boolean {
  const { kind, canonical } = address
  const upstream = kind === 'mirrored' ? config.upstreams.get(address.host) : undefined
  const isPrivate = upstream?.isPrivate(address.repository) ?? false
  return mayAnonymously(config.anonymous, action, { kind, canonical, isPrivate })
}

function isMirrorable(address: Address, config: Config): boolean {
  if (address.kind === 'hosted') return true
  return config.upstreams.get(address.host)?.isAllowed(address.repository) ?? true
}

/** The repository that a name means, without a hint of a request; a name that the configuration leads nowhere has none. */
export function addressOf(name: string, config: Config): Address | undefined {
  try {
    return resolveAddress({ name, base: undefined, ns: [] }, config.table)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}
