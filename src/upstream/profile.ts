// What is known beforehand of the public registries: data, no behaviour. A registry without a profile
// is asked (`GET /v2/`) how it wants to be spoken to.

/** The built-in facts of one registry, or of a family of them (`*.pkg.dev`). */
export interface Profile {
  /** The canonical host, or `*.` and a suffix. */
  readonly host: string
  /** Other names of the same registry. */
  readonly aliases: readonly string[]
  /** The base URL where it is not `https://<host>`. */
  readonly url?: string
  /** The token endpoint where it is known; `none` where the registry never asks; absent: ask. `{host}` is replaced. */
  readonly token?: { readonly realm: string; readonly service?: string } | 'none'
  /** Further origins that may serve as token realm. */
  readonly realms?: readonly string[]
  /** A fixed token scope where the registry does not take `repository:<name>:pull`. */
  readonly scope?: string
  /** Statuses besides 401 that mean "the token has expired". */
  readonly expiredStatuses?: readonly number[]
  /** Whether a one-component name means `library/<name>`. */
  readonly library?: boolean
}

const PROFILES: readonly Profile[] = [
  {
    host: 'docker.io',
    aliases: ['index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'],
    url: 'https://registry-1.docker.io',
    token: { realm: 'https://auth.docker.io/token', service: 'registry.docker.io' },
    library: true,
  },
  {
    host: 'ghcr.io',
    aliases: [],
    token: { realm: 'https://ghcr.io/token', service: 'ghcr.io' },
  },
  {
    host: 'quay.io',
    aliases: [],
    token: { realm: 'https://quay.io/v2/auth', service: 'quay.io' },
  },
  { host: 'registry.k8s.io', aliases: ['k8s.gcr.io'], token: 'none' },
  { host: 'gcr.io', aliases: [], token: { realm: 'https://gcr.io/v2/token', service: 'gcr.io' } },
  { host: '*.gcr.io', aliases: [], token: { realm: 'https://{host}/v2/token', service: '{host}' } },
  {
    host: '*.pkg.dev',
    aliases: [],
    token: { realm: 'https://{host}/v2/token', service: '{host}' },
  },
  { host: 'mcr.microsoft.com', aliases: [], token: 'none' },
  {
    // The scope is the literal `aws`, and an expired token is answered 400 without a challenge.
    host: 'public.ecr.aws',
    aliases: [],
    token: { realm: 'https://public.ecr.aws/token/', service: 'public.ecr.aws' },
    scope: 'aws',
    expiredStatuses: [400],
  },
  {
    // A 401 for an expired token names another realm, which dead-ends for anonymous callers: the realm
    // known here is always used.
    host: 'nvcr.io',
    aliases: [],
    token: { realm: 'https://nvcr.io/proxy_auth' },
  },
  {
    host: 'registry.gitlab.com',
    aliases: [],
    token: { realm: 'https://gitlab.com/jwt/auth', service: 'container_registry' },
  },
]

/** The profile of a canonical or alternative host name (lower case), if it has one. */
export function profileOf(host: string): Profile | undefined {
  return (
    PROFILES.find((profile) => profile.host === host || profile.aliases.includes(host)) ??
    PROFILES.find(
      (profile) => profile.host.startsWith('*.') && host.endsWith(profile.host.slice(1)),
    )
  )
}
