// How long a fill and its readers wait for what, so that nothing waits for ever.

/** Durations in milliseconds; a test shortens them. */
export interface Patience {
  /** A client gets its headers after so long at the latest, once the upstream has sent its own. */
  readonly headers: number
  /** No call waits longer than this for news, storage included; the caller asks again, or tells its client. */
  readonly news: number
  /** An object that has not said how far a fill is by then counts as away: later than `news`, when it does. */
  readonly begin: number
  /** All that is tried before a client's headers ends by then: containerd gives up after 30 s. */
  readonly answer: number
  /** Storage that has not found an object by then counts as away, while a client still waits for its headers. */
  readonly lookup: number
  /** An upstream that has sent no byte of a part for so long counts as gone. */
  readonly idle: number
  /** Bytes that have waited so long are cut into a segment of their own. */
  readonly cut: number
  /** One step of storage that takes longer counts as failed. */
  readonly storage: number
  /** A fill that nobody has asked for so long is given up. */
  readonly absence: number
}

/** The patience of the registry. The platform ends an object without a client after 15 min. */
export const PATIENCE: Patience = {
  headers: 5000,
  news: 15_000,
  begin: 17_000,
  // A lookup before `begin` and one after it: 27 s.
  answer: 27_000,
  lookup: 5000,
  idle: 30_000,
  cut: 1000,
  storage: 30_000,
  absence: 14 * 60 * 1000,
}

/** What `within` returns instead of a result that has not come. */
export const LATE = Symbol('late')

/** The result of `work`, or `LATE`. Work that is late goes on; how it ends then is nobody's concern. */
export async function within<Value>(
  work: Promise<Value>,
  milliseconds: number,
): Promise<Value | typeof LATE> {
  const { promise: late, resolve } = Promise.withResolvers<typeof LATE>()
  const timer = setTimeout(() => resolve(LATE), Math.max(0, milliseconds))
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
