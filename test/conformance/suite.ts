// The official conformance suite as a program: installed as a Go module at a pinned version, run, and its report
// read. A run passes only if nothing failed and every API that had to be asked was.

import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workspace } from '../clients/process.ts'

const MODULE = 'github.com/opencontainers/distribution-spec/conformance'
const VERSION = 'v0.0.0-20260831232431-97274622c111'
const BIN = join(import.meta.dirname, '..', '..', '.cache', 'bin')
const GO_MINOR = 24

/** What a run is given, by the names of the suite's environment variables. */
export type Settings = Readonly<Record<string, string>>

/** What a run found. */
export interface Report {
  /** Number of tests by status: `Pass`, `FAIL`, `Error`, `Skip`, `Disabled`. */
  readonly counts: ReadonlyMap<string, number>
  /** The status of each API. */
  readonly apis: ReadonlyMap<string, string>
  readonly text: string
}

/** The suite's executable; installs it if it is not there. */
export async function installSuite(workspace: Workspace): Promise<string> {
  await expectGo(workspace)
  const program = join(BIN, 'conformance')
  if (existsSync(program)) {
    const { stdout } = await workspace.run({ command: 'go', args: ['version', '-m', program] })
    if (stdout.includes(VERSION)) return program
  }
  await mkdir(BIN, { recursive: true })
  const args = ['install', `${MODULE}@${VERSION}`]
  await workspace.run({ command: 'go', args, env: { GOBIN: BIN } }, 300_000)
  return program
}

/** Runs it; a failed test is part of the report, no error. */
export async function runSuite(
  workspace: Workspace,
  program: string,
  settings: Settings,
): Promise<Report> {
  const results = await workspace.folderOf('results')
  const env = { OCI_TLS: 'disabled', OCI_RESULTS_DIR: results, ...settings }
  const text = await workspace.run({ command: program, args: [], env }).then(
    ({ stdout }) => stdout,
    (error: unknown) => String(error),
  )
  const statuses = [...text.matchAll(/^ {2}(\w[\w +]*?)\.*: +(\w+)$/gm)].map(
    ([, name = '', value = '']) => [name, value] as const,
  )
  return {
    text,
    counts: new Map(
      statuses.flatMap(([name, value]) => (/^[0-9]+$/.test(value) ? [[name, Number(value)]] : [])),
    ),
    apis: new Map(statuses.filter(([, value]) => !/^[0-9]+$/.test(value))),
  }
}

/** Why the report is not good enough; empty if it is. */
export function shortcomings(report: Report, apis: readonly string[]): readonly string[] {
  const bad = ['FAIL', 'Error'].filter((status) => report.counts.get(status) !== 0)
  const unasked = apis.filter((api) => report.apis.get(api) !== 'Pass')
  return [
    ...bad.map((status) => `${status}: ${report.counts.get(status) ?? 'no count'}`),
    ...unasked.map((api) => `${api}: ${report.apis.get(api) ?? 'not asked'}`),
  ]
}

async function expectGo(workspace: Workspace): Promise<void> {
  const { stdout } = await workspace
    .run({ command: 'go', args: ['version'] })
    .catch(() => ({ stdout: 'no go' }))
  const minor = Number(/go1\.([0-9]+)/.exec(stdout)?.[1] ?? 0)
  if (minor < GO_MINOR) {
    throw new Error(
      `the conformance suite needs Go 1.${GO_MINOR} or later on PATH; found: ${stdout}`,
    )
  }
}
