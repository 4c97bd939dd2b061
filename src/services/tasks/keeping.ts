// Composition of exports and restorations: what they ask of ledgers and of the one object that keeps accounts.

import type { Config } from '../../config.ts'
import type { DumpPage, RestoreAnswer } from '../../hosted/inventory.ts'
import { ExportTask } from '../../jobs/export.ts'
import { Exports } from '../../jobs/exports.ts'
import { restoreAuthority } from '../../jobs/restore-authority.ts'
import { RestoreTask } from '../../jobs/restore.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import type { Seams } from '../../seams.ts'
import { inTime } from '../../storage/in-time.ts'
import { RepositoryMarkers } from '../../storage/repositories.ts'
import type { AccessServices } from '../access.ts'

/** A ledger has so long: it asks storage and other objects for hundreds of rows (milliseconds). */
const WITHIN = 120_000

/** What these tasks are made of. */
export interface KeepingGiven {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
  readonly access: AccessServices
}

/** The task that writes an export. */
export function exportTask({ env, seams, access }: KeepingGiven): ExportTask {
  return new ExportTask({
    exports: new Exports(env.BLOBS),
    markers: new RepositoryMarkers(env.BLOBS),
    dump: (name, after) => asked<DumpPage>(env.HOSTED_LEDGER.getByName(name).dump(name, after)),
    authority: () => asked(access.authority().dump()),
    now: seams.now,
  })
}

/** The task that restores one. */
export function restoreTask({ env, seams, config, access }: KeepingGiven): RestoreTask {
  const ledgerOf = (name: RepositoryName) => env.HOSTED_LEDGER.getByName(name)
  return new RestoreTask({
    exports: new Exports(env.BLOBS),
    restore: (name, rows, from) => asked<RestoreAnswer>(ledgerOf(name).restore(name, rows, from)),
    reclaim: (name, digests) => asked(ledgerOf(name).reclaim(name, digests)),
    endRestore: (name, from) => asked(ledgerOf(name).endRestore(name, from)),
    restoreAuthority: (dump, by) =>
      restoreAuthority(dump, config, (read) => asked(access.authority().restore(read, by))),
    now: seams.now,
  })
}

function asked<Value>(work: Promise<Value>): Promise<Value> {
  return inTime(work, WITHIN, 'an object does not answer')
}
