// A run of a bench: scenario after scenario, each on a stage of its own, and then the table. Everything is on
// loopback and ends, also on a signal; a failure in a row sets the exit code.

import { closeOnSignal, isInterrupted } from './interruption.ts'
import { type Command, OptionError, type Options, parseOptions } from './options.ts'
import type { Row } from './row.ts'
import type { Scenario } from './scenario.ts'
import { Stage } from './stage.ts'
import type { StartSubject, Subject } from './subject.ts'
import { describeTime } from './table.ts'

const QUICK_SCALE = 16

/** A bench. */
export interface Bench<Kind extends Subject, Measured extends Row> extends Command {
  readonly scenarios: readonly Scenario<Kind, Measured>[]
  readonly start: StartSubject<Kind>
  readonly startPeer: StartSubject<Kind>
  /** The table, with what is to be said of it. */
  readonly format: (rows: readonly Measured[]) => string
}

/** Runs it as the command line says, and prints its table. */
export async function runBench<Kind extends Subject, Measured extends Row>(
  bench: Bench<Kind, Measured>,
): Promise<void> {
  try {
    const options = parseOptions(process.argv.slice(2), bench)
    if (typeof options === 'string') console.log(options)
    else await runAll(bench, options)
  } catch (error) {
    if (!isInterrupted()) console.error(error instanceof OptionError ? error.message : error)
    process.exitCode = 1
  }
}

async function runAll<Kind extends Subject, Measured extends Row>(
  bench: Bench<Kind, Measured>,
  options: Options,
): Promise<void> {
  const rows: Measured[] = []
  for (const scenario of bench.scenarios) {
    if (!options.names.includes(scenario.name)) continue
    console.error(`${scenario.name}: ${scenario.about} …`)
    if (options.hasPeer && scenario.withoutPeer !== undefined) {
      console.error(`  not of the reference registry: ${scenario.withoutPeer}`)
    }
    const start = performance.now()
    rows.push(...(await run(bench, scenario, options)))
    console.error(`  took ${describeTime(performance.now() - start)}`)
  }
  if (rows.some(({ failures }) => failures.length > 0)) process.exitCode = 1
  console.log(options.isJSON ? JSON.stringify(rows, null, 2) : bench.format(rows))
}

async function run<Kind extends Subject, Measured extends Row>(
  { start, startPeer }: Bench<Kind, Measured>,
  scenario: Scenario<Kind, Measured>,
  options: Options,
): Promise<readonly Measured[]> {
  const stage = new Stage(options.isQuick ? QUICK_SCALE : 1)
  const stop = closeOnSignal(stage)
  const rows: Measured[] = []
  try {
    await stage.open()
    const measure = await scenario.prepare(stage)
    const hasPeer = options.hasPeer && scenario.withoutPeer === undefined
    for (const each of hasPeer ? [start, startPeer] : [start]) {
      rows.push(...(await measure(await stage.start(each))))
      await stage.endSubjects()
    }
    return rows
  } finally {
    await stage.close()
    stop()
  }
}
