// What the arguments of every command have in common that asks a registry as its administrator: which registry, and
// where the administrator of one on this machine is found.

import type { Command } from 'commander'

import { isLoopbackHost } from '../src/oci/host.ts'
import { DEFAULT_FOLDER, DEFAULT_URL, parseAddress, parseText } from './arguments.ts'
import type { CommonOptions } from './arguments.ts'
import { ArgumentError } from './failure.ts'

/** The registry that is asked, and how to tell of it. */
export interface RegistryArguments {
  readonly url: URL
  /** The folder with the local administrator's secret; undefined where that registry is none of here. */
  readonly persistTo: string | undefined
  readonly isJSON: boolean
}

const NOTES = `
A registry that is not on this machine is asked in the name of the administrator in the environment variable
ENTREPOT_SECRET, <name>:<secret>.`

/** Gives a command the options that say which registry. */
export function offerRegistry(command: Command): Command {
  return command
    .option('--url <address>', 'the registry', DEFAULT_URL)
    .option(
      '--persist-to <path>',
      `the folder of a registry on this machine, whose administrator asks (${DEFAULT_FOLDER})`,
    )
    .option('--json', 'print JSON')
    .addHelpText('after', NOTES)
}

/** Reads them. @throws {ArgumentError} */
export function parseRegistry({
  url: address = DEFAULT_URL,
  persistTo,
  json,
}: CommonOptions): RegistryArguments {
  const url = parseAddress('--url', address)
  if (url.protocol !== 'https:' && !isLoopbackHost(url.hostname)) {
    throw new ArgumentError(
      '--url: expected https, since a secret is sent there (http on this machine only)',
    )
  }
  const folder = persistTo === undefined ? undefined : parseText('--persist-to', persistTo)
  return {
    url,
    // The secret of here goes nowhere else unasked.
    persistTo: folder ?? (isLoopbackHost(url.hostname) ? DEFAULT_FOLDER : undefined),
    isJSON: json === true,
  }
}
