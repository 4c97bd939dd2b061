// From an address to the repository that it means: mirrored or hosted, by name and configuration alone.

import type { Address } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import type { MirroredRepository } from '../mirror/repository.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** What repositories are opened with. */
export interface Opening {
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly mirrored: (upstream: Upstream, name: MirroredName) => MirroredRepository
}

/**
 * The repository to pull from.
 * @throws {RegistryError} NAME_UNKNOWN for a hosted name: nothing can be pushed to one in this version, so each
 * is empty, and no upstream ever stands in for it.
 */
export function openForPull(address: Address, opening: Opening): MirroredRepository {
  const upstream = address.kind === 'mirrored' ? opening.upstreams.get(address.host) : undefined
  if (address.kind === 'hosted' || upstream === undefined) throw new RegistryError('NAME_UNKNOWN')
  return opening.mirrored(upstream, { host: address.host, repository: address.repository })
}
