// What the command lines have in common of all commands that order a job.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { gather } from './arguments.ts'
import type { CommonOptions } from './arguments.ts'
import { parsePlatforms } from './image-argument.ts'

/** The options of such a command. */
export interface JobOptions extends CommonOptions {
  readonly detach?: true
}

/** Which platforms. */
export interface PlatformOptions {
  readonly platforms?: readonly string[]
}

const NOTES = `
The registry does it by itself, and the command shows how far it is. Ctrl-C ends the command only: entrepot jobs shows
what goes on. It ends with 1 if a part of it failed.`

/** Gives a command the options that say which registry, and whether to wait. */
export function offerJob(command: Command): Command {
  return offerRegistry(
    command.option('--detach', 'print the id of the job, and do not wait'),
  ).addHelpText('after', NOTES)
}

/** Gives a command `--platforms`. */
export function offerPlatforms(command: Command): Command {
  return command.option(
    '--platforms <list>',
    'of an index only these, e.g. linux/amd64,linux/arm/v7; else all',
    gather,
  )
}

/** Reads which registry, and whether to wait. @throws {ArgumentError} */
export function parseJobOptions(
  options: JobOptions,
): RegistryArguments & { readonly isDetached: boolean } {
  return { ...parseRegistry(options), isDetached: options.detach === true }
}

/** The member of an order; none where no platform was named. @throws {ArgumentError} */
export function platformsOf({ platforms = [] }: PlatformOptions): {
  readonly platforms?: readonly string[]
} {
  return platforms.length === 0 ? {} : { platforms: parsePlatforms(platforms) }
}
