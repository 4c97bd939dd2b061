// The command line of `entrepot demo`.

import type { Enlist, Run } from './program.ts'

/** What `entrepot demo` was asked to do. */
export interface DemoArguments {
  readonly isJSON: boolean
}

/** Offers `demo`. */
export function demoCommand(run: Run<DemoArguments>): Enlist {
  return (program, choose) => {
    program
      .command('demo')
      .summary('pull an image cold and warm, without the internet')
      .description(
        'Starts an upstream and a registry, pulls an image cold, warm, after a restart and with the upstream gone, and prints what the upstream was asked.',
      )
      .option('--json', 'print JSON')
      .action(({ json }: { readonly json?: true }) => {
        choose(() => run({ isJSON: json === true }))
      })
  }
}
