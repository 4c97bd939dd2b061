// Which endpoint of a registry answers: the registry's own, and where that is limited, down or refuses our
// login, its alternates. Only for what is verified by digest afterwards: an alternate is not believed.

import type { Now } from '../seams.ts'
import type { UpstreamClient } from './client.ts'
import { UpstreamError, failureOf } from './error.ts'
import type { UpstreamFailure } from './error.ts'

/**
 * Does `work` with the upstream, else with each alternate in turn; each has its share of the time until
 * `deadline` (milliseconds of the clock). An alternate's failure, its 404 too, only means the next one.
 * @throws {UpstreamError} the upstream's own failure, when nobody could do it.
 */
export async function withAlternates<Value>(
  client: UpstreamClient,
  time: { readonly deadline: number; readonly now: Now },
  work: (client: UpstreamClient, deadline: number) => Promise<Value>,
): Promise<Value> {
  const endpoints = [client, ...client.alternates]
  let first: UpstreamFailure | undefined
  for (const [index, endpoint] of endpoints.entries()) {
    const share = (time.deadline - time.now()) / (endpoints.length - index)
    try {
      return await work(endpoint, time.now() + share)
    } catch (error) {
      first ??= failureOf(error)
      if (!mayStandIn(first)) break
    }
  }
  throw new UpstreamError(first ?? { kind: 'not-found' })
}

/** Whether an alternate may answer after the upstream has failed so: it says nothing of what exists. */
export function mayStandIn({ kind }: UpstreamFailure): boolean {
  return kind !== 'not-found' && kind !== 'denied'
}
