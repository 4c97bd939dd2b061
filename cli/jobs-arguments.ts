// The command line of `entrepot jobs`: which job to look at, and what to do with it.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

/** What is to be done. */
export type JobsAction =
  | { readonly what: 'list'; readonly isAll: boolean }
  | { readonly what: 'show' | 'follow' | 'cancel'; readonly id: string }

/** What `entrepot jobs` was asked to do. */
export interface JobsArguments extends RegistryArguments {
  readonly action: JobsAction
}

/** Offers `jobs`. */
export function jobsCommand(run: Run<JobsArguments>): Enlist {
  return (program, choose) => {
    const jobs = offerRegistry(
      program
        .command('jobs')
        .summary('look at long work, and end it')
        .description('Looks at the jobs of a registry, and ends them.'),
    )
    offerActions(jobs, (action) => {
      const args = { action, ...parseRegistry(jobs.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(jobs: Command, take: (action: JobsAction) => void): void {
  jobs
    .command('list', { isDefault: true })
    .description('show the newest jobs (this is meant where nothing else is said)')
    .option('--all', 'show all of them')
    .action(({ all }: { readonly all?: true }) => take({ what: 'list', isAll: all === true }))
  jobs
    .command('show <id>')
    .description('show how a job stands, and what it has done')
    .action((id: string) => take({ what: 'show', id: requireID('show', id) }))
  jobs
    .command('follow <id>')
    .description('show how far a job is until it ends, and what it has done')
    .action((id: string) => take({ what: 'follow', id: requireID('follow', id) }))
  jobs
    .command('cancel <id>')
    .description('end a job; what it has done stays done')
    .action((id: string) => take({ what: 'cancel', id: requireID('cancel', id) }))
}

function requireID(what: string, text: string): string {
  if (/^[a-z0-9-]+$/.test(text)) return text
  throw new ArgumentError(
    `${what}: expected the id of a job, as entrepot jobs lists it, found ${JSON.stringify(text)}`,
  )
}
