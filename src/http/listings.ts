// end-8 and end-12: tags and referrers, a page at a time.

import { wayBack } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import { MEDIA_TYPE } from '../oci/manifest.ts'
import { compareASCII, formatLink, parsePage } from '../oci/page.ts'
import { filterReferrers, formatReferrers } from '../oci/referrers.ts'
import type { ListingAnswer } from '../mirror/listings.ts'
import type { MirroredRepository } from '../mirror/repository.ts'
import { registryErrorOf } from '../registry/failure.ts'
import { respond, warn } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** Clients read an index of at most 4 MiB, so a page of referrers stays well below (bytes). */
const MAX_REFERRERS_PAGE = 3 * 1024 * 1024

/** Answers GET (distribution-spec v1.1.1, "Listing Tags"). */
export async function getTags(
  exchange: Exchange,
  repository: MirroredRepository,
  address: Address,
): Promise<Response> {
  const page = parsePage(exchange.query)
  const { items, next, warning } = noted(exchange, await repository.tags(page), 'NAME_UNKNOWN')
  const headers: Record<string, string> = { [HEADER.contentType]: 'application/json' }
  if (next !== undefined) {
    const query = new URLSearchParams(page.n === undefined ? {} : { n: String(page.n) })
    query.set('last', next)
    headers[HEADER.link] = formatLink(wayBack(address, '/tags/list', query))
  }
  const body = JSON.stringify({ name: address.repository, tags: items })
  return warned(respond(exchange, { status: 200, headers, body }), warning)
}

/** Answers GET (distribution-spec v1.1.1, "Listing Referrers"): 200 also where there are none. */
export async function getReferrers(
  exchange: Exchange,
  repository: MirroredRepository,
  asked: { readonly address: Address; readonly digest: Digest },
): Promise<Response> {
  const { address, digest } = asked
  const { items, warning } = noted(exchange, await repository.referrers(digest), 'NAME_UNKNOWN')
  const types = exchange.query.getAll('artifactType')
  const { page, next } = takeReferrers(filterReferrers(items, types), exchange.query.get('last'))
  const headers: Record<string, string> = { [HEADER.contentType]: MEDIA_TYPE.OCI_INDEX }
  if (types.length > 0) headers[HEADER.ociFiltersApplied] = 'artifactType'
  if (next !== undefined) {
    const query = new URLSearchParams(types.map((type) => ['artifactType', type]))
    query.set('last', next)
    headers[HEADER.link] = formatLink(wayBack(address, `/referrers/${digest}`, query))
  }
  return warned(respond(exchange, { status: 200, headers, body: formatReferrers(page) }), warning)
}

function noted<Item>(exchange: Exchange, answer: ListingAnswer<Item>, unknown: 'NAME_UNKNOWN') {
  if (!answer.ok) {
    exchange.outcome = 'miss'
    throw registryErrorOf(answer.failure, unknown)
  }
  exchange.outcome = answer.outcome
  return answer
}

function warned(response: Response, warning: string | undefined): Response {
  return warning === undefined ? response : warn(response, warning)
}

/**
 * The referrers after the digest `last` that fit into one page, and the `last` of the next page. They go in the
 * order of their digests, so that `last` says where to go on even when it is not in the list any more.
 */
function takeReferrers(
  all: readonly Descriptor[],
  last: string | null,
): { readonly page: readonly Descriptor[]; readonly next: string | undefined } {
  const sorted = all
    .filter(({ digest }) => last === null || compareASCII(digest, last) > 0)
    .toSorted((a, b) => compareASCII(a.digest, b.digest))
  const encoder = new TextEncoder()
  let size = 0
  let end = 0
  for (const descriptor of sorted) {
    size += encoder.encode(JSON.stringify(descriptor)).byteLength
    if (size > MAX_REFERRERS_PAGE && end > 0) break
    end += 1
  }
  const page = sorted.slice(0, end)
  return { page, next: end < sorted.length ? page.at(-1)?.digest : undefined }
}
