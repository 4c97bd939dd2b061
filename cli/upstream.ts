// A sample upstream registry, in memory: `(Request) → Response` that counts what it is asked and goes
// wrong on demand. It runs in Node and in workerd, as the `fetch` seam of tests, and behind
// `upstream-listener.ts` on a port. The official conformance suite holds it to the spec.

import type { Digest } from '../src/oci/digest.ts'
import { HEADER } from '../src/oci/header.ts'
import type { ManifestOptions } from './upstream-content.ts'
import { deliver, type Delivery } from './upstream-delivery.ts'
import { bendAnswer, type FaultRule, FaultTable, replaceAnswer } from './upstream-fault.ts'
import {
  matchesFilter,
  type RecordedRequest,
  recordRequest,
  type RequestFilter,
} from './upstream-record.ts'
import { type RateLimit, type RegistryOptions, UpstreamRegistry } from './upstream-registry.ts'
import { describeTarget, parseTarget } from './upstream-target.ts'
import { assertConnected, networkError, waitUntil } from './upstream-wait.ts'

/** A registry that tests can look into and break. */
export class SampleUpstream {
  /** Every request since the start or the last `forget()`, in the order of arrival. */
  readonly requests: RecordedRequest[] = []
  readonly #registry: UpstreamRegistry
  readonly #realm: string | undefined
  readonly #faults = new FaultTable()
  #isRunning = true
  /** Changes when the cable is pulled, so that bodies on their way notice. */
  #connection = 0

  constructor(options: RegistryOptions = {}) {
    const { authentication } = options
    this.#registry = new UpstreamRegistry(options)
    this.#realm = typeof authentication === 'object' ? authentication.realm : undefined
  }

  /** The server's form: bytes as they go over the wire. A connection that fails is `Response.error()`. */
  readonly handle = async (request: Request): Promise<Response> => {
    try {
      return await this.#serve(request, { form: 'wire', signal: request.signal })
    } catch {
      return Response.error()
    }
  }

  /**
   * The `fetch` seam's form: rejects when the connection is refused, obeys `init.signal`, and hands
   * over the body decoded and measured, as the platform does. A redirect is never followed, and not
   * asking for it by hand is an error.
   */
  readonly fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const { signal, ...rest } = init
    const guard = signal ?? new AbortController().signal
    guard.throwIfAborted()
    const response = await this.#serve(new Request(url, rest), { form: 'fetched', signal: guard })
    const isRedirect = response.status >= 300 && response.status < 400
    if (isRedirect && response.headers.has(HEADER.location) && init.redirect !== 'manual') {
      throw new Error(`a redirect is followed by hand: ask for ${url} with redirect: 'manual'`)
    }
    return response
  }

  /** Pulls the cable: connections are refused, and bodies on their way are cut. */
  stop(): void {
    this.#isRunning = false
    this.#connection++
  }

  /** Plugs the cable in again; the content is still there. */
  start(): void {
    this.#isRunning = true
  }

  /** How many recorded requests the filter chooses. */
  count(filter: RequestFilter = {}): number {
    return this.requests.filter((request) => matchesFilter(filter, request)).length
  }

  /** Empties the record. */
  forget(): void {
    this.requests.length = 0
  }

  /** Makes something go wrong; what it returns makes it well again. */
  fault(rule: FaultRule): () => void {
    return this.#faults.add(rule)
  }

  /** Makes everything well again. */
  clearFaults(): void {
    this.#faults.clear()
  }

  /** Makes the tokens that were issued so far invalid. */
  expireTokens(): void {
    this.#registry.tokens?.expireTokens()
  }

  /** Sets the limit in force, or lifts it. */
  setRateLimit(rateLimit: RateLimit | undefined): void {
    this.#registry.rateLimit = rateLimit
  }

  /** Puts a blob into a repository, under its sha256 where no digest is given. */
  async addBlob(repository: string, bytes: Uint8Array, digest?: Digest): Promise<Digest> {
    return await this.#registry.content.addBlob(repository, bytes, digest)
  }

  /** Puts a manifest into a repository, also one that is none, also under a digest that is not its own. */
  async addManifest(
    repository: string,
    bytes: Uint8Array,
    options: ManifestOptions = {},
  ): Promise<Digest> {
    return await this.#registry.content.addManifest(repository, bytes, options)
  }

  /** Points a tag at a digest. */
  setTag(repository: string, tag: string, digest: Digest): void {
    this.#registry.content.open(repository).tags.set(tag, digest)
  }

  /** Removes a tag; the manifest stays. */
  deleteTag(repository: string, tag: string): void {
    this.#registry.content.find(repository)?.tags.delete(tag)
  }

  /** Removes a manifest and the tags that point at it. */
  deleteManifest(repository: string, digest: Digest): void {
    this.#registry.content.deleteManifest(repository, digest)
  }

  /** Removes a blob. */
  deleteBlob(repository: string, digest: Digest): void {
    this.#registry.content.find(repository)?.blobs.delete(digest)
  }

  /** Removes a repository with all that is in it. */
  deleteRepository(repository: string): void {
    this.#registry.content.delete(repository)
  }

  async #serve(
    request: Request,
    { form, signal }: Pick<Delivery, 'form' | 'signal'>,
  ): Promise<Response> {
    const url = new URL(request.url)
    const target = parseTarget(url, this.#realm)
    const record = recordRequest(request, describeTarget(target, url))
    this.requests.push(record)
    if (!this.#isRunning) {
      throw networkError()
    }
    const connection = this.#connection
    const patience = { signal, isCut: () => connection !== this.#connection }
    const fault = this.#faults.take(record)
    const { isSettled } = this.#faults
    if (fault.refuse) {
      throw networkError()
    }
    const { holdHeaders } = fault
    await waitUntil(
      () => !fault.hangHeaders && (holdHeaders === undefined || isSettled(holdHeaders)),
      patience,
    )
    const asked = fault.ignoreRange ? withoutRange(request) : request
    const own = replaceAnswer(fault, record) ?? (await this.#registry.answer(asked, target))
    assertConnected(patience)
    const answer = bendAnswer(own, fault)
    record.status = answer.status
    return await deliver(answer, { ...patience, request: record, fault, isSettled, form })
  }
}

function withoutRange(request: Request): Request {
  const headers = new Headers(request.headers)
  headers.delete(HEADER.range)
  return new Request(request, { headers })
}
