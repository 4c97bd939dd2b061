// The reading half of the sample upstream: blobs with ranges, manifests, tags and referrers. HEAD is
// answered as GET; the body is dropped on delivery.

import type { Digest } from '../src/oci/digest.ts'
import { RegistryError } from '../src/oci/error.ts'
import { HEADER } from '../src/oci/header.ts'
import { MEDIA_TYPE } from '../src/oci/manifest.ts'
import { compareASCII, formatLink, parsePage, takePage } from '../src/oci/page.ts'
import { formatContentRange, parseRange, resolveRange, unsatisfiedRange } from '../src/oci/range.ts'
import { type Reference, formatReference } from '../src/oci/reference.ts'
import { filterReferrers, formatReferrers } from '../src/oci/referrers.ts'
import { type Answer, createAnswer, createJSONAnswer } from './upstream-answer.ts'
import type { StoredRepository, UpstreamContent } from './upstream-content.ts'

/** How listings are given. */
export interface ListingOptions {
  /** The most entries of one page of tags or referrers, whatever was asked. */
  readonly pageSize?: number
  /** Whether `Link` names the origin too, as Quay's does. */
  readonly absoluteLinks?: boolean
  /** Whether the referrers API exists, default true; without it, 404. */
  readonly referrersAPI?: boolean
  /** Whether `artifactType` filters referrers, default true. */
  readonly referrersFilter?: boolean
  /** Whether `/v2/_catalog` lists the repositories, default false: Docker Hub has none. */
  readonly catalog?: boolean
}

/** Answers pulls from the content. */
export class UpstreamPull {
  readonly #content: UpstreamContent
  readonly #options: ListingOptions

  constructor(content: UpstreamContent, options: ListingOptions) {
    this.#content = content
    this.#options = options
  }

  /** end-1 */
  base(): Answer {
    return createJSONAnswer(200, {})
  }

  /** end-2 */
  blob(name: string, digest: Digest, request: Request): Answer {
    const bytes = this.#find(name, 'BLOB_UNKNOWN').blobs.get(digest)
    if (bytes === undefined) {
      throw new RegistryError('BLOB_UNKNOWN', { detail: { digest } })
    }
    return answerBlob(bytes, digest, request)
  }

  /** end-3 */
  manifest(name: string, reference: Reference): Answer {
    const repository = this.#find(name, 'NAME_UNKNOWN')
    const text = formatReference(reference)
    const digest = reference.kind === 'digest' ? text : repository.tags.get(text)
    const manifest = digest === undefined ? undefined : repository.manifests.get(digest)
    if (manifest === undefined) {
      throw new RegistryError('MANIFEST_UNKNOWN', { detail: { reference: text } })
    }
    const headers = {
      [HEADER.contentType]: manifest.mediaType,
      [HEADER.dockerContentDigest]: digest,
      [HEADER.etag]: `"${digest}"`,
    }
    return createAnswer(200, headers, manifest.bytes)
  }

  /** end-8 */
  tags(name: string, url: URL): Answer {
    const repository = this.#find(name, 'NAME_UNKNOWN')
    const { items, headers } = this.#page([...repository.tags.keys()], url)
    return createJSONAnswer(200, { name, tags: items }, headers)
  }

  /** The list of repositories, which the spec leaves to registries. */
  catalog(url: URL): Answer {
    if (this.#options.catalog !== true) {
      throw new RegistryError('UNSUPPORTED', { status: 404 })
    }
    const { items, headers } = this.#page(this.#content.names(), url)
    return createJSONAnswer(200, { repositories: items }, headers)
  }

  /** end-12: an empty index for what is not known, never 404, once the API exists. */
  referrers(name: string, digest: Digest, url: URL): Answer {
    const { referrersAPI = true, referrersFilter = true, pageSize = Infinity } = this.#options
    if (!referrersAPI) {
      throw new RegistryError('MANIFEST_UNKNOWN')
    }
    const types = url.searchParams.getAll('artifactType')
    const isFiltered = referrersFilter && types.length > 0
    const all = this.#content.listReferrers(name, digest)
    const chosen = isFiltered ? filterReferrers(all, types) : all
    const last = url.searchParams.get('last') ?? ''
    const rest = chosen.filter((one) => compareASCII(one.digest, last) > 0)
    const page = rest.slice(0, pageSize)
    const next = page.length < rest.length ? page.at(-1)?.digest : undefined
    const headers = {
      [HEADER.contentType]: MEDIA_TYPE.OCI_INDEX,
      [HEADER.ociFiltersApplied]: isFiltered ? 'artifactType' : undefined,
      [HEADER.link]: this.#linkTo(url, next, pageSize),
    }
    return createAnswer(200, headers, new TextEncoder().encode(formatReferrers(page)))
  }

  #find(name: string, code: 'NAME_UNKNOWN' | 'BLOB_UNKNOWN'): StoredRepository {
    const repository = this.#content.find(name)
    if (repository === undefined) {
      throw new RegistryError(code, { detail: { name } })
    }
    return repository
  }

  #page(
    entries: readonly string[],
    url: URL,
  ): {
    readonly items: readonly string[]
    readonly headers: Readonly<Record<string, string | undefined>>
  } {
    const page = parsePage(url.searchParams)
    const n = Math.min(page.n ?? Infinity, this.#options.pageSize ?? Infinity)
    const sorted = entries.toSorted(compareASCII)
    const { items, next } = takePage(sorted, { n: n === Infinity ? undefined : n, last: page.last })
    return { items, headers: { [HEADER.link]: this.#linkTo(url, next, n) } }
  }

  #linkTo(url: URL, last: string | undefined, n: number): string | undefined {
    if (last === undefined) {
      return undefined
    }
    const next = new URL(url)
    next.searchParams.set('last', last)
    next.searchParams.set('n', String(n))
    const target = this.#options.absoluteLinks ? next.href : next.pathname + next.search
    return formatLink(target)
  }
}

/** A blob, or the part of it that `Range` and `If-Range` ask for. */
export function answerBlob(bytes: Uint8Array, digest: string, request: Request): Answer {
  const etag = `"${digest}"`
  const headers = {
    [HEADER.contentType]: 'application/octet-stream',
    [HEADER.dockerContentDigest]: digest,
    [HEADER.acceptRanges]: 'bytes',
    [HEADER.etag]: etag,
  }
  const condition = request.headers.get(HEADER.ifRange)
  const isRanged = request.method === 'GET' && (condition === null || condition === etag)
  const range = isRanged ? parseRange(request.headers.get(HEADER.range)) : undefined
  if (range === undefined) {
    return createAnswer(200, headers, bytes)
  }
  const slice = range === 'unsatisfiable' ? range : resolveRange(range, bytes.length)
  if (slice === 'unsatisfiable') {
    return createAnswer(416, { [HEADER.contentRange]: unsatisfiedRange(bytes.length) })
  }
  const { offset, length } = slice
  const contentRange = formatContentRange(offset, length, bytes.length)
  return createAnswer(
    206,
    { ...headers, [HEADER.contentRange]: contentRange },
    bytes.subarray(offset, offset + length),
  )
}
