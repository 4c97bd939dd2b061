// A registry reduced to what authentication sees of it: a challenge at `/v2/`, a token service at
// `/token`, and 200 for whoever shows the newest token. Everything else is for the test to say.

import { HEADER } from '../../src/oci/header.ts'

/** What a test bends. */
export interface TokenHostOptions {
  /** The `WWW-Authenticate` of every 401; default: Bearer with `/token` of the host that was asked. */
  readonly challenge?: string
  /** The answer of the token service to its n-th request, counted from 1; `undefined` for a token. */
  readonly answer?: (
    n: number,
    authorization: string | null,
  ) => Response | Promise<Response> | undefined
  /** The answer to a request for content. */
  readonly content?: (authorization: string | null, url: URL) => Response | undefined
}

/** The registry; `tokens` counts the requests to its token service. */
export class TokenHost {
  tokens = 0
  readonly #options: TokenHostOptions

  constructor(options: TokenHostOptions = {}) {
    this.#options = options
  }

  readonly fetch = async (text: string, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(text)
    const authorization = new Headers(init.headers).get(HEADER.authorization)
    if (/token|auth/.test(url.pathname)) return this.#answerToken(authorization)
    const answer = url.pathname === '/v2/' ? undefined : this.#options.content?.(authorization, url)
    if (answer !== undefined) return answer
    if (url.pathname !== '/v2/' && authorization === `Bearer token-${this.tokens}`) {
      return new Response('content')
    }
    const { challenge = `Bearer realm="${url.origin}/token",service="${url.host}"` } = this.#options
    return new Response('{}', { status: 401, headers: { [HEADER.wwwAuthenticate]: challenge } })
  }

  async #answerToken(authorization: string | null): Promise<Response> {
    this.tokens += 1
    const own = Response.json({ token: `token-${this.tokens}`, expires_in: 300 })
    return (await this.#options.answer?.(this.tokens, authorization)) ?? own
  }
}
