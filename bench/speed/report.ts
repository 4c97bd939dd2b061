// The table of the speed bench: Markdown, a line for each comparison.

import { cpus } from 'node:os'

import { type Column, formatColumns } from '../table.ts'
import type { Figure, Outcome, Unit } from './contest.ts'

const COLUMNS: readonly Column<Outcome>[] = [
  ['row', ({ row }) => row],
  ['figure', ({ figure, unit }) => describeFigure(figure, unit)],
  ['against', ({ against }) => against],
  ['its figure', ({ reference, unit }) => describeFigure(reference, unit)],
  ['CPU', ({ figure, reference }) => describeCPU(figure, reference)],
  ['ratio', ({ ratio }) => (ratio === undefined ? '' : describe(ratio))],
  ['target', ({ target }) => (target === undefined ? '' : `≥ ${target}`)],
  ['met', (outcome) => describeVerdict(outcome)],
]

/** What the columns mean. */
export const LEGEND = `Everybody takes a turn in each round; a figure is the median of the rounds, in brackets the least and the most. The ratio
says how many times as fast. CPU: of the process that answers, for one answer, of both; it holds on a busy machine too, where rates do not.
requests/s: 16 connections that are kept, of a client in a process of its own; MB/s and ms: one client. Rows without another word are of a
mirrored image on \`npm start\`, which prints its log lines into a file. Redirects lead to Miniflare's S3 endpoint, in the same process. The
bare Worker runs on the same Miniflare and kind of socket. distribution is the reference registry 3.1.2, on its own disk or as a proxy.`

/** What the table is of. */
export function introductionOf(run: { readonly took: string; readonly lines: number }): string {
  const cores = cpus().length
  const machine = `Node ${process.version}, ${cores} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`
  const logged = `npm start printed ${run.lines} log lines meanwhile`
  return `${new Date().toISOString().slice(0, 10)}, ${machine}, took ${run.took}; ${logged}.`
}

/** Outcomes as the table. */
export function formatOutcomes(outcomes: readonly Outcome[]): string {
  return `${formatColumns(COLUMNS, outcomes)}\n\n${LEGEND}`
}

function describeFigure(figure: Figure, unit: Unit): string {
  if ('missing' in figure) return figure.missing
  const { median, least, most } = figure
  return `${describe(median)} ${unit} (${describe(least)}–${describe(most)})`
}

function describeCPU(figure: Figure, reference: Figure): string {
  const [own, other] = [figure, reference].map((each) => ('cpu' in each ? each.cpu : undefined))
  return own === undefined || other === undefined ? '' : `${describe(own)} / ${describe(other)} µs`
}

function describe(value: number): string {
  return value < 10 ? value.toFixed(2) : value.toFixed(0)
}

function describeVerdict({ ratio, target }: Outcome): string {
  if (target === undefined || ratio === undefined) return ''
  return ratio >= target ? 'yes' : 'NO'
}
