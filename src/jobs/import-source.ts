// Where an import reads from, whatever kind of registry that is: manifests, what refers to them, and blobs from any
// byte on. And the mirrored repository as such a source: what the cache has is read from it, and the rest comes by it.

import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { compareASCII } from '../oci/page.ts'
import type { Reference } from '../oci/reference.ts'
import type { MirrorFailure } from '../mirror/admission.ts'
import { OutboundError, timeoutAfter } from '../outbound.ts'
import type { Mirrored } from '../registry/repository.ts'

/** A blob that sends nothing for so long is given up (milliseconds). */
const IDLE = 60_000

/** What tags that are made of sha256 digests begin with, and how they are listed. */
const DIGEST_TAGS = 'sha256-'
const PAGE = 1000
const MAX_PAGES = 10

/** Why a source gave nothing. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly failure: MirrorFailure

  constructor(failure: MirrorFailure) {
    super('reason' in failure ? failure.reason : failure.kind)
    this.failure = failure
  }
}

/** A manifest as a source has it. */
export interface SourceManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/** Bytes of a blob, in order; `skip` of them come before those that were asked for. */
export interface SourceBlob {
  /** Bytes of the whole blob, where the source says so. */
  readonly size: number | undefined
  readonly skip: number
  /** The next bytes; `undefined` at the end. @throws {SourceError} when it is cut short, or stalls. */
  read(): Promise<Uint8Array | undefined>
  /** Lets go of it. Never rejects. */
  cancel(): Promise<void>
}

/** One repository to import from. Every method throws `SourceError`. */
export interface ImportSource {
  manifest(reference: Reference): Promise<SourceManifest>
  /** Everything that has this digest as its subject. */
  referrers(digest: Digest): Promise<readonly Digest[]>
  /** The tags that are made of digests; `undefined`: that cannot be told, and each has to be asked for. */
  digestTags(): Promise<ReadonlySet<string> | undefined>
  blob(digest: Digest, offset: number): Promise<SourceBlob>
}

/** A mirrored repository, with its budget, its credentials and its fills. */
export class MirroredSource implements ImportSource {
  readonly #repository: Mirrored

  constructor(repository: Mirrored) {
    this.#repository = repository
  }

  async manifest(reference: Reference): Promise<SourceManifest> {
    const answer = await this.#repository.manifest(reference)
    if (!answer.ok) throw new SourceError(answer.failure)
    const { digest, mediaType, bytes } = answer
    if (bytes !== undefined) return { digest, mediaType, bytes }
    throw new SourceError({ kind: 'unavailable', isTimeout: false, reason: 'no bytes came' })
  }

  async referrers(digest: Digest): Promise<readonly Digest[]> {
    const found: Digest[] = []
    let last: string | undefined
    do {
      const answer = await this.#repository.referrers(digest, { artifactTypes: [], last })
      if (!answer.ok) throw new SourceError(answer.failure)
      found.push(...digestsOf(answer.items))
      last = answer.next
    } while (last !== undefined)
    return found
  }

  /** In ASCII order they stand together: a page or two, where one question for each would be dozens. */
  async digestTags(): Promise<ReadonlySet<string> | undefined> {
    const found = new Set<string>()
    let last: string = DIGEST_TAGS
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const answer = await this.#repository.tags({ n: PAGE, last })
      const isWhole = answer.ok && answer.outcome !== 'stale' && isSorted([last, ...answer.items])
      if (!isWhole) return undefined
      const tags = answer.items.filter((tag) => tag.startsWith(DIGEST_TAGS))
      for (const tag of tags) found.add(tag)
      if (answer.next === undefined || tags.length < answer.items.length) return found
      last = answer.next
    }
    return undefined
  }

  async blob(digest: Digest, offset: number): Promise<SourceBlob> {
    const range =
      offset === 0 ? undefined : ({ kind: 'slice', first: offset, last: undefined } as const)
    const answer = await this.#repository.blobs.get(digest, { wants: 'bytes', range })
    if (!answer.ok) {
      throw new SourceError(
        'failure' in answer
          ? answer.failure
          : invalid(`the blob has ${answer.unsatisfiable} bytes`),
      )
    }
    if (answer.body === undefined) throw new SourceError(invalid('the blob has no bytes'))
    const reader = answer.body.getReader()
    return {
      size: answer.size,
      skip: offset - (answer.range?.offset ?? 0),
      read: () => readNext(reader),
      cancel: () => reader.cancel().catch(() => undefined),
    }
  }
}

/** The digests of descriptors that can be verified here. */
export function digestsOf(descriptors: readonly Descriptor[]): readonly Digest[] {
  return descriptors
    .map(({ digest }) => parseDigest(digest))
    .filter((digest) => digest !== undefined)
}

async function readNext(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<Uint8Array | undefined> {
  const idle = timeoutAfter(IDLE)
  try {
    const { done, value } = await Promise.race([reader.read(), idle.expired])
    return done ? undefined : value
  } catch (error) {
    const isTimeout = error instanceof OutboundError && error.kind === 'timeout'
    throw new SourceError({ kind: 'unavailable', isTimeout, reason: 'the blob was cut short' })
  } finally {
    idle.clear()
  }
}

/** A registry that gives its tags in another order, or from the beginning, says nothing of what follows. */
function isSorted(tags: readonly string[]): boolean {
  return tags.every((tag, index) => index === 0 || compareASCII(tags[index - 1] ?? '', tag) < 0)
}

function invalid(reason: string): MirrorFailure {
  return { kind: 'invalid', reason }
}
