// The shapes of plots as the paths of SVG, in a box that is as wide as there are buckets and 100 high.

/** Where an axis may end. */
const MANTISSAS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10]

/** Of a line, in the box. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** Neighbours that are known, in the box. */
export function runsOf(rates: readonly (number | undefined)[]): readonly (readonly Point[])[] {
  const runs: Point[][] = []
  let run: Point[] | undefined
  rates.forEach((rate, index) => {
    if (rate === undefined) {
      run = undefined
      return
    }
    if (run === undefined) runs.push((run = []))
    run.push({ x: index + 0.5, y: 100 - rate * 100 })
  })
  return runs
}

/** One that is alone is a dot: a line to itself, with a round end. */
export function lineOf([first, ...others]: readonly Point[]): string {
  if (first === undefined) return ''
  const start = `M${first.x} ${short(first.y)}`
  return others.length === 0
    ? `${start}h0`
    : start + others.map(({ x, y }) => `L${x} ${short(y)}`).join('')
}

/** Bars with a foot and a height each, in hundredths of the box. */
export function barsOf(bars: readonly (readonly [number, number])[]): string {
  return bars
    .map(([foot, height], index) =>
      height > 0
        ? `M${index + 0.14} ${short(100 - foot)}v-${short(height)}h.72v${short(height)}z`
        : '',
    )
    .join('')
}

function short(value: number): string {
  return String(Number(value.toFixed(2)))
}

/** The end of an axis that has so much on it. */
export function niceBytes(most: number): number {
  let unit = 1
  while (most / unit >= 1000) unit *= 1024
  const value = Math.max(most / unit, 1)
  const decade = 10 ** Math.floor(Math.log10(value))
  const mantissa = MANTISSAS.find((each) => each * decade >= value) ?? 10
  // The next unit begins with a round figure too.
  return mantissa * decade >= 1000 ? unit * 1024 : mantissa * decade * unit
}
