// From a raw path to one Endpoint: the shape of the request, its digest or reference parsed. The
// name stays as written; which repository it means is address.ts's question, whether the method is
// allowed the router's.

import type { Digest } from './digest.ts'
import { parseDigest } from './digest.ts'
import { RegistryError } from './error.ts'
import type { Reference } from './reference.ts'
import { parseReference } from './reference.ts'

/** A row of the endpoint table (distribution-spec v1.1.1, "Endpoints"); `name` is as written. */
export type Endpoint =
  | { readonly kind: 'base' } // end-1
  | { readonly kind: 'catalog' }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest } // end-2, end-10
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: Reference } // end-3, end-7, end-9
  | { readonly kind: 'uploads'; readonly name: string } // end-4a, end-4b, end-4c, end-11
  | { readonly kind: 'upload'; readonly name: string; readonly session: string } // end-5, end-6, end-13, end-14
  | { readonly kind: 'tags'; readonly name: string } // end-8
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: Digest } // end-12

/** An endpoint, and the host that was written before `/v2`, if one was. */
export interface WrittenEndpoint {
  readonly endpoint: Endpoint
  readonly base: string | undefined
}

const ROOT = '/v2'
const BLOBS = '/blobs'

const READ_METHODS: readonly string[] = ['GET', 'HEAD']

/** The methods of a hosted repository's endpoints, where they are more than reading. */
const HOSTED_METHODS: Partial<Readonly<Record<Endpoint['kind'], readonly string[]>>> = {
  manifest: [...READ_METHODS, 'PUT', 'DELETE'],
  blob: [...READ_METHODS, 'DELETE'],
  uploads: ['POST'],
  upload: [...READ_METHODS, 'PATCH', 'PUT', 'DELETE'],
}

/**
 * Parses a raw pathname, percent-encoding untouched. Throws DIGEST_INVALID or MANIFEST_UNKNOWN
 * where the shape is known but its last segment is none that could exist; MANIFEST_INVALID for the
 * `method` that would make it.
 *
 *   path ::= [ "/" host ] "/v2" [ "/" [ rest ] ]
 *   rest ::= "_catalog" | name "/tags/list" | name "/manifests/" reference | name "/blobs/" digest
 *          | name "/referrers/" digest | name "/blobs/uploads" [ "/" [ session ] ]
 *
 * A name may have components called `blobs`, `manifests`, `tags`, `uploads` or `referrers`, so the
 * shape is read from the right, where it is unambiguous.
 */
export function parseEndpoint(path: string, method = 'GET'): WrittenEndpoint | undefined {
  const root = startsWithRoot(path, 0) ? 0 : path.indexOf('/', 1)
  if (root === 1 || !startsWithRoot(path, root)) {
    return undefined
  }
  const endpoint = parseRest(path.slice(root + ROOT.length + 1), method)
  if (endpoint === undefined) {
    return undefined
  }
  return { endpoint, base: root === 0 ? undefined : path.slice(1, root).replaceAll(/%3a/gi, ':') }
}

/** The methods that an endpoint answers, of a mirrored or a hosted repository or of none; `Allow` lists them. */
export function allowedMethods(
  kind: Endpoint['kind'],
  of: 'mirrored' | 'hosted' = 'mirrored',
): readonly string[] {
  const hosted = HOSTED_METHODS[kind]
  if (of === 'hosted' && hosted !== undefined) {
    return hosted
  }
  return kind === 'uploads' || kind === 'upload' ? [] : READ_METHODS
}

function startsWithRoot(path: string, position: number): boolean {
  const end = position + ROOT.length
  return (
    position >= 0 && path.startsWith(ROOT, position) && (end === path.length || path[end] === '/')
  )
}

function parseRest(rest: string, method: string): Endpoint | undefined {
  if (rest === '') {
    return { kind: 'base' }
  }
  if (rest === '_catalog') {
    return { kind: 'catalog' }
  }
  const lastSlash = rest.lastIndexOf('/')
  const markerSlash = rest.lastIndexOf('/', lastSlash - 1)
  if (markerSlash <= 0) {
    return undefined
  }
  const name = rest.slice(0, markerSlash)
  const last = rest.slice(lastSlash + 1)
  const marker = rest.slice(markerSlash + 1, lastSlash)
  return marker === 'uploads'
    ? parseUpload(name, last)
    : parseMarked(marker, { name, last, method })
}

function parseUpload(nameAndBlobs: string, session: string): Endpoint | undefined {
  if (!nameAndBlobs.endsWith(BLOBS) || nameAndBlobs.length === BLOBS.length) {
    return undefined
  }
  const name = nameAndBlobs.slice(0, -BLOBS.length)
  return session === ''
    ? { kind: 'uploads', name }
    : { kind: 'upload', name, session: decode(session) }
}

function parseMarked(
  marker: string,
  { name, last, method }: Readonly<Record<'name' | 'last' | 'method', string>>,
): Endpoint | undefined {
  if (last === '') {
    return undefined
  }
  switch (marker) {
    case 'manifests':
      return { kind: 'manifest', name, reference: requireReference(decode(last), method) }
    case 'blobs':
      return last === 'uploads'
        ? { kind: 'uploads', name }
        : { kind: 'blob', name, digest: requireDigest(decode(last)) }
    case 'referrers':
      return { kind: 'referrers', name, digest: requireDigest(decode(last)) }
    case 'tags':
      return last === 'list' ? { kind: 'tags', name } : undefined
    default:
      return undefined
  }
}

/**
 * Docker and OCI clients percent-encode the colon of a digest at will, so the last segment is
 * decoded once; the name never is: its grammar has no character that needs it. Text that cannot be
 * decoded stays as it is, and then no grammar takes it, because none has a `%`.
 */
function decode(segment: string): string {
  if (!segment.includes('%')) {
    return segment
  }
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function requireDigest(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) {
    throw new RegistryError('DIGEST_INVALID', { detail: { digest: text } })
  }
  return digest
}

/**
 * An illegal tag is 404, not 400: no manifest has it, and the v1.1.1 conformance suite wants that. To
 * push one is a mistake of its own.
 */
function requireReference(text: string, method: string): Reference {
  const reference = parseReference(text)
  if (reference !== undefined) {
    return reference
  }
  if (text.includes(':')) {
    throw new RegistryError('DIGEST_INVALID', { detail: { digest: text } })
  }
  const detail = { reference: text }
  throw method === 'PUT'
    ? new RegistryError('MANIFEST_INVALID', { message: 'the reference is no tag', detail })
    : new RegistryError('MANIFEST_UNKNOWN', { detail })
}
