// Pages of a sorted list: `n` and `last` of a request, the cut itself, and the `Link` to the next
// page, written and read.

import { RegistryError } from './error.ts'
import { FieldScanner } from './field-scanner.ts'

/** The page that a request asks for; undefined `n`: all that there is. */
export interface Page {
  readonly n: number | undefined
  /** Exclusive lower bound; it need not be an item of the list. */
  readonly last: string | undefined
}

/** One page, and the `last` of the request for the next one, if there is one. */
export interface TakenPage {
  readonly items: readonly string[]
  readonly next: string | undefined
}

const LINK_TARGET = /<([^>]*)>/y

/**
 * Parses `n` and `last` (distribution-spec v1.1.1, "Listing Tags"). A large `n` is no fault: it is
 * a bound, and nothing is allocated by it. What is no number of items is UNSUPPORTED, since the
 * spec has no code of its own for it.
 */
export function parsePage(query: URLSearchParams): Page {
  const n = query.get('n')
  return { n: n === null ? undefined : parseCount(n), last: query.get('last') || undefined }
}

/**
 * Cuts a page from a list in ASCII order. No items asked for: no next page either
 * (distribution-spec v1.1.1).
 */
export function takePage(sorted: readonly string[], { n, last }: Page): TakenPage {
  const start = last === undefined ? 0 : indexAfter(sorted, last)
  const end = n === undefined ? sorted.length : Math.min(start + n, sorted.length)
  const items = sorted.slice(start, end)
  return { items, next: end < sorted.length ? items.at(-1) : undefined }
}

/** A `Link` to the next page (RFC 8288). */
export function formatLink(target: string): string {
  return `<${target}>; rel="next"`
}

/**
 * The target of the first link to a next page. Lenient in what registries differ in: several links,
 * parameters in any order, several relations, no quotes.
 *
 *   Link       = #( "<" URI-Reference ">" *( OWS ";" OWS [ link-param ] ) )       RFC 8288 §3
 *   link-param = token BWS [ "=" BWS ( token / quoted-string ) ]
 */
export function parseNextLink(header: string | null): string | undefined {
  const scanner = new FieldScanner(header ?? '')
  for (;;) {
    scanner.skipSeparators()
    const target = scanner.match(LINK_TARGET)
    if (target === undefined) {
      return undefined
    }
    if (parseRelations(scanner).includes('next')) {
      return target
    }
  }
}

/** ASCIIbetical order: of code units, which for names and tags is the order of bytes. */
export function compareASCII(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/**
 * After which name to go on where only names that begin in one of these ways count: where none that follows could, the
 * place before the next beginning, and nowhere if there is none. No character of a name is greater than `~`.
 */
export function skipTo(after: string, beginnings: readonly string[]): string | undefined {
  if (beginnings.some((beginning) => after.startsWith(beginning))) return after
  const [next] = beginnings.filter((each) => each > after).toSorted(compareASCII)
  const last = next?.charCodeAt(next.length - 1)
  return last === undefined ? undefined : `${next?.slice(0, -1)}${String.fromCharCode(last - 1)}~`
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(count)) {
    throw new RegistryError('UNSUPPORTED', {
      status: 400,
      message: 'n is not a number of items',
      detail: { n: text },
    })
  }
  return count
}

/** Reads the parameters of a link; only the first `rel` counts (RFC 8288 §3.3). */
function parseRelations(scanner: FieldScanner): readonly string[] {
  let relations: string | undefined
  while (scanner.accept(';')) {
    const name = scanner.token()
    const value = scanner.accept('=') ? scanner.value() : undefined
    if (name?.toLowerCase() === 'rel') {
      relations ??= value
    }
  }
  return relations?.toLowerCase().split(' ') ?? []
}

function indexAfter(sorted: readonly string[], last: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = sorted[middle]
    if (item !== undefined && compareASCII(item, last) <= 0) {
      low = middle + 1
    } else {
      high = middle
    }
  }
  return low
}
