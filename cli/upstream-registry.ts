// The sample upstream when nothing is wrong: who may ask, how often, and which half of the registry
// answers. Faults and records are none of its business.

import { RegistryError } from '../src/oci/error.ts'
import { HEADER } from '../src/oci/header.ts'
import { type Answer, createAnswer, createErrorAnswer } from './upstream-answer.ts'
import { UpstreamContent } from './upstream-content.ts'
import { answerBlob, type ListingOptions, UpstreamPull } from './upstream-pull.ts'
import { UpstreamPush } from './upstream-push.ts'
import { listAccess, STORAGE_PATH, type Target } from './upstream-target.ts'
import { type AuthenticationOptions, TokenService } from './upstream-token.ts'

/** What Docker Hub tells of its limit. Each manifest GET takes one; at zero it is answered 429. */
export interface RateLimit {
  readonly limit: number
  remaining: number
  /** The account or address that is limited. */
  readonly source?: string
  /** Seconds, default 21600. */
  readonly window?: number
  /** `Retry-After` of the 429 in seconds; none when absent. */
  readonly retryAfter?: number
}

/** How the registry behaves. Everything is open, honest and unlimited by default. */
export interface RegistryOptions extends ListingOptions {
  readonly authentication?: 'none' | AuthenticationOptions
  /** A blob GET is answered 307 to this origin, whose storage takes no `Authorization`. */
  readonly storage?: string
  readonly rateLimit?: RateLimit
  /** The clock of the tokens, default `Date.now`. */
  readonly now?: () => number
}

/** The registry behind the faults. */
export class UpstreamRegistry {
  readonly content = new UpstreamContent()
  /** Absent where everything is open. */
  readonly tokens: TokenService | undefined
  /** The limit in force; may be set at any time. */
  rateLimit: RateLimit | undefined
  readonly #storage: string | undefined
  readonly #pull: UpstreamPull
  readonly #push = new UpstreamPush(this.content)

  constructor(options: RegistryOptions) {
    const { authentication = 'none', now = Date.now } = options
    this.rateLimit = options.rateLimit
    this.#storage = options.storage
    this.#pull = new UpstreamPull(this.content, options)
    const exists = (name: string): boolean => this.content.find(name) !== undefined
    this.tokens =
      authentication === 'none' ? undefined : new TokenService({ authentication, now, exists })
  }

  /** Answers a request; an error of the registry is an answer too. */
  async answer(request: Request, target: Target): Promise<Answer> {
    try {
      return this.#refuse(request, target) ?? (await this.#route(request, target))
    } catch (error) {
      if (error instanceof RegistryError) {
        return createErrorAnswer(error)
      }
      throw error
    }
  }

  #refuse(request: Request, target: Target): Answer | undefined {
    if (target.kind === 'token' || target.kind === 'storage') {
      return undefined
    }
    return this.tokens?.refuse(request, listAccess(target, request.method, new URL(request.url)))
  }

  async #route(request: Request, target: Target): Promise<Answer> {
    switch (target.kind) {
      case 'uploads':
        requireMethod(request, ['POST'])
        return await this.#push.start(target.name, request)
      case 'upload':
        requireMethod(request, ['GET', 'PATCH', 'PUT', 'DELETE'])
        return await this.#push.continue(target.name, target.session, request)
      case 'manifest':
        return await this.#answerManifest(request, target)
      case 'blob':
        return this.#answerBlob(request, target)
      case 'base':
      case 'catalog':
      case 'tags':
      case 'referrers':
      case 'token':
      case 'storage':
        requireMethod(request, ['GET', 'HEAD'])
        return this.#answerRead(request, target)
      case 'other':
      default:
        throw target.error
    }
  }

  #answerRead(
    request: Request,
    target: Exclude<Target, { kind: 'uploads' | 'upload' | 'manifest' | 'blob' | 'other' }>,
  ): Answer {
    const url = new URL(request.url)
    switch (target.kind) {
      case 'catalog':
        return this.#pull.catalog(url)
      case 'token':
        if (this.tokens === undefined) {
          throw new RegistryError('UNSUPPORTED', { status: 404 })
        }
        return this.tokens.answer(request)
      case 'storage':
        return this.#answerStorage(request, target.digest)
      case 'tags':
        return this.#pull.tags(target.name, url)
      case 'referrers':
        return this.#pull.referrers(target.name, target.digest, url)
      case 'base':
      default:
        return this.#pull.base()
    }
  }

  async #answerManifest(
    request: Request,
    { name, reference }: Extract<Target, { kind: 'manifest' }>,
  ): Promise<Answer> {
    requireMethod(request, ['GET', 'HEAD', 'PUT', 'DELETE'])
    if (request.method === 'PUT') {
      return await this.#push.putManifest(name, reference, request)
    }
    if (request.method === 'DELETE') {
      return this.#push.deleteManifest(name, reference)
    }
    return this.#limit(request, () => this.#pull.manifest(name, reference))
  }

  #answerBlob(request: Request, { name, digest }: Extract<Target, { kind: 'blob' }>): Answer {
    requireMethod(request, ['GET', 'HEAD', 'DELETE'])
    if (request.method === 'DELETE') {
      return this.#push.deleteBlob(name, digest)
    }
    const answer = this.#pull.blob(name, digest, request)
    if (this.#storage === undefined || request.method === 'HEAD') {
      return answer
    }
    const location = `${this.#storage}${STORAGE_PATH}${digest}?signature=${crypto.randomUUID()}`
    return createAnswer(307, { [HEADER.location]: location, [HEADER.dockerContentDigest]: digest })
  }

  /** Object storage: the signature is in the URL, and S3 answers 400 to a second authentication beside it. */
  #answerStorage(request: Request, digest: string): Answer {
    const bytes = this.content.findBlob(digest)
    if (request.headers.has(HEADER.authorization)) {
      return createAnswer(
        400,
        { [HEADER.contentType]: 'application/xml' },
        new TextEncoder().encode('<Error><Code>InvalidArgument</Code></Error>'),
      )
    }
    if (bytes === undefined) {
      return createAnswer(404, { [HEADER.contentType]: 'application/xml' })
    }
    const answer = answerBlob(bytes, digest, request)
    answer.headers.delete(HEADER.dockerContentDigest)
    return answer
  }

  #limit(request: Request, answerManifest: () => Answer): Answer {
    const { rateLimit } = this
    if (rateLimit === undefined) {
      return answerManifest()
    }
    const isCounted = request.method === 'GET'
    const isOver = isCounted && rateLimit.remaining <= 0
    if (isCounted && !isOver) {
      rateLimit.remaining--
    }
    const answer = isOver
      ? createErrorAnswer(new RegistryError('TOOMANYREQUESTS'))
      : answerManifest()
    const { limit, remaining, source = '192.0.2.1', window = 21_600, retryAfter } = rateLimit
    answer.headers.set(HEADER.rateLimitLimit, `${limit};w=${window}`)
    answer.headers.set(HEADER.rateLimitRemaining, `${remaining};w=${window}`)
    answer.headers.set(HEADER.rateLimitSource, source)
    if (isOver && retryAfter !== undefined) {
      answer.headers.set(HEADER.retryAfter, String(retryAfter))
    }
    return answer
  }
}

function requireMethod(request: Request, allowed: readonly string[]): void {
  if (allowed.includes(request.method)) {
    return
  }
  const headers = { [HEADER.allow]: allowed.join(', ') }
  throw new RegistryError('UNSUPPORTED', { headers })
}
