// The official conformance suite as a program: installed as a Go module at a pinned version, and run.

import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workspace } from '../clients/process.ts'
import { parseReport, type Report } from './report.ts'

const MODULE = 'github.com/opencontainers/distribution-spec/conformance'
const VERSION = 'v0.0.0-20260831232431-97274622c111'
const CACHE = join(import.meta.dirname, '..', '..', '.cache')
const BIN = join(CACHE, 'bin')
const GO_MINOR = 24

/** What a run is given, by the names of the suite's environment variables. */
export type Settings = Readonly<Record<string, string>>

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

/** Where a run of that name leaves what the suite writes: `report.html` holds every request and answer. */
export function resultsOf(name: string): string {
  return join(CACHE, 'conformance', name.replaceAll(/[^\w.]+/g, '-'))
}

/** Runs it; a failed test is part of the report, no error. */
export async function runSuite(
  workspace: Workspace,
  program: string,
  { name, settings }: { readonly name: string; readonly settings: Settings },
): Promise<Report> {
  const env = { OCI_TLS: 'disabled', OCI_RESULTS_DIR: resultsOf(name), ...settings }
  const text = await workspace.run({ command: program, args: [], env }).then(
    ({ stdout }) => stdout,
    (error: unknown) => String(error),
  )
  return parseReport(text)
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
