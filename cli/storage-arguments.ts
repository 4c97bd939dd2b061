// The command line of `entrepot storage`.

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { CommonOptions } from './arguments.ts'
import type { Enlist, Run } from './program.ts'

/** Offers `storage`. */
export function storageCommand(run: Run<RegistryArguments>): Enlist {
  return (program, choose) => {
    offerRegistry(
      program
        .command('storage')
        .summary('show how much is mirrored')
        .description('Shows how much is mirrored, as a collection has last measured it.'),
    ).action((options: CommonOptions) => {
      const args = parseRegistry(options)
      choose(() => run(args))
    })
  }
}
