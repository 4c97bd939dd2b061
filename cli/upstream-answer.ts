// The answer of the sample upstream as a plain value: handlers build it, faults bend it, and only then
// `upstream-delivery.ts` makes a Response of it.

import { errorBody, type RegistryError } from '../src/oci/error.ts'
import { HEADER } from '../src/oci/header.ts'

/** Status, headers and the whole body in memory; `undefined` is no body at all. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array | undefined
}

/** Name and value of response headers, as handlers write them; an absent value is left out. */
export type HeaderFields = Readonly<Record<string, string | undefined>>

/** An answer with a body, or with `Content-Length: 0`. */
export function createAnswer(status: number, fields: HeaderFields, body?: Uint8Array): Answer {
  const headers = new Headers()
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) {
      headers.set(name, value)
    }
  }
  if (status !== 204 && status !== 304 && !headers.has(HEADER.contentLength)) {
    headers.set(HEADER.contentLength, String(body?.length ?? 0))
  }
  return { status, headers, body }
}

/** A JSON answer. */
export function createJSONAnswer(
  status: number,
  value: unknown,
  fields: HeaderFields = {},
): Answer {
  const body = new TextEncoder().encode(JSON.stringify(value))
  return createAnswer(status, { [HEADER.contentType]: 'application/json', ...fields }, body)
}

/** The answer to a request that the registry refuses, in the format of the spec. */
export function createErrorAnswer(error: RegistryError): Answer {
  const fields = { [HEADER.contentType]: 'application/json', ...error.headers }
  return createAnswer(error.status, fields, new TextEncoder().encode(errorBody(error)))
}
