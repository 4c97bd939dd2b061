// The four things that every room is given and none takes from the air: the network, the clock, work
// that outlives an answer, and the log. Tests give their own.

/** The network: called by `outbound.ts` alone. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** Milliseconds since the epoch. */
export type Now = () => number

/** Keeps `work` running after the answer has gone (`ctx.waitUntil`); its failure is logged, never thrown. */
export type Defer = (work: Promise<unknown>) => void

/** One structured line. Callers never pass tokens, credentials or presigned URLs. */
export type Log = (event: string, fields?: Readonly<Record<string, unknown>>) => void

/** What a request or an object is given besides its bindings. */
export interface Seams {
  readonly fetch: Fetch
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}
