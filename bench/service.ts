// A program that the bench starts and ends by its pid: it listens on loopback, and its end is waited for.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const START_WITHIN = 60_000
const END_WITHIN = 10_000
const KEPT_OUTPUT = 16_384

/** What to start. */
export interface ServiceOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Whether it is ready, by what it has printed so far. */
  readonly isReady: (output: string) => boolean | Promise<boolean>
}

/** A running program. */
export class Service {
  readonly #child: ChildProcess
  #output = ''
  #failure: Error | undefined

  private constructor({ command, args, env }: ServiceOptions) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.once('error', (error) => {
      this.#failure = error
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        this.#output = (this.#output + bytes.toString()).slice(-KEPT_OUTPUT)
      })
    }
  }

  /** Starts a program and returns when it is ready. @throws with its output when it does not get there. */
  static async start(options: ServiceOptions): Promise<Service> {
    const service = new Service(options)
    const until = performance.now() + START_WITHIN
    while (!(await options.isReady(service.#output))) {
      if (service.#hasEnded() || performance.now() > until) {
        await service.close()
        const why = service.#failure?.message ?? service.#output
        throw new Error(`${options.command} does not start: ${why}`)
      }
      await sleep(20)
    }
    return service
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The last of what it has printed. */
  get output(): string {
    return this.#output
  }

  /** Ends it, and returns when it has ended. */
  async close(): Promise<void> {
    if (this.#hasEnded()) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), END_WITHIN)
    await exited
    clearTimeout(patience)
  }

  #hasEnded(): boolean {
    const { exitCode, signalCode } = this.#child
    return this.#failure !== undefined || exitCode !== null || signalCode !== null
  }
}
