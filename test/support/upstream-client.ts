// An upstream as `src/upstream` speaks to it, without a Worker or an object around it: a client, and the
// gates of its identities, which remember as long as the test does.

import { expect } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import { Outbound } from '../../src/outbound.ts'
import type { Now } from '../../src/seams.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { UpstreamFailure } from '../../src/upstream/error.ts'
import { failureOf } from '../../src/upstream/error.ts'
import { passingStorage } from '../../src/upstream/gate-storage.ts'
import type { GateStorage } from '../../src/upstream/gate-storage.ts'
import { Gate } from '../../src/upstream/gate.ts'
import type { Credential, Upstream } from '../../src/upstream/upstream.ts'
import type { Network } from './network.ts'

/** The `Via` of these tests. */
export const VIA = '1.1 entrepot-test'

/** A credential of the configuration. */
export type Login = Pick<Credential, 'username' | 'password'>

/** What a test says of an upstream; the rest is as configured by default. */
export interface UpstreamSettings {
  readonly host?: string
  readonly credentials?: readonly Login[]
  /** Credentials for its alternates, by their hosts. */
  readonly others?: Readonly<Record<string, readonly Login[]>>
  /** Settings of its entry in `UPSTREAMS`. */
  readonly entry?: object
}

/** An upstream of a table with this one entry: `one.test`, open to anyone, asked how it authenticates. */
export function upstreamFrom(settings: UpstreamSettings = {}): Upstream {
  const { host = 'one.test', credentials, entry = {} } = settings
  const logins = { ...(credentials && { [host]: credentials }), ...settings.others }
  const { upstreams } = parseConfig({
    UPSTREAMS: { [host]: { private: false, ...entry } },
    ...(Object.keys(logins).length > 0 && { UPSTREAM_CREDENTIALS: logins }),
  })
  return [...upstreams.values()][0] ?? expect.fail('no upstream')
}

/** An upstream with what is needed to speak to it. */
export interface Connection {
  readonly upstream: Upstream
  readonly client: UpstreamClient
  readonly outbound: Outbound
  /** The gate of a credential, or of nobody; the same one every time. `of` is an alternate, if it is not the upstream. */
  readonly gateOf: (credential?: Credential, of?: Upstream) => Gate
  /** Waits for the work that outlives requests. */
  readonly settle: () => Promise<void>
}

/** What a connection is made of. */
export interface ConnectionOptions {
  readonly network: Network
  readonly now?: Now
  /** What gates remember, by their upstream's name and their credential's id; given to outlive a connection. */
  readonly memories?: Map<string, GateStorage>
}

/** Connects to the upstream over the network. */
export function connect(upstream: Upstream, options: ConnectionOptions): Connection {
  const { network, now = () => Date.now(), memories = new Map<string, GateStorage>() } = options
  const outbound = new Outbound(network.fetch, VIA)
  const gates = new Map<string, Gate>()
  const deferred: Promise<unknown>[] = []
  const gateOf = (credential?: Credential, of: Upstream = upstream): Gate => {
    const id = `${of.name} ${credential?.id ?? ''}`
    const storage = memories.get(id) ?? passingStorage()
    memories.set(id, storage)
    const gate = gates.get(id) ?? new Gate({ upstream: of, credential, storage, outbound, now })
    gates.set(id, gate)
    return gate
  }
  const client = new UpstreamClient(upstream, {
    outbound,
    gateOf: (of, credential) => gateOf(credential, of),
    now,
    defer: (work) => void deferred.push(work),
  })
  const settle = async (): Promise<void> => void (await Promise.all(deferred.splice(0)))
  return { upstream, client, outbound, gateOf, settle }
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
