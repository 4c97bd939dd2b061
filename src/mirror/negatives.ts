// What an upstream has just denied: names that it does not have, and a repository that it refuses as a whole.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Now } from '../seams.ts'
import { Memory } from '../storage/memory.ts'
import type { UpstreamFailure } from '../upstream/error.ts'

/** "Not found" is believed for so long (milliseconds), and for so many references. */
const NEGATIVE_TTL = 60_000
const MAX_NEGATIVES = 1000
const REFUSAL = 'repository'

/** Remembers it for a minute. */
export class Negatives {
  readonly #now: Now
  readonly #absent = new Memory<true>(MAX_NEGATIVES)
  /** That the whole repository is refused: every name in it would cost the same tokens and the same answer. */
  readonly #refusal = new Memory<UpstreamFailure>(1)

  constructor(now: Now) {
    this.#now = now
  }

  /** That the repository is refused, if it is. */
  get refusal(): UpstreamFailure | undefined {
    return this.#refusal.get(REFUSAL, this.#now())
  }

  /** Whether the upstream does not have it. */
  isAbsent(reference: Tag | Digest): boolean {
    return this.#absent.get(reference, this.#now()) !== undefined
  }

  /** Why there is nothing to ask for: it is not there, or the repository is refused. */
  of(reference: Tag | Digest): UpstreamFailure | undefined {
    return this.isAbsent(reference) ? { kind: 'not-found' } : this.refusal
  }

  /** A request for it has failed. */
  note(reference: Tag | Digest, failure: UpstreamFailure): void {
    const known = { size: 1, until: this.#now() + NEGATIVE_TTL }
    if (failure.kind === 'not-found') this.#absent.put(reference, true, known)
    // An answer from memory is not news, and does not make it last longer.
    if (failure.kind === 'denied' && this.refusal === undefined) {
      this.#refusal.put(REFUSAL, failure, known)
    }
  }

  /** A manifest has come, so neither holds any more. */
  forget(digest: Digest): void {
    this.#absent.delete(digest)
    this.#refusal.delete(REFUSAL)
  }
}
