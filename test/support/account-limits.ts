// A registry that limits each account by itself, as Docker Hub does: a sample upstream whose limit is that of
// whoever the token was given to.

import { SampleUpstream } from '../../cli/upstream.ts'
import type { RateLimit } from '../../cli/upstream-registry.ts'
import { HEADER } from '../../src/oci/header.ts'

/** The account of a request without one. */
export const NOBODY = 'nobody'

/** The registry; `limits` may be changed at any time, and requests must come one after the other. */
export class AccountLimits {
  readonly sample: SampleUpstream
  readonly limits: Record<string, RateLimit>
  /** The account of each request for a manifest, with its method. */
  readonly asked: string[] = []
  readonly #accounts = new Map<string, string>()

  constructor(accounts: Readonly<Record<string, string>>, limits: Record<string, RateLimit>) {
    this.sample = new SampleUpstream({ authentication: { accounts }, now: () => Date.now() })
    this.limits = limits
  }

  readonly fetch = async (text: string, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(text)
    if (url.pathname === '/token') {
      const answer = await this.sample.fetch(text, init)
      const { token }: { token?: string } = await answer.clone().json()
      const account = url.searchParams.get('account') ?? NOBODY
      if (token !== undefined) this.#accounts.set(`Bearer ${token}`, account)
      return answer
    }
    const authorization = new Headers(init.headers).get(HEADER.authorization) ?? ''
    const account = this.#accounts.get(authorization) ?? NOBODY
    if (url.pathname.includes('/manifests/')) this.asked.push(`${init.method} ${account}`)
    this.sample.setRateLimit(this.limits[account])
    return this.sample.fetch(text, init)
  }
}
