// The command line of `entrepot collect`: how much of what is mirrored may stay.

import { LOW_FORM, SIZE_FORM, parseLow, parseSize } from '../src/config/size.ts'
import { ArgumentError } from './failure.ts'
import { offerJob, parseJobOptions } from './job-arguments.ts'
import type { JobOptions } from './job-arguments.ts'
import type { JobArguments } from './job-run.ts'
import type { Order } from './job.ts'
import type { Enlist, Run } from './program.ts'

interface Options extends JobOptions {
  readonly dryRun?: true
  readonly target?: string
  readonly low?: string
}

const NOTES = `
The images that nobody has pulled for longest go first, each as a whole; what is pinned stays, and so does whatever was
read meanwhile. Nothing hosted is touched.

Example: entrepot collect --dry-run --target 500GiB --low 80%`

/** Offers `collect`. */
export function collectCommand(run: Run<JobArguments>): Enlist {
  return (program, choose) => {
    offerJob(
      program
        .command('collect')
        .summary('remove mirrored images down to a size')
        .description(
          'Removes mirrored images that nobody pulls, if all of them take too much room.',
        )
        .option('--dry-run', 'remove nothing, and say what would be')
        .option('--target <size>', 'instead of STORAGE_TARGET, e.g. 500GiB')
        .option(
          '--low <size>',
          'remove until no more than this is left: a size or a share, e.g. 80%',
        ),
    )
      .addHelpText('after', NOTES)
      .action((options: Options) => {
        const args = { ...parseJobOptions(options), order: parseOrder(options) }
        choose(() => run(args))
      })
  }
}

/** Sizes go as they were written: the registry reads them as it does those of its configuration. */
function parseOrder({ dryRun, target, low }: Options): Order {
  const size = target === undefined ? undefined : parseSize(target)
  if (target !== undefined && (size === undefined || size === 0)) {
    throw new ArgumentError(
      `--target: expected ${SIZE_FORM} above 0, found ${JSON.stringify(target)}`,
    )
  }
  if (low !== undefined && parseLow(low, size ?? Number.MAX_SAFE_INTEGER) === undefined) {
    throw new ArgumentError(`--low: expected ${LOW_FORM}, found ${JSON.stringify(low)}`)
  }
  return {
    kind: 'collect',
    ...(dryRun === true && { dryRun: true }),
    ...(target !== undefined && { target }),
    ...(low !== undefined && { low }),
  }
}
