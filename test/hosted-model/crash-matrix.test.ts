// The crash matrix: in every flow somebody dies before and after each operation of storage and each message.
// Nothing visible is broken then, a retry completes, and nothing is left over in the end.

import { describe, expect, it } from 'vitest'
import { crash } from './crash.ts'
import type { Retry, Victim } from './crash.ts'
import { FLOWS } from './flows.ts'
import type { Flow } from './flows.ts'

const COLUMNS: readonly (readonly [Victim, Retry])[] = [
  ['all', 'at-once'],
  ['all', 'after-alarms'],
  ['sender', 'never'],
  ['receiver', 'at-once'],
]

/** Every problem of a column of the matrix, with the moment at which somebody died. */
async function column(flow: Flow, victim: Victim, retry: Retry): Promise<readonly string[]> {
  const whole = await crash({ flow, victim, retry, at: Infinity, outlives: false })
  const problems = [...whole.problems]
  for (let at = 1; at <= whole.moments; at++) {
    // Hardly anything is under way besides: now it has its effect, now it has none.
    const seen = await crash({ flow, victim, retry, at, outlives: at % 2 === 0 })
    const moment = `${at} of ${whole.moments}, ${seen.moment}`
    problems.push(...seen.problems.map((problem) => `${moment}: ${problem}`))
  }
  expect(whole.moments).toBeGreaterThan(1)
  return problems
}

const CELLS = FLOWS.flatMap((flow) =>
  COLUMNS.map(([victim, retry]) => ({ name: flow.name, flow, victim, retry })),
)

describe('crash matrix', () => {
  it.each(CELLS)('$name: $victim dies, retried $retry', async ({ flow, victim, retry }) => {
    expect(await column(flow, victim, retry)).toEqual([])
  })
})
