// The command line of `entrepot backup`: which export to make, take away or remove.

import type { Command } from 'commander'

import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { parseText } from './arguments.ts'
import { requireExportID } from './export-argument.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

/** What is to be done. */
export type BackupAction =
  /** `out`: the file that gets the export. */
  | { readonly what: 'create'; readonly out: string | undefined; readonly isDetached: boolean }
  | { readonly what: 'fetch'; readonly id: string; readonly out: string }
  | { readonly what: 'remove'; readonly id: string }
  | { readonly what: 'list' }

/** What `entrepot backup` was asked to do. */
export interface BackupArguments extends RegistryArguments {
  readonly action: BackupAction
}

interface CreateOptions {
  readonly out?: string
  readonly detach?: true
}

const NOTES = `
An export has what Durable Objects keep and nothing else does: which tags and manifests hosted repositories have,
accounts, pins and switches. Images stay in the bucket, where they are, and mirrors fill themselves. The registry makes
an export every night. A file of one holds hashes of secrets, and no secret.`

/** Offers `backup`. */
export function backupCommand(run: Run<BackupArguments>): Enlist {
  return (program, choose) => {
    const backup = offerRegistry(
      program
        .command('backup')
        .summary('export what is kept, and take it away')
        .description('Exports hosted repositories, accounts, pins and switches.'),
    ).addHelpText('after', NOTES)
    offerActions(backup, (action) => {
      const args = { action, ...parseRegistry(backup.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(backup: Command, take: (action: BackupAction) => void): void {
  backup
    .command('create', { isDefault: true })
    .description('make an export (this is meant where nothing else is said)')
    .option('--out <file>', 'write it to this file too')
    .option('--detach', 'print the id of the job, and do not wait')
    .action((options: CreateOptions) => take(parseCreate(options)))
  backup
    .command('list')
    .description('show the exports that there are')
    .action(() => take({ what: 'list' }))
  backup
    .command('fetch <id>')
    .description('write an export that there is to a file')
    .requiredOption('--out <file>', 'this one')
    .action((id: string, { out }: { readonly out: string }) =>
      take({ what: 'fetch', id: requireExportID('fetch', id), out: parseOut(out) }),
    )
  backup
    .command('remove <id>')
    .description('remove an export')
    .action((id: string) => take({ what: 'remove', id: requireExportID('remove', id) }))
}

/** @throws {ArgumentError} */
function parseOut(text: string): string {
  if (text !== '') return parseText('--out', text)
  throw new ArgumentError('--out: expected the name of a file, found ""')
}

function parseCreate({ out, detach }: CreateOptions): BackupAction {
  if (out !== undefined && detach === true) {
    throw new ArgumentError('--detach: expected no --out beside it, since somebody must write it')
  }
  return {
    what: 'create',
    out: out === undefined ? undefined : parseOut(out),
    isDetached: detach === true,
  }
}
