// The command line of `entrepot upstreams`.

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { CommonOptions } from './arguments.ts'
import type { Enlist, Run } from './program.ts'

/** Offers `upstreams`. */
export function upstreamsCommand(run: Run<RegistryArguments>): Enlist {
  return (program, choose) => {
    offerRegistry(
      program
        .command('upstreams')
        .summary('show how the upstreams stand')
        .description(
          'Shows what each upstream allows its logins, its last error, and when it may be asked again.',
        ),
    ).action((options: CommonOptions) => {
      const args = parseRegistry(options)
      choose(() => run(args))
    })
  }
}
