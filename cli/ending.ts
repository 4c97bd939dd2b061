// How a program ends: by itself, or from outside by a signal or because its reader has gone.

/** With what status: `failed` also where a problem was found. */
export const EXIT = { fine: 0, failed: 1, notUnderstood: 2 } as const

/** What a program may be ended by, with the numbers of the signals. */
const ENDINGS = { SIGHUP: 1, SIGINT: 2, SIGPIPE: 13, SIGTERM: 15 } as const

/**
 * What a program is ended by. `SIGPIPE` stands for a reader who has gone; the signal itself nobody listens to, since it
 * comes for every socket too.
 */
export type Ending = keyof typeof ENDINGS

const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const

/** Ends the program when nobody reads what it prints: Node itself would go on, and tell nobody. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', leave)
}

/** Calls `stop` when the program is to end; what happens then is its affair. */
export function onEnding(stop: (ending: Ending) => void): void {
  for (const signal of SIGNALS) process.on(signal, () => stop(signal))
  const stopWithReader = whenGone(() => stop('SIGPIPE'))
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeListener('error', leave)
    stream.on('error', stopWithReader)
  }
}

/** Makes something that would listen to signals, and lets it hear none. */
export function deafened<T>(make: () => T): T {
  const before = SIGNALS.map((signal) => [signal, process.listeners(signal)] as const)
  const made = make()
  for (const [signal, others] of before) {
    for (const listener of process.listeners(signal)) {
      if (!others.includes(listener)) process.removeListener(signal, listener)
    }
  }
  return made
}

/** The status of a program that was ended so. */
export function statusOf(ending: Ending): number {
  return 128 + ENDINGS[ending]
}

const leave = whenGone(() => process.exit(statusOf('SIGPIPE')))

function whenGone(act: () => void): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== 'EPIPE') throw error
    act()
  }
}
