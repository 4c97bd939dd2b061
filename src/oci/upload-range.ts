// `Content-Range` of a chunk and `Range` of an upload session. Neither is RFC 9110's: a chunk's has no unit,
// and a session's says which bytes have arrived.

/** The bytes that a chunk claims to be; `last` below `first` is kept as it was written. */
export interface UploadRange {
  readonly first: number
  readonly last: number
}

/*
 * distribution-spec v1.1.1, "Pushing a blob in chunks": `Content-Range: <range>`, which "MUST match
 * ^[0-9]+-[0-9]+$". Docker's API wrote `bytes 0-9`, and some clients write RFC 9110's size after it.
 */
const RANGE = /^(?:bytes[ \t]+)?([0-9]+)-([0-9]+)(?:\/(?:[0-9]+|\*))?$/i

/** Parses the `Content-Range` of a chunk; undefined when there is none. */
export function parseUploadRange(header: string | null): UploadRange | 'invalid' | undefined {
  if (header === null) return undefined
  const [, first, last] = RANGE.exec(header.trim()) ?? []
  if (first === undefined || last === undefined) return 'invalid'
  return { first: parsePosition(first), last: parsePosition(last) }
}

/** `Range` of a session that has `offset` bytes. A session of no bytes says `0-0`, as distribution does. */
export function formatUploadRange(offset: number): string {
  return `0-${Math.max(offset - 1, 0)}`
}

/** No upload reaches a position that a number cannot hold, so the nearest number means the same. */
function parsePosition(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1)
}
