// What takes the bytes of a blob on their way into R2, however R2 wants them.

/** Takes the bytes of one blob, in order. Nothing is visible before all of them are there and right. */
export interface BlobWriter {
  /** Resolves when the chunk has been handed on: its buffer may then be used again. */
  write(chunk: Uint8Array): Promise<void>
  /** Resolves when the blob is stored; rejects, with nothing stored, if that failed. */
  close(): Promise<void>
  /** Gives up: stores nothing, unless R2 already had the whole blob and verified it. Never rejects. */
  abort(reason: unknown): Promise<void>
}
