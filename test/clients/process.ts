// Owns everything that a run leaves on the machine: child processes (ended by their pid, each in a process
// group of its own), loopback ports and one temporary folder. What `close` returns from has left nothing.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  createWriteStream,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { join } from 'node:path'

/** What to start, and where its output goes. */
export interface Command {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** A file that `run` gives it to read; absent: nothing. */
  readonly stdin?: string
}

/** What a finished command wrote. */
export interface Output {
  readonly stdout: string
  readonly stderr: string
}

/** Waits until a real condition holds; the deadline is for machines, never part of what a row asserts. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds = 30_000,
): Promise<void> {
  const deadline = Date.now() + milliseconds
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`gave up after ${milliseconds} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A loopback port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** A long-running child; its output is kept in a file and, line by line, in memory. */
export class OwnedProcess {
  readonly name: string
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(name: string, logFile: string, spec: Command) {
    this.name = name
    this.#child = spawn(spec.command, spec.args, {
      cwd: spec.cwd,
      env: { ...process.env, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', resolve)
      this.#child.once('error', (error) => {
        this.lines.push(String(error))
        resolve(undefined)
      })
    })
    const log = createWriteStream(logFile, { flags: 'a' })
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#keep(stream, log)
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && !this.hasExited
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Asks the child to end, then its whole process group; returns when the child is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', milliseconds = 10_000): Promise<void> {
    if (this.isRunning) {
      this.#child.kill(signal)
      const timer = setTimeout(() => this.kill(), milliseconds)
      await this.#exited
      clearTimeout(timer)
    }
    this.kill()
  }

  /** Ends the process group at once; also what is left of it when the child itself has gone. */
  kill(): void {
    const { pid } = this.#child
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  #keep(stream: Readable | null, log: Writable): void {
    let rest = ''
    stream?.on('data', (chunk: Buffer) => {
      log.write(chunk)
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      this.lines.push(...lines)
    })
  }
}

/** The processes and the folder of one run. */
export class Workspace {
  readonly folder: string
  readonly #processes: OwnedProcess[] = []
  readonly #closers: (() => Promise<void>)[] = []
  #isClosed = false

  constructor() {
    // Short, because a UNIX socket's path may have 108 bytes.
    this.folder = mkdtempSync(join(tmpdir(), 'entrepot-'))
    process.once('exit', () => this.#sweep())
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        void this.close().finally(() => process.exit(130))
      })
    }
  }

  /** A folder of that name below the run's own, made if need be. */
  async folderOf(name: string): Promise<string> {
    const folder = join(this.folder, name)
    await mkdir(folder, { recursive: true })
    return folder
  }

  /** Starts a long-running process; `stop` it, or leave it to `close`. */
  start(name: string, spec: Command): OwnedProcess {
    if (this.#isClosed) throw new Error('the run has ended')
    const started = new OwnedProcess(name, join(this.folder, `${name}.log`), spec)
    this.#processes.push(started)
    return started
  }

  /** Starts a process and waits until `isReady`; an exit before that is an error that shows its output. */
  async startUntil(
    name: string,
    spec: Command,
    isReady: (started: OwnedProcess) => boolean | Promise<boolean>,
  ): Promise<OwnedProcess> {
    const started = this.start(name, spec)
    try {
      await waitUntil(`${name} is ready`, () => started.hasExited || isReady(started))
      if (!started.isRunning) throw new Error(`${name} ended before it was ready`)
    } catch (error) {
      await started.stop()
      throw new Error(`${spec.command} ${spec.args.join(' ')}\n${tail(started, 30)}`, {
        cause: error,
      })
    }
    return started
  }

  /** Runs a command to its end; a status other than 0 is an error that carries what it wrote. */
  async run(spec: Command, milliseconds = 120_000): Promise<Output> {
    if (this.#isClosed) throw new Error('the run has ended')
    const input = spec.stdin === undefined ? undefined : openSync(spec.stdin, 'r')
    const child = spawn(spec.command, spec.args, {
      cwd: spec.cwd ?? this.folder,
      env: { ...process.env, ...spec.env },
      stdio: [input ?? 'ignore', 'pipe', 'pipe'],
    })
    if (input !== undefined) closeSync(input)
    const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds)
    const written = { stdout: '', stderr: '' }
    child.stdout?.on('data', (chunk: Buffer) => (written.stdout += chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => (written.stderr += chunk.toString()))
    try {
      const [code, signal] = await once(child, 'close')
      if (code === 0) return written
      throw new Error(
        `${spec.command} ${spec.args.join(' ')}: status ${code ?? signal}\n${written.stdout}${written.stderr}`,
      )
    } finally {
      clearTimeout(timer)
    }
  }

  /** Has something ended by `close` that is no process of its own, such as a server in this one. */
  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer)
  }

  /** Everything that the processes of that name, or whose name begins with it, have written. */
  linesOf(name: string): readonly string[] {
    return this.#processes
      .filter((owned) => owned.name.startsWith(name))
      .flatMap(({ lines }) => lines)
  }

  /** The last lines of every process, for a failure's report. */
  tails(lines: number): string {
    return this.#processes
      .filter((owned) => owned.lines.length > 0)
      .map(
        (owned) => `--- ${owned.name}${owned.isRunning ? '' : ' (ended)'}\n${tail(owned, lines)}`,
      )
      .join('\n')
  }

  /** Ends what was started, last first, and removes the folder. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const owned of this.#processes.toReversed()) await owned.stop()
    for (const closer of this.#closers.splice(0)) await closer()
    this.#sweep()
  }

  /** The part that needs no event loop: groups, strays, mounts, files. */
  #sweep(): void {
    for (const owned of this.#processes) owned.kill()
    for (const pid of straysOf(this.folder)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch (error) {
        if (!isGone(error)) throw error
      }
    }
    for (const mount of mountsBelow(this.folder)) spawnSync('umount', ['--lazy', mount])
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

function tail(owned: OwnedProcess, lines: number): string {
  return owned.lines.slice(-lines).join('\n')
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH'
}

/**
 * Container shims leave their starter's process group. They are ours if their command line names the
 * run's folder, whose name is drawn at random.
 */
function straysOf(folder: string): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLineOf(pid).includes(folder))
}

/** Docker's daemon keeps its network namespace mounted when it ends. */
function mountsBelow(folder: string): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mount) => mount.startsWith(`${folder}/`))
    .toReversed()
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // it ended meanwhile
  }
}
