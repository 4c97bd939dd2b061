// The command line of `entrepot prefetch`: which images are fetched before anybody pulls them.

import { parseText } from './arguments.ts'
import { ArgumentError } from './failure.ts'
import { requireImage } from './image-argument.ts'
import { offerJob, offerPlatforms, parseJobOptions, platformsOf } from './job-arguments.ts'
import type { JobOptions, PlatformOptions } from './job-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { Enlist, Run } from './program.ts'

/** What `entrepot prefetch` was asked to do. */
export interface PrefetchArguments extends RegistryArguments {
  readonly images: readonly string[]
  /** A file with further ones; `-` is the standard input. */
  readonly file: string | undefined
  readonly platforms?: readonly string[]
  readonly isDetached: boolean
}

interface Options extends JobOptions, PlatformOptions {
  readonly file?: string
}

const NOTES = `
A file has one image on a line; empty lines, and what stands behind "#", do not count. What is here already is not
fetched again, and an upstream is asked for no more than its budget allows.

Example: entrepot prefetch docker.io/library/nginx:1.29 quay.io/org/app:2 --platforms linux/amd64,linux/arm64`

/** Offers `prefetch`. */
export function prefetchCommand(run: Run<PrefetchArguments>): Enlist {
  return (program, choose) => {
    offerPlatforms(
      offerJob(
        program
          .command('prefetch [image...]')
          .summary('fetch images before anybody pulls them')
          .description('Fetches images into the mirror before anybody pulls them.')
          .option('--file <path>', 'a list of further images; - for the standard input'),
      ),
    )
      .addHelpText('after', NOTES)
      .action((images: readonly string[], options: Options) => {
        const args = parsePrefetch(images, options)
        choose(() => run(args))
      })
  }
}

function parsePrefetch(texts: readonly string[], options: Options): PrefetchArguments {
  const { file } = options
  if (texts.length === 0 && file === undefined) {
    throw new ArgumentError('prefetch: expected images, or --file with a list of them')
  }
  return {
    ...parseJobOptions(options),
    images: texts.map((text) => requireImage('prefetch', text)),
    file: file === undefined ? undefined : parseText('--file', file),
    ...platformsOf(options),
  }
}
