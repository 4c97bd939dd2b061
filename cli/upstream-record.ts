// What the sample upstream remembers of the requests it received, so that a test can count them: the
// record, and the filters that tests and faults choose records by.

import type { Endpoint } from '../src/oci/endpoint.ts'

/** What a request was about; `storage` is the place that blobs redirect to, `other` no endpoint at all. */
export type RequestKind = Endpoint['kind'] | 'token' | 'storage' | 'other'

/** How the body of an answer ended; absent while it runs and for answers without a body. */
export type Ending = 'complete' | 'cut' | 'cancelled'

/** One request as it arrived; the fields below `headers` follow as it is answered. */
export interface RecordedRequest {
  readonly method: string
  readonly kind: RequestKind
  readonly repository: string | undefined
  /** A tag, a digest, the id of an upload session, or the scopes asked of the token service. */
  readonly reference: string | undefined
  readonly url: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Absent until answered, and for good when the connection was refused. */
  status: number | undefined
  /** Bytes of the body handed over so far. */
  sent: number
  ending: Ending | undefined
}

/** Fields that must be equal, or a question asked of the record. */
export type RequestFilter =
  | Partial<Pick<RecordedRequest, 'method' | 'kind' | 'repository' | 'reference' | 'status'>>
  | ((request: RecordedRequest) => boolean)

/** Whether the filter chooses the record; an empty filter chooses all. */
export function matchesFilter(filter: RequestFilter, request: RecordedRequest): boolean {
  if (typeof filter === 'function') {
    return filter(request)
  }
  return (
    (filter.method === undefined || filter.method === request.method) &&
    (filter.kind === undefined || filter.kind === request.kind) &&
    (filter.repository === undefined || filter.repository === request.repository) &&
    (filter.reference === undefined || filter.reference === request.reference) &&
    (filter.status === undefined || filter.status === request.status)
  )
}

/** Starts the record of a request that was parsed into `about`. */
export function recordRequest(
  request: Request,
  about: Pick<RecordedRequest, 'kind' | 'repository' | 'reference'>,
): RecordedRequest {
  const headers: Record<string, string> = {}
  request.headers.forEach((value, name) => {
    headers[name] = value
  })
  return {
    method: request.method,
    ...about,
    url: request.url,
    headers,
    status: undefined,
    sent: 0,
    ending: undefined,
  }
}
