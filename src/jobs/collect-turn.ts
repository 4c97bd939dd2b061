// What every turn of a collection works with, and how it goes through lists.

import type { Log, Now } from '../seams.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import type { CollectBook } from './collect-book.ts'
import { FIRST } from './collect-run.ts'
import type { CollectRun, CollectStage, CollectState, StorageFigures } from './collect-run.ts'
import type { IsPrivate, LedgerOf } from './mirrored.ts'
import type { StepContext } from './task.ts'

/** Objects of one page; repositories of one page. */
const PAGE = 1000
const NAMES = 100

/** What a collection is given. */
export interface CollectGiven {
  readonly bucket: R2Bucket
  readonly markers: Pick<RepositoryMarkers, 'list'>
  readonly ledgerOf: LedgerOf
  readonly isPrivate: IsPrivate
  /** Whether anybody can pull what is mirrored of a host. */
  readonly isConfigured: (host: string) => boolean
  /** Tells what was measured. */
  readonly measured: (figures: StorageFigures) => Promise<void>
  readonly now: Now
  readonly log: Log
}

/** One step, and how many operations it has taken. */
export interface Turn {
  readonly book: CollectBook
  readonly state: CollectState
  readonly context: StepContext
  operations: number
  /** Which ledger has failed, and why: it is asked again a little later. */
  waitsFor: string | undefined
}

/** Writes what a piece of work has found or done, without awaiting anything; how far the run is then. */
export type Commit = () => CollectRun

/** A piece of work. Whatever it writes before its commit must bear being done twice. */
export type Work = (run: CollectRun, turn: Turn, given: CollectGiven) => Promise<Commit>

/** A page of R2 after a key. It is empty only where nothing follows. */
export async function listPage(
  bucket: R2Bucket,
  { prefix, after }: { readonly prefix: string; readonly after: string | undefined },
  turn: Pick<Turn, 'operations'>,
): Promise<R2Objects> {
  let from: R2ListOptions = after === undefined ? {} : { startAfter: after }
  for (;;) {
    turn.operations += 1
    const page = await bucket.list({ prefix, limit: PAGE, ...from })
    // R2 may give none at all although more follow, and then only its cursor says from where.
    if (!page.truncated || page.objects.length > 0) return page
    from = { cursor: page.cursor }
  }
}

/** Where a run is after a page: at its last key, or at the beginning of the next stage. */
export function followed(
  { objects, truncated }: R2Objects,
  stage: CollectStage,
  next: CollectStage,
): Pick<CollectRun, 'stage' | 'after' | 'names' | 'within'> {
  const last = objects.at(-1)?.key
  return truncated && last !== undefined
    ? { ...FIRST, stage, after: last }
    : { ...FIRST, stage: next }
}

/** Reads the next repositories, or goes on to the next stage. */
export async function nextNames(
  run: CollectRun,
  { markers, turn, next }: Pick<CollectGiven, 'markers'> & { turn: Turn; next: CollectStage },
): Promise<Commit> {
  turn.operations += 1
  const page = await markers.list(['mirrored'], { after: run.after, limit: NAMES })
  const names = page.markers.map(({ canonical }) => canonical)
  const after = names.at(-1)
  return () =>
    after === undefined ? { ...run, ...FIRST, stage: next } : { ...run, ...FIRST, names, after }
}

/** Goes on to the next repository. */
export function nextName(run: CollectRun): CollectRun {
  return { ...run, names: run.names.slice(1), within: FIRST.within, failures: 0 }
}

/** Tells what is mirrored by now. */
export async function tell(
  { measured, log, now }: Pick<CollectGiven, 'measured' | 'log' | 'now'>,
  { hosts }: CollectRun,
  { context }: Turn,
): Promise<void> {
  try {
    await measured({ at: now(), hosts })
  } catch (error) {
    // Figures that come six hours later are no reason to keep what is to go.
    log('figures-not-told', { id: context.id, reason: String(error) })
  }
}
