// The command line of `entrepot switches`: what is turned off, or on again, while the registry runs.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

/** Switches that are on or off. */
export const FLAGS = ['readOnly', 'noFills', 'noRedirect', 'alwaysStale'] as const

/** What is to be done. */
export type SwitchesAction =
  | { readonly what: 'show' }
  | { readonly what: 'set'; readonly name: (typeof FLAGS)[number]; readonly isOn: boolean }
  | { readonly what: 'pause' | 'resume'; readonly host: string }

/** What `entrepot switches` was asked to do. */
export interface SwitchesArguments extends RegistryArguments {
  readonly action: SwitchesAction
}

/** Offers `switches`. */
export function switchesCommand(run: Run<SwitchesArguments>): Enlist {
  return (program, choose) => {
    const switches = offerRegistry(
      program
        .command('switches')
        .summary('turn things off without a deploy')
        .description('Shows what is switched, and switches it; everybody sees it within a minute.'),
    )
    offerActions(switches, (action) => {
      const args = { action, ...parseRegistry(switches.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(switches: Command, take: (action: SwitchesAction) => void): void {
  switches
    .command('show', { isDefault: true })
    .description('show all of them (this is meant where nothing else is said)')
    .action(() => take({ what: 'show' }))
  switches
    .command('set <switch> <on|off>')
    .description(`turn ${FLAGS.join(', ')}`)
    .action((name: string, value: string) =>
      take({ what: 'set', name: requireFlag(name), isOn: requireState(value) }),
    )
  switches
    .command('pause <host>')
    .description('ask an upstream nothing more')
    .action((host: string) => take({ what: 'pause', host }))
  switches
    .command('resume <host>')
    .description('ask it again')
    .action((host: string) => take({ what: 'resume', host }))
}

function requireFlag(text: string): (typeof FLAGS)[number] {
  const flag = FLAGS.find((each) => each === text)
  if (flag !== undefined) return flag
  throw new ArgumentError(`set: expected one of ${FLAGS.join(', ')}, found ${JSON.stringify(text)}`)
}

function requireState(text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on'
  throw new ArgumentError(`set: expected on or off, found ${JSON.stringify(text)}`)
}
