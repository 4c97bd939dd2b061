// Programs that come as Go modules: each is built at its pinned version, once, into the folder that all suites share.

import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Workspace } from './process.ts'

const BIN = join(import.meta.dirname, '..', '..', '.cache', 'bin')
const GO_MINOR = 24

/** A command of a Go module. */
export interface GoProgram {
  /** The import path of the command. */
  readonly path: string
  readonly version: string
  /** Build tags, which leave out what a row does not need. */
  readonly tags?: readonly string[]
}

/** The program's executable; builds it if it is not there at that version. */
export async function installGoProgram(workspace: Workspace, program: GoProgram): Promise<string> {
  await expectGo(workspace)
  const { path, version, tags = [] } = program
  const executable = join(BIN, basename(path))
  if (existsSync(executable)) {
    const { stdout } = await workspace.run({ command: 'go', args: ['version', '-m', executable] })
    if (stdout.includes(`\t${path}\n`) && stdout.includes(`\t${version}\t`)) return executable
  }
  await mkdir(BIN, { recursive: true })
  const start = performance.now()
  const args = ['install', `-tags=${tags.join(',')}`, `${path}@${version}`]
  // Without C there is no compiler to be missed.
  const env = { GOBIN: BIN, CGO_ENABLED: '0' }
  await workspace.run({ command: 'go', args, env }, 900_000)
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  process.stdout.write(`built ${basename(path)} ${version} in ${seconds} s\n`)
  return executable
}

/** Fails unless there is a Go that can build the programs. */
export async function expectGo(workspace: Workspace): Promise<void> {
  const { stdout } = await workspace
    .run({ command: 'go', args: ['version'] })
    .catch(() => ({ stdout: 'no go' }))
  const minor = Number(/go1\.([0-9]+)/.exec(stdout)?.[1] ?? 0)
  if (minor < GO_MINOR) {
    throw new Error(
      `Go 1.${GO_MINOR} or later must be on PATH: some of the programs are Go modules; found: ${stdout.trim()}`,
    )
  }
}
