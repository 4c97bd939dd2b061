// Waiting in the sample upstream. In workerd a request that waits for nothing but a promise of another
// request counts as hung and is cancelled, and a test's promises are exactly that: so whoever waits
// looks every few milliseconds, on a timer of its own.

const INTERVAL = 2

/** What ends a wait early. */
export interface Patience {
  readonly signal: AbortSignal
  /** Whether the connection has been pulled meanwhile. */
  readonly isCut: () => boolean
}

/** The error that `fetch` of Node and of workerd rejects with when the network fails. */
export function networkError(): TypeError {
  return new TypeError('fetch failed')
}

/** Throws the reason of the signal, or a network error when the connection is gone. */
export function assertConnected({ signal, isCut }: Patience): void {
  signal.throwIfAborted()
  if (isCut()) {
    throw networkError()
  }
}

/** Returns once the condition holds; throws as `assertConnected` does. */
export async function waitUntil(condition: () => boolean, patience: Patience): Promise<void> {
  assertConnected(patience)
  while (!condition()) {
    await sleep(INTERVAL)
    assertConnected(patience)
  }
}

/** Returns after so many milliseconds. */
export async function sleep(milliseconds: number): Promise<void> {
  await new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
