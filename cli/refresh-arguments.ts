// The command line of `entrepot refresh`: which tag is checked at once, or the tags of which repository.

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { CommonOptions } from './arguments.ts'
import { ArgumentError } from './failure.ts'
import { formatImageArgument, parseImageArgument } from './image-argument.ts'
import type { Enlist, Run } from './program.ts'

/** What `entrepot refresh` was asked to do. */
export interface RefreshArguments extends RegistryArguments {
  readonly image: string
}

/** Offers `refresh`. */
export function refreshCommand(run: Run<RefreshArguments>): Enlist {
  return (program, choose) => {
    offerRegistry(
      program
        .command('refresh <image>')
        .summary('ask the upstream what a tag is now')
        .description(
          'Asks the upstream what a tag is now, however fresh it is; of a repository without a tag, what all are that are here.',
        ),
    ).action((text: string, options: CommonOptions) => {
      const args = { ...parseRegistry(options), image: requireTags(text) }
      choose(() => run(args))
    })
  }
}

/** @throws {ArgumentError} of a digest: what it names never changes. */
function requireTags(text: string): string {
  const image = parseImageArgument('refresh', text)
  if (image.reference?.kind !== 'digest') return formatImageArgument(image)
  throw new ArgumentError(
    `refresh: expected a tag or a repository, since what has a digest never changes, found ${JSON.stringify(text)}`,
  )
}
