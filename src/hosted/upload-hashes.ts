// Both hashes of an upload: which one counts is known only when it is closed. They live in memory, since a hash
// has no state that could be stored; where they do not reach, the stored bytes are hashed once more.

import { formatDigest } from '../oci/digest.ts'
import type { Algorithm, Digest } from '../oci/digest.ts'

const NAMES: Readonly<Record<Algorithm, string>> = { sha256: 'SHA-256', sha512: 'SHA-512' }

/** One hash under way. */
class Hash {
  readonly #algorithm: Algorithm
  readonly #stream: InstanceType<typeof crypto.DigestStream>
  readonly #writer: WritableStreamDefaultWriter

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm
    this.#stream = new crypto.DigestStream(NAMES[algorithm])
    this.#writer = this.#stream.getWriter()
    // Whoever gives up half-way never asks for the digest.
    this.#stream.digest.catch(() => undefined)
  }

  async update(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes)
  }

  async digest(): Promise<Digest> {
    await this.#writer.close()
    return formatDigest(this.#algorithm, await this.#stream.digest)
  }
}

/** The hashes of the bytes before an offset, in both algorithms. */
export class UploadHashes {
  #offset = 0
  #hashes: Readonly<Record<Algorithm, Hash>> | undefined

  /** Takes the bytes from `start` on, which are stored by now. Without those before them it takes none. */
  async update(bytes: Uint8Array, start: number): Promise<void> {
    if (start !== this.#offset) return
    this.#hashes ??= { sha256: new Hash('sha256'), sha512: new Hash('sha512') }
    const { sha256, sha512 } = this.#hashes
    await Promise.all([sha256.update(bytes), sha512.update(bytes)])
    this.#offset = start + bytes.byteLength
  }

  /**
   * The digest of everything, of which `tail` is what comes from `start` on; undefined when the bytes before
   * have not passed here. Where there are such it can be asked once.
   */
  async digest(algorithm: Algorithm, tail: Uint8Array, start: number): Promise<Digest | undefined> {
    const hash = this.#take(algorithm, start)
    await hash?.update(tail)
    return hash?.digest()
  }

  #take(algorithm: Algorithm, start: number): Hash | undefined {
    if (start === 0) return new Hash(algorithm)
    if (start !== this.#offset) return undefined
    this.#offset = -1
    return this.#hashes?.[algorithm]
  }
}

/** The digest of a stored object, read by the platform alone. @throws when it cannot be read to its end, or when `signal` is aborted. */
export async function digestOfBody(
  body: ReadableStream,
  algorithm: Algorithm,
  signal: AbortSignal,
): Promise<Digest> {
  const stream = new crypto.DigestStream(NAMES[algorithm])
  stream.digest.catch(() => undefined)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  signal.throwIfAborted()
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  const piped = body.pipeTo(stream, { signal })
  piped.catch(() => undefined)
  // A body that stands still does not notice the signal by itself.
  await Promise.race([piped, aborted])
  return formatDigest(algorithm, await stream.digest)
}
