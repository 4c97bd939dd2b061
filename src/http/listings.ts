// end-8 and end-12: tags and referrers, a page at a time.

import { wayBack } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import type { Digest } from '../oci/digest.ts'
import { HEADER } from '../oci/header.ts'
import { MEDIA_TYPE } from '../oci/manifest.ts'
import { parsePage } from '../oci/page.ts'
import { formatReferrers } from '../oci/referrers.ts'
import type { ListingAnswer } from '../mirror/listings.ts'
import { registryErrorOf } from '../registry/failure.ts'
import type { Repository } from '../registry/repository.ts'
import { linkTo, respond, warn } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** Answers GET (distribution-spec v1.1.1, "Listing Tags"). */
export async function getTags(
  exchange: Exchange,
  repository: Repository,
  address: Address,
): Promise<Response> {
  const page = parsePage(exchange.query)
  const { items, next, warning } = noted(exchange, await repository.tags(page), 'NAME_UNKNOWN')
  const headers: Record<string, string> = { [HEADER.contentType]: 'application/json' }
  if (next !== undefined) {
    const query = new URLSearchParams(page.n === undefined ? {} : { n: String(page.n) })
    query.set('last', next)
    headers[HEADER.link] = linkTo(exchange, wayBack(address, '/tags/list', query))
  }
  const body = JSON.stringify({ name: address.repository, tags: items })
  return warned(respond(exchange, { status: 200, headers, body }), warning)
}

/** Answers GET (distribution-spec v1.1.1, "Listing Referrers"): 200 also where there are none. */
export async function getReferrers(
  exchange: Exchange,
  repository: Repository,
  asked: { readonly address: Address; readonly digest: Digest },
): Promise<Response> {
  const { address, digest } = asked
  const artifactTypes = exchange.query.getAll('artifactType')
  const last = exchange.query.get('last') || undefined
  const answer = await repository.referrers(digest, { artifactTypes, last })
  const { items, next, warning } = noted(exchange, answer, 'NAME_UNKNOWN')
  const headers: Record<string, string> = { [HEADER.contentType]: MEDIA_TYPE.OCI_INDEX }
  if (artifactTypes.length > 0) headers[HEADER.ociFiltersApplied] = 'artifactType'
  if (next !== undefined) {
    const query = new URLSearchParams(artifactTypes.map((type) => ['artifactType', type]))
    query.set('last', next)
    headers[HEADER.link] = linkTo(exchange, wayBack(address, `/referrers/${digest}`, query))
  }
  return warned(respond(exchange, { status: 200, headers, body: formatReferrers(items) }), warning)
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
