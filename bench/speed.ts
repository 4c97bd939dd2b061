// `npm run bench`: how fast the registry is, side by side with a bare Worker on the same runtime and with the
// reference registry, and what the Worker weighs. It reports and does not judge: only a wrong answer fails it.

import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'

import { closeOnSignal, isInterrupted } from './interruption.ts'
import { artifactContests } from './speed/artifact-contests.ts'
import { blobContests } from './speed/blob-contests.ts'
import { type Contest, type Outcome, hold } from './speed/contest.ts'
import { floorContests, floorOf } from './speed/floor-contests.ts'
import { manifestContests } from './speed/manifest-contests.ts'
import { pullContests } from './speed/pull-contests.ts'
import { formatOutcomes, introductionOf } from './speed/report.ts'
import { Stand } from './speed/stand.ts'
import { describeTime } from './table.ts'

const HELP = `npm run bench -- [options] [words]: how fast the registry is, against a bare Worker and the reference registry

  <words>        only rows whose name contains one of these, e.g. warm, 'HEAD blob', floor
  --quick        fewer and shorter rounds, smaller layers: to see that it works
  --json <file>  write the figures there too
  --list         print the names of the rows
  --help         print this

The whole takes five minutes on two cores. The reference registry needs Go for the first time.`

interface Options {
  readonly words: readonly string[]
  readonly isQuick: boolean
  readonly json: string | undefined
  readonly isList: boolean
}

function contestsOf(stand: Stand, { words }: Options): readonly Contest[] {
  const floor = floorOf(stand)
  const isAsked = (row: string): boolean =>
    words.length === 0 || words.some((word) => row.toLowerCase().includes(word.toLowerCase()))
  return [
    ...manifestContests(stand, floor),
    ...floorContests(stand, floor),
    ...blobContests(stand, floor),
    ...pullContests(stand),
    ...artifactContests(stand),
  ].flatMap((contest) => {
    const comparisons = contest.comparisons.filter(({ row }) => isAsked(row))
    return comparisons.length === 0 ? [] : [{ ...contest, comparisons }]
  })
}

async function bench(options: Options, stand: Stand): Promise<void> {
  const contests = contestsOf(stand, options)
  if (options.isList) {
    const rows = contests.flatMap(({ comparisons }) => comparisons.map(({ row }) => row))
    return console.log([...new Set(rows)].join('\n'))
  }
  if (contests.length === 0) throw new Error(`there is no such row; --list prints them`)
  const start = performance.now()
  const outcomes: Outcome[] = []
  for (const contest of contests) {
    const rows = new Set(contest.comparisons.map(({ row }) => row))
    console.error(`${[...rows].join('; ')} …`)
    outcomes.push(...(await hold(contest)))
  }
  const took = describeTime(performance.now() - start)
  const lines = await stand.logged()
  console.log(`${introductionOf({ took, lines })}\n\n${formatOutcomes(outcomes)}`)
  if (options.json !== undefined) await writeFile(options.json, JSON.stringify(outcomes, null, 2))
}

function parseOptions(): Options | undefined {
  const { values, positionals } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  })
  if (values.help) return undefined
  return { words: positionals, isQuick: values.quick, json: values.json, isList: values.list }
}

async function main(): Promise<void> {
  const options = parseOptions()
  if (options === undefined) return console.log(HELP)
  const stand = new Stand(options.isQuick)
  const stop = closeOnSignal(stand)
  try {
    await bench(options, stand)
  } finally {
    await stand.close()
    stop()
  }
}

try {
  await main()
} catch (error) {
  if (!isInterrupted()) console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
