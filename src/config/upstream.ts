// An entry of `UPSTREAMS` and what its registry's profile knows, made into an `Upstream`. An address
// that leads into a private network is refused here, before anything is asked of it.

import { formatScope } from '../oci/bearer.ts'
import { isLoopbackHost, isPrivateHost } from '../oci/host.ts'
import type { Pattern } from '../oci/pattern.ts'
import { parsePattern, parseTagPattern } from '../oci/pattern.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Profile } from '../upstream/profile.ts'
import { profileOf } from '../upstream/profile.ts'
import type { Credential, Upstream } from '../upstream/upstream.ts'
import type { Setting } from './setting.ts'
import {
  ConfigError,
  readDuration,
  readList,
  readObject,
  readPattern,
  readText,
  refuse,
} from './setting.ts'

/** An upstream with the names that mean it. */
export interface NamedUpstream {
  readonly upstream: Upstream
  /** Every accepted spelling of the host, the canonical one first. */
  readonly names: readonly string[]
  /** Whether a one-component name means `library/<name>`. */
  readonly library: boolean
  /** Whether any of its repositories is private. */
  readonly hasPrivate: boolean
}

const KEYS = ['url', 'tagTTL', 'maxStale', 'allow', 'deny', 'private', 'realms', 'alternates']
const DEFAULT_TAG_TTL = 5 * 60_000
const DEFAULT_MAX_STALE = 7 * 86_400_000
/** First components of paths that mean something else. */
const RESERVED_NAMES = ['v2', 't']

type Names = Pick<NamedUpstream, 'names' | 'library'>
type Members = ReadonlyMap<string, Setting>
type Remote = Pick<Upstream, 'url' | 'realms' | 'authentication' | 'scope' | 'expiredStatuses'>
/** What an alternate has of its own; everything else is the upstream's. */
type Alternate = Remote & Pick<Upstream, 'name' | 'isLocal' | 'credentials'>

/** No repository at all, and every one. */
const NOTHING = (): boolean => false
const EVERYTHING = (): boolean => true

/** The canonical host that a key of the configuration means: the names of Docker Hub are one. */
export function canonicalHost(key: string): string {
  const host = key.toLowerCase()
  const profile = profileOf(host)
  return profile === undefined || profile.host.startsWith('*.') ? host : profile.host
}

/** The credentials for a host, by the host of an entry or of an alternate's URL. */
export type CredentialsOf = (host: string) => readonly Credential[]

/** The upstream that one entry of `UPSTREAMS` describes. */
export function readUpstream(
  key: string,
  setting: Setting,
  credentialsOf: CredentialsOf,
): NamedUpstream {
  const host = canonicalHost(key)
  if (!isHostName(host)) {
    refuse({ ...setting, value: key }, 'a registry host such as "ghcr.io", or a name for a url')
  }
  const members = readObject(setting, 'an object of settings, {} for the defaults', KEYS)
  const credentials = credentialsOf(host)
  const profile = profileOf(host)
  const named = {
    names: [host, ...(profile?.host === host ? profile.aliases : [])],
    library: profile?.library ?? false,
  }
  const url = readURL(members.get('url'), setting, profile?.url ?? `https://${host}`)
  const isLocal = isLoopbackHost(url.hostname)
  const isKnown = profile !== undefined && isProfileHost(url, profile, host)
  const alternates = readAlternates(members.get('alternates'), host, credentialsOf)
  // What an alternate's login can read is served to the same callers.
  const hasCredentials = [{ credentials }, ...alternates].some(
    (each) => each.credentials.length > 0,
  )
  const privacy = { isLocal, isKnown, hasCredentials }
  const maxStale = members.get('maxStale')
  const isPrivate = readPrivate(members.get('private'), setting, { ...privacy, named })
  const upstream: Upstream = {
    host,
    name: host,
    alternates: [],
    ...remoteOf({ host, url, members, profile: isKnown ? profile : undefined }),
    credentials,
    isLocal,
    tagTTL: readTagTTL(members.get('tagTTL'), named),
    maxStale: maxStale === undefined ? DEFAULT_MAX_STALE : readDuration(maxStale),
    isAllowed: readAllowed(members, named),
    isPrivate,
    privacy: privacyOf(isPrivate),
  }
  return {
    ...named,
    hasPrivate: isPrivate !== NOTHING,
    upstream: { ...upstream, alternates: alternates.map((each) => ({ ...upstream, ...each })) },
  }
}

/** Other endpoints of the same registry: a URL each, or `{ url, realms }`. */
function readAlternates(
  setting: Setting | undefined,
  of: string,
  credentialsOf: CredentialsOf,
): readonly Alternate[] {
  if (setting === undefined) return []
  const alternates = readList(setting, 'a list of URLs, or of { url, realms }').map((each) =>
    readAlternate(each, of, credentialsOf),
  )
  const names = new Set(alternates.map(({ name }) => name))
  if (names.size < alternates.length) return refuse(setting, 'each host once')
  return alternates
}

function readAlternate(setting: Setting, of: string, credentialsOf: CredentialsOf): Alternate {
  const members: Members =
    typeof setting.value === 'string'
      ? new Map([['url', setting]])
      : readObject(setting, 'a URL, or { url, realms }', ['url', 'realms'])
  const url = readURL(members.get('url'), setting, '')
  const { host } = url
  const profile = profileOf(host)
  const isKnown = profile !== undefined && isProfileHost(url, profile, host)
  return {
    ...remoteOf({ host, url, members, profile: isKnown ? profile : undefined }),
    name: `${of} via ${host}`,
    isLocal: isLoopbackHost(url.hostname),
    credentials: credentialsOf(canonicalHost(host)),
  }
}

/** A host, with or without port, that can also stand as the first component of a repository name. */
function isHostName(host: string): boolean {
  const name = /^(?<name>[^:/]+)(?<port>:[0-9]{1,5})?$/.exec(host)?.groups?.['name']
  if (name === undefined || RESERVED_NAMES.includes(name)) return false
  return parseRepositoryName(name) !== undefined
}

function readURL(setting: Setting | undefined, of: Setting, fallback: string): URL {
  const given = setting ?? { ...of, path: `${of.path}.url`, value: fallback }
  const expected = 'a URL such as "https://registry.example.com", without user, query and fragment'
  const url = URL.parse(readText(given, expected))
  if (url === null || `${url.username}${url.password}${url.search}${url.hash}` !== '') {
    return refuse(given, expected)
  }
  return requireReachable(url, given)
}

/** https, or http on this machine; never a private network. */
function requireReachable(url: URL, setting: Setting): URL {
  const isLoopback = isLoopbackHost(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback)) {
    return refuse(setting, 'https, or http on a loopback address')
  }
  if (isPrivateHost(url.hostname)) {
    return refuse(
      setting,
      'a public host, or a loopback address (private networks are not reached)',
    )
  }
  return url
}

function isProfileHost(url: URL, profile: Profile, host: string): boolean {
  return url.host === new URL(profile.url ?? `https://${host}`).host
}

/** Where the registry is and how it is spoken to. A profile is given only if `url` is the profile's registry. */
function remoteOf(known: {
  readonly host: string
  readonly url: URL
  readonly members: Members
  readonly profile: Profile | undefined
}): Remote {
  const { host, url, members, profile } = known
  const token = profile?.token ?? 'ask'
  const service =
    typeof token === 'string'
      ? token
      : {
          realm: token.realm.replace('{host}', host),
          service: token.service?.replace('{host}', host),
        }
  const realms = [
    url.origin,
    ...(typeof service === 'string' ? [] : [new URL(service.realm).origin]),
    ...(profile?.realms ?? []),
    ...readRealms(members.get('realms')),
  ]
  const scope = profile?.scope
  return {
    url: url.href.replace(/\/+$/, ''),
    realms: [...new Set(realms)],
    authentication: service,
    scope: (repository) => scope ?? scopeOf(repository),
    expiredStatuses: profile?.expiredStatuses ?? [],
  }
}

/** Distribution, Harbor and GitLab know the catalog by this name. */
function scopeOf(repository: RepositoryName | undefined): string {
  return repository === undefined ? 'registry:catalog:*' : formatScope(repository, ['pull'])
}

function readRealms(setting: Setting | undefined): readonly string[] {
  if (setting === undefined) return []
  const expected = 'an origin such as "https://auth.example.com"'
  return readList(setting, `a list, each ${expected}`).map((each) => {
    const text = readText(each, expected)
    const url = URL.parse(text)
    if (url === null || url.origin !== text.replace(/\/$/, '').toLowerCase()) {
      return refuse(each, expected)
    }
    return requireReachable(url, each).origin
  })
}

function readTagTTL(setting: Setting | undefined, named: Names): Upstream['tagTTL'] {
  if (setting === undefined) return () => DEFAULT_TAG_TTL
  if (typeof setting.value !== 'object') {
    const duration = readDuration(setting)
    return () => duration
  }
  const members = readObject(setting, 'a duration, or an object of pattern and duration')
  const rules = [...members].map(([key, duration]) => {
    const [repository = '', tag = '*', ...rest] = key.split(':')
    const tags = rest.length === 0 ? parseTagPattern(tag) : undefined
    if (tags === undefined) {
      throw new ConfigError(
        `${duration.path}: expected "<repository pattern>" or "<repository pattern>:<tag pattern>", found this key`,
      )
    }
    const repositories = readRepositoryPattern({ ...duration, value: repository }, named)
    return { repositories, tags, duration: readDuration(duration) }
  })
  return (repository, tag) =>
    rules.find((rule) => rule.repositories.matches(repository) && rule.tags.matches(tag))
      ?.duration ?? DEFAULT_TAG_TTL
}

function readAllowed(members: Members, named: Names): Upstream['isAllowed'] {
  const allow = readPatterns(members.get('allow'), named)
  const deny = readPatterns(members.get('deny'), named) ?? []
  return (repository) =>
    (allow === undefined || anyMatches(allow, repository)) && !anyMatches(deny, repository)
}

function readPrivate(
  setting: Setting | undefined,
  of: Setting,
  facts: {
    readonly isLocal: boolean
    readonly isKnown: boolean
    readonly hasCredentials: boolean
    readonly named: Names
  },
): Upstream['isPrivate'] {
  const expected = 'true, false or a list of repository patterns'
  if (setting === undefined) {
    if (facts.isLocal || (facts.isKnown && !facts.hasCredentials)) return NOTHING
    const why = facts.hasCredentials
      ? 'its credentials may read private repositories too, and what is not declared private is served to anyone'
      : 'nothing is known of this registry, and what is not declared private is served to anyone'
    return refuse({ ...of, path: `${of.path}.private`, value: undefined }, `${expected} (${why})`)
  }
  const { value } = setting
  if (typeof value === 'boolean') return value ? EVERYTHING : NOTHING
  if (!Array.isArray(value)) return refuse(setting, expected)
  const patterns = readPatterns(setting, facts.named) ?? []
  if (patterns.length === 0) return NOTHING
  return (repository) => anyMatches(patterns, repository)
}

function privacyOf(isPrivate: Upstream['isPrivate']): Upstream['privacy'] {
  if (isPrivate === EVERYTHING) return 'all'
  return isPrivate === NOTHING ? 'none' : 'some'
}

function readPatterns(setting: Setting | undefined, named: Names): readonly Pattern[] | undefined {
  if (setting === undefined) return undefined
  return readList(setting, 'a list of repository patterns').map((each) =>
    readRepositoryPattern(each, named),
  )
}

/**
 * A pattern over the names of one upstream. One component means what it means in a request: at Docker
 * Hub, `library/<name>`; otherwise `deny: ["nginx"]` would deny nothing.
 */
function readRepositoryPattern(setting: Setting, { names, library }: Names): Pattern {
  const pattern = readPattern(setting)
  const [first = ''] = pattern.text.split('/')
  if (names.includes(first)) return refuse(setting, 'a repository pattern without the host')
  if (!library || pattern.text.includes('/') || pattern.text === '**') return pattern
  return parsePattern(`library/${pattern.text}`) ?? pattern
}

function anyMatches(patterns: readonly Pattern[], repository: string): boolean {
  return patterns.some((pattern) => pattern.matches(repository))
}
