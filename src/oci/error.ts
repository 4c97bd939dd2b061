// The errors that a client can see: one table of codes, one class, one JSON form. Who throws picks
// a code; status and message follow from the table, so they cannot disagree.

interface CodeEntry {
  readonly status: number
  readonly message: string
  /** Other statuses under which the code may be answered. */
  readonly alternatives?: readonly number[]
}

/**
 * distribution-spec v1.1.1, "Error Codes": code-1 to code-14, and distribution's UNKNOWN for
 * failures that are not the client's (5xx only), and the three of its token service. MANIFEST_BLOB_UNKNOWN is 400 and UNSUPPORTED 405
 * as in distribution.
 */
export const CODES = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid', alternatives: [416] },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DIGEST_INVALID: {
    status: 400,
    message: 'provided digest did not match uploaded content or is no supported digest',
  },
  MANIFEST_BLOB_UNKNOWN: {
    status: 400,
    message: 'manifest references a manifest or blob unknown to registry',
  },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to registry' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  SIZE_INVALID: {
    status: 400,
    message: 'provided length did not match content length',
    alternatives: [413, 416],
  },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: {
    status: 405,
    message: 'the operation is unsupported',
    alternatives: [400, 404, 414],
  },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  MISSING_REQUIRED_FIELD: { status: 400, message: 'a required field is missing' },
  UNSUPPORTED_VALUE: { status: 400, message: 'a field has a value that is not supported' },
  BAD_TOKEN_OPTION: { status: 400, message: 'an option has a value that is none of its own' },
  UNKNOWN: { status: 500, message: 'internal error', alternatives: [502, 503, 504] },
} as const satisfies Record<string, CodeEntry>

/** A code that may stand in an answer. */
export type ErrorCode = keyof typeof CODES

/** What a thrower may say beyond the code. */
export interface RegistryErrorOptions {
  readonly message?: string
  /** Any JSON; shown to the client. */
  readonly detail?: unknown
  /** For an error that stands once for each of several things: their details, in place of `detail`. */
  readonly details?: readonly unknown[]
  /** One of the code's alternative statuses; any other is disregarded. */
  readonly status?: number
  /** Headers that the answer needs, e.g. `Allow`, `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>
  /** The error behind this one; logged, never shown. */
  readonly cause?: unknown
}

/** An answer that is not the one asked for. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: ErrorCode
  readonly status: number
  readonly details: readonly unknown[]
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, options: RegistryErrorOptions = {}) {
    const entry: CodeEntry = CODES[code]
    super(
      options.message ?? entry.message,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.status =
      options.status !== undefined && entry.alternatives?.includes(options.status)
        ? options.status
        : entry.status
    this.details = options.details ?? [options.detail]
    this.headers = options.headers ?? {}
  }
}

/**
 * The body of an error answer (distribution-spec v1.1.1, "Error Codes"); `detail` only where there
 * is one.
 */
export function errorBody(error: RegistryError): string {
  const { code, message, details } = error
  return JSON.stringify({ errors: details.map((detail) => ({ code, message, detail })) })
}
