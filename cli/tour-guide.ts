// Who leads through `npm run tour`: runs `entrepot` as people do, prints what it says, and holds what must be true
// against what is.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { Failure } from './failure.ts'

const ENTREPOT = join(import.meta.dirname, 'entrepot.ts')
/** One command has so long (milliseconds). */
const WITHIN = 60_000
/** Lines of one command that are printed. */
const SHOWN = 14

/** What a command has printed. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** How a command is run. */
export interface RanOptions {
  readonly env?: Readonly<Record<string, string>>
  /** How it has to end; else with 0. */
  readonly code?: number
}

/** The registry that commands are for. */
export interface Visited {
  readonly url: URL
  readonly persistTo: string
}

/** Prints, counts and remembers. */
export class TourGuide {
  readonly #signal: AbortSignal
  readonly failures: string[] = []
  #chapter = ''
  #checks = 0

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** How much has been held to be true so far. */
  get checks(): number {
    return this.#checks
  }

  /** Begins a chapter. */
  chapter(title: string): void {
    this.#chapter = title
    console.log(`\n== ${title}\n`)
  }

  /** Tells what is done besides commands. */
  say(text: string): void {
    console.log(`# ${text}`)
  }

  /** What must be so. The tour goes on when it is not, and ends badly. */
  check(what: string, isSo: boolean): void {
    this.#checks++
    console.log(`  ${isSo ? '✓' : '✗'} ${what}`)
    if (!isSo) this.failures.push(`${this.#chapter}: ${what}`)
  }

  /** The same for two figures or texts, with what was seen. */
  same<Value extends string | number | boolean>(what: string, seen: Value, wanted: Value): void {
    const shown = seen === wanted ? String(seen) : `${seen}, and not ${wanted}`
    this.check(`${what}: ${shown}`, seen === wanted)
  }

  /** What ended a chapter before its time. */
  fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.check(`the chapter came to its end (${reason})`, false)
  }

  /** Runs a command for a registry, and prints it with what it said. */
  async entrepot(
    { url, persistTo }: Visited,
    args: readonly string[],
    { env = {}, code = 0 }: RanOptions = {},
  ): Promise<string> {
    console.log(`\n$ entrepot ${args.map(quote).join(' ')}`)
    const where = ['--url', url.origin, '--persist-to', persistTo]
    const ran = await this.#run([...args, ...where], env)
    const lines = `${ran.stdout}${ran.code === 0 ? '' : ran.stderr}`.trimEnd().split('\n')
    for (const line of lines.slice(0, SHOWN)) console.log(`  ${line}`)
    if (lines.length > SHOWN) console.log(`  … ${lines.length - SHOWN} more lines`)
    if (ran.code !== code) {
      throw new Failure(`"entrepot ${args.join(' ')}" ended with ${ran.code}: ${ran.stderr.trim()}`)
    }
    return ran.stdout
  }

  async #run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
    const child = spawn(process.execPath, [ENTREPOT, ...args], {
      env: { ...process.env, ...env },
      signal: AbortSignal.any([this.#signal, AbortSignal.timeout(WITHIN)]),
    })
    const out = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => (out[name] += chunk.toString()))
    }
    const [code]: (number | null)[] = await once(child, 'close')
    return { code: code ?? null, ...out }
  }
}

function quote(word: string): string {
  return /^[\w./:@=%,+-]+$/.test(word) ? word : `'${word}'`
}
