// The command line of `entrepot images`: which images to list, or which one to show.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { ArgumentError } from './failure.ts'
import type { ImageArgument } from './image-argument.ts'
import { parseImageArgument } from './image-argument.ts'
import type { Enlist, Run } from './program.ts'

const KINDS = ['mirrored', 'hosted'] as const

/** What is to be done. */
export type ImagesAction =
  | {
      readonly what: 'list'
      readonly search: string | undefined
      readonly kind: (typeof KINDS)[number] | undefined
    }
  /** A repository, or one image of it. */
  | { readonly what: 'show'; readonly image: ImageArgument }

/** What `entrepot images` was asked to do. */
export interface ImagesArguments extends RegistryArguments {
  readonly action: ImagesAction
}

const NOTES = `
No upstream is asked for any of this.

Examples: entrepot images nginx --kind mirrored
          entrepot images show docker.io/library/nginx
          entrepot images show docker.io/library/nginx:1.29`

/** Offers `images`. */
export function imagesCommand(run: Run<ImagesArguments>): Enlist {
  return (program, choose) => {
    const images = offerRegistry(
      program
        .command('images')
        .summary('show what is here')
        .description(
          'Shows what is mirrored and hosted: repositories, their images, and one image.',
        ),
    ).addHelpText('after', NOTES)
    offerActions(images, (action) => {
      const args = { action, ...parseRegistry(images.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(images: Command, take: (action: ImagesAction) => void): void {
  images
    .command('list [search]', { isDefault: true })
    .description('show the repositories with this in their name (meant where nothing else is said)')
    .option('--kind <kind>', `${KINDS.join(' or ')}; else both`)
    .action((search: string | undefined, { kind }: { readonly kind?: string }) =>
      take({ what: 'list', search, kind: kind === undefined ? undefined : requireKind(kind) }),
    )
  images
    .command('show <image>')
    .description('show a repository, or with a tag or digest an image: platforms, layers, history')
    .action((text: string) => take({ what: 'show', image: parseImageArgument('show', text) }))
}

function requireKind(text: string): (typeof KINDS)[number] {
  const kind = KINDS.find((each) => each === text)
  if (kind !== undefined) return kind
  throw new ArgumentError(`--kind: expected ${KINDS.join(' or ')}, found ${JSON.stringify(text)}`)
}
