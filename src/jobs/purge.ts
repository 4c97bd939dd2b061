// Purges what is mirrored: rows, hints and bytes of manifests by their ledger, blobs that nobody else needs from R2, pins,
// and in the end what isolates have in memory. What is pulled meanwhile is asked of the upstream again.

import type { Now } from '../seams.ts'
import { scopeOf } from './purge-order.ts'
import type { PurgeTarget } from './purge-order.ts'
import { PurgeBook } from './purge-run.ts'
import type { PurgeRun, PurgeStage } from './purge-run.ts'
import { PURGE_WORK } from './purge-work.ts'
import type { PurgeGiven, PurgeTurn } from './purge-work.ts'
import type { Step, StepContext, Task } from './task.ts'

/** Operations of R2 and of objects in one step: a tenth of what the platform allows one invocation. */
const OPERATIONS = 100
/** A ledger that does not come further is left alone for so long (milliseconds). */
const REST = 5000
/** What fails once rows are gone is tried again after so long, for good (milliseconds). */
const TRY_AGAIN = 60_000
/** Where nothing is gone yet, and somebody may order it again. */
const BEFORE: ReadonlySet<PurgeStage> = new Set(['gather', 'unpin'])

/** What is to be purged. */
export interface PurgeState {
  readonly target: PurgeTarget
}

/** Purges an image, a repository or a host. */
export class Purge implements Task<PurgeState> {
  readonly #given: PurgeGiven & { readonly now: Now }

  constructor(given: PurgeGiven & { readonly now: Now }) {
    this.#given = given
  }

  async step(state: PurgeState, context: StepContext): Promise<Step<PurgeState>> {
    const book = new PurgeBook(context.sql)
    const turn: PurgeTurn = {
      target: state.target,
      book,
      context,
      operations: 0,
      waitsFor: undefined,
      failure: undefined,
    }
    let run = book.run()
    while (run.stage !== 'done' && turn.operations < OPERATIONS) {
      if (context.isCancelled() || this.#given.now() >= context.until) break
      if (turn.waitsFor !== undefined) break
      const commit = await this.#work(run.stage, run, turn)
      if (commit === undefined) break
      run = commit()
      book.note(run)
    }
    const { manifests, blobs, bytes } = run
    const progress = { done: manifests + blobs, total: undefined, unit: 'objects' }
    const result = { manifests, blobs, bytesRemoved: bytes }
    return { state, progress, result, next: this.#next(run, turn) }
  }

  async end({ target }: PurgeState, { sql, report }: StepContext): Promise<void> {
    const book = new PurgeBook(sql)
    const { stage } = book.run()
    if (BEFORE.has(stage)) return
    const scope = scopeOf(target)
    await this.#given.authority().purged(scope)
    // Another purge does not find them: the rows that named them are gone.
    const note = stage === 'blobs' ? 'blob' : 'blob, unless others need it'
    for (const digest of book.takeAll()) report({ subject: scope, digest, outcome: 'left', note })
  }

  /** A piece of work; `undefined`: it has failed, and it is too late for the purge to fail. */
  async #work(
    stage: Exclude<PurgeStage, 'done'>,
    run: PurgeRun,
    turn: PurgeTurn,
  ): Promise<(() => PurgeRun) | undefined> {
    try {
      return await PURGE_WORK[stage](run, turn, this.#given)
    } catch (error) {
      if (BEFORE.has(stage) || stage === 'forget') throw error
      turn.failure = error instanceof Error ? error.message : String(error)
      return undefined
    }
  }

  #next({ stage, names }: PurgeRun, { waitsFor, failure }: PurgeTurn): Step<PurgeState>['next'] {
    if (stage === 'done') return 'done'
    if (failure !== undefined) {
      const [name] = stage === 'check' ? names : []
      const why = name === undefined ? failure : `${name}: ${failure}`
      return { until: this.#given.now() + TRY_AGAIN, why }
    }
    if (waitsFor === undefined) return 'again'
    return {
      until: this.#given.now() + REST,
      why: `what ${waitsFor} stores could not be deleted yet`,
    }
  }
}
