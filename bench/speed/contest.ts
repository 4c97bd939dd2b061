// Who is measured against whom: contenders take turns, round after round, so that whatever else the machine does
// falls on all of them, and of each the median counts.

/** What a figure counts. */
export type Unit = 'requests/s' | 'MB/s' | 'ms' | 'KiB'

/** What was measured once. */
export interface Measured {
  readonly value: number
  /** Microseconds of CPU of whoever answers, for one answer; `undefined` where nothing is known of it. */
  readonly cpu?: number | undefined
}

/** Measures once. Of what happens only once, each round has another. */
export type Measure = (round: number) => Promise<number | Measured>

/** Somebody who is measured. */
export interface Contender {
  readonly name: string
  /** Gets ready, which is not measured. @throws {Unavailable} */
  readonly ready: () => Promise<Measure>
}

/** One line of the table. */
export interface Comparison {
  readonly row: string
  readonly of: Contender
  readonly against: Contender
  /** The ratio that the issue asks for. */
  readonly target?: number
}

/** Comparisons that are measured together. */
export interface Contest {
  readonly unit: Unit
  readonly rounds: number
  readonly comparisons: readonly Comparison[]
}

/** What came of a contender. */
export type Figure =
  | {
      readonly median: number
      readonly least: number
      readonly most: number
      readonly cpu: number | undefined
    }
  | { readonly missing: string }

/** A line with its figures. */
export interface Outcome {
  readonly row: string
  readonly unit: Unit
  readonly of: string
  readonly figure: Figure
  readonly against: string
  readonly reference: Figure
  /** How many times as good; `undefined` where a figure is missing. */
  readonly ratio: number | undefined
  readonly target: number | undefined
}

/** Somebody who cannot be measured on this machine, and why. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

const NOTHING: Figure = { missing: 'not measured' }

/** Lets everybody get ready, then take turns. */
export async function hold({ unit, rounds, comparisons }: Contest): Promise<readonly Outcome[]> {
  const contenders = new Set(comparisons.flatMap(({ of, against }) => [against, of]))
  const figures = await measure([...contenders], rounds)
  return comparisons.map(({ row, of, against, target }) => {
    const figure = figures.get(of) ?? NOTHING
    const reference = figures.get(against) ?? NOTHING
    return {
      row,
      unit,
      of: of.name,
      figure,
      against: against.name,
      reference,
      ratio: ratioOf(unit, figure, reference),
      target,
    }
  })
}

async function measure(
  contenders: readonly Contender[],
  rounds: number,
): Promise<ReadonlyMap<Contender, Figure>> {
  const figures = new Map<Contender, Figure>()
  const turns: { readonly contender: Contender; readonly measure: Measure; all: Measured[] }[] = []
  for (const contender of contenders) {
    try {
      turns.push({ contender, measure: await contender.ready(), all: [] })
    } catch (error) {
      if (!(error instanceof Unavailable)) throw failureOf(contender, error)
      figures.set(contender, { missing: error.message })
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const turn of turns) {
      const figure = await turn.measure(round).catch((error: unknown) => {
        throw failureOf(turn.contender, error)
      })
      turn.all.push(typeof figure === 'number' ? { value: figure } : figure)
    }
  }
  for (const { contender, all } of turns) figures.set(contender, figureOf(all))
  return figures
}

function failureOf({ name }: Contender, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error)
  return new Error(`${name}: ${reason}`, { cause: error })
}

function figureOf(all: readonly Measured[]): Figure {
  const sorted = sortedOf(all.map(({ value }) => value))
  const [least, most] = [sorted[0] ?? 0, sorted.at(-1) ?? 0]
  const cpu = sortedOf(all.flatMap((each) => each.cpu ?? []))
  return { median: middleOf(sorted) ?? 0, least, most, cpu: middleOf(cpu) }
}

function sortedOf(all: readonly number[]): readonly number[] {
  return all.toSorted((a, b) => a - b)
}

function middleOf(sorted: readonly number[]): number | undefined {
  return sorted[Math.floor(sorted.length / 2)]
}

function ratioOf(unit: Unit, figure: Figure, reference: Figure): number | undefined {
  if ('missing' in figure || 'missing' in reference) return undefined
  const ratio = figure.median / reference.median
  return unit === 'ms' || unit === 'KiB' ? 1 / ratio : ratio
}
