// The table that is printed: Markdown, so that the README can take it as it is. What is above the minimum
// shows the minimum in brackets.

import { type MemoryUsage, totalOf } from './isolate.ts'
import type { Row } from './row.ts'
import type { Usage } from './usage.ts'

const MIB = 1024 * 1024

/** The title of a column, and what stands in it. */
export type Column<Measured> = readonly [string, (row: Measured) => string]

/** What a row cost the process and the isolate. */
export const USAGE_COLUMNS: readonly Column<Row>[] = [
  ['CPU', ({ usage }) => (usage === undefined ? '' : `${usage.cpu.toFixed(1)} s`)],
  ['RSS MiB', ({ usage }) => describeResident(usage)],
  ['isolate MiB', ({ memory }) => describeMemory(memory)],
]

const COLUMNS: readonly Column<Row>[] = [
  ['row', ({ name }) => name],
  ['by', ({ by }) => by],
  ['pings', ({ tally }) => String(tally.pings)],
  ['tokens', ({ tally, minimum }) => against(tally.tokens, minimum.tokens)],
  ['HEADs m/b', (row) => pair(row, 'manifestHeads', 'blobHeads')],
  ['GETs m/b', (row) => pair(row, 'manifestGets', 'blobGets')],
  ['upstream MiB', ({ tally, minimum }) => bytesAgainst(tally.bytes, minimum.bytes)],
  ['wall', ({ wall }) => describeTime(wall)],
  ['× fetch', ({ wall, plain }) => ratio(wall, plain?.fetch)],
  ['× put', ({ wall, plain }) => ratio(wall, plain?.put)],
  ['first byte', ({ firstBytes }) => describeTimes(firstBytes)],
  ...USAGE_COLUMNS,
  ['notes', (row) => notesOf(row)],
]

/** What the columns of `USAGE_COLUMNS` mean, from the middle of a sentence on. */
export const USAGE_LEGEND = `are of the process that
serves; for entrepot that is workerd with the Worker, its objects and Miniflare's simulators of R2 and KV, through which all bytes go.
Isolate (start → peak, sampled every 250 ms): heap and ArrayBuffers of the one isolate in which workerd runs the Worker and all its
objects, without the simulators, which have isolates of their own; in brackets the most that was left after a garbage collection,
which is asked for every second and comes when the isolate runs. What the runtime buffers outside of V8 is in the RSS alone.`

/** What the columns mean, and what is in the numbers besides. */
export const LEGEND = `A number in brackets is the minimum, where more was asked. m/b: manifests/blobs. × fetch, × put: wall time against one plain
fetch from the same upstream, and one plain R2 put in the same Miniflare, of the same bytes (below 30 MB/s: their size over the
link's rate). First byte: of all clients, median / longest. CPU and RSS (start → peak, sampled every 100 ms) ${USAGE_LEGEND}`

/** Rows as the table of the upstream's bench. */
export function formatTable(rows: readonly Row[]): string {
  return formatColumns(COLUMNS, rows)
}

/** Rows as a table of these columns. */
export function formatColumns<Measured>(
  columns: readonly Column<Measured>[],
  rows: readonly Measured[],
): string {
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)))
  const table = [columns.map(([title]) => title), ...cells]
  const widths = columns.map((_, index) => Math.max(3, ...table.map((each) => width(each[index]))))
  const lines = table.map((each) =>
    line(each.map((cell, index) => cell + ' '.repeat((widths[index] ?? 0) - width(cell)))),
  )
  return [lines[0], line(widths.map((each) => '-'.repeat(each))), ...lines.slice(1)].join('\n')
}

/** Milliseconds for people. */
export function describeTime(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return 'never'
  if (milliseconds < 1000) return `${milliseconds.toFixed(0)} ms`
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function width(cell: string | undefined): number {
  return cell?.length ?? 0
}

function against(found: number, minimum: number): string {
  return found === minimum ? `${found}` : `${found} (${minimum})`
}

function pair(
  { tally, minimum }: Row,
  manifests: 'manifestHeads' | 'manifestGets',
  blobs: 'blobHeads' | 'blobGets',
): string {
  const found = `${tally[manifests]}/${tally[blobs]}`
  const least = `${minimum[manifests]}/${minimum[blobs]}`
  return found === least ? found : `${found} (${least})`
}

function bytesAgainst(found: number, minimum: number): string {
  const [bytes, least] = [found, minimum].map((each) => (each / MIB).toFixed(1))
  return found === minimum ? `${bytes}` : `${bytes} (${least})`
}

/** How many times as long; nothing where there is nothing to compare with. */
export function ratio(wall: number, plain: number | undefined): string {
  return plain === undefined ? '' : (wall / plain).toFixed(wall / plain < 10 ? 2 : 0)
}

function describeTimes(all: readonly number[]): string {
  const sorted = all.toSorted((a, b) => a - b)
  const [middle, last] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted.at(-1)]
  if (middle === undefined || last === undefined) return ''
  return sorted.length === 1
    ? describeTime(middle)
    : `${describeTime(middle)} / ${describeTime(last)}`
}

function describeResident(usage: Usage | undefined): string {
  if (usage === undefined) return ''
  return `${inMiB(usage.resident)} → ${inMiB(usage.peak)}`
}

function describeMemory(usage: MemoryUsage | undefined): string {
  if (usage === undefined) return ''
  const { start, peak, live } = usage
  const left = live === undefined ? '' : ` (${inMiB(totalOf(live))})`
  return `${inMiB(totalOf(start))} → ${inMiB(totalOf(peak))}${left}`
}

/** Whole MiB. */
export function inMiB(bytes: number): string {
  return (bytes / MIB).toFixed(0)
}

/** What is to be said of a row besides, its failures last. */
export function notesOf({ notes, failures, tally }: Row): string {
  const reasons = [...new Set(failures)].slice(0, 3).join(', ')
  return [
    ...notes,
    ...(tally.limited > 0 ? [`${tally.limited} answered 429 by the upstream`] : []),
    ...(tally.refused > 0 ? [`${tally.refused} answered 401 by the upstream`] : []),
    ...(failures.length > 0 ? [`FAILED: ${failures.length} (${reasons})`] : []),
  ].join('; ')
}
