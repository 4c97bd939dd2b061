// Clients are sent to storage only while storage answers them: before the first of them goes there, one byte is
// read by the very URL that it would get, and again each minute.

import type { Outbound } from '../outbound.ts'
import { discardBody, readWhole } from '../outbound.ts'
import { isLoopbackHost } from '../oci/host.ts'
import { HEADER } from '../oci/header.ts'
import type { Seams } from '../seams.ts'
import type { LocatedBlob } from './located-blob.ts'
import { Presigner } from './presign.ts'
import type { S3Bucket } from './presign.ts'

/** After an answer it is asked again so much later, and after a failure (milliseconds). */
const GOOD_FOR = 60_000
const BAD_FOR = 30_000
/** A client waits for the first answer; for those that follow nobody does (milliseconds). */
const WITHIN = 2000
const WITHIN_AGAIN = 10_000
/** An error of storage is a few lines of XML (bytes). */
const MAX_ERROR = 4096
/** What storage answers to whoever may read an object: whole, in part, or, of an empty one, no part. */
const READABLE = new Set([200, 206, 416])

/** What asking storage needs, for one request. */
export interface RedirectGiven extends Pick<Seams, 'now' | 'defer' | 'log'> {
  readonly outbound: Outbound
}

/** The redirects of an isolate: their signing key, and what is known of the endpoint. */
export class Redirects {
  readonly #presigner: Presigner
  #isGood = false
  /** When the endpoint is to be asked again (milliseconds). */
  #askAt = -Infinity

  constructor(bucket: S3Bucket) {
    this.#presigner = new Presigner(bucket)
  }

  /** Whether storage does not answer clients, and it is too early to ask it again. */
  isAway(now: number): boolean {
    return !this.#isGood && now < this.#askAt
  }

  /**
   * The URL by which a client reads a blob for itself; `undefined` while storage does not answer clients. `endpoint` is
   * the bucket's, or another name of it. No R2 operation but one read in a minute, through the endpoint.
   */
  async locate(
    blob: LocatedBlob,
    endpoint: URL,
    given: RedirectGiven,
  ): Promise<string | undefined> {
    const now = given.now()
    // What nobody has asked for a whole period is not known any more.
    if (now >= this.#askAt + GOOD_FOR) this.#isGood = false
    if (this.isAway(now)) return undefined
    const url = await this.#presigner.presign(blob, endpoint, now)
    if (url === undefined) return undefined
    // Another request may have begun to ask while this one was signing.
    if (now < this.#askAt) return this.#isGood ? url : undefined
    // Whoever comes meanwhile does not wait for this request's answer, but goes by what was known before.
    this.#askAt = now + (this.#isGood ? GOOD_FOR : BAD_FOR)
    const asking = this.#ask(url, given)
    if (this.#isGood) given.defer(asking)
    else await asking
    return this.#isGood ? url : undefined
  }

  /** Never rejects. */
  async #ask(url: string, { outbound, now, log }: RedirectGiven): Promise<void> {
    const reason = await this.#failure(url, outbound)
    this.#isGood = reason === undefined
    this.#askAt = now() + (this.#isGood ? GOOD_FOR : BAD_FOR)
    if (reason !== undefined) log('redirect-failed', { endpoint: new URL(url).host, reason })
  }

  /** Whether this one object has gone since it was seen: that says nothing of storage, unlike a bucket that is not there. */
  async #isGone(response: Response): Promise<boolean> {
    if (response.status !== 404 || !this.#isGood) return false
    const body = new TextDecoder().decode(await readWhole(response, MAX_ERROR, WITHIN))
    return body.includes('<Code>NoSuchKey</Code>')
  }

  /** Why a client could not read by this URL, if it could not. */
  async #failure(url: string, outbound: Outbound): Promise<string | undefined> {
    try {
      const response = await outbound.send({
        url,
        method: 'GET',
        headers: { [HEADER.range]: 'bytes=0-0' },
        isLocal: isLoopbackHost(new URL(url).hostname),
        maxHops: 0,
        within: this.#isGood ? WITHIN_AGAIN : WITHIN,
      })
      const isRight = READABLE.has(response.status) || (await this.#isGone(response))
      await discardBody(response)
      return isRight ? undefined : `the endpoint answers ${response.status}`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
}
