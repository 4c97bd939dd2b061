// From a parsed request to the handler that answers it: the endpoint, the repository, the method and the right to
// it are decided here, in this order, before anything is looked for.

import { allowedMethods, parseEndpoint } from '../oci/endpoint.ts'
import type { Endpoint, WrittenEndpoint } from '../oci/endpoint.ts'
import type { Address, AddressTable } from '../oci/address.ts'
import { resolveAddress } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { open } from '../registry/open.ts'
import type { Hosted, Repository } from '../registry/repository.ts'
import type { Services } from '../services.ts'
import { actionOf, authorize } from './authorize.ts'
import { deleteBlob, getBlob } from './blobs.ts'
import { getCatalog } from './catalog.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { getReferrers, getTags } from './listings.ts'
import { deleteManifest, getManifest, putManifest } from './manifests.ts'
import { continueUpload, startUpload } from './uploads.ts'

/** An endpoint of a repository. */
type RepositoryEndpoint = Exclude<Endpoint, { readonly kind: 'base' | 'catalog' }>

/** A hosted repository that is about to be changed. */
interface Target {
  readonly repository: Hosted
  readonly address: Address
}

/** Answers a request to anything below `/v2`. */
export async function dispatch(
  exchange: Exchange,
  services: Services,
  path: string,
): Promise<Response> {
  const written = parseEndpoint(path, exchange.method)
  if (written === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  const { endpoint } = written
  exchange.endpoint = endpoint.kind
  refuseLoop(exchange, services.via)
  if (endpoint.kind === 'base' || endpoint.kind === 'catalog') {
    refuseMethod(exchange.method, allowedMethods(endpoint.kind))
    requireBase(written, services.config.table)
    return endpoint.kind === 'base'
      ? getBase(exchange)
      : getCatalog(exchange, services.markers(), services.config)
  }
  return answer(exchange, services, { endpoint, base: written.base })
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
  exchange: Exchange,
  services: Services,
  { endpoint, base }: { readonly endpoint: RepositoryEndpoint; readonly base: string | undefined },
): Promise<Response> {
  const { config } = services
  const { method } = exchange
  const ns = exchange.query.getAll('ns')
  const address = resolveAddress({ name: endpoint.name, base, ns }, config.table)
  exchange.address = address
  const message = address.kind === 'mirrored' ? 'a mirrored repository can only be read' : undefined
  refuseMethod(method, allowedMethods(endpoint.kind, address.kind), message)
  const action = actionOf(endpoint.kind, method)
  authorize(address, action, config)
  const repository = open(address, services.opening())
  return action === 'pull' || repository.kind === 'mirrored'
    ? read(exchange, repository, { endpoint, address })
    : change(exchange, { repository, address }, { endpoint, services })
}

async function read(
  exchange: Exchange,
  repository: Repository,
  { endpoint, address }: { readonly endpoint: RepositoryEndpoint; readonly address: Address },
): Promise<Response> {
  switch (endpoint.kind) {
    case 'manifest':
      return getManifest(exchange, repository, endpoint.reference)
    case 'blob':
      return getBlob(exchange, repository, endpoint.digest)
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
  exchange: Exchange,
  target: Target,
  { endpoint, services }: { readonly endpoint: RepositoryEndpoint; readonly services: Services },
): Promise<Response> {
  switch (endpoint.kind) {
    case 'manifest':
      return exchange.method === 'PUT'
        ? putManifest(exchange, target, endpoint.reference)
        : deleteManifest(exchange, target.repository, endpoint.reference)
    case 'blob':
      return deleteBlob(exchange, target.repository, endpoint.digest)
    case 'uploads':
      return startUpload(exchange, target, services.config)
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

/** end-1. */
function getBase(exchange: Exchange): Response {
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
