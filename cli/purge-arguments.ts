// The command line of `entrepot purge`: what is to be forgotten.

import { ArgumentError } from './failure.ts'
import { formatImageArgument, parseImageArgument } from './image-argument.ts'
import { offerJob, parseJobOptions } from './job-arguments.ts'
import type { JobOptions } from './job-arguments.ts'
import type { JobArguments } from './job-run.ts'
import type { Enlist, Run } from './program.ts'

const NOTES = `
Within a minute it is gone everywhere, and the next pull asks its registry. Blobs that another image needs stay. What is
hosted is nobody's to purge: it is deleted as clients do.

Examples: entrepot purge docker.io/library/nginx:1.29
          entrepot purge docker.io/library/nginx@sha256:…
          entrepot purge docker.io/library/nginx
          entrepot purge docker.io`

/** Offers `purge`. */
export function purgeCommand(run: Run<JobArguments>): Enlist {
  return (program, choose) => {
    offerJob(
      program
        .command('purge <target>')
        .summary('forget what is mirrored')
        .description('Forgets what is mirrored: an image, a repository, or all of an upstream.'),
    )
      .addHelpText('after', NOTES)
      .action((target: string, options: JobOptions) => {
        const order = { kind: 'purge', target: parseTarget(target) } as const
        const args = { ...parseJobOptions(options), order }
        choose(() => run(args))
      })
  }
}

/* A name without a slash is that of a host. */
const HOST = /^[a-z0-9]+(?:[.-]+[a-z0-9]+)*(?::\d{1,5})?$/

/** @throws {ArgumentError} */
function parseTarget(text: string): string {
  if (HOST.test(text)) return text
  if (text.includes('/')) return formatImageArgument(parseImageArgument('purge', text))
  throw new ArgumentError(
    `purge: expected an image, a repository or the host of an upstream, found ${JSON.stringify(text)}`,
  )
}
