// The faults that a test asks of the sample upstream: what can go wrong, when, and how an answer is
// bent. What goes wrong on the wire itself is left to `upstream-delivery.ts`.

import { HEADER } from '../src/oci/header.ts'
import { parseJSONObject } from '../src/oci/json-object.ts'
import { type Answer, createAnswer } from './upstream-answer.ts'
import { matchesFilter, type RecordedRequest, type RequestFilter } from './upstream-record.ts'

/**
 * What goes wrong with one answer. The fields combine, and take effect in the order in which they
 * stand here: an answer is withheld, replaced, altered, then damaged on its way.
 */
export interface Fault {
  /** The connection is refused: `fetch` rejects, the listener closes the socket. */
  readonly refuse?: true
  /** No answer until the caller gives up. */
  readonly hangHeaders?: true
  /** No answer until the promise resolves. */
  readonly holdHeaders?: Promise<unknown>
  /** The answer is this status with `headers` and `body` alone; the registry is not asked. */
  readonly status?: number
  /** The body of the answer, whatever its length. */
  readonly body?: string | Uint8Array
  /** A redirect to this URL, 307 where no `status` is given. */
  readonly redirect?: string | ((request: RecordedRequest) => string)
  /** The request is answered as if it had no `Range`. */
  readonly ignoreRange?: true
  /** Rewrites a JSON body. */
  readonly edit?: (value: Readonly<Record<string, unknown>>) => unknown
  /** Other bytes of the same length: these from the start, repeated or cut. */
  readonly bytes?: Uint8Array
  readonly contentType?: string
  /** Another `Docker-Content-Digest`, or none. */
  readonly digestHeader?: string | null
  /** Extra headers, or `null` for one that is taken away. */
  readonly headers?: Readonly<Record<string, string | null>>
  /** `Content-Encoding: gzip`, asked for or not. */
  readonly gzip?: true
  /** A `Content-Length` that is not true. */
  readonly contentLength?: number
  /** No `Content-Length`: a chunked body. */
  readonly noContentLength?: true
  /** The body fails after this many bytes, or after this share of it when between 0 and 1; the headers stay. */
  readonly truncateAt?: number
  /** The body stops after `after` bytes until the promise resolves. */
  readonly hold?: Promise<unknown>
  readonly after?: number
  /** The body goes no further than this many bytes in all; asked again until it allows more. */
  readonly allow?: () => number
  /** The body comes in pieces of `bytes`, one every so many milliseconds. */
  readonly drip?: { readonly bytes: number; readonly every: number }
}

/** A fault, and the requests that meet it. */
export interface FaultRule {
  /** Which requests; all when absent. `status` is not known yet. */
  readonly on?: RequestFilter
  /** How often it happens; for ever when absent. */
  readonly times?: number
  /** How many matching requests go well before it happens. */
  readonly after?: number
  readonly do: Fault
}

/** The rules in force. The first that matches a request and is neither waiting nor used up applies, alone. */
export class FaultTable {
  readonly #rules: { readonly rule: FaultRule; seen: number }[] = []
  readonly #settled = new WeakSet<Promise<unknown>>()

  /** Puts a rule in force and returns what takes it out again. */
  add(rule: FaultRule): () => void {
    const entry = { rule, seen: 0 }
    this.#rules.push(entry)
    this.#watch(rule.do.hold)
    this.#watch(rule.do.holdHeaders)
    return () => {
      const index = this.#rules.indexOf(entry)
      if (index >= 0) {
        this.#rules.splice(index, 1)
      }
    }
  }

  /** Takes every rule out. */
  clear(): void {
    this.#rules.length = 0
  }

  /** The fault that this request meets; counts the request against the rules that it matches. */
  take(request: RecordedRequest): Fault {
    for (const entry of this.#rules) {
      const { on = {}, times = Infinity, after = 0 } = entry.rule
      if (!matchesFilter(on, request)) {
        continue
      }
      const position = entry.seen++ - after
      if (position >= 0 && position < times) {
        return entry.rule.do
      }
    }
    return {}
  }

  /** Whether a promise of a fault has settled, which is seen by the caller of `add`, not by who waits. */
  readonly isSettled = (promise: Promise<unknown>): boolean => this.#settled.has(promise)

  #watch(promise: Promise<unknown> | undefined): void {
    const remember = (): void => {
      if (promise !== undefined) {
        this.#settled.add(promise)
      }
    }
    promise?.then(remember, remember)
  }
}

/** The answer that stands in for the registry's own, where the fault names one. */
export function replaceAnswer(fault: Fault, request: RecordedRequest): Answer | undefined {
  if (fault.redirect !== undefined) {
    const { redirect } = fault
    const location = typeof redirect === 'string' ? redirect : redirect(request)
    return createAnswer(fault.status ?? 307, { [HEADER.location]: location }, toBytes(fault.body))
  }
  if (fault.status === undefined) {
    return undefined
  }
  return createAnswer(fault.status, {}, toBytes(fault.body))
}

/** The registry's own answer, altered. */
export function bendAnswer(answer: Answer, fault: Fault): Answer {
  const headers = new Headers(answer.headers)
  const body = bendBody(answer.body, fault)
  if (body !== answer.body) {
    headers.set(HEADER.contentLength, String(body?.length ?? 0))
  }
  const fields: Record<string, string | null> = { ...fault.headers }
  if (fault.contentType !== undefined) {
    fields[HEADER.contentType] = fault.contentType
  }
  if (fault.digestHeader !== undefined) {
    fields[HEADER.dockerContentDigest] = fault.digestHeader
  }
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) {
      headers.delete(name)
    } else {
      headers.set(name, value)
    }
  }
  return { status: answer.status, headers, body }
}

function bendBody(body: Uint8Array | undefined, fault: Fault): Uint8Array | undefined {
  const isReplaced = fault.status === undefined && fault.body !== undefined
  const whole = isReplaced ? toBytes(fault.body) : body
  if (whole === undefined) {
    return undefined
  }
  const edited = fault.edit === undefined ? whole : editJSON(whole, fault.edit)
  return fault.bytes === undefined ? edited : repeatBytes(fault.bytes, edited.length)
}

function toBytes(body: string | Uint8Array | undefined): Uint8Array | undefined {
  return typeof body === 'string' ? new TextEncoder().encode(body) : body
}

function editJSON(
  body: Uint8Array,
  edit: (value: Readonly<Record<string, unknown>>) => unknown,
): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(edit(parseJSONObject(body)?.members ?? {})))
}

function repeatBytes(bytes: Uint8Array, length: number): Uint8Array {
  const repeated = new Uint8Array(length)
  for (let index = 0; index < length; index++) {
    repeated[index] = bytes[index % bytes.length] ?? 0
  }
  return repeated
}
