// Why a command did not do what it was asked; the message is for whoever typed it, and no secret is in it.

import { getSystemErrorMap } from 'node:util'

/** What could not be done. */
export class Failure extends Error {
  override readonly name: string = 'Failure'
}

/** What the system says of a file that cannot be read or written, without its own names for it. */
export function describeFault(cause: unknown): string {
  const errno = cause instanceof Error && 'errno' in cause ? cause.errno : undefined
  const [, told] = (typeof errno === 'number' && getSystemErrorMap().get(errno)) || []
  return told ?? String(cause)
}

/** A command line, or a variable that belongs to it, that means nothing. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
}
