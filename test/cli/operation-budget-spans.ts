// What one request cost, from the spans that `wrangler dev` records: a request and all that it causes, in objects
// and after its answer too, is one trace, which is read when each of its parts has ended.

import { waitUntil } from '../clients/process.ts'

const QUERY = '/cdn-cgi/local/explorer/api/local/observability/query'

/** Rate limits are asked by a fetch of the local simulator; on a deployment they are free. */
const LIMIT = 'http://ratelimit/'
const S3 = '/cdn-cgi/local/r2/s3/'

/** What a request asked of storage, objects and others, in the order of the names. */
export interface Operations {
  /** `kv_…` and `r2_…` as the platform names them; `object <method>`; `fetch <method> <URL>`. */
  readonly counted: readonly string[]
  /** What was read, told after the answer; outside the budget, once an hour for each manifest and blob. */
  readonly reads: number
  /** What an isolate has counted, handed over after the answer; once in 10 s. */
  readonly handOvers: number
  /** Accounts, keys and switches as they stand, read by requests that they could change; once in 45 s. */
  readonly lookups: number
  /** One byte that the Worker reads by a redirect of its own, to see whether clients can; once a minute. */
  readonly checks: number
}

interface Span {
  readonly id: string
  readonly parent: string | null
  readonly name: string
  readonly kind: string
  readonly duration: number | null
  readonly attributes: Readonly<Record<string, unknown>>
}

/** The operations of the request whose answer had this `X-Request-Id`. */
export async function operationsOf(server: string, requestID: string): Promise<Operations> {
  const spans = await completeTrace(server, requestID)
  const names = spans.map((span) => nameOf(span, spans)).filter((name) => name !== undefined)
  const isRead = (name: string): boolean => name === 'object read'
  const isHandOver = (name: string): boolean => name === 'object handOver'
  const isLookup = (name: string): boolean => name === 'object snapshot'
  const isCheck = (name: string): boolean => name.startsWith('fetch ') && name.includes(S3)
  return {
    counted: names
      .filter((name) => ![isRead, isHandOver, isLookup, isCheck].some((isOf) => isOf(name)))
      .toSorted(),
    reads: names.filter(isRead).length,
    handOvers: names.filter(isHandOver).length,
    lookups: names.filter(isLookup).length,
    checks: names.filter(isCheck).length,
  }
}

async function completeTrace(server: string, requestID: string): Promise<readonly Span[]> {
  let spans: readonly Span[] = []
  await waitUntil(`the spans of ${requestID}`, async () => {
    // Only the Worker's own line about the request has its id.
    const rows = await query(server, 'select trace_id from logs where message like ? limit 1', [
      `%${requestID}%`,
    ])
    const trace = rows[0]?.[0]
    if (trace === undefined) return false
    const columns = 'span_id, parent_id, name, kind, duration_ms, json(attributes)'
    const found = await query(server, `select ${columns} from spans where trace_id = ?`, [trace])
    spans = found.map(readSpan)
    return isComplete(spans)
  })
  return spans
}

/** Whether the request has ended, and every call of an object that it led to. */
function isComplete(spans: readonly Span[]): boolean {
  const ids = new Set(spans.map(({ id }) => id))
  const called = new Set(
    spans.filter(({ kind }) => kind === 'jsrpc').map((span) => callOf(span, spans)?.id),
  )
  return (
    spans.some(({ parent, kind }) => parent === null && kind === 'http') &&
    spans.every(
      ({ parent, duration }) => duration !== null && (parent === null || ids.has(parent)),
    ) &&
    spans.filter(isCall).every(({ id }) => called.has(id))
  )
}

function isCall({ name }: Span): boolean {
  return name === 'durable_object_subrequest'
}

/** The call of an object that a span belongs to. */
function callOf(span: Span, spans: readonly Span[]): Span | undefined {
  const parent = spans.find(({ id }) => id === span.parent)
  return parent === undefined || isCall(parent) ? parent : callOf(parent, spans)
}

/** An operation's name; `undefined` for what costs nothing by itself, as steps inside an object. */
function nameOf(span: Span, spans: readonly Span[]): string | undefined {
  const { name, attributes } = span
  if (/^(kv|r2)_/.test(name)) return name
  if (isCall(span)) {
    const inside = spans.find((each) => each.kind === 'jsrpc' && callOf(each, spans) === span)
    return `object ${String(inside?.attributes['jsrpc.method'])}`
  }
  if (name !== 'fetch') return undefined
  const url = String(attributes['url.full'])
  return url.startsWith(LIMIT)
    ? undefined
    : `fetch ${String(attributes['http.request.method'])} ${url}`
}

function readSpan(row: readonly unknown[]): Span {
  const [id, parent, name, kind, duration, attributes] = row
  return {
    id: String(id),
    parent: typeof parent === 'string' ? parent : null,
    name: String(name),
    kind: String(kind),
    duration: typeof duration === 'number' ? duration : null,
    attributes: readAttributes(attributes),
  }
}

function readAttributes(value: unknown): Span['attributes'] {
  const attributes: unknown = typeof value === 'string' ? JSON.parse(value) : value
  return typeof attributes === 'object' && attributes !== null ? { ...attributes } : {}
}

async function query(
  server: string,
  sql: string,
  params: readonly unknown[],
): Promise<readonly (readonly unknown[])[]> {
  const answer = await fetch(`${server}${QUERY}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ sql, params }),
  })
  const { result } = (await answer.json()) as {
    readonly result: { readonly rows?: readonly (readonly unknown[])[] } | null
  }
  if (result?.rows === undefined) throw new Error(`the spans cannot be read: ${answer.status}`)
  return result.rows
}
