// `entrepot backup`: exports of what Durable Objects keep, made by the registry and taken away by whoever asks.

import { AdminClient } from './admin-client.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import type { BackupAction, BackupArguments } from './backup-arguments.ts'
import { EXIT } from './ending.ts'
import { requireWritable, takeExport } from './export-transfer.ts'
import { Failure } from './failure.ts'
import { askReport, formatEnded, hasSucceeded } from './job.ts'
import { followOnly, runOrder, startJob } from './job-run.ts'
import { printOutcome } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import { formatBytes, formatTime } from './quantity.ts'
import { formatTable } from './table.ts'
import { showingTransfer } from './transfer-progress.ts'

/**
 * Does what was asked and prints what came of it.
 * @throws {ArgumentError | Failure}
 */
export async function runBackup({ action, ...registry }: BackupArguments): Promise<number> {
  if (action.what === 'create') return create(action, registry)
  const client = await AdminClient.of(registry)
  printOutcome(await run(client, action, registry), registry.isJSON)
  return EXIT.fine
}

async function create(
  { out, isDetached }: Extract<BackupAction, { readonly what: 'create' }>,
  registry: RegistryArguments,
): Promise<number> {
  const order = { kind: 'export' } as const
  if (out === undefined) return runOrder({ ...registry, order, isDetached })
  await requireWritable(out)
  const client = await AdminClient.of(registry)
  const job = await followOnly(client, await startJob(client, order), registry)
  const report = await askReport(client, job.id)
  const id = job.result['export']
  const isMade = job.state === 'done' && typeof id === 'string'
  if (isMade) await fetchTo(client, { id, file: out, registry })
  const json = {
    ...job.json,
    ...(isMade && { file: out }),
    report: report.map((each) => each.json),
  }
  const text = `${formatEnded(job, report)}${isMade ? `\n  file: ${out}` : ''}`
  printOutcome({ json, text }, registry.isJSON)
  if (!isMade && job.state === 'done') throw new Failure('the registry does not say what it made')
  return hasSucceeded(job, report) ? EXIT.fine : EXIT.failed
}

async function run(
  client: AdminClient,
  action: Exclude<BackupAction, { readonly what: 'create' }>,
  registry: RegistryArguments,
): Promise<Outcome> {
  switch (action.what) {
    case 'fetch': {
      const { id, out: file } = action
      const bytes = await fetchTo(client, { id, file, registry })
      return {
        json: { id, file, bytes },
        text: `${file} has the export ${id}: ${formatBytes(bytes)}`,
      }
    }
    case 'remove': {
      const { id } = action
      await client.ask({ method: 'DELETE', path: `exports/${id}` })
      return { json: { id }, text: `the export ${id} is removed` }
    }
    case 'list':
      return list(client)
    default:
      return action satisfies never
  }
}

/** How many bytes that were. */
async function fetchTo(
  client: AdminClient,
  {
    id,
    file,
    registry,
  }: { readonly id: string; readonly file: string; readonly registry: RegistryArguments },
): Promise<number> {
  const { parts } = await showingTransfer({ kind: 'fetch', title: file, registry }, (passed) =>
    takeExport(client, id, { file, passed }),
  )
  return parts.reduce((sum, { bytes }) => sum + bytes, 0)
}

async function list(client: AdminClient): Promise<Outcome> {
  const answer = await client.ask({ method: 'GET', path: 'exports' })
  const exports = answer.list('exports')
  const rows = exports.map((each) => [
    each.text('id'),
    formatTime(each.text('at')),
    each.isTrue('nightly') ? 'nightly' : 'ordered',
    formatBytes(each.number('bytes')),
    ...['repositories', 'tags', 'accounts'].map((key) => String(each.number(key))),
  ])
  const head = ['id', 'at', '', 'size', 'repositories', 'tags', 'accounts']
  const text = rows.length === 0 ? 'There are no exports.' : formatTable([head, ...rows])
  return { json: answer.json, text }
}
