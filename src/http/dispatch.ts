// From a parsed request to the handler that answers it: the endpoint, the repository, the method and the right to
// it are decided here, in this order, before anything is looked for.

import type { Config } from '../config.ts'
import { allowedMethods, parseEndpoint } from '../oci/endpoint.ts'
import type { Endpoint, WrittenEndpoint } from '../oci/endpoint.ts'
import type { Address, AddressTable } from '../oci/address.ts'
import { resolveAddress } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { open } from '../registry/open.ts'
import type { Hosted, Repository } from '../registry/repository.ts'
import type { Visit } from './authenticate.ts'
import { FillRight, actionOf, authorize, canLogIn, refusal } from './authorize.ts'
import { deleteBlob, getBlob } from './blobs.ts'
import { getCatalog } from './catalog.ts'
import { serviceOf } from './challenge.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { getReferrers, getTags } from './listings.ts'
import { deleteManifest, getManifest, putManifest } from './manifests.ts'
import { continueUpload, startUpload } from './uploads.ts'

const READ_METHODS: readonly string[] = ['GET', 'HEAD']

/** An endpoint of a repository. */
type RepositoryEndpoint = Exclude<Endpoint, { readonly kind: 'base' | 'catalog' }>

/** A hosted repository that is about to be changed. */
interface Target {
  readonly repository: Hosted
  readonly address: Address
}

/** Answers a request to anything below `/v2`. */
export async function dispatch(visit: Visit, path: string): Promise<Response> {
  const { exchange, services } = visit
  // Under a capability that is none there is nothing, whatever it is that is asked for.
  if (exchange.isCapability) await visit.visitor.authenticate()
  const written = parseEndpoint(path, exchange.method)
  if (written === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  const { endpoint } = written
  exchange.endpoint = endpoint.kind
  refuseLoop(exchange, services.via)
  if (endpoint.kind === 'base' || endpoint.kind === 'catalog') {
    refuseMethod(exchange.method, allowedMethods(endpoint.kind))
    requireBase(written, services.config.table)
    return endpoint.kind === 'base' ? getBase(visit) : getCatalog(visit)
  }
  return answer(visit, { endpoint, base: written.base })
}

/**
 * Refuses a method that is not allowed.
 * @throws {RegistryError} UNSUPPORTED, with `Allow`.
 */
export function refuseMethod(method: string, allowed: readonly string[], message?: string): void {
  if (allowed.includes(method)) return
  throw new RegistryError('UNSUPPORTED', {
    ...(message !== undefined && { message }),
    headers: { [HEADER.allow]: allowed.join(', ') },
  })
}

async function answer(
  visit: Visit,
  { endpoint, base }: { readonly endpoint: RepositoryEndpoint; readonly base: string | undefined },
): Promise<Response> {
  const { exchange, services } = visit
  const { method } = exchange
  const ns = namespacesOf(exchange, services.config)
  const address = resolveAddress({ name: endpoint.name, base, ns }, services.config.table)
  exchange.address = address
  refuseWrite(exchange, endpoint, address)
  const action = actionOf(endpoint.kind, method)
  await authorize(visit, address, action)
  if (action !== 'read') await refuseWhileReadOnly(visit, endpoint)
  const right = new FillRight(visit, address)
  const repository = open(address, services.opening(right.admit))
  if (action !== 'read' && repository.kind === 'hosted') {
    return change(visit, { repository, address }, endpoint)
  }
  try {
    return await read(visit, repository, { endpoint, address })
  } catch (error) {
    throw await right.orLogin(error)
  }
}

/** A mirror, and whatever comes by a capability, is read only, whoever asks. */
function refuseWrite(
  { method, isCapability }: Exchange,
  { kind }: RepositoryEndpoint,
  address: Address,
): void {
  const allowed = allowedMethods(kind, isCapability ? 'mirrored' : address.kind)
  const message = address.kind === 'mirrored' ? 'a mirrored repository can only be read' : undefined
  refuseMethod(method, allowed, isCapability ? 'this path can only be read' : message)
}

/** While administrators let nothing be changed. An upload can still be looked at and given up. */
async function refuseWhileReadOnly(
  { exchange, services }: Visit,
  { kind }: RepositoryEndpoint,
): Promise<void> {
  const left = allowedMethods(kind, 'hosted').filter(
    (method) => READ_METHODS.includes(method) || (kind === 'upload' && method === 'DELETE'),
  )
  if (left.includes(exchange.method) || !(await services.access.switches()).readOnly) return
  const message = 'this registry is read only now: an administrator has switched that on'
  refuseMethod(exchange.method, left, message)
}

async function read(
  visit: Visit,
  repository: Repository,
  { endpoint, address }: { readonly endpoint: RepositoryEndpoint; readonly address: Address },
): Promise<Response> {
  const { exchange } = visit
  switch (endpoint.kind) {
    case 'manifest':
      return getManifest(visit, repository, endpoint.reference)
    case 'blob':
      return getBlob(visit, repository, endpoint.digest)
    case 'tags':
      return getTags(exchange, repository, address)
    case 'referrers':
      return getReferrers(exchange, repository, { address, digest: endpoint.digest })
    case 'uploads':
    case 'upload':
      throw new RegistryError('UNSUPPORTED')
    default:
      return endpoint satisfies never
  }
}

async function change(
  visit: Visit,
  target: Target,
  endpoint: RepositoryEndpoint,
): Promise<Response> {
  const { exchange } = visit
  switch (endpoint.kind) {
    case 'manifest':
      return exchange.method === 'PUT'
        ? putManifest(visit, target, endpoint.reference)
        : deleteManifest(exchange, target.repository, endpoint.reference)
    case 'blob':
      return deleteBlob(exchange, target.repository, endpoint.digest)
    case 'uploads':
      return startUpload(visit, target)
    case 'upload':
      return continueUpload(exchange, target, endpoint.session)
    case 'tags':
    case 'referrers':
      throw new RegistryError('UNSUPPORTED')
    default:
      return endpoint satisfies never
  }
}

/** A host before `/v2` must be one of the table. */
function requireBase({ base }: WrittenEndpoint, table: AddressTable): void {
  if (base !== undefined && !table.upstreams.has(base.toLowerCase())) {
    throw new RegistryError('NAME_UNKNOWN')
  }
}

/**
 * end-1. Classic Docker decides here whether to send its password at all, so where somebody could log in, who has not
 * is asked to. Without a password it gets a token for what anybody may do.
 */
async function getBase(visit: Visit): Promise<Response> {
  const { exchange } = visit
  const { credentials } = await visit.visitor.authenticate()
  if (credentials === 'wrong' || (credentials === 'none' && (await canLogIn(visit)))) {
    throw await refusal(visit, [])
  }
  const headers = { [HEADER.contentType]: 'application/json' }
  return respond(exchange, { status: 200, headers, body: '{}' })
}

/** A request of our own that an upstream sent back to us would wait for itself. */
function refuseLoop(exchange: Exchange, via: string): void {
  if (!exchange.headers.get(HEADER.via)?.includes(via)) return
  throw new RegistryError('UNKNOWN', {
    status: 502,
    message: 'this upstream leads back to this registry',
  })
}

/** The registries that `ns` names. A client may name this one itself, which is no hint of another. */
function namespacesOf(exchange: Exchange, config: Config): readonly string[] {
  const all = exchange.query.getAll('ns')
  if (all.length === 0) return all
  const own = serviceOf(exchange, config)
  return all.filter((each) => each.toLowerCase() !== own)
}
