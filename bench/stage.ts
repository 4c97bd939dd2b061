// The stage of one scenario: upstream, clients and the plain put, each a process of its own, and a folder.
// Whatever was started is ended by `close`, also when a measurement fails or is interrupted.

import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Child } from './call.ts'
import type { ClientCalls } from './client-process.ts'
import { PLAIN_TOKEN } from './counting-upstream.ts'
import { type MemoryUsage, watchIsolate } from './isolate.ts'
import type { PlainPutCalls } from './plain-put-process.ts'
import type { Plain, Row } from './row.ts'
import type { StartSubject, Subject } from './subject.ts'
import { workerdOf } from './subject.ts'
import type { Minimum, Tally } from './tally.ts'
import { minimumOf } from './tally.ts'
import type { UpstreamCalls } from './upstream-process.ts'
import type { Usage } from './usage.ts'
import { watch } from './usage.ts'

/** Blobs that a runtime fetches at once. */
const PARALLEL = 3
/** Below so many bytes per second the link alone says how long something takes. */
const SLOW_LINK = 30_000_000
/** What takes less is measured three times, and the middle counts (milliseconds). */
const SHORT = 2000

/** What was seen while something was done. */
export interface Observed<Value> {
  readonly value: Value
  readonly wall: number
  readonly tally: Tally
  readonly usage: Usage | undefined
  readonly memory: MemoryUsage | undefined
}

/** Everything that a scenario needs besides who is measured. */
export class Stage {
  /** Sizes and times are divided by this. */
  readonly scale: number
  readonly folder = mkdtempSync(join(tmpdir(), 'entrepot-bench-'))
  readonly upstream = new Child<UpstreamCalls>('upstream-process.ts')
  readonly clients = new Child<ClientCalls>('client-process.ts')
  readonly #plainPut = new Child<PlainPutCalls>('plain-put-process.ts')
  /** Also those that are still starting: a signal may come in between. */
  readonly #subjects: Promise<Subject>[] = []
  #isPutReady = false
  #closing: Promise<void> | undefined
  #count = 0
  upstreamURL = ''

  constructor(scale: number) {
    this.scale = scale
  }

  /** Lets the upstream listen; no link is capped. */
  async open(): Promise<void> {
    this.upstreamURL = await this.upstream.call('listen', undefined)
  }

  /** How long a subject may believe a tag (seconds): a pull fits into it. */
  get tagTTL(): number {
    return this.scale === 1 ? 10 : 4
  }

  /** Starts someone to measure, without any state. */
  async start<Kind extends Subject>(start: StartSubject<Kind>): Promise<Kind> {
    const folder = join(this.folder, `subject-${this.#count++}`)
    const { upstreamURL, tagTTL } = this
    if (this.#closing !== undefined) throw new Error('the bench is ending')
    const subject = start({ upstreamURL, folder, tagTTL })
    this.#subjects.push(subject)
    return subject
  }

  /** Ends everybody who is measured. */
  async endSubjects(): Promise<void> {
    const started = await Promise.allSettled(this.#subjects.splice(0))
    await Promise.all(
      started.flatMap((each) => (each.status === 'fulfilled' ? [each.value.close()] : [])),
    )
  }

  /** Does work, and tells what the upstream was asked and what the subject used meanwhile. */
  async observe<Value>(subject: Subject, work: () => Promise<Value>): Promise<Observed<Value>> {
    await this.upstream.call('forget', undefined)
    let wall = 0
    const { value: seen, usage } = await watch(subject.pid, () =>
      watchIsolate(subject.isolate, async () => {
        const start = performance.now()
        const result = await work()
        wall = performance.now() - start
        return result
      }),
    )
    return { ...seen, wall, usage, tally: await this.upstream.call('tally', undefined) }
  }

  /** What one plain fetch and one plain R2 put of these blobs take, over the link as it is. */
  async plain(
    blobs: readonly { readonly digest: string; readonly size: number }[],
    rate?: number,
  ): Promise<Plain> {
    if (rate !== undefined && rate < SLOW_LINK) {
      const time = (blobs.reduce((sum, { size }) => sum + size, 0) / rate) * 1000
      return { fetch: time, put: time }
    }
    const digests = blobs.map(({ digest }) => digest)
    const base = `${this.upstreamURL}/v2/bench/plain`
    const wish = { base, token: PLAIN_TOKEN, digests, parallel: PARALLEL }
    const fetch = await middle(() => this.clients.call('fetchAll', wish))
    return { fetch, put: await middle(() => this.putAll(digests)) }
  }

  /** Plain puts of these blobs, so many at once; returns milliseconds. */
  async putAll(digests: readonly string[], parallel = PARALLEL): Promise<number> {
    if (!this.#isPutReady) {
      await this.#plainPut.call('start', join(this.folder, 'plain-put'))
      this.#isPutReady = true
    }
    const urls = digests.map((digest) => `${this.upstreamURL}/v2/bench/plain/blobs/${digest}`)
    return this.#plainPut.call('put', { urls, token: PLAIN_TOKEN, parallel })
  }

  /** The runtime of the plain puts, as someone to observe. */
  async plainSubject(): Promise<Subject> {
    const { digest } = await this.upstream.call('addBlob', { seed: 1, size: 1024 })
    await this.putAll([digest])
    const pid = await workerdOf(await this.#plainPut.call('pid', undefined))
    return { name: 'plain put', base: () => '', pid, close: async () => {} }
  }

  /** Ends all processes and removes the folder. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.endSubjects()
    await Promise.all([this.clients, this.#plainPut, this.upstream].map((each) => each.close()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A row of what was observed. */
export function rowOf(
  about: { readonly name: string; readonly by: Subject; readonly minimum?: Partial<Minimum> },
  { wall, tally, usage, memory }: Observed<unknown>,
  more: Partial<Pick<Row, 'plain' | 'firstBytes' | 'notes' | 'failures'>>,
): Row {
  return {
    name: about.name,
    by: about.by.name,
    minimum: minimumOf(about.minimum ?? {}),
    wall,
    tally,
    usage,
    memory,
    plain: more.plain,
    firstBytes: more.firstBytes ?? [],
    notes: more.notes ?? [],
    failures: more.failures ?? [],
  }
}

/** The middle of three measurements, or one if that takes long (milliseconds). */
export async function middle(measure: () => Promise<number>): Promise<number> {
  const first = await measure()
  if (first > SHORT) return first
  const all = [first, await measure(), await measure()].toSorted((a, b) => a - b)
  return all[1] ?? first
}
