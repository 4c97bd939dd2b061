// What a client says when it may not.

/** Fails unless the action does, with words that match; returns the last line that the client wrote. */
export async function refusalOf(
  what: string,
  action: Promise<unknown>,
  words = /unauthorized|denied|authorization failed|invalid username|401/i,
): Promise<string> {
  const failure = await action.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  if (failure === undefined) throw new Error(`${what} was not refused`)
  // Without the command line, which is in the first one.
  const said = failure.slice(failure.indexOf('\n') + 1)
  if (!words.test(said)) throw new Error(`${what} failed otherwise: ${failure}`)
  const last = said.trim().split('\n').at(-1) ?? ''
  return last.length > 160 ? `…${last.slice(-160)}` : last
}
