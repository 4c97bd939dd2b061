// Whether this caller may read a repository. It is asked first, always: what is denied causes no request to
// storage, objects or upstreams, whether it exists or is cached or not.

import { mayPullAnonymously } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import type { Address } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'

/**
 * Lets a pull pass. Credentials that a client sends are not looked at: every caller is anonymous here, and
 * foreign credentials arrive routinely (kubelet, classic dockerd).
 * @throws {RegistryError} DENIED where `allow`, `deny` or the grants do not permit it.
 */
export function authorizePull(address: Address, config: Config): void {
  const upstream = address.kind === 'mirrored' ? config.upstreams.get(address.host) : undefined
  if (upstream?.isAllowed(address.repository) === false) {
    throw new RegistryError('DENIED', { message: 'this repository may not be mirrored here' })
  }
  const isPrivate = upstream?.isPrivate(address.repository) ?? false
  if (!mayPullAnonymously(config.anonymous, address.canonical, isPrivate)) {
    throw new RegistryError('DENIED')
  }
}
