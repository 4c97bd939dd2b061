// A signal ends what a bench has started, then the bench.

const interrupted = new AbortController()

/** Whether a signal has come: what it ends fails in many ways, none of which is news. */
export function isInterrupted(): boolean {
  return interrupted.signal.aborted
}

/** From now on a signal closes this first. Returns how to stop that. */
export function closeOnSignal(open: { readonly close: () => Promise<void> }): () => void {
  const end = (): void => {
    interrupted.abort()
    void open.close().finally(() => process.exit(130))
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.once(signal, end)
  return () => {
    for (const signal of signals) process.removeListener(signal, end)
  }
}
