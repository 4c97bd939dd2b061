// The command line of `entrepot restore`: which export comes back.

import { ArgumentError } from './failure.ts'
import { offerJob, parseJobOptions } from './job-arguments.ts'
import type { JobOptions } from './job-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { Enlist, Run } from './program.ts'

/** What `entrepot restore` was asked to do. */
export interface RestoreArguments extends RegistryArguments {
  /** The id of an export, or a file that holds one. */
  readonly source: string
  readonly isDetached: boolean
}

const NOTES = `
Hosted repositories that have nothing, accounts whose names are free, pins and switches come back; what is there already
stays as it is. The bucket must be the one that the export was made with: images are not in it. What stands there may be
a file, or the id of an export that the registry has (entrepot backup list).`

/** Offers `restore`. */
export function restoreCommand(run: Run<RestoreArguments>): Enlist {
  return (program, choose) => {
    offerJob(
      program
        .command('restore <export>')
        .summary('bring an export back')
        .description('Brings back what an export has, into a registry that has lost it.'),
    )
      .addHelpText('after', NOTES)
      .action((source: string, options: JobOptions) => {
        if (source === '') throw new ArgumentError('restore: expected an id or a file, found ""')
        const args = { ...parseJobOptions(options), source }
        choose(() => run(args))
      })
  }
}
