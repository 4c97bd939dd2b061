// Composition of the jobs that remove what is mirrored: collections and purges.

import type { Config } from '../../config.ts'
import { parseCollect } from '../../jobs/collect-run.ts'
import { Collect } from '../../jobs/collect.ts'
import type { JobOrder } from '../../jobs/job.ts'
import type { IsPrivate, LedgerOf, MirroredLedger } from '../../jobs/mirrored.ts'
import { parsePurge } from '../../jobs/purge-order.ts'
import { Purge } from '../../jobs/purge.ts'
import type { Seams } from '../../seams.ts'
import { inTime } from '../../storage/in-time.ts'
import { canonicalName } from '../../storage/keys.ts'
import { RepositoryMarkers } from '../../storage/repositories.ts'
import type { AccessServices } from '../access.ts'
import type { MeterServices } from '../meter.ts'

/** A ledger has so long (milliseconds): it may have to read manifests of an older release first. */
const WITHIN = 30_000

/** What these jobs are made of. */
export interface RemovalGiven {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
  readonly access: AccessServices
  readonly meter: MeterServices
}

/** Reads an order. @throws {OrderError} */
export function readCollect(
  members: Readonly<Record<string, unknown>>,
  { config }: Pick<RemovalGiven, 'config'>,
): JobOrder {
  return parseCollect(members, config.storage)
}

/** The task that carries it out. */
export function collectTask({ env, seams, config, meter }: RemovalGiven): Collect {
  return new Collect({
    bucket: env.BLOBS,
    markers: new RepositoryMarkers(env.BLOBS),
    ledgerOf: ledgersOf(env),
    isPrivate: privacyOf(config),
    isConfigured: (host) => config.upstreams.has(host),
    measured: (figures) => meter.measured(figures),
    ...seams,
  })
}

/** Reads an order. @throws {OrderError} */
export function readPurge(
  members: Readonly<Record<string, unknown>>,
  { config }: Pick<RemovalGiven, 'config'>,
): JobOrder {
  return parsePurge(members, config)
}

/** The task that carries it out. */
export function purgeTask({ env, seams, config, access }: RemovalGiven): Purge {
  return new Purge({
    bucket: env.BLOBS,
    markers: new RepositoryMarkers(env.BLOBS),
    ledgerOf: ledgersOf(env),
    isPrivate: privacyOf(config),
    authority: () => access.authority(),
    ...seams,
  })
}

function privacyOf({ upstreams }: Config): IsPrivate {
  return ({ host, repository }) => upstreams.get(host)?.isPrivate(repository)
}

function ledgersOf(env: Env): LedgerOf {
  return (name): MirroredLedger => {
    const canonical = canonicalName(name)
    const stub = env.MIRROR_LEDGER.getByName(canonical)
    const ask = async <Value>(answer: Promise<Value>): Promise<Value> => {
      try {
        return await inTime(answer, WITHIN, 'no answer')
      } catch (cause) {
        // Whoever reads why a job failed wants to know at which repository.
        throw new Error(`the ledger of ${canonical}: ${String(cause)}`, { cause })
      }
    }
    return {
      images: (after, limit) => ask(stub.images(name, after, limit)),
      blobReads: (after, limit) => ask(stub.blobReads(name, after, limit)),
      forget: (order) => ask(stub.forget(name, order)),
      forgetAll: () => ask(stub.forgetAll(name)),
      named: (digests) => ask(stub.named(name, digests)),
      pin: (reference, isPinned) => ask(stub.pin(name, reference, isPinned)),
    }
  }
}
