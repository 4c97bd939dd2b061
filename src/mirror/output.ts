// Where a fill writes. A fill has two outputs, segments and the blob; storage may fail one of them without
// breaking anybody, so a failure is noted and only the loss of all outputs ends the fill.

/** Storage failed, not the upstream: the blob can still be streamed past the cache. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
}

/** Something that takes bytes in order. */
interface Sink {
  write(chunk: Uint8Array): Promise<void>
}

/** One output, and whether it has failed. */
export class Output {
  readonly #sink: Sink
  #failure: Promise<never> | undefined

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** A rejection with the first failure, if there was one. */
  get failure(): Promise<never> | undefined {
    return this.#failure
  }

  /** Writes, unless it has failed before. Never rejects. */
  async write(chunk: Uint8Array): Promise<void> {
    await this.attempt(() => this.#sink.write(chunk))
  }

  /** Does `work` unless it has failed before, and notes a failure. Never rejects. */
  async attempt(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return
    try {
      await work()
    } catch (error) {
      this.#failure = Promise.reject(error)
      // Asked for at the end, or not at all when the other output is enough.
      this.#failure.catch(() => undefined)
    }
  }
}

/** The outputs of a fill; the blob has none while its size is unknown. */
export interface Outputs {
  readonly segments: Output
  readonly blob: Output | undefined
}

/** Writes to every output that still works. @throws {StorageError} when none does. */
export async function writeAll(outputs: Outputs, chunk: Uint8Array): Promise<void> {
  await Promise.all([outputs.segments.write(chunk), outputs.blob?.write(chunk)])
  const { segments, blob } = outputs
  if (segments.failure !== undefined && (blob === undefined || blob.failure !== undefined)) {
    await storing(segments.failure)
  }
}

/** Waits for storage and turns its failure into a {@link StorageError}. */
export async function storing<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work
  } catch (cause) {
    throw new StorageError(`storage failed: ${String(cause)}`, { cause })
  }
}
