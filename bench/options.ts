// The command line of `npm run bench:upstream`.

import { parseArgs } from 'node:util'

import type { Scenario } from './scenario.ts'

/** What was asked for. */
export interface Options {
  readonly scenarios: readonly Scenario[]
  readonly isQuick: boolean
  readonly isJSON: boolean
  readonly hasPeer: boolean
}

/** A command line that means nothing. */
export class OptionError extends Error {
  override readonly name = 'OptionError'
}

/** Parses it; a text is what to print instead. @throws {OptionError} */
export function parseOptions(
  args: readonly string[],
  scenarios: readonly Scenario[],
): Options | string {
  const values = parse(args)
  if (values.help === true) return helpOf(scenarios)
  const only = values.only ?? []
  const unknown = only.find((name) => scenarios.every((each) => each.name !== name))
  if (unknown !== undefined) {
    const names = scenarios.map(({ name }) => name).join(', ')
    throw new OptionError(`--only: expected one of ${names}, found ${JSON.stringify(unknown)}`)
  }
  return {
    scenarios: scenarios.filter(({ name }) => only.length === 0 || only.includes(name)),
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

function helpOf(scenarios: readonly Scenario[]): string {
  const rows = scenarios.map(({ name, about }) => `    ${name.padEnd(12)}${about}`).join('\n')
  return `npm run bench:upstream -- [options]: what the mirror asks of an upstream, and how long it takes

  --only <row>   only this; may be given several times:
${rows}
  --quick        sizes and times divided by 16
  --peer         the reference registry's proxy mode beside it; needs Go for the first time
  --json         print JSON
  --help         print this`
}
