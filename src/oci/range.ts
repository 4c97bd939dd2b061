// Byte ranges: what a `Range` asks for, what of it a representation has, and how the answer says
// so. One range only; whoever asks for several gets the whole, as RFC 9110 permits.

/** A requested range, its size-independent half. */
export type ByteRange =
  | { readonly kind: 'slice'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

/** A range that a representation has; never empty. */
export interface ResolvedRange {
  readonly offset: number
  readonly length: number
}

/*
 * RFC 9110 §14.1.1 and §14.1.2, for one range in bytes:
 *   ranges-specifier = "bytes=" OWS ( first-pos "-" [ last-pos ] | "-" suffix-length ) OWS
 */
const RANGE = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i

/**
 * Parses a `Range`. Undefined means: answer with the whole. An inverted range is malformed by RFC
 * 9110, which lets a server ignore it, but the distribution-spec conformance suite asks for 416, as
 * for a suffix of no bytes.
 */
export function parseRange(header: string | null): ByteRange | 'unsatisfiable' | undefined {
  const match = header === null ? null : RANGE.exec(header)
  const first = parsePosition(match?.[1])
  const last = parsePosition(match?.[2])
  if (first !== undefined) {
    return last !== undefined && last < first ? 'unsatisfiable' : { kind: 'slice', first, last }
  }
  if (last !== undefined) {
    return last === 0 ? 'unsatisfiable' : { kind: 'suffix', length: last }
  }
  return undefined
}

/** Clamps a range to a representation of `size` bytes. */
export function resolveRange(range: ByteRange, size: number): ResolvedRange | 'unsatisfiable' {
  if (range.kind === 'suffix') {
    const length = Math.min(range.length, size)
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length }
  }
  const end = range.last === undefined ? size : Math.min(range.last + 1, size)
  return range.first < end ? { offset: range.first, length: end - range.first } : 'unsatisfiable'
}

/** `Content-Range` of a 206. */
export function formatContentRange(offset: number, length: number, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`
}

/** `Content-Range` of a 416, which tells the client the size. */
export function unsatisfiedRange(size: number): string {
  return `bytes */${size}`
}

/**
 * Positions beyond what a number can hold lie beyond every blob, so the nearest number means the
 * same.
 */
function parsePosition(digits: string | undefined): number | undefined {
  return digits ? Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1) : undefined
}
