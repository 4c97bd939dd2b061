// An upstream as `src/upstream` speaks to it, without a Worker or an object around it: a client, and the
// gates of its identities, which remember as long as the test does.

import { expect } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import { Outbound } from '../../src/outbound.ts'
import type { Now } from '../../src/seams.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import { failureOf } from '../../src/upstream/error.ts'
import { Gate, passingStorage } from '../../src/upstream/gate.ts'
import type { GateStorage } from '../../src/upstream/gate.ts'
import type { Credential, Upstream } from '../../src/upstream/upstream.ts'
import type { Network } from './network.ts'

/** The `Via` of these tests. */
export const VIA = '1.1 entrepot-test'

/** What a test says of an upstream; the rest is as configured by default. */
export interface UpstreamSettings {
  readonly host?: string
  readonly credentials?: readonly { readonly username: string; readonly password: string }[]
  /** Settings of its entry in `UPSTREAMS`. */
  readonly entry?: object
}

/** An upstream of a table with this one entry: `one.test`, open to anyone, asked how it authenticates. */
export function upstreamFrom(settings: UpstreamSettings = {}): Upstream {
  const { host = 'one.test', credentials, entry = {} } = settings
  const { upstreams } = parseConfig({
    UPSTREAMS: { [host]: { private: false, ...entry } },
    ...(credentials === undefined ? {} : { UPSTREAM_CREDENTIALS: { [host]: credentials } }),
  })
  return [...upstreams.values()][0] ?? expect.fail('no upstream')
}

/** An upstream with what is needed to speak to it. */
export interface Connection {
  readonly upstream: Upstream
  readonly client: UpstreamClient
  readonly outbound: Outbound
  /** The gate of a credential, or of nobody; the same one every time. */
  readonly gateOf: (credential?: Credential) => Gate
}

/** What a connection is made of. */
export interface ConnectionOptions {
  readonly network: Network
  readonly now?: Now
  /** What gates remember, by the id of their credential; given to outlive a connection. */
  readonly memories?: Map<string, GateStorage>
}

/** Connects to the upstream over the network. */
export function connect(upstream: Upstream, options: ConnectionOptions): Connection {
  const { network, now = () => Date.now(), memories = new Map<string, GateStorage>() } = options
  const outbound = new Outbound(network.fetch, VIA)
  const gates = new Map<string, Gate>()
  const gateOf = (credential?: Credential): Gate => {
    const id = credential?.id ?? ''
    const storage = memories.get(id) ?? passingStorage()
    memories.set(id, storage)
    const gate = gates.get(id) ?? new Gate({ upstream, credential, storage, outbound, now })
    gates.set(id, gate)
    return gate
  }
  const client = new UpstreamClient(upstream, {
    outbound,
    gateOf: (_, credential) => gateOf(credential),
    now,
  })
  return { upstream, client, outbound, gateOf }
}

/** Why it failed; fails the test if it did not. */
export async function failureFrom(work: Promise<unknown>): Promise<UpstreamFailure> {
  try {
    await work
  } catch (error) {
    return failureOf(error)
  }
  return expect.fail('it did not fail')
}
