// The internet of a test: hosts by name, each a sample upstream or a function, and a record of every
// request that went out. Whoever asks for another host finds nobody there.

import type { Fetch } from '../../src/seams.ts'

/** A host: how it answers what is sent to it. */
export type Host = Fetch | { readonly fetch: Fetch }

/** One request that went out; header names are lower-case. */
export interface OutboundRecord {
  readonly url: string
  readonly host: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly redirect: string | undefined
}

/** The network seam: give `fetch` to whoever asks for one, or put it in the place of `globalThis.fetch`. */
export interface Network {
  readonly fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>
  /** Everything that was asked of anybody, in order, unknown hosts included. */
  readonly requests: readonly OutboundRecord[]
  /** The URLs of `requests`. */
  readonly urls: () => readonly string[]
  /** How many requests went to the host, or to all. */
  readonly count: (host?: string) => number
  /** Empties the record. */
  readonly forget: () => void
}

/** Makes a network of these hosts (`one.test`, `127.0.0.1:5000`; with the port where a URL has one). */
export function network(hosts: Readonly<Record<string, Host>>): Network {
  const requests: OutboundRecord[] = []
  return {
    requests,
    urls: () => requests.map(({ url }) => url),
    count: (host) => requests.filter((one) => host === undefined || one.host === host).length,
    forget: () => void requests.splice(0),
    fetch: async (input, init = {}) => {
      const url = input instanceof Request ? input.url : String(input)
      const { host } = new URL(url)
      const headers = Object.fromEntries(new Headers(init.headers))
      const { method = 'GET', redirect } = init
      requests.push({ url, host, method, headers, redirect })
      const known = hosts[host]
      if (known === undefined) throw new TypeError(`fetch failed: nobody is at ${host}`)
      return typeof known === 'function' ? await known(url, init) : await known.fetch(url, init)
    },
  }
}
