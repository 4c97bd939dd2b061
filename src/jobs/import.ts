// The job that brings images in: from configured upstreams, through their mirror, or from any other registry. First
// the images are found, then copied, a few at a time; every one has a line in the report.

import { formatReference } from '../oci/reference.ts'
import type { Tag } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Hosted } from '../registry/repository.ts'
import type { Now } from '../seams.ts'
import { BlobCopier } from './import-blob.ts'
import { permanent, waitOf } from './import-failure.ts'
import { ImageCopier } from './import-image.ts'
import type { ImageEnd } from './import-image.ts'
import type { ImportOrder, ImportState } from './import-order.ts'
import { Halt, Pace, StepOver, settleAll } from './import-pace.ts'
import { ImportRecords } from './import-records.ts'
import type { ImportImage } from './import-records.ts'
import type { RemoteRegistry } from './import-remote.ts'
import { SourceError } from './import-source.ts'
import type { ImportSource } from './import-source.ts'
import { ImportWalk } from './import-walk.ts'
import { JobFailure } from './job.ts'
import type { ReportItem } from './job.ts'
import type { Step, StepContext, Task } from './task.ts'

const UNIT = 'images'
/** Images that are under way at once. */
const WIDTH = 3
/** An image that could not go on is tried again after this, after twice this and so on (milliseconds) … */
const RETRY = 5000
/** … and so often, if nothing of it was done in between. */
const MAX_TRIES = 6
/** How often progress is shown in the middle of a step (milliseconds). */
const SHOWN = 2000

/** What the task is given. */
export interface ImportGiven {
  readonly hosted: (repository: RepositoryName) => Hosted
  readonly hostedName: (name: string) => RepositoryName | undefined
  readonly isFixed: (repository: RepositoryName, tag: Tag) => boolean
  /** A repository of a configured upstream, as the mirror has it. */
  readonly mirrored: (host: string, repository: RepositoryName) => ImportSource
  readonly remote: (order: ImportOrder & { readonly form: 'registry' }) => RemoteRegistry
  /** Whether a registry may be asked for anything now. */
  readonly mayAsk: (host: string) => Promise<boolean>
  readonly isReadOnly: () => Promise<boolean>
  readonly now: Now
}

/** One step. */
interface Running {
  readonly order: ImportOrder
  readonly context: StepContext
  readonly records: ImportRecords
  readonly pace: Pace
  readonly blobs: BlobCopier
  readonly registry: RemoteRegistry | undefined
}

/** Carries an import out. */
export class ImportTask implements Task<ImportState> {
  readonly #given: ImportGiven

  constructor(given: ImportGiven) {
    this.#given = given
  }

  /** @throws {JobFailure} when nothing at all could be imported. */
  async step(before: ImportState, context: StepContext): Promise<Step<ImportState>> {
    if (before.isVain) throw new JobFailure('nothing could be imported: the report says why')
    const running = this.#begin(before.order, context)
    const { records } = running
    let state = before
    let halt: Halt | undefined
    try {
      state = await this.#find(before, running)
      await this.#copyAll(running)
    } catch (error) {
      halt = this.#haltOf(error)
    }
    const isFound = state.catalog === 'done' && records.unlisted() === undefined
    const { total, ended, copied, present, failed, bytes } = records.counts()
    const isOver = isFound && ended === total
    const isVain = isOver && failed > 0 && copied + present === 0
    const goOn = isVain ? 'again' : this.#nextOf(halt, running)
    const next = isOver && !isVain ? 'done' : goOn
    return {
      state: { ...state, isVain },
      progress: { done: ended, total: isFound ? total : undefined, unit: UNIT },
      result: { copied, present, failed, bytes },
      next,
    }
  }

  /** Cancels the uploads that are open. */
  async end(_: ImportState, { sql }: StepContext): Promise<void> {
    const records = new ImportRecords(sql)
    for (const { target, digest, session } of records.sessions()) {
      await this.#given.hosted(target).upload(session).cancel()
      records.setSession(target, digest, undefined)
    }
  }

  #begin(order: ImportOrder, context: StepContext): Running {
    const { hosted, isReadOnly, now, remote } = this.#given
    const records = new ImportRecords(context.sql)
    const { until, isCancelled } = context
    const pace = new Pace({ until, isCancelled, isReadOnly, now })
    const blobs = new BlobCopier({ hosted, records, pace, now })
    const registry = order.form === 'registry' ? remote(order) : undefined
    return { order, context, records, pace, blobs, registry }
  }

  /** Finds what is to be copied: written in the order, or by a walk through the registry. */
  async #find(before: ImportState, running: Running): Promise<ImportState> {
    const { order, records, pace, registry } = running
    if (order.form === 'images' || registry === undefined) {
      if (order.form === 'images' && before.catalog === 'new') {
        for (const image of order.images) records.addImage(image)
      }
      return { ...before, catalog: 'done' }
    }
    await this.#ask(registry.host)
    const walk = new ImportWalk({
      ...order,
      hasLogin: order.credential !== undefined,
      registry,
      records,
      pace,
      hostedName: this.#given.hostedName,
      failed: (subject, why) => this.#failed(running, { subject, note: why }),
      empty: (subject) => running.context.report({ subject, outcome: 'skipped', note: 'no tags' }),
    })
    if (before.catalog !== 'done') return { ...before, catalog: await walk.names(before.catalog) }
    for (let next = records.unlisted(); next !== undefined; next = records.unlisted()) {
      await walk.tags(next)
    }
    return before
  }

  /** Copies images until none is left that can be asked for now. @throws {StepOver | Halt} */
  async #copyAll(running: Running): Promise<void> {
    const { records, context } = running
    let shownAt = this.#given.now()
    const taken = new Set<number>()
    const worker = async (): Promise<void> => {
      for (;;) {
        const next = records
          .unfinished(this.#given.now(), WIDTH + 1)
          .find(({ number }) => !taken.has(number))
        if (next === undefined) return
        taken.add(next.number)
        await this.#copy(next, running)
        taken.delete(next.number)
        if (this.#given.now() < shownAt + SHOWN) continue
        shownAt = this.#given.now()
        const { ended, total } = records.counts()
        context.show({ done: ended, total, unit: UNIT })
      }
    }
    await settleAll(Array.from({ length: WIDTH }, worker))
  }

  async #copy(image: ImportImage, running: Running): Promise<void> {
    const { records } = running
    try {
      await this.#ask(image.host)
      this.#ended(image, await this.#copier(image, running).copy(), running)
    } catch (error) {
      const why = permanent(error) ?? this.#hold(error, image, running)
      if (why === undefined) return
      records.finish(image.number, 'failed')
      this.#report(running, image, { outcome: 'failed', note: why })
    }
  }

  #copier(image: ImportImage, running: Running): ImageCopier {
    const { hosted, isFixed, mirrored } = this.#given
    const { order, registry, records, pace, blobs } = running
    const { number, host, source, target } = image
    const given = {
      source: registry?.repository(source) ?? mirrored(host, source),
      target: hosted(target),
      isFixed,
      hasAllTags: registry !== undefined,
      platforms: order.platforms,
      blobs,
      records,
      pace,
      failed: (digest: string, why: string) =>
        this.#failed(running, { subject: `${target}@${digest}`, digest, note: why }),
    }
    return new ImageCopier(given, records.image(number) ?? image)
  }

  #ended(image: ImportImage, end: ImageEnd, running: Running): void {
    const { outcome, digest, bytes, referrers } = end
    running.records.finish(image.number, outcome)
    const note = referrers === 0 ? {} : { note: `with ${referrers} that refer to it` }
    this.#report(running, image, { outcome, digest, bytes, ...note })
  }

  #report(running: Running, image: ImportImage, line: Omit<ReportItem, 'subject'>): void {
    const { target, tag, reference } = image
    const subject =
      tag === undefined ? `${target}@${formatReference(reference)}` : `${target}:${tag}`
    running.context.report({ subject, ...line })
  }

  /** One line for each, however often a step is repeated. */
  #failed({ records, context }: Running, line: Omit<ReportItem, 'outcome'>): void {
    if (records.addFault(line.subject)) context.report({ ...line, outcome: 'failed' })
  }

  /** @throws {SourceError} while an administrator has switched off that a registry is asked. */
  async #ask(host: string): Promise<void> {
    if (!(await this.#given.mayAsk(host))) throw new SourceError({ kind: 'closed-here' })
  }

  /**
   * Leaves whoever failed alone for a while. Why an image is given up, where it has failed too often.
   * @throws {StepOver | Halt} where nothing else could go on either.
   */
  #hold(error: unknown, image: ImportImage, { records }: Running): string | undefined {
    if (error instanceof StepOver || error instanceof Halt) throw error
    const { now } = this.#given
    const wait = error instanceof SourceError ? waitOf(error) : undefined
    if (wait !== undefined) {
      records.hold(image.host, now() + wait.milliseconds, wait.why)
      return undefined
    }
    const why = error instanceof Error ? error.message : String(error)
    const tries = records.tried(image.number)
    if (tries >= MAX_TRIES) return why
    const until = now() + RETRY * 2 ** (tries - 1)
    // What fails here fails for every image, whoever is asked for it.
    if (!(error instanceof SourceError)) throw new Halt(until, why)
    records.hold(image.host, until, why)
    return undefined
  }

  /** What stopped a step; `undefined`: its time is over. What else it is, the run tries again. */
  #haltOf(error: unknown): Halt | undefined {
    if (error instanceof StepOver) return undefined
    if (error instanceof Halt) return error
    const wait = error instanceof SourceError ? waitOf(error) : undefined
    if (wait === undefined) throw error
    return new Halt(this.#given.now() + wait.milliseconds, wait.why)
  }

  #nextOf(halt: Halt | undefined, { records }: Running): Step<ImportState>['next'] {
    if (halt !== undefined) return { until: halt.until, why: halt.message }
    const now = this.#given.now()
    const isBlocked = records.unlisted() === undefined && records.unfinished(now, 1).length === 0
    return (isBlocked ? records.firstHold(now) : undefined) ?? 'again'
  }
}
