// `npm run bench:upstream`: starts an upstream that counts and the mirror, lets clients pull, and prints what
// the upstream was asked against the minimum, and how long it took. Everything is on loopback and ends.

import { budgetScenario } from './budget-scenario.ts'
import { crowdScenario } from './crowd-scenario.ts'
import { herdScenario, imageScenario } from './image-scenarios.ts'
import { firstByteScenario, lateScenario, layerScenarios } from './layer-scenarios.ts'
import { memoryScenario } from './memory-scenario.ts'
import { OptionError, type Options, parseOptions } from './options.ts'
import type { Row } from './row.ts'
import type { Scenario } from './scenario.ts'
import { Stage } from './stage.ts'
import { startMirror, startPeer } from './subject.ts'
import { LEGEND, describeTime, formatTable } from './table.ts'

const SCENARIOS: readonly Scenario[] = [
  imageScenario,
  herdScenario,
  ...layerScenarios,
  lateScenario,
  crowdScenario,
  budgetScenario,
  firstByteScenario,
  memoryScenario,
]
const QUICK_SCALE = 16

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), SCENARIOS)
  if (typeof options === 'string') {
    console.log(options)
    return
  }
  const rows: Row[] = []
  for (const scenario of options.scenarios) {
    console.error(`${scenario.name}: ${scenario.about} …`)
    if (options.hasPeer && scenario.withoutPeer !== undefined) {
      console.error(`  not of the reference registry: ${scenario.withoutPeer}`)
    }
    const start = performance.now()
    rows.push(...(await run(scenario, options)))
    console.error(`  took ${describeTime(performance.now() - start)}`)
  }
  if (rows.some(({ failures }) => failures.length > 0)) process.exitCode = 1
  console.log(options.isJSON ? JSON.stringify(rows, null, 2) : `${formatTable(rows)}\n\n${LEGEND}`)
}

/** Aborted by the signal that ends the bench. */
const interrupted = new AbortController()

async function run(scenario: Scenario, options: Options): Promise<readonly Row[]> {
  const stage = new Stage(options.isQuick ? QUICK_SCALE : 1)
  const stop = endOnSignal(stage)
  const rows: Row[] = []
  try {
    await stage.open()
    const measure = await scenario.prepare(stage)
    const hasPeer = options.hasPeer && scenario.withoutPeer === undefined
    for (const start of hasPeer ? [startMirror, startPeer] : [startMirror]) {
      rows.push(...(await measure(await stage.start(start))))
      await stage.endSubjects()
    }
    return rows
  } finally {
    await stage.close()
    stop()
  }
}

/** A signal ends what was started, then the bench. */
function endOnSignal(stage: Stage): () => void {
  const end = (): void => {
    interrupted.abort()
    void stage.close().finally(() => process.exit(130))
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.once(signal, end)
  return () => {
    for (const signal of signals) process.removeListener(signal, end)
  }
}

try {
  await main()
} catch (error) {
  // What is ended by a signal fails in many ways, none of which is news.
  if (!interrupted.signal.aborted) {
    console.error(error instanceof OptionError ? error.message : error)
  }
  process.exitCode = 1
}
