// Why a command did not do what it was asked; the message is for whoever typed it, and no secret is in it.

/** What could not be done. */
export class Failure extends Error {
  override readonly name: string = 'Failure'
}

/** A command line, or a variable that belongs to it, that means nothing. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
}
