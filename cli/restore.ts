// `entrepot restore`: an export comes back, from the bucket or from a file.

import { stat } from 'node:fs/promises'

import { isExportID } from '../src/jobs/export-file.ts'
import { AdminClient } from './admin-client.ts'
import { bringExport } from './export-transfer.ts'
import { Failure } from './failure.ts'
import { runOrder } from './job-run.ts'
import type { RestoreArguments } from './restore-arguments.ts'
import { showingTransfer } from './transfer-progress.ts'

/**
 * Brings the file where it is one, orders the job and follows it.
 * @throws {ArgumentError | Failure}
 */
export async function runRestore({
  source,
  isDetached,
  ...registry
}: RestoreArguments): Promise<number> {
  const isSent = await isFile(source)
  if (!isSent && !isExportID(source)) {
    throw new Failure(`${source} is neither a file nor the id of an export`)
  }
  const id = isSent ? await bring(source, registry) : source
  return runOrder({ ...registry, order: { kind: 'restore', export: id }, isDetached })
}

async function bring(
  file: string,
  registry: Omit<RestoreArguments, 'source' | 'isDetached'>,
): Promise<string> {
  const client = await AdminClient.of(registry)
  return showingTransfer({ kind: 'bring', title: file, registry }, (passed) =>
    bringExport(client, file, passed),
  )
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
