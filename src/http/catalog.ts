// `GET /v2/_catalog`: the names of the repositories that this caller may read, a page at a time.

import { parseGrants } from '../auth/account.ts'
import type { Caller } from '../auth/caller.ts'
import { mayReadHosted, readableBeginnings } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { parsePage, skipTo } from '../oci/page.ts'
import type { RepositoryKind } from '../storage/keys.ts'
import type { Marker, RepositoryMarkers } from '../storage/repositories.ts'
import type { Visit } from './authenticate.ts'
import { canLogIn, findReadable, refusal } from './authorize.ts'
import { CATALOG } from './challenge.ts'
import { linkTo, respond } from './exchange.ts'

/** The most names in an answer, and the most that are read from storage at once. */
const MAX_NAMES = 1000
/** A request looks at so many thousand names before it answers with what it has found, if that is anything. */
const ROUNDS = 10
/** With nothing found there is no name to go on from that may be told, so it looks on, so far. */
const MAX_ROUNDS = 50

/** Whose list it is, and by what it is decided. */
interface Reader {
  readonly caller: Caller
  readonly config: Config
}

/** Answers GET (distribution's API specification, "Catalog"). */
export async function getCatalog(visit: Visit): Promise<Response> {
  const { exchange, services } = visit
  const page = parsePage(exchange.query)
  const reader = { caller: await findCaller(visit), config: services.config }
  const n = Math.min(page.n ?? MAX_NAMES, MAX_NAMES)
  const { names, next } =
    n === 0
      ? { names: [], next: undefined }
      : await find(services.markers(), reader, { n, last: page.last })
  const headers: Record<string, string> = { [HEADER.contentType]: 'application/json' }
  if (next !== undefined) {
    const query = new URLSearchParams(page.n === undefined ? {} : { n: String(n) })
    query.set('last', next)
    headers[HEADER.link] = linkTo(exchange, `/v2/_catalog?${query.toString()}`)
  }
  const body = JSON.stringify({ repositories: names })
  return respond(exchange, { status: 200, headers, body })
}

/**
 * Whose list is wanted. Where somebody could log in, who has not is asked to: a client that has a password would
 * not show it, and miss what it may read. A token that is for the catalog stands for its account.
 */
async function findCaller(visit: Visit): Promise<Caller> {
  const { caller, credentials, account } = await visit.visitor.authenticate()
  if (credentials === 'wrong' || (credentials === 'none' && (await canLogIn(visit)))) {
    throw await refusal(visit, [CATALOG])
  }
  if (caller.kind !== 'token' || account === undefined) return caller
  if (!caller.access.some(({ type, name }) => type === CATALOG.type && name === CATALOG.name)) {
    return caller
  }
  return { kind: 'account', name: account.name, grants: parseGrants(account.grants) }
}

/**
 * The next `n` names, and the `last` of the next page. The names in between that this caller may not read cost
 * time, so there is an end to them; but none of them may be told as the place to go on from.
 */
async function find(
  markers: RepositoryMarkers,
  reader: Reader,
  { n, last }: { readonly n: number; readonly last: string | undefined },
): Promise<{ readonly names: readonly string[]; readonly next: string | undefined }> {
  const { caller, config } = reader
  const kinds: readonly RepositoryKind[] = mayReadHosted(caller, config.anonymous)
    ? ['mirrored', 'hosted']
    : ['mirrored']
  const beginnings = readableBeginnings(caller, config.anonymous)
  const names: string[] = []
  let after = skipTo(last ?? '', beginnings)
  for (let round = 1; after !== undefined && round <= MAX_ROUNDS; round++) {
    const { markers: found, isEnd } = await markers.list(kinds, { after, limit: MAX_NAMES })
    const shown = found.filter((marker) => isReadable(marker, reader))
    names.push(...shown.map(({ canonical }) => canonical))
    // One more than fits: there is another page.
    if (names.length > n) return { names: names.slice(0, n), next: names[n - 1] }
    if (isEnd) return { names, next: undefined }
    if (round >= ROUNDS && names.length > 0) return { names, next: names.at(-1) }
    after = skipTo(found.at(-1)?.canonical ?? after, beginnings)
  }
  if (after === undefined) return { names, next: undefined }
  throw new RegistryError('UNKNOWN', {
    status: 503,
    message: 'there are too many repositories that this caller may not read',
  })
}

/** A marker may be older than the configuration, by which the name now means something else. */
function isReadable({ kind, canonical }: Marker, { caller, config }: Reader): boolean {
  return findReadable(canonical, caller, config)?.kind === kind
}
