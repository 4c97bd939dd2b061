// The memory of the mirror's isolate and what runs in it, asked of the runtime's inspector (Chrome DevTools Protocol). The Worker
// and its Durable Objects share that isolate; Miniflare's simulators of R2 and KV have others.

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const EVERY = 250
/** Samples between two garbage collections. */
const COLLECT_EVERY = 4
/** A collection waits until the isolate runs, which may be long. */
const COLLECTS_WITHIN = 1000
const ANSWERS_WITHIN = 10_000
/** Between two samples of a profile (microseconds). */
const SAMPLED_EVERY = 100
const OWN_TARGET = 'core:user:'

/** What an isolate holds (bytes). */
export interface Memory {
  /** JavaScript values, and the runtime's own objects for them. */
  readonly heap: number
  /** What stands behind ArrayBuffers. */
  readonly buffers: number
}

/** What an isolate held while it was watched: the samples that came to the most in all. */
export interface MemoryUsage {
  readonly start: Memory
  /** With what waited for the garbage collector. */
  readonly peak: Memory
  /** Right after a collection; `undefined`: there was none. */
  readonly live: Memory | undefined
}

type Result = Readonly<Record<string, unknown>>

/** `Profiler.Profile` of the protocol. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** A connection to the inspector of the Worker's isolate. */
export class Isolate {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (result: Result | undefined) => void>()
  #asked = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id: number; result?: Result }
      this.#waiting.get(id)?.(result)
    })
  }

  /** Connects to the inspector on this port of loopback. @throws when the Worker is not to be found there. */
  static async attach(port: number): Promise<Isolate> {
    const signal = AbortSignal.timeout(ANSWERS_WITHIN)
    const response = await fetch(`http://127.0.0.1:${port}/json`, { signal })
    const targets = (await response.json()) as readonly { readonly id: string }[]
    const target = targets.find(({ id }) => id.startsWith(OWN_TARGET))
    if (target === undefined) throw new Error('the inspector does not know the Worker')
    const socket = new WebSocket(`ws://127.0.0.1:${port}/${target.id}`)
    await once(socket, 'open', { signal })
    return new Isolate(socket)
  }

  /** What it holds now; `undefined` when it does not say. */
  async memory(): Promise<Memory | undefined> {
    const usage = (await this.#ask('Runtime.getHeapUsage', ANSWERS_WITHIN)) as
      | Readonly<Record<string, number>>
      | undefined
    const { usedSize, embedderHeapUsedSize, backingStorageSize } = usage ?? {}
    if (usedSize === undefined || backingStorageSize === undefined) return undefined
    return { heap: usedSize + (embedderHeapUsedSize ?? 0), buffers: backingStorageSize }
  }

  /** What is left after a garbage collection; `undefined` when the isolate is idle. */
  async liveMemory(): Promise<Memory | undefined> {
    const collected = await this.#ask('HeapProfiler.collectGarbage', COLLECTS_WITHIN)
    return collected && (await this.memory())
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.close()
  }

  /** Milliseconds that its code runs while work is done, and what the runtime does for it. @throws when it does not say. */
  async profile(work: () => Promise<void>): Promise<number> {
    await this.#ask('Profiler.enable', ANSWERS_WITHIN)
    await this.#ask('Profiler.setSamplingInterval', ANSWERS_WITHIN, { interval: SAMPLED_EVERY })
    await this.#ask('Profiler.start', ANSWERS_WITHIN)
    await work()
    const stopped = await this.#ask('Profiler.stop', ANSWERS_WITHIN)
    const profile = (stopped as { readonly profile: Profile } | undefined)?.profile
    if (profile === undefined) throw new Error('the inspector returned no profile')
    const idle = profile.nodes.find(({ callFrame }) => callFrame.functionName === '(idle)')?.id
    const active = profile.samples.map((id, at) =>
      id === idle ? 0 : (profile.timeDeltas[at] ?? 0),
    )
    return active.reduce((sum, each) => sum + each, 0) / 1000
  }

  /** The result, if there is one in time. */
  async #ask(
    method: string,
    within: number,
    params: Readonly<Record<string, number>> = {},
  ): Promise<Result | undefined> {
    if (this.#socket.readyState !== WebSocket.OPEN) return undefined
    const id = this.#asked++
    const { promise, resolve } = Promise.withResolvers<Result | undefined>()
    const patience = setTimeout(resolve, within, undefined)
    this.#waiting.set(id, resolve)
    this.#socket.send(JSON.stringify({ id, method, params }))
    const result = await promise
    clearTimeout(patience)
    this.#waiting.delete(id)
    return result
  }
}

/** Does work while an isolate is watched. */
export async function watchIsolate<Value>(
  isolate: Isolate | undefined,
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly memory: MemoryUsage | undefined }> {
  const start = await isolate?.memory()
  if (isolate === undefined || start === undefined) {
    return { value: await work(), memory: undefined }
  }
  const over = new AbortController()
  const looking = look(isolate, start, over.signal)
  try {
    const value = await work()
    over.abort()
    return { value, memory: await looking }
  } finally {
    over.abort()
  }
}

async function look(isolate: Isolate, start: Memory, over: AbortSignal): Promise<MemoryUsage> {
  let peak: Memory = start
  let live: Memory | undefined
  for (let count = 1; !over.aborted; count++) {
    await sleep(EVERY)
    peak = larger(peak, await isolate.memory()) ?? peak
    if (count % COLLECT_EVERY === 0) live = larger(live, await isolate.liveMemory())
  }
  return { start, peak, live }
}

function larger(one: Memory | undefined, other: Memory | undefined): Memory | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return totalOf(other) > totalOf(one) ? other : one
}

/** Heap and buffers. */
export function totalOf({ heap, buffers }: Memory): number {
  return heap + buffers
}
