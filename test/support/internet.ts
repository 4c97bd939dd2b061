// The internet in the place of the real one, for the Worker and its objects alike. `vi.restoreAllMocks`
// takes it away again.

import { vi } from 'vitest'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { RegistryOptions } from '../../cli/upstream-registry.ts'
import { network } from './network.ts'
import type { Host, Network } from './network.ts'

/** Puts a network of these hosts in the place of `fetch`. */
export function goOnline(hosts: Readonly<Record<string, Host>>): Network {
  const internet = network(hosts)
  vi.spyOn(globalThis, 'fetch').mockImplementation(internet.fetch)
  return internet
}

/** A sample upstream on the clock of the test. */
export function startUpstream(options: RegistryOptions = {}): SampleUpstream {
  return new SampleUpstream({ now: () => Date.now(), ...options })
}

/** What a sample upstream was asked, one `METHOD path` each, in order. */
export function asked(upstream: SampleUpstream): string[] {
  return upstream.requests.map(({ method, url }) => {
    const { pathname, search } = new URL(url)
    return `${method} ${pathname}${search}`
  })
}
