// The command line of `entrepot serve`: options in, settings out.

import { DEFAULT_FOLDER, gather, parseText } from './arguments.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

/** What `entrepot serve` was asked to do. */
export interface ServeArguments {
  readonly host: string
  readonly port: number
  /** The folder that holds the state. */
  readonly persistTo: string
  /** Settings that win over wrangler.toml and .dev.vars. */
  readonly vars: Readonly<Record<string, string>>
}

/** The same, and how to tell of it. */
export interface ServeWish extends ServeArguments {
  readonly isJSON: boolean
}

interface Options {
  readonly host: string
  readonly port: string
  readonly persistTo: string
  readonly var?: readonly string[]
  readonly json?: true
}

const NOTES = `
The folder's file \`administrator\` holds the secret that \`entrepot account\` uses. A variable of --var is one of
wrangler.toml or a secret, JSON where it is structured; it wins over wrangler.toml and .dev.vars.

Example: entrepot serve --port 5051 --var 'UPSTREAMS:{"docker.io":{"url":"http://127.0.0.1:5001"}}'`

/** Offers `serve`. */
export function serveCommand(run: Run<ServeWish>): Enlist {
  return (program, choose) => {
    program
      .command('serve')
      .summary('run the registry on this machine')
      .description('Runs the registry on this machine, until it is interrupted.')
      .option('--host <address>', 'listen here', '127.0.0.1')
      .option('--port <number>', 'listen on this port; 0 for any that is free', '5050')
      .option('--persist-to <path>', 'keep the state in this folder', DEFAULT_FOLDER)
      .option('--var <NAME:VALUE>', 'set a variable; may be given several times', gather)
      .option('--json', 'print the greeting as a line of JSON, as those of the log are')
      .addHelpText('after', NOTES)
      .action((options: Options) => {
        const wish = parseServeOptions(options)
        choose(() => run(wish))
      })
  }
}

function parseServeOptions({ host, port, persistTo, var: vars = [], json }: Options): ServeWish {
  return {
    host: parseText('--host', host),
    port: parsePort(port),
    persistTo: parseText('--persist-to', persistTo),
    vars: Object.fromEntries(vars.map(parseVar)),
    isJSON: json === true,
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
