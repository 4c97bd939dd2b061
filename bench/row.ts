// A row of the table: what was asked of the upstream against the least that could have been, and how long
// it took against one plain fetch and one plain R2 put of the same bytes.

import type { MemoryUsage } from './isolate.ts'
import type { Minimum, Tally } from './tally.ts'
import type { Usage } from './usage.ts'

/** What the same bytes take without a mirror (milliseconds). */
export interface Plain {
  readonly fetch: number
  readonly put: number
}

/** One measurement. Times are milliseconds. */
export interface Row {
  readonly name: string
  /** Who was measured. */
  readonly by: string
  readonly tally: Tally
  readonly minimum: Minimum
  readonly wall: number
  readonly plain: Plain | undefined
  /** Until each client had its first byte. */
  readonly firstBytes: readonly number[]
  readonly usage: Usage | undefined
  /** Of the mirror's isolate alone. */
  readonly memory: MemoryUsage | undefined
  readonly notes: readonly string[]
  /** Why clients did not get what they asked for. */
  readonly failures: readonly string[]
}
