// Brings back from an export what objects have lost: hosted repositories that have nothing, accounts whose names are
// free, pins and switches. The bytes are in R2 still; a row whose bytes are not there stays out, and the report says so.
// What clients push meanwhile stands. Every part is verified before the first row comes back.

import type { AuthorityDump, AuthorityRestored } from '../auth/keeping.ts'
import type { DumpRow, MissingContent, RestoreAnswer } from '../hosted/inventory.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Now } from '../seams.ts'
import { ExportError, isExportID, parseLines } from './export-file.ts'
import type { ExportIndex, ExportLine } from './export-file.ts'
import type { Exports } from './exports.ts'
import { JobFailure, OrderError } from './job.ts'
import type { JobOrder, JobResult } from './job.ts'
import { RestoreBook } from './restore-book.ts'
import type { Step, StepContext, Task } from './task.ts'

/** Rows that a ledger is given at once, and that one step gives to ledgers: each is a few operations. */
const MAX_ROWS = 200
const MAX_STEP_ROWS = 2000

/** What has come back so far. */
interface RestoreCounts {
  readonly repositories: number
  /** Repositories that had content of their own. */
  readonly kept: number
  readonly tags: number
  readonly manifests: number
  readonly blobs: number
  readonly accounts: number
  readonly pins: number
  /** What the export names and storage does not have. */
  readonly missing: number
}

/** How far a restoration is. */
export interface RestoreState {
  readonly export: string
  readonly stage: 'verify' | 'rows' | 'again' | 'end'
  readonly part: number
  /** Of the part, the first line that is still to be read; and the repository that it belongs to. */
  readonly line: number
  readonly repository: RepositoryName | undefined
  /** Whether its ledger has content of its own. */
  readonly isKept: boolean
  readonly counts: RestoreCounts
}

/** Rows of one repository. */
interface RepositoryRows {
  readonly name: RepositoryName
  readonly rows: readonly DumpRow[]
}

/** What a restoration is given. */
export interface RestoreGiven {
  readonly exports: Pick<Exports, 'index' | 'part'>
  /** Gives a ledger rows of the export `from`. */
  readonly restore: (
    name: RepositoryName,
    rows: readonly DumpRow[],
    from: string,
  ) => Promise<RestoreAnswer>
  /** Lets a ledger that is left alone claim these blobs once more. */
  readonly reclaim: (name: RepositoryName, digests: readonly Digest[]) => Promise<void>
  readonly endRestore: (name: RepositoryName, from: string) => Promise<void>
  readonly restoreAuthority: (dump: AuthorityDump, by: string) => Promise<AuthorityRestored>
  readonly now: Now
}

const NOTHING: RestoreCounts = {
  repositories: 0,
  kept: 0,
  tags: 0,
  manifests: 0,
  blobs: 0,
  accounts: 0,
  pins: 0,
  missing: 0,
}

const COUNTED = { blob: 'blobs', manifest: 'manifests', tag: 'tags' } as const

/** Reads an order. @throws {OrderError} */
export function parseRestore(members: Readonly<Record<string, unknown>>): JobOrder {
  const { export: id, ...others } = members
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new OrderError(unknown, 'expected { kind, export }')
  if (typeof id !== 'string' || !isExportID(id)) {
    throw new OrderError('export', 'expected the id of an export', id === undefined)
  }
  const state: RestoreState = {
    export: id,
    stage: 'verify',
    part: 0,
    line: 0,
    repository: undefined,
    isKept: false,
    counts: NOTHING,
  }
  return { kind: 'restore', title: id, state }
}

/** Restores an export. */
export class RestoreTask implements Task<RestoreState> {
  readonly #given: RestoreGiven

  constructor(given: RestoreGiven) {
    this.#given = given
  }

  async step(state: RestoreState, context: StepContext): Promise<Step<RestoreState>> {
    try {
      const index = await this.#given.exports.index(state.export)
      if (index === undefined) throw new ExportError(`there is no export ${state.export}`)
      return stepOf(await this.#step(state, index, context), index)
    } catch (error) {
      // It will not get better by being read again.
      if (error instanceof ExportError) throw new JobFailure(error.message)
      throw error
    }
  }

  async #step(
    state: RestoreState,
    index: ExportIndex,
    context: StepContext,
  ): Promise<RestoreState> {
    switch (state.stage) {
      case 'verify':
        return this.#verify(state, index, context)
      case 'rows':
        return this.#rows(state, index, context)
      case 'again':
        return this.#again(state, context)
      case 'end':
        return state
    }
  }

  /** Reads every part once: nothing is restored from an export that is not whole. */
  async #verify(
    state: RestoreState,
    index: ExportIndex,
    { until }: StepContext,
  ): Promise<RestoreState> {
    const { exports, now } = this.#given
    for (let { part } = state; ; part++) {
      if (part >= index.parts.length) return { ...state, stage: 'rows', part: 0 }
      if (part > state.part && now() >= until) return { ...state, part }
      parseLines(await exports.part(index, part))
    }
  }

  async #rows(
    before: RestoreState,
    index: ExportIndex,
    context: StepContext,
  ): Promise<RestoreState> {
    if (before.part >= index.parts.length) return { ...before, stage: 'again' }
    const lines = parseLines(await this.#given.exports.part(index, before.part))
    const isOver = (): boolean => this.#given.now() >= context.until || context.isCancelled()
    let state = before
    for (let rows = 0; state.line < lines.length;) {
      if (rows >= MAX_STEP_ROWS || isOver()) return state
      const taken = takeLines(lines, state.line)
      rows += taken.length
      state = await this.#take(state, taken, context)
      state = { ...state, line: state.line + taken.length }
    }
    return { ...state, part: state.part + 1, line: 0, repository: undefined }
  }

  /** Lines of one sort: the name of a repository, rows of it, or what is no repository's. */
  async #take(
    state: RestoreState,
    lines: readonly ExportLine[],
    context: StepContext,
  ): Promise<RestoreState> {
    const [first] = lines
    if (first?.kind === 'repository') {
      // A repository that goes on in the next part is kept there too.
      const book = new RestoreBook(context.sql)
      return { ...state, repository: first.name, isKept: book.isKept(first.name) }
    }
    const rows = lines.filter(isRow)
    if (rows.length === 0) return this.#authority(state, lines, context)
    const { repository } = state
    if (repository === undefined) throw new ExportError('this export has rows of no repository')
    const of = { name: repository, rows }
    return state.isKept ? this.#reclaim(state, of) : this.#repository(state, of, context)
  }

  async #repository(
    state: RestoreState,
    { name, rows }: RepositoryRows,
    { sql, report }: StepContext,
  ): Promise<RestoreState> {
    const book = new RestoreBook(sql)
    const answer = await this.#given.restore(name, rows, state.export)
    if (!answer.ok) {
      if (book.keep(name)) {
        report({ subject: name, outcome: 'kept', note: 'it has content of its own' })
      }
      const kept = { ...state, counts: { ...state.counts, kept: book.count('kept') } }
      return this.#reclaim({ ...kept, isKept: true }, { name, rows })
    }
    book.begin(name)
    // Another repository may bring the bytes of a blob: those are tried again in the end.
    const blobs = answer.missing.filter(({ kind }) => kind === 'blob')
    for (const { digest } of blobs) {
      const row = rows.find((each) => each.kind === 'blob' && each.digest === digest)
      if (row !== undefined) book.miss(name, row)
    }
    const others = answer.missing.filter(({ kind }) => kind !== 'blob')
    for (const each of others) report(missing(name, each))
    const counts = counted(state.counts, rows, answer.missing)
    return { ...state, counts: { ...counts, missing: counts.missing + others.length } }
  }

  /** What a repository has that is left alone is not to go with the claims that were lost. */
  async #reclaim(state: RestoreState, { name, rows }: RepositoryRows): Promise<RestoreState> {
    const blobs = rows.flatMap((row) => (row.kind === 'blob' ? [row.digest] : []))
    if (blobs.length > 0) await this.#given.reclaim(name, blobs)
    return state
  }

  async #authority(
    state: RestoreState,
    lines: readonly ExportLine[],
    { by, report }: StepContext,
  ): Promise<RestoreState> {
    const of = <Kind extends ExportLine['kind']>(kind: Kind) =>
      lines.filter((line): line is Extract<ExportLine, { kind: Kind }> => line.kind === kind)
    const dump = {
      accounts: of('account').map(({ account }) => account),
      pins: of('pin').map(({ pin }) => pin),
      switches: of('switches')[0]?.switches,
    }
    const restored = await this.#given.restoreAuthority(dump, by)
    for (const name of restored.accounts)
      report({ subject: `account ${name}`, outcome: 'restored' })
    for (const { subject, why } of restored.kept) report({ subject, outcome: 'kept', note: why })
    for (const { subject, why } of restored.failed) {
      report({ subject, outcome: 'failed', note: why })
    }
    if (restored.switches) report({ subject: 'switches', outcome: 'restored' })
    const { counts } = state
    const accounts = counts.accounts + restored.accounts.length
    return { ...state, counts: { ...counts, accounts, pins: counts.pins + restored.pins } }
  }

  /** Blobs that were missing, once more, and then the end for each repository. */
  async #again(before: RestoreState, context: StepContext): Promise<RestoreState> {
    const book = new RestoreBook(context.sql)
    let state = before
    for (const name of book.begun()) {
      if (this.#given.now() >= context.until || context.isCancelled()) return state
      for (let after = ''; ;) {
        const rows = book.missed(name, after, MAX_ROWS)
        if (rows.length === 0) break
        const answer = await this.#given.restore(name, rows, state.export)
        const still = answer.ok ? answer.missing : []
        for (const each of still) context.report(missing(name, each))
        const counts = counted(state.counts, rows, still)
        state = { ...state, counts: { ...counts, missing: counts.missing + still.length } }
        after = rows.at(-1)?.digest ?? ''
      }
      await this.#given.endRestore(name, state.export)
      book.end(name)
      context.report({ subject: name, outcome: 'restored' })
      const { counts } = state
      state = { ...state, counts: { ...counts, repositories: book.count('restored') } }
    }
    return { ...state, stage: 'end' }
  }
}

/** Lines that are given on together, from one on. */
function takeLines(lines: readonly ExportLine[], from: number): readonly ExportLine[] {
  const first = lines[from]
  if (first === undefined || first.kind === 'repository') return lines.slice(from, from + 1)
  const most = lines.slice(from, from + MAX_ROWS)
  const isLike = (line: ExportLine): boolean =>
    line.kind !== 'repository' && isRow(line) === isRow(first)
  const end = most.findIndex((line) => !isLike(line))
  return end < 0 ? most : most.slice(0, end)
}

function isRow(line: ExportLine): line is DumpRow {
  return !['repository', 'account', 'pin', 'switches'].includes(line.kind)
}

function counted(
  counts: RestoreCounts,
  rows: readonly DumpRow[],
  without: readonly MissingContent[],
): RestoreCounts {
  const next = { ...counts }
  for (const { kind } of rows) {
    if (kind === 'blob' || kind === 'manifest' || kind === 'tag') next[COUNTED[kind]] += 1
  }
  for (const { kind } of without) next[COUNTED[kind]] -= 1
  return next
}

function missing(repository: RepositoryName, { kind, name, digest }: MissingContent) {
  const subject = kind === 'tag' ? `${repository}:${name}` : `${repository}@${digest}`
  const why = { blob: 'its bytes', manifest: 'its bytes', tag: 'its manifest' }[kind]
  return { subject, outcome: 'missing', digest, note: `storage does not have ${why}` }
}

function stepOf(state: RestoreState, { parts }: ExportIndex): Step<RestoreState> {
  const { counts, stage } = state
  const result: JobResult = { export: state.export, ...counts }
  const isVerifying = stage === 'verify'
  const done = isVerifying || stage === 'rows' ? state.part : parts.length
  return {
    state,
    progress: { done, total: parts.length, unit: isVerifying ? 'parts verified' : 'parts' },
    next: stage === 'end' ? 'done' : 'again',
    result,
  }
}
