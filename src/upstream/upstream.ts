// One upstream registry as the configuration describes it: where it is, who we are to it, and what we
// may mirror of it. Values only; `client.ts` does the talking.

import type { RepositoryName } from '../oci/repository-name.ts'
import type { Tag } from '../oci/reference.ts'

/** A login to an upstream. `id` names it in keys and logs and reveals nothing of the secret. */
export interface Credential {
  readonly id: string
  readonly username: string
  readonly password: string
}

/** Where tokens come from: an upstream's `WWW-Authenticate: Bearer` challenge, without its scope. */
export interface TokenService {
  readonly realm: string
  readonly service: string | undefined
}

/** An upstream of the closed table. */
export interface Upstream {
  /** Its canonical name: the key of `UPSTREAMS`, and the first part of every canonical repository name. */
  readonly host: string
  /** Names its gates: the host, or for an alternate `<host> via <other host>`. */
  readonly name: string
  /** Other endpoints of the same registry, which stand in for it. */
  readonly alternates: readonly Upstream[]
  /** The base URL without a trailing slash; `/v2/…` follows. */
  readonly url: string
  /** Origins that may serve as token realm, hence see our credentials; the origin of `url` is always one. */
  readonly realms: readonly string[]
  /** How we authenticate: a token service known beforehand, `none` at all, or `ask` (`GET /v2/` tells). */
  readonly authentication: TokenService | 'none' | 'ask'
  /** The token scope of a repository, most say `repository:<name>:pull`; of the catalog, where there is none. */
  readonly scope: (repository: RepositoryName | undefined) => string
  /** Statuses, besides 401, by which this registry says that a token has expired. */
  readonly expiredStatuses: readonly number[]
  readonly credentials: readonly Credential[]
  /** Whether `url` is on loopback: only then may http and loopback addresses be spoken to. */
  readonly isLocal: boolean
  /** How long a tag counts as fresh after the upstream confirmed it, in milliseconds. */
  readonly tagTTL: (repository: RepositoryName, tag: Tag) => number
  /** How long after its last confirmation a tag may be served while the upstream cannot answer, in milliseconds. */
  readonly maxStale: number
  /** `allow` and `deny`: whether the repository may be mirrored at all. */
  readonly isAllowed: (repository: RepositoryName) => boolean
  /** Whether only callers with a grant may read it, from a key space of its own. */
  readonly isPrivate: (repository: RepositoryName) => boolean
  /** For how many of its repositories that is so. */
  readonly privacy: 'none' | 'some' | 'all'
}
