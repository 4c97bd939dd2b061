#!/usr/bin/env node
// The command line. A further command is a file with its arguments, a file that does it, and a line below.

import { accountCommand } from './account-arguments.ts'
import { demoCommand } from './demo-arguments.ts'
import { doctorCommand } from './doctor-arguments.ts'
import { endWithReader } from './ending.ts'
import type { Enlist } from './program.ts'
import { runProgram } from './program.ts'
import { serveCommand } from './serve-arguments.ts'

/** As `--help` lists them. */
const COMMANDS: readonly Enlist[] = [
  serveCommand(async (args) => (await import('./serve.ts')).runServe(args)),
  demoCommand(async (args) => (await import('./demo.ts')).runDemo(args)),
  accountCommand(async (args) => (await import('./account.ts')).runAccount(args)),
  doctorCommand(async (args) => (await import('./doctor.ts')).runDoctor(args)),
]

endWithReader()
process.exitCode = await runProgram(process.argv.slice(2), COMMANDS, {
  print: (text) => console.log(text),
  complain: (what) => console.error(what),
})
