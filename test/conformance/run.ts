// `npm run conformance`: the official suite against each candidate, as each version that was asked for; one line of
// figures for each, and for one that is not good enough everything that is wrong.

import { Workspace } from '../clients/process.ts'
import { deliveries, textOf } from '../clients/deliveries.ts'
import { type Candidate, startCandidates } from './candidates.ts'
import {
  type Combination,
  environmentOf,
  fitting,
  labelOf,
  leftOut,
  misdelivered,
  parseArguments,
} from './plan.ts'
import { figuresOf, shortcomings } from './report.ts'
import { installSuite, resultsOf, runSuite } from './suite.ts'

async function run(workspace: Workspace, combinations: readonly Combination[]): Promise<boolean> {
  const program = await installSuite(workspace)
  let isGood = true
  for (const candidate of await startCandidates(workspace)) {
    for (const combination of fitting(combinations, candidate.abilities)) {
      isGood = (await runOne(workspace, program, { candidate, combination })) && isGood
    }
  }
  return isGood
}

async function runOne(
  workspace: Workspace,
  program: string,
  { candidate, combination }: { candidate: Candidate; combination: Combination },
): Promise<boolean> {
  const { apis, isInFull, settingsOf, registryOf, check } = candidate
  const name = `${candidate.name}, ${labelOf(combination)}`
  const settings = { ...environmentOf(combination), ...settingsOf(combination) }
  const startedAt = Date.now()
  const running = runSuite(workspace, program, { name, settings })
  const delivered =
    registryOf && (await deliveries(registryOf(combination), undefined, () => running))
  const report = await running
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1)
  const expectation = { asked: apis, isInFull, leftOut: leftOut(combination) }
  const causes = [
    ...shortcomings(report, expectation),
    ...(delivered ? misdelivered(combination, delivered) : []),
    ...(await check(combination)),
  ]
  const isGood = causes.length === 0
  const blobs = delivered ? `, ${textOf(delivered)}` : ''
  write(`${isGood ? 'ok  ' : 'FAIL'} ${name}: ${figuresOf(report)}${blobs}, ${seconds} s`)
  if (!isGood) {
    const crash = report.counts.size === 0 ? [report.text] : []
    const bugs = workspace.linesOf('entrepot').filter((line) => line.includes('"request-failed"'))
    write([...causes, ...crash, ...bugs, `see ${resultsOf(name)}`].join('\n'))
  }
  return isGood
}

function write(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  const given = parseArguments(process.argv.slice(2))
  if (!given.ok) {
    write(given.message)
    return 2
  }
  const workspace = new Workspace()
  try {
    return (await run(workspace, given.combinations)) ? 0 : 1
  } catch (error) {
    write(error instanceof Error ? error.message : String(error))
    return 1
  } finally {
    await workspace.close()
  }
}

process.exit(await main())
