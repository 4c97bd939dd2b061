// A row of the table of pushes: what was answered, and what was asked of storage and objects for it.

import type { Tellings } from './operations.ts'
import type { Row } from './row.ts'
import type { Column } from './table.ts'
import {
  USAGE_COLUMNS,
  USAGE_LEGEND,
  describeTime,
  formatColumns,
  notesOf,
  ratio,
} from './table.ts'

/** One measurement of a push. */
export interface PushRow extends Row {
  /** Each answer, e.g. `PATCH 202`. */
  readonly answers: readonly string[]
  readonly operations: Tellings | undefined
  /** How many blobs were read afterwards, and had the right digest. */
  readonly readBack: number
}

const COLUMNS: readonly Column<PushRow>[] = [
  ['row', ({ name }) => name],
  ['by', ({ by }) => by],
  ['answers', ({ answers }) => counted(answers)],
  ['read back', ({ readBack }) => String(readBack)],
  ['wall', ({ wall }) => describeTime(wall)],
  ['× put', ({ wall, plain }) => ratio(wall, plain?.put)],
  ['R2', ({ operations }) => operationsOf(operations, (binding) => binding === 'BLOBS')],
  ['objects', ({ operations }) => operationsOf(operations, (binding) => binding !== 'BLOBS')],
  ...USAGE_COLUMNS,
  ['notes', (row) => notesOf(row)],
]

const LEGEND = `Read back: blobs that a GET afterwards gave with the right digest. × put: wall time against plain R2 puts of the same
bytes in the same Miniflare, by a Worker that does nothing else. R2: operations on the bucket. Objects: calls of Durable Objects, of all
kinds. CPU and RSS (start → peak, sampled every 100 ms) ${USAGE_LEGEND}`

/** The table of pushes, and what its columns mean. */
export function formatPushes(rows: readonly PushRow[]): string {
  return `${formatColumns(COLUMNS, rows)}\n\n${LEGEND}`
}

function counted(answers: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  return Array.from(counts, ([answer, count]) => times(answer, count)).join(', ')
}

/** Of one kind of binding: how many in all, and how many of each. */
function operationsOf(
  operations: Tellings | undefined,
  isMeant: (binding: string) => boolean,
): string {
  if (operations === undefined) return ''
  const meant = Object.entries(operations).flatMap(([name, count]) => {
    const [binding = '', method = ''] = name.split('.')
    return isMeant(binding) ? [{ method, count }] : []
  })
  const all = meant.reduce((sum, { count }) => sum + count, 0)
  return `${all}: ${meant.map(({ method, count }) => times(method, count)).join(', ')}`
}

function times(what: string, count: number): string {
  return count === 1 ? what : `${what} × ${count}`
}
