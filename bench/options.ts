// The command line of a bench.

import { parseArgs } from 'node:util'

/** A bench as its command line presents it. */
export interface Command {
  /** The script of package.json. */
  readonly name: string
  readonly about: string
  /** What `--peer` adds. */
  readonly peer: string
  readonly scenarios: readonly { readonly name: string; readonly about: string }[]
}

/** What was asked for. */
export interface Options {
  /** The scenarios to run. */
  readonly names: readonly string[]
  readonly isQuick: boolean
  readonly isJSON: boolean
  readonly hasPeer: boolean
}

/** A command line that means nothing. */
export class OptionError extends Error {
  override readonly name = 'OptionError'
}

/** Parses it; a text is what to print instead. @throws {OptionError} */
export function parseOptions(args: readonly string[], command: Command): Options | string {
  const values = parse(args)
  if (values.help === true) return helpOf(command)
  const names = command.scenarios.map(({ name }) => name)
  const only = values.only ?? names
  const unknown = only.find((name) => !names.includes(name))
  if (unknown !== undefined) {
    const known = names.join(', ')
    throw new OptionError(`--only: expected one of ${known}, found ${JSON.stringify(unknown)}`)
  }
  return {
    names: only,
    isQuick: values.quick ?? false,
    isJSON: values.json ?? false,
    hasPeer: values.peer ?? false,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        peer: { type: 'boolean' },
        only: { type: 'string', multiple: true },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function helpOf({ name: script, about: what, peer, scenarios }: Command): string {
  const rows = scenarios.map(({ name, about }) => `    ${name.padEnd(12)}${about}`).join('\n')
  return `npm run ${script} -- [options]: ${what}

  --only <row>   only this; may be given several times:
${rows}
  --quick        sizes and times divided by 16
  --peer         ${peer}; needs Go for the first time
  --json         print JSON
  --help         print this`
}
