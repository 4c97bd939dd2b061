// From an address to the repository that it means: mirrored or hosted, by name and configuration alone.

import type { Address } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { MirroredRepository } from '../mirror/repository.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { asRepository } from './repository.ts'
import type { Hosted, Repository } from './repository.ts'

/** What repositories are opened with. */
export interface Opening {
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly mirrored: (upstream: Upstream, name: MirroredName) => MirroredRepository
  readonly hosted: (repository: RepositoryName) => Hosted
}

/**
 * The repository of an address. It need not exist: what is in it is for it to say.
 * @throws {RegistryError} NAME_UNKNOWN where the upstream is not configured.
 */
export function open(address: Address, opening: Opening): Repository {
  if (address.kind === 'hosted') return opening.hosted(address.repository)
  const { host, repository } = address
  const upstream = opening.upstreams.get(host)
  if (upstream === undefined) throw new RegistryError('NAME_UNKNOWN')
  return asRepository(opening.mirrored(upstream, { host, repository }))
}
