// Where progress is shown: one line of a terminal that is written over, or a line for each change where none is, or
// nowhere.

import type { Job } from './job.ts'
import { addSample, formatChange, formatProgress, rateOf } from './progress.ts'
import type { Sample } from './progress.ts'

/** Shows how a job stands. */
export interface ProgressOutput {
  /** `away`: why the registry did not answer; then the job is shown as it was last seen. */
  show(job: Job, away?: string): void
  /** Leaves the terminal as it was. */
  close(): void
}

/** What progress is written to: `process.stderr`, or that of a test. */
export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** A line for a change of the figures alone is written so often at most (milliseconds). */
const QUIET = 5000
const HIDE_CURSOR = '\u001B[?25l'
const SHOW_CURSOR = '\u001B[?25h'
const CLEAR_REST = '\u001B[K'
/** Of a terminal that does not say. */
const DEFAULT_WIDTH = 80

/** The one that fits the stream. */
export function progressOn(stream: ProgressStream, now: () => number = Date.now): ProgressOutput {
  const isTerminal = stream.isTTY === true && process.env['TERM'] !== 'dumb'
  return isTerminal ? new TerminalProgress(stream, now) : new PlainProgress(stream, now)
}

/** Shows nothing. */
export const NO_PROGRESS: ProgressOutput = { show: () => undefined, close: () => undefined }

class TerminalProgress implements ProgressOutput {
  readonly #stream: ProgressStream
  readonly #now: () => number
  #samples: readonly Sample[] = []
  #shown: string | undefined
  /** However the program ends. */
  readonly #restore = (): void => this.close()

  constructor(stream: ProgressStream, now: () => number) {
    this.#stream = stream
    this.#now = now
  }

  show(job: Job, away?: string): void {
    if (away === undefined) {
      this.#samples = addSample(this.#samples, { done: job.progress.done, at: this.#now() })
    }
    // The last column stays free: some terminals go to the next line once it is written.
    const width = (this.#stream.columns ?? DEFAULT_WIDTH) - 1
    const rate = rateOf(this.#samples)
    const line = formatProgress({ job, rate, ...(away !== undefined && { away }) }, width)
    if (line === this.#shown) return
    const isFirst = this.#shown === undefined
    if (isFirst) process.once('exit', this.#restore)
    this.#shown = line
    // In one piece, so that no half of it is ever seen.
    this.#stream.write(`${isFirst ? HIDE_CURSOR : ''}\r${line}${CLEAR_REST}`)
  }

  close(): void {
    if (this.#shown === undefined) return
    this.#shown = undefined
    process.removeListener('exit', this.#restore)
    this.#stream.write(`\r${CLEAR_REST}${SHOW_CURSOR}`)
  }
}

class PlainProgress implements ProgressOutput {
  readonly #stream: ProgressStream
  readonly #now: () => number
  #shown = ''
  #kind = ''
  #shownAt = 0

  constructor(stream: ProgressStream, now: () => number) {
    this.#stream = stream
    this.#now = now
  }

  show(job: Job, away?: string): void {
    const line = formatChange({ job, ...(away !== undefined && { away }) })
    const kind = JSON.stringify([job.state, job.note, away])
    const isDue = kind !== this.#kind || this.#now() - this.#shownAt >= QUIET
    if (line === this.#shown || !isDue) return
    this.#shown = line
    this.#kind = kind
    this.#shownAt = this.#now()
    this.#stream.write(`${line}\n`)
  }

  close(): void {
    // Its lines stay.
  }
}
