// Runs `entrepot` as people do: a program of its own, with nothing of this one's login around it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ENTREPOT = join(import.meta.dirname, '..', '..', 'cli', 'entrepot.ts')

/** What came of it. */
export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** How it is run. */
export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  /** Ends it by SIGINT as soon as it has printed this. */
  readonly interruptAt?: string
}

/** Runs it to its end. */
export async function runEntrepot(
  args: readonly string[],
  { cwd, env = {}, input = '', interruptAt }: RunOptions = {},
): Promise<Run> {
  const { ENTREPOT_SECRET: _, ENTREPOT_SOURCE: __, ...others } = process.env
  const child = spawn(process.execPath, [ENTREPOT, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { ...others, ...env },
  })
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      out[name] += chunk.toString()
      if (interruptAt !== undefined && out[name].includes(interruptAt)) child.kill('SIGINT')
    })
  }
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...out }
}
