// The command line of `entrepot pin`: what is never removed for room.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { requireImage } from './image-argument.ts'
import { offerPlatforms, platformsOf } from './job-arguments.ts'
import type { PlatformOptions } from './job-arguments.ts'
import type { Enlist, Run } from './program.ts'

/** What is to be done. */
export type PinAction =
  | { readonly what: 'list' }
  | { readonly what: 'add'; readonly image: string; readonly platforms?: readonly string[] }
  | { readonly what: 'remove'; readonly image: string }

/** What `entrepot pin` was asked to do. */
export interface PinArguments extends RegistryArguments {
  readonly action: PinAction
}

/** Offers `pin`. */
export function pinCommand(run: Run<PinArguments>): Enlist {
  return (program, choose) => {
    const pin = offerRegistry(
      program
        .command('pin')
        .summary('keep mirrored images, and keep them fresh')
        .description(
          'Says which mirrored images are never removed for room, and are fetched ahead.',
        ),
    )
    offerActions(pin, (action) => {
      const args = { action, ...parseRegistry(pin.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(pin: Command, take: (action: PinAction) => void): void {
  offerPlatforms(
    pin.command('add <image>').description('pin an image; it need not be here yet'),
  ).action((text: string, options: PlatformOptions) => {
    const image = requireImage('add', text)
    take({ what: 'add', image, ...platformsOf(options) })
  })
  pin
    .command('list', { isDefault: true })
    .description('show what is pinned (this is meant where nothing else is said)')
    .action(() => take({ what: 'list' }))
  pin
    .command('remove <image>')
    .description('let it go when its time comes')
    .action((image: string) => take({ what: 'remove', image: requireImage('remove', image) }))
}
