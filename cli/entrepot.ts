#!/usr/bin/env node
// The command line. A further command is a file with its arguments, a file that does it, and a line below.

import { accountCommand } from './account-arguments.ts'
import { backupCommand } from './backup-arguments.ts'
import { collectCommand } from './collect-arguments.ts'
import { demoCommand } from './demo-arguments.ts'
import { doctorCommand } from './doctor-arguments.ts'
import { endWithReader } from './ending.ts'
import { imagesCommand } from './images-arguments.ts'
import { importCommand } from './import-arguments.ts'
import type { JobArguments } from './job-run.ts'
import { jobsCommand } from './jobs-arguments.ts'
import { pinCommand } from './pin-arguments.ts'
import { prefetchCommand } from './prefetch-arguments.ts'
import type { Enlist } from './program.ts'
import { runProgram } from './program.ts'
import { purgeCommand } from './purge-arguments.ts'
import { refreshCommand } from './refresh-arguments.ts'
import { restoreCommand } from './restore-arguments.ts'
import { serveCommand } from './serve-arguments.ts'
import { storageCommand } from './storage-arguments.ts'
import { switchesCommand } from './switches-arguments.ts'
import { upstreamsCommand } from './upstreams-arguments.ts'

/** As `--help` lists them. */
const COMMANDS: readonly Enlist[] = [
  serveCommand(async (args) => (await import('./serve.ts')).runServe(args)),
  demoCommand(async (args) => (await import('./demo.ts')).runDemo(args)),
  accountCommand(async (args) => (await import('./account.ts')).runAccount(args)),
  doctorCommand(async (args) => (await import('./doctor.ts')).runDoctor(args)),
  imagesCommand(async (args) => (await import('./images.ts')).runImages(args)),
  importCommand(order),
  prefetchCommand(async (args) => (await import('./prefetch.ts')).runPrefetch(args)),
  refreshCommand(async (args) => (await import('./refresh.ts')).runRefresh(args)),
  purgeCommand(order),
  pinCommand(async (args) => (await import('./pin.ts')).runPin(args)),
  collectCommand(order),
  storageCommand(async (args) => (await import('./storage.ts')).runStorage(args)),
  upstreamsCommand(async (args) => (await import('./upstreams.ts')).runUpstreams(args)),
  backupCommand(async (args) => (await import('./backup.ts')).runBackup(args)),
  restoreCommand(async (args) => (await import('./restore.ts')).runRestore(args)),
  jobsCommand(async (args) => (await import('./jobs.ts')).runJobs(args)),
  switchesCommand(async (args) => (await import('./switches.ts')).runSwitches(args)),
]

endWithReader()
process.exitCode = await runProgram(process.argv.slice(2), COMMANDS, {
  print: (text) => console.log(text),
  complain: (what) => console.error(what),
})

/** Of those that do nothing but order a job. */
async function order(args: JobArguments): Promise<number> {
  return (await import('./job-run.ts')).runOrder(args)
}
