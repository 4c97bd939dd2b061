// What a request to the sample upstream is aimed at, parsed once: an endpoint of the registry, the
// token service, or the storage that blobs redirect to.

import { parseDigest } from '../src/oci/digest.ts'
import { type Endpoint, parseEndpoint } from '../src/oci/endpoint.ts'
import { RegistryError } from '../src/oci/error.ts'
import { formatReference } from '../src/oci/reference.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import type { RecordedRequest } from './upstream-record.ts'
import type { Access } from './upstream-token.ts'

/** Where blobs are when they are redirected: `/storage/<digest>`. */
export const STORAGE_PATH = '/storage/'

/** What is asked for; `invalid` is a known endpoint with a part that cannot be. */
export type Target =
  | Endpoint
  | { readonly kind: 'token' }
  | { readonly kind: 'storage'; readonly digest: string }
  | { readonly kind: 'other'; readonly error: RegistryError }

/** Parses the target. The token service answers on `/token` and on the path of the realm. */
export function parseTarget(url: URL, realm: string | undefined): Target {
  const { pathname } = url
  if (pathname === '/token' || (realm !== undefined && pathname === new URL(realm).pathname)) {
    return { kind: 'token' }
  }
  if (pathname.startsWith(STORAGE_PATH)) {
    const digest = parseDigest(decodeURIComponent(pathname.slice(STORAGE_PATH.length)))
    if (digest !== undefined) {
      return { kind: 'storage', digest }
    }
  }
  try {
    return parseRegistryPath(pathname)
  } catch (error) {
    if (error instanceof RegistryError) {
      return { kind: 'other', error }
    }
    throw error
  }
}

function parseRegistryPath(pathname: string): Target {
  const written = parseEndpoint(pathname)
  if (written === undefined || written.base !== undefined) {
    return { kind: 'other', error: new RegistryError('UNSUPPORTED', { status: 404 }) }
  }
  const { endpoint } = written
  if ('name' in endpoint && parseRepositoryName(endpoint.name) === undefined) {
    return { kind: 'other', error: new RegistryError('NAME_INVALID') }
  }
  return endpoint
}

/** The target in the words of the record. */
export function describeTarget(
  target: Target,
  url: URL,
): Pick<RecordedRequest, 'kind' | 'repository' | 'reference'> {
  const repository = 'name' in target ? target.name : undefined
  return { kind: target.kind, repository, reference: referenceOf(target, url) }
}

function referenceOf(target: Target, url: URL): string | undefined {
  if (target.kind === 'token') {
    return url.searchParams.getAll('scope').join(' ')
  }
  if ('reference' in target) {
    return formatReference(target.reference)
  }
  if ('digest' in target) {
    return target.digest
  }
  return 'session' in target ? target.session : undefined
}

/** What a token must grant: pulling to read, pushing to write, and pulling from the source of a mount. */
export function listAccess(target: Target, method: string, url: URL): Access[] {
  if (!('name' in target)) {
    return []
  }
  const repository = target.name
  if (target.kind === 'uploads' || target.kind === 'upload') {
    const own = { repository, actions: ['pull', 'push'] }
    const from = url.searchParams.get('from')
    return from === null ? [own] : [own, { repository: from, actions: ['pull'] }]
  }
  if (method === 'GET' || method === 'HEAD') {
    return [{ repository, actions: ['pull'] }]
  }
  return [{ repository, actions: method === 'DELETE' ? ['delete'] : ['pull', 'push'] }]
}
