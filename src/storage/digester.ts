// A digest over bytes that pass by: the platform's streaming hash, fed chunk by chunk.

import { algorithmOf, formatDigest } from '../oci/digest.ts'
import type { Algorithm, Digest } from '../oci/digest.ts'

const NAMES: Readonly<Record<Algorithm, string>> = { sha256: 'SHA-256', sha512: 'SHA-512' }

/** Hashes a stream of chunks with the algorithm of the digest that they are expected to have. */
export class Digester {
  readonly #algorithm: Algorithm
  readonly #stream: InstanceType<typeof crypto.DigestStream>
  readonly #writer: WritableStreamDefaultWriter

  constructor(expected: Digest) {
    this.#algorithm = algorithmOf(expected)
    this.#stream = new crypto.DigestStream(NAMES[this.#algorithm])
    this.#writer = this.#stream.getWriter()
    // Whoever gives up half-way never asks for the digest.
    this.#stream.digest.catch(() => undefined)
  }

  /** Resolves when the chunk is hashed: its buffer may then be used again. */
  async update(chunk: Uint8Array): Promise<void> {
    await this.#writer.write(chunk)
  }

  /** The digest of everything so far; no update may follow. */
  async digest(): Promise<Digest> {
    await this.#writer.close()
    return formatDigest(this.#algorithm, await this.#stream.digest)
  }
}
