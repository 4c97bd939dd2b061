// Which repository a request means, decided by its name and the configuration alone, never by what
// happens to exist. Made once per request; nothing downstream sees the text that it came from.

import { RegistryError } from './error.ts'
import type { Pattern } from './pattern.ts'
import type { RepositoryName } from './repository-name.ts'
import { parseRepositoryName } from './repository-name.ts'

/** An upstream as far as addressing goes. */
export interface AddressedUpstream {
  /** The canonical host. */
  readonly host: string
  /** Whether a one-component name means `library/<name>` there. */
  readonly library: boolean
}

/** The closed table that names are resolved against. */
export interface AddressTable {
  /** Every accepted spelling of every upstream's host, in lower case. */
  readonly upstreams: ReadonlyMap<string, AddressedUpstream>
  /** The host for names that carry no hint. */
  readonly defaultUpstream: string | undefined
  readonly hosted: readonly Pattern[]
}

/**
 * What the client wrote: the name of the path, the host before `/v2`, and every `ns` of the query.
 */
export interface WrittenAddress {
  readonly name: string
  readonly base: string | undefined
  readonly ns: readonly string[]
}

interface CommonAddress {
  readonly repository: RepositoryName
  /**
   * The name in grants, scopes and keys: two spellings of one repository have one canonical name.
   */
  readonly canonical: string
  /**
   * The path as the client wrote it, up to and including the name: the stem of `Location` and
   * `Link`.
   */
  readonly path: string
  /** The source host as the client wrote it, which the answer echoes in `OCI-Namespace`. */
  readonly ns: string | undefined
}

/** A repository of an upstream; its canonical name is `<host>/<repository>`. */
export interface MirroredAddress extends CommonAddress {
  readonly kind: 'mirrored'
  readonly host: string
}

/** A repository of our own. */
export interface HostedAddress extends CommonAddress {
  readonly kind: 'hosted'
}

/** A repository that a request may mean; it need not exist. */
export type Address = MirroredAddress | HostedAddress

/** The written address with `/<host>/v2/<repo>` folded into the prefix form `<host>/<repo>`. */
interface PrefixedName {
  readonly path: string
  readonly whole: string
  readonly prefix: string
  /** What follows the prefix; undefined in a name of one component. */
  readonly rest: string | undefined
}

/**
 * Resolves a written address. Throws NAME_INVALID or NAME_UNKNOWN, so an unknown host causes no
 * outbound request. Neither repeats what was written: a capability may stand in it, nearly right.
 */
export function resolveAddress(written: WrittenAddress, table: AddressTable): Address {
  const name = splitPrefix(written)
  const [ns] = written.ns
  if (ns !== undefined) {
    const upstream = resolveNamespace(written.ns, table)
    const isPrefixed =
      name.rest !== undefined && upstreamOf(name.prefix, table)?.host === upstream.host
    return mirrored(upstream, isPrefixed ? name.rest : name.whole, name.path, ns)
  }
  const prefixed = upstreamOf(name.prefix, table)
  if (prefixed !== undefined && name.rest !== undefined) {
    return mirrored(prefixed, name.rest, name.path, undefined)
  }
  if (written.base !== undefined) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  return resolveUnhinted(name, table)
}

/**
 * The way back to the addressed repository by the route the client came: `Location` and `Link` keep
 * its spelling and its `ns`, without which the next request would mean another repository.
 */
export function wayBack(address: Address, suffix: string, query: URLSearchParams): string {
  const parameters = new URLSearchParams(query)
  parameters.delete('ns')
  if (address.ns !== undefined) {
    parameters.append('ns', address.ns)
  }
  const text = parameters.toString()
  return address.path + suffix + (text === '' ? '' : `?${text}`)
}

function splitPrefix({ name, base }: WrittenAddress): PrefixedName {
  const path = base === undefined ? `/v2/${name}` : `/${base}/v2/${name}`
  const written = base === undefined ? name : `${base}/${name}`
  const slash = written.indexOf('/')
  const rest = slash < 0 ? undefined : written.slice(slash + 1)
  const prefix = decodeColon(slash < 0 ? written : written.slice(0, slash))
  const whole = rest === undefined ? prefix : `${prefix}/${rest}`
  if (whole.includes('%')) {
    throw new RegistryError('NAME_INVALID')
  }
  return { path, whole, prefix, rest }
}

/** Clients encode the colon of a host's port; no other character of a name may be encoded. */
function decodeColon(component: string): string {
  return component.includes('%') ? component.replaceAll(/%3a/gi, ':') : component
}

function upstreamOf(host: string, table: AddressTable): AddressedUpstream | undefined {
  return table.upstreams.get(host.toLowerCase())
}

/** A request that names two source hosts means none of them. */
function resolveNamespace(namespaces: readonly string[], table: AddressTable): AddressedUpstream {
  const upstreams = namespaces.map((ns) => upstreamOf(ns, table))
  const [first] = upstreams
  if (first === undefined || upstreams.some((upstream) => upstream?.host !== first.host)) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  return first
}

function resolveUnhinted(name: PrefixedName, table: AddressTable): Address {
  const { whole, path } = name
  const repository = parseRepositoryName(whole)
  if (repository !== undefined && table.hosted.some((pattern) => pattern.matches(repository))) {
    return { kind: 'hosted', repository, canonical: repository, path, ns: undefined }
  }
  if (name.rest !== undefined && looksLikeHost(name.prefix)) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  if (repository === undefined) {
    throw new RegistryError('NAME_INVALID')
  }
  const upstream =
    table.defaultUpstream === undefined ? undefined : upstreamOf(table.defaultUpstream, table)
  if (upstream === undefined) {
    throw new RegistryError('NAME_UNKNOWN')
  }
  return mirrored(upstream, repository, path, undefined)
}

/**
 * How every client tells a host from the first component of a name (containerd and Docker's
 * reference grammar).
 */
function looksLikeHost(component: string): boolean {
  return component.includes('.') || component.includes(':') || component === 'localhost'
}

function mirrored(
  { host, library }: AddressedUpstream,
  name: string,
  path: string,
  ns: string | undefined,
): MirroredAddress {
  const repository = parseRepositoryName(library && !name.includes('/') ? `library/${name}` : name)
  if (repository === undefined) {
    throw new RegistryError('NAME_INVALID')
  }
  return { kind: 'mirrored', host, repository, canonical: `${host}/${repository}`, path, ns }
}
