// Where a fill writes. A fill has two outputs, segments and the blob; storage may fail one of them without
// breaking anybody, so a failure is noted and only the loss of all outputs ends the fill.

import { LATE, within } from './patience.ts'

/** Storage failed, not the upstream: the blob can still be streamed past the cache. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
}

/** Something that takes bytes in order, and stores the last of them when it is closed. */
interface Sink {
  write(chunk: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** One output, and whether it has failed. */
export class Output {
  readonly #sink: Sink
  readonly #patience: number
  #failure: StorageError | undefined

  /** A step of `sink` that takes longer than `patience` (milliseconds) counts as failed. */
  constructor(sink: Sink, patience: number) {
    this.#sink = sink
    this.#patience = patience
  }

  /** The first failure, if there was one. */
  get failure(): StorageError | undefined {
    return this.#failure
  }

  /** Writes, unless it has failed before. Never rejects. */
  async write(chunk: Uint8Array): Promise<void> {
    await this.attempt(() => this.#sink.write(chunk))
  }

  /** Ends it well, unless it has failed before. Never rejects. */
  async close(): Promise<void> {
    await this.attempt(() => this.#sink.close())
  }

  /** Does `work` unless it has failed before, and notes a failure. Never rejects. */
  async attempt(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return
    try {
      await storing(work(), this.#patience)
    } catch (error) {
      this.#failure = error instanceof StorageError ? error : new StorageError(String(error))
    }
  }
}

/** The outputs of a fill; the blob has none while its size is unknown. */
export interface Outputs {
  readonly segments: Output
  readonly blob: Output | undefined
}

/** Writes to every output that still works. @throws {StorageError} when none does. */
export async function writeAll({ segments, blob }: Outputs, chunk: Uint8Array): Promise<void> {
  await Promise.all([segments.write(chunk), blob?.write(chunk)])
  if (segments.failure === undefined) return
  if (blob === undefined || blob.failure !== undefined) throw segments.failure
}

/** Waits for storage, so long (milliseconds), and turns its failure into a {@link StorageError}. */
export async function storing<Value>(work: Promise<Value>, patience: number): Promise<Value> {
  let value: Value | typeof LATE
  try {
    value = await within(work, patience)
  } catch (cause) {
    throw new StorageError(`storage failed: ${String(cause)}`, { cause })
  }
  if (value === LATE) throw new StorageError('storage does not answer')
  return value
}
