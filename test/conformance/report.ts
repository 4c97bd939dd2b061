// What the official suite prints, read and judged. A run is good only if nothing failed, nothing was skipped, and
// everything that had to be asked was.

/** What a run found. */
export interface Report {
  /** Number of tests by status: `Pass`, `FAIL`, `Error`, `Skip`, `Disabled`. */
  readonly counts: ReadonlyMap<string, number>
  /** The status of each API and of each set of data. */
  readonly statuses: ReadonlyMap<string, string>
  /** The tests that found something wrong or were skipped, one line each with what the suite says of it. */
  readonly findings: readonly string[]
  readonly text: string
}

/** What a run must have asked. */
export interface Expectation {
  /** APIs that must have passed. */
  readonly asked: readonly string[]
  /** Whether whatever else the suite reports must have passed too. */
  readonly isInFull: boolean
  /** What may be missing. */
  readonly leftOut: ReadonlyMap<string, string>
}

const BAD = ['FAIL', 'Error', 'Skip']

/** Reads what the suite wrote. */
export function parseReport(text: string): Report {
  const listed = [...text.matchAll(/^ {2}(\w[\w +-]*?)\.+: +(\w+)$/gm)].map(
    ([, name = '', value = '']) => [name, value] as const,
  )
  const isNumber = (value: string): boolean => /^[0-9]+$/.test(value)
  return {
    text,
    counts: new Map(
      listed.flatMap(([name, value]) => (isNumber(value) ? [[name, Number(value)]] : [])),
    ),
    statuses: new Map(listed.filter(([, value]) => !isNumber(value))),
    findings: findingsOf(text),
  }
}

/** Why the report is not good enough; empty if it is. */
export function shortcomings(report: Report, expectation: Expectation): readonly string[] {
  const { asked, isInFull, leftOut } = expectation
  const counted = BAD.filter((status) => report.counts.get(status) !== 0)
  const named = new Set([...asked, ...(isInFull ? report.statuses.keys() : [])])
  const missing = [...named].filter(
    (name) => report.statuses.get(name) !== 'Pass' && !leftOut.has(name),
  )
  return [
    ...report.findings,
    ...counted.map((status) => `number of ${status}: ${report.counts.get(status) ?? 'none told'}`),
    ...missing.map((name) => `${name}: ${report.statuses.get(name) ?? 'not asked'}`),
  ]
}

/** The figures of a run, on one line. */
export function figuresOf({ counts }: Report): string {
  const of = (status: string): number => counts.get(status) ?? 0
  const failed = of('FAIL') + of('Error')
  return `${of('Pass')} pass, ${failed} fail, ${of('Skip')} skip (${of('Disabled')} disabled)`
}

/**
 * The suite prints a tree, two spaces a level, each line a name from the root on and a status; what a leaf has to say
 * follows as lines that begin with a hyphen. A branch only repeats what is below it.
 */
function findingsOf(text: string): readonly string[] {
  const parts = text.split(/^(?= *OCI Conformance Test[^\n]*: \w+$)/m)
  const depths = parts.map((part) => part.length - part.trimStart().length)
  return parts.flatMap((part, index) => {
    const [, name, status = '', causes = ''] =
      /^ *OCI Conformance Test\/([^\n]*): (\w+)\n((?: *- [^\n]*\n)*)/.exec(part) ?? []
    const isBranch = (depths[index + 1] ?? 0) > (depths[index] ?? 0)
    if (name === undefined || isBranch || !BAD.includes(status)) return []
    const said = causes.split('\n').map((line) => line.replace(/^ *- /, ''))
    return [`${status} ${name}: ${said.filter((line) => line !== '').join('; ')}`]
  })
}
