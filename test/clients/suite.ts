// Runs rows one after another and reports each: a line per row, the causes of what failed, a closing count.

/** A table of rows under way. */
export class Suite {
  readonly #pattern: string
  readonly #evidence: () => string
  readonly #failed: string[] = []
  #passed = 0

  /** Only rows whose group contains `pattern` run; `evidence` is printed with a failure. */
  constructor(pattern: string, evidence: () => string) {
    this.#pattern = pattern
    this.#evidence = evidence
  }

  /** Whether the rows of a group are asked for. */
  includes(group: string): boolean {
    return group.includes(this.#pattern)
  }

  /** Runs one row; what it returns is printed beside its name. */
  async row(group: string, name: string, action: () => Promise<string | void>): Promise<void> {
    if (!this.includes(group)) return
    const title = `${group}: ${name}`
    const start = performance.now()
    const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`.padStart(7)
    try {
      const found = await action()
      this.#passed += 1
      write(`ok   ${seconds()}  ${title}${found === undefined ? '' : `  [${found}]`}`)
    } catch (error) {
      this.#failed.push(title)
      write(`FAIL ${seconds()}  ${title}\n${indent(textOf(error))}\n${indent(this.#evidence())}`)
    }
  }

  /** Prints the closing line; true if every row passed and there was one. */
  finish(): boolean {
    if (this.#failed.length > 0) write(`\nfailed:\n${indent(this.#failed.join('\n'))}`)
    write(`\n${this.#passed} passed, ${this.#failed.length} failed`)
    return this.#failed.length === 0 && this.#passed > 0
  }
}

/** Writes a line to the report. */
export function write(line: string): void {
  process.stdout.write(`${line}\n`)
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}\n${textOf(error.cause)}`
}

function indent(text: string): string {
  return text.replace(/^/gm, '       ')
}
