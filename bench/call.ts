// Calls between the bench and the processes it starts: the parent names one of the child's functions and
// gives one value, the child answers with another. A child whose parent is gone ends.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'

/** What a child offers: functions of one value, by name. */
export type Calls = Readonly<Record<string, (given: never) => unknown>>

interface Question {
  readonly id: number
  readonly name: string
  readonly given: unknown
}

type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string }

/** Answers the parent's calls, for as long as there is a parent; `end` is what to do before leaving. */
export function answerCalls(calls: Calls, end: () => Promise<void> = async () => {}): void {
  process.on('message', (question: Question) => {
    void answer(calls, question).then((each) => process.connected && process.send?.(each))
  })
  // A signal to the whole group reaches children too: the parent decides when they end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.once('disconnect', () => void end().finally(() => process.exit(0)))
}

async function answer(calls: Calls, { id, name, given }: Question): Promise<Answer> {
  try {
    const call = calls[name]
    if (call === undefined) throw new Error(`there is no call ${name}`)
    return { id, value: await call(given as never) }
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

/** A process of the bench. */
export class Child<Offered extends Calls> {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #calls = 0

  /** Starts `bench/<file>`. What it prints goes to the terminal, or to the end of a file. */
  constructor(file: string, { output }: { readonly output?: string } = {}) {
    const printed = output === undefined ? 'inherit' : openSync(output, 'a')
    this.#process = fork(join(import.meta.dirname, file), [], {
      serialization: 'advanced',
      stdio: ['inherit', printed, 'inherit', 'ipc'],
    })
    if (typeof printed === 'number') closeSync(printed)
    this.#process.on('message', (each: Answer) => this.#settle(each))
    this.#process.once('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} ended: ${code}`))
    })
  }

  /** Calls one of the child's functions. @throws what it throws, as an Error. */
  async call<Name extends keyof Offered & string>(
    name: Name,
    given: Parameters<Offered[Name]>[0],
  ): Promise<Awaited<ReturnType<Offered[Name]>>> {
    const id = this.#calls++
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#process.send({ id, name, given } satisfies Question)
    return (await waiting.promise) as Awaited<ReturnType<Offered[Name]>>
  }

  /** Ends it and returns when it has ended. */
  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.disconnect()
    const patience = setTimeout(() => this.#process.kill('SIGKILL'), 10_000)
    await exited
    clearTimeout(patience)
  }

  #settle(each: Answer): void {
    const waiting = this.#waiting.get(each.id)
    this.#waiting.delete(each.id)
    if ('error' in each) waiting?.reject(new Error(each.error))
    else waiting?.resolve(each.value)
  }
}
