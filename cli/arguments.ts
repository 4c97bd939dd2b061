// The command line of `npm start`: options in, settings out, and the text of `--help`.

import { parseArgs } from 'node:util'
import type { ParseArgsConfig } from 'node:util'

/** What `npm start` was asked to do. */
export interface ServeArguments {
  readonly host: string
  readonly port: number
  /** The folder that holds the state. */
  readonly persistTo: string
  /** Settings that win over wrangler.toml and .dev.vars. */
  readonly vars: Readonly<Record<string, string>>
}

/** A command line that means nothing; the message is for whoever typed it. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
}

/** The text of `--help`. */
export const HELP = `npm start -- [options]: run the registry on this machine

  --host <address>     listen here (127.0.0.1)
  --port <number>      listen on this port (5050); 0 for any that is free
  --persist-to <path>  keep the state in this folder (.entrepot), and in its file \`administrator\`
                       the secret that \`npm run account\` uses
  --var <NAME:VALUE>   set a variable of wrangler.toml or a secret, JSON where it is structured;
                       may be given several times, and wins over wrangler.toml and .dev.vars
  --help               print this

Example: npm start -- --port 5051 --var 'UPSTREAMS:{"docker.io":{"url":"http://127.0.0.1:5001"}}'`

/**
 * Parses the command line; `help` when that was asked for.
 * @throws {ArgumentError}
 */
export function parseArguments(args: readonly string[]): ServeArguments | 'help' {
  const values = parseOptions(args)
  if (values.help === true) return 'help'
  return {
    host: values.host ?? '127.0.0.1',
    port: parsePort(values.port ?? '5050'),
    persistTo: values['persist-to'] ?? '.entrepot',
    vars: Object.fromEntries((values.var ?? []).map(parseVar)),
  }
}

function parseOptions(args: readonly string[]) {
  return parseCommandLine({
    args: [...args],
    options: {
      host: { type: 'string' },
      port: { type: 'string' },
      'persist-to': { type: 'string' },
      var: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
    },
  }).values
}

/**
 * Node's parser.
 * @throws {ArgumentError} with the first sentence of what it says: it explains at length how to pass arguments that
 *   are none.
 */
export function parseCommandLine<const T extends ParseArgsConfig>(
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config)
  } catch (error) {
    const message = error instanceof Error ? error.message.split('. ')[0] : String(error)
    throw new ArgumentError(`${message} (--help lists the options)`, { cause: error })
  }
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new ArgumentError(
    `--port: expected a number from 0 to 65535, found ${JSON.stringify(text)}`,
  )
}

function parseVar(text: string): [string, string] {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(0, colon))
  if (/^[A-Z][A-Z0-9_]*$/.test(name)) return [name, text.slice(colon + 1)]
  // What stands behind the colon may be a secret.
  const found = JSON.stringify(colon < 0 ? text : `${name}:…`)
  throw new ArgumentError(`--var: expected NAME:VALUE, found ${found}`)
}
