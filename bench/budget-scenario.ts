// A budget of 500 manifests counted down to nothing: then nothing may be asked any more, and what is known
// is served all the same.

import { setTimeout as sleep } from 'node:timers/promises'

import type { Reading } from './reader.ts'
import type { Scenario } from './scenario.ts'
import { rowOf } from './stage.ts'

const BUDGET = 500
const MORE = 20

/** 500 tags, then 20 more, then 20 of the first. */
export const budgetScenario: Scenario = {
  name: 'budget',
  about: '500 manifests of budget counted down to 0, then only what is known',
  prepare: async (stage) => {
    const repository = 'bench/budget'
    const tags = Array.from({ length: BUDGET + MORE }, (_, index) => `t${index}`)
    const blobs = [{ seed: 0, size: 2048 }]
    const images = await stage.upstream.call('addImages', { repository, tags, blobs })
    const bytes = images
      .slice(0, BUDGET)
      .reduce((sum, { manifest }) => sum + Buffer.byteLength(manifest), 0)
    return async (subject) => {
      await stage.upstream.call('setBudget', BUDGET)
      const base = subject.base(repository, 'credential')
      const ask = (some: readonly string[]) => {
        const wish = { base, token: undefined, tags: some, method: 'GET' } as const
        return stage.observe(subject, () => stage.clients.call('manifests', wish))
      }
      const about = (name: string, minimum = {}) => ({ name, by: subject, minimum })
      const spent = await ask(tags.slice(0, BUDGET))
      const refused = await ask(tags.slice(BUDGET))
      await sleep(stage.tagTTL * 1000 + 500)
      const known = await ask(tags.slice(0, MORE))
      const unknown = await ask(tags.slice(BUDGET))
      await stage.upstream.call('setBudget', undefined)
      const spending = about(`budget: ${BUDGET} tags`, { tokens: 1, manifestGets: BUDGET, bytes })
      return [
        rowOf(spending, spent, { notes: notesOf(spent.value), ...summaryOf(spent.value) }),
        rowOf(about(`— ${MORE} more at 0`), refused, { notes: notesOf(refused.value) }),
        rowOf(about(`— ${MORE} known, after TTL`), known, {
          notes: notesOf(known.value),
          ...summaryOf(known.value),
        }),
        rowOf(about(`— ${MORE} more, again`), unknown, { notes: notesOf(unknown.value) }),
      ]
    }
  },
}

/** How often each status, and how many of them with a warning. */
function notesOf(readings: readonly Reading[]): readonly string[] {
  const counts = new Map<string, number>()
  for (const { status, warning } of readings) {
    const kind = `${status}${warning === undefined ? '' : ' stale'}`
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return Array.from(counts, ([kind, count]) => `${count} × ${kind}`)
}

function summaryOf(readings: readonly Reading[]) {
  return { failures: readings.flatMap(({ failure }) => failure ?? []) }
}
