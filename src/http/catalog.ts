// `GET /v2/_catalog`: the names of the repositories that this caller may pull, a page at a time.

import { pullableBeginnings } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { compareASCII, formatLink, parsePage } from '../oci/page.ts'
import type { RepositoryKind } from '../storage/keys.ts'
import type { Marker, RepositoryMarkers } from '../storage/repositories.ts'
import { findPullable } from './authorize.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** The most names in an answer, and the most that are read from storage at once. */
const MAX_NAMES = 1000
/** A request looks at so many thousand names before it answers with what it has found, if that is anything. */
const ROUNDS = 10
/** With nothing found there is no name to go on from that may be told, so it looks on, so far. */
const MAX_ROUNDS = 50

/** Answers GET (distribution's API specification, "Catalog"). */
export async function getCatalog(
  exchange: Exchange,
  markers: RepositoryMarkers,
  config: Config,
): Promise<Response> {
  const page = parsePage(exchange.query)
  const n = Math.min(page.n ?? MAX_NAMES, MAX_NAMES)
  const { names, next } =
    n === 0 ? { names: [], next: undefined } : await find(markers, config, { n, last: page.last })
  const headers: Record<string, string> = { [HEADER.contentType]: 'application/json' }
  if (next !== undefined) {
    const query = new URLSearchParams(page.n === undefined ? {} : { n: String(n) })
    query.set('last', next)
    headers[HEADER.link] = formatLink(`/v2/_catalog?${query.toString()}`)
  }
  const body = JSON.stringify({ repositories: names })
  return respond(exchange, { status: 200, headers, body })
}

/**
 * The next `n` names, and the `last` of the next page. The names in between that this caller may not pull cost
 * time, so there is an end to them; but none of them may be told as the place to go on from.
 */
async function find(
  markers: RepositoryMarkers,
  config: Config,
  { n, last }: { readonly n: number; readonly last: string | undefined },
): Promise<{ readonly names: readonly string[]; readonly next: string | undefined }> {
  const kinds: readonly RepositoryKind[] =
    config.anonymous === 'public' ? ['mirrored'] : ['mirrored', 'hosted']
  const beginnings = pullableBeginnings(config.anonymous)
  const names: string[] = []
  let after = skip(last ?? '', beginnings)
  for (let round = 1; after !== undefined && round <= MAX_ROUNDS; round++) {
    const { markers: found, isEnd } = await markers.list(kinds, { after, limit: MAX_NAMES })
    const shown = found.filter((marker) => isPullable(marker, config))
    names.push(...shown.map(({ canonical }) => canonical))
    // One more than fits: there is another page.
    if (names.length > n) return { names: names.slice(0, n), next: names[n - 1] }
    if (isEnd) return { names, next: undefined }
    if (round >= ROUNDS && names.length > 0) return { names, next: names.at(-1) }
    after = skip(found.at(-1)?.canonical ?? after, beginnings)
  }
  if (after === undefined) return { names, next: undefined }
  throw new RegistryError('UNKNOWN', {
    status: 503,
    message: 'there are too many repositories that this caller may not pull',
  })
}

/** A marker may be older than the configuration, by which the name now means something else. */
function isPullable({ kind, canonical }: Marker, config: Config): boolean {
  return findPullable(canonical, config)?.kind === kind
}

/**
 * After which name to go on: where none that follows could be pulled, the place before the next beginning, and nowhere
 * if there is none. No character of a name is greater than `~`.
 */
function skip(after: string, beginnings: readonly string[]): string | undefined {
  if (beginnings.some((beginning) => after.startsWith(beginning))) return after
  const [next] = beginnings.filter((each) => each > after).toSorted(compareASCII)
  const last = next?.charCodeAt(next.length - 1)
  return last === undefined ? undefined : `${next?.slice(0, -1)}${String.fromCharCode(last - 1)}~`
}
