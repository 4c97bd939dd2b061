// Keeps what is mirrored in its size: measures it, and where there is too much removes what was not read for longest,
// image by image, until there is no more than the low-water mark. `docs/size.md` says what goes when.

import { CollectBook } from './collect-book.ts'
import { addSizes, noteImages, noteObjects, removeFills } from './collect-look.ts'
import { check, choose, remove } from './collect-removal.ts'
import { beginRun, progressOf, resultOf } from './collect-run.ts'
import type { CollectStage, CollectState } from './collect-run.ts'
import type { CollectGiven, Turn, Work } from './collect-turn.ts'
import type { Step, StepContext, Task } from './task.ts'

/** Operations of R2 and of objects in one step: a tenth of what the platform allows one invocation. */
const OPERATIONS = 100
/** A ledger that has failed is left alone for so long (milliseconds). */
const REST = 10_000

const WORK: Readonly<Record<Exclude<CollectStage, 'done'>, Work>> = {
  fills: removeFills,
  sizes: addSizes,
  objects: noteObjects,
  images: noteImages,
  choose,
  check,
  remove,
}

/** Measures and thins out what is mirrored. */
export class Collect implements Task<CollectState> {
  readonly #given: CollectGiven

  constructor(given: CollectGiven) {
    this.#given = given
  }

  async step(state: CollectState, context: StepContext): Promise<Step<CollectState>> {
    const { now } = this.#given
    const book = new CollectBook(context.sql)
    const turn: Turn = { book, state, context, operations: 0, waitsFor: undefined }
    let run = book.run() ?? beginRun(now())
    while (run.stage !== 'done' && turn.operations < OPERATIONS && now() < context.until) {
      if (context.isCancelled() || turn.waitsFor !== undefined) break
      const commit = await WORK[run.stage](run, turn, this.#given)
      // Both in one moment: nothing is counted twice or left out, whenever this object dies.
      run = commit()
      book.note(run)
    }
    const isDone = run.stage === 'done'
    if (isDone) book.close()
    const progress = progressOf(run, state.target)
    const result = resultOf(run, state.isDryRun)
    return { state, progress, next: isDone ? 'done' : this.#next(turn), result }
  }

  #next({ waitsFor }: Turn): Step<CollectState>['next'] {
    return waitsFor === undefined ? 'again' : { until: this.#given.now() + REST, why: waitsFor }
  }

  async end(_: CollectState, { sql }: StepContext): Promise<void> {
    new CollectBook(sql).close()
  }
}
