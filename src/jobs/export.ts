// Writes down in R2 what only objects know: the ledgers of all hosted repositories, accounts, pins and switches. The
// bytes themselves are in R2 already. An export is there when it is whole, and not before.

import type { AuthorityDump } from '../auth/keeping.ts'
import type { DumpPage } from '../hosted/inventory.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Now } from '../seams.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import { PART_SIZE, formatLine, indexOf, sha256 } from './export-file.ts'
import type { ExportCounts, ExportLine, ExportPart } from './export-file.ts'
import type { Exports, ExportSummary } from './exports.ts'
import { OrderError } from './job.ts'
import type { JobOrder, JobProgress } from './job.ts'
import type { Step, StepContext, Task } from './task.ts'

/** Ledgers that one step asks, which keeps it far below what the platform allows. */
const MAX_PAGES = 200
/** Markers that are read at once. */
const MARKERS = 100
/** A ledger that cannot be read so often is left out; between two attempts there is this (milliseconds). */
const MAX_ATTEMPTS = 3
const RETRY = 60_000

/** Nightly exports that stay, and that stay while the newest have less in them than those before. */
const KEEP_NIGHTLY = { count: 14, isByDay: true }
const KEEP_POORER = { count: 100, isByDay: false }

/** How far an export is. */
export interface ExportState {
  /** Empty until the first step. */
  readonly id: string
  readonly isNightly: boolean
  readonly at: number
  /** The last repository that is whole in the parts, and where the next one goes on. */
  readonly after: string | undefined
  readonly cursor: string | undefined
  /** How often the ledger that is next could not be read; why, where that was a moment ago. */
  readonly attempts?: number
  readonly trouble?: string | undefined
  readonly stage: 'authority' | 'ledgers' | 'index'
  readonly parts: readonly ExportPart[]
  readonly counts: ExportCounts
}

/** What an export is given. */
export interface ExportGiven {
  readonly exports: Pick<Exports, 'putPart' | 'putIndex' | 'delete' | 'list' | 'prune'>
  readonly markers: Pick<RepositoryMarkers, 'list'>
  readonly dump: (name: RepositoryName, after: string | undefined) => Promise<DumpPage>
  readonly authority: () => Promise<AuthorityDump>
  readonly now: Now
}

const NOTHING: ExportCounts = {
  repositories: 0,
  tags: 0,
  manifests: 0,
  blobs: 0,
  accounts: 0,
  pins: 0,
  empty: 0,
}

/** A part that is being made. */
interface OpenPart {
  readonly lines: string[]
  /** Characters. */
  size: number
  /** Of ledgers. */
  pages: number
}

/** What pages of a ledger are read into. */
interface Making extends Pick<StepContext, 'report'> {
  readonly part: OpenPart
  readonly isFull: () => boolean
}

/** Reads an order: at most that the export is one of the nightly ones, as the clock says. @throws {OrderError} */
export function parseExport(members: Readonly<Record<string, unknown>>): JobOrder {
  const { nightly = false, ...others } = members
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new OrderError(unknown, 'expected { kind, nightly }')
  if (typeof nightly !== 'boolean') throw new OrderError('nightly', 'expected true or false')
  return exportOrder(nightly)
}

/** The order of an administrator, or of the clock. */
export function exportOrder(isNightly: boolean): JobOrder {
  const state: ExportState = {
    id: '',
    isNightly,
    at: 0,
    after: undefined,
    cursor: undefined,
    stage: 'authority',
    parts: [],
    counts: NOTHING,
  }
  return { kind: 'export', title: isNightly ? 'nightly export' : 'export', state }
}

/** Writes exports. */
export class ExportTask implements Task<ExportState> {
  readonly #given: ExportGiven

  constructor(given: ExportGiven) {
    this.#given = given
  }

  async step(state: ExportState, context: StepContext): Promise<Step<ExportState>> {
    if (state.id === '') {
      const at = this.#given.now()
      return going({ ...state, id: idOf(at, context.id), at })
    }
    if (state.stage === 'authority') return going(await this.#authority(state))
    if (state.stage === 'ledgers') {
      const { trouble, ...after } = await this.#ledgers(state, context)
      const step = going(after)
      if (trouble === undefined) return step
      return { ...step, next: { until: this.#given.now() + RETRY, why: trouble } }
    }
    return this.#finish(state, context)
  }

  /** What there is of an export that was given up goes. */
  async end({ id }: ExportState): Promise<void> {
    if (id !== '') await this.#given.exports.delete(id)
  }

  async #authority(state: ExportState): Promise<ExportState> {
    const { accounts, pins, switches } = await this.#given.authority()
    const lines: ExportLine[] = [
      ...accounts.map((account) => ({ kind: 'account' as const, account })),
      ...pins.map((pin) => ({ kind: 'pin' as const, pin })),
      ...(switches === undefined ? [] : [{ kind: 'switches' as const, switches }]),
    ]
    const counts = { ...state.counts, accounts: accounts.length, pins: pins.length }
    return this.#write({ ...state, counts, stage: 'ledgers' }, lines.map(formatLine))
  }

  /** One part: pages of ledgers until it is large enough, or the step is over. */
  async #ledgers(before: ExportState, context: StepContext): Promise<ExportState> {
    const { markers: listed, now } = this.#given
    const part: OpenPart = { lines: [], size: 0, pages: 0 }
    const isFull = (): boolean =>
      part.size >= PART_SIZE ||
      part.pages >= MAX_PAGES ||
      now() >= context.until ||
      context.isCancelled()
    let state = before
    for (;;) {
      const { markers, isEnd } = await listed.list(['hosted'], {
        after: state.after,
        limit: MARKERS,
      })
      for (const { canonical } of markers) {
        const name = parseRepositoryName(canonical)
        // A marker that nobody here has written is none of a ledger.
        if (name !== undefined) {
          const { report } = context
          state = await this.#repository(name, state, { part, isFull, report })
        }
        if (isFull() || state.trouble !== undefined) return this.#write(state, part.lines)
        state = { ...state, after: canonical }
      }
      if (isEnd) return this.#write({ ...state, stage: 'index' }, part.lines)
    }
  }

  /** Pages of one ledger, at least one. With a cursor left it is not all of them. */
  async #repository(
    name: RepositoryName,
    before: ExportState,
    { part, isFull, report }: Making,
  ): Promise<ExportState> {
    let state = before
    for (let isFirst = true; ; isFirst = false) {
      part.pages += 1
      const page = await this.#page(name, state)
      if ('why' in page) return unread(name, state, { why: page.why, report })
      if (isFirst && page.rows.length > 0) part.lines.push(formatLine({ kind: 'repository', name }))
      const lines = page.rows.map(formatLine)
      for (const line of lines) part.lines.push(line)
      part.size += lines.reduce((sum, { length }) => sum + length, 0)
      const counts = added(state.counts, page, state.cursor === undefined)
      state = { ...state, cursor: page.next, counts, attempts: 0 }
      if (page.next === undefined) return { ...state, after: name }
      if (isFull()) return state
    }
  }

  async #page(
    name: RepositoryName,
    { cursor }: ExportState,
  ): Promise<DumpPage | { readonly why: string }> {
    try {
      return await this.#given.dump(name, cursor)
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) }
    }
  }

  async #finish(state: ExportState, { report }: StepContext): Promise<Step<ExportState>> {
    const { exports, now } = this.#given
    const { id, at, isNightly, parts, counts } = state
    const before = isNightly ? await exports.list() : []
    await exports.putIndex(indexOf({ id, at, isNightly, counts, parts }))
    if (isNightly) {
      const keep = isPoorer(counts, before) ? KEEP_POORER : KEEP_NIGHTLY
      const removed = await exports.prune(now(), keep)
      for (const gone of removed) report({ subject: gone, outcome: 'removed' })
    }
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
    const { empty, ...result } = counts
    return {
      state,
      progress: progressOf(state, counts.repositories),
      next: 'done',
      result: { export: id, bytes, ...result, ...(empty > 0 && { empty }) },
    }
  }

  /** A part of these lines, written before the state knows of it; of none there is no part. */
  async #write(state: ExportState, lines: readonly string[]): Promise<ExportState> {
    if (lines.length === 0) return state
    const bytes = new TextEncoder().encode(lines.join(''))
    await this.#given.exports.putPart(state.id, state.parts.length, bytes)
    const part: ExportPart = {
      sha256: await sha256(bytes),
      bytes: bytes.byteLength,
      lines: lines.length,
    }
    return { ...state, parts: [...state.parts, part] }
  }
}

/** A ledger could not be read: it is tried again, and in the end left out, so that it keeps no other from being exported. */
function unread(
  name: RepositoryName,
  state: ExportState,
  { why, report }: Pick<StepContext, 'report'> & { readonly why: string },
): ExportState {
  const attempts = (state.attempts ?? 0) + 1
  if (attempts < MAX_ATTEMPTS) return { ...state, attempts, trouble: why }
  report({ subject: name, outcome: 'failed', note: why })
  const counts = { ...state.counts, failed: (state.counts.failed ?? 0) + 1 }
  return { ...state, attempts: 0, cursor: undefined, after: name, counts }
}

/**
 * Whether this export has lost what one before had: ledgers that know nothing although they are listed or that cannot be
 * read, most manifests, or every account. Should objects have lost their state, the exports from before must not go with
 * the nights.
 */
function isPoorer(counts: ExportCounts, before: readonly ExportSummary[]): boolean {
  return before.some(
    ({ isNightly, counts: { empty, failed = 0, accounts, manifests } }) =>
      isNightly &&
      (counts.empty > empty ||
        (counts.failed ?? 0) > failed ||
        counts.manifests < manifests / 2 ||
        (counts.accounts === 0 && accounts > 0)),
  )
}

function added(counts: ExportCounts, { rows, next }: DumpPage, isNew: boolean): ExportCounts {
  const of = (kind: string): number => rows.filter((row) => row.kind === kind).length
  const isEmpty = isNew && rows.length === 0 && next === undefined
  return {
    ...counts,
    repositories: counts.repositories + (isNew && !isEmpty ? 1 : 0),
    tags: counts.tags + of('tag'),
    manifests: counts.manifests + of('manifest'),
    blobs: counts.blobs + of('blob'),
    empty: counts.empty + (isEmpty ? 1 : 0),
  }
}

function going(state: ExportState): Step<ExportState> {
  return { state, progress: progressOf(state, undefined), next: 'again' }
}

function progressOf({ counts }: ExportState, total: number | undefined): JobProgress {
  return { done: counts.repositories, total, unit: 'repositories' }
}

/** In the order of time, and the job's own: `20261123-024853-1a2b3c4d`. */
function idOf(at: number, job: string): string {
  const [date = '', time = ''] = new Date(at)
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[-:]/g, '')
    .split('T')
  return `${date}-${time}-${job.slice(-8)}`
}
